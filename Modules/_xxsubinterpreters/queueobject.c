/* Queue: the interface of queue.Queue over a channel. */

/* Argument Clinic: `unbounditems` is not among the runtime's static strings. */
#define Py_BUILD_CORE_MODULE 1

#include "Python.h"
#include "blocking.h"
#include "interp.h"
#include "message.h"
#include "queueobject.h"

typedef struct {
    PyObject_HEAD
    _PyChannelEnd *end;             /* owned; of both sides, never closed */
    PyObject *weakrefs;
} QueueObject;

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.Queue "QueueObject *" "clinic_state()->Queue"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=87e5adf2ee7791e9]*/

/* Where clinic asks for it, a class is at hand. */
#define clinic_state() (_xxsub_state_by_type(type))
#include "clinic/queueobject.c.h"
#undef clinic_state

PyObject *
_PyQueueObject_New(_xxsub_state *state, _PyChannelEnd *end)
{
    QueueObject *self = (QueueObject *)state->Queue->tp_alloc(state->Queue, 0);
    if (self == NULL) {
        _PyChannelEnd_Free(end);
        return NULL;
    }
    self->end = end;
    return (PyObject *)self;
}

_PyChannelEnd *
_PyQueueObject_CloneEnd(PyObject *obj)
{
    _PyChannel_Status status;
    _PyChannelEnd *clone = _PyChannelEnd_Clone(((QueueObject *)obj)->end,
                                               &status);
    if (clone == NULL) {
        assert(status == _PyChannel_NO_MEMORY);
        PyErr_NoMemory();
    }
    return clone;
}

static void
queue_dealloc(PyObject *op)
{
    QueueObject *self = (QueueObject *)op;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    _PyChannelEnd_Free(self->end);
    type->tp_free(self);
    Py_DECREF(type);
}


/* --- items that do not outlive their interpreter --------------------------- */

/* An item, and what becomes of it when the interpreter that put it ends. */
struct bound {
    _PyChannelItem item;
    int64_t interp;
    _PyQueue_Unbound unbound;
    struct bound *next;             /* among those removed together */
};

/* Items that are to be removed when their interpreter ends.  With none of them
   nobody need look through the queues. */
static Py_ssize_t removable = 0;    /* atomic */

static void
free_bound(struct bound *bound)
{
    if (bound->unbound == _PyQueue_REMOVE) {
        _Py_atomic_add_ssize(&removable, -1);
    }
    PyMem_RawFree(bound);
}

static void
destroy_bound(_PyChannelPayload payload)
{
    struct bound *bound = payload.ptr;
    _PyChannelItem_Destroy(bound->item);
    free_bound(bound);
}

static Py_ssize_t
count_bound_ends(_PyChannelPayload payload, const _PyChannel *ch)
{
    struct bound *bound = payload.ptr;
    return bound->item.kind->count_ends == NULL
           ? 0 : bound->item.kind->count_ends(bound->item.payload, ch);
}

static const _PyChannelItemKind bound_kind = {destroy_bound, count_bound_ends};

