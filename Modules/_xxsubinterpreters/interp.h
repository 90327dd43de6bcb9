/* Interpreters: creating, entering, pinning and ending them.

   CPython's own list of interpreters says which exist.  It does not say
   whether one may be entered, whether somebody is inside it, or whether its
   memory is in use elsewhere; this file keeps that, for every interpreter
   that imported the module or was created by it.

   An interpreter is named by its id, which is never reused, so that a name
   kept too long finds nothing instead of something else.

   Unless said otherwise the functions need an attached thread state, raise
   on failure, and may detach and attach again while they run. */

#ifndef Py_XXSUBINTERPRETERS_INTERP_H
#define Py_XXSUBINTERPRETERS_INTERP_H

#include <stdbool.h>
#include "Python.h"

/* Make the current interpreter known.  Called whenever the module is
   executed in an interpreter.  Return 0, or -1 with an exception. */
extern int _PyInterp_Register(void);

/* Have func(id) called whenever an interpreter has ended, or was closed and stays as
   a zombie, and then once more when that ends.  For a few functions; called again
   with the same one, does nothing. */
extern void _PyInterp_WhenEnded(void (*func)(int64_t id));

/* Create an interpreter with a GIL of its own, or with the GIL of the interpreter of
   the id `gil` if that is not -1; if this is the main interpreter's, also with its
   memory allocator and its extension modules.  The caller holds one reference to it.
   Return its id, or -1 with an exception. */
extern int64_t _PyInterp_Create(int64_t gil, bool private_extensions);

/* The id of the oldest interpreter that uses the same GIL, or -1 with
   InterpreterNotFoundError. */
extern int64_t _PyInterp_OldestOfGIL(int64_t id);

/* What happened at the GIL that the interpreter uses.  Return 0, or -1 with
   InterpreterNotFoundError. */
struct _gil_stats;
extern int _PyInterp_GetGILStats(int64_t id, struct _gil_stats *stats);

/* References keep an interpreter alive; when the last one goes, an
   interpreter that was created here is closed, without waiting: if threads of
   its own run in it, it stays.  Incref fails with InterpreterNotFoundError if
   there is no such interpreter. */
extern int _PyInterp_Incref(int64_t id);
extern void _PyInterp_Decref(int64_t id);

/* End the interpreter, after waiting for the threads that it started.  Fails
   with InterpreterError if it is running, is the current one, was not created
   here, or if threads are in it that cannot be waited for, such as the calling
   one.  If other interpreters still view its
   memory, it stays as a zombie: nothing can run in it any more, and the
   release of the last view ends it.  If the thread handles signals, and a
   handler raises an exception while it waits for native threads to leave, then
   that is set, and the interpreter stays as it was. */
extern int _PyInterp_Close(int64_t id, bool handles_signals);

/* A visit to another interpreter, by the calling thread. */
typedef struct _PyInterp_Visit {
    int64_t id;
    PyThreadState *home;            /* what was attached before */
    PyThreadState *tstate;          /* made for the visit; NULL if at home */
    int running_main;
    int interrupted;                /* atomic */
    struct _PyInterp_Visit *outer;  /* of the same thread */
    struct _PyInterp_Visit *next;   /* to the same interpreter */
} _PyInterp_Visit;

/* Attach the calling thread to the interpreter; several threads may be inside
   at once, taking turns with its GIL.  On failure (not found, being closed, a
   zombie) nothing has changed and an exception is set. */
extern int _PyInterp_Enter(int64_t id, _PyInterp_Visit *visit);

/* Return to where the visit began.  No exception may be set. */
extern void _PyInterp_Leave(_PyInterp_Visit *visit);

/* Around the code that a visit is made for.  What the engine does before and
   after it, such as describing an exception, is not interrupted. */
extern void _PyInterp_BeginInterruptible(_PyInterp_Visit *visit);
extern void _PyInterp_EndInterruptible(_PyInterp_Visit *visit);

/* Interrupt every visit to the interpreter that is on: the thread gets `exc`, a
   built-in exception class, when it runs Python code next, and does not go on
   waiting.  Return how many there were. */
extern Py_ssize_t _PyInterp_Interrupt(int64_t id, PyObject *exc);

/* Flags that are set before the waits of a thread are broken; NULL if there is
   none.  They stay valid as long as the thread is where it is. */
extern const int *_PyInterp_ClosingFlag(PyThreadState *tstate);
extern const int *_PyInterp_InterruptFlag(PyThreadState *tstate);

/* Say that the interruption has been noticed.  Return true if its exception is
   still to be raised, by the eval loop. */
extern int _PyInterp_NoticeInterrupt(PyThreadState *tstate);

/* Say that the interruption has been noticed.  Return a new reference to the
   exception to raise, or NULL if it has been raised already. */
extern PyObject *_PyInterp_TakeInterrupt(PyThreadState *tstate);

/* Something in an interpreter's memory that others use; embedded in what
   describes it, in raw memory. */
typedef struct _PyInterp_Pinned {
    int64_t id;                     /* of the interpreter */
    void (*release)(struct _PyInterp_Pinned *);
    void (*free)(struct _PyInterp_Pinned *);
    struct _PyInterp_Pinned *next, *previous;   /* among the pinned; `next` also
                                       among those still to be released */
    enum {
        _PyInterp_PINNED,
        _PyInterp_UNPINNED,         /* to be released */
        _PyInterp_DETACHED,         /* not the interpreter's memory any more */
    } state;
} _PyInterp_Pinned;

/* Keep the current interpreter's memory alive until it is unpinned.  Fails
   with InterpreterError in an interpreter that is being closed. */
extern int _PyInterp_Pin(_PyInterp_Pinned *pinned);

/* Have detach(pinned, n) called when an interpreter is closed that is pinned: with all
   that is pinned in it, attached to it.  It puts first what it made independent of the
   interpreter, and returns how many that are; of them release() is not called any more,
   only free().  Called again with the same function, does nothing. */
typedef size_t (*_PyInterp_DetachFunc)(_PyInterp_Pinned **pinned, size_t n);
extern void _PyInterp_DetachWith(_PyInterp_DetachFunc detach);

/* Call release() attached to the pinned interpreter, drop the pin, and call
   free(); the last pin of a zombie ends it.  If the interpreter was torn down
   in spite of its pins, as happens at process exit, release() is not called.
   If there is no memory to attach, all this is done when somebody else attaches
   to do the same, or when the interpreter is closed.  May be called by any
   thread, attached to any interpreter or to none.  The caller's exception state
   is untouched. */
extern void _PyInterp_Unpin(_PyInterp_Pinned *pinned);

/* True if there is such an interpreter, not being ended. */
extern int _PyInterp_Exists(int64_t id);

/* True if a thread is inside, or the interpreter is main.  -1 on failure. */
extern int _PyInterp_IsRunning(int64_t id);

/* Return a new list of (id, whence, owned) tuples, oldest first: of all
   interpreters that are ready, zombies included. */
extern PyObject *_PyInterp_List(void);

#endif /* !Py_XXSUBINTERPRETERS_INTERP_H */
