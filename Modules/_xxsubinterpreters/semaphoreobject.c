/* Semaphore, BoundedSemaphore and Event. */

/* Argument Clinic: not all names are among the runtime's static strings. */
#define Py_BUILD_CORE_MODULE 1

#include "Python.h"
#include "syncobject.h"

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.Semaphore "_PySyncObject *" "clinic_type(SEMAPHORE)"
class _xxsubinterpreters.BoundedSemaphore "_PySyncObject *" "clinic_type(BOUNDED_SEMAPHORE)"
class _xxsubinterpreters.Event "_PySyncObject *" "clinic_type(EVENT)"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=0a5731b600e65010]*/

/* Where clinic asks for it, a class is at hand. */
#define clinic_type(kind) (_xxsub_state_by_type(type)->Sync[_PySync_##kind])
#include "clinic/semaphoreobject.c.h"
#undef clinic_type


/* --- semaphores ------------------------------------------------------------ */

static PyObject *
new_semaphore(PyTypeObject *type, _PySync_Kind kind, long long value)
{
    if (value < 0) {
        PyErr_SetString(PyExc_ValueError, "semaphore initial value must be >= 0");
        return NULL;
    }
    if (value > _PySync_MAX_VALUE) {
        PyErr_SetString(PyExc_OverflowError, "semaphore initial value is too large");
        return NULL;
    }
    return _PySyncObject_New(type, _PySync_New(kind, value));
}

static PyObject *
acquire_semaphore(_PySyncObject *self, int blocking, PyObject *timeout)
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    PyTime_t deadline;
    if (!blocking && timeout != Py_None) {
        PyErr_SetString(PyExc_ValueError,
                        "can't specify timeout for non-blocking acquire");
        return NULL;
    }
    if (_PySyncObject_GetDeadline(timeout, &deadline) < 0) {
        return NULL;
    }
    int r = _PySyncObject_TryAcquire(state, self->sync);
    if (r == 0 && blocking) {
        r = _PySyncObject_AcquireBlocking(state, self->sync, deadline);
    }
    return r < 0 ? NULL : PyBool_FromLong(r);
}

static PyObject *
release_semaphore(_PySyncObject *self, long long n)
{
    if (n < 1) {
        PyErr_SetString(PyExc_ValueError, "n must be one or more");
        return NULL;
    }
    if (_PySync_ReleasePermits(self->sync, n) != _PySync_OK) {
        PyErr_SetString(self->sync->kind == _PySync_BOUNDED_SEMAPHORE
                        ? PyExc_ValueError : PyExc_OverflowError,
                        "Semaphore released too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(exit_doc,
"__exit__($self, /, *exc_info)\n--\n\nAdd a permit.");

static PyObject *
semaphore_exit(PyObject *op, PyObject *const *Py_UNUSED(args),
               Py_ssize_t Py_UNUSED(n))
{
    return release_semaphore((_PySyncObject *)op, 1);
}

/*[clinic input]
@classmethod
_xxsubinterpreters.Semaphore.__new__

    value: long_long = 1

A number of permits for threads of any interpreters, as threading.Semaphore.

Threads that wait get permits in the order in which they came.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Semaphore_impl(PyTypeObject *type, long long value)
/*[clinic end generated code: output=530f5aa4e06476f8 input=3a52c484e0b443cb]*/
{
    return new_semaphore(type, _PySync_SEMAPHORE, value);
}

/*[clinic input]
_xxsubinterpreters.Semaphore.acquire

    blocking: bool = True
    timeout: object = None

Take a permit; return True, or False if none can be had in time.

timeout is in seconds, None for no limit.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Semaphore_acquire_impl(_PySyncObject *self, int blocking,
                                          PyObject *timeout)
/*[clinic end generated code: output=6095de4d087c62bd input=e1e94a78b0fc6f34]*/
{
    return acquire_semaphore(self, blocking, timeout);
}

/*[clinic input]
_xxsubinterpreters.Semaphore.release

    n: long_long = 1

Add n permits.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Semaphore_release_impl(_PySyncObject *self, long long n)
/*[clinic end generated code: output=c10e8a78bec26bf9 input=347718cdf13225c4]*/
{
    return release_semaphore(self, n);
}

/*[clinic input]
_xxsubinterpreters.Semaphore.__enter__

Take a permit.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Semaphore___enter___impl(_PySyncObject *self)
/*[clinic end generated code: output=d24d3a11f6aea678 input=f8aa58aca8968e4d]*/
{
    return acquire_semaphore(self, 1, Py_None);
}

static PyMethodDef semaphore_methods[] = {
    _XXSUBINTERPRETERS_SEMAPHORE_ACQUIRE_METHODDEF
    _XXSUBINTERPRETERS_SEMAPHORE_RELEASE_METHODDEF
    _XXSUBINTERPRETERS_SEMAPHORE___ENTER___METHODDEF
    {"__exit__", _PyCFunction_CAST(semaphore_exit), METH_FASTCALL, exit_doc},
    {NULL},
};

static PyType_Slot semaphore_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_Semaphore__doc__},
    {Py_tp_new, _xxsubinterpreters_Semaphore},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_getset, _PySyncObject_getset},
    _PySyncObject_SLOTS,
    {0, NULL},
};

