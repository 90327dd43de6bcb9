/* BufferView: the object under a memoryview of shared memory. */

#include "Python.h"
#include "bufferview.h"
#include "export.h"
#include "objectlayout.h"
#include "sharedblock.h"

typedef struct {
    PyObject_HEAD
    _PySharedBuffer *buffer;        /* owned */
} BufferView;


/* --- exporting ----------------------------------------------------------- */

/* True if the items hold references to Python objects, which mean nothing in
   another interpreter.  Field names, between colons, may contain any letter. */
static int
holds_objects(const char *format)
{
    int in_name = 0;
    for (; format != NULL && *format != '\0'; format++) {
        if (*format == ':') {
            in_name = !in_name;
        }
        else if (*format == 'O' && !in_name) {
            return 1;
        }
    }
    return 0;
}

PyObject *
_PyBufferView_Of(PyObject *obj)
{
    if (_PyObjectLayout_Supports(obj)) {
        _PyObjectLayout_Enlarge(obj);
    }
    return PyMemoryView_FromObject(obj);
}

_PySharedBuffer *
_PyBufferView_Export(_xxsub_state *state, PyObject *obj)
{
    /* A view of its own, over the same exporter: the one that was sent can be
       released.  This also fails if it was. */
    PyObject *own = _PyBufferView_Of(obj);
    if (own == NULL) {
        return NULL;
    }
    _PySharedBuffer *result = NULL;
    PyObject *base = PyMemoryView_GET_BASE(own);
    if (holds_objects(PyMemoryView_GET_BUFFER(own)->format)) {
        PyErr_SetString(PyExc_BufferError,
                        "memory that holds Python objects cannot be shared");
    }
    else if (base != NULL && (Py_IS_TYPE(base, state->BufferView)
                              || Py_IS_TYPE(base, state->SharedBlock)))
    {
        /* Shared already: the same block, seen in this shape.  It is in use, so a
           SharedBlock was not moved. */
        _PySharedBuffer *below = Py_IS_TYPE(base, state->BufferView)
                                 ? ((BufferView *)base)->buffer : _PySharedBlock_Buffer(base);
        assert(below != NULL);
        result = _PySharedBuffer_New(_PySharedBuffer_Block(below),
                                     PyMemoryView_GET_BUFFER(own));
        if (result == NULL) {
            PyErr_NoMemory();
        }
    }
    else {
        result = _PyExport_New(own);
    }
    Py_DECREF(own);
    return result;
}


/* --- the type --------------------------------------------------------------- */

PyObject *
_PyBufferView_NewMemoryView(_xxsub_state *state, _PySharedBuffer *buffer)
{
    BufferView *self = PyObject_New(BufferView, state->BufferView);
    if (self == NULL) {
        _PySharedBuffer_Free(buffer);
        return NULL;
    }
    self->buffer = buffer;
    _PySharedBuffer_SetHolder(buffer, PyInterpreterState_GetID(PyInterpreterState_Get()));
    PyObject *result = PyMemoryView_FromObject((PyObject *)self);
    Py_DECREF(self);
    return result;
}

static void
bufferview_dealloc(PyObject *op)
{
    BufferView *self = (BufferView *)op;
    PyTypeObject *type = Py_TYPE(self);
    _PySharedBuffer_Free(self->buffer);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
bufferview_repr(PyObject *op)
{
    const _PyBlock *block = _PySharedBuffer_Block(((BufferView *)op)->buffer);
    long long owner = _PyBlock_Owner(block);
    return owner >= 0
           ? PyUnicode_FromFormat("<shared memory of a %s of interpreter %lld, %zu bytes>",
                                  _PyBlock_Kind(block), owner, _PyBlock_Size(block))
           : PyUnicode_FromFormat("<shared memory of a %s, %zu bytes>",
                                  _PyBlock_Kind(block), _PyBlock_Size(block));
}

static int
refuse(Py_buffer *view, const char *why)
{
    PyErr_SetString(PyExc_BufferError, why);
    view->obj = NULL;
    return -1;
}

static int
bufferview_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    BufferView *self = (BufferView *)op;
    _PySharedBuffer_Fill(self->buffer, view);
    view->internal = NULL;

    if ((flags & PyBUF_WRITABLE) == PyBUF_WRITABLE && view->readonly) {
        return refuse(view, "the shared memory is read-only");
    }
    if ((flags & PyBUF_INDIRECT) != PyBUF_INDIRECT && view->suboffsets != NULL) {
        return refuse(view, "the shared memory has suboffsets");
    }
    char order = 0;
    if ((flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS
        || (flags & PyBUF_STRIDES) != PyBUF_STRIDES)
    {
        order = 'C';
    }
    else if ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS) {
        order = 'F';
    }
    else if ((flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS) {
        order = 'A';
    }
    if (order != 0 && !PyBuffer_IsContiguous(view, order)) {
        return refuse(view, "the shared memory is not contiguous as asked");
    }
    if ((flags & PyBUF_STRIDES) != PyBUF_STRIDES) {
        view->strides = NULL;
    }
    if ((flags & PyBUF_ND) != PyBUF_ND) {
        view->ndim = 1;             /* as bytes; it is C-contiguous */
        view->shape = NULL;
    }
    if ((flags & PyBUF_FORMAT) != PyBUF_FORMAT) {
        view->format = NULL;
    }
    view->obj = Py_NewRef(op);
    return 0;
}

PyDoc_STRVAR(bufferview_doc,
"Memory that another interpreter may own; the obj of the memoryviews that\n"
"receivers get.");

static PyType_Slot bufferview_slots[] = {
    {Py_tp_doc, (void *)bufferview_doc},
    {Py_tp_dealloc, bufferview_dealloc},
    {Py_tp_repr, bufferview_repr},
    {Py_bf_getbuffer, bufferview_getbuffer},
    {0, NULL},
};

PyType_Spec _PyBufferView_spec = {
    .name = "_xxsubinterpreters.BufferView",
    .basicsize = sizeof(BufferView),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = bufferview_slots,
};
