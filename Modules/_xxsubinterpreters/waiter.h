/* One thread waiting for one wake-up: spin, then park.

   A waiter lives on the stack of the waiting thread.  Its owner makes it
   known to others (under a lock of the owner's choosing), and exactly one of
   them fires it:

       waiting thread              other thread
       --------------              ------------
       _PyWaiter_Init
       publish under the lock
       _PyWaiter_Wait              take it off the list, under the lock
                                   _PyWaiter_Fire, under the same lock
       (returns)                   _PyWaiter_Unpark, after unlocking

   Firing is one atomic exchange, so that it may be done under the lock.
   Unparking takes a lock of the parking lot and is done after unlocking.  It
   uses the waiter's address but not its memory: the waiting thread may have
   returned by then, and its stack frame may be gone.

   No function here needs a thread state or a GIL, and none touches a
   PyObject.  A thread that is attached to an interpreter detaches before it
   calls _PyWaiter_Wait. */

#ifndef Py_XXSUBINTERPRETERS_WAITER_H
#define Py_XXSUBINTERPRETERS_WAITER_H

#include "Python.h"

typedef struct {
    uint32_t state;                 /* atomic, see waiter.c */
} _PyWaiter;

typedef enum {
    _PyWaiter_FIRED,
    _PyWaiter_TIMEOUT,
    _PyWaiter_INTR,                 /* a signal arrived in this thread */
} _PyWaiter_Result;

extern void _PyWaiter_Init(_PyWaiter *waiter);

/* Block until the waiter is fired, the deadline (PyTime_Monotonic; negative
   for none) has passed, or a signal arrives.  `interrupted`, unless NULL, is
   what the signal handler sets: a signal that arrives before the thread sleeps
   does not wake it.  Unless the result is FIRED the caller takes the waiter off
   its list, under the lock, before it returns, and looks once more with
   _PyWaiter_Fired(): it may have been fired in between. */
extern _PyWaiter_Result _PyWaiter_Wait(_PyWaiter *waiter, PyTime_t deadline,
                                       const int *interrupted);

extern int _PyWaiter_Fired(_PyWaiter *waiter);

/* Fire the waiter.  Return true if its thread sleeps, and _PyWaiter_Unpark
   must follow. */
extern int _PyWaiter_Fire(_PyWaiter *waiter);

extern void _PyWaiter_Unpark(const _PyWaiter *waiter);

#endif /* !Py_XXSUBINTERPRETERS_WAITER_H */
