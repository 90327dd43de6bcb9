/* The context manager exclusive().  What it does is in Python/exclusive.c. */

/* Argument Clinic: not all names are among the runtime's static strings. */
#define Py_BUILD_CORE_MODULE 1

#include "Python.h"
#include "pycore_exclusive.h"     // _PyExclusive_Begin()
#include "pycore_pystate.h"       // _PyThreadState_GET()
#include "pycore_time.h"          // _PyTime_FromSecondsObject()
#include "exclusiveobject.h"
#include "state.h"

typedef struct {
    PyObject_HEAD
    PyTime_t timeout;               /* in ns; negative for none */
} exclusive;

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.exclusive "exclusive *" "&exclusive_type"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=c60fe25edc1f6f56]*/

#include "clinic/exclusiveobject.c.h"

/*[clinic input]
@classmethod
_xxsubinterpreters.exclusive.__new__

    timeout: object = None

A block in which no other thread of the process runs Python.

Entering it waits until that is so, for at most timeout seconds, None for no
limit, and raises TimeoutError.  Threads that are blocked or in native code
without a GIL are not waited for; they wait before they run Python again.  Blocks
can be nested.  Inside, what would wait for another thread raises RuntimeError.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_exclusive_impl(PyTypeObject *type, PyObject *timeout)
/*[clinic end generated code: output=150651fca6b73468 input=550812a4e616b5c8]*/
{
    PyTime_t t = -1;
    if (timeout != Py_None) {
        if (_PyTime_FromSecondsObject(&t, timeout, _PyTime_ROUND_TIMEOUT) < 0) {
            return NULL;
        }
        if (t < 0) {
            PyErr_SetString(PyExc_ValueError, "timeout must not be negative");
            return NULL;
        }
    }
    exclusive *self = (exclusive *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->timeout = t;
    }
    return (PyObject *)self;
}

static void
exclusive_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    type->tp_free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(enter_doc,
"__enter__($self, /)\n--\n\nBegin the block; TimeoutError if it cannot begin in time.");

static PyObject *
exclusive_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (_PyExclusive_Begin(_PyThreadState_GET(), ((exclusive *)op)->timeout) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(exit_doc,
"__exit__($self, /, *exc_info)\n--\n\nEnd the block, which must be the calling thread's.");

static PyObject *
exclusive_exit(PyObject *Py_UNUSED(op), PyObject *const *Py_UNUSED(args),
               Py_ssize_t Py_UNUSED(n))
{
    if (_PyExclusive_End() < 0) {
        PyErr_SetString(PyExc_RuntimeError, "the thread is in no exclusive() block");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef exclusive_methods[] = {
    {"__enter__", exclusive_enter, METH_NOARGS, enter_doc},
    {"__exit__", _PyCFunction_CAST(exclusive_exit), METH_FASTCALL, exit_doc},
    {NULL},
};

static PyType_Slot exclusive_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_exclusive__doc__},
    {Py_tp_new, _xxsubinterpreters_exclusive},
    {Py_tp_methods, exclusive_methods},
    {Py_tp_traverse, _xxsub_traverse_type},
    {Py_tp_dealloc, exclusive_dealloc},
    {0, NULL},
};

PyType_Spec _PyExclusive_spec = {
    .name = "interpreters.exclusive",
    .basicsize = sizeof(exclusive),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = exclusive_slots,
};
