/* A sender of three items to the first of two unbounded channels, and then of one
   to the second; a receiver in the first, and a select that receives twice from
   either, and may time out. */

#define THREADS 3
#define CHANNELS 2
#define CASES 2
#define STEPS 4
#define ITEMS 4
#define UNBOUNDED
#define SENDER(item) ((item) == 4)
#define MAY_TIME_OUT(t) ((t) == 0)

inline program()
{
    if
    :: me == 0 && step < 2 -> receives(0, 0); receives(1, 0)
    :: me == 1 && step == 0 -> receives(0, 0)
    :: me == 2 && step < 3 -> sends(0, 0, step + 1)
    :: me == 2 && step == 3 -> sends(1, 0, 4)
    :: else
    fi
}

#include "../protocol.pml"
