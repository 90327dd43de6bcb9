/* A sender that closes its end when it has sent two items, and three receivers:
   some sleep, one may be waking, and one may time out.  When one is told that
   nothing will come, nothing is there. */

#define THREADS 4
#define STEPS 3
#define ITEMS 2
#define MAY_TIME_OUT(t) ((t) == 1)
#define CLOSED_IS_FINAL

inline program()
{
    if
    :: me == 0 && step < 2 -> sends(0, 0, step + 1)
    :: me == 0 && step == 2 -> closes_sending(0, 0)
    :: me > 0 && step == 0 -> receives(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
