/* A sender of three items, a receiver that receives
   twice, and a thread that takes the second item out, wherever it is, and then
   receives all that is there. */

#define THREADS 3
#define STEPS 3
#define ITEMS 3
#define DRAINS 1
#define MAY_TIME_OUT(t) ((t) == 1)

inline program()
{
    if
    :: me == 0 -> sends(0, 0, step + 1)
    :: me == 1 && step < 2 -> receives(0, 0)
    :: me == 2 && step == 0 -> takes_out(0, 2)
    :: me == 2 && step == 1 -> drains(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
