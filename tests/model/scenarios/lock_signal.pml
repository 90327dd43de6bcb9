/* One leaves the queue, handles a signal, and is its first again. */

#define THREADS 3
#define SIGNALS(t) ((t) == 0)
#define MAY_TIME_OUT(t) ((t) == 2)
#define ROUNDS 2

#include "../locks.pml"
