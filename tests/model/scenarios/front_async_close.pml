/* As front_async_two, but the thread closes the receiving end when it has
   received once.  What is given back later is destroyed. */

#define THREADS 2
#define STEPS 3
#define ITEMS 3
#define UNBOUNDED
#define ASYNCS 2
#define ANY_ORDER
#define MAY_CANCEL_DONE true

inline program()
{
    if
    :: me == 0 -> sends(0, 0, step + 1)
    :: me == 1 && step == 0 -> receives(0, 0)
    :: me == 1 && step == 1 -> closes_receiving(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
