/* For tests/test_extension_copies.py: a module that knows nothing of interpreters with a GIL
   of their own, and does what such modules do. */

#include "Python.h"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

/* --- variables ------------------------------------------------------------ */

static int order[8], steps;
static int argument_count;

__attribute__((constructor)) static void
construct(int argc, char **argv, char **envp)
{
    order[steps++] = 1;
    argument_count = argc > 0 && argv[argc] == NULL && envp == argv + argc + 1 ? argc : -1;
}

__attribute__((destructor)) static void
destruct(void)
{
    if (write(1, "destructor\n", 11) < 0) {
        abort();
    }
}

/* One in the process, if the loader has its way. */
__asm__(".pushsection .data\n"
        ".globl copyext_unique\n"
        ".type copyext_unique, %gnu_unique_object\n"
        ".size copyext_unique, 8\n"
        "copyext_unique: .quad 0\n"
        ".popsection\n");
extern long copyext_unique;

static PyObject *
count_unique(PyObject *module, PyObject *unused)
{
    return PyLong_FromLong(++copyext_unique);
}

static PyObject *
constructed(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("iii", steps, order[0], argument_count);
}

/* Neither of the two is written to when it is loaded. */
static const char text[1 << 16] = "shared with the original";

static PyObject *
address_of_text(PyObject *module, PyObject *unused)
{
    return PyLong_FromVoidPtr((void *)text);
}


/* --- native threads ------------------------------------------------------- */

static void
call_back(void *callable)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *result = PyObject_CallNoArgs(callable);
    if (result == NULL) {
        PyErr_WriteUnraisable(callable);
    }
    Py_XDECREF(result);
    PyGILState_Release(state);
}

static void *
work(void *callable)
{
    call_back(callable);
    return NULL;
}