/* Bind the item, in place.  Return 0, or -1 with an exception. */
static int
bind(_PyChannelItem *item, _PyQueue_Unbound unbound)
{
    struct bound *bound = PyMem_RawMalloc(sizeof(struct bound));
    if (bound == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *bound = (struct bound){
        *item, PyInterpreterState_GetID(PyInterpreterState_Get()), unbound};
    if (unbound == _PyQueue_REMOVE) {
        _Py_atomic_add_ssize(&removable, 1);
    }
    *item = (_PyChannelItem){&bound_kind, {.ptr = bound}};
    return 0;
}

/* What the item is now; if KEEP, then it is unwrapped, in place; else it is
   used up. */
static _PyQueue_Unbound
unbind(_PyChannelItem *item)
{
    if (item->kind != &bound_kind) {
        return _PyQueue_KEEP;
    }
    struct bound *bound = item->payload.ptr;
    _PyQueue_Unbound unbound = _PyQueue_KEEP;
    if (!_PyInterp_Exists(bound->interp)) {
        unbound = bound->unbound;
        _PyChannelItem_Destroy(bound->item);
    }
    else {
        *item = bound->item;
    }
    free_bound(bound);
    return unbound;
}

struct removal {
    int64_t interp;
    struct bound *removed;
};

static int
take_removable(_PyChannelItem item, void *arg)
{
    struct removal *removal = arg;
    struct bound *bound = item.payload.ptr;
    if (item.kind != &bound_kind || bound->unbound != _PyQueue_REMOVE
        || bound->interp != removal->interp)
    {
        return 0;
    }
    bound->next = removal->removed;
    removal->removed = bound;
    return 1;
}

static void
remove_items_of(int64_t interp)
{
    if (_Py_atomic_load_ssize(&removable) == 0) {
        return;
    }
    struct removal removal = {.interp = interp};
    _PyChannel_TakeItems(take_removable, &removal);
    while (removal.removed != NULL) {
        struct bound *bound = removal.removed;
        removal.removed = bound->next;
        destroy_bound((_PyChannelPayload){.ptr = bound});
    }
}

void
_PyQueueObject_Init(void)
{
    _PyInterp_WhenEnded(remove_items_of);
}

/* A policy, from None, for the queue's own, or a number. */
static int
get_unbound(QueueObject *self, PyObject *obj, _PyQueue_Unbound *unbound)
{
    if (obj == Py_None) {
        *unbound = _PyChannelEnd_Tag(self->end);
        return 0;
    }
    int n = PyLong_Check(obj) ? PyLong_AsInt(obj) : -1;
    if (n < _PyQueue_REMOVE || n > _PyQueue_REPLACE) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "unsupported unbounditems %R", obj);
        return -1;
    }
    *unbound = n;
    return 0;
}


/* --- putting and getting ---------------------------------------------------- */

static PyObject *
put(QueueObject *self, PyObject *obj, int block, PyObject *timeout,
    PyObject *unbounditems)
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    PyTime_t deadline;
    _PyQueue_Unbound unbound;
    if ((block && _PyBlocking_GetDeadline(timeout, &deadline) < 0)
        || get_unbound(self, unbounditems, &unbound) < 0)
    {
        return NULL;
    }
    _PyChannelOp op = {.end = self->end, .side = _PyChannel_SEND};
    if (_PyMessage_EncodeItem(state, obj, "obj", &op.item) < 0) {
        return NULL;
    }
    _PyChannel_Status status = _PyChannel_NO_MEMORY;
    if (unbound == _PyQueue_KEEP || bind(&op.item, unbound) == 0) {
        status = block ? _PyBlocking_Do(&op, deadline) : _PyChannel_Try(&op);
        if (status == _PyChannel_OK) {
            Py_RETURN_NONE;
        }
    }
    if (status == _PyChannel_TIMEOUT || status == _PyChannel_WOULD_BLOCK) {
        PyErr_Format(state->QueueFull, "queue %lld is full",
                     (long long)_PyChannelEnd_ID(self->end));
    }
    else if (status == _PyChannel_NO_MEMORY) {
        PyErr_NoMemory();
    }
    PyObject *exc = PyErr_GetRaisedException();
    _PyChannelItem_Destroy(op.item);    /* may run code */
    PyErr_SetRaisedException(exc);
    return NULL;
}

/* The object that stands for an item whose interpreter has ended. */
static PyObject *
replacement(void)
{
    PyObject *module = PyImport_ImportModule("interpreters");
    PyObject *result = module != NULL
                       ? PyObject_GetAttrString(module, "UNBOUND") : NULL;
    Py_XDECREF(module);
    return result;
}

static PyObject *
get(QueueObject *self, int block, PyObject *timeout)
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(self));
    long long id = _PyChannelEnd_ID(self->end);
    PyTime_t deadline;
    if (block && _PyBlocking_GetDeadline(timeout, &deadline) < 0) {
        return NULL;
    }
    for (;;) {
        _PyChannelOp op = {.end = self->end, .side = _PyChannel_RECV};
        _PyChannel_Status status = block ? _PyBlocking_Do(&op, deadline)
                                         : _PyChannel_Try(&op);
        switch (status) {
        case _PyChannel_OK:
            break;
        case _PyChannel_TIMEOUT:
        case _PyChannel_WOULD_BLOCK:
            PyErr_Format(state->QueueEmpty, "queue %lld is empty", id);
            return NULL;
        case _PyChannel_NO_MEMORY:
            return PyErr_NoMemory();
        default:
            assert(PyErr_Occurred());
            return NULL;
        }
        switch (unbind(&op.item)) {
        case _PyQueue_KEEP:
            return _PyMessage_DecodeItem(state, op.item);
        case _PyQueue_REMOVE:
            continue;
        case _PyQueue_ERROR:
            PyErr_Format(state->ItemInterpreterDestroyed,
                         "the interpreter that put an item into queue %lld has "
                         "ended", id);
            return NULL;
        case _PyQueue_REPLACE:
            return replacement();
        }
    }
}

