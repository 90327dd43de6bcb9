/* A select that receives from either of two channels, twice, and a sender in
   each channel.  Every wait may time out. */

#define THREADS 3
#define CHANNELS 2
#define CASES 2
#define STEPS 2
#define ITEMS 2
#define SENDER(item) (item)
#define MAY_TIME_OUT(t) true

inline program()
{
    if
    :: me == 0 -> receives(0, 0); receives(1, 0)
    :: me > 0 && step == 0 -> sends(me - 1, 0, me)
    :: else
    fi
}

#include "../protocol.pml"
