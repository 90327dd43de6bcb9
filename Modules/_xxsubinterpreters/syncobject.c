/* Lock and RLock, and what all types share. */

/* Argument Clinic: not all names are among the runtime's static strings. */
#define Py_BUILD_CORE_MODULE 1

#include "Python.h"
#include "pycore_time.h"          // _PyTime_FromSecondsObject()
#include "blocking.h"
#include "interp.h"
#include "syncobject.h"

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.Lock "_PySyncObject *" "clinic_type(LOCK)"
class _xxsubinterpreters.RLock "_PySyncObject *" "clinic_type(RLOCK)"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=d78842675b780a29]*/

/* Where clinic asks for it, a class is at hand. */
#define clinic_type(kind) (_xxsub_state_by_type(type)->Sync[_PySync_##kind])
#include "clinic/syncobject.c.h"
#undef clinic_type

static inline _PySync *
get_sync(PyObject *op)
{
    return ((_PySyncObject *)op)->sync;
}

static inline _xxsub_state *
get_state(_PySyncObject *self)
{
    return _xxsub_state_by_type(Py_TYPE(self));
}


/* --- objects --------------------------------------------------------------- */

void
_PySyncObject_Init(void)
{
    _PyInterp_WhenEnded(_PySync_ReleaseAbandoned);
}

int
_PySyncObject_CheckType(const PyTypeObject *type)
{
    return type->tp_repr == _PySyncObject_Repr;     /* they have no subclasses */
}

PyObject *
_PySyncObject_New(PyTypeObject *type, _PySync *s)
{
    if (s == NULL) {
        return PyErr_NoMemory();
    }
    _PySyncObject *self = (_PySyncObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        _PySync_Decref(s);
        return NULL;
    }
    self->sync = s;
    return (PyObject *)self;
}

PyObject *
_PySyncObject_FromSync(_xxsub_state *state, _PySync *s)
{
    return _PySyncObject_New(state->Sync[s->kind], s);
}

void
_PySyncObject_Dealloc(PyObject *op)
{
    _PySyncObject *self = (_PySyncObject *)op;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    _PySync_Decref(self->sync);
    type->tp_free(self);
    Py_DECREF(type);
}

/* As text in `buffer`; of the states of locks, semaphores and events. */
static void
describe_state(_PySync *s, char *buffer, size_t size)
{
    uint64_t state = _PySync_State(s);
    long long value = _PySync_Value(state);
    switch (s->kind) {
    case _PySync_LOCK:
    case _PySync_RLOCK:
        if (state & _PySync_LOCKED) {
            PyOS_snprintf(buffer, size, "locked by interpreter %lld", value);
        }
        else {
            PyOS_snprintf(buffer, size, "unlocked");
        }
        break;
    case _PySync_SEMAPHORE:
        PyOS_snprintf(buffer, size, "value=%lld", value);
        break;
    case _PySync_BOUNDED_SEMAPHORE:
        PyOS_snprintf(buffer, size, "value=%lld/%lld", value, (long long)s->bound);
        break;
    case _PySync_EVENT:
        PyOS_snprintf(buffer, size, state != 0 ? "set" : "unset");
        break;
    case _PySync_CONDITION:
        PyOS_snprintf(buffer, size, "waiters=%zd", _PySync_CountWaiting(s));
        break;
    default:
        if (_PySync_IsBroken(s)) {
            PyOS_snprintf(buffer, size, "broken");
        }
        else {
            PyOS_snprintf(buffer, size, "waiters=%zd/%zd", _PySync_CountWaiting(s),
                          s->barrier.parties);
        }
    }
}

PyObject *
_PySyncObject_Repr(PyObject *op)
{
    _PySync *s = get_sync(op);
    char state[100];
    describe_state(s, state, sizeof(state));
    if (s->kind != _PySync_CONDITION) {
        return PyUnicode_FromFormat("<%s %lld %s>", Py_TYPE(op)->tp_name,
                                    (long long)s->id, state);
    }
    char lock_state[100];
    describe_state(s->lock, lock_state, sizeof(lock_state));
    return PyUnicode_FromFormat("<%s %lld of %s %lld %s, %s>", Py_TYPE(op)->tp_name,
                                (long long)s->id,
                                s->lock->kind == _PySync_LOCK ? "Lock" : "RLock",
                                (long long)s->lock->id, lock_state, state);
}

