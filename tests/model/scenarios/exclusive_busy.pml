/* A thread that runs alone, and one that keeps its GIL until it is asked for it. */

#define THREADS 2
#define GILS 2
#define GIL(t) (t)
#define SECTIONS(t) ((t) == 0 -> 2 : 0)
#define BUSY(t) ((t) == 1)

#include "../exclusive.pml"
