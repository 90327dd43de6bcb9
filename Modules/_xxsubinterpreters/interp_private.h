/* What the files of interpreters share.  See interp.c for the list of entries and its lock. */

#ifndef Py_XXSUBINTERPRETERS_INTERP_PRIVATE_H
#define Py_XXSUBINTERPRETERS_INTERP_PRIVATE_H

#include "Python.h"
#include "interp.h"
#include "waiter.h"

/* What becomes of an interpreter:

       ALIVE <--threads left-- CLOSING --no pins--> (ended, forgotten)
             ------close-----> |     ^
                             pins    last pin dropped
                               v     |
                               ZOMBIE

   Only an ALIVE interpreter can be entered or pinned.  The thread that moves
   it to CLOSING is the only one to end it.  A ZOMBIE has no thread. */
enum life { ALIVE, CLOSING, ZOMBIE };

typedef struct _PyInterp_Entry {
    struct _PyInterp_Entry *next;
    int64_t id;
    PyInterpreterState *interp;     /* valid as long as the entry is listed */
    int created_here;               /* else it is never ended by us */
    enum life life;
    Py_ssize_t refs;                /* names held: Interpreter objects and
                                       messages that carry one */
    Py_ssize_t inside;              /* visits in progress */
    int stopping;                   /* atomic: its threads are not to wait */
    Py_ssize_t pins;                /* exports of its memory */
    _PyInterp_Pinned *pinned;       /* those that others use */
    _PyInterp_Pinned *unpinned;     /* those to be released */
    int detaching;                  /* leave them alone for now */
    Py_ssize_t releasing;           /* threads that come to release them */
    _PyWaiter *closer;              /* waits until there are none */
    _PyInterp_Visit *visits;        /* those that can be interrupted */
} _PyInterp_Entry;

/* The lock of the list and of all fields of its entries. */
extern void _PyInterp_Lock(void);
extern void _PyInterp_Unlock(void);

/* NULL if there is none.  The lock is held. */
extern _PyInterp_Entry *_PyInterp_Find(int64_t id);

/* Raise InterpreterNotFoundError or InterpreterError, and return -1. */
extern int _PyInterp_NotFound(int64_t id);
extern int _PyInterp_Refused(int64_t id, const char *why);

/* Call what asked to be told. */
extern void _PyInterp_TellEnded(int64_t id);

/* Attach to an interpreter that cannot end meanwhile.  NULL when out of
   memory, with nothing changed. */
extern PyThreadState *_PyInterp_Attach(PyInterpreterState *interp, int whence,
                                       PyThreadState **home);
extern void _PyInterp_Detach(PyThreadState *tstate, PyThreadState *home);

/* Close the interpreter if nobody can name it any more and nothing runs in it.
   Never waits: threads of its own keep it alive, and listed. */
extern void _PyInterp_CloseIfUnwanted(int64_t id);

#endif /* !Py_XXSUBINTERPRETERS_INTERP_PRIVATE_H */
