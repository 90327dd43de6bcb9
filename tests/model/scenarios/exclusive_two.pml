/* Two interpreters that want to run alone, each twice. */

#define THREADS 2
#define GILS 2
#define GIL(t) (t)
#define ROUNDS 2
#define BLOCKS_INSIDE(t) true

#include "../exclusive.pml"
