/* A sender of three items to an unbounded channel, a thread that receives once,
   and may take a batch, and a task that receives, may be cancelled, and receives
   again.  What is given back goes into the front or into the buffer, and the task
   sees the items in order. */

#define THREADS 2
#define STEPS 3
#define ITEMS 3
#define UNBOUNDED
#define ASYNCS 3
#define MAY_BEGIN ((pending & ~cancelled) == 0)
#define MAY_CANCEL_DONE true
#define MAY_TIME_OUT(t) false

inline program()
{
    if
    :: me == 0 -> sends(0, 0, step + 1)
    :: me == 1 && step == 0 -> receives(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
