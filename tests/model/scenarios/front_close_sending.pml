/* A sender that closes its end when it has sent three items to an unbounded
   channel, and two receivers that receive twice, of which one may time out.  When
   one is told that nothing will come, nothing is there. */

#define THREADS 3
#define STEPS 4
#define ITEMS 3
#define UNBOUNDED
#define MAY_TIME_OUT(t) ((t) == 1)
#define CLOSED_IS_FINAL

inline program()
{
    if
    :: me == 0 && step < 3 -> sends(0, 0, step + 1)
    :: me == 0 && step == 3 -> closes_sending(0, 0)
    :: me > 0 && step < 2 -> receives(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
