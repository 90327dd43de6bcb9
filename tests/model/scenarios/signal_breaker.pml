/* The main thread sends and receives, with signals and a breaker, which stops
   its partner too. */

#define THREADS 2
#define STEPS 2
#define ITEMS 2
#define SENDER(item) (item)
#define BREAKER 1
#define BREAKABLE(t) true
#define SIGNALS 1
#define MAIN 0
#define IS_MAIN(t) ((t) == MAIN)
#define MAY_TIME_OUT(t) true

inline program()
{
    if
    :: me == 0 && step == 0 -> sends(0, 0, 1)
    :: me == 0 && step == 1 -> receives(0, 0)
    :: me == 1 && step == 0 -> receives(0, 0)
    :: me == 1 && step == 1 -> sends(0, 0, 2)
    fi
}

#include "../protocol.pml"
