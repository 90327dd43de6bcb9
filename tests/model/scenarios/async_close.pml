/* Asyncio receives that may be cancelled while the receiving end is closed. */

#define THREADS 2
#define STEPS 2
#define ITEMS 2
#define ASYNCS 2
#define ANY_ORDER

inline program()
{
    if
    :: me == 0 -> sends(0, 0, step + 1)
    :: me == 1 && step == 0 -> closes_receiving(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
