/* Port and Operation: sends and receives that an event loop waits for.

   A Port has a file descriptor that is readable when operations begun with it
   are done.  An Operation is one of them.  Everything here runs under the GIL
   of the one interpreter that has the Port; only the engine's side of an
   operation, a `struct pending`, is touched by others. */

#include "Python.h"
#include "asyncobject.h"
#include "channelobject.h"
#include "message.h"
#include "port.h"
#include "state.h"

typedef struct {
    PyObject_HEAD
    _PyPort *port;                  /* a reference */
    _PyPortEntry *ready, **last;    /* done, taken from the port, and still to
                                       be returned by collect() */
} PortObject;

/* What the engine sees of an operation; its Operation frees it, which takes it
   back first if the engine refers to it: while it waits, or is posted and not
   yet collected. */
struct pending {
    _PyWaiter waiter;
    _PyChannelOp op;
    PyObject *operation;            /* borrowed */
    PyObject *channel;              /* strong: keeps the end */
};

typedef struct {
    PyObject_HEAD
    struct pending *pending;        /* NULL once it is over and taken */
    PyObject *port;                 /* strong */
    PyObject *future;               /* whatever the caller wants told */
    int waiting;                    /* the engine refers to `pending` */
} OperationObject;

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.Port "PortObject *" "clinic_state()->Port"
class _xxsubinterpreters.Operation "OperationObject *" "clinic_state()->Operation"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=c26fe34a5498fab3]*/

/* Where clinic asks for it, a class is at hand. */
#define clinic_state() (_xxsub_state_by_type(type))
#include "clinic/asyncobject.c.h"
#undef clinic_state


/* --- what the engine sees ---------------------------------------------------- */

/* The engine does not refer to it any more. */
static void
free_pending(struct pending *pending)
{
    PyObject *channel = pending->channel;
    _PyPort_Decref(pending->waiter.port);
    PyMem_RawFree(pending);
    Py_DECREF(channel);
}

/* Let go of an operation that is done and whose outcome nobody wants: nothing
   is lost. */
static void
discard_outcome(_PyChannelOp *op)
{
    if (op->side == _PyChannel_RECV && op->status == _PyChannel_OK) {
        _PyChannel_GiveBack(op);
        return;
    }
    if (op->side == _PyChannel_SEND && op->status != _PyChannel_OK) {
        _PyChannelItem_Destroy(op->item);
    }
    _PyChannel_EndAsync(op);
}

/* Move what was posted to the list of what is ready. */
static void
fetch_posted(PortObject *port)
{
    *port->last = _PyPort_Collect(port->port);
    while (*port->last != NULL) {
        port->last = &(*port->last)->next;
    }
}

/* Take one entry, which is posted or about to be, off.  Whoever finished it is
   a few instructions from posting it, and needs nothing of ours. */
static void
take_posted(PortObject *port, _PyPortEntry *entry)
{
    for (;;) {
        fetch_posted(port);
        for (_PyPortEntry **link = &port->ready; *link != NULL;
             link = &(*link)->next)
        {
            if (*link == entry) {
                *link = entry->next;
                if (port->last == &entry->next) {
                    port->last = link;
                }
                if (port->ready != NULL) {
                    _PyPort_Signal(port->port);     /* for the others */
                }
                return;
            }
        }
        _PyPort_WaitReadable(port->port);
    }
}

/* Stop an operation, whatever its state.  Return true if it had not been done,
   and will not be. */
static int
stop(OperationObject *self)
{
    struct pending *pending = self->pending;
    if (pending == NULL) {
        return 0;
    }
    self->pending = NULL;
    int cancelled = 0;
    if (self->waiting) {
        self->waiting = 0;
        if (!_PyChannel_CancelAsync(&pending->op)) {
            /* Done, and posted or about to be.  It must not be seen to by a
               later collect(): what was received would be overtaken. */
            take_posted((PortObject *)self->port, &pending->waiter.entry);
            discard_outcome(&pending->op);
        }
        else {
            cancelled = 1;
            if (pending->op.side == _PyChannel_SEND) {
                _PyChannelItem_Destroy(pending->op.item);
            }
        }
    }
    else {
        discard_outcome(&pending->op);
    }
    free_pending(pending);
    return cancelled;
}


/* --- Operation ---------------------------------------------------------------- */

static int
operation_clear(PyObject *op)
{
    OperationObject *self = (OperationObject *)op;
    Py_CLEAR(self->future);
    return 0;
}

