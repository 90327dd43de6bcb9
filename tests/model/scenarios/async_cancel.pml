/* Two asyncio receives that may be cancelled, a thread that receives, and a
   sender of two items.  What comes too late for a cancelled receive is given
   back. */

#define THREADS 2
#define STEPS 2
#define ITEMS 2
#define ASYNCS 2
#define ANY_ORDER               /* three receivers: README.md says why */
#define MAY_TIME_OUT(t) ((t) == 0)

inline program()
{
    if
    :: me == 0 -> sends(0, 0, step + 1)
    :: me == 1 && step == 0 -> receives(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
