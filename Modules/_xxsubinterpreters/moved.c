/* Moved objects.  See moved.h. */

#include "Python.h"
#include "pycore_hashtable.h"     // _Py_hashtable_t
#include "pycore_object.h"        // _PyType_HasFeature()
#include "moved.h"
#include "objectlayout.h"
#include "shared.h"
#include "sharedblock.h"

/* Where the memory is.  The message's side moves it from ON_ITS_WAY to RECEIVED or BACK,
   the sender's from BACK to GONE. */
enum place { ON_ITS_WAY, RECEIVED, BACK, GONE };

struct _PyMoved {
    Py_ssize_t refs;                /* atomic */
    int place;                      /* atomic: who changes it wrote what follows */
    int64_t receiver;               /* once it is RECEIVED */
    _PySharedBuffer *buffer;        /* of a SharedBlock; else NULL */
    _PyAllocation allocation;       /* of any other object */
};

/* Where the record of an object is found that has no room for it. */
struct remains {
    _PyMoved *moved;                /* a reference */
    PyTypeObject *type;             /* what it was; owned */
};

static void
free_contents(_PyMoved *moved)
{
    if (moved->buffer != NULL) {
        _PySharedBuffer_Free(moved->buffer);
    }
    PyMem_RawFree(moved->allocation.memory);
}

void
_PyMoved_Decref(_PyMoved *moved)
{
    if (_Py_atomic_add_ssize(&moved->refs, -1) == 1) {
        int place = _Py_atomic_load_int(&moved->place);
        if (place == ON_ITS_WAY || place == BACK) {
            free_contents(moved);
        }
        PyMem_RawFree(moved);
    }
}

void
_PyMessage_ReleaseMoved(void *ptr)
{
    _PyMoved *moved = ptr;
    _Py_atomic_store_int(&moved->place, BACK);
    _PyMoved_Decref(moved);
}

/* True if the contents came back; they are the caller's then. */
static int
take_back(_PyMoved *moved)
{
    int expected = BACK;
    return _Py_atomic_compare_exchange_int(&moved->place, &expected, GONE);
}

_PySharedBuffer *
_PyMoved_TakeBack(_PyMoved *moved)
{
    return take_back(moved) ? moved->buffer : NULL;
}

void
_PyMoved_Raise(_xxsub_state *state, const _PyMoved *moved)
{
    /* The module may have been cleared, when the interpreter ends. */
    PyObject *exc = state->MovedError != NULL ? state->MovedError : PyExc_ValueError;
    if (_Py_atomic_load_int(&moved->place) == RECEIVED) {
        PyErr_Format(exc, "the object was moved to interpreter %lld",
                     (long long)moved->receiver);
    }
    else {
        PyErr_SetString(exc, "the object was moved, and is on its way");
    }
}


/* --- sending ------------------------------------------------------------------------- */

static PyTypeObject *remains_type(_xxsub_state *state, PyObject *obj);

static int
is_remains(_xxsub_state *state, PyObject *obj)
{
    return Py_IS_TYPE(obj, state->MovedByteArray) || Py_IS_TYPE(obj, state->MovedArray);
}

int
_PyMoved_Supports(_xxsub_state *state, PyObject *obj)
{
    return _PyObjectLayout_Supports(obj) || Py_IS_TYPE(obj, state->SharedBlock)
           || is_remains(state, obj);
}

/* Turn an object into what is left of it.  It holds the reference to the record. */
static int
become_remains(_xxsub_state *state, PyObject *obj, _PyMoved *moved)
{
    PyTypeObject *type = remains_type(state, obj);
    if (type == NULL) {
        return -1;
    }
    struct remains *remains = PyMem_Malloc(sizeof(struct remains));
    if (remains == NULL || _Py_hashtable_set(state->remains, obj, remains) < 0) {
        PyMem_Free(remains);
        PyErr_NoMemory();
        return -1;
    }
    assert(type->tp_basicsize == Py_TYPE(obj)->tp_basicsize);
    assert(PyType_IS_GC(type) == PyType_IS_GC(Py_TYPE(obj)));
    /* An object owns a reference to its class, if that is a heap type. */
    remains->moved = moved;
    remains->type = Py_TYPE(obj);
    if (!_PyType_HasFeature(Py_TYPE(obj), Py_TPFLAGS_HEAPTYPE)) {
        Py_INCREF(remains->type);
    }
    Py_SET_TYPE(obj, (PyTypeObject *)Py_NewRef(type));
    return 0;
}