/* Call it in a native thread, and wait for that without the GIL. */
static PyObject *
pool(PyObject *module, PyObject *callable)
{
    pthread_t thread;
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = pthread_create(&thread, NULL, work, callable);
    if (error == 0) {
        pthread_join(thread, NULL);
    }
    Py_END_ALLOW_THREADS
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

/* As cffi does, keep the thread state for the thread's next call. */
static void
keep_thread_state(void)
{
    if (PyThreadState_Get()->gilstate_counter == 1) {
        (void)PyGILState_Ensure();
    }
}

struct kept_worker {
    PyObject *callable;
    sem_t called;
};

static void *
work_and_stay(void *data)
{
    struct kept_worker *worker = data;
    for (int i = 0; i < 3; i++) {
        PyGILState_STATE state = PyGILState_Ensure();
        keep_thread_state();
        call_back(worker->callable);
        PyGILState_Release(state);
    }
    sem_post(&worker->called);
    for (;;) {
        pause();
    }
    return NULL;
}

/* Call it three times in a native thread that keeps its state, and does not end. */
static PyObject *
pool_that_stays(PyObject *module, PyObject *callable)
{
    struct kept_worker worker = {.callable = callable};
    sem_init(&worker.called, 0, 0);
    pthread_t thread;
    errno = pthread_create(&thread, NULL, work_and_stay, &worker);
    if (errno != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    pthread_detach(thread);
    Py_BEGIN_ALLOW_THREADS
    sem_wait(&worker.called);
    Py_END_ALLOW_THREADS
    sem_destroy(&worker.called);
    Py_RETURN_NONE;
}

static void *
hammer_for_ever(void *unused)
{
    for (;;) {
        PyGILState_STATE state = PyGILState_Ensure();
        PyGILState_Release(state);
        usleep(100);
    }
    return NULL;
}

/* Begin to visit the interpreter, again and again, in a thread that nobody waits for. */
static PyObject *
hammer(PyObject *module, PyObject *unused)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, hammer_for_ever, NULL);
    if (errno != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    pthread_detach(thread);
    Py_RETURN_NONE;
}

/* The address of a function that visits this interpreter, and calls back(callable) there. */
static void
through(void (*back)(void *), void *callable)
{
    PyGILState_STATE state = PyGILState_Ensure();
    back(callable);
    PyGILState_Release(state);
}

static PyObject *
address_of_through(PyObject *module, PyObject *unused)
{
    return PyLong_FromVoidPtr((void *)(uintptr_t)through);
}

static void
through_and_keep(void)
{
    PyGILState_STATE state = PyGILState_Ensure();
    keep_thread_state();
    PyGILState_Release(state);
}

static PyObject *
address_of_through_and_keep(PyObject *module, PyObject *unused)
{
    return PyLong_FromVoidPtr((void *)(uintptr_t)through_and_keep);
}

/* Go where address_of_through_and_keep() was called, and back, in this thread. */
static PyObject *
go_through(PyObject *module, PyObject *address)
{
    void (*function)(void) = (void (*)(void))(uintptr_t)PyLong_AsVoidPtr(address);
    if (function == NULL) {
        return NULL;
    }
    function();
    Py_RETURN_NONE;
}

struct nested {
    void (*through)(void (*)(void *), void *);
    PyObject *first, *second;
};

static void *
visit_twice(void *data)
{
    struct nested *nested = data;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *result = PyObject_CallNoArgs(nested->first);
    Py_XDECREF(result);
    nested->through(call_back, nested->second);
    Py_CLEAR(nested->first);
    Py_CLEAR(nested->second);
    PyGILState_Release(state);
    free(nested);
    return NULL;
}

/* visit(address, first, second): in a native thread, call first() here and then second(), by
   way of the copy that the address of address_of_through() is of. */
static PyObject *
visit(PyObject *module, PyObject *args)
{
    unsigned long long address;
    PyObject *first, *second;
    if (!PyArg_ParseTuple(args, "KOO", &address, &first, &second)) {
        return NULL;
    }
    struct nested *nested = malloc(sizeof(*nested));
    if (nested == NULL) {
        return PyErr_NoMemory();
    }
    nested->through = (void (*)(void (*)(void *), void *))(uintptr_t)address;
    nested->first = Py_NewRef(first);
    nested->second = Py_NewRef(second);
    pthread_t thread;
    errno = pthread_create(&thread, NULL, visit_twice, nested);
    if (errno != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    pthread_detach(thread);
    Py_RETURN_NONE;
}


/* --- the end -------------------------------------------------------------- */

static void
ensure_and_print(PyObject *capsule)
{
    PyGILState_STATE state = PyGILState_Ensure();
    if (write(1, "capsule\n", 8) < 0) {
        abort();
    }
    PyGILState_Release(state);
}

/* Leave an object to the interpreter that calls into the module when it is cleared. */
static PyObject *
keep(PyObject *module, PyObject *unused)
{
    PyObject *dict = PyInterpreterState_GetDict(PyInterpreterState_Get());
    PyObject *capsule = PyCapsule_New(&order, "copyext", ensure_and_print);
    if (capsule == NULL || PyDict_SetItemString(dict, "copyext", capsule) < 0) {
        Py_XDECREF(capsule);
        return NULL;
    }
    Py_DECREF(capsule);
    Py_RETURN_NONE;
}

static void
say_exit(void)
{
    if (write(1, "exit function\n", 14) < 0) {
        abort();
    }
}

static PyObject *
at_exit(PyObject *module, PyObject *unused)
{
    return PyBool_FromLong(Py_AtExit(say_exit) == 0);
}

static int
say_pending(void *callable)
{
    PyObject *result = PyObject_CallNoArgs(callable);
    Py_DECREF(callable);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

static void *
add_pending_call(void *callable)
{
    return Py_AddPendingCall(say_pending, callable) == 0 ? callable : NULL;
}

/* Have it called by the interpreter, as a native thread that ends does. */
static PyObject *
pend(PyObject *module, PyObject *callable)
{
    pthread_t thread;
    void *result;
    errno = pthread_create(&thread, NULL, add_pending_call, Py_NewRef(callable));
    if (errno != 0) {
        Py_DECREF(callable);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    pthread_join(thread, &result);
    return PyBool_FromLong(result != NULL);
}

static PyObject *
is_main(PyObject *module, PyObject *unused)
{
    return PyBool_FromLong(PyInterpreterState_Main() == PyInterpreterState_Get());
}

static PyMethodDef methods[] = {
    {"count_unique", count_unique, METH_NOARGS},
    {"constructed", constructed, METH_NOARGS},
    {"address_of_text", address_of_text, METH_NOARGS},
    {"pool", pool, METH_O},
    {"pool_that_stays", pool_that_stays, METH_O},
    {"address_of_through_and_keep", address_of_through_and_keep, METH_NOARGS},
    {"go_through", go_through, METH_O},
    {"hammer", hammer, METH_NOARGS},
    {"address_of_through", address_of_through, METH_NOARGS},
    {"visit", visit, METH_VARARGS},
    {"keep", keep, METH_NOARGS},
    {"at_exit", at_exit, METH_NOARGS},
    {"pend", pend, METH_O},
    {"is_main", is_main, METH_NOARGS},
    {NULL}
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "copyext", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC
PyInit_copyext(void)
{
    return PyModule_Create(&definition);
}
