/* RecvChannel and SendChannel: the Python objects over channel ends. */

#include "Python.h"
#include "blocking.h"
#include "bufferview.h"
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
    PyTypeObject *type = end->sides == _PyChannel_CAN_RECV
                         ? state->RecvChannel : state->SendChannel;
    ChannelObject *self = PyObject_GC_New(ChannelObject, type);
    if (self == NULL) {
        _PyChannelEnd_Free(end);
        return NULL;
    }
    self->end = end;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static void
channel_dealloc(PyObject *op)
{
    ChannelObject *self = (ChannelObject *)op;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(op);
    _PyChannelEnd_Free(self->end);
    type->tp_free(self);
    Py_DECREF(type);
}


/* --- errors --------------------------------------------------------------- */

void
_PyChannelObject_RaiseStatus(_xxsub_state *state, const _PyChannelOp *op,
                             _PyChannel_Status status)
{
    int receiving = op->side == _PyChannel_RECV;
    long long id = _PyChannelEnd_ID(op->end);
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
    case _PyChannel_NO_MEMORY:
        PyErr_NoMemory();
        break;
    case _PyChannel_TIMEOUT:
        PyErr_Format(PyExc_TimeoutError, "nothing %s channel %lld in time",
                     receiving ? "arrived from" : "was taken from", id);
        break;
    case _PyChannel_SIGNAL:
    case _PyChannel_BROKEN:
        assert(PyErr_Occurred());
        break;
    case _PyChannel_OK:
        Py_UNREACHABLE();
    }
}

_PyChannelEnd *
_PyChannelObject_End(PyObject *op)
{
    return ((ChannelObject *)op)->end;
}

_PyChannelEnd *
_PyChannelObject_CloneEnd(_xxsub_state *state, PyObject *op)
{
    _PyChannelEnd *end = ((ChannelObject *)op)->end;
    _PyChannel_Status status;
    _PyChannelEnd *clone = _PyChannelEnd_Clone(end, &status);
    if (clone == NULL) {
        const _PyChannelOp any = {.end = end};
        _PyChannelObject_RaiseStatus(state, &any, status);
    }
    return clone;
}


/* --- sending and receiving -------------------------------------------------- */

/* Send the encoding of `obj`.  Return 0, or -1 with an exception; then nothing
   was sent. */
static int
send_object(ChannelObject *self, PyObject *obj, int block, PyObject *timeout)
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    PyTime_t deadline;
    if (_PyBlocking_GetDeadline(timeout, &deadline) < 0) {
        return -1;
    }
    _PyChannelOp op = {.end = self->end, .side = _PyChannel_SEND};
    if (_PyMessage_EncodeItem(state, obj, "obj", &op.item) < 0) {
        return -1;
    }
    _PyChannel_Status status = block ? _PyBlocking_Do(&op, deadline)
                                     : _PyChannel_Try(&op);
    if (status == _PyChannel_OK) {
        return 0;
    }
    _PyChannelObject_RaiseStatus(state, &op, status);
    PyObject *exc = PyErr_GetRaisedException();
    _PyChannelItem_Destroy(op.item);    /* may run code */
    PyErr_SetRaisedException(exc);
    return -1;
}

/* Receive and decode.  NULL with an exception, except that instead of one of
   the status `quiet`, NULL is returned without. */
static PyObject *
receive_object(ChannelObject *self, int block, PyObject *timeout,
               _PyChannel_Status quiet)
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    PyTime_t deadline;
    if (_PyBlocking_GetDeadline(timeout, &deadline) < 0) {
        return NULL;
    }
    _PyChannelOp op = {.end = self->end, .side = _PyChannel_RECV};
    _PyChannel_Status status = block ? _PyBlocking_Do(&op, deadline)
                                     : _PyChannel_Try(&op);
    if (status == _PyChannel_OK) {
        return _PyMessage_DecodeItem(state, op.item);
    }
    if (status != quiet) {
        _PyChannelObject_RaiseStatus(state, &op, status);
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
    PyObject *view = _PyBufferView_Of(obj);
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
    return receive_object(self, 1, timeout, _PyChannel_OK);
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
    PyObject *result = receive_object(self, 0, NULL,
                                      default_value == NULL
                                      ? _PyChannel_OK : _PyChannel_WOULD_BLOCK);
    if (result == NULL && !PyErr_Occurred()) {
        return Py_NewRef(default_value);
    }
    return result;
}

static PyObject *
recv_iternext(PyObject *op)
{
    /* CLOSED: the iteration ends. */
    return receive_object((ChannelObject *)op, 1, NULL, _PyChannel_CLOSED);
}

#define DRAIN_BATCH 64

/* Decode items and append the objects.  All items are used up.  On failure the
   rest is destroyed, since it cannot be put back in order. */
static int
append_items(_xxsub_state *state, PyObject *list, const _PyChannelItem *items,
             Py_ssize_t n)
{
    Py_ssize_t i = 0;
    int r = 0;
    for (; i < n && r == 0; i++) {
        PyObject *obj = _PyMessage_DecodeItem(state, items[i]);
        r = obj != NULL ? PyList_Append(list, obj) : -1;
        Py_XDECREF(obj);
    }
    PyObject *exc = PyErr_GetRaisedException();
    for (; i < n; i++) {
        _PyChannelItem_Destroy(items[i]);
    }
    PyErr_SetRaisedException(exc);
    return r;
}