/* Let it be again what it was, with the memory that it has.  Returns the reference to the
   record. */
static _PyMoved *
become_itself(_xxsub_state *state, PyObject *obj)
{
    struct remains *remains = _Py_hashtable_steal(state->remains, obj);
    assert(remains != NULL);
    _PyMoved *moved = remains->moved;
    PyTypeObject *type = Py_TYPE(obj);
    Py_SET_TYPE(obj, remains->type);
    if (!_PyType_HasFeature(remains->type, Py_TPFLAGS_HEAPTYPE)) {
        Py_DECREF(remains->type);
    }
    PyMem_Free(remains);
    Py_DECREF(type);
    return moved;
}

/* Take the memory of a bytearray or array. */
static int
take(_xxsub_state *state, PyObject *obj, _PyMoved *moved)
{
    if (_PyObjectLayout_Exports(obj) > 0) {
        PyErr_Format(PyExc_BufferError, "'%s' object is in use and cannot be moved",
                     Py_TYPE(obj)->tp_name);
        return -1;
    }
    if (become_remains(state, obj, moved) < 0) {
        return -1;
    }
    if (!_PyObjectLayout_Take(obj, &moved->allocation)
        && _PyObjectLayout_TakeCopy(obj, &moved->allocation) < 0)
    {
        (void)become_itself(state, obj);
        return -1;
    }
    return 0;
}

