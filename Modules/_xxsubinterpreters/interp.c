/* Interpreters: creating, entering, pinning and ending them.  See interp.h. */

#include "Python.h"
#include "pycore_crossinterp.h"   // _PyXI_NewInterpreter()
#include "pycore_initconfig.h"    // _PyStatus_OK()
#include "pycore_interp.h"        // _PyInterpreterState_GetWhence()
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "pycore_pystate.h"       // _PyThreadState_NewBound()
#include "pycore_runtime.h"       // HEAD_LOCK()
#include "interp.h"

/* What becomes of an interpreter:

       ALIVE --close--> CLOSING --no pins--> (ended, forgotten)
                         |    ^
                       pins   last pin dropped
                         v    |
                        ZOMBIE

   Only an ALIVE interpreter can be entered or pinned.  The thread that moves
   it to CLOSING is the only one to end it. */
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
    Py_ssize_t pins;                /* exports of its memory */
};

/* The process-wide list.  The lock covers the list and every field of its
   entries; it is held for a few instructions, with nothing else taken or
   called under it.  An entry is unlisted, and freed, by the atexit callback
   of its interpreter, which runs when that is torn down by whatever means. */
static struct {
    PyMutex lock;
    struct entry *first;
} registry;

static inline void
lock(void)
{
    PyMutex_LockFlags(&registry.lock, _Py_LOCK_DONT_DETACH);
}

static inline void
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
    PyMem_RawFree(e);
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

