/* An item is given back to a buffer that is full. */

#define THREADS 1
#define STEPS 3
#define ITEMS 3
#define CAPACITY 1
#define ASYNCS 2
#define ANY_ORDER
#define MAY_TIME_OUT(t) true

inline program()
{
    sends(0, 0, step + 1)
}

#include "../protocol.pml"
