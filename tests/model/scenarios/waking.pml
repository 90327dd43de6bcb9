/* A sender of three items, and two receivers that receive twice, of which one
   may time out; or with THREE, three that receive once.  One that sleeps is
   woken at a time. */

#define STEPS 3
#define ITEMS 3
#ifdef THREE
#define THREADS 4
#define RECEIVES 1
#define MAY_TIME_OUT(t) false
#else
#define THREADS 3
#define RECEIVES 2
#define MAY_TIME_OUT(t) ((t) == 1)
#endif

inline program()
{
    if
    :: me == 0 -> sends(0, 0, step + 1)
    :: me > 0 && step < RECEIVES -> receives(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
