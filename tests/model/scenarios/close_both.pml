/* Both sides are closed while a sender and a receiver are at work. */

#define THREADS 4
#define STEPS 2
#define ITEMS 2
#define MAY_TIME_OUT(t) true

inline program()
{
    if
    :: me == 0 -> sends(0, 0, step + 1)
    :: me == 1 -> receives(0, 0)
    :: me == 2 && step == 0 -> closes_sending(0, 0)
    :: me == 3 && step == 0 -> closes_receiving(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
