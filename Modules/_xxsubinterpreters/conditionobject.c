/* Condition: threads that wait to be notified, with a lock. */

/* Argument Clinic: not all names are among the runtime's static strings. */
#define Py_BUILD_CORE_MODULE 1

#include "Python.h"
#include "pycore_time.h"          // _PyDeadline_Get()
#include "syncobject.h"

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.Condition "_PySyncObject *" "clinic_type(CONDITION)"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=a40a04d5d0f691bd]*/

/* Where clinic asks for it, a class is at hand. */
#define clinic_type(kind) (_xxsub_state_by_type(type)->Sync[_PySync_##kind])
#include "clinic/conditionobject.c.h"
#undef clinic_type

static inline _xxsub_state *
get_state(_PySyncObject *self)
{
    return _xxsub_state_by_type(Py_TYPE(self));
}

/* A new reference to what an object stands for, which must be a Lock or RLock, or, for
   None, to a new RLock; NULL with an exception. */
static _PySync *
get_lock(_xxsub_state *state, PyObject *obj)
{
    if (obj == Py_None) {
        _PySync *lock = _PySync_New(_PySync_RLOCK, 0);
        if (lock == NULL) {
            PyErr_NoMemory();
        }
        return lock;
    }
    if (!Py_IS_TYPE(obj, state->Sync[_PySync_LOCK])
        && !Py_IS_TYPE(obj, state->Sync[_PySync_RLOCK]))
    {
        PyErr_Format(PyExc_TypeError,
                     "lock must be an interpreters.Lock or RLock, not %T", obj);
        return NULL;
    }
    return _PySync_Incref(((_PySyncObject *)obj)->sync);
}

/*[clinic input]
@classmethod
_xxsubinterpreters.Condition.__new__

    lock: object = None

A lock, and threads that wait until something changes, as threading.Condition.

lock is a Lock or RLock of this module; None makes an RLock.  What is sent has
the same lock.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Condition_impl(PyTypeObject *type, PyObject *lock)
/*[clinic end generated code: output=c34993acf9364aa6 input=0f525b88230cb3d9]*/
{
    _PySync *of = get_lock(_xxsub_state_by_type(type), lock);
    if (of == NULL) {
        return NULL;
    }
    PyObject *self = _PySyncObject_New(type, _PySync_NewCondition(of));
    _PySync_Decref(of);
    return self;
}

static int
check_owned(_PySyncObject *self, const char *what)
{
    if (!_PySyncObject_IsOwned(self->sync->lock)) {
        PyErr_Format(PyExc_RuntimeError, "cannot %s un-acquired lock", what);
        return -1;
    }
    return 0;
}

/* Release the lock, wait, acquire the lock.  Return 1, or 0 if not notified in time,
   or -1 with an exception.  Who does not use a notification passes it on. */
static int
wait_once(_PySyncObject *self, PyTime_t deadline)
{
    _PySync *s = self->sync;
    if (check_owned(self, "wait on") < 0) {
        return -1;
    }
    _PySyncWait wait = {0};
    uint64_t depth = _PySync_Depth(s->lock);
    _PySync_WaitForNotify(s, &wait);
    int64_t interp = s->lock->kind == _PySync_RLOCK
                     ? _PySync_Value(_PySync_State(s->lock)) : -1;
    if (_PySync_Release(s->lock, _PySyncObject_Thread()) != _PySync_OK) {
        /* Another thread released it just now. */
        if (_PySync_Cancel(s, &wait)) {
            _PySync_Notify(s, 1);
        }
        return check_owned(self, "wait on");
    }
    int r = _PySyncObject_Wait(s, &wait, deadline);
    if (r < 1 && _PySync_Cancel(s, &wait)) {
        if (r == 0) {
            r = 1;
        }
        else {
            _PySync_Notify(s, 1);
        }
    }
    /* An RLock stays with the interpreter that acquired it first. */
    if (_PySyncObject_Reacquire(get_state(self), s->lock, depth, interp) < 0) {
        if (r == 1) {
            _PySync_Notify(s, 1);   /* for another one */
        }
        return -1;
    }
    return r;
}

/*[clinic input]
_xxsubinterpreters.Condition.acquire

    blocking: bool = True
    timeout: object(c_default="NULL") = -1

Acquire the lock, as its acquire().
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Condition_acquire_impl(_PySyncObject *self, int blocking,
                                          PyObject *timeout)
/*[clinic end generated code: output=3c5591078eff48d1 input=7a9a3c59e2c8efdb]*/
{
    int r = _PySyncObject_Acquire(get_state(self), self->sync->lock, blocking,
                                  timeout);
    return r < 0 ? NULL : PyBool_FromLong(r);
}

