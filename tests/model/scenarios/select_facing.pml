/* Two selects that face each other, send a or receive b and receive a or
   send b, and with RECEIVER a thread that receives a. */

#ifdef RECEIVER
#define THREADS 3
#else
#define THREADS 2
#endif
#define CHANNELS 2
#define CASES 2
#define STEPS 1
#define ITEMS 2
#define SENDER(item) (item)
#define MAY_TIME_OUT(t) true

inline program()
{
    if
    :: me == 0 -> sends(0, 0, 1); receives(1, 0)
    :: me == 1 -> sends(1, 0, 2); receives(0, 0)
    :: me == 2 -> receives(0, 0)
    fi
}

#include "../protocol.pml"
