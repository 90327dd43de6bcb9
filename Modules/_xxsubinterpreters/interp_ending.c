/* Interpreters: ending them, and what pins them meanwhile.  See interp.h. */

#include "Python.h"
#include "pycore_exclusive.h"     // _PyExclusive_IsMine()
#include "pycore_initconfig.h"
#include "pycore_interp.h"
#include "pycore_pylifecycle.h"   // _PyAtExit_Call()
#include "pycore_pystate.h"       // PyThreadState_Swap()
#include "pycore_runtime.h"       // HEAD_LOCK()
#include "pycore_tstate.h"        // _PyThreadStateImpl
#include "pycore_visitors.h"      // _PyVisitors_ShutOut()
#include "interp.h"
#include "interp_private.h"
#include "waiter.h"

static _PyInterp_DetachFunc detach_func;    /* atomic */

/* Where the thread has come to release memory. */
static _Py_thread_local _PyInterp_Entry *releasing_in = NULL;


/* --- ending --------------------------------------------------------------- */

/* Move to CLOSING, and return NULL, or return why that is not possible.  The
   lock is held. */
static const char *
begin_close(_PyInterp_Entry *e)
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
has_pins(_PyInterp_Entry *e)
{
    _PyInterp_Lock();
    int result = e->pins > 0;
    _PyInterp_Unlock();
    return result;
}

static void release_unpinned(int64_t id);
static void detach_pinned(_PyInterp_Entry *e);

/* Become a zombie if something is pinned.  Return true if so.  The calling
   thread is attached to the interpreter. */
static int
turn_zombie(_PyInterp_Entry *e)
{
    for (;;) {
        release_unpinned(e->id);
        _PyInterp_Lock();
        int more = e->unpinned != NULL;
        int pinned = e->pins > 0;
        if (!more && pinned) {
            e->life = ZOMBIE;
        }
        _PyInterp_Unlock();
        if (!more) {
            return pinned;
        }
    }
}

static void end_unpinned(int64_t id);
static void release_there(_PyInterp_Entry *e);

/* Give up closing: return to a former life.  Memory that was to be released
   meanwhile was left to us. */
