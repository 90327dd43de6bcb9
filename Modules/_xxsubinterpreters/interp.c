/* Interpreters: the list of them, creating and entering them.  See interp.h. */

#include "Python.h"
#include "pycore_crossinterp.h"   // _PyXI_NewInterpreter()
#include "pycore_extensioncopies.h"   // _PyInterpreterConfig_PRIVATE_EXTENSIONS
#include "pycore_ceval.h"         // _Py_set_eval_breaker_bit()
#include "pycore_initconfig.h"    // _PyStatus_OK()
#include "pycore_interp.h"        // _PyInterpreterState_GetWhence()
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "pycore_pystate.h"       // _PyThreadState_NewBound()
#include "pycore_runtime.h"       // HEAD_LOCK()
#include "pycore_tstate.h"        // _PyThreadStateImpl
#include "atomics.h"
#include "channel.h"
#include "interp.h"
#include "interp_private.h"
#include "shared.h"
#include "sync.h"
#include "waiter.h"

#include <pthread.h>              // pthread_atfork()

/* The process-wide list.  The lock covers the list and every field of its
   entries; it is held for a few instructions, with nothing else taken or
   called under it, but for an interruption, which wakes the threads it is for
   under the lock, so that none of them leaves meanwhile, and for a fork.  It
   may be taken under the runtime's HEAD_LOCK.  An entry
   is unlisted, and freed, by the atexit callback of its interpreter, which runs
   when that is torn down by whatever means. */
static struct {
    PyMutex lock;
    _PyInterp_Entry *first;
    int handles_fork;
    void (*when_ended[4])(int64_t); /* atomic; NULL after the last one */
} registry;

/* The visit that the thread is in. */
static _Py_thread_local _PyInterp_Visit *innermost = NULL;

void
_PyInterp_Lock(void)
{
    PyMutex_LockFlags(&registry.lock, _Py_LOCK_DONT_DETACH);
}

void
_PyInterp_Unlock(void)
{
    PyMutex_Unlock(&registry.lock);
}

_PyInterp_Entry *
_PyInterp_Find(int64_t id)
{
    _PyInterp_Entry *e = registry.first;
    while (e != NULL && e->id != id) {
        e = e->next;
    }
    return e;
}

int
_PyInterp_NotFound(int64_t id)
{
    PyErr_Format(PyExc_InterpreterNotFoundError,
                 "unrecognized interpreter ID %lld", (long long)id);
    return -1;
}

int
_PyInterp_Refused(int64_t id, const char *why)
{
    PyErr_Format(PyExc_InterpreterError, "interpreter %lld %s",
                 (long long)id, why);
    return -1;
}

void
_PyInterp_TellEnded(int64_t id)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(registry.when_ended); i++) {
        void (*func)(int64_t) = _Py_atomic_load_ptr(&registry.when_ended[i]);
        if (func != NULL) {
            func(id);
        }
    }
}

static void
forget(void *arg)
{
    _PyInterp_Entry *e = arg;
    _PyInterp_Lock();
    _PyInterp_Entry **link = &registry.first;
    while (*link != e) {
        link = &(*link)->next;
    }
    *link = e->next;
    _PyInterp_Unlock();
    int64_t id = e->id;
    PyMem_RawFree(e);
    _PyInterp_TellEnded(id);
}

void
_PyInterp_WhenEnded(void (*func)(int64_t))
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(registry.when_ended); i++) {
        void *expected = NULL;
        if (_Py_atomic_compare_exchange_ptr(&registry.when_ended[i], &expected,
                                            (void *)func)
            || expected == (void *)func)
        {
            return;
        }
    }
    Py_UNREACHABLE();
}

/* List the current interpreter, unless it is listed, as one that was created here if so:
   its sitecustomize may have imported the module before. */