static int
operation_traverse(PyObject *op, visitproc visit, void *arg)
{
    OperationObject *self = (OperationObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->future);
    return 0;
}

static void
operation_dealloc(PyObject *op)
{
    OperationObject *self = (OperationObject *)op;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(op);
    (void)stop(self);
    (void)operation_clear(op);
    Py_XDECREF(self->port);
    type->tp_free(self);
    Py_DECREF(type);
}

/*[clinic input]
_xxsubinterpreters.Operation.cancel -> bool

Take the operation back, whatever has become of it.

True if it had not been done, and will not be.  Else a message that was received
goes back to the front of its channel, unless result() took it; one that was
sent stays sent.
[clinic start generated code]*/

static int
_xxsubinterpreters_Operation_cancel_impl(OperationObject *self)
/*[clinic end generated code: output=707d5d38b93358a6 input=cb50c6f584702445]*/
{
    return stop(self);
}

/*[clinic input]
_xxsubinterpreters.Operation.result

Return the message received, or None; raise what went wrong.  To be called once.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Operation_result_impl(OperationObject *self)
/*[clinic end generated code: output=b56b9ac6c405e952 input=cfad2e6879b1fb5d]*/
{
    struct pending *pending = self->pending;
    if (pending == NULL || self->waiting) {
        PyErr_SetString(PyExc_RuntimeError, "the operation has no result");
        return NULL;
    }
    self->pending = NULL;
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    _PyChannelOp op = pending->op;
    PyObject *result = NULL;
    if (op.status != _PyChannel_OK) {
        _PyChannelObject_RaiseStatus(state, &op, op.status);
        PyObject *exc = PyErr_GetRaisedException();
        discard_outcome(&op);
        PyErr_SetRaisedException(exc);
    }
    else if (op.side == _PyChannel_RECV) {
        _PyChannel_EndAsync(&op);
        result = _PyMessage_DecodeItem(state, op.item);
    }
    else {
        result = Py_NewRef(Py_None);
    }
    PyObject *exc = PyErr_GetRaisedException();
    free_pending(pending);
    PyErr_SetRaisedException(exc);
    return result;
}

static PyObject *
operation_get_done(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!((OperationObject *)op)->waiting);
}

static PyMethodDef operation_methods[] = {
    _XXSUBINTERPRETERS_OPERATION_CANCEL_METHODDEF
    _XXSUBINTERPRETERS_OPERATION_RESULT_METHODDEF
    {NULL},
};

static PyGetSetDef operation_getset[] = {
    {"done", operation_get_done, NULL,
     PyDoc_STR("True if result() or cancel() can be called without effect on "
               "other parties.")},
    {NULL},
};

static PyMemberDef operation_members[] = {
    {"future", Py_T_OBJECT_EX, offsetof(OperationObject, future), 0,
     PyDoc_STR("For the caller's use.")},
    {NULL},
};

static PyType_Slot operation_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A send or a receive that an event loop "
                                  "waits for.")},
    {Py_tp_dealloc, operation_dealloc},
    {Py_tp_traverse, operation_traverse},
    {Py_tp_clear, operation_clear},
    {Py_tp_methods, operation_methods},
    {Py_tp_getset, operation_getset},
    {Py_tp_members, operation_members},
    {0, NULL},
};

PyType_Spec _PyOperation_spec = {
    .name = "_xxsubinterpreters.Operation",
    .basicsize = sizeof(OperationObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_GC,
    .slots = operation_slots,
};


/* --- Port ------------------------------------------------------------------------ */

/* Begin an operation with `item`, if it is a send.  The item is used up,
   whatever happens. */
static PyObject *
begin(PortObject *self, PyObject *channel, _PyChannel_Side side,
      _PyChannelItem item)
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    struct pending *pending = PyMem_RawCalloc(1, sizeof(struct pending));
    OperationObject *operation = pending != NULL
        ? PyObject_GC_New(OperationObject, state->Operation) : NULL;
    if (operation == NULL) {
        PyMem_RawFree(pending);
        if (side == _PyChannel_SEND) {
            _PyChannelItem_Destroy(item);
        }
        return PyErr_NoMemory();
    }
    operation->pending = pending;
    operation->port = Py_NewRef(self);
    operation->future = NULL;
    _PyWaiter_InitForPort(&pending->waiter, self->port);
    pending->op = (_PyChannelOp){
        .end = _PyChannelObject_End(channel), .side = side, .item = item};
    pending->operation = (PyObject *)operation;
    pending->channel = Py_NewRef(channel);
    operation->waiting = !_PyChannel_BeginAsync(&pending->op, &pending->waiter);
    PyObject_GC_Track(operation);
    return (PyObject *)operation;
}

