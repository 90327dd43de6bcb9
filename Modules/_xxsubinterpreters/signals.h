/* Signals that arrive while the main thread visits another interpreter.

   Python handlers run in the main interpreter only.  The main thread may be in
   another one, called from there; then it returns to where it came from, runs
   the handlers, and comes back.  If one of them raises an exception the code in
   the other interpreter gets a KeyboardInterrupt, and if it ends with that, the
   exception itself goes on in the main interpreter.

   The functions need an attached thread state.  Only the main thread handles
   signals; in others nothing comes of it. */

#ifndef Py_XXSUBINTERPRETERS_SIGNALS_H
#define Py_XXSUBINTERPRETERS_SIGNALS_H

#include "Python.h"
#include "interp.h"

typedef struct _PySignals_Visit {
    const _PyInterp_Visit *visit;
    int running;                    /* the code that the visit is made for */
    PyObject *raised;               /* by a handler; belongs to where the visit
                                       began, which is the main interpreter */
    struct _PySignals_Visit *outer; /* of the same thread */
} _PySignals_Visit;

/* To be called when the visit has begun. */
extern void _PySignals_Enter(_PySignals_Visit *self,
                             const _PyInterp_Visit *visit);

/* Around the code that the visit is made for.  Signals that come before or after
   that wait: what the engine does then is not broken. */
extern void _PySignals_Begin(_PySignals_Visit *self);
extern void _PySignals_End(_PySignals_Visit *self);

/* To be called after the visit.  If a handler raised an exception, and the code
   ended with a KeyboardInterrupt, set what to raise here and return true. */
extern int _PySignals_Leave(_PySignals_Visit *self, int ended_with_interrupt);

/* Whether PyErr_CheckSignals() runs handlers in this thread state. */
extern int _PySignals_CanHandle(PyThreadState *tstate);

#endif /* !Py_XXSUBINTERPRETERS_SIGNALS_H */