static void
give_up_closing(_PyInterp_Entry *e, enum life before)
{
    _PyVisitors_LetIn(e->interp);
    _PyInterp_Lock();
    e->life = before;
    int more = e->unpinned != NULL;
    e->releasing += more;
    _PyInterp_Unlock();
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
wait_for_releasing(_PyInterp_Entry *e)
{
    _PyWaiter waiter;
    _PyWaiter_Init(&waiter);
    _PyInterp_Lock();
    /* The calling thread would wait for itself. */
    int wait = e->releasing > 0 && releasing_in != e;
    if (wait) {
        e->closer = &waiter;
    }
    _PyInterp_Unlock();
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
stop_waits(_PyInterp_Entry *e)
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

/* Wait for the threads that are in an interpreter, to which the calling one is attached by
   `tstate`, unless `wait` is NO_WAIT, and let no visitors in any more.  Return HAS_THREADS if
   others are left, BROKEN_OFF as wait_for_visitors() says, or ENDED if the interpreter can end. */
static enum ending
wait_for_threads(_PyInterp_Entry *e, PyThreadState *tstate, PyThreadState *home,
                 enum waiting wait)
{
    PyInterpreterState *interp = tstate->interp;
    /* The calling thread would wait for itself. */
    bool may_wait = wait != NO_WAIT && alone(tstate, MINE);
    if (may_wait && !alone(tstate, NO_VISITORS)) {
        /* No new threads from now on, and none that waits. */
        _Py_atomic_store_int(&interp->finalizing, 1);
        stop_waits(e);
        join_threads();             /* which may wait for native ones */
        _Py_atomic_store_int(&e->stopping, 0);
        if (!alone(tstate, NO_VISITORS)) {
            /* Libraries end their daemon threads in exit functions. */
            _PyAtExit_Call(interp);
        }
    }
    /* A visitor may have no thread state yet. */
    bool visited = _PyVisitors_ShutOut(interp) > 0;
    if (visited && may_wait) {
        _Py_atomic_store_int(&interp->finalizing, 1);
        stop_waits(e);
        int broken = wait_for_visitors(tstate, home, wait);
        _Py_atomic_store_int(&e->stopping, 0);
        if (broken < 0) {
            return BROKEN_OFF;
        }
        visited = false;
    }
    return visited || !alone(tstate, ANY) ? HAS_THREADS : ENDED;
}

/* End an interpreter that is CLOSING, and was in life `before`, to which it
   returns when it cannot end.  If it has threads of its own, wait for them unless
   `wait` is NO_WAIT, and give up then. */
static enum ending
end(_PyInterp_Entry *e, enum life before, enum waiting wait)
{
    PyInterpreterState *interp = e->interp;
    int64_t id = e->id;
    PyThreadState *home;
    wait_for_releasing(e);
    PyThreadState *tstate = _PyInterp_Attach(interp, _PyThreadState_WHENCE_FINI, &home);
    if (tstate == NULL) {
        give_up_closing(e, before);
        return OUT_OF_MEMORY;
    }
    enum ending result = wait_for_threads(e, tstate, home, wait);
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
        _PyInterp_TellEnded(id);             /* again: finalizers ran after that */
    }
    else {
        _Py_atomic_store_int(&interp->finalizing, 0);
        _PyInterp_Detach(tstate, home);
        if (result == HAS_THREADS || result == BROKEN_OFF) {
            give_up_closing(e, before);
        }
        else {
            if (result == STAYS_ZOMBIE) {
                _PyInterp_TellEnded(id);
            }
            end_unpinned(id);       /* the last pin may have gone meanwhile */
        }
    }
    return result;
}

int
_PyInterp_Close(int64_t id, bool handles_signals)
{
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    if (e == NULL) {
        _PyInterp_Unlock();
        return _PyInterp_NotFound(id);
    }
    if (e->life == ZOMBIE) {
        _PyInterp_Unlock();
        return 0;                   /* it ends with its last pin */
    }
    if (e->releasing > 0 && _PyExclusive_IsMine()) {
        _PyInterp_Unlock();
        (void)_PyExclusive_RefusesToWait();
        return -1;
    }
    const char *why = begin_close(e);
    _PyInterp_Unlock();
    if (why != NULL) {
        return _PyInterp_Refused(id, why);
    }
    enum waiting wait = _PyExclusive_IsMine() ? NO_WAIT
                        : handles_signals ? WAIT_FOR_SIGNALS : WAIT;
    switch (end(e, ALIVE, wait)) {
    case HAS_THREADS:
        if (_PyExclusive_RefusesToWait()) {
            return -1;
        }
        return _PyInterp_Refused(id, "has threads that cannot be waited for");
    case BROKEN_OFF:
        return -1;
    case OUT_OF_MEMORY:
        PyErr_NoMemory();
        return -1;
    default:
        return 0;
    }
}

void
_PyInterp_CloseIfUnwanted(int64_t id)
{
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    int unwanted = e != NULL && e->refs == 0 && e->life == ALIVE
                   && !(e->releasing > 0 && _PyExclusive_IsMine())  /* they do it */
                   && begin_close(e) == NULL;
    _PyInterp_Unlock();
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
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    int found = e != NULL && e->life != CLOSING;
    if (found) {
        e->refs++;
    }
    _PyInterp_Unlock();
    return found ? 0 : _PyInterp_NotFound(id);
}

void
_PyInterp_Decref(int64_t id)
{
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    if (e != NULL) {                /* else it was closed before */
        assert(e->refs > 0);
        e->refs--;
    }
    _PyInterp_Unlock();
    _PyInterp_CloseIfUnwanted(id);
}


/* --- pins ----------------------------------------------------------------- */

int
_PyInterp_Pin(_PyInterp_Pinned *pinned)
{
    int64_t id = PyInterpreterState_GetID(PyInterpreterState_Get());
    pinned->id = id;
    pinned->state = _PyInterp_PINNED;
    pinned->previous = NULL;
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    int alive = e != NULL && e->life == ALIVE;
    if (alive) {
        e->pins++;
        pinned->next = e->pinned;
        if (e->pinned != NULL) {
            e->pinned->previous = pinned;
        }
        e->pinned = pinned;
    }
    _PyInterp_Unlock();
    return alive ? 0 : _PyInterp_Refused(id, "is being closed: its memory cannot be "
                                   "shared any more");
}

/* Take it out of the list of those that are in use.  The lock is held. */
static void
unlist(_PyInterp_Entry *e, _PyInterp_Pinned *pinned)
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
set_detached(_PyInterp_Entry *e, _PyInterp_Pinned *pinned)
{
    _PyInterp_Lock();
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
    _PyInterp_Unlock();
    if (unpinned) {
        pinned->free(pinned);
    }
}

/* Make what can be independent of an interpreter that is CLOSING, and to which the calling
   thread is attached. */
static void
detach_pinned(_PyInterp_Entry *e)
{
    _PyInterp_DetachFunc func = (_PyInterp_DetachFunc)_Py_atomic_load_ptr(&detach_func);
    _PyInterp_Lock();
    size_t n = e->pins;             /* no new ones come */
    _PyInterp_Unlock();
    _PyInterp_Pinned **pinned = PyMem_New(_PyInterp_Pinned *, n);
    if (func == NULL || pinned == NULL) {
        PyMem_Free(pinned);         /* out of memory: the interpreter stays for them */
        return;
    }
    size_t listed = 0;
    _PyInterp_Lock();
    e->detaching = 1;               /* those that are unpinned meanwhile are left to us */
    for (_PyInterp_Pinned *p = e->pinned; p != NULL; p = p->next) {
        pinned[listed++] = p;
    }
    _PyInterp_Unlock();
    assert(listed <= n);
    size_t detached = func(pinned, listed);
    for (size_t i = 0; i < detached; i++) {
        set_detached(e, pinned[i]);
    }
    _PyInterp_Lock();
    e->detaching = 0;
    _PyInterp_Unlock();
    PyMem_Free(pinned);
}

void
_PyInterp_DetachWith(_PyInterp_DetachFunc detach)
{
    _Py_atomic_store_ptr(&detach_func, (void *)detach);
}

/* Release what is to be released.  The calling thread is attached to the
   interpreter; its exception is kept. */
static void
release_unpinned(int64_t id)
{
    PyObject *exc = PyErr_GetRaisedException();
    for (;;) {
        _PyInterp_Lock();
        _PyInterp_Entry *e = _PyInterp_Find(id);
        _PyInterp_Pinned *pinned = e != NULL ? e->unpinned : NULL;
        if (pinned != NULL) {
            e->unpinned = pinned->next;
        }
        _PyInterp_Unlock();
        if (pinned == NULL) {
            break;
        }
        pinned->release(pinned);
        pinned->free(pinned);
        _PyInterp_Lock();
        e = _PyInterp_Find(id);               /* gone if it was torn down meanwhile */
        if (e != NULL) {
            assert(e->pins > 0);
            e->pins--;
        }
        _PyInterp_Unlock();
    }
    PyErr_SetRaisedException(exc);
}

/* End a zombie that is not pinned any more. */
static void
end_unpinned(int64_t id)
{
    PyThreadState *current = _PyThreadState_GET();
    _PyInterp_Lock();
    _PyInterp_Entry *e = _PyInterp_Find(id);
    /* The runtime may be ending it already, which is why a view in it, of its
       own memory, is released. */
    int last = e != NULL && e->pins == 0 && e->life == ZOMBIE
               && !e->interp->finalizing
               && (current == NULL || current->interp != e->interp);
    if (last) {
        e->life = CLOSING;
    }
    _PyInterp_Unlock();
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
release_there(_PyInterp_Entry *e)
{
    PyThreadState *home;
    PyThreadState *tstate = _PyInterp_Attach(e->interp, _PyThreadState_WHENCE_EXEC, &home);
    if (tstate != NULL) {           /* else, out of memory, somebody else does */
        _PyInterp_Entry *outer = releasing_in;
        releasing_in = e;
        release_unpinned(e->id);
        releasing_in = outer;
        _PyInterp_Detach(tstate, home);
    }
    _PyWaiter *woken = NULL;
    _PyInterp_Lock();
    if (--e->releasing == 0 && e->closer != NULL) {
        if (_PyWaiter_Claim(e->closer)) {
            _PyWaiter_Fire(e->closer, &woken);
        }
        e->closer = NULL;
    }
    _PyInterp_Unlock();
    _PyWaiter_Wake(woken);
}

void
_PyInterp_Unpin(_PyInterp_Pinned *pinned)
{
    int64_t id = pinned->id;
    _PyInterp_Lock();
    _PyInterp_Entry *e = pinned->state != _PyInterp_DETACHED ? _PyInterp_Find(id) : NULL;
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
    _PyInterp_Unlock();
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
        _PyInterp_CloseIfUnwanted(id);      /* which an exclusive section put off */
    }
    end_unpinned(id);
}
