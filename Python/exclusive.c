/* Sections in which no other thread has a GIL, see pycore_exclusive.h. */

#include "Python.h"
#include "pycore_ceval.h"         // _PY_EVAL_PLEASE_STOP_BIT
#include "pycore_exclusive.h"
#include "pycore_gil.h"           // struct _gil_runtime_state
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_parking_lot.h"   // _PyParkingLot_Park()
#include "pycore_pystate.h"       // HEAD_LOCK()
#include "pycore_time.h"          // _PyDeadline_Init()
#include "condvar.h"              // PyMUTEX_LOCK()

#define ASK_AGAIN 5000000           /* ns */
#define LONGEST_REST 100000000      /* ns */

struct _exclusive_state _PyExclusive;


/* --- numbers that are waited for ---------------------------------------------- */

static void
count_down(int *number)
{
    if (_Py_atomic_add_int(number, -1) == 1) {
        _PyParkingLot_UnparkAll(number);
    }
}

/* Wait until it is zero, for at most `timeout` ns.  Returns what it is. */
static int
wait_for_zero(int *number, PyTime_t timeout)
{
    int n = _Py_atomic_load_int(number);
    if (n != 0) {
        (void)_PyParkingLot_Park(number, &n, sizeof(n), timeout, NULL, 0);
        n = _Py_atomic_load_int(number);
    }
    return n;
}


/* --- GILs --------------------------------------------------------------------- */

static void
lock_gil(struct _gil_runtime_state *gil)
{
    if (PyMUTEX_LOCK(&gil->mutex)) {
        Py_FatalError("PyMUTEX_LOCK(gil->mutex) failed");
    }
}

static void
unlock_gil(struct _gil_runtime_state *gil)
{
    if (PyMUTEX_UNLOCK(&gil->mutex)) {
        Py_FatalError("PyMUTEX_UNLOCK(gil->mutex) failed");
    }
}

/* Call visit() for the GIL of every interpreter, with its mutex: several times for one that
   several interpreters use, not for one that does not exist yet.  An interpreter that is
   in the list keeps the GIL that it uses.  Needs no GIL. */
static void
visit_gils(void (*visit)(PyInterpreterState *, struct _gil_runtime_state *, void *), void *data)
{
    HEAD_LOCK(&_PyRuntime);
    for (PyInterpreterState *interp = PyInterpreterState_Head(); interp != NULL;
         interp = PyInterpreterState_Next(interp))
    {
        struct _gil_runtime_state *gil = interp->ceval.gil;
        if (gil != NULL && _Py_atomic_load_int_acquire(&gil->locked) >= 0) {
            lock_gil(gil);
            visit(interp, gil, data);
            unlock_gil(gil);
        }
    }
    HEAD_UNLOCK(&_PyRuntime);
}

static void
ask(struct _gil_runtime_state *gil)
{
    _Py_set_eval_breaker_bit(_Py_atomic_load_ptr_relaxed(&gil->last_holder),
                             _PY_EVAL_PLEASE_STOP_BIT);
}

static void
await_release(PyInterpreterState *Py_UNUSED(interp), struct _gil_runtime_state *gil, void *own)
{
    if (gil != own && _Py_atomic_load_int_relaxed(&gil->locked) && !gil->awaited) {
        gil->awaited = 1;
        _PyExclusive.disturbed = true;
        (void)_Py_atomic_add_int(&_PyExclusive.running, 1);
        ask(gil);
    }
}

/* What was asked for before may have been forgotten by the end of an interpreter. */
static void
ask_again(PyInterpreterState *Py_UNUSED(interp), struct _gil_runtime_state *gil,
          void *Py_UNUSED(data))
{
    if (gil->awaited) {
        ask(gil);
    }
}

struct laggards {
    int64_t first;
    int n;
};

static void
give_up_waiting(PyInterpreterState *interp, struct _gil_runtime_state *gil, void *data)
{
    struct laggards *laggards = data;
    if (gil->awaited) {
        gil->awaited = 0;
        (void)_Py_atomic_add_int(&_PyExclusive.running, -1);
        if (laggards->n++ == 0) {
            laggards->first = PyInterpreterState_GetID(interp);
        }
    }
}

void
_PyExclusive_Released(void)
{
    count_down(&_PyExclusive.running);
}

void
_PyExclusive_WaitOutside(bool again)
{
    if (!again) {
        (void)_Py_atomic_add_int(&_PyExclusive.held_off, 1);
    }
    uint64_t owner;
    while ((owner = _Py_atomic_load_uint64_acquire(&_PyExclusive.owner)) != 0) {
        (void)_PyParkingLot_Park(&_PyExclusive.owner, &owner, sizeof(owner), -1, NULL, 0);
    }
}

void
_PyExclusive_GoesOn(void)
{
    count_down(&_PyExclusive.held_off);
}


/* --- sections ----------------------------------------------------------------- */

static PyTime_t
now(void)
{
    PyTime_t t;
    (void)PyTime_MonotonicRaw(&t);
    return t;
}

/* May be called by a thread that is not attached, and has no thread state any more. */
static void
let_go_on(void)
{
    if (_PyExclusive.disturbed || _Py_atomic_load_int_relaxed(&_PyExclusive.held_off) > 0) {
        PyTime_t ended = now();
        _PyExclusive.rest_until = ended + Py_MIN(ended - _PyExclusive.began, LONGEST_REST);
    }
    _PyExclusive.depth = 0;
    _Py_atomic_store_ptr_relaxed(&_PyExclusive.began_in, NULL);
    _Py_atomic_store_uint64_release(&_PyExclusive.owner, 0);
    _PyParkingLot_UnparkAll(&_PyExclusive.owner);
    PyMutex_Unlock(&_PyExclusive.turn);
}

