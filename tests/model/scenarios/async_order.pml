/* One sender and one receiver: a task that receives, may be cancelled, and
   receives again.  It sees the items in order. */

#define THREADS 1
#define STEPS 2
#define ITEMS 2
#define ASYNCS 3
#define MAY_BEGIN ((pending & ~cancelled) == 0)

inline program()
{
    sends(0, 0, step + 1)
}

#include "../protocol.pml"