static int
check_type(PyObject *obj, PyTypeObject *type)
{
    if (!Py_IS_TYPE(obj, type)) {
        PyErr_Format(PyExc_TypeError, "expected a %s, not %R", type->tp_name,
                     obj);
        return -1;
    }
    return 0;
}

/*[clinic input]
_xxsubinterpreters.Port.recv

    channel: object
    /

Begin to receive; return the Operation.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Port_recv(PortObject *self, PyObject *channel)
/*[clinic end generated code: output=3399e034b20a3249 input=95f9f6baae7d38dc]*/
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    if (check_type(channel, state->RecvChannel) < 0) {
        return NULL;
    }
    return begin(self, channel, _PyChannel_RECV, (_PyChannelItem){0});
}

/*[clinic input]
_xxsubinterpreters.Port.send

    channel: object
    obj: object
    /

Begin to send a copy of obj; return the Operation.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Port_send_impl(PortObject *self, PyObject *channel,
                                  PyObject *obj)
/*[clinic end generated code: output=8c2418731882d76f input=02b5e82617e095ce]*/
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    _PyChannelItem item;
    if (check_type(channel, state->SendChannel) < 0
        || _PyMessage_EncodeItem(state, obj, "obj", &item) < 0)
    {
        return NULL;
    }
    return begin(self, channel, _PyChannel_SEND, item);
}

/*[clinic input]
_xxsubinterpreters.Port.collect

Return a list of the operations done since the last call; never block.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Port_collect_impl(PortObject *self)
/*[clinic end generated code: output=8f20aef89f3bb9bb input=19407796ac1e837c]*/
{
    fetch_posted(self);
    Py_ssize_t n = 0;
    for (_PyPortEntry *e = self->ready; e != NULL; e = e->next) {
        n++;
    }
    PyObject *list = PyList_New(n);
    if (list == NULL) {
        _PyPort_Signal(self->port);     /* they are still to be returned */
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        _PyPortEntry *entry = self->ready;
        self->ready = entry->next;
        struct pending *pending = _Py_CONTAINER_OF(
                _PyWaiter_FromEntry(entry), struct pending, waiter);
        OperationObject *operation = (OperationObject *)pending->operation;
        operation->waiting = 0;
        PyList_SET_ITEM(list, i, Py_NewRef(operation));
    }
    self->last = &self->ready;
    return list;
}

/*[clinic input]
_xxsubinterpreters.Port.fileno

Return the file descriptor that is readable when there is something to collect.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Port_fileno_impl(PortObject *self)
/*[clinic end generated code: output=b7dd759866797cb1 input=c7b4b47634817041]*/
{
    return PyLong_FromLong(_PyPort_Fileno(self->port));
}

/*[clinic input]
@classmethod
_xxsubinterpreters.Port.__new__

Where the operations of one event loop are collected.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Port_impl(PyTypeObject *type)
/*[clinic end generated code: output=97d36431e28a0862 input=9fd31e33d69e4927]*/
{
    PortObject *self = (PortObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->last = &self->ready;
    self->port = _PyPort_New();
    if (self->port == NULL) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
port_dealloc(PyObject *op)
{
    PortObject *self = (PortObject *)op;
    PyTypeObject *type = Py_TYPE(self);
    if (self->port != NULL) {
        /* Every Operation holds the Port, so there are none. */
        assert(self->ready == NULL);
        _PyPort_Decref(self->port);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef port_methods[] = {
    _XXSUBINTERPRETERS_PORT_RECV_METHODDEF
    _XXSUBINTERPRETERS_PORT_SEND_METHODDEF
    _XXSUBINTERPRETERS_PORT_COLLECT_METHODDEF
    _XXSUBINTERPRETERS_PORT_FILENO_METHODDEF
    {NULL},
};

static PyType_Slot port_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_Port__doc__},
    {Py_tp_new, _xxsubinterpreters_Port},
    {Py_tp_dealloc, port_dealloc},
    {Py_tp_methods, port_methods},
    {0, NULL},
};

PyType_Spec _PyPort_spec = {
    .name = "_xxsubinterpreters.Port",
    .basicsize = sizeof(PortObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = port_slots,
};
