/* What signal handlers tell the main thread, besides setting their flag.

   The handlers run in any thread, at any time, so this is done without locks.
   No function here needs a thread state or a GIL, and none touches a PyObject.
   But for the last one they are for the main thread only. */

#ifndef Py_XXSUBINTERPRETERS_MAINTHREAD_H
#define Py_XXSUBINTERPRETERS_MAINTHREAD_H

#include "Python.h"
#include "pycore_semaphore.h"     // _PySemaphore

/* Return a semaphore to sleep on.  Until _PyMainThread_EndSleep() signal
   handlers post it, after they have set their flag.  Others may post it too, and
   may be late: it lives as long as the process. */
extern _PySemaphore *_PyMainThread_BeginSleep(void);
extern void _PyMainThread_EndSleep(void);

/* Have signal handlers set `bits` in `*breaker`, from now on; NULL for none.  On
   return no handler uses the former one any more. */
extern void _PyMainThread_SetBreaker(uintptr_t *breaker, uintptr_t bits);

/* In the child of a fork the thread that forked is the main thread, and it
   neither sleeps nor has a breaker set. */
extern void _PyMainThread_AfterForkChild(void);

#endif /* !Py_XXSUBINTERPRETERS_MAINTHREAD_H */
