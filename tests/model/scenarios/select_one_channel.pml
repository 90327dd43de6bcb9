/* Selects that send to and receive from the same channel: each has operations
   in both of its queues, and must not serve itself. */

#define THREADS 3
#define CASES 2
#define STEPS 1
#define ITEMS 2
#define SENDER(item) (item)
#define MAY_TIME_OUT(t) ((t) == 0)

inline program()
{
    if
    :: me < 2 -> sends(0, 0, me + 1); receives(0, 0)
    :: me == 2 -> receives(0, 0)
    fi
}

#include "../protocol.pml"
