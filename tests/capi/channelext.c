/* A small extension that uses the C API of channels, for tests/test_capi.py. */

#include "interpchannel.h"

#include <pthread.h>

static const PyInterpChannel_CAPI *api;

/* How many blocks were destroyed, by whatever thread. */
static int destroyed = 0;

static void
destroy(void *arg)
{
    free(arg);
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}

static PyObject *
ext_destroyed(PyObject *self, PyObject *ignored)
{
    return PyLong_FromLong(__atomic_load_n(&destroyed, __ATOMIC_SEQ_CST));
}

/* new(capacity) -> (RecvChannel, SendChannel) */
static PyObject *
ext_new(PyObject *self, PyObject *arg)
{
    PyInterpChannel_End *recv, *send;
    Py_ssize_t capacity = PyLong_AsSsize_t(arg);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (api->New(capacity, &recv, &send) != PyInterpChannel_OK) {
        return PyErr_NoMemory();
    }
    PyObject *r = api->EndAsObject(recv);
    PyObject *s = api->EndAsObject(send);
    if (r == NULL || s == NULL) {
        Py_XDECREF(r);
        Py_XDECREF(s);
        return NULL;
    }
    return Py_BuildValue("NN", r, s);
}

/* Send `n` bytes of value `fill`; return the status. */
static PyInterpChannel_Status
send_filled(PyInterpChannel_End *end, Py_ssize_t n, int fill, int64_t timeout)
{
    char *data = malloc(n > 0 ? n : 1);
    if (data == NULL) {
        return PyInterpChannel_NO_MEMORY;
    }
    memset(data, fill, n);
    PyInterpChannel_Status status = api->Send(end, data, n, destroy, data,
                                              timeout);
    if (status != PyInterpChannel_OK) {
        free(data);                 /* still ours, and not counted */
    }
    return status;
}

/* send(SendChannel, n, fill, timeout_ns) -> status */
static PyObject *
ext_send(PyObject *self, PyObject *args)
{
    PyObject *obj;
    Py_ssize_t n;
    int fill;
    long long timeout;
    if (!PyArg_ParseTuple(args, "OniL", &obj, &n, &fill, &timeout)) {
        return NULL;
    }
    PyInterpChannel_End *end = api->EndFromObject(obj);
    if (end == NULL) {
        return NULL;
    }
    PyInterpChannel_Status status = send_filled(end, n, fill, timeout);
    api->Free(end);
    return PyLong_FromLong(status);
}

/* recv(RecvChannel, timeout_ns) -> bytes, for raw memory, or (object,) for
   another message, or the status, as an int */
static PyObject *
ext_recv(PyObject *self, PyObject *args)
{
    PyObject *obj;
    long long timeout;
    if (!PyArg_ParseTuple(args, "OL", &obj, &timeout)) {
        return NULL;
    }
    PyInterpChannel_End *end = api->EndFromObject(obj);
    if (end == NULL) {
        return NULL;
    }
    PyInterpChannel_Message *message;
    PyInterpChannel_Status status = api->Recv(end, &message, timeout);
    api->Free(end);
    if (status != PyInterpChannel_OK) {
        return PyLong_FromLong(status);
    }
    void *data;
    Py_ssize_t n;
    if (api->Data(message, &data, &n) < 0) {
        PyObject *result = api->AsObject(message);
        return result == NULL ? NULL : Py_BuildValue("(N)", result);
    }
    PyObject *result = PyBytes_FromStringAndSize(data, n);
    api->FreeMessage(message);
    return result;
}

/* A thread that Python knows nothing of: sends blocks of 0, 1, 2... bytes. */
struct job {
    PyInterpChannel_End *end;
    int count;
};

static void *
native_sender(void *arg)
{
    struct job *job = arg;
    for (int i = 0; i < job->count; i++) {
        if (send_filled(job->end, i, i & 0xff, PyInterpChannel_FOREVER)
            != PyInterpChannel_OK)
        {
            break;
        }
    }
    api->Free(job->end);
    free(job);
    return NULL;
}

/* send_from_native_thread(SendChannel, count) */
static PyObject *
ext_send_from_native_thread(PyObject *self, PyObject *args)
{
    PyObject *obj;
    int count;
    if (!PyArg_ParseTuple(args, "Oi", &obj, &count)) {
        return NULL;
    }
    struct job *job = malloc(sizeof(*job));
    if (job == NULL) {
        return PyErr_NoMemory();
    }
    *job = (struct job){api->EndFromObject(obj), count};
    pthread_t thread;
    if (job->end == NULL) {
        free(job);
        return NULL;
    }
    if (pthread_create(&thread, NULL, native_sender, job) != 0) {
        api->Free(job->end);
        free(job);
        PyErr_SetString(PyExc_RuntimeError, "no thread");
        return NULL;
    }
    pthread_detach(thread);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"destroyed", ext_destroyed, METH_NOARGS},
    {"new", ext_new, METH_O},
    {"send", ext_send, METH_VARARGS},
    {"recv", ext_recv, METH_VARARGS},
    {"send_from_native_thread", ext_send_from_native_thread, METH_VARARGS},
    {NULL},
};

static int
module_exec(PyObject *module)
{
    api = PyInterpChannel_Import();
    if (api == NULL) {
        return -1;
    }
    if (api->size < sizeof(PyInterpChannel_CAPI)) {
        PyErr_SetString(PyExc_ImportError, "the C API is too old");
        return -1;
    }
    static const struct {
        const char *name;
        int value;
    } constants[] = {
        {"OK", PyInterpChannel_OK},
        {"WOULD_BLOCK", PyInterpChannel_WOULD_BLOCK},
        {"TIMEOUT", PyInterpChannel_TIMEOUT},
        {"CLOSED", PyInterpChannel_CLOSED},
        {"END_CLOSED", PyInterpChannel_END_CLOSED},
        {"INTERRUPTED", PyInterpChannel_INTERRUPTED},
    };
    for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++) {
        if (PyModule_AddIntConstant(module, constants[i].name,
                                    constants[i].value) < 0)
        {
            return -1;
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
    .m_name = "channelext",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_channelext(void)
{
    return PyModuleDef_Init(&def);
}
