/* RecvChannel and SendChannel: the Python objects over channel ends. */

#include "Python.h"
#include "pycore_pystate.h"       // _Py_ThreadCanHandleSignals()
#include "pycore_runtime.h"       // _PyRuntime
#include "pycore_time.h"          // _PyTime_FromSecondsObject()
#include "channelobject.h"
#include "message.h"

typedef struct {
    PyObject_HEAD
    _PyChannelEnd *end;             /* owned */
} ChannelObject;

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.RecvChannel "ChannelObject *" "clinic_state()->RecvChannel"
class _xxsubinterpreters.SendChannel "ChannelObject *" "clinic_state()->SendChannel"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=72147e841b121dfe]*/

#include "clinic/channelobject.c.h"

PyObject *
_PyChannelObject_New(_xxsub_state *state, _PyChannelEnd *end)
{
    PyTypeObject *type = end->side == _PyChannel_RECV ? state->RecvChannel
                                                      : state->SendChannel;
    ChannelObject *self = PyObject_New(ChannelObject, type);
    if (self == NULL) {
        _PyChannelEnd_Free(end);
        return NULL;
    }
    self->end = end;
    return (PyObject *)self;
}

static void
channel_dealloc(PyObject *op)
{
    ChannelObject *self = (ChannelObject *)op;
    PyTypeObject *type = Py_TYPE(self);
    _PyChannelEnd_Free(self->end);
    type->tp_free(self);
    Py_DECREF(type);
}


/* --- errors --------------------------------------------------------------- */

/* Set the exception for a status other than OK. */
static void
raise_status(_xxsub_state *state, _PyChannelEnd *end, _PyChannel_Status status)
{
    int receiving = end->side == _PyChannel_RECV;
    long long id = _PyChannelEnd_ID(end);
    switch (status) {
    case _PyChannel_WOULD_BLOCK:
        PyErr_Format(receiving ? state->ChannelEmptyError
                               : state->ChannelFullError,
                     "channel %lld is %s", id, receiving ? "empty" : "full");
        break;
    case _PyChannel_CLOSED:
        PyErr_Format(state->ChannelClosedError,
                     "channel %lld has no open %s end left", id,
                     receiving ? "sending" : "receiving");
        break;
    case _PyChannel_END_CLOSED:
        PyErr_Format(state->ChannelClosedError,
                     "this end of channel %lld is closed", id);
        break;
    case _PyChannel_TIMEOUT:
        PyErr_Format(PyExc_TimeoutError, "nothing %s channel %lld in time",
                     receiving ? "arrived from" : "was taken from", id);
        break;
    default:
        Py_UNREACHABLE();
    }
}

_PyChannelEnd *
_PyChannelObject_CloneEnd(_xxsub_state *state, PyObject *op)
{
    _PyChannelEnd *end = ((ChannelObject *)op)->end;
    _PyChannel_Status status;
    _PyChannelEnd *clone = _PyChannelEnd_Clone(end, &status);
    if (clone == NULL) {
        if (status == _PyChannel_OK) {
            PyErr_NoMemory();
        }
        else {
            raise_status(state, end, status);
        }
    }
    return clone;
}

/* Turn a timeout in seconds, or None, into a deadline.  Return -1 with an
   exception if it is neither. */
static int
get_deadline(PyObject *timeout, PyTime_t *deadline)
{
    if (timeout == Py_None) {
        *deadline = -1;
        return 0;
    }
    PyTime_t t;
    if (_PyTime_FromSecondsObject(&t, timeout, _PyTime_ROUND_TIMEOUT) < 0) {
        return -1;
    }
    if (t < 0) {
        PyErr_SetString(PyExc_ValueError, "timeout must not be negative");
        return -1;
    }
    *deadline = _PyDeadline_Init(t);
    return 0;
}


/* What a signal handler sets, if the calling thread is to handle signals. */
static const int *
signal_flag(void)
{
    return _Py_ThreadCanHandleSignals(PyInterpreterState_Get())
           ? &_PyRuntime.signals.is_tripped : NULL;
}


/* --- sending and receiving -------------------------------------------------- */

/* Send the encoding of `obj`.  Return 0, or -1 with an exception; then nothing
   was sent. */
