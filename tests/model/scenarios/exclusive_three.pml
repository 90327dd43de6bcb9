/* Two threads of two interpreters run alone, while a third one uses a GIL of theirs. */

#define THREADS 3
#define GILS 2
#define GIL(t) ((t) == 1)
#define SECTIONS(t) ((t) != 2)

#include "../exclusive.pml"
