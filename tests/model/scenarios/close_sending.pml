/* Two senders and two receivers.  The first sender's end is closed under it by
   another thread; the second sender closes its own when it has sent. */

#define THREADS 5
#define STEPS 2
#define ITEMS 2
#define SENDING_ENDS 2
#define SENDER(item) (item)

inline program()
{
    if
    :: me == 0 && step == 0 -> sends(0, 0, 1)
    :: me == 1 && step == 0 -> sends(0, 1, 2)
    :: me == 1 && step == 1 -> closes_sending(0, 1)
    :: (me == 2 || me == 3) && step == 0 -> receives(0, 0)
    :: me == 4 && step == 0 -> closes_sending(0, 0)
    :: else
    fi
}

#include "../protocol.pml"
