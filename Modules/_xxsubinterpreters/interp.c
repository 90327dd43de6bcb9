/* Interpreters: creating, entering, pinning and ending them.  See interp.h. */

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
#include "pycore_visitors.h"      // _PyVisitors_ShutOut()
#include "atomics.h"
#include "channel.h"
#include "interp.h"
#include "shared.h"
#include "sync.h"
#include "waiter.h"

#include <pthread.h>              // pthread_atfork()

/* What becomes of an interpreter:

       ALIVE <--threads left-- CLOSING --no pins--> (ended, forgotten)
             ------close-----> |     ^
                             pins    last pin dropped
                               v     |
                               ZOMBIE

   Only an ALIVE interpreter can be entered or pinned.  The thread that moves
   it to CLOSING is the only one to end it.  A ZOMBIE has no thread. */
enum life { ALIVE, CLOSING, ZOMBIE };

struct entry {
    struct entry *next;
    int64_t id;
    PyInterpreterState *interp;     /* valid as long as the entry is listed */
    int created_here;               /* else it is never ended by us */
    enum life life;
    Py_ssize_t refs;                /* names held: Interpreter objects and
                                       messages that carry one */
    Py_ssize_t inside;              /* visits in progress */
    int stopping;                   /* atomic: its threads are not to wait */
    Py_ssize_t pins;                /* exports of its memory */
    _PyInterp_Pinned *pinned;       /* those that others use */
    _PyInterp_Pinned *unpinned;     /* those to be released */
    int detaching;                  /* leave them alone for now */
    Py_ssize_t releasing;           /* threads that come to release them */
    _PyWaiter *closer;              /* waits until there are none */
    _PyInterp_Visit *visits;        /* those that can be interrupted */
};

/* The process-wide list.  The lock covers the list and every field of its
   entries; it is held for a few instructions, with nothing else taken or
   called under it, but for an interruption, which wakes the threads it is for
   under the lock, so that none of them leaves meanwhile, and for a fork.  It
   may be taken under the runtime's HEAD_LOCK.  An entry
   is unlisted, and freed, by the atexit callback of its interpreter, which runs
   when that is torn down by whatever means. */
static struct {
    PyMutex lock;
    struct entry *first;
    int handles_fork;
    void (*when_ended[4])(int64_t); /* atomic; NULL after the last one */
    _PyInterp_DetachFunc detach;    /* atomic */
} registry;

/* Where the thread has come to release memory. */
static _Py_thread_local struct entry *releasing_in = NULL;

/* The visit that the thread is in. */
static _Py_thread_local _PyInterp_Visit *innermost = NULL;

static void
lock(void)
{
    PyMutex_LockFlags(&registry.lock, _Py_LOCK_DONT_DETACH);
}

static void
unlock(void)
{
    PyMutex_Unlock(&registry.lock);
}

/* The lock is held.  NULL if there is none. */
static struct entry *
find(int64_t id)
{
    struct entry *e = registry.first;
    while (e != NULL && e->id != id) {
        e = e->next;
    }
    return e;
}

static int
not_found(int64_t id)
{
    PyErr_Format(PyExc_InterpreterNotFoundError,
                 "unrecognized interpreter ID %lld", (long long)id);
    return -1;
}

static int
refused(int64_t id, const char *why)
{
    PyErr_Format(PyExc_InterpreterError, "interpreter %lld %s",
                 (long long)id, why);
    return -1;
}

static void
tell_ended(int64_t id)
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
    struct entry *e = arg;
    lock();
    struct entry **link = &registry.first;
    while (*link != e) {
        link = &(*link)->next;
    }
    *link = e->next;
    unlock();
    int64_t id = e->id;
    PyMem_RawFree(e);
    tell_ended(id);
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