PyObject *
_PySyncObject_RichCompare(PyObject *a, PyObject *b, int op)
{
    if (!Py_IS_TYPE(b, Py_TYPE(a)) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    int same = get_sync(a) == get_sync(b);
    return PyBool_FromLong(same == (op == Py_EQ));
}

Py_hash_t
_PySyncObject_Hash(PyObject *op)
{
    return (Py_hash_t)get_sync(op)->id;
}

PyMemberDef _PySyncObject_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(_PySyncObject, weakrefs),
     Py_READONLY},
    {NULL},
};

PyObject *
_PySyncObject_GetID(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(get_sync(op)->id);
}

PyObject *
_PySyncObject_CountWaiting(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(_PySync_CountWaiting(get_sync(op)));
}

PyGetSetDef _PySyncObject_getset[] = {
    {"id", _PySyncObject_GetID, NULL, PyDoc_STR("Its number in this process (int).")},
    {"_waiting", _PySyncObject_CountWaiting, NULL, NULL},   /* for tests */
    {NULL},
};


/* --- waiting --------------------------------------------------------------- */

int
_PySyncObject_GetDeadline(PyObject *timeout, PyTime_t *deadline)
{
    *deadline = -1;
    if (timeout == Py_None) {
        return 0;
    }
    PyTime_t t;
    if (_PyTime_FromSecondsObject(&t, timeout, _PyTime_ROUND_TIMEOUT) < 0) {
        return -1;
    }
    *deadline = _PyDeadline_Init(Py_MAX(t, 0));
    return 0;
}

/* For acquire(), where -1 stands for no timeout. */
static int
get_acquire_deadline(int blocking, PyObject *timeout, PyTime_t *deadline)
{
    PyTime_t t;
    *deadline = -1;
    if (timeout == NULL) {
        return 0;
    }
    if (_PyTime_FromSecondsObject(&t, timeout, _PyTime_ROUND_TIMEOUT) < 0) {
        return -1;
    }
    if (t == _PyTime_FromSeconds(-1)) {
        return 0;
    }
    if (!blocking || t < 0) {
        PyErr_SetString(PyExc_ValueError, !blocking
                        ? "can't specify a timeout for a non-blocking call"
                        : "timeout value must be a non-negative number");
        return -1;
    }
    *deadline = _PyDeadline_Init(t);
    return 0;
}

int
_PySyncObject_Wait(_PySync *s, _PySyncWait *wait, PyTime_t deadline)
{
    do {
        _PyWaiter_Result result = _PyBlocking_Wait(&wait->waiter, deadline);
        if (result == _PyWaiter_FIRED) {
            return 1;
        }
        if (result == _PyWaiter_TIMEOUT) {
            return 0;
        }
        if (!_PyBlocking_GoOn(result)) {
            return -1;
        }
    } while (!_PySync_Resume(s, wait));
    return 1;
}

static _PySyncWait
new_wait(uint64_t depth)
{
    return (_PySyncWait){
        .interp = _PySyncObject_Interp(),
        .thread = _PySyncObject_Thread(),
        .depth = depth,
    };
}

static int
owner_died(_xxsub_state *state, _PySync *s)
{
    PyErr_Format(state->OwnerDiedError,
                 "the interpreter that had locked %s %lld was closed",
                 s->kind == _PySync_LOCK ? "Lock" : "RLock", (long long)s->id);
    return -1;
}

/* While signal handlers run it is not waited for, lest it is handed to a thread whose
   handler waits for it, too. */
int
_PySyncObject_AcquireBlocking(_xxsub_state *state, _PySync *s, PyTime_t deadline)
{
    _PySyncWait wait = new_wait(1);
    for (int again = 0; ; again = 1) {
        _PySync_Status status = _PySync_Acquire(s, &wait, again);
        if (status == _PySync_WAITING) {
            _PyWaiter_Result result = _PyBlocking_Wait(&wait.waiter, deadline);
            if (result != _PyWaiter_FIRED && !_PySync_Cancel(s, &wait)) {
                if (result == _PyWaiter_TIMEOUT) {
                    return 0;
                }
                if (!_PyBlocking_GoOn(result)) {
                    return -1;
                }
                continue;
            }
            status = wait.status;
        }
        return status == _PySync_OK ? 1 : owner_died(state, s);
    }
}