/*[clinic input]
_xxsubinterpreters.RecvChannel.drain

    max: Py_ssize_t(accept={int, NoneType}) = -1
    /

Return a list of the messages that are there, oldest first; never block.

At most max of them, if it is given.  Those of blocked senders are among them.
An empty list means that there are none, whether or not a sending end is open.
If a message cannot be decoded, its error is raised, and those already taken are
lost.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_RecvChannel_drain_impl(ChannelObject *self,
                                          Py_ssize_t max)
/*[clinic end generated code: output=cadcacaff6d95ffc input=0d0ee11e9fab0fc8]*/
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    PyObject *list = PyList_New(0);
    if (max < -1) {
        PyErr_SetString(PyExc_ValueError, "max must not be negative");
        Py_CLEAR(list);
    }
    /* What comes meanwhile is not waited for. */
    Py_ssize_t left = _PyChannelEnd_Length(self->end);
    if (max >= 0 && max < left) {
        left = max;
    }
    if (_PyChannelEnd_IsClosed(self->end)) {
        const _PyChannelOp op = {.end = self->end};
        _PyChannelObject_RaiseStatus(state, &op, _PyChannel_END_CLOSED);
        Py_CLEAR(list);
    }
    while (list != NULL && left > 0) {
        _PyChannelItem items[DRAIN_BATCH];
        _PyChannel_Status status;
        Py_ssize_t n = _PyChannel_Drain(self->end, items,
                                        Py_MIN(left, DRAIN_BATCH), &status);
        if (append_items(state, list, items, n) < 0) {
            Py_CLEAR(list);
        }
        left = status == _PyChannel_OK ? left - n : 0;
    }
    return list;
}


/* --- asyncio -------------------------------------------------------------------- */

/* These are written in Python, in the public module. */

static PyObject *
call_public(const char *name, PyObject *self, PyObject *arg)
{
    PyObject *module = PyImport_ImportModule("interpreters");
    PyObject *func = module != NULL ? PyObject_GetAttrString(module, name)
                                    : NULL;
    PyObject *result = func == NULL ? NULL
                       : PyObject_CallFunctionObjArgs(func, self, arg, NULL);
    Py_XDECREF(func);
    Py_XDECREF(module);
    return result;
}

static PyObject *
recv_arecv(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return call_public("_arecv", self, NULL);
}

static PyObject *
recv_anext(PyObject *self)
{
    return call_public("_anext", self, NULL);
}

static PyObject *
send_asend(PyObject *self, PyObject *obj)
{
    return call_public("_asend", self, obj);
}

PyDoc_STRVAR(arecv_doc,
"arecv($self, /)\n--\n\n"
"Return an awaitable for the next message.\n"
"\n"
"As recv(), in an asyncio event loop.  If the task is cancelled a message that it\n"
"had been given goes back to the front of the channel.");

PyDoc_STRVAR(asend_doc,
"asend($self, obj, /)\n--\n\n"
"Return an awaitable that sends a copy of obj.\n"
"\n"
"As send(), in an asyncio event loop.  A task that is cancelled may have sent the\n"
"message or not.");


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
            end->sides == _PyChannel_CAN_RECV ? "RecvChannel" : "SendChannel",
            (long long)_PyChannelEnd_ID(end), capacity,
            _PyChannelEnd_Length(end),
            _PyChannelEnd_IsClosed(end) ? " closed" : " open");
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
    {Py_tp_traverse, _xxsub_traverse_type}, \
    {Py_tp_dealloc, channel_dealloc}, \
    {Py_tp_getset, channel_getset}, \
    {Py_tp_repr, channel_repr}, \
    {Py_tp_richcompare, channel_richcompare}, \
    {Py_tp_hash, channel_hash}, \
    {Py_sq_length, channel_length}, \
    {Py_nb_bool, channel_bool}

#define CHANNEL_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE \
                       | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_GC)

PyDoc_STRVAR(recv_doc,
"The receiving end of a channel; made by create_channel().\n"
"\n"
"Iterating receives until no sending end is open any more.  len() is the number\n"
"of messages waiting, those of blocked senders included; an end is always true.");

static PyMethodDef recv_methods[] = {
    _XXSUBINTERPRETERS_RECVCHANNEL_RECV_METHODDEF
    _XXSUBINTERPRETERS_RECVCHANNEL_RECV_NOWAIT_METHODDEF
    _XXSUBINTERPRETERS_RECVCHANNEL_DRAIN_METHODDEF
    {"arecv", recv_arecv, METH_NOARGS, arecv_doc},
    CHANNEL_METHODS,
    {NULL},
};

static PyType_Slot recv_slots[] = {
    {Py_tp_doc, (void *)recv_doc},
    {Py_tp_methods, recv_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, recv_anext},
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
    {"asend", send_asend, METH_O, asend_doc},
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