static int
add_current(int created_here)
{
    PyInterpreterState *interp = PyInterpreterState_Get();
    int64_t id = PyInterpreterState_GetID(interp);
    /* Only the interpreter itself lists itself, under its own GIL, so nobody
       comes between the look and the insertion. */
    _PyInterp_Lock();
    _PyInterp_Entry *known = _PyInterp_Find(id);
    if (known != NULL && created_here) {
        known->created_here = 1;
        known->refs++;
        known->inside++;            /* the thread that is creating it */
    }
    _PyInterp_Unlock();
    if (known != NULL) {
        return 0;
    }
    _PyInterp_Entry *e = PyMem_RawMalloc(sizeof(_PyInterp_Entry));
    if (e == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *e = (_PyInterp_Entry){
        .id = id,
        .interp = interp,
        .created_here = created_here,
        .life = ALIVE,
        .refs = created_here,
        .inside = created_here,     /* the thread that is creating it */
    };
    if (PyUnstable_AtExit(interp, forget, e) < 0) {
        PyMem_RawFree(e);
        return -1;
    }
    _PyInterp_Lock();
    e->next = registry.first;
    registry.first = e;
    _PyInterp_Unlock();
    return 0;
}

/* The child of a fork has the main interpreter only; the others are deleted
   without being ended. */

static void
before_fork(void)
{
    _PyInterp_Lock();
    _PySync_BeforeFork();
    _PyChannel_BeforeFork();
    _PySharedBuffer_BeforeFork();
}

static void
after_fork_parent(void)
{
    _PySharedBuffer_AfterForkParent();
    _PyChannel_AfterForkParent();
    _PySync_AfterForkParent();
    _PyInterp_Unlock();
}

static void
after_fork_child(void)
{
    _PyChannel_AfterForkChild();
    _PySharedBuffer_AfterForkChild();
    _PyAtomics_AfterForkChild();
    _PySync_AfterForkChild();
    _PyInterp_Entry **link = &registry.first;
    while (*link != NULL) {
        _PyInterp_Entry *e = *link;
        if (_Py_IsMainInterpreter(e->interp)) {
            e->visits = NULL;
            link = &e->next;
        }
        else {
            *link = e->next;
            PyMem_RawFree(e);
        }
    }
    _PyMutex_at_fork_reinit(&registry.lock);
}

int
_PyInterp_Register(void)
{
    _PyInterp_Lock();
    if (!registry.handles_fork) {
        registry.handles_fork = pthread_atfork(before_fork,
                                               after_fork_parent,
                                               after_fork_child) == 0;
    }
    int handles_fork = registry.handles_fork;
    _PyInterp_Unlock();
    if (!handles_fork) {
        PyErr_NoMemory();
        return -1;
    }
    return add_current(0);
}


/* --- attaching ------------------------------------------------------------ */

PyThreadState *
_PyInterp_Attach(PyInterpreterState *interp, int whence, PyThreadState **home)
{
    PyThreadState *tstate = _PyThreadState_NewBound(interp, whence);
    if (tstate != NULL) {
        *home = PyThreadState_Swap(tstate);
    }
    return tstate;
}

void
_PyInterp_Detach(PyThreadState *tstate, PyThreadState *home)
{
    PyThreadState_Clear(tstate);
    PyThreadState_Swap(home);
    PyThreadState_Delete(tstate);
}

/* Each visit nests the C stack deeper, but its thread state would begin with
   the full allowance.  What a visit itself takes, in units of the allowance,
   and what must be left for it: close to its end objects are not deallocated
   but deposited, to be freed when there is more of it again. */
#define VISIT_C_RECURSION 50
#define VISIT_C_RECURSION_LEFT (3 * Py_TRASHCAN_HEADROOM)

static void
not_inside(int64_t id)
{
    _PyInterp_Lock();
    _PyInterp_Find(id)->inside--;
    _PyInterp_Unlock();
}

int
_PyInterp_Enter(int64_t id, _PyInterp_Visit *visit)
{
    *visit = (_PyInterp_Visit){.id = id};
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    const char *why = NULL;
    PyInterpreterState *interp = NULL;
    if (e != NULL) {
        if (e->life != ALIVE) {
            why = e->life == ZOMBIE ? "is closed" : "is being closed";
        }
        else if (!e->created_here
                 && !_Py_IsMainInterpreter(e->interp)
                 && e->interp != PyInterpreterState_Get())
        {
            why = "was not created by this module";
        }
        else {
            e->inside++;
            interp = e->interp;
        }
    }
    _PyInterp_Unlock();
    if (interp == NULL) {
        return why != NULL ? _PyInterp_Refused(id, why) : _PyInterp_NotFound(id);
    }

    PyThreadState *home = PyThreadState_Get();
    visit->home = home;
    int remaining = home->c_recursion_remaining - VISIT_C_RECURSION;
    if (remaining <= VISIT_C_RECURSION_LEFT) {
        not_inside(id);
        PyErr_SetString(PyExc_RecursionError,
                        "too many nested calls of interpreters");
        return -1;
    }
    if (interp == home->interp) {
        home->c_recursion_remaining = remaining;
    }
    else {
        visit->tstate = _PyInterp_Attach(interp, _PyThreadState_WHENCE_EXEC,
                               &visit->home);
        if (visit->tstate == NULL) {
            not_inside(id);
            PyErr_NoMemory();
            return -1;
        }
        visit->tstate->c_recursion_remaining = remaining;
        /* Upstream's _interpreters refuses to destroy what runs. */
        if (!_PyInterpreterState_IsRunningMain(interp)) {
            visit->running_main =
                _PyInterpreterState_SetRunningMain(interp) == 0;
            assert(visit->running_main);
        }
    }
    visit->outer = innermost;
    innermost = visit;
    return 0;
}

void
_PyInterp_Leave(_PyInterp_Visit *visit)
{
    assert(!PyErr_Occurred());
    assert(innermost == visit);
    innermost = visit->outer;
    if (visit->tstate != NULL) {
        if (visit->running_main) {
            _PyInterpreterState_SetNotRunningMain(visit->tstate->interp);
        }
        _PyInterp_Detach(visit->tstate, visit->home);
    }
    else {
        visit->home->c_recursion_remaining += VISIT_C_RECURSION;
    }
    not_inside(visit->id);
    _PyInterp_CloseIfUnwanted(visit->id);
}


/* --- interrupting --------------------------------------------------------- */

void
_PyInterp_BeginInterruptible(_PyInterp_Visit *visit)
{
    if (visit->tstate != NULL) {
        _PyInterp_Lock();
        _PyInterp_Entry *e = _PyInterp_Find(visit->id);
        visit->next = e->visits;
        e->visits = visit;
        _PyInterp_Unlock();
    }
}

void
_PyInterp_EndInterruptible(_PyInterp_Visit *visit)
{
    if (visit->tstate == NULL) {
        return;
    }
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(visit->id);
    _PyInterp_Visit **link = e != NULL ? &e->visits : NULL;
    while (link != NULL && *link != NULL && *link != visit) {
        link = &(*link)->next;
    }
    if (link == NULL || *link == NULL) {
        Py_FatalError("a process that was forked inside a call to another "
                      "interpreter cannot return from that");
    }
    *link = visit->next;
    _PyInterp_Unlock();
    /* One that came in the last moment comes to nothing. */
    PyObject *exc = _Py_atomic_exchange_ptr(&visit->tstate->async_exc, NULL);
    Py_XDECREF(exc);
}

Py_ssize_t
_PyInterp_Interrupt(int64_t id, PyObject *exc)
{
    /* Static types are immortal: one object in all interpreters. */
    assert(PyExceptionClass_Check(exc) && _Py_IsImmortal(exc));
    Py_ssize_t n = 0;
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    for (_PyInterp_Visit *v = e != NULL ? e->visits : NULL;
         v != NULL; v = v->next)
    {
        /* One that is pending already will do. */
        PyObject *expected = NULL;
        (void)_Py_atomic_compare_exchange_ptr(&v->tstate->async_exc, &expected,
                                              exc);
        _Py_atomic_store_int(&v->interrupted, 1);
        _Py_set_eval_breaker_bit(v->tstate, _PY_ASYNC_EXCEPTION_BIT);
        _PyWaiter_Break(&v->interrupted);
        n++;
    }
    _PyInterp_Unlock();
    return n;
}

const int *
_PyInterp_ClosingFlag(PyThreadState *tstate)
{
    /* Ids are not reused, and the entry lives as long as its interpreter. */
    static _Py_thread_local _PyInterp_Entry *known = NULL;
    static _Py_thread_local int64_t known_id = -1;
    int64_t id = PyInterpreterState_GetID(tstate->interp);
    if (known_id != id) {
        _PyInterp_Lock();
        known = _PyInterp_Find(id);
        _PyInterp_Unlock();
        known_id = id;
    }
    /* The thread that ends the interpreter may wait as it likes. */
    return known == NULL || tstate->_whence == _PyThreadState_WHENCE_FINI
           ? NULL : &known->stopping;
}

/* The visit that the thread state was made for; NULL if for none.  Visits at
   home have none of their own. */
static _PyInterp_Visit *
visit_of(PyThreadState *tstate)
{
    _PyInterp_Visit *v = innermost;
    while (v != NULL && v->tstate == NULL) {
        v = v->outer;
    }
    return v != NULL && v->tstate == tstate ? v : NULL;
}

const int *
_PyInterp_InterruptFlag(PyThreadState *tstate)
{
    _PyInterp_Visit *v = visit_of(tstate);
    return v != NULL ? &v->interrupted : NULL;
}

int
_PyInterp_NoticeInterrupt(PyThreadState *tstate)
{
    /* In this order: an interruption that comes in between sets the flag. */
    _Py_atomic_store_int(&visit_of(tstate)->interrupted, 0);
    return _Py_atomic_load_ptr(&tstate->async_exc) != NULL;
}

PyObject *
_PyInterp_TakeInterrupt(PyThreadState *tstate)
{
    (void)_PyInterp_NoticeInterrupt(tstate);
    return _Py_atomic_exchange_ptr(&tstate->async_exc, NULL);
}


/* --- creating ------------------------------------------------------------- */

/* With the GIL of the main interpreter. */
static PyInterpreterConfig
with_main_gil(bool private_extensions)
{
    PyInterpreterConfig config = _PyInterpreterConfig_LEGACY_INIT;
    config.allow_fork = 0;              /* the child would be aborted */
    config.check_multi_interp_extensions = !private_extensions;
    return config;
}

/* With a GIL of its own, or that of others. */
static PyInterpreterConfig
with_other_gil(bool private_extensions)
{
    PyInterpreterConfig config = _PyInterpreterConfig_INIT;
    if (private_extensions) {
        config.check_multi_interp_extensions = _PyInterpreterConfig_PRIVATE_EXTENSIONS;
        config.allow_daemon_threads = 1;    /* some of these need them */
    }
    return config;
}

/* Set *leader to the one whose GIL the interpreter of that id uses, with a hold on it, or to
   NULL if that is the main interpreter.  Return -1 with an exception if there is no such
   interpreter, or it is being closed. */
static int
hold_gil(int64_t id, PyInterpreterState **leader)
{
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    int alive = e != NULL && e->life == ALIVE;
    if (alive) {
        *leader = _PyInterpreterState_HoldGIL(e->interp);
    }
    _PyInterp_Unlock();
    return alive ? 0
           : e == NULL ? _PyInterp_NotFound(id) : _PyInterp_Refused(id, "is closed");
}

int64_t
_PyInterp_Create(int64_t gil, bool private_extensions)
{
    PyInterpreterState *leader = NULL;
    if (gil >= 0 && hold_gil(gil, &leader) < 0) {
        return -1;
    }
    _PyInterpreterConfig_Grouped grouped = {
        .config = gil >= 0 && leader == NULL ? with_main_gil(private_extensions)
                                             : with_other_gil(private_extensions),
        .leader = leader,
    };
    if (leader != NULL) {
        grouped.config.gil = _PyInterpreterConfig_GROUP_GIL;
    }
    long whence = _PyInterpreterState_WHENCE_STDLIB;
    PyThreadState *tstate, *home;
    PyInterpreterState *interp = _PyXI_NewInterpreter(&grouped.config, &whence,
                                                      &tstate, &home);
    if (leader != NULL) {
        _PyInterpreterState_ReleaseGIL(leader);
    }
    if (interp == NULL) {
        return -1;
    }
    int64_t id = PyInterpreterState_GetID(interp);
    if (add_current(1) < 0) {
        PyErr_Clear();
        Py_EndInterpreter(tstate);
        PyThreadState_Swap(home);
        PyErr_NoMemory();
        return -1;
    }
    _PyInterp_Detach(tstate, home);
    not_inside(id);
    return id;
}


/* --- looking -------------------------------------------------------------- */

int
_PyInterp_Exists(int64_t id)
{
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    int exists = e != NULL && e->life == ALIVE;
    _PyInterp_Unlock();
    return exists;
}

int
_PyInterp_IsRunning(int64_t id)
{
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    int running = e != NULL
                  && (e->inside > 0 || _Py_IsMainInterpreter(e->interp)
                      || _PyInterpreterState_IsRunningMain(e->interp));
    _PyInterp_Unlock();
    if (e == NULL) {
        /* Not ours, and it never imported the module. */
        PyInterpreterState *interp = _PyInterpreterState_LookUpID(id);
        if (interp == NULL) {
            return -1;
        }
        running = _PyInterpreterState_IsRunningMain(interp);
    }
    return running;
}

/* The interpreter of that id if it has a GIL already, or NULL.  HEAD_LOCK must be held. */
static PyInterpreterState *
find_with_gil(int64_t id)
{
    PyInterpreterState *interp = PyInterpreterState_Head();
    while (interp != NULL && interp->id != id) {
        interp = PyInterpreterState_Next(interp);
    }
    return interp != NULL && interp->ceval.gil != NULL ? interp : NULL;
}

int
_PyInterp_GetGILStats(int64_t id, struct _gil_stats *stats)
{
    HEAD_LOCK(&_PyRuntime);
    PyInterpreterState *interp = find_with_gil(id);
    if (interp != NULL) {
        _PyEval_GetGILStats(interp, stats);
    }
    HEAD_UNLOCK(&_PyRuntime);
    return interp != NULL ? 0 : _PyInterp_NotFound(id);
}

int64_t
_PyInterp_OldestOfGIL(int64_t id)
{
    int64_t oldest = -1;
    HEAD_LOCK(&_PyRuntime);
    PyInterpreterState *interp = find_with_gil(id);
    struct _gil_runtime_state *gil = interp != NULL ? interp->ceval.gil : NULL;
    /* The newest is the first of the list. */
    for (; gil != NULL && interp != NULL; interp = PyInterpreterState_Next(interp)) {
        if (interp->ceval.gil == gil) {
            oldest = interp->id;
        }
    }
    HEAD_UNLOCK(&_PyRuntime);
    if (oldest < 0) {
        (void)_PyInterp_NotFound(id);
    }
    return oldest;
}

struct listed {
    int64_t id;
    long whence;
    int owned;
};

/* Describe up to `size` ready interpreters, newest first.  Return how many
   there are. */
static Py_ssize_t
snapshot(struct listed *all, Py_ssize_t size)
{
    Py_ssize_t n = 0;
    HEAD_LOCK(&_PyRuntime);
    for (PyInterpreterState *interp = PyInterpreterState_Head();
         interp != NULL; interp = PyInterpreterState_Next(interp))
    {
        int64_t id = PyInterpreterState_GetID(interp);
        _PyInterp_Lock();
        _PyInterp_Entry *e = _PyInterp_Find(id);
        int known = e != NULL;
        int owned = known && e->created_here;
        _PyInterp_Unlock();
        /* Looked at in this order, one that was just forgotten, being torn
           down, is not taken for one that was never known. */
        if (!_PyInterpreterState_IsReady(interp)
            || (!known && _PyInterpreterState_GetFinalizing(interp) != NULL))
        {
            continue;
        }
        if (n < size) {
            all[n] = (struct listed){
                id, _PyInterpreterState_GetWhence(interp), owned};
        }
        n++;
    }
    HEAD_UNLOCK(&_PyRuntime);
    return n;
}

static PyObject *
list_from_snapshot(const struct listed *all, Py_ssize_t n)
{
    PyObject *result = PyList_New(n);
    for (Py_ssize_t i = 0; result != NULL && i < n; i++) {
        PyObject *item = Py_BuildValue("LlO", (long long)all[i].id,
                                       all[i].whence,
                                       all[i].owned ? Py_True : Py_False);
        if (item == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyList_SET_ITEM(result, n - 1 - i, item);
    }
    return result;
}

PyObject *
_PyInterp_List(void)
{
    PyObject *result = NULL;
    Py_ssize_t n = snapshot(NULL, 0);
    Py_ssize_t size;
    do {
        size = n + 8;               /* room for some created meanwhile */
        struct listed *all = PyMem_New(struct listed, size);
        if (all == NULL) {
            return PyErr_NoMemory();
        }
        n = snapshot(all, size);
        if (n <= size) {
            result = list_from_snapshot(all, n);
        }
        PyMem_Free(all);
    } while (n > size);
    return result;
}
