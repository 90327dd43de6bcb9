/* As async_last_item, but the other receiver is a thread.  It may be told that
   nothing will come while a task that is cancelled later has the last item. */

#define THREADS 2
#define STEPS 2
#define ITEMS 1
#define CAPACITY 1
#define ASYNCS 1
#define CLOSED_IS_FINAL

inline program()
{
    if
    :: me == 0 && step == 0 -> sends(0, 0, 1)
    :: me == 0 && step == 1 -> closes_sending(0, 0)
    :: me == 1 && step == 0 -> receives(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
