/* A sender that sends twice, one that sends once, and a receiver that receives
   twice or, with RECEIVES 3, three times.  Every wait may time out. */

#define THREADS 3
#ifndef RECEIVES
#define RECEIVES 2
#endif
#define STEPS RECEIVES
#define ITEMS 3
#define SENDER(item) ((item) == 3)
#define MAY_TIME_OUT(t) true

inline program()
{
    if
    :: me == 0 && step < 2 -> sends(0, 0, step + 1)
    :: me == 1 && step == 0 -> sends(0, 0, 3)
    :: me == 2 -> receives(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
