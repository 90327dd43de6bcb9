/* The same, and they may give up at any time. */

#define THREADS 2
#define GILS 2
#define GIL(t) (t)
#define ROUNDS 2
#define MAY_TIME_OUT(t) true

#include "../exclusive.pml"