/*[clinic input]
_xxsubinterpreters.Queue.put

    obj: object
    block: bool = True
    timeout: object = None
    *
    unbounditems: object = None

Add a copy of obj; block while the queue is full.

timeout is in seconds, None for no limit.  QueueFull if there is no room in
time, or, without block, at once.  unbounditems says what becomes of the item
when this interpreter ends before it is taken: UNBOUND replaces it,
UNBOUND_ERROR makes get() raise ItemInterpreterDestroyed, UNBOUND_REMOVE
removes it; None is what the queue was created with, or else that it stays.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Queue_put_impl(QueueObject *self, PyObject *obj,
                                  int block, PyObject *timeout,
                                  PyObject *unbounditems)
/*[clinic end generated code: output=c4c5cb8e37794440 input=d6f8eee646ed501d]*/
{
    return put(self, obj, block, timeout, unbounditems);
}

/*[clinic input]
_xxsubinterpreters.Queue.put_nowait

    obj: object
    *
    unbounditems: object = None

Equivalent to put(obj, block=False).
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Queue_put_nowait_impl(QueueObject *self, PyObject *obj,
                                         PyObject *unbounditems)
/*[clinic end generated code: output=afd30545fbf8ef4e input=3e6e8234e332b32b]*/
{
    return put(self, obj, 0, NULL, unbounditems);
}

/*[clinic input]
_xxsubinterpreters.Queue.get

    block: bool = True
    timeout: object = None

Remove and return the oldest item; block while the queue is empty.

timeout is in seconds, None for no limit.  QueueEmpty if there is none in time,
or, without block, at once.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Queue_get_impl(QueueObject *self, int block,
                                  PyObject *timeout)
/*[clinic end generated code: output=a0b0ecc9fe5b16eb input=e64d70b4992f1b09]*/
{
    return get(self, block, timeout);
}

/*[clinic input]
_xxsubinterpreters.Queue.get_nowait

Equivalent to get(block=False).
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Queue_get_nowait_impl(QueueObject *self)
/*[clinic end generated code: output=03029673558042c8 input=5964923e14cd77e6]*/
{
    return get(self, 0, NULL);
}


/* --- looking ---------------------------------------------------------------- */

/*[clinic input]
_xxsubinterpreters.Queue.qsize

Return the number of items, those of blocked put() calls included.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Queue_qsize_impl(QueueObject *self)
/*[clinic end generated code: output=68d05ab0520eef36 input=cb1aa279f6a00d33]*/
{
    return PyLong_FromSsize_t(_PyChannelEnd_Length(self->end));
}

/*[clinic input]
_xxsubinterpreters.Queue.empty

Return True if the queue has no item.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Queue_empty_impl(QueueObject *self)
/*[clinic end generated code: output=a099d553e7f91d0d input=4cb3e889af8421db]*/
{
    return PyBool_FromLong(_PyChannelEnd_Length(self->end) == 0);
}

/*[clinic input]
_xxsubinterpreters.Queue.full

Return True if the queue has maxsize items.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Queue_full_impl(QueueObject *self)
/*[clinic end generated code: output=8aa0e1e782000507 input=5c804c627c9326fe]*/
{
    return PyBool_FromLong(_PyChannelEnd_IsFull(self->end));
}

static PyObject *
queue_get_id(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(_PyChannelEnd_ID(((QueueObject *)op)->end));
}

static PyObject *
queue_get_maxsize(PyObject *op, void *Py_UNUSED(closure))
{
    Py_ssize_t n = _PyChannelEnd_Capacity(((QueueObject *)op)->end);
    return PyLong_FromSsize_t(n == _PyChannel_UNBOUNDED ? 0 : n);
}

