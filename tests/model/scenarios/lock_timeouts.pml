/* Threads that may give up at any time, and one that does not. */

#define THREADS 3
#define ROUNDS 2
#define MAY_TIME_OUT(t) ((t) != 0)

#include "../locks.pml"
