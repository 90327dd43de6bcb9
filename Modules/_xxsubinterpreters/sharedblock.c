/* SharedBlock: memory that belongs to no interpreter.  See sharedblock.h. */

#include "Python.h"
#include "bufferview.h"
#include "sharedblock.h"

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.SharedBlock "SharedBlock *" "clinic_state()->SharedBlock"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=16c177e54ea7e002]*/

typedef struct {
    PyObject_HEAD
    _PySharedBuffer *buffer;        /* owned; NULL once it was moved */
    _PyMoved *moved;                /* a reference, once it was moved */
    Py_ssize_t exports;             /* of its memory, in this interpreter */
} SharedBlock;

#define clinic_state() (_xxsub_state_by_type(type))
#include "clinic/sharedblock.c.h"
#undef clinic_state

PyObject *
_PySharedBlock_New(_xxsub_state *state, _PySharedBuffer *buffer)
{
    SharedBlock *self = PyObject_GC_New(SharedBlock, state->SharedBlock);
    if (self == NULL) {
        return NULL;
    }
    self->buffer = buffer;
    self->moved = NULL;
    self->exports = 0;
    _PySharedBuffer_SetHolder(buffer, PyInterpreterState_GetID(PyInterpreterState_Get()));
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

_PySharedBuffer *
_PySharedBlock_Buffer(PyObject *op)
{
    SharedBlock *self = (SharedBlock *)op;
    if (self->buffer == NULL) {
        self->buffer = _PyMoved_TakeBack(self->moved);
        if (self->buffer == NULL) {
            _PyMoved_Raise(_xxsub_state_by_type(Py_TYPE(op)), self->moved);
            return NULL;
        }
        _PyMoved_Decref(self->moved);
        self->moved = NULL;
        _PySharedBuffer_SetHolder(self->buffer,
                                  PyInterpreterState_GetID(PyInterpreterState_Get()));
    }
    return self->buffer;
}

_PySharedBuffer *
_PySharedBlock_Take(PyObject *op, _PyMoved *moved)
{
    SharedBlock *self = (SharedBlock *)op;
    _PySharedBuffer *buffer = _PySharedBlock_Buffer(op);
    if (buffer != NULL && self->exports > 0) {
        PyErr_SetString(PyExc_BufferError, "'SharedBlock' object is in use and cannot be "
                                           "moved");
        return NULL;
    }
    if (buffer != NULL) {
        self->buffer = NULL;
        self->moved = moved;
        _PySharedBuffer_SetHolder(buffer, -1);
    }
    return buffer;
}

/*[clinic input]
@classmethod
_xxsubinterpreters.SharedBlock.__new__

    nbytes: Py_ssize_t
    *
    huge: bool = False

Zeros that belong to no interpreter, as a buffer that can be written.

nbytes is their number.  They are aligned to 64 bytes; huge=True asks the system for huge
pages, which it need not have.  Sending the object gives the receiver one of the same
memory, which lasts as long as any of them, or a view; move() hands it over.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_SharedBlock_impl(PyTypeObject *type, Py_ssize_t nbytes,
                                    int huge)
/*[clinic end generated code: output=05d85970f91eed15 input=fd229ed5427fb323]*/
{
    if (nbytes < 0) {
        PyErr_SetString(PyExc_ValueError, "nbytes must not be negative");
        return NULL;
    }
    _PyBlock *block = _PyBlock_New(nbytes, huge);
    if (block == NULL) {
        return PyErr_NoMemory();
    }
    _PyBlock_Describe(block, "SharedBlock", -1);
    Py_buffer view;
    (void)PyBuffer_FillInfo(&view, NULL, _PyBlock_Data(block), nbytes, /*readonly=*/0,
                            PyBUF_FULL);
    _PySharedBuffer *buffer = _PySharedBuffer_New(block, &view);
    _PyBlock_Decref(block);
    if (buffer == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *self = _PySharedBlock_New(_xxsub_state_by_type(type), buffer);
    if (self == NULL) {
        _PySharedBuffer_Free(buffer);
    }
    return self;
}

static void
sharedblock_dealloc(PyObject *op)
{
    SharedBlock *self = (SharedBlock *)op;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(op);
    if (self->buffer != NULL) {
        _PySharedBuffer_Free(self->buffer);
    }
    if (self->moved != NULL) {
        _PyMoved_Decref(self->moved);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static int
sharedblock_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    _PySharedBuffer *buffer = _PySharedBlock_Buffer(op);
    if (buffer == NULL) {
        view->obj = NULL;
        return -1;
    }
    _PyBlock *block = _PySharedBuffer_Block(buffer);
    int r = PyBuffer_FillInfo(view, op, _PyBlock_Data(block), _PyBlock_Size(block),
                              /*readonly=*/0, flags);
    ((SharedBlock *)op)->exports += r == 0;
    return r;
}

static void
sharedblock_releasebuffer(PyObject *op, Py_buffer *Py_UNUSED(view))
{
    ((SharedBlock *)op)->exports--;
}

static Py_ssize_t
sharedblock_length(PyObject *op)
{
    _PySharedBuffer *buffer = _PySharedBlock_Buffer(op);
    return buffer != NULL ? (Py_ssize_t)_PyBlock_Size(_PySharedBuffer_Block(buffer)) : -1;
}

static PyObject *
sharedblock_nbytes(PyObject *op, void *Py_UNUSED(closure))
{
    Py_ssize_t n = sharedblock_length(op);
    return n >= 0 ? PyLong_FromSsize_t(n) : NULL;
}

/* Two of the same memory are equal. */
static PyObject *
sharedblock_richcompare(PyObject *op, PyObject *other, int operation)
{
    if ((operation != Py_EQ && operation != Py_NE) || !Py_IS_TYPE(other, Py_TYPE(op))) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    _PySharedBuffer *a = _PySharedBlock_Buffer(op);
    _PySharedBuffer *b = a != NULL ? _PySharedBlock_Buffer(other) : NULL;
    if (b == NULL) {
        return NULL;
    }
    int same = _PySharedBuffer_Block(a) == _PySharedBuffer_Block(b);
    return PyBool_FromLong(same == (operation == Py_EQ));
}

static Py_hash_t
sharedblock_hash(PyObject *op)
{
    _PySharedBuffer *buffer = _PySharedBlock_Buffer(op);
    return buffer != NULL ? Py_HashPointer(_PySharedBuffer_Block(buffer)) : -1;
}

static PyObject *
sharedblock_repr(PyObject *op)
{
    Py_ssize_t n = sharedblock_length(op);
    if (n >= 0) {
        return PyUnicode_FromFormat("<interpreters.SharedBlock of %zd bytes>", n);
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *result = PyUnicode_FromFormat("<interpreters.SharedBlock: %S>", exc);
    Py_DECREF(exc);
    return result;
}

static PyGetSetDef sharedblock_getset[] = {
    {"nbytes", sharedblock_nbytes, NULL, PyDoc_STR("How many bytes it has (int).")},
    {NULL},
};

static PyType_Slot sharedblock_slots[] = {
    {Py_tp_doc, (void *)_xxsubinterpreters_SharedBlock__doc__},
    {Py_tp_new, _xxsubinterpreters_SharedBlock},
    {Py_tp_traverse, _xxsub_traverse_type},
    {Py_tp_dealloc, sharedblock_dealloc},
    {Py_tp_repr, sharedblock_repr},
    {Py_tp_hash, sharedblock_hash},
    {Py_tp_richcompare, sharedblock_richcompare},
    {Py_tp_getset, sharedblock_getset},
    {Py_mp_length, sharedblock_length},
    {Py_bf_getbuffer, sharedblock_getbuffer},
    {Py_bf_releasebuffer, sharedblock_releasebuffer},
    {0, NULL},
};

PyType_Spec _PySharedBlock_spec = {
    .name = "interpreters.SharedBlock",
    .basicsize = sizeof(SharedBlock),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = sharedblock_slots,
};
