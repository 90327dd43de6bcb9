/* A sender closes its end after its item.  A task receives, may be cancelled,
   and receives again.  When it is told that nothing will come, nothing is
   there. */

#define THREADS 1
#define STEPS 2
#define ITEMS 1
#define CAPACITY 1
#define ASYNCS 2
#define MAY_BEGIN ((pending & ~cancelled) == 0)
#define CLOSED_IS_FINAL

inline program()
{
    if
    :: step == 0 -> sends(0, 0, 1)
    :: step == 1 -> closes_sending(0, 0)
    fi
}

#include "../protocol.pml"
