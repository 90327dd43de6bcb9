/* A thread has acquired an RLock in an interpreter, which is closed while the thread,
   elsewhere by then, releases it. */

#define RLOCK
#define THREADS 3
#define DYING 1
#define THREADS_OF_DYING 0
#define VISITS(t) ((t) == 0)
#ifdef TRY
#define TRIES(t) ((t) == 1)
#endif
#ifdef TWICE
#define ROUNDS 2
#endif

#include "../locks.pml"
