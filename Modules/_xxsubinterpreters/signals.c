/* Signals that arrive while the main thread visits another interpreter.  See
   signals.h. */

#include "Python.h"
#include "pycore_ceval.h"         // _Py_set_eval_breaker_bit()
#include "pycore_pystate.h"       // _Py_ThreadCanHandleSignals()
#include "pycore_runtime.h"       // _PyRuntime
#include "pycore_signal.h"        // _PySignal_CheckVisitor
#include "mainthread.h"
#include "signals.h"

/* The innermost visit of this thread, also if it is to where the thread was. */
static _Py_thread_local _PySignals_Visit *current = NULL;

/* The thread state that runs in the visit. */
static PyThreadState *
inside(const _PySignals_Visit *v)
{
    return v->visit->tstate != NULL ? v->visit->tstate : v->visit->home;
}

/* The visit that began in the main interpreter; NULL if the thread state is not
   that of a visit of the main thread which runs code now, or not on a way from
   there. */
static _PySignals_Visit *
find_base(PyThreadState *tstate)
{
    _PySignals_Visit *v = current;
    if (v == NULL || !v->running || inside(v) != tstate
        || !_Py_IsMainThread())
    {
        return NULL;
    }
    while (v != NULL && (v->visit->tstate == NULL
                         || !_Py_IsMainInterpreter(v->visit->home->interp)))
    {
        v = v->outer;
    }
    return v;
}

static int
is_visitor(PyThreadState *tstate)
{
    return find_base(tstate) != NULL;
}

int
_PySignals_CanHandle(PyThreadState *tstate)
{
    return _Py_ThreadCanHandleSignals(tstate->interp) || is_visitor(tstate);
}

/* If there are signals to handle, have the eval loop do it. */
static void
remind(PyThreadState *tstate)
{
    if (_Py_atomic_load_int(&_PyRuntime.signals.is_tripped)) {
        _Py_set_eval_breaker_bit(tstate, _PY_SIGNALS_PENDING_BIT);
    }
}

/* Run the handlers where the visit began.  Return -1 if one raised. */
static int
handle_at(_PySignals_Visit *base, PyThreadState *tstate)
{
    PyThreadState *home = base->visit->home;
    PyThreadState_Swap(home);
    /* They run on top of the stack of the visit. */
    int taken = home->c_recursion_remaining - tstate->c_recursion_remaining;
    taken = Py_MAX(taken, 0);
    home->c_recursion_remaining -= taken;
    int r = PyErr_CheckSignals();
    if (r < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        Py_XSETREF(base->raised, exc);  /* only the last one, as in a handler */
    }
    home->c_recursion_remaining += taken;
    remind(home);                       /* of those after one that raised */
    PyThreadState_Swap(tstate);
    return r;
}

/* Called in interpreters whose threads cannot handle signals. */
static int
check_visitor(PyThreadState *tstate)
{
    _PySignals_Visit *base = find_base(tstate);
    if (base == NULL || !_Py_atomic_load_int(&_PyRuntime.signals.is_tripped)) {
        return 0;
    }
    int r = handle_at(base, tstate);
    remind(tstate);                     /* of those after one that raised */
    if (r < 0) {
        PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
    return r;
}

/* Have signal handlers break the eval loop of the innermost visit, while it runs
   what it is made for.  Not before or after, also if what the engine does then
   visits other interpreters: the thread state may be freed next. */
static void
break_current(void)
{
    if (!_Py_IsMainThread()) {
        return;
    }
    if (current == NULL || !current->running) {
        _PyMainThread_SetBreaker(NULL, 0);
        return;
    }
    PyThreadState *tstate = inside(current);
    _PyMainThread_SetBreaker(&tstate->eval_breaker, _PY_SIGNALS_PENDING_BIT);
    remind(tstate);
}

void
_PySignals_Enter(_PySignals_Visit *self, const _PyInterp_Visit *visit)
{
    _Py_atomic_store_ptr(&_PySignal_CheckVisitor, check_visitor);
    _Py_atomic_store_ptr(&_PySignal_IsVisitor, is_visitor);
    *self = (_PySignals_Visit){.visit = visit, .outer = current};
    current = self;
}

void
_PySignals_Begin(_PySignals_Visit *self)
{
    assert(current == self);
    self->running = 1;
    break_current();
}

void
_PySignals_End(_PySignals_Visit *self)
{
    assert(current == self);
    self->running = 0;
    break_current();
}

int
_PySignals_Leave(_PySignals_Visit *self, int ended_with_interrupt)
{
    assert(current == self);
    current = self->outer;
    break_current();
    PyObject *raised = self->raised;
    self->raised = NULL;
    if (!ended_with_interrupt) {
        Py_XDECREF(raised);             /* the code dealt with it */
        return 0;
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
        return 1;
    }
    /* On the way back to where it can be raised. */
    for (_PySignals_Visit *v = current; v != NULL; v = v->outer) {
        if (v->raised != NULL) {
            PyErr_SetNone(PyExc_KeyboardInterrupt);
            return 1;
        }
    }
    return 0;
}
