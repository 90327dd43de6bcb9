/* Two receivers who are told to stop, and a sender of one item. */

#define THREADS 3
#define STEPS 1
#define ITEMS 1
#define BREAKER 1
#define BREAKABLE(t) ((t) < 2)
#define MAY_TIME_OUT(t) ((t) != 1)

inline program()
{
    if
    :: me < 2 -> receives(0, 0)
    :: me == 2 -> sends(0, 0, 1)
    fi
}

#include "../protocol.pml"