_PyMoved *
_PyMoved_Take(_xxsub_state *state, PyObject *obj)
{
    /* The hook may do with it what it likes. */
    if (PySys_Audit("interpreters.share", "O", obj) < 0
        || (is_remains(state, obj) && !_PyMoved_IsBack(obj)))
    {
        return NULL;
    }
    _PyMoved *moved = PyMem_RawMalloc(sizeof(_PyMoved));
    if (moved == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *moved = (_PyMoved){.refs = 2, .place = ON_ITS_WAY};
    int r = 0;
    if (Py_IS_TYPE(obj, state->SharedBlock)) {
        moved->buffer = _PySharedBlock_Take(obj, moved);
        r = moved->buffer != NULL ? 0 : -1;
    }
    else {
        r = take(state, obj, moved);
    }
    if (r < 0) {
        PyMem_RawFree(moved);
        return NULL;
    }
    return moved;
}

PyObject *
_PyMoved_Receive(_xxsub_state *state, _PyMoved *moved)
{
    PyObject *obj = moved->buffer != NULL ? _PySharedBlock_New(state, moved->buffer)
                                          : _PyObjectLayout_New(&moved->allocation);
    if (obj == NULL) {
        _PyMessage_ReleaseMoved(moved);     /* back to the sender */
        return NULL;
    }
    moved->receiver = PyInterpreterState_GetID(PyInterpreterState_Get());
    _Py_atomic_store_int(&moved->place, RECEIVED);
    _PyMoved_Decref(moved);
    return obj;
}


/* --- what is left of an object ------------------------------------------------------- */

int
_PyMoved_IsBack(PyObject *obj)
{
    _xxsub_state *state = _xxsub_state_by_type(Py_TYPE(obj));
    struct remains *remains = _Py_hashtable_get(state->remains, obj);
    if (_PyObjectLayout_Exports(obj) > 0) {
        /* A method that was bound before put something into it, and exported that. */
        PyErr_SetString(PyExc_BufferError, "what is left of a moved object is in use");
        return 0;
    }
    if (!take_back(remains->moved)) {
        _PyMoved_Raise(state, remains->moved);
        return 0;
    }
    if (_PyObjectLayout_Put(obj, &remains->moved->allocation) < 0) {
        _Py_atomic_store_int(&remains->moved->place, BACK);
        return 0;
    }
    _PyMoved_Decref(become_itself(state, obj));
    return 1;
}

static void
remains_dealloc(PyObject *self)
{
    /* As what it was, which has nothing in it, or what was put there by code that held it
       when it was moved. */
    _PyMoved *moved = become_itself(_xxsub_state_by_type(Py_TYPE(self)), self);
    _PyMoved_Decref(moved);
    Py_TYPE(self)->tp_dealloc(self);
}

static int
remains_traverse(PyObject *Py_UNUSED(self), visitproc Py_UNUSED(visit),
                 void *Py_UNUSED(arg))
{
    /* Not even the type: as long as something is left of an object it is no garbage, and
       keeps the module, which remains_dealloc() needs. */
    return 0;
}

static PyObject *
remains_repr(PyObject *self)
{
    if (_PyMoved_IsBack(self)) {
        return PyObject_Repr(self);
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *result = PyUnicode_FromFormat("<%s: %S>", Py_TYPE(self)->tp_name, exc);
    Py_DECREF(exc);
    return result;
}

static PyObject *
remains_str(PyObject *self)
{
    if (_PyMoved_IsBack(self)) {
        return PyObject_Str(self);
    }
    PyErr_Clear();
    return remains_repr(self);
}

static PyObject *
remains_getattro(PyObject *self, PyObject *name)
{
    if (_PyMoved_IsBack(self)) {
        return PyObject_GetAttr(self, name);
    }
    /* What the class is, others may ask. */
    if (PyUnicode_CompareWithASCIIString(name, "__class__") == 0) {
        PyErr_Clear();
        return PyObject_GenericGetAttr(self, name);
    }
    return NULL;
}

static int
remains_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    return _PyMoved_IsBack(self) ? PyObject_SetAttr(self, name, value) : -1;
}

static PyObject *
remains_richcompare(PyObject *self, PyObject *other, int op)
{
    return _PyMoved_IsBack(self) ? PyObject_RichCompare(self, other, op) : NULL;
}

static PyObject *
remains_iter(PyObject *self)
{
    return _PyMoved_IsBack(self) ? PyObject_GetIter(self) : NULL;
}

static Py_ssize_t
remains_length(PyObject *self)
{
    return _PyMoved_IsBack(self) ? PyObject_Size(self) : -1;
}

static PyObject *
remains_subscript(PyObject *self, PyObject *key)
{
    return _PyMoved_IsBack(self) ? PyObject_GetItem(self, key) : NULL;
}

static int
remains_ass_subscript(PyObject *self, PyObject *key, PyObject *value)
{
    return !_PyMoved_IsBack(self) ? -1 : value != NULL ? PyObject_SetItem(self, key, value)
                                               : PyObject_DelItem(self, key);
}

static int
remains_contains(PyObject *self, PyObject *value)
{
    return _PyMoved_IsBack(self) ? PySequence_Contains(self, value) : -1;
}

static PyObject *
remains_concat(PyObject *self, PyObject *other)
{
    return _PyMoved_IsBack(self) ? PySequence_Concat(self, other) : NULL;
}

static PyObject *
remains_item(PyObject *self, Py_ssize_t i)
{
    return _PyMoved_IsBack(self) ? PySequence_GetItem(self, i) : NULL;
}

static int
remains_ass_item(PyObject *self, Py_ssize_t i, PyObject *value)
{
    return !_PyMoved_IsBack(self) ? -1 : value != NULL ? PySequence_SetItem(self, i, value)
                                                       : PySequence_DelItem(self, i);
}

static PyObject *
remains_remainder(PyObject *self, PyObject *other)
{
    if (Py_TYPE(self)->tp_repr != remains_repr) {
        Py_RETURN_NOTIMPLEMENTED;   /* it is the other operand */
    }
    return _PyMoved_IsBack(self) ? PyNumber_Remainder(self, other) : NULL;
}

static PyObject *
remains_repeat(PyObject *self, Py_ssize_t n)
{
    return _PyMoved_IsBack(self) ? PySequence_Repeat(self, n) : NULL;
}

static PyObject *
remains_inplace_concat(PyObject *self, PyObject *other)
{
    return _PyMoved_IsBack(self) ? PySequence_InPlaceConcat(self, other) : NULL;
}

static PyObject *
remains_inplace_repeat(PyObject *self, Py_ssize_t n)
{
    return _PyMoved_IsBack(self) ? PySequence_InPlaceRepeat(self, n) : NULL;
}

static int
remains_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    if (!_PyMoved_IsBack(self)) {
        view->obj = NULL;
        return -1;
    }
    return PyObject_GetBuffer(self, view, flags);
}

PyDoc_STRVAR(remains_doc,
"What is left of an object that was moved: MovedError, whatever is done with it.");

