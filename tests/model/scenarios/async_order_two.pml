/* Two tasks receive and are both cancelled; then one receives twice.  It sees
   the items in order. */

#define THREADS 1
#define STEPS 2
#define ITEMS 2
#define CAPACITY 2
#define ASYNCS 4
#define ALWAYS_CANCELLED(nr) ((nr) < 2)
#define MAY_CANCEL(nr) false
#define MAY_COMPLETE (to_cancel == 0)
#define MAY_BEGIN (begun == 1 || (pending & ~cancelled) == 0)

inline program()
{
    begun >= 2 -> sends(0, 0, step + 1)
}

#include "../protocol.pml"
