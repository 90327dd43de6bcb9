/* Two senders and two receivers; every wait may time out. */

#define THREADS 4
#define STEPS 1
#define ITEMS 2
#define SENDER(item) (item)
#define MAY_TIME_OUT(t) true

inline program()
{
    if
    :: me < 2 -> sends(0, 0, me + 1)
    :: else -> receives(0, 0)
    fi
}

#include "../protocol.pml"
