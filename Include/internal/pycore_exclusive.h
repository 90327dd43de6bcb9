#ifndef Py_INTERNAL_EXCLUSIVE_H
#define Py_INTERNAL_EXCLUSIVE_H
#ifdef __cplusplus
extern "C" {
#endif

#ifndef Py_BUILD_CORE
#  error "this header requires Py_BUILD_CORE define"
#endif

#include <stdbool.h>
#include "pycore_lock.h"          // PyMutex
#include "pycore_pythread.h"      // PyThread_get_thread_ident_ex()

/* Exclusive sections: while a thread is in one, no other thread of the process has a GIL.

   The GILs together are a reader/writer lock with one reader's side for each interpreter, a
   "big-reader" lock.  Readers pay nothing but a look at `owner` where a GIL is taken, under the
   mutex of that GIL.  A writer

   - waits until it is its turn, detached,
   - waits, if the last section stopped or held off others, until these could run as long as it took,
     or LONGEST_REST, detached,
   - waits until those that the last section held off have gone on (the lock is phase-fair: Brandenburg
     and Anderson, "Spin-Based Reader-Writer Synchronization for Multiprocessor Real-Time Systems",
     Real-Time Systems 46, 2010), attached, as what follows,
   - writes `owner`, after which no GIL is taken by others,
   - looks at every GIL, with its mutex, and where one is held asks for it by the eval breaker,
   - waits until these have been released.

   A GIL whose mutex a taker has first is found held; a taker who has it after that finds the owner.

   To be phase-fair is not enough: a reader's side is taken and left many times while, say, an interpreter
   is created, and one section after the other would let it go on by one step each.  */
struct _exclusive_state {
    /* The thread that is in a section or about to be, or 0.  Atomic.  Those held off wait for
       its address in the parking lot. */
    uint64_t owner;

    PyMutex turn;                   /* held by the owner; taken detached */
    PyThreadState *began_in;        /* the section ends with it, at the latest.  Atomic. */
    int depth;                      /* the owner's */
    bool disturbed;                 /* the owner's: a GIL had to be released */
    PyTime_t began;                 /* the owner's */
    PyTime_t rest_until;            /* who has the turn waits for it */

    /* Atomic; the owner waits for their addresses. */
    int running;                    /* GILs to be released before the section begins */
    int held_off;                   /* threads that have not gone on since they were */
};

PyAPI_DATA(struct _exclusive_state) _PyExclusive;

/* True if the calling thread, attached or not, is in a section. */
static inline bool
_PyExclusive_IsMine(void)
{
    uint64_t owner = _Py_atomic_load_uint64_relaxed(&_PyExclusive.owner);
    return owner != 0 && owner == PyThread_get_thread_ident_ex();
}

/* True if the calling thread must not take a GIL.  The mutex of the GIL is held. */
static inline bool
_PyExclusive_HoldsOff(void)
{
    uint64_t owner = _Py_atomic_load_uint64_acquire(&_PyExclusive.owner);
    return owner != 0 && owner != PyThread_get_thread_ident_ex();
}

/* Begin a section, or one more inside it.  Waits for at most `timeout` nanoseconds; negative for no
   limit.  Returns 0, or -1 with an exception: TimeoutError, PythonFinalizationError or what a
   signal handler raised.  The thread is attached. */
PyAPI_FUNC(int) _PyExclusive_Begin(PyThreadState *tstate, PyTime_t timeout);

/* End the innermost section; -1, without an exception, if the thread is in none. */
PyAPI_FUNC(int) _PyExclusive_End(void);

/* Raise RuntimeError if the thread is in a section, where it would wait for ever for what another
   one is to do.  Returns true then. */
PyAPI_FUNC(bool) _PyExclusive_RefusesToWait(void);

/* The thread state ends, or finalizes the runtime: so do the sections that began in it. */
extern void _PyExclusive_Forget(PyThreadState *tstate);

/* For GILs.  Without any lock: wait, having been held off, until the section ends; `again` if the
   thread has done so before and not called GoesOn() since, as it has to once it has a GIL, or
   has found it with another thread. */
extern void _PyExclusive_WaitOutside(bool again);
extern void _PyExclusive_GoesOn(void);
/* One that was asked for is released. */
extern void _PyExclusive_Released(void);

/* In the child of a fork: sections of other threads have ended. */
extern void _PyExclusive_AfterFork(void);

#ifdef __cplusplus
}
#endif
#endif  /* !Py_INTERNAL_EXCLUSIVE_H */
