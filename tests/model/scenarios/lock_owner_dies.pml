/* A thread leaves the lock acquired in an interpreter, which is closed; others want it. */

#define THREADS 4
#define INTERP(t) ((t) + 1)
#define DYING 1
#define THREADS_OF_DYING 0
#define VISITS(t) ((t) == 0)
#define RELEASES(t) ((t) != 0)
#define MAY_TIME_OUT(t) ((t) == 1)

#include "../locks.pml"