PyType_Spec _PySemaphore_spec = {
    .name = "interpreters.Semaphore",
    .basicsize = sizeof(_PySyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = semaphore_slots,
};

/*[clinic input]
@classmethod
_xxsubinterpreters.BoundedSemaphore.__new__

    value: long_long = 1

A Semaphore that never has more permits than in the beginning.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_BoundedSemaphore_impl(PyTypeObject *type, long long value)
/*[clinic end generated code: output=b9d35da0ed40ba64 input=83f13d8c4afde5f9]*/
{
    return new_semaphore(type, _PySync_BOUNDED_SEMAPHORE, value);
}

/*[clinic input]
_xxsubinterpreters.BoundedSemaphore.acquire = _xxsubinterpreters.Semaphore.acquire

Take a permit; return True, or False if none can be had in time.

timeout is in seconds, None for no limit.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_BoundedSemaphore_acquire_impl(_PySyncObject *self,
                                                 int blocking,
                                                 PyObject *timeout)
/*[clinic end generated code: output=a2a4f2d4c76cc60b input=37344f5e46e41489]*/
{
    return acquire_semaphore(self, blocking, timeout);
}

/*[clinic input]
_xxsubinterpreters.BoundedSemaphore.release

    n: long_long = 1

Add n permits; ValueError if there would be more than in the beginning.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_BoundedSemaphore_release_impl(_PySyncObject *self,
                                                 long long n)
/*[clinic end generated code: output=c6fd5b52a450ba7f input=0e26521c995a79e0]*/
{
    return release_semaphore(self, n);
}

/*[clinic input]
_xxsubinterpreters.BoundedSemaphore.__enter__

Take a permit.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_BoundedSemaphore___enter___impl(_PySyncObject *self)
/*[clinic end generated code: output=4d6cd52e7ff0f664 input=837bd9528a145875]*/
{
    return acquire_semaphore(self, 1, Py_None);
}

static PyMethodDef bounded_methods[] = {
    _XXSUBINTERPRETERS_BOUNDEDSEMAPHORE_ACQUIRE_METHODDEF
    _XXSUBINTERPRETERS_BOUNDEDSEMAPHORE_RELEASE_METHODDEF
    _XXSUBINTERPRETERS_BOUNDEDSEMAPHORE___ENTER___METHODDEF
    {"__exit__", _PyCFunction_CAST(semaphore_exit), METH_FASTCALL, exit_doc},
    {NULL},
};

static PyType_Slot bounded_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_BoundedSemaphore__doc__},
    {Py_tp_new, _xxsubinterpreters_BoundedSemaphore},
    {Py_tp_methods, bounded_methods},
    {Py_tp_getset, _PySyncObject_getset},
    _PySyncObject_SLOTS,
    {0, NULL},
};

PyType_Spec _PyBoundedSemaphore_spec = {
    .name = "interpreters.BoundedSemaphore",
    .basicsize = sizeof(_PySyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = bounded_slots,
};


/* --- events ---------------------------------------------------------------- */

/*[clinic input]
@classmethod
_xxsubinterpreters.Event.__new__

A flag that threads of any interpreters wait for, as threading.Event.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Event_impl(PyTypeObject *type)
/*[clinic end generated code: output=410239bfebd608f6 input=91987bfc04ea3e36]*/
{
    return _PySyncObject_New(type, _PySync_New(_PySync_EVENT, 0));
}

/*[clinic input]
_xxsubinterpreters.Event.is_set

Return True if the flag is set.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Event_is_set_impl(_PySyncObject *self)
/*[clinic end generated code: output=341e875764aadf7e input=f571d4df37a30e97]*/
{
    return PyBool_FromLong(_PySync_State(self->sync) != 0);
}

/*[clinic input]
_xxsubinterpreters.Event.set

Set the flag; all threads that wait go on.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Event_set_impl(_PySyncObject *self)
/*[clinic end generated code: output=698b1db05c66ad79 input=cac488056d1dafdd]*/
{
    _PySync_SetEvent(self->sync);
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.Event.clear

Clear the flag.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Event_clear_impl(_PySyncObject *self)
/*[clinic end generated code: output=74bebaaad24263cb input=5753654baaa49c7d]*/
{
    _PySync_ClearEvent(self->sync);
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.Event.wait

    timeout: object = None

Wait until the flag is set; return True, or False if it was not in time.

timeout is in seconds, None for no limit.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Event_wait_impl(_PySyncObject *self, PyObject *timeout)
/*[clinic end generated code: output=27b09a37cfac1685 input=464e814f8ccce6ee]*/
{
    PyTime_t deadline;
    if (_PySyncObject_GetDeadline(timeout, &deadline) < 0) {
        return NULL;
    }
    _PySync *s = self->sync;
    _PySyncWait wait = {0};
    int r = 1;
    if (_PySync_WaitForEvent(s, &wait) == _PySync_WAITING) {
        r = _PySyncObject_Wait(s, &wait, deadline);
        if (r < 1 && _PySync_Cancel(s, &wait) && r == 0) {
            r = 1;
        }
    }
    return r < 0 ? NULL : PyBool_FromLong(r);
}

static PyMethodDef event_methods[] = {
    _XXSUBINTERPRETERS_EVENT_IS_SET_METHODDEF
    _XXSUBINTERPRETERS_EVENT_SET_METHODDEF
    _XXSUBINTERPRETERS_EVENT_CLEAR_METHODDEF
    _XXSUBINTERPRETERS_EVENT_WAIT_METHODDEF
    {NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_Event__doc__},
    {Py_tp_new, _xxsubinterpreters_Event},
    {Py_tp_methods, event_methods},
    {Py_tp_getset, _PySyncObject_getset},
    _PySyncObject_SLOTS,
    {0, NULL},
};

PyType_Spec _PyEvent_spec = {
    .name = "interpreters.Event",
    .basicsize = sizeof(_PySyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = event_slots,
};
