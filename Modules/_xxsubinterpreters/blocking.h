/* Blocking on channels and locks from Python code: deadlines, signals, the GIL.

   All functions need an attached thread state.  Those that block detach, and
   attach again when nothing of theirs waits any more. */

#ifndef Py_XXSUBINTERPRETERS_BLOCKING_H
#define Py_XXSUBINTERPRETERS_BLOCKING_H

#include "Python.h"
#include "atomics.h"
#include "channel.h"

/* The rest of the next function, for numbers. */
extern int _PyBlocking_DeadlineFromSeconds(PyObject *timeout, PyTime_t *deadline);

/* Turn a timeout in seconds, or None, into a deadline.  Return 0, or -1 with an
   exception if it is neither, or negative. */
static inline int
_PyBlocking_GetDeadline(PyObject *timeout, PyTime_t *deadline)
{
    if (timeout == NULL || timeout == Py_None) {
        *deadline = -1;
        return 0;
    }
    return _PyBlocking_DeadlineFromSeconds(timeout, deadline);
}

/* Do the operation.  Blocks until it is done, or until the deadline.  An
   exception is set if the status is SIGNAL or BROKEN, and then only. */
extern _PyChannel_Status _PyBlocking_Do(_PyChannelOp *op, PyTime_t deadline);

/* The same, for threads with or without an attached thread state: sets no
   exception, and returns when a signal arrives that the thread is to handle. */
extern _PyChannel_Status _PyBlocking_DoOnce(_PyChannelOp *op,
                                            PyTime_t deadline);

/* Do one of the operations, and return it; NULL for none, with *status as
   above. */
extern _PyChannelOp *_PyBlocking_Select(_PyChannelSelect *select,
                                        PyTime_t deadline,
                                        _PyChannel_Status *status);

/* Wait for the element to be notified, if it has the expected value.  Return 1
   when it has been, or has another value; 0 when the deadline has passed; -1 with
   an exception when the wait was broken. */
extern int _PyBlocking_WaitForElement(_PyAtomics_Element element,
                                      uint64_t expected, PyTime_t deadline);

/* Wait until the waiter is fired, or the wait is broken, or the deadline has
   passed; no exception is set. */
extern _PyWaiter_Result _PyBlocking_Wait(_PyWaiter *waiter, PyTime_t deadline);

/* What broke the wait: if it was SIGNAL or BROKEN, call signal handlers, or look
   what it was.  Return true if the wait is to go on, else an exception is set. */
extern int _PyBlocking_GoOn(_PyWaiter_Result result);

/* Wait until the waiter is fired, whatever comes. */
extern void _PyBlocking_WaitUnbroken(_PyWaiter *waiter);

#endif /* !Py_XXSUBINTERPRETERS_BLOCKING_H */
