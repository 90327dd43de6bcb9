/* Blocking on channels and locks from Python code.  See blocking.h. */

#include "Python.h"
#include "pycore_ceval.h"         // _PY_EVAL_EVENTS_MASK
#include "pycore_exclusive.h"     // _PyExclusive_RefusesToWait()
#include "pycore_gil.h"           // struct _gil_runtime_state
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_pystate.h"       // _PyThreadState_GET()
#include "pycore_runtime.h"       // _PyRuntime
#include "pycore_time.h"          // _PyTime_FromSecondsObject()
#include "blocking.h"
#include "interp.h"
#include "signals.h"

int
_PyBlocking_DeadlineFromSeconds(PyObject *timeout, PyTime_t *deadline)
{
    PyTime_t t;
    if (_PyTime_FromSecondsObject(&t, timeout, _PyTime_ROUND_TIMEOUT) < 0) {
        return -1;
    }
    if (t < 0) {
        PyErr_SetString(PyExc_ValueError, "timeout must not be negative");
        return -1;
    }
    *deadline = _PyDeadline_Init(t);
    return 0;
}

static void
get_breakers(PyThreadState *tstate, _PyWaiter_Breakers *breakers)
{
    int *tripped = _PySignals_CanHandle(tstate)
                   ? &_PyRuntime.signals.is_tripped : NULL;
    *breakers = (_PyWaiter_Breakers){
        .tripped = tripped,
        .stop = {_PyInterp_ClosingFlag(tstate), _PyInterp_InterruptFlag(tstate)},
        .gil_holder = &tstate->interp->ceval.gil->last_holder,
        .gil_self = tstate,
    };
}

static int
spin_attached(PyThreadState *tstate, _PyWaiter *waiter)
{
    return _PyWaiter_Spin(waiter, &tstate->eval_breaker, _PY_EVAL_EVENTS_MASK);
}

/* In an exclusive section nobody else runs who could end a wait: it is not begun, and is
   broken unless the deadline has passed anyway. */
static PyTime_t
limited(PyTime_t deadline)
{
    return _PyExclusive_IsMine() ? 0 : deadline;
}

static int
is_refused(PyTime_t deadline)
{
    return _PyExclusive_IsMine()
           && (deadline < 0 || _PyDeadline_Get(deadline) > 0);
}

static int
is_closing(PyThreadState *tstate)
{
    const int *closing = _PyInterp_ClosingFlag(tstate);
    return closing != NULL && _Py_atomic_load_int(closing);
}

/* The wait was broken.  Return true if it is to be begun anew. */
static int
after_break(PyThreadState *tstate, _PyWaiter_Result result)
{
    if (result == _PyWaiter_SIGNAL) {
        return PyErr_CheckSignals() == 0;
    }
    assert(result == _PyWaiter_BROKEN);
    if (_PyExclusive_RefusesToWait()) {
        return 0;
    }
    const int *interrupted = _PyInterp_InterruptFlag(tstate);
    if (interrupted != NULL && _Py_atomic_load_int(interrupted)) {
        PyObject *exc = _PyInterp_TakeInterrupt(tstate);
        if (exc == NULL) {
            return 1;               /* it came before the wait, and was raised */
        }
        PyErr_SetNone(exc);
        Py_DECREF(exc);
        return 0;
    }
    if (!is_closing(tstate)) {
        return 1;                   /* an interruption that was taken before */
    }
    PyErr_SetString(PyExc_InterpreterError, "the interpreter is being closed");
    return 0;
}

static int
after_wait(PyThreadState *tstate, _PyChannel_Status status)
{
    return (status == _PyChannel_SIGNAL
            && after_break(tstate, _PyWaiter_SIGNAL))
           || (status == _PyChannel_BROKEN
               && after_break(tstate, _PyWaiter_BROKEN));
}

_PyChannel_Status
_PyBlocking_Do(_PyChannelOp *op, PyTime_t deadline)
{
    PyThreadState *tstate = _PyThreadState_GET();
    _PyWaiter waiter;
    _PyWaiter_Breakers breakers;
    _PyChannel_Status status;
    do {
        _PyWaiter_Init(&waiter);
        if (_PyChannel_Begin(op, &waiter) || spin_attached(tstate, &waiter)) {
            return op->status;
        }
        get_breakers(tstate, &breakers);
        Py_BEGIN_ALLOW_THREADS
        status = _PyChannel_Wait(op, limited(deadline), &breakers);
        Py_END_ALLOW_THREADS
        if (status == _PyChannel_TIMEOUT && is_refused(deadline)) {
            status = _PyChannel_BROKEN;
        }
    } while (after_wait(tstate, status));
    return status;
}