#define REMAINS_SLOTS \
    {Py_tp_doc, (void *)remains_doc}, \
    {Py_tp_dealloc, remains_dealloc}, \
    {Py_tp_repr, remains_repr}, \
    {Py_tp_str, remains_str}, \
    {Py_tp_hash, PyObject_HashNotImplemented}, \
    {Py_tp_getattro, remains_getattro}, \
    {Py_tp_setattro, remains_setattro}, \
    {Py_tp_richcompare, remains_richcompare}, \
    {Py_tp_iter, remains_iter}, \
    {Py_mp_length, remains_length}, \
    {Py_mp_subscript, remains_subscript}, \
    {Py_mp_ass_subscript, remains_ass_subscript}, \
    {Py_nb_remainder, remains_remainder}, \
    {Py_sq_length, remains_length}, \
    {Py_sq_item, remains_item}, \
    {Py_sq_ass_item, remains_ass_item}, \
    {Py_sq_contains, remains_contains}, \
    {Py_sq_concat, remains_concat}, \
    {Py_sq_repeat, remains_repeat}, \
    {Py_sq_inplace_concat, remains_inplace_concat}, \
    {Py_sq_inplace_repeat, remains_inplace_repeat}, \
    {Py_bf_getbuffer, remains_getbuffer}

/* They are subclasses of what the objects were, since C code may be using one when it is
   moved: it goes on with an empty object of the type that it expects. */

static PyType_Slot movedbytearray_slots[] = {
    REMAINS_SLOTS,
    {0, NULL},
};

static PyType_Spec movedbytearray_spec = {
    .name = "interpreters.moved_bytearray",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = movedbytearray_slots,
};

static PyType_Slot movedarray_slots[] = {
    REMAINS_SLOTS,
    {Py_tp_traverse, remains_traverse},
    {0, NULL},
};

static PyType_Spec movedarray_spec = {
    .name = "interpreters.moved_array",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = movedarray_slots,
};

static PyTypeObject *
remains_type(_xxsub_state *state, PyObject *obj)
{
    int is_bytearray = PyByteArray_CheckExact(obj);
    PyTypeObject **slot = is_bytearray ? &state->MovedByteArray : &state->MovedArray;
    if (*slot == NULL) {
        *slot = (PyTypeObject *)PyType_FromModuleAndSpec(
            PyType_GetModule(state->Move),
            is_bytearray ? &movedbytearray_spec : &movedarray_spec,
            (PyObject *)Py_TYPE(obj));
    }
    return *slot;
}


/* --- what move() returns ---------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *obj;                  /* owned */
} Move;

PyObject *
_PyMove_New(_xxsub_state *state, PyObject *obj)
{
    Move *self = PyObject_GC_New(Move, state->Move);
    if (self != NULL) {
        self->obj = Py_NewRef(obj);
        PyObject_GC_Track(self);
    }
    return (PyObject *)self;
}

PyObject *
_PyMove_Object(PyObject *op)
{
    return ((Move *)op)->obj;
}

static int
move_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((Move *)op)->obj);
    return 0;
}

static int
move_clear(PyObject *op)
{
    Py_CLEAR(((Move *)op)->obj);
    return 0;
}

static void
move_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)move_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
move_repr(PyObject *op)
{
    return PyUnicode_FromFormat("interpreters.move(%R)", ((Move *)op)->obj);
}

PyDoc_STRVAR(move_doc, "An object that is moved when it is sent.");

static PyType_Slot move_slots[] = {
    {Py_tp_doc, (void *)move_doc},
    {Py_tp_dealloc, move_dealloc},
    {Py_tp_traverse, move_traverse},
    {Py_tp_clear, move_clear},
    {Py_tp_repr, move_repr},
    {0, NULL},
};

PyType_Spec _PyMove_spec = {
    .name = "_xxsubinterpreters.Move",
    .basicsize = sizeof(Move),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = move_slots,
};


/* --- state -------------------------------------------------------------------------------- */

int
_PyMoved_InitState(_xxsub_state *state)
{
    state->remains = _Py_hashtable_new(_Py_hashtable_hash_ptr, _Py_hashtable_compare_direct);
    if (state->remains == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
_PyMoved_FreeState(_xxsub_state *state)
{
    if (state->remains != NULL) {
        /* Nothing is left of any: those hold the module. */
        _Py_hashtable_destroy(state->remains);
        state->remains = NULL;
    }
}
