/* A select and a sender who are told to stop, and their partners. */

#define THREADS 3
#define CHANNELS 2
#define CASES 2
#define STEPS 1
#define ITEMS 2
#define SENDER(item) (item)
#define BREAKER 1
#define BREAKABLE(t) ((t) < 2)

inline program()
{
    if
    :: me == 0 -> sends(0, 0, 1); receives(1, 0)
    :: me == 1 -> sends(1, 0, 2)
    :: me == 2 -> receives(0, 0)
    fi
}

#include "../protocol.pml"