int
_PySyncObject_TryAcquire(_xxsub_state *state, _PySync *s)
{
    _PySync_Status status = _PySync_TryAcquire(s, _PySyncObject_Interp(),
                                               _PySyncObject_Thread());
    return status == _PySync_WAITING ? 0
           : status == _PySync_OK ? 1 : owner_died(state, s);
}


/* --- locks ----------------------------------------------------------------- */

/* Return true if it could be had at once. */
static inline int
acquire_fast(_PySync *s)
{
    PyThreadState *tstate = _PyThreadState_GET();
    if (s->kind == _PySync_RLOCK) {
        if (_PySync_IsOwner(s, tstate->thread_id)
            && _PySync_AddDepth(s, tstate->thread_id, 1))
        {
            return 1;
        }
        if (!_PySync_AcquireFast(s, tstate->interp->id)) {
            return 0;
        }
        _Py_atomic_store_uint64_relaxed(&s->depth, 1);
        _Py_atomic_store_uint64_relaxed(&s->owner, tstate->thread_id);
        return 1;
    }
    return _PySync_AcquireFast(s, tstate->interp->id);
}

int
_PySyncObject_Acquire(_xxsub_state *state, _PySync *s, int blocking,
                      PyObject *timeout)
{
    PyTime_t deadline;
    if (get_acquire_deadline(blocking, timeout, &deadline) < 0) {
        return -1;
    }
    if (acquire_fast(s)) {
        return 1;
    }
    return blocking ? _PySyncObject_AcquireBlocking(state, s, deadline)
                    : _PySyncObject_TryAcquire(state, s);
}

static PyObject *
bool_or_null(int r)
{
    return r < 0 ? NULL : PyBool_FromLong(r);
}

/* What threads do most. */
static inline PyObject *
acquire_lock(_PySyncObject *self, int blocking, PyObject *timeout)
{
    if (timeout == NULL && acquire_fast(self->sync)) {
        Py_RETURN_TRUE;
    }
    return bool_or_null(_PySyncObject_Acquire(get_state(self), self->sync, blocking,
                                              timeout));
}

int
_PySyncObject_Release(_PySync *s)
{
    if (s->kind == _PySync_RLOCK) {
        uint64_t thread = _PySyncObject_Thread();
        int is_owner = _PySync_IsOwner(s, thread);
        if (is_owner && _PySync_Depth(s) > 1) {
            is_owner = _PySync_AddDepth(s, thread, -1);
            if (is_owner) {
                return 0;
            }
        }
        if (!is_owner) {
            PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
            return -1;
        }
    }
    else if (_PySync_ReleaseFast(s)) {
        return 0;
    }
    if (_PySync_Release(s, _PySyncObject_Thread()) != _PySync_OK) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return -1;
    }
    return 0;
}

