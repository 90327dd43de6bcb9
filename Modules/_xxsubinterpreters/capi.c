/* The C API of the module: see Include/interpchannel.h. */

#include "Python.h"
#include "interpchannel.h"
#include "pycore_pystate.h"       // _PyThreadState_GET()
#include "pycore_time.h"          // _PyDeadline_Init()
#include "blocking.h"
#include "capi.h"
#include "channelobject.h"
#include "message.h"
#include "state.h"

struct PyInterpChannel_Message {
    _PyChannelItem item;
};

static inline _PyChannelEnd *
engine_end(PyInterpChannel_End *end)
{
    return (_PyChannelEnd *)end;
}

static inline PyInterpChannel_End *
public_end(_PyChannelEnd *end)
{
    return (PyInterpChannel_End *)end;
}

static PyInterpChannel_Status
public_status(_PyChannel_Status status)
{
    switch (status) {
    case _PyChannel_OK:
        return PyInterpChannel_OK;
    case _PyChannel_WOULD_BLOCK:
        return PyInterpChannel_WOULD_BLOCK;
    case _PyChannel_TIMEOUT:
        return PyInterpChannel_TIMEOUT;
    case _PyChannel_CLOSED:
        return PyInterpChannel_CLOSED;
    case _PyChannel_END_CLOSED:
        return PyInterpChannel_END_CLOSED;
    case _PyChannel_NO_MEMORY:
        return PyInterpChannel_NO_MEMORY;
    case _PyChannel_SIGNAL:
    case _PyChannel_BROKEN:
        return PyInterpChannel_INTERRUPTED;
    }
    Py_UNREACHABLE();
}

static PyInterpChannel_Status
do_op(_PyChannelOp *op, int64_t timeout_ns)
{
    if (timeout_ns == 0) {
        return public_status(_PyChannel_Try(op));
    }
    PyTime_t deadline = timeout_ns < 0 ? -1 : _PyDeadline_Init(timeout_ns);
    return public_status(_PyBlocking_DoOnce(op, deadline));
}


/* --- channels --------------------------------------------------------------- */

static PyInterpChannel_Status
capi_new(Py_ssize_t capacity, PyInterpChannel_End **recv,
         PyInterpChannel_End **send)
{
    _PyChannelEnd *r, *s;
    int failed = _PyChannel_New(capacity, &r, &s) < 0;
    *recv = public_end(r);
    *send = public_end(s);
    return failed ? PyInterpChannel_NO_MEMORY : PyInterpChannel_OK;
}

static void
capi_free(PyInterpChannel_End *end)
{
    _PyChannelEnd_Free(engine_end(end));
}

static PyObject *
capi_end_as_object(PyInterpChannel_End *end)
{
    PyObject *module = PyImport_ImportModule("_xxsubinterpreters");
    if (module == NULL) {
        _PyChannelEnd_Free(engine_end(end));
        return NULL;
    }
    PyObject *result = _PyChannelObject_New(PyModule_GetState(module),
                                            engine_end(end));
    Py_DECREF(module);
    return result;
}

static PyInterpChannel_End *
capi_end_from_object(PyObject *obj)
{
    PyObject *module = PyImport_ImportModule("_xxsubinterpreters");
    if (module == NULL) {
        return NULL;
    }
    _xxsub_state *state = PyModule_GetState(module);
    _PyChannelEnd *end = NULL;
    if (Py_IS_TYPE(obj, state->RecvChannel) || Py_IS_TYPE(obj, state->SendChannel)) {
        end = _PyChannelObject_CloneEnd(state, obj);
    }
    else {
        PyErr_Format(PyExc_TypeError,
                     "expected a RecvChannel or a SendChannel, not %R", obj);
    }
    Py_DECREF(module);
    return public_end(end);
}


/* --- messages --------------------------------------------------------------- */

