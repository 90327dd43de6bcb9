/* An interpreter is created while another one runs alone. */

#define THREADS 2
#define GILS 2
#define GIL(t) (t)
#define SECTIONS(t) ((t) == 0 -> 3 : 0)
#define CREATES(t) ((t) == 1)
#define MAY_TIME_OUT(t) true

#include "../exclusive.pml"
