/* A sender of three items to an unbounded channel, and two receivers with an end
   each.  The first receives twice, while another thread closes its end; the
   second closes its own when it has received.  What is left in the front, and in
   the buffer, is destroyed. */

#define THREADS 4
#define STEPS 3
#define ITEMS 3
#define UNBOUNDED
#define RECEIVING_ENDS 2
#define MAY_TIME_OUT(t) ((t) == 1)

inline program()
{
    if
    :: me == 0 -> sends(0, 0, step + 1)
    :: me == 1 && step < 2 -> receives(0, 0)
    :: me == 2 && step == 0 -> receives(0, 1)
    :: me == 2 && step == 1 -> closes_receiving(0, 1)
    :: me == 3 && step == 0 -> closes_receiving(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
