#ifndef Py_INTERNAL_VISITORS_H
#define Py_INTERNAL_VISITORS_H
#ifdef __cplusplus
extern "C" {
#endif

#ifndef Py_BUILD_CORE
#  error "this header requires Py_BUILD_CORE define"
#endif

#include <stdbool.h>
#include "pycore_interp.h"        // PyInterpreterState

/* Visitors: threads that call back into Python and are for one interpreter, whatever the thread
   was in before.  They come from the code of a private copy of an extension module, or by a
   callback of ctypes.  An interpreter that is not the main one is known by its id, which is
   never used again.  Any thread may call these functions, attached or not. */

/* Prepare for visitors of an interpreter, until Forget().  The calling thread is attached to it.
   Returns -1 if there is no memory. */
PyAPI_FUNC(int) _PyVisitors_Expect(PyInterpreterState *interp);

/* PyGILState_Ensure(), but for the interpreter of that id, where it was expected.  It is to be
   paired with PyGILState_Release().  Never returns if the interpreter has ended. */
PyAPI_FUNC(PyGILState_STATE) _PyGILState_EnsureIn(int64_t id);

/* Begin a visit: gives the interpreter, unless tstate, the last one of this thread or NULL, is of
   that already, or would be; else NULL.  The interpreter does not end before Leave().  If it is
   being ended, and the thread is not in a visit to it, the thread waits until it is clear whether
   that succeeds, and if it does, for ever, as its caller can neither go on without Python nor be
   unwound. */
extern PyInterpreterState *_PyVisitors_Enter(PyThreadState *tstate, int64_t id);
extern void _PyVisitors_Leave(PyInterpreterState *interp);

/* Let no visitors in, or let them in again.  ShutOut() returns how many are still there. */
extern uint32_t _PyVisitors_ShutOut(PyInterpreterState *interp);
extern void _PyVisitors_LetIn(PyInterpreterState *interp);

/* Have left(argument) called, once, when the last visitor has left; NULL takes that back.  It is
   called by that visitor, with a lock held, and must not take any but those of waits.  Returns
   false, and changes nothing, if there is no visitor. */
extern bool _PyVisitors_WhenLeft(PyInterpreterState *interp, void (*left)(void *),
                                 void *argument);

/* The interpreter ends now. */
extern void _PyVisitors_Forget(PyInterpreterState *interp);

/* In the child of a fork, where no other interpreters exist any more. */
extern void _PyVisitors_AfterFork(void);

#ifdef __cplusplus
}
#endif
#endif  /* !Py_INTERNAL_VISITORS_H */
