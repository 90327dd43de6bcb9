/* Two threads that receive, of which one may time out, a task that receives and
   may be cancelled, and a sender of two items.  Who is woken among the threads
   counts as waking, the task does not. */

#define THREADS 3
#define STEPS 2
#define ITEMS 2
#define CAPACITY 2
#define ASYNCS 1
#define ANY_ORDER
#define MAY_TIME_OUT(t) ((t) == 1)

inline program()
{
    if
    :: me == 0 -> sends(0, 0, step + 1)
    :: me > 0 && step == 0 -> receives(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