static int
send_object(ChannelObject *self, PyObject *obj, int block, PyObject *timeout)
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    PyTime_t deadline;
    if (block && get_deadline(timeout, &deadline) < 0) {
        return -1;
    }
    _PyMessage *message = _PyMessage_Encode(state, obj, "obj");
    if (message == NULL) {
        return -1;
    }
    _PyChannelItem *item = _PyMessage_AsItem(message);
    _PyChannel_Status status = _PyChannel_Send(self->end, item);
    const int *interrupted = signal_flag();
    while (block && (status == _PyChannel_WOULD_BLOCK
                     || status == _PyChannel_INTR))
    {
        Py_BEGIN_ALLOW_THREADS
        status = _PyChannel_SendWait(self->end, item, deadline, interrupted);
        Py_END_ALLOW_THREADS
        if (status == _PyChannel_INTR && PyErr_CheckSignals() < 0) {
            break;
        }
    }
    if (status == _PyChannel_OK) {
        return 0;
    }
    if (status != _PyChannel_INTR) {
        raise_status(state, self->end, status);
    }
    PyObject *exc = PyErr_GetRaisedException();
    _PyMessage_Free(message);       /* may run code */
    PyErr_SetRaisedException(exc);
    return -1;
}

static _PyChannel_Status
receive_item(ChannelObject *self, int block, PyTime_t deadline,
             _PyChannelItem **item)
{
    _PyChannel_Status status = _PyChannel_Recv(self->end, item);
    const int *interrupted = signal_flag();
    while (block && (status == _PyChannel_WOULD_BLOCK
                     || status == _PyChannel_INTR))
    {
        Py_BEGIN_ALLOW_THREADS
        status = _PyChannel_RecvWait(self->end, item, deadline, interrupted);
        Py_END_ALLOW_THREADS
        if (status == _PyChannel_INTR && PyErr_CheckSignals() < 0) {
            break;
        }
    }
    return status;
}

static PyObject *
decode_item(ChannelObject *self, _PyChannelItem *item)
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    _PyMessage *message = _PyMessage_FromItem(item);
    PyObject *result = _PyMessage_Decode(state, message);
    PyObject *exc = result == NULL ? PyErr_GetRaisedException() : NULL;
    _PyMessage_Free(message);
    if (exc != NULL) {
        PyErr_SetRaisedException(exc);
    }
    return result;
}

static PyObject *
receive_object(ChannelObject *self, int block, PyObject *timeout)
{
    PyTime_t deadline = -1;
    if (block && get_deadline(timeout, &deadline) < 0) {
        return NULL;
    }
    _PyChannelItem *item;
    _PyChannel_Status status = receive_item(self, block, deadline, &item);
    if (status == _PyChannel_OK) {
        return decode_item(self, item);
    }
    if (status != _PyChannel_INTR) {
        raise_status(_xxsub_state_by_type(Py_TYPE(self)), self->end, status);
    }
    return NULL;
}