static PyObject *
queue_get_unbound(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(_PyChannelEnd_Tag(((QueueObject *)op)->end));
}

static PyObject *
queue_repr(PyObject *op)
{
    _PyChannelEnd *end = ((QueueObject *)op)->end;
    return PyUnicode_FromFormat(
            "<interpreters.Queue id=%lld maxsize=%zd len=%zd>",
            (long long)_PyChannelEnd_ID(end),
            Py_MAX(_PyChannelEnd_Capacity(end), 0), _PyChannelEnd_Length(end));
}

/* Two objects for the same queue are equal. */
static PyObject *
queue_richcompare(PyObject *a, PyObject *b, int op)
{
    if (!Py_IS_TYPE(b, Py_TYPE(a)) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    int same = _PyChannelEnd_ID(((QueueObject *)a)->end)
               == _PyChannelEnd_ID(((QueueObject *)b)->end);
    return PyBool_FromLong(same == (op == Py_EQ));
}

static Py_hash_t
queue_hash(PyObject *op)
{
    return (Py_hash_t)_PyChannelEnd_ID(((QueueObject *)op)->end);
}

/*[clinic input]
@classmethod
_xxsubinterpreters.Queue.__new__

    id: long_long
    /

An object for the existing queue with that id, from create_queue().

Any number of threads in any interpreters may put and get; each item is got once.
Objects for one queue are equal; the queue exists as long as one of them does, in
whatever interpreter, or in a message.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_Queue_impl(PyTypeObject *type, long long id)
/*[clinic end generated code: output=08b31ba08a25bdcb input=28811d13d31c7778]*/
{
    _xxsub_state *state = _xxsub_state_by_type(type);
    _PyChannel_Status status;
    _PyChannelEnd *end = _PyChannel_OpenQueue(id, &status);
    if (end == NULL) {
        if (status == _PyChannel_NO_MEMORY) {
            return PyErr_NoMemory();
        }
        PyErr_Format(state->QueueNotFoundError, "queue %lld not found", id);
        return NULL;
    }
    return _PyQueueObject_New(state, end);
}

static PyObject *
queue_reduce(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("O(L)", Py_TYPE(op),
                         (long long)_PyChannelEnd_ID(((QueueObject *)op)->end));
}

PyDoc_STRVAR(queue_reduce_doc,
"Pickled by reference: valid in this process, as long as the queue exists.");

static PyMethodDef queue_methods[] = {
    _XXSUBINTERPRETERS_QUEUE_PUT_METHODDEF
    _XXSUBINTERPRETERS_QUEUE_PUT_NOWAIT_METHODDEF
    _XXSUBINTERPRETERS_QUEUE_GET_METHODDEF
    _XXSUBINTERPRETERS_QUEUE_GET_NOWAIT_METHODDEF
    _XXSUBINTERPRETERS_QUEUE_QSIZE_METHODDEF
    _XXSUBINTERPRETERS_QUEUE_EMPTY_METHODDEF
    _XXSUBINTERPRETERS_QUEUE_FULL_METHODDEF
    {"__reduce__", queue_reduce, METH_NOARGS, queue_reduce_doc},
    {NULL},
};

static PyGetSetDef queue_getset[] = {
    {"id", queue_get_id, NULL,
     PyDoc_STR("The queue's number in this process (int).")},
    {"maxsize", queue_get_maxsize, NULL,
     PyDoc_STR("How many items the queue holds (int); 0 for no limit.")},
    {"_unbounditems", queue_get_unbound, NULL, NULL},
    {NULL},
};

static PyMemberDef queue_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(QueueObject, weakrefs),
     Py_READONLY},
    {NULL},
};

static PyType_Slot queue_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_Queue__doc__},
    {Py_tp_new, _xxsubinterpreters_Queue},
    {Py_tp_traverse, _xxsub_traverse_type},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_methods, queue_methods},
    {Py_tp_getset, queue_getset},
    {Py_tp_members, queue_members},
    {Py_tp_repr, queue_repr},
    {Py_tp_richcompare, queue_richcompare},
    {Py_tp_hash, queue_hash},
    {0, NULL},
};

PyType_Spec _PyQueue_spec = {
    .name = "interpreters.Queue",
    .basicsize = sizeof(QueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = queue_slots,
};
