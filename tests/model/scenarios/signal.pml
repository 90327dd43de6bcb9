/* The main thread receives twice while signals arrive; a wait that a signal
   ended begins anew.  Its semaphore is static: a post may come late. */

#define THREADS 3
#define STEPS 2
#define ITEMS 2
#define SENDER(item) (item)
#ifndef SIGNALS
#define SIGNALS 2
#endif
#define MAIN 0
#define IS_MAIN(t) ((t) == MAIN)
#define MAY_TIME_OUT(t) ((t) < 2)

inline program()
{
    if
    :: me == 0 -> receives(0, 0)
    :: me > 0 && step == 0 -> sends(0, 0, me)
    :: else
    fi
}

#include "../protocol.pml"