/* What is left of the timeout, at most `most` if that is not negative. */
static PyTime_t
left_of(PyTime_t timeout, PyTime_t deadline, PyTime_t most)
{
    PyTime_t left = timeout < 0 ? -1 : Py_MAX(_PyDeadline_Get(deadline), 0);
    return most >= 0 && (left < 0 || left > most) ? most : left;
}

static int
raise_timeout(const struct laggards *laggards)
{
    if (laggards->n == 0) {
        PyErr_SetString(PyExc_TimeoutError, "other threads ran alone, or were to run in between");
    }
    else if (laggards->n == 1) {
        PyErr_Format(PyExc_TimeoutError,
                     "code in interpreter %lld kept its GIL and ran no Python bytecode",
                     (long long)laggards->first);
    }
    else {
        PyErr_Format(PyExc_TimeoutError, "code in interpreter %lld, and in %d others, "
                     "kept its GIL and ran no Python bytecode",
                     (long long)laggards->first, laggards->n - 1);
    }
    return -1;
}

/* Let others run.  Returns 0, or 1 if there is no time for it. */
static int
rest(PyTime_t timeout, PyTime_t deadline)
{
    PyTime_t until = _PyExclusive.rest_until;
    for (PyTime_t t = now(); t < until; t = now()) {
        if (timeout >= 0 && _PyDeadline_Get(deadline) <= 0) {
            return 1;
        }
        (void)_PyParkingLot_Park(&_PyExclusive.rest_until, &until, sizeof(until),
                                 left_of(timeout, deadline, until - t), NULL, 1);
    }
    return 0;
}

/* Wait until no other thread has a GIL.  Returns 0; -1 with an exception if a signal handler
   raised one; 1 if there is no time left. */
static int
wait_for_gils(PyTime_t timeout, PyTime_t deadline)
{
    while (wait_for_zero(&_PyExclusive.running, left_of(timeout, deadline, ASK_AGAIN))) {
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
        if (timeout >= 0 && _PyDeadline_Get(deadline) <= 0) {
            return 1;
        }
        visit_gils(ask_again, NULL);
    }
    return 0;
}

int
_PyExclusive_Begin(PyThreadState *tstate, PyTime_t timeout)
{
    if (_PyExclusive_IsMine()) {
        _PyExclusive.depth++;
        return 0;
    }
    if (_PyRuntimeState_GetFinalizing(&_PyRuntime) != NULL) {
        PyErr_SetString(PyExc_PythonFinalizationError,
                        "cannot run alone at interpreter shutdown");
        return -1;
    }

    PyTime_t deadline = timeout < 0 ? 0 : _PyDeadline_Init(timeout);
    PyLockStatus status = _PyMutex_LockTimed(&_PyExclusive.turn, timeout,
                                             _PY_LOCK_DETACH | _PY_LOCK_HANDLE_SIGNALS);
    if (status == PY_LOCK_INTR) {
        return -1;
    }
    struct laggards laggards = {0};
    if (status == PY_LOCK_FAILURE) {
        return raise_timeout(&laggards);
    }

    if (rest(timeout, deadline)) {
        PyMutex_Unlock(&_PyExclusive.turn);
        return raise_timeout(&laggards);
    }
    while (wait_for_zero(&_PyExclusive.held_off, left_of(timeout, deadline, -1))) {
        int signalled = PyErr_CheckSignals() < 0;
        if (signalled || (timeout >= 0 && _PyDeadline_Get(deadline) <= 0)) {
            PyMutex_Unlock(&_PyExclusive.turn);
            return signalled ? -1 : raise_timeout(&laggards);
        }
    }

    _PyExclusive.depth = 1;
    _PyExclusive.disturbed = false;
    _PyExclusive.began = now();
    _Py_atomic_store_ptr_relaxed(&_PyExclusive.began_in, tstate);
    _Py_atomic_store_uint64(&_PyExclusive.owner, PyThread_get_thread_ident_ex());
    _Py_atomic_store_int(&_PyExclusive.running, 1);     // until all were asked
    visit_gils(await_release, tstate->interp->ceval.gil);
    (void)_Py_atomic_add_int(&_PyExclusive.running, -1);

    int result = wait_for_gils(timeout, deadline);
    if (result == 0) {
        return 0;
    }
    visit_gils(give_up_waiting, &laggards);
    assert(_Py_atomic_load_int(&_PyExclusive.running) == 0);
    if (result > 0 && laggards.n == 0) {
        return 0;                   // the last one just let go
    }
    let_go_on();
    return result < 0 ? -1 : raise_timeout(&laggards);
}

int
_PyExclusive_End(void)
{
    if (!_PyExclusive_IsMine()) {
        return -1;
    }
    if (--_PyExclusive.depth == 0) {
        let_go_on();
    }
    return 0;
}

void
_PyExclusive_Forget(PyThreadState *tstate)
{
    if (_Py_atomic_load_ptr_relaxed(&_PyExclusive.began_in) == tstate) {
        let_go_on();
    }
}

bool
_PyExclusive_RefusesToWait(void)
{
    if (!_PyExclusive_IsMine()) {
        return false;
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "this would wait for a thread that exclusive() holds off");
    return true;
}

void
_PyExclusive_AfterFork(void)
{
    bool mine = _PyExclusive_IsMine();
    _PyMutex_at_fork_reinit(&_PyExclusive.turn);
    _PyExclusive.running = 0;
    _PyExclusive.held_off = 0;
    _PyExclusive.rest_until = 0;
    if (mine) {
        PyMutex_LockFlags(&_PyExclusive.turn, _Py_LOCK_DONT_DETACH);
    }
    else {
        _PyExclusive.owner = 0;
        _PyExclusive.began_in = NULL;
        _PyExclusive.depth = 0;
    }
}