int
_PyInterp_Register(void)
{
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

/* End an interpreter that is CLOSING and in which no thread is.  Return -1
   when out of memory: then it is a zombie, and can be closed again. */
static int
end(struct entry *e)
{
    PyThreadState *home;
    PyThreadState *tstate = attach(e->interp, _PyThreadState_WHENCE_FINI,
                                   &home);
    if (tstate == NULL) {
        lock();
        e->life = ZOMBIE;
        unlock();
        return -1;
    }
    Py_EndInterpreter(tstate);      /* calls forget() */
    PyThreadState_Swap(home);
    return 0;
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

    visit->home = PyThreadState_Get();
    if (interp != PyInterpreterState_Get()) {
        visit->tstate = attach(interp, _PyThreadState_WHENCE_EXEC,
                               &visit->home);
        if (visit->tstate == NULL) {
            lock();
            find(id)->inside--;
            unlock();
            PyErr_NoMemory();
            return -1;
        }
        /* Upstream's _interpreters refuses to destroy what runs. */
        if (!_PyInterpreterState_IsRunningMain(interp)) {
            visit->running_main =
                _PyInterpreterState_SetRunningMain(interp) == 0;
            assert(visit->running_main);
        }
    }
    return 0;
}

void
_PyInterp_Leave(_PyInterp_Visit *visit)
{
    assert(!PyErr_Occurred());
    if (visit->tstate != NULL) {
        if (visit->running_main) {
            _PyInterpreterState_SetNotRunningMain(visit->tstate->interp);
        }
        detach(visit->tstate, visit->home);
    }
    lock();
    struct entry *e = find(visit->id);
    e->inside--;
    int unwanted = e->created_here && e->refs == 0 && e->inside == 0
                   && e->life == ALIVE;
    unlock();
    if (unwanted && _PyInterp_Close(visit->id) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
}


/* --- creating and ending -------------------------------------------------- */

int64_t
_PyInterp_Create(void)
{
    PyInterpreterConfig config = _PyInterpreterConfig_INIT;
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
    return id;
}

/* Let go of what code in a zombie might still hold on to. */
static void
clear_main(PyInterpreterState *interp)
{
    PyThreadState *home;
    PyThreadState *tstate = attach(interp, _PyThreadState_WHENCE_FINI, &home);
    if (tstate == NULL) {
        return;                     /* it only stays larger than need be */
    }
    PyObject *module = PyUnstable_InterpreterState_GetMainModule(interp);
    if (module != NULL) {
        PyDict_Clear(PyModule_GetDict(module));
        Py_DECREF(module);
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(NULL);
    }
    detach(tstate, home);
}

int
_PyInterp_Close(int64_t id)
{
    PyInterpreterState *current = PyInterpreterState_Get();
    const char *why = NULL;
    Py_ssize_t pins = 0;

    lock();
    struct entry *e = find(id);
    if (e == NULL) {
        unlock();
        return not_found(id);
    }
    if (!e->created_here) {
        why = "was not created by this module";
    }
    else if (e->life == CLOSING) {
        why = "is being closed";
    }
    else if (e->life == ZOMBIE && e->pins > 0) {
        unlock();
        return 0;
    }
    else if (e->interp == current) {
        why = "cannot close itself";
    }
    else if (e->inside > 0) {
        why = "is running";
    }
    else {
        e->life = CLOSING;
        pins = e->pins;
    }
    unlock();
    if (why != NULL) {
        return refused(id, why);
    }

    if (pins > 0) {
        clear_main(e->interp);
        lock();
        pins = e->pins;
        if (pins > 0) {
            e->life = ZOMBIE;
        }
        unlock();
        if (pins > 0) {
            return 0;
        }
    }
    if (end(e) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

int
_PyInterp_Incref(int64_t id)
{
    lock();
    struct entry *e = find(id);
    if (e != NULL) {
        e->refs++;
    }
    unlock();
    return e != NULL ? 0 : not_found(id);
}

void
_PyInterp_Decref(int64_t id)
{
    lock();
    struct entry *e = find(id);
    int unwanted = 0;
    if (e != NULL) {                /* else it was closed before */
        assert(e->refs > 0);
        e->refs--;
        unwanted = e->created_here && e->refs == 0 && e->inside == 0
                   && e->life == ALIVE
                   && e->interp != PyInterpreterState_Get();
    }
    unlock();
    if (unwanted) {
        PyObject *exc = PyErr_GetRaisedException();
        if (_PyInterp_Close(id) < 0) {
            PyErr_WriteUnraisable(NULL);
        }
        PyErr_SetRaisedException(exc);
    }
}


/* --- pins ----------------------------------------------------------------- */

int
_PyInterp_Pin(int64_t *id)
{
    *id = PyInterpreterState_GetID(PyInterpreterState_Get());
    lock();
    struct entry *e = find(*id);
    int alive = e != NULL && e->life == ALIVE;
    if (alive) {
        e->pins++;
    }
    unlock();
    return alive ? 0 : refused(*id, "is being closed: its memory cannot be "
                                    "shared any more");
}

void
_PyInterp_Unpin(int64_t id, void (*release)(void *), void *arg)
{
    lock();
    struct entry *e = find(id);
    PyInterpreterState *interp = e != NULL ? e->interp : NULL;
    unlock();
    if (interp == NULL) {
        return;
    }

    /* The pin itself keeps the interpreter from ending under us. */
    PyThreadState *current = _PyThreadState_GET();
    if (current != NULL && current->interp == interp) {
        PyObject *exc = PyErr_GetRaisedException();
        release(arg);
        PyErr_SetRaisedException(exc);
    }
    else {
        PyThreadState *home;
        PyThreadState *tstate = attach(interp, _PyThreadState_WHENCE_EXEC,
                                       &home);
        if (tstate == NULL) {
            return;                 /* out of memory: it stays pinned */
        }
        release(arg);
        detach(tstate, home);
    }

    lock();
    assert(e->pins > 0);
    e->pins--;
    int last = e->pins == 0 && e->life == ZOMBIE;
    if (last) {
        e->life = CLOSING;
    }
    unlock();
    if (last) {
        (void)end(e);               /* else it stays, and can be closed */
    }
}


/* --- looking -------------------------------------------------------------- */

int
_PyInterp_IsRunning(int64_t id)
{
    lock();
    struct entry *e = find(id);
    int running = e != NULL
                  && (e->inside > 0 || _Py_IsMainInterpreter(e->interp)
                      || _PyInterpreterState_IsRunningMain(e->interp));
    unlock();
    return e != NULL ? running : not_found(id);
}

/* Copy the ids and whences of up to `size` ready interpreters, newest first.
   Return how many there are. */
static Py_ssize_t
snapshot(int64_t *ids, long *whences, Py_ssize_t size)
{
    Py_ssize_t n = 0;
    HEAD_LOCK(&_PyRuntime);
    for (PyInterpreterState *interp = PyInterpreterState_Head();
         interp != NULL; interp = PyInterpreterState_Next(interp))
    {
        if (!_PyInterpreterState_IsReady(interp)) {
            continue;
        }
        if (n < size) {
            ids[n] = PyInterpreterState_GetID(interp);
            whences[n] = _PyInterpreterState_GetWhence(interp);
        }
        n++;
    }
    HEAD_UNLOCK(&_PyRuntime);
    return n;
}

static PyObject *
list_from_snapshot(const int64_t *ids, const long *whences, Py_ssize_t n)
{
    PyObject *result = PyList_New(n);
    for (Py_ssize_t i = 0; result != NULL && i < n; i++) {
        lock();
        struct entry *e = find(ids[i]);
        int owned = e != NULL && e->created_here;
        unlock();
        PyObject *item = Py_BuildValue("LlO", (long long)ids[i], whences[i],
                                       owned ? Py_True : Py_False);
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
    Py_ssize_t n = snapshot(NULL, NULL, 0);
    Py_ssize_t size;
    do {
        size = n + 8;               /* room for some created meanwhile */
        int64_t *ids = PyMem_New(int64_t, size);
        long *whences = PyMem_New(long, size);
        if (ids == NULL || whences == NULL) {
            PyErr_NoMemory();
            n = 0;
        }
        else {
            n = snapshot(ids, whences, size);
            if (n <= size) {
                result = list_from_snapshot(ids, whences, n);
            }
        }
        PyMem_Free(whences);
        PyMem_Free(ids);
    } while (n > size);
    return result;
}
