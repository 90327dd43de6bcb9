/* The type Message: an encoded object, waiting to be used once. */

#include "Python.h"
#include "message.h"
#include "messageobject.h"
#include "state.h"

/*[clinic input]
module _xxsubinterpreters
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=02354679e2f8db14]*/

#define clinic_state() ((_xxsub_state *)PyModule_GetState(module))
#include "clinic/messageobject.c.h"
#undef clinic_state

typedef struct {
    PyObject_HEAD
    _PyMessage *message;            /* owned; NULL once used */
    Py_ssize_t exports;             /* of its memory */
} MessageObject;

/* Its records, to be looked at and, by tests, spoilt. */
static int
message_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    MessageObject *self = (MessageObject *)op;
    if (self->message == NULL) {
        PyErr_SetString(PyExc_BufferError, "the message was used before");
        view->obj = NULL;
        return -1;
    }
    size_t size;
    unsigned char *data = _PyMessage_Data(self->message, &size);
    int r = PyBuffer_FillInfo(view, op, data, size, /*readonly=*/0, flags);
    self->exports += r == 0;
    return r;
}

static void
message_releasebuffer(PyObject *op, Py_buffer *Py_UNUSED(view))
{
    ((MessageObject *)op)->exports--;
}

_PyMessage *
_PyMessageObject_Take(PyObject *op)
{
    MessageObject *self = (MessageObject *)op;
    _PyMessage *message = self->message;
    if (message == NULL) {
        PyErr_SetString(PyExc_ValueError, "the message was used before");
    }
    else if (self->exports > 0) {
        PyErr_SetString(PyExc_BufferError, "the message is looked at");
        return NULL;
    }
    self->message = NULL;
    return message;
}

static void
message_dealloc(PyObject *op)
{
    MessageObject *self = (MessageObject *)op;
    PyTypeObject *type = Py_TYPE(self);
    if (self->message != NULL) {
        _PyMessage_Free(self->message);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(message_doc,
"An object encoded by pack(), to be used once.  Its buffer are the records.");

static PyType_Slot message_slots[] = {
    {Py_tp_doc, (void *)message_doc},
    {Py_tp_dealloc, message_dealloc},
    {Py_bf_getbuffer, message_getbuffer},
    {Py_bf_releasebuffer, message_releasebuffer},
    {0, NULL},
};

PyType_Spec _PyMessageObject_spec = {
    .name = "_xxsubinterpreters.Message",
    .basicsize = sizeof(MessageObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = message_slots,
};

/*[clinic input]
_xxsubinterpreters.pack

    obj: object
    name: str
    /

Encode obj for exec(), call(), update_main() or unpack().

name stands for obj in the message of a NotShareableError.

Separate from these, so that what cannot be sent is found, and the state of obj
is taken, before a thread is started.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_pack_impl(PyObject *module, PyObject *obj,
                             const char *name)
/*[clinic end generated code: output=67e9c2e6156cc087 input=3e4ded3d8191f059]*/
{
    _xxsub_state *state = PyModule_GetState(module);
    _PyMessage *message = _PyMessage_Encode(state, obj, name);
    if (message == NULL) {
        return NULL;
    }
    MessageObject *self = PyObject_New(MessageObject, state->Message);
    if (self == NULL) {
        _PyMessage_Free(message);
        return NULL;
    }
    self->message = message;
    self->exports = 0;
    return (PyObject *)self;
}

/*[clinic input]
_xxsubinterpreters.unpack

    message: object(subclass_of="clinic_state()->Message")
    /

Return the object that was packed.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_unpack_impl(PyObject *module, PyObject *message)
/*[clinic end generated code: output=af280099e09b6a00 input=0d0412cbde3f70ab]*/

{
    _PyMessage *taken = _PyMessageObject_Take(message);
    if (taken == NULL) {
        return NULL;
    }
    return _PyMessage_Use(PyModule_GetState(module), taken);
}

PyMethodDef _PyMessageObject_functions[] = {
    _XXSUBINTERPRETERS_PACK_METHODDEF
    _XXSUBINTERPRETERS_UNPACK_METHODDEF
    {NULL},
};
