/* One thread runs alone, three times; two more use its GIL or another one. */

#define THREADS 3
#define GILS 2
#define GIL(t) ((t) == 2)
#define SECTIONS(t) ((t) == 0 -> 3 : 0)
#define BLOCKS_INSIDE(t) true

#include "../exclusive.pml"