static PyInterpChannel_Status
capi_send(PyInterpChannel_End *end, void *data, Py_ssize_t nbytes,
          void (*destroy)(void *), void *arg, int64_t timeout_ns)
{
    /* The block calls `destroy`, so it is not made before nothing can fail. */
    Py_ssize_t one = 1;
    const Py_buffer view = {
        .buf = data, .len = nbytes, .itemsize = 1, .ndim = 1, .format = "B",
        .shape = &nbytes, .strides = &one,
    };
    _PyBlock *block = _PyBlock_Wrap(data, nbytes, destroy, arg);
    if (block == NULL) {
        return PyInterpChannel_NO_MEMORY;
    }
    _PyBlock_Describe(block, "raw memory", -1);
    _PyChannelOp op = {.end = engine_end(end), .side = _PyChannel_SEND};
    PyInterpChannel_Status status = PyInterpChannel_NO_MEMORY;
    _PySharedBuffer *buffer = _PySharedBuffer_New(block, &view);
    if (buffer != NULL) {
        op.item = _PyMessage_BufferItem(buffer);
        status = op.end->sides & _PyChannel_CAN_SEND
                 ? do_op(&op, timeout_ns) : PyInterpChannel_END_CLOSED;
    }
    if (status != PyInterpChannel_OK) {
        _PyBlock_Disarm(block);     /* the memory stays the caller's */
        if (buffer != NULL) {
            _PyChannelItem_Destroy(op.item);
        }
    }
    _PyBlock_Decref(block);
    return status;
}

static PyInterpChannel_Status
capi_recv(PyInterpChannel_End *end, PyInterpChannel_Message **message,
          int64_t timeout_ns)
{
    *message = NULL;
    PyInterpChannel_Message *result = PyMem_RawMalloc(sizeof(*result));
    if (result == NULL) {
        return PyInterpChannel_NO_MEMORY;
    }
    _PyChannelOp op = {.end = engine_end(end), .side = _PyChannel_RECV};
    PyInterpChannel_Status status = op.end->sides & _PyChannel_CAN_RECV
                                    ? do_op(&op, timeout_ns)
                                    : PyInterpChannel_END_CLOSED;
    if (status != PyInterpChannel_OK) {
        PyMem_RawFree(result);
        return status;
    }
    result->item = op.item;
    *message = result;
    return PyInterpChannel_OK;
}

static int
capi_data(PyInterpChannel_Message *message, void **data, Py_ssize_t *nbytes)
{
    _PySharedBuffer *buffer = _PyMessage_ItemBuffer(message->item);
    if (buffer == NULL) {
        return -1;
    }
    _PyBlock *block = _PySharedBuffer_Block(buffer);
    *data = _PyBlock_Data(block);
    *nbytes = _PyBlock_Size(block);
    return 0;
}

static PyObject *
capi_as_object(PyInterpChannel_Message *message)
{
    PyObject *module = PyImport_ImportModule("_xxsubinterpreters");
    PyObject *result = NULL;
    if (module != NULL) {
        result = _PyMessage_DecodeItem(PyModule_GetState(module),
                                       message->item);
        Py_DECREF(module);
    }
    else {
        PyObject *exc = PyErr_GetRaisedException();
        _PyChannelItem_Destroy(message->item);
        PyErr_SetRaisedException(exc);
    }
    PyMem_RawFree(message);
    return result;
}

static void
capi_free_message(PyInterpChannel_Message *message)
{
    _PyChannelItem_Destroy(message->item);
    PyMem_RawFree(message);
}


/* --- the capsule ------------------------------------------------------------ */

static const PyInterpChannel_CAPI capi = {
    .size = sizeof(PyInterpChannel_CAPI),
    .New = capi_new,
    .Free = capi_free,
    .Send = capi_send,
    .Recv = capi_recv,
    .Data = capi_data,
    .AsObject = capi_as_object,
    .FreeMessage = capi_free_message,
    .EndAsObject = capi_end_as_object,
    .EndFromObject = capi_end_from_object,
};

PyObject *
_PyCAPI_NewCapsule(void)
{
    return PyCapsule_New((void *)&capi, PyInterpChannel_CAPSULE, NULL);
}
