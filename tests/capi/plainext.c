/* For tests/test_extension_unloading.py: a module that knows nothing of interpreters with a GIL
   of their own, keeps objects for ever, and leaves nothing behind that is called later.  With
   KEPT it may: it refers to what can start threads. */

#include "Python.h"

#ifdef KEPT
#  include <pthread.h>
void *plainext_kept = (void *)pthread_create;
#endif

static PyObject *small, *large, *own_type;
static __thread long calls;

static PyMethodDef methods[];

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "plainext",
    .m_size = -1,
    .m_methods = methods,
};

/* Objects of the allocator's arenas, and one that is too large for these. */
static PyObject *
keep(PyObject *module, PyObject *unused)
{
    if (small == NULL) {
        small = PyList_New(3);
        large = PyBytes_FromStringAndSize(NULL, 1 << 20);
        own_type = PyErr_NewException("plainext.Kept", NULL, NULL);
    }
    if (small == NULL || large == NULL || own_type == NULL) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* How often this thread has called it. */
static PyObject *
count_calls(PyObject *module, PyObject *unused)
{
    return PyLong_FromLong(++calls);
}

static PyObject *
module_index(PyObject *module, PyObject *unused)
{
    return PyLong_FromSsize_t(definition.m_base.m_index);
}

static PyObject *
address(PyObject *module, PyObject *unused)
{
    return PyLong_FromVoidPtr((void *)&small);
}

static PyMethodDef methods[] = {
    {"keep", keep, METH_NOARGS},
    {"count_calls", count_calls, METH_NOARGS},
    {"module_index", module_index, METH_NOARGS},
    {"address", address, METH_NOARGS},
    {NULL},
};

PyMODINIT_FUNC
PyInit_plainext(void)
{
    return PyModule_Create(&definition);
}
