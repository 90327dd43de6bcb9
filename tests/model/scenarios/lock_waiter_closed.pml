/* An interpreter is closed, whose lock a thread has, while another of its threads waits. */

#define THREADS 4
#define INTERP(t) ((t) < 2 -> 1 : (t))
#define DYING 1
#define THREADS_OF_DYING 1
#define VISITS(t) ((t) == 0)
#define RELEASES(t) ((t) != 0)

#include "../locks.pml"