/*[clinic input]
_xxsubinterpreters.Condition.release

Release the lock, as its release().
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Condition_release_impl(_PySyncObject *self)
/*[clinic end generated code: output=fab9a0c20aad59e5 input=b9e91479fbfdb19e]*/
{
    if (_PySyncObject_Release(self->sync->lock) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.Condition.locked

Return True if the lock is locked.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Condition_locked_impl(_PySyncObject *self)
/*[clinic end generated code: output=0bd56fcc8bc8839b input=b8f3b23cf06ab2b7]*/
{
    return PyBool_FromLong((_PySync_State(self->sync->lock) & _PySync_LOCKED) != 0);
}

/*[clinic input]
_xxsubinterpreters.Condition.__enter__

Acquire the lock.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Condition___enter___impl(_PySyncObject *self)
/*[clinic end generated code: output=8ab14065e407a252 input=343d123321ea3ff6]*/
{
    int r = _PySyncObject_Acquire(get_state(self), self->sync->lock, 1, NULL);
    return r < 0 ? NULL : PyBool_FromLong(r);
}

static PyObject *
condition_exit(PyObject *op, PyObject *const *Py_UNUSED(args),
               Py_ssize_t Py_UNUSED(n))
{
    return _xxsubinterpreters_Condition_release_impl((_PySyncObject *)op);
}

PyDoc_STRVAR(condition_exit_doc,
"__exit__($self, /, *exc_info)\n--\n\nRelease the lock.");

/*[clinic input]
_xxsubinterpreters.Condition.wait

    timeout: object = None

Release the lock, wait to be notified, acquire the lock.

Return True, or False if not notified in time; timeout is in seconds, None for
no limit.  RuntimeError if the lock is not acquired.  Nothing breaks the wait
for the lock at the end: whatever is raised, the lock is acquired.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Condition_wait_impl(_PySyncObject *self,
                                       PyObject *timeout)
/*[clinic end generated code: output=63e9a80efc154b9c input=bef85e3f53225a03]*/
{
    PyTime_t deadline;
    if (_PySyncObject_GetDeadline(timeout, &deadline) < 0) {
        return NULL;
    }
    int r = wait_once(self, deadline);
    return r < 0 ? NULL : PyBool_FromLong(r);
}

/*[clinic input]
_xxsubinterpreters.Condition.wait_for

    predicate: object
    timeout: object = None

Wait until predicate() is true; return what it returned last.

It is called with the lock acquired.  timeout is in seconds, None for no limit.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Condition_wait_for_impl(_PySyncObject *self,
                                           PyObject *predicate,
                                           PyObject *timeout)
/*[clinic end generated code: output=bf546f0e452d04cf input=657f082a387e5734]*/
{
    PyTime_t deadline;
    if (_PySyncObject_GetDeadline(timeout, &deadline) < 0) {
        return NULL;
    }
    for (int waited = 0; ; waited = 1) {
        PyObject *result = PyObject_CallNoArgs(predicate);
        int is_true = result != NULL ? PyObject_IsTrue(result) : -1;
        if (is_true > 0
            || (is_true == 0 && waited && deadline >= 0
                && _PyDeadline_Get(deadline) <= 0))
        {
            return result;
        }
        Py_XDECREF(result);
        if (is_true < 0 || wait_once(self, deadline) < 0) {
            return NULL;
        }
    }
}

/*[clinic input]
_xxsubinterpreters.Condition.notify

    n: Py_ssize_t = 1

Wake the n threads that wait for longest, or all if there are fewer.

RuntimeError if the lock is not acquired.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Condition_notify_impl(_PySyncObject *self, Py_ssize_t n)
/*[clinic end generated code: output=99fc491c1c3f2d08 input=6508dd84236c5242]*/
{
    if (check_owned(self, "notify on") < 0) {
        return NULL;
    }
    _PySync_Notify(self->sync, Py_MAX(n, 0));
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.Condition.notify_all

Wake all threads that wait; RuntimeError if the lock is not acquired.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Condition_notify_all_impl(_PySyncObject *self)
/*[clinic end generated code: output=6e09b00cf97dd8f4 input=b79d4528f1399088]*/
{
    if (check_owned(self, "notify on") < 0) {
        return NULL;
    }
    _PySync_Notify(self->sync, -1);
    Py_RETURN_NONE;
}

static PyMethodDef condition_methods[] = {
    _XXSUBINTERPRETERS_CONDITION_ACQUIRE_METHODDEF
    _XXSUBINTERPRETERS_CONDITION_RELEASE_METHODDEF
    _XXSUBINTERPRETERS_CONDITION_LOCKED_METHODDEF
    _XXSUBINTERPRETERS_CONDITION___ENTER___METHODDEF
    {"__exit__", _PyCFunction_CAST(condition_exit), METH_FASTCALL,
     condition_exit_doc},
    _XXSUBINTERPRETERS_CONDITION_WAIT_METHODDEF
    _XXSUBINTERPRETERS_CONDITION_WAIT_FOR_METHODDEF
    _XXSUBINTERPRETERS_CONDITION_NOTIFY_METHODDEF
    _XXSUBINTERPRETERS_CONDITION_NOTIFY_ALL_METHODDEF
    {NULL},
};

static PyType_Slot condition_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_Condition__doc__},
    {Py_tp_new, _xxsubinterpreters_Condition},
    {Py_tp_methods, condition_methods},
    {Py_tp_getset, _PySyncObject_getset},
    _PySyncObject_SLOTS,
    {0, NULL},
};

PyType_Spec _PyCondition_spec = {
    .name = "interpreters.Condition",
    .basicsize = sizeof(_PySyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = condition_slots,
};