/* List the current interpreter, unless it is listed. */
static int
add_current(int created_here)
{
    PyInterpreterState *interp = PyInterpreterState_Get();
    int64_t id = PyInterpreterState_GetID(interp);
    /* Only the interpreter itself lists itself, under its own GIL, so nobody
       comes between the look and the insertion. */
    lock();
    int known = find(id) != NULL;
    unlock();
    if (known) {
        return 0;
    }
    struct entry *e = PyMem_RawMalloc(sizeof(struct entry));
    if (e == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *e = (struct entry){
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
    lock();
    e->next = registry.first;
    registry.first = e;
    unlock();
    return 0;
}

/* The child of a fork has the main interpreter only; the others are deleted
   without being ended. */

static void
before_fork(void)
{
    lock();
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
    unlock();
}

static void
after_fork_child(void)
{
    _PyChannel_AfterForkChild();
    _PySharedBuffer_AfterForkChild();
    _PyAtomics_AfterForkChild();
    _PySync_AfterForkChild();
    struct entry **link = &registry.first;
    while (*link != NULL) {
        struct entry *e = *link;
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
    lock();
    if (!registry.handles_fork) {
        registry.handles_fork = pthread_atfork(before_fork,
                                               after_fork_parent,
                                               after_fork_child) == 0;
    }
    int handles_fork = registry.handles_fork;
    unlock();
    if (!handles_fork) {
        PyErr_NoMemory();
        return -1;
    }
    return add_current(0);
}


/* --- attaching ------------------------------------------------------------ */

/* Attach to an interpreter that cannot end meanwhile.  NULL when out of
   memory, with nothing changed. */
static PyThreadState *
attach(PyInterpreterState *interp, int whence, PyThreadState **home)
{
    PyThreadState *tstate = _PyThreadState_NewBound(interp, whence);
    if (tstate != NULL) {
        *home = PyThreadState_Swap(tstate);
    }
    return tstate;
}

static void
detach(PyThreadState *tstate, PyThreadState *home)
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
    lock();
    find(id)->inside--;
    unlock();
}

int
_PyInterp_Enter(int64_t id, _PyInterp_Visit *visit)
{
    *visit = (_PyInterp_Visit){.id = id};
    lock();
    struct entry *e = find(id);
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
    unlock();
    if (interp == NULL) {
        return why != NULL ? refused(id, why) : not_found(id);
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
        visit->tstate = attach(interp, _PyThreadState_WHENCE_EXEC,
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

static void close_if_unwanted(int64_t id);

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
        detach(visit->tstate, visit->home);
    }
    else {
        visit->home->c_recursion_remaining += VISIT_C_RECURSION;
    }
    not_inside(visit->id);
    close_if_unwanted(visit->id);
}


/* --- interrupting --------------------------------------------------------- */

void
_PyInterp_BeginInterruptible(_PyInterp_Visit *visit)
{
    if (visit->tstate != NULL) {
        lock();
        struct entry *e = find(visit->id);
        visit->next = e->visits;
        e->visits = visit;
        unlock();
    }
}

void
_PyInterp_EndInterruptible(_PyInterp_Visit *visit)
{
    if (visit->tstate == NULL) {
        return;
    }
    lock();
    struct entry *e = find(visit->id);
    _PyInterp_Visit **link = e != NULL ? &e->visits : NULL;
    while (link != NULL && *link != NULL && *link != visit) {
        link = &(*link)->next;
    }
    if (link == NULL || *link == NULL) {
        Py_FatalError("a process that was forked inside a call to another "
                      "interpreter cannot return from that");
    }
    *link = visit->next;
    unlock();
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
    lock();
    struct entry *e = find(id);
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
    unlock();
    return n;
}

const int *
_PyInterp_ClosingFlag(PyThreadState *tstate)
{
    /* Ids are not reused, and the entry lives as long as its interpreter. */
    static _Py_thread_local struct entry *known = NULL;
    static _Py_thread_local int64_t known_id = -1;
    int64_t id = PyInterpreterState_GetID(tstate->interp);
    if (known_id != id) {
        lock();
        known = find(id);
        unlock();
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

int64_t
_PyInterp_Create(bool private_extensions)
{
    PyInterpreterConfig config = _PyInterpreterConfig_INIT;
    if (private_extensions) {
        config.check_multi_interp_extensions = _PyInterpreterConfig_PRIVATE_EXTENSIONS;
    }
    long whence = _PyInterpreterState_WHENCE_STDLIB;
    PyThreadState *tstate, *home;
    PyInterpreterState *interp = _PyXI_NewInterpreter(&config, &whence,
                                                      &tstate, &home);
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
    detach(tstate, home);
    not_inside(id);
    return id;
}


/* --- ending --------------------------------------------------------------- */

/* Move to CLOSING, and return NULL, or return why that is not possible.  The
   lock is held. */
static const char *
begin_close(struct entry *e)
{
    PyThreadState *current = _PyThreadState_GET();
    if (!e->created_here) {
        return "was not created by this module";
    }
    if (e->life == CLOSING) {
        return "is being closed";
    }
    if (current != NULL && e->interp == current->interp) {
        return "cannot close itself";
    }
    if (e->inside > 0) {
        return "is running";
    }
    e->life = CLOSING;
    return NULL;
}

/* Whose thread states count, besides that of who ends the interpreter: all, those of the
   calling thread, those of threads that are no visitors. */
enum others { ANY, MINE, NO_VISITORS };

/* True if no such thread state of the interpreter is left but `tstate`. */
static int
alone(PyThreadState *tstate, enum others others)
{
    int result = 1;
    HEAD_LOCK(&_PyRuntime);
    for (PyThreadState *t = tstate->interp->threads.head; t != NULL; t = t->next) {
        if (t != tstate
            && (others != MINE || t->thread_id == tstate->thread_id)
            && (others != NO_VISITORS || !((_PyThreadStateImpl *)t)->visit.active))
        {
            result = 0;
        }
    }
    HEAD_UNLOCK(&_PyRuntime);
    return result;
}

/* Wait for the threads that the threading module of this interpreter started,
   as Py_EndInterpreter() would, which aborts if others are left. */
static void
join_threads(void)
{
    PyObject *name = PyUnicode_FromString("threading");
    PyObject *threading = name != NULL ? PyImport_GetModule(name) : NULL;
    Py_XDECREF(name);
    if (threading != NULL) {
        PyObject *result = PyObject_CallMethod(threading, "_shutdown", NULL);
        Py_XDECREF(result);
        Py_DECREF(threading);
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(NULL);
    }
}

/* Let go of what nobody can use in a zombie. */
static void
clear_main(PyInterpreterState *interp)
{
    PyObject *module = PyUnstable_InterpreterState_GetMainModule(interp);
    if (module != NULL) {
        if (PyModule_Check(module)) {
            PyDict_Clear(PyModule_GetDict(module));
        }
        Py_DECREF(module);
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(NULL);
    }
    PyGC_Collect();
}

static int
has_pins(struct entry *e)
{
    lock();
    int result = e->pins > 0;
    unlock();
    return result;
}

static void release_unpinned(int64_t id);
static void detach_pinned(struct entry *e);

/* Become a zombie if something is pinned.  Return true if so.  The calling
   thread is attached to the interpreter. */
static int
turn_zombie(struct entry *e)
{
    for (;;) {
        release_unpinned(e->id);
        lock();
        int more = e->unpinned != NULL;
        int pinned = e->pins > 0;
        if (!more && pinned) {
            e->life = ZOMBIE;
        }
        unlock();
        if (!more) {
            return pinned;
        }
    }
}

static void end_unpinned(int64_t id);
static void release_there(struct entry *e);

/* Give up closing: return to a former life.  Memory that was to be released
   meanwhile was left to us. */
static void
give_up_closing(struct entry *e, enum life before)
{
    _PyVisitors_LetIn(e->interp);
    lock();
    e->life = before;
    int more = e->unpinned != NULL;
    e->releasing += more;
    unlock();
    if (more) {
        release_there(e);
    }
}

/* What became of an attempt to end an interpreter. */
enum ending { ENDED, STAYS_ZOMBIE, HAS_THREADS, BROKEN_OFF, OUT_OF_MEMORY };

/* What may be waited for, and if a signal breaks that. */
enum waiting { NO_WAIT, WAIT, WAIT_FOR_SIGNALS };

/* Wait for threads that release memory of an interpreter that is CLOSING.  No
   others come now. */
static void
wait_for_releasing(struct entry *e)
{
    _PyWaiter waiter;
    _PyWaiter_Init(&waiter);
    lock();
    /* The calling thread would wait for itself. */
    int wait = e->releasing > 0 && releasing_in != e;
    if (wait) {
        e->closer = &waiter;
    }
    unlock();
    if (wait) {
        const _PyWaiter_Breakers none = {0};
        PyThreadState *save = _PyThreadState_GET() != NULL
                              ? PyEval_SaveThread() : NULL;
        (void)_PyWaiter_Wait(&waiter, -1, &none);
        if (save != NULL) {
            PyEval_RestoreThread(save);
        }
    }
}

/* Break the waits of threads in the interpreter, until stopping is 0 again. */
static void
stop_waits(struct entry *e)
{
    _Py_atomic_store_int(&e->stopping, 1);
    _PyWaiter_Break(&e->stopping);
}

/* The last visitor has left: end the wait for that. */
static void
fire_waiter(void *argument)
{
    _PyWaiter *waiter = argument, *woken = NULL;
    if (_PyWaiter_Claim(waiter)) {
        _PyWaiter_Fire(waiter, &woken);
        _PyWaiter_Wake(woken);
    }
}

/* Wait for the visitors of an interpreter, of which no more are let in.  Return -1 if a
   signal broke that whose handler raised an exception; this is set in `home`, to which the
   thread returns.  It is attached to `tstate`. */
static int
wait_for_visitors(PyThreadState *tstate, PyThreadState *home, enum waiting wait)
{
    PyInterpreterState *interp = tstate->interp;
    const _PyWaiter_Breakers breakers = {
        .tripped = wait == WAIT_FOR_SIGNALS ? &_PyRuntime.signals.is_tripped : NULL,
    };
    for (;;) {
        _PyWaiter waiter;
        _PyWaiter_Init(&waiter);
        if (!_PyVisitors_WhenLeft(interp, fire_waiter, &waiter)) {
            return 0;
        }
        PyEval_SaveThread();
        _PyWaiter_Result result = _PyWaiter_Wait(&waiter, -1, &breakers);
        (void)_PyVisitors_WhenLeft(interp, NULL, NULL);
        if (result == _PyWaiter_FIRED) {
            PyEval_RestoreThread(tstate);
            return 0;
        }
        PyEval_RestoreThread(home);
        int r = PyErr_CheckSignals();
        PyThreadState_Swap(tstate);
        if (r < 0) {
            return -1;
        }
    }
}

/* End an interpreter that is CLOSING, and was in life `before`, to which it
   returns when it cannot end.  If it has threads of its own, wait for them unless
   `wait` is NO_WAIT, and give up then. */
static enum ending
end(struct entry *e, enum life before, enum waiting wait)
{
    PyInterpreterState *interp = e->interp;
    int64_t id = e->id;
    PyThreadState *home;
    wait_for_releasing(e);
    PyThreadState *tstate = attach(interp, _PyThreadState_WHENCE_FINI, &home);
    if (tstate == NULL) {
        give_up_closing(e, before);
        return OUT_OF_MEMORY;
    }
    enum ending result = ENDED;
    /* The calling thread would wait for itself. */
    int may_wait = wait != NO_WAIT && alone(tstate, MINE);
    if (may_wait && !alone(tstate, NO_VISITORS)) {
        /* No new threads from now on, and none that waits. */
        _Py_atomic_store_int(&interp->finalizing, 1);
        stop_waits(e);
        join_threads();             /* which may wait for native ones */
        _Py_atomic_store_int(&e->stopping, 0);
    }
    /* A visitor may have no thread state yet. */
    int visited = _PyVisitors_ShutOut(interp) > 0;
    if (visited && may_wait) {
        _Py_atomic_store_int(&interp->finalizing, 1);
        stop_waits(e);
        visited = wait_for_visitors(tstate, home, wait) < 0;
        _Py_atomic_store_int(&e->stopping, 0);
        result = visited ? BROKEN_OFF : ENDED;
    }
    if (result == ENDED && (visited || !alone(tstate, ANY))) {
        result = HAS_THREADS;
    }
    _Py_atomic_store_int(&interp->finalizing, result == ENDED);
    release_unpinned(e->id);
    if (result == ENDED && has_pins(e)) {
        clear_main(interp);         /* may drop the interpreter's own */
        release_unpinned(e->id);
        detach_pinned(e);
        if (turn_zombie(e)) {
            result = STAYS_ZOMBIE;
        }
    }
    if (result == ENDED) {
        Py_EndInterpreter(tstate);  /* calls forget() */
        PyThreadState_Swap(home);
        tell_ended(id);             /* again: finalizers ran after that */
    }
    else {
        _Py_atomic_store_int(&interp->finalizing, 0);
        detach(tstate, home);
        if (result == HAS_THREADS || result == BROKEN_OFF) {
            give_up_closing(e, before);
        }
        else {
            if (result == STAYS_ZOMBIE) {
                tell_ended(id);
            }
            end_unpinned(id);       /* the last pin may have gone meanwhile */
        }
    }
    return result;
}

int
_PyInterp_Close(int64_t id, bool handles_signals)
{
    lock();
    struct entry *e = find(id);
    if (e == NULL) {
        unlock();
        return not_found(id);
    }
    if (e->life == ZOMBIE) {
        unlock();
        return 0;                   /* it ends with its last pin */
    }
    const char *why = begin_close(e);
    unlock();
    if (why != NULL) {
        return refused(id, why);
    }
    switch (end(e, ALIVE, handles_signals ? WAIT_FOR_SIGNALS : WAIT)) {
    case HAS_THREADS:
        return refused(id, "has threads that cannot be waited for");
    case BROKEN_OFF:
        return -1;
    case OUT_OF_MEMORY:
        PyErr_NoMemory();
        return -1;
    default:
        return 0;
    }
}

/* Close the interpreter if nobody can name it any more and nothing runs in it.
   Never waits: threads of its own keep it alive, and listed. */
static void
close_if_unwanted(int64_t id)
{
    lock();
    struct entry *e = find(id);
    int unwanted = e != NULL && e->refs == 0 && e->life == ALIVE
                   && begin_close(e) == NULL;
    unlock();
    if (unwanted) {
        int attached = _PyThreadState_GET() != NULL;
        PyObject *exc = attached ? PyErr_GetRaisedException() : NULL;
        (void)end(e, ALIVE, NO_WAIT);
        if (attached) {
            PyErr_SetRaisedException(exc);
        }
    }
}

int
_PyInterp_Incref(int64_t id)
{
    lock();
    struct entry *e = find(id);
    int found = e != NULL && e->life != CLOSING;
    if (found) {
        e->refs++;
    }
    unlock();
    return found ? 0 : not_found(id);
}

void
_PyInterp_Decref(int64_t id)
{
    lock();
    struct entry *e = find(id);
    if (e != NULL) {                /* else it was closed before */
        assert(e->refs > 0);
        e->refs--;
    }
    unlock();
    close_if_unwanted(id);
}


/* --- pins ----------------------------------------------------------------- */

int
_PyInterp_Pin(_PyInterp_Pinned *pinned)
{
    int64_t id = PyInterpreterState_GetID(PyInterpreterState_Get());
    pinned->id = id;
    pinned->state = _PyInterp_PINNED;
    pinned->previous = NULL;
    lock();
    struct entry *e = find(id);
    int alive = e != NULL && e->life == ALIVE;
    if (alive) {
        e->pins++;
        pinned->next = e->pinned;
        if (e->pinned != NULL) {
            e->pinned->previous = pinned;
        }
        e->pinned = pinned;
    }
    unlock();
    return alive ? 0 : refused(id, "is being closed: its memory cannot be "
                                   "shared any more");
}

/* Take it out of the list of those that are in use.  The lock is held. */
static void
unlist(struct entry *e, _PyInterp_Pinned *pinned)
{
    if (pinned->previous != NULL) {
        pinned->previous->next = pinned->next;
    }
    else {
        e->pinned = pinned->next;
    }
    if (pinned->next != NULL) {
        pinned->next->previous = pinned->previous;
    }
}

/* The memory of what is pinned is not the interpreter's any more. */
static void
set_detached(struct entry *e, _PyInterp_Pinned *pinned)
{
    lock();
    int unpinned = pinned->state == _PyInterp_UNPINNED;
    if (unpinned) {
        _PyInterp_Pinned **link = &e->unpinned;
        while (*link != pinned) {
            link = &(*link)->next;
        }
        *link = pinned->next;
    }
    else {
        unlist(e, pinned);
    }
    pinned->state = _PyInterp_DETACHED;
    e->pins--;
    unlock();
    if (unpinned) {
        pinned->free(pinned);
    }
}

/* Make what can be independent of an interpreter that is CLOSING, and to which the calling
   thread is attached. */
static void
detach_pinned(struct entry *e)
{
    _PyInterp_DetachFunc func = (_PyInterp_DetachFunc)_Py_atomic_load_ptr(&registry.detach);
    lock();
    size_t n = e->pins;             /* no new ones come */
    unlock();
    _PyInterp_Pinned **pinned = PyMem_New(_PyInterp_Pinned *, n);
    if (func == NULL || pinned == NULL) {
        PyMem_Free(pinned);         /* out of memory: the interpreter stays for them */
        return;
    }
    size_t listed = 0;
    lock();
    e->detaching = 1;               /* those that are unpinned meanwhile are left to us */
    for (_PyInterp_Pinned *p = e->pinned; p != NULL; p = p->next) {
        pinned[listed++] = p;
    }
    unlock();
    assert(listed <= n);
    size_t detached = func(pinned, listed);
    for (size_t i = 0; i < detached; i++) {
        set_detached(e, pinned[i]);
    }
    lock();
    e->detaching = 0;
    unlock();
    PyMem_Free(pinned);
}

void
_PyInterp_DetachWith(_PyInterp_DetachFunc detach)
{
    _Py_atomic_store_ptr(&registry.detach, (void *)detach);
}

/* Release what is to be released.  The calling thread is attached to the
   interpreter; its exception is kept. */
static void
release_unpinned(int64_t id)
{
    PyObject *exc = PyErr_GetRaisedException();
    for (;;) {
        lock();
        struct entry *e = find(id);
        _PyInterp_Pinned *pinned = e != NULL ? e->unpinned : NULL;
        if (pinned != NULL) {
            e->unpinned = pinned->next;
        }
        unlock();
        if (pinned == NULL) {
            break;
        }
        pinned->release(pinned);
        pinned->free(pinned);
        lock();
        e = find(id);               /* gone if it was torn down meanwhile */
        if (e != NULL) {
            assert(e->pins > 0);
            e->pins--;
        }
        unlock();
    }
    PyErr_SetRaisedException(exc);
}

/* End a zombie that is not pinned any more. */
static void
end_unpinned(int64_t id)
{
    PyThreadState *current = _PyThreadState_GET();
    lock();
    struct entry *e = find(id);
    /* The runtime may be ending it already, which is why a view in it, of its
       own memory, is released. */
    int last = e != NULL && e->pins == 0 && e->life == ZOMBIE
               && !e->interp->finalizing
               && (current == NULL || current->interp != e->interp);
    if (last) {
        e->life = CLOSING;
    }
    unlock();
    if (last) {
        PyObject *exc = current != NULL ? PyErr_GetRaisedException() : NULL;
        (void)end(e, ZOMBIE, NO_WAIT);   /* else it stays listed */
        if (current != NULL) {
            PyErr_SetRaisedException(exc);
        }
    }
}

/* Attach to the interpreter and release what is to be released.  The caller has
   been counted among those that do. */
static void
release_there(struct entry *e)
{
    PyThreadState *home;
    PyThreadState *tstate = attach(e->interp, _PyThreadState_WHENCE_EXEC, &home);
    if (tstate != NULL) {           /* else, out of memory, somebody else does */
        struct entry *outer = releasing_in;
        releasing_in = e;
        release_unpinned(e->id);
        releasing_in = outer;
        detach(tstate, home);
    }
    _PyWaiter *woken = NULL;
    lock();
    if (--e->releasing == 0 && e->closer != NULL) {
        if (_PyWaiter_Claim(e->closer)) {
            _PyWaiter_Fire(e->closer, &woken);
        }
        e->closer = NULL;
    }
    unlock();
    _PyWaiter_Wake(woken);
}

void
_PyInterp_Unpin(_PyInterp_Pinned *pinned)
{
    int64_t id = pinned->id;
    lock();
    struct entry *e = pinned->state != _PyInterp_DETACHED ? find(id) : NULL;
    PyInterpreterState *interp = e != NULL ? e->interp : NULL;
    PyThreadState *current = _PyThreadState_GET();
    int at_home = current != NULL && current->interp == interp;
    int later = 0;
    if (e != NULL) {
        unlist(e, pinned);
        pinned->state = _PyInterp_UNPINNED;
        pinned->next = e->unpinned;
        e->unpinned = pinned;
        /* Whoever closes it sees to it. */
        later = e->detaching || (e->life == CLOSING && !at_home);
        e->releasing += !at_home && !later;
    }
    unlock();
    if (interp == NULL) {
        pinned->free(pinned);
        return;
    }
    if (later) {
        return;
    }
    if (at_home) {
        release_unpinned(id);
    }
    else {
        release_there(e);
    }
    end_unpinned(id);
}


/* --- looking -------------------------------------------------------------- */

int
_PyInterp_Exists(int64_t id)
{
    lock();
    struct entry *e = find(id);
    int exists = e != NULL && e->life == ALIVE;
    unlock();
    return exists;
}

int
_PyInterp_IsRunning(int64_t id)
{
    lock();
    struct entry *e = find(id);
    int running = e != NULL
                  && (e->inside > 0 || _Py_IsMainInterpreter(e->interp)
                      || _PyInterpreterState_IsRunningMain(e->interp));
    unlock();
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
        lock();
        struct entry *e = find(id);
        int known = e != NULL;
        int owned = known && e->created_here;
        unlock();
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
