/* A select that receives from two channels, and may time out; a receiver in the
   first of them, a sender that sends to it twice, and one that sends to the
   second. */

#define THREADS 4
#define CHANNELS 2
#define CASES 2
#define STEPS 2
#define ITEMS 3
#define CAPACITY 2
#define SENDER(item) ((item) == 3)
#define MAY_TIME_OUT(t) ((t) == 0)

inline program()
{
    if
    :: me == 0 && step == 0 -> receives(0, 0); receives(1, 0)
    :: me == 1 && step == 0 -> receives(0, 0)
    :: me == 2 -> sends(0, 0, step + 1)
    :: me == 3 && step == 0 -> sends(1, 0, 3)
    :: else
    fi
}

#include "../protocol.pml"
