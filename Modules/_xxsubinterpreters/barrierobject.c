/* Barrier: threads that wait for each other. */

/* Argument Clinic: not all names are among the runtime's static strings. */
#define Py_BUILD_CORE_MODULE 1

#include "Python.h"
#include "pycore_time.h"          // _PyDeadline_Init()
#include "syncobject.h"

typedef struct {
    _PySyncObject base;
    PyObject *action;               /* of this interpreter; NULL for none */
} BarrierObject;

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.Barrier "BarrierObject *" "clinic_type(BARRIER)"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=ea7456c3498332f9]*/

/* Where clinic asks for it, a class is at hand. */
#define clinic_type(kind) (_xxsub_state_by_type(type)->Sync[_PySync_##kind])
#include "clinic/barrierobject.c.h"
#undef clinic_type

static PyObject *
new_barrier(PyTypeObject *type, _PySync *s, PyObject *action)
{
    PyObject *self = _PySyncObject_New(type, s);
    if (self != NULL && action != Py_None) {
        ((BarrierObject *)self)->action = Py_NewRef(action);
    }
    return self;
}

/*[clinic input]
@classmethod
_xxsubinterpreters.Barrier.__new__

    parties: Py_ssize_t
    action: object = None
    timeout: object = None

Threads of any interpreters that wait for each other, as threading.Barrier.

action, which is sent with the barrier, is called by the last of the parties that
arrives, in its interpreter.  timeout is in seconds, None for no limit, and is
what wait() has without one.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Barrier_impl(PyTypeObject *type, Py_ssize_t parties,
                                PyObject *action, PyObject *timeout)
/*[clinic end generated code: output=7bbe1345e58abdb1 input=7ae8494b517fa118]*/
{
    PyTime_t t = -1;
    if (parties < 1) {
        PyErr_SetString(PyExc_ValueError, "parties must be > 0");
        return NULL;
    }
    if (timeout != Py_None) {
        if (_PyTime_FromSecondsObject(&t, timeout, _PyTime_ROUND_TIMEOUT) < 0) {
            return NULL;
        }
        t = Py_MAX(t, 0);
    }
    _PySync *s = _PySync_NewBarrier(parties, action != Py_None, t);
    return new_barrier(type, s, action);
}

int
_PyBarrierObject_HasAction(PyObject *obj)
{
    return ((BarrierObject *)obj)->action != NULL;
}

PyObject *
_PyBarrierObject_WithAction(_xxsub_state *state, PyObject *obj, PyObject *action)
{
    PyTypeObject *type = state->Sync[_PySync_BARRIER];
    if (!Py_IS_TYPE(obj, type)) {
        PyErr_Format(PyExc_TypeError, "not a Barrier: %T", obj);
        return NULL;
    }
    return new_barrier(type, _PySync_Incref(((_PySyncObject *)obj)->sync), action);
}

/* How one with an action is sent: as one without, which goes by handle, and the
   action. */
static PyObject *
barrier_transfer(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    BarrierObject *self = (BarrierObject *)op;
    PyObject *action = self->action != NULL ? self->action : Py_None;
    PyObject *with_action = PyObject_GetAttrString(PyType_GetModule(Py_TYPE(op)),
                                                   "_barrier_with_action");
    PyObject *bare = new_barrier(Py_TYPE(op), _PySync_Incref(self->base.sync),
                                 Py_None);
    if (with_action == NULL || bare == NULL) {
        Py_XDECREF(with_action);
        Py_XDECREF(bare);
        return NULL;
    }
    return Py_BuildValue("N(NO)", with_action, bare, action);
}

static int
broken(void)
{
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *exc = threading != NULL
                    ? PyObject_GetAttrString(threading, "BrokenBarrierError") : NULL;
    if (exc != NULL) {
        PyErr_SetNone(exc);
    }
    Py_XDECREF(exc);
    Py_XDECREF(threading);
    return -1;
}

/* All have come, and wait for this.  Return 0, or -1 with an exception. */
static int
run_action(BarrierObject *self)
{
    PyObject *result = self->action != NULL
                       ? PyObject_CallNoArgs(self->action) : Py_NewRef(Py_None);
    PyObject *exc = PyErr_GetRaisedException();
    Py_XDECREF(result);
    _PySync_Status status = _PySync_ActionDone(self->base.sync, exc == NULL);
    if (exc != NULL) {
        PyErr_SetRaisedException(exc);
        return -1;
    }
    return status == _PySync_OK ? 0 : broken();
}

/* Wait for the others.  Return what was granted, or -1 with an exception: then this
   thread is none of the parties any more. */
