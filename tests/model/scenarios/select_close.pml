/* A select that receives from two channels, a sender in one of them, and two
   threads that close the sending end of the one and the receiving end of the
   other. */

#define THREADS 4
#define CHANNELS 2
#define CASES 2
#define STEPS 1
#define ITEMS 1
#define MAY_TIME_OUT(t) ((t) == 0)

inline program()
{
    if
    :: me == 0 -> receives(0, 0); receives(1, 0)
    :: me == 1 -> sends(0, 0, 1)
    :: me == 2 -> closes_sending(0, 0)
    :: me == 3 -> closes_receiving(1, 0)
    fi
}

#include "../protocol.pml"
