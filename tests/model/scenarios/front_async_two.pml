/* A sender of three items to an unbounded channel, a thread that receives twice,
   and two tasks that receive and may be cancelled: places are reserved while
   there is a front, and while there is none. */

#define THREADS 2
#define STEPS 3
#define ITEMS 3
#define UNBOUNDED
#define ASYNCS 2
#define ANY_ORDER
#define MAY_CANCEL_DONE true

inline program()
{
    if
    :: me == 0 -> sends(0, 0, step + 1)
    :: me == 1 && step < 2 -> receives(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
