/* Let memory allocations fail, in one thread, for tests.

   fail_after(n, fn) calls fn() while every allocation of the calling thread
   after the first n fails, in all three domains of the allocator, and returns
   (result, exception, number of allocations that failed).  Other threads, and
   code after the call, are not affected.  fail_once(n, fn) lets only one fail. */

#include "Python.h"

static PyMemAllocatorEx original[3];
static const PyMemAllocatorDomain domains[3] = {
    PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ,
};
static int installed = 0;

/* -1: nothing fails.  Else how many allocations are left to succeed. */
static __thread long left = -1;
static __thread long failed = 0;
static __thread int once = 0;

static int
fails(void)
{
    if (left < 0) {
        return 0;
    }
    if (left > 0) {
        left--;
        return 0;
    }
    if (once && failed > 0) {
        return 0;
    }
    failed++;
    return 1;
}

static void *
do_malloc(void *ctx, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    return fails() ? NULL : a->malloc(a->ctx, size);
}

static void *
do_calloc(void *ctx, size_t n, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    return fails() ? NULL : a->calloc(a->ctx, n, size);
}

static void *
do_realloc(void *ctx, void *ptr, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    return fails() ? NULL : a->realloc(a->ctx, ptr, size);
}

static void
do_free(void *ctx, void *ptr)
{
    PyMemAllocatorEx *a = ctx;
    a->free(a->ctx, ptr);
}

static PyObject *
run(PyObject *args, int only_once)
{
    long n;
    PyObject *fn;
    if (!PyArg_ParseTuple(args, "lO", &n, &fn)) {
        return NULL;
    }
    failed = 0;
    once = only_once;
    left = n;
    PyObject *result = PyObject_CallNoArgs(fn);
    left = -1;
    PyObject *exc = PyErr_GetRaisedException();
    return Py_BuildValue("NNl", result != NULL ? result : Py_NewRef(Py_None),
                         exc != NULL ? exc : Py_NewRef(Py_None), failed);
}

static PyObject *
fail_after(PyObject *self, PyObject *args)
{
    return run(args, 0);
}

static PyObject *
fail_once(PyObject *self, PyObject *args)
{
    return run(args, 1);
}

static PyMethodDef methods[] = {
    {"fail_after", fail_after, METH_VARARGS},
    {"fail_once", fail_once, METH_VARARGS},
    {NULL},
};

/* To be imported first in the main interpreter, before there are others. */
static int
module_exec(PyObject *module)
{
    if (!installed) {
        installed = 1;
        for (int i = 0; i < 3; i++) {
            PyMem_GetAllocator(domains[i], &original[i]);
            PyMemAllocatorEx hook = {
                &original[i], do_malloc, do_calloc, do_realloc, do_free};
            PyMem_SetAllocator(domains[i], &hook);
        }
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

static PyModuleDef def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "faultinject",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_faultinject(void)
{
    return PyModuleDef_Init(&def);
}