_PyChannel_Status
_PyBlocking_DoOnce(_PyChannelOp *op, PyTime_t deadline)
{
    PyThreadState *tstate = _PyThreadState_GET();
    for (;;) {
        _PyWaiter waiter;
        _PyWaiter_Init(&waiter);
        if (_PyChannel_Begin(op, &waiter)) {
            return op->status;
        }
        _PyWaiter_Breakers breakers = {0};
        if (tstate == NULL) {
            return _PyChannel_Wait(op, deadline, &breakers);
        }
        _PyChannel_Status status;
        get_breakers(tstate, &breakers);
        Py_BEGIN_ALLOW_THREADS
        status = _PyChannel_Wait(op, limited(deadline), &breakers);
        Py_END_ALLOW_THREADS
        if (status != _PyChannel_BROKEN || is_closing(tstate)
            || _PyInterp_NoticeInterrupt(tstate))
        {
            return status;
        }
    }
}

_PyChannelOp *
_PyBlocking_Select(_PyChannelSelect *select, PyTime_t deadline,
                   _PyChannel_Status *status)
{
    PyThreadState *tstate = _PyThreadState_GET();
    _PyWaiter waiter;
    _PyWaiter_Breakers breakers;
    _PyChannelOp *op;
    do {
        _PyWaiter_Init(&waiter);
        op = _PyChannel_SelectBegin(select, &waiter);
        if (op != NULL) {
            *status = op->status;
            return op;
        }
        get_breakers(tstate, &breakers);
        Py_BEGIN_ALLOW_THREADS
        op = _PyChannel_SelectWait(select, limited(deadline), &breakers, status);
        Py_END_ALLOW_THREADS
        if (op == NULL && *status == _PyChannel_TIMEOUT && is_refused(deadline)) {
            *status = _PyChannel_BROKEN;
        }
    } while (op == NULL && after_wait(tstate, *status));
    return op;
}

int
_PyBlocking_WaitForElement(_PyAtomics_Element element, uint64_t expected,
                           PyTime_t deadline)
{
    PyThreadState *tstate = _PyThreadState_GET();
    for (;;) {
        _PyWaiter waiter;
        _PyWaiter_Init(&waiter);
        _PyAtomics_Waiting waiting = {.waiter = &waiter};
        if (!_PyAtomics_BeginWait(&waiting, element, expected)
            || spin_attached(tstate, &waiter))
        {
            return 1;
        }
        _PyWaiter_Breakers breakers;
        _PyWaiter_Result result;
        get_breakers(tstate, &breakers);
        Py_BEGIN_ALLOW_THREADS
        result = _PyAtomics_Wait(&waiting, limited(deadline), &breakers);
        Py_END_ALLOW_THREADS
        if (result == _PyWaiter_TIMEOUT && is_refused(deadline)) {
            result = _PyWaiter_BROKEN;
        }
        if (result == _PyWaiter_FIRED || result == _PyWaiter_TIMEOUT) {
            return result == _PyWaiter_FIRED;
        }
        if (!after_break(tstate, result)) {
            return -1;
        }
    }
}

_PyWaiter_Result
_PyBlocking_Wait(_PyWaiter *waiter, PyTime_t deadline)
{
    PyThreadState *tstate = _PyThreadState_GET();
    if (spin_attached(tstate, waiter)) {
        return _PyWaiter_FIRED;
    }
    _PyWaiter_Breakers breakers;
    _PyWaiter_Result result;
    get_breakers(tstate, &breakers);
    Py_BEGIN_ALLOW_THREADS
    result = _PyWaiter_Wait(waiter, limited(deadline), &breakers);
    Py_END_ALLOW_THREADS
    return result == _PyWaiter_TIMEOUT && is_refused(deadline) ? _PyWaiter_BROKEN : result;
}

int
_PyBlocking_GoOn(_PyWaiter_Result result)
{
    return after_break(_PyThreadState_GET(), result);
}

void
_PyBlocking_WaitUnbroken(_PyWaiter *waiter)
{
    if (!spin_attached(_PyThreadState_GET(), waiter)) {
        const _PyWaiter_Breakers none = {0};
        Py_BEGIN_ALLOW_THREADS
        (void)_PyWaiter_Wait(waiter, -1, &none);
        Py_END_ALLOW_THREADS
    }
}