/*[clinic input]
_xxsubinterpreters.SendChannel.send

    obj: object
    /
    timeout: object = None

Send a copy of obj; block until it is received or has a place in the buffer.

A memoryview, wherever it occurs in obj, is not copied: the receiver gets a
memoryview of the same memory.  What cannot be sent raises NotShareableError.
timeout is in seconds, None for no limit; TimeoutError means that nothing was
sent.  ChannelClosedError means that no receiving end is open any more, or
that this end is closed.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_SendChannel_send_impl(ChannelObject *self, PyObject *obj,
                                         PyObject *timeout)
/*[clinic end generated code: output=d1aa7b4cdfa0d3c3 input=da472f160c0b443f]*/
{
    if (send_object(self, obj, 1, timeout) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.SendChannel.send_nowait

    obj: object
    /

Like send(), but never block: raise ChannelFullError instead.

An unbuffered channel is full unless a receiver is waiting.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_SendChannel_send_nowait(ChannelObject *self,
                                           PyObject *obj)
/*[clinic end generated code: output=7bc2d702f5999e65 input=a72689216f787c3c]*/
{
    if (send_object(self, obj, 0, NULL) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
send_view(ChannelObject *self, PyObject *obj, int block, PyObject *timeout)
{
    PyObject *view = PyMemoryView_FromObject(obj);
    if (view == NULL) {
        return NULL;
    }
    int r = send_object(self, view, block, timeout);
    Py_DECREF(view);
    if (r < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.SendChannel.send_buffer

    obj: object
    /
    timeout: object = None

Share the memory of obj, which must support the buffer protocol.

The receiver gets a memoryview of the same memory, of whatever size, in
constant time.  The memory stays exported until the last view of it, in any
interpreter, is released.  Otherwise like send().
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_SendChannel_send_buffer_impl(ChannelObject *self,
                                                PyObject *obj,
                                                PyObject *timeout)
/*[clinic end generated code: output=3a5a2fd67b6eaf55 input=eccecbf0939b8178]*/
{
    return send_view(self, obj, 1, timeout);
}

/*[clinic input]
_xxsubinterpreters.SendChannel.send_buffer_nowait

    obj: object
    /

Like send_buffer(), but never block: raise ChannelFullError instead.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_SendChannel_send_buffer_nowait(ChannelObject *self,
                                                  PyObject *obj)
/*[clinic end generated code: output=ee666b570b9fc13b input=56cc005a10a5a0a0]*/
{
    return send_view(self, obj, 0, NULL);
}

/*[clinic input]
_xxsubinterpreters.RecvChannel.recv

    timeout: object = None

Return the next message; block until there is one.

timeout is in seconds, None for no limit; TimeoutError means that nothing was
received.  ChannelClosedError means that the channel is empty and no sending
end is open any more, or that this end is closed.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_RecvChannel_recv_impl(ChannelObject *self,
                                         PyObject *timeout)
/*[clinic end generated code: output=0a874ec0f469d8f2 input=37c5cd46354c096a]*/
{
    return receive_object(self, 1, timeout);
}

/*[clinic input]
_xxsubinterpreters.RecvChannel.recv_nowait

    default: object = NULL
    /

Like recv(), but never block: return default instead.

Without a default raise ChannelEmptyError.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_RecvChannel_recv_nowait_impl(ChannelObject *self,
                                                PyObject *default_value)
/*[clinic end generated code: output=c0b828f87cc009af input=4c81160d1b95695a]*/
{
    _PyChannelItem *item;
    _PyChannel_Status status = receive_item(self, 0, -1, &item);
    if (status == _PyChannel_OK) {
        return decode_item(self, item);
    }
    if (status == _PyChannel_WOULD_BLOCK && default_value != NULL) {
        return Py_NewRef(default_value);
    }
    raise_status(_xxsub_state_by_type(Py_TYPE(self)), self->end, status);
    return NULL;
}

static PyObject *
recv_iternext(PyObject *op)
{
    ChannelObject *self = (ChannelObject *)op;
    _PyChannelItem *item;
    _PyChannel_Status status = receive_item(self, 1, -1, &item);
    if (status == _PyChannel_OK) {
        return decode_item(self, item);
    }
    if (status == _PyChannel_END_CLOSED) {
        raise_status(_xxsub_state_by_type(Py_TYPE(self)), self->end, status);
    }
    return NULL;                    /* CLOSED: the iteration ends */
}


/* --- what both ends have ------------------------------------------------------ */

static PyObject *
channel_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    _PyChannelEnd_Close(((ChannelObject *)op)->end);
    Py_RETURN_NONE;
}

static PyObject *
channel_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(op);
}

static PyObject *
channel_exit(PyObject *op, PyObject *Py_UNUSED(args))
{
    _PyChannelEnd_Close(((ChannelObject *)op)->end);
    Py_RETURN_NONE;
}

static Py_ssize_t
channel_length(PyObject *op)
{
    return _PyChannelEnd_Length(((ChannelObject *)op)->end);
}

static int
channel_bool(PyObject *Py_UNUSED(op))
{
    return 1;                       /* empty or not */
}

static PyObject *
channel_get_id(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(_PyChannelEnd_ID(((ChannelObject *)op)->end));
}

static PyObject *
channel_get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(_PyChannelEnd_IsClosed(((ChannelObject *)op)->end));
}

static PyObject *
channel_get_capacity(PyObject *op, void *Py_UNUSED(closure))
{
    Py_ssize_t n = _PyChannelEnd_Capacity(((ChannelObject *)op)->end);
    if (n == _PyChannel_UNBOUNDED) {
        Py_RETURN_NONE;
    }
    return PyLong_FromSsize_t(n);
}

static PyObject *
channel_repr(PyObject *op)
{
    _PyChannelEnd *end = ((ChannelObject *)op)->end;
    PyObject *capacity = channel_get_capacity(op, NULL);
    if (capacity == NULL) {
        return NULL;
    }
    PyObject *result = PyUnicode_FromFormat(
            "<interpreters.%s id=%lld capacity=%S len=%zd%s>",
            end->side == _PyChannel_RECV ? "RecvChannel" : "SendChannel",
            (long long)_PyChannelEnd_ID(end), capacity,
            _PyChannelEnd_Length(end),
            _PyChannelEnd_IsClosed(end) ? " closed" : "");
    Py_DECREF(capacity);
    return result;
}

/* Two ends are equal if they are the same side of the same channel. */
static PyObject *
channel_richcompare(PyObject *a, PyObject *b, int op)
{
    if (!Py_IS_TYPE(b, Py_TYPE(a)) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    int same = _PyChannelEnd_ID(((ChannelObject *)a)->end)
               == _PyChannelEnd_ID(((ChannelObject *)b)->end);
    return PyBool_FromLong(same == (op == Py_EQ));
}

static Py_hash_t
channel_hash(PyObject *op)
{
    return (Py_hash_t)_PyChannelEnd_ID(((ChannelObject *)op)->end);
}

PyDoc_STRVAR(close_doc,
"close($self, /)\n--\n\n"
"Close this end; does nothing if it is closed.\n"
"\n"
"Other ends of the same side stay open.  When the last receiving end is closed\n"
"senders get ChannelClosedError at once; when the last sending end is closed,\n"
"receivers get what is left first.");

PyDoc_STRVAR(id_doc, "The channel's number in this process (int).");
PyDoc_STRVAR(closed_doc, "True if this end is closed.");
PyDoc_STRVAR(capacity_doc,
"How many messages the channel holds: 0 for a rendezvous, None for no limit.");

#define CHANNEL_METHODS \
    {"close", channel_close, METH_NOARGS, close_doc}, \
    {"__enter__", channel_enter, METH_NOARGS, NULL}, \
    {"__exit__", channel_exit, METH_VARARGS, NULL}

static PyGetSetDef channel_getset[] = {
    {"id", channel_get_id, NULL, id_doc, NULL},
    {"closed", channel_get_closed, NULL, closed_doc, NULL},
    {"capacity", channel_get_capacity, NULL, capacity_doc, NULL},
    {NULL},
};

#define CHANNEL_SLOTS \
    {Py_tp_dealloc, channel_dealloc}, \
    {Py_tp_getset, channel_getset}, \
    {Py_tp_repr, channel_repr}, \
    {Py_tp_richcompare, channel_richcompare}, \
    {Py_tp_hash, channel_hash}, \
    {Py_sq_length, channel_length}, \
    {Py_nb_bool, channel_bool}

#define CHANNEL_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE \
                       | Py_TPFLAGS_DISALLOW_INSTANTIATION)

PyDoc_STRVAR(recv_doc,
"The receiving end of a channel; made by create_channel().\n"
"\n"
"Iterating receives until no sending end is open any more.  len() is the number\n"
"of messages waiting, those of blocked senders included; an end is always true.");

static PyMethodDef recv_methods[] = {
    _XXSUBINTERPRETERS_RECVCHANNEL_RECV_METHODDEF
    _XXSUBINTERPRETERS_RECVCHANNEL_RECV_NOWAIT_METHODDEF
    CHANNEL_METHODS,
    {NULL},
};

static PyType_Slot recv_slots[] = {
    {Py_tp_doc, (void *)recv_doc},
    {Py_tp_methods, recv_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, recv_iternext},
    CHANNEL_SLOTS,
    {0, NULL},
};

PyType_Spec _PyRecvChannel_spec = {
    .name = "interpreters.RecvChannel",
    .basicsize = sizeof(ChannelObject),
    .flags = CHANNEL_FLAGS,
    .slots = recv_slots,
};

PyDoc_STRVAR(send_doc,
"The sending end of a channel; made by create_channel().\n"
"\n"
"len() is the number of messages waiting, those of blocked senders included; an\n"
"end is always true.");

static PyMethodDef send_methods[] = {
    _XXSUBINTERPRETERS_SENDCHANNEL_SEND_METHODDEF
    _XXSUBINTERPRETERS_SENDCHANNEL_SEND_NOWAIT_METHODDEF
    _XXSUBINTERPRETERS_SENDCHANNEL_SEND_BUFFER_METHODDEF
    _XXSUBINTERPRETERS_SENDCHANNEL_SEND_BUFFER_NOWAIT_METHODDEF
    CHANNEL_METHODS,
    {NULL},
};

static PyType_Slot send_slots[] = {
    {Py_tp_doc, (void *)send_doc},
    {Py_tp_methods, send_methods},
    CHANNEL_SLOTS,
    {0, NULL},
};

PyType_Spec _PySendChannel_spec = {
    .name = "interpreters.SendChannel",
    .basicsize = sizeof(ChannelObject),
    .flags = CHANNEL_FLAGS,
    .slots = send_slots,
};