static inline PyObject *
release_lock(_PySyncObject *self)
{
    if (_PySyncObject_Release(self->sync) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
lock_exit(PyObject *op, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(n))
{
    return release_lock((_PySyncObject *)op);
}

int
_PySyncObject_IsOwned(_PySync *s)
{
    return s->kind == _PySync_RLOCK
           ? _PySync_IsOwner(s, _PySyncObject_Thread())
           : (_PySync_State(s) & _PySync_LOCKED) != 0;
}

int
_PySyncObject_Reacquire(_xxsub_state *state, _PySync *s, uint64_t depth, int64_t interp)
{
    PyObject *exc = PyErr_GetRaisedException();
    _PySyncWait wait = new_wait(depth);
    if (interp >= 0 && _PyInterp_Exists(interp)) {
        wait.interp = interp;
    }
    int died = 0;
    for (;;) {
        _PySync_Status status = _PySync_Acquire(s, &wait, 0);
        if (status == _PySync_WAITING) {
            _PyBlocking_WaitUnbroken(&wait.waiter);
            status = wait.status;
        }
        if (status == _PySync_OK) {
            break;
        }
        died = 1;
    }
    if (died) {
        owner_died(state, s);
        if (exc != NULL) {
            PyException_SetContext(exc, PyErr_GetRaisedException());
        }
    }
    if (exc != NULL) {
        PyErr_SetRaisedException(exc);
    }
    return died || exc != NULL ? -1 : 0;
}

static PyObject *
is_locked(_PySyncObject *self)
{
    return PyBool_FromLong((_PySync_State(self->sync) & _PySync_LOCKED) != 0);
}

PyDoc_STRVAR(exit_doc,
"__exit__($self, /, *exc_info)\n--\n\nRelease it.");

/*[clinic input]
@classmethod
_xxsubinterpreters.Lock.__new__

A lock for threads of any interpreters, as threading.Lock.

Threads that wait get it in the order in which they came.  If an interpreter is
closed whose thread has locked it, it is released, and one acquire(), the next,
raises OwnerDiedError without having acquired it.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Lock_impl(PyTypeObject *type)
/*[clinic end generated code: output=13334f615739487d input=9a62c7ac7db1c637]*/
{
    return _PySyncObject_New(type, _PySync_New(_PySync_LOCK, 0));
}

/*[clinic input]
_xxsubinterpreters.Lock.acquire

    blocking: bool = True
    timeout: object(c_default="NULL") = -1

Acquire the lock; return True, or False if it cannot be had in time.

timeout is in seconds, -1 for no limit.  OwnerDiedError if the interpreter that
had locked it was closed.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Lock_acquire_impl(_PySyncObject *self, int blocking,
                                     PyObject *timeout)
/*[clinic end generated code: output=fed9e1d7553a0ad1 input=6f987109a685fc61]*/
{
    return acquire_lock(self, blocking, timeout);
}

/*[clinic input]
_xxsubinterpreters.Lock.release

Release the lock, which any thread may do; RuntimeError if it is not locked.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Lock_release_impl(_PySyncObject *self)
/*[clinic end generated code: output=d714f906fef1dd10 input=89979cf802531b39]*/
{
    return release_lock(self);
}

/*[clinic input]
_xxsubinterpreters.Lock.locked

Return True if the lock is locked.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Lock_locked_impl(_PySyncObject *self)
/*[clinic end generated code: output=e1d0df52754f2534 input=c0586c68450669ab]*/
{
    return is_locked(self);
}

/*[clinic input]
_xxsubinterpreters.Lock.__enter__

Acquire it.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Lock___enter___impl(_PySyncObject *self)
/*[clinic end generated code: output=da5e0533b82b5894 input=e13dd39f23e50e47]*/
{
    return acquire_lock(self, 1, NULL);
}

static PyMethodDef lock_methods[] = {
    _XXSUBINTERPRETERS_LOCK_ACQUIRE_METHODDEF
    _XXSUBINTERPRETERS_LOCK_RELEASE_METHODDEF
    _XXSUBINTERPRETERS_LOCK_LOCKED_METHODDEF
    _XXSUBINTERPRETERS_LOCK___ENTER___METHODDEF
    {"__exit__", _PyCFunction_CAST(lock_exit), METH_FASTCALL, exit_doc},
    {NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_Lock__doc__},
    {Py_tp_new, _xxsubinterpreters_Lock},
    {Py_tp_methods, lock_methods},
    {Py_tp_getset, _PySyncObject_getset},
    _PySyncObject_SLOTS,
    {0, NULL},
};

static PyType_Spec lock_spec = {
    .name = "interpreters.Lock",
    .basicsize = sizeof(_PySyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = lock_slots,
};


/* --- recursive locks ------------------------------------------------------- */

/*[clinic input]
@classmethod
_xxsubinterpreters.RLock.__new__

A recursive lock for threads of any interpreters, as threading.RLock.

It is a thread's, in whatever interpreter that runs code.  As to closed
interpreters, see Lock: what counts is where it was acquired first.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_RLock_impl(PyTypeObject *type)
/*[clinic end generated code: output=e42e22382c6b239b input=2888353000522afd]*/
{
    return _PySyncObject_New(type, _PySync_New(_PySync_RLOCK, 0));
}

/*[clinic input]
_xxsubinterpreters.RLock.acquire = _xxsubinterpreters.Lock.acquire

Acquire the lock, once more if it is this thread's.

Return True, or False if it cannot be had in time.  timeout is in seconds, -1
for no limit.  OwnerDiedError if the interpreter that had locked it was closed.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_RLock_acquire_impl(_PySyncObject *self, int blocking,
                                      PyObject *timeout)
/*[clinic end generated code: output=b609a55330c9fe9e input=f8d3dc2c043b4b79]*/
{
    return acquire_lock(self, blocking, timeout);
}

/*[clinic input]
_xxsubinterpreters.RLock.release

Undo one acquire(); RuntimeError if the lock is not this thread's.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_RLock_release_impl(_PySyncObject *self)
/*[clinic end generated code: output=8ff25485cf5a5124 input=ca3e7f3cd48a2873]*/
{
    return release_lock(self);
}

/*[clinic input]
_xxsubinterpreters.RLock.locked

Return True if the lock is locked, by whatever thread.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_RLock_locked_impl(_PySyncObject *self)
/*[clinic end generated code: output=26e9ee8cba4a5161 input=1caf24eb65be4a74]*/
{
    return is_locked(self);
}

/*[clinic input]
_xxsubinterpreters.RLock.__enter__

Acquire it.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_RLock___enter___impl(_PySyncObject *self)
/*[clinic end generated code: output=26a73a6e38cdb300 input=636ae6d1352249a8]*/
{
    return acquire_lock(self, 1, NULL);
}

/* What threading.Condition needs of its lock. */

static PyObject *
rlock_is_owned(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(_PySyncObject_IsOwned(get_sync(op)));
}

static PyObject *
rlock_recursion_count(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    _PySync *s = get_sync(op);
    return PyLong_FromUnsignedLongLong(_PySyncObject_IsOwned(s) ? _PySync_Depth(s) : 0);
}

static PyObject *
rlock_release_save(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    _PySync *s = get_sync(op);
    uint64_t depth = _PySync_Depth(s);
    if (!_PySyncObject_IsOwned(s) || _PySync_Release(s, _PySyncObject_Thread()) != _PySync_OK)
    {
        PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(depth);
}

static PyObject *
rlock_acquire_restore(PyObject *op, PyObject *arg)
{
    unsigned long long depth = PyLong_AsUnsignedLongLong(arg);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (_PySyncObject_Reacquire(get_state((_PySyncObject *)op), get_sync(op),
                                depth, -1) < 0)
    {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef rlock_methods[] = {
    _XXSUBINTERPRETERS_RLOCK_ACQUIRE_METHODDEF
    _XXSUBINTERPRETERS_RLOCK_RELEASE_METHODDEF
    _XXSUBINTERPRETERS_RLOCK_LOCKED_METHODDEF
    _XXSUBINTERPRETERS_RLOCK___ENTER___METHODDEF
    {"__exit__", _PyCFunction_CAST(lock_exit), METH_FASTCALL, exit_doc},
    {"_is_owned", rlock_is_owned, METH_NOARGS, NULL},
    {"_recursion_count", rlock_recursion_count, METH_NOARGS, NULL},
    {"_release_save", rlock_release_save, METH_NOARGS, NULL},
    {"_acquire_restore", rlock_acquire_restore, METH_O, NULL},
    {NULL},
};

static PyType_Slot rlock_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_RLock__doc__},
    {Py_tp_new, _xxsubinterpreters_RLock},
    {Py_tp_methods, rlock_methods},
    {Py_tp_getset, _PySyncObject_getset},
    _PySyncObject_SLOTS,
    {0, NULL},
};

static PyType_Spec rlock_spec = {
    .name = "interpreters.RLock",
    .basicsize = sizeof(_PySyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = rlock_slots,
};

PyType_Spec *const _PySyncObject_specs[_PySync_KINDS] = {
    [_PySync_LOCK] = &lock_spec,
    [_PySync_RLOCK] = &rlock_spec,
    [_PySync_SEMAPHORE] = &_PySemaphore_spec,
    [_PySync_BOUNDED_SEMAPHORE] = &_PyBoundedSemaphore_spec,
    [_PySync_EVENT] = &_PyEvent_spec,
    [_PySync_CONDITION] = &_PyCondition_spec,
    [_PySync_BARRIER] = &_PyBarrier_spec,
};