static int
wait_for_others(_PySync *s, _PySyncWait *wait, PyTime_t deadline)
{
    for (;;) {
        int r = _PySyncObject_Wait(s, wait, deadline);
        if (r > 0) {
            return wait->status;
        }
        if (r < 0) {
            if (_PySync_Cancel(s, wait) && wait->status == _PySync_LAST) {
                (void)_PySync_ActionDone(s, 0);
            }
            return -1;
        }
        _PySync_Status status = _PySync_ArrivedTooEarly(s, wait);
        if (status != _PySync_WAITING) {
            return status;
        }
        deadline = -1;
    }
}

/*[clinic input]
_xxsubinterpreters.Barrier.wait

    timeout: object = None

Wait until as many threads as there are parties do; return an int.

That is different for each of them, from 0 on.  threading.BrokenBarrierError if
the barrier is broken, or reset, or, after which it is broken, if the others do not
come in time.  timeout is in seconds, None for the barrier's.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Barrier_wait_impl(BarrierObject *self, PyObject *timeout)
/*[clinic end generated code: output=f2efc819a5e42b9d input=a317aefdfffe1d60]*/
{
    _PySync *s = self->base.sync;
    PyTime_t deadline;
    if (_PySyncObject_GetDeadline(timeout, &deadline) < 0) {
        return NULL;
    }
    if (timeout == Py_None && s->barrier.timeout >= 0) {
        deadline = _PyDeadline_Init(s->barrier.timeout);
    }
    _PySyncWait wait = {0};
    int status = _PySync_Arrive(s, &wait);
    if (status == _PySync_WAITING) {
        status = wait_for_others(s, &wait, deadline);
    }
    if (status < 0 || (status == _PySync_BROKEN && broken() < 0)
        || (status == _PySync_LAST && run_action(self) < 0))
    {
        return NULL;
    }
    return PyLong_FromSsize_t(wait.index);
}

/*[clinic input]
_xxsubinterpreters.Barrier.reset

Begin anew; threads that wait get threading.BrokenBarrierError.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Barrier_reset_impl(BarrierObject *self)
/*[clinic end generated code: output=8f248004891e17ac input=dfd25b2b160df430]*/
{
    _PySync_ResetBarrier(self->base.sync, /*broken=*/0);
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.Barrier.abort

Break the barrier: until reset(), who waits gets threading.BrokenBarrierError.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Barrier_abort_impl(BarrierObject *self)
/*[clinic end generated code: output=183e60fcd5036c90 input=295019ba01e16295]*/
{
    _PySync_ResetBarrier(self->base.sync, /*broken=*/1);
    Py_RETURN_NONE;
}

static PyObject *
barrier_get_parties(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(((_PySyncObject *)op)->sync->barrier.parties);
}

static PyObject *
barrier_get_broken(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(_PySync_IsBroken(((_PySyncObject *)op)->sync));
}

static int
barrier_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((BarrierObject *)op)->action);
    return 0;
}

static int
barrier_clear(PyObject *op)
{
    Py_CLEAR(((BarrierObject *)op)->action);
    return 0;
}

static void
barrier_dealloc(PyObject *op)
{
    PyObject_GC_UnTrack(op);
    (void)barrier_clear(op);
    _PySyncObject_Dealloc(op);
}

static PyMethodDef barrier_methods[] = {
    _XXSUBINTERPRETERS_BARRIER_WAIT_METHODDEF
    _XXSUBINTERPRETERS_BARRIER_RESET_METHODDEF
    _XXSUBINTERPRETERS_BARRIER_ABORT_METHODDEF
    {"__transfer__", barrier_transfer, METH_NOARGS, NULL},
    {NULL},
};

static PyGetSetDef barrier_getset[] = {
    {"id", _PySyncObject_GetID, NULL, PyDoc_STR("Its number in this process (int).")},
    {"parties", barrier_get_parties, NULL,
     PyDoc_STR("How many threads pass it together (int).")},
    {"n_waiting", _PySyncObject_CountWaiting, NULL,
     PyDoc_STR("How many threads wait for others (int).")},
    {"broken", barrier_get_broken, NULL,
     PyDoc_STR("True if the barrier is broken.")},
    {NULL},
};

static PyType_Slot barrier_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_Barrier__doc__},
    {Py_tp_new, _xxsubinterpreters_Barrier},
    {Py_tp_methods, barrier_methods},
    {Py_tp_getset, barrier_getset},
    {Py_tp_traverse, barrier_traverse},
    {Py_tp_clear, barrier_clear},
    {Py_tp_dealloc, barrier_dealloc},
    {Py_tp_repr, _PySyncObject_Repr},
    {Py_tp_richcompare, _PySyncObject_RichCompare},
    {Py_tp_hash, _PySyncObject_Hash},
    {Py_tp_members, _PySyncObject_members},
    {0, NULL},
};

PyType_Spec _PyBarrier_spec = {
    .name = "interpreters.Barrier",
    .basicsize = sizeof(BarrierObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = barrier_slots,
};
