/* What the files of the encoder share.  See encoder.h. */

#include "Python.h"
#include "pycore_crossinterp.h"   // _PyInterpreterState_GetXIState()
#include "pycore_interp.h"        // PyInterpreterState
#include "encoder.h"


/* --- writing -------------------------------------------------------------- */

int
_PyEncoder_Grow(encoder *enc, size_t n)
{
    size_t needed = enc->size + n;
    if (needed < n || needed > PY_SSIZE_T_MAX) {
        PyErr_NoMemory();
        return -1;
    }
    size_t allocated = Py_MAX(needed, enc->allocated * 2);
    unsigned char *old = enc->data == enc->small ? NULL : enc->data;
    unsigned char *data = PyMem_RawRealloc(old, allocated);
    if (data == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (old == NULL) {
        memcpy(data, enc->small, enc->size);
    }
    enc->data = data;
    enc->allocated = allocated;
    return 0;
}

progress
_PyEncoder_WriteHandle(encoder *enc, int tag, PyObject *obj, int keep,
                       void (*release)(void *), void *ptr)
{
    /* Grown one by one: handles are few, and each stands for much more work
       than a realloc. */
    struct handle *handles = PyMem_RawRealloc(
            enc->handles, (enc->n_handles + 1) * sizeof(struct handle));
    if (handles == NULL) {
        release(ptr);
        PyErr_NoMemory();
        return FAILED;
    }
    enc->handles = handles;
    handles[enc->n_handles] = (struct handle){release, ptr};
    if (write_head(enc, tag | keep, enc->n_handles++) < 0) {
        return FAILED;
    }
    return number_at_end(enc, obj, keep, 0);
}


/* --- frames ------------------------------------------------------------------ */

int
_PyEncoder_GrowFrames(encoder *enc)
{
    size_t n = enc->allocated_frames == SMALL_DEPTH ? LARGE_DEPTH : 2 * enc->allocated_frames;
    frame *old = enc->frames == enc->small_frames ? NULL : enc->frames;
    frame *frames = PyMem_Realloc(old, n * sizeof(frame));
    if (frames == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (old == NULL) {
        memcpy(frames, enc->small_frames, sizeof(enc->small_frames));
    }
    enc->frames = frames;
    enc->allocated_frames = n;
    return 0;
}

PyObject *
_PyEncoder_Nowhere(const encoder *Py_UNUSED(enc), const frame *Py_UNUSED(f))
{
    return PyUnicode_New(0, 0);
}


/* --- objects that cannot be sent -------------------------------------------- */

/* Return the path to what is encoded now. */
static PyObject *
path(encoder *enc)
{
    PyObject *pieces = PyList_New(0);
    PyObject *name = pieces != NULL ? PyUnicode_FromString(enc->name) : NULL;
    int r = name == NULL ? -1 : PyList_Append(pieces, name);
    Py_XDECREF(name);
    for (size_t i = 0; r == 0 && i < enc->depth; i++) {
        const frame *f = &enc->frames[i];
        PyObject *piece = f->kind->where(enc, f);
        r = piece == NULL ? -1 : PyList_Append(pieces, piece);
        Py_XDECREF(piece);
    }
    PyObject *empty = r == 0 ? PyUnicode_New(0, 0) : NULL;
    PyObject *result = empty != NULL ? PyUnicode_Join(empty, pieces) : NULL;
    Py_XDECREF(empty);
    Py_XDECREF(pieces);
    return result;
}

progress
_PyEncoder_Refuse(encoder *enc, PyObject *obj)
{
    PyObject *cause = PyErr_GetRaisedException();
    PyObject *where = path(enc);
    if (where == NULL) {
        Py_XDECREF(cause);
        return FAILED;
    }
    PyObject *type = _PyInterpreterState_GetXIState(PyInterpreterState_Get())
                     ->PyExc_NotShareableError;
    PyErr_Format(type, "%U: '%s' object cannot be sent to another interpreter",
                 where, Py_TYPE(obj)->tp_name);
    Py_DECREF(where);
    if (cause != NULL) {
        PyObject *exc = PyErr_GetRaisedException();
        PyException_SetCause(exc, Py_NewRef(cause));
        PyException_SetContext(exc, cause);
        PyErr_SetRaisedException(exc);
    }
    return FAILED;
}


/* --- numbers of objects ------------------------------------------------------- */

/* While an object has no number, its value in enc->kept says how often its record
   was begun.  An object may be met inside its own record once for each list, say,
   that leads back to it; one that is met so often leads back to itself only. */
#define MOST_BEGUN 1000
#define BEGUN_ONCE (SIZE_MAX - 1)
#define BEGUN_TOO_OFTEN (SIZE_MAX - MOST_BEGUN)

progress
_PyEncoder_Keep(encoder *enc, PyObject *obj, int *keep)
{
    _PyObjectMapEntry *entry = _PyObjectMap_FindOrAdd(&enc->kept, obj);
    if (entry == NULL) {
        return FAILED;
    }
    *keep = TAG_KEEP;
    if (entry->value == 0) {
        entry->value = BEGUN_ONCE;
        enc->n_unnumbered++;
        return BEGUN;
    }
    if (entry->value < BEGUN_TOO_OFTEN) {
        return write_head(enc, TAG_REF, entry->value - 1) < 0 ? FAILED : COMPLETE;
    }
    if (--entry->value <= BEGUN_TOO_OFTEN) {
        PyErr_Format(PyExc_RecursionError,
                     "'%s' object is needed to make itself", Py_TYPE(obj)->tp_name);
        return _PyEncoder_Refuse(enc, obj);
    }
    return BEGUN;
}

int
_PyEncoder_IsInsideItself(encoder *enc, PyObject *obj)
{
    _PyObjectMapEntry *entry = _PyObjectMap_Find(&enc->kept, obj);
    return entry != NULL && entry->value >= BEGUN_TOO_OFTEN && entry->value < BEGUN_ONCE;
}

progress
_PyEncoder_Number(encoder *enc, PyObject *obj, int keep, size_t start)
{
    if (!keep) {
        return BEGUN;
    }
    _PyObjectMapEntry *entry = _PyObjectMap_Find(&enc->kept, obj);
    assert(entry != NULL);
    if (entry->value >= BEGUN_TOO_OFTEN) {
        entry->value = ++enc->n_kept;
        enc->n_unnumbered--;
        return BEGUN;
    }
    unsigned char *tag = &enc->data[start];
    *tag = (*tag & ~TAG_KEEP) | TAG_AGAIN;
    return write_size(enc, entry->value - 1) < 0 ? FAILED : COMPLETE;
}


/* --- shapes ----------------------------------------------------------------------- */

#define MOST_SHAPES 10000

static inline uintptr_t
signature_of(const PyTypeObject *type, PyObject *const *keys, Py_ssize_t n)
{
    /* FNV-1a with words instead of bytes (Fowler, Noll and Vo); the low bits of the
       result depend on all of them only by way of the shift. */
    uintptr_t x = (uintptr_t)type ^ (uintptr_t)n;
    for (Py_ssize_t i = 0; i < n; i++) {
        x = (x ^ (uintptr_t)keys[i]) * (uintptr_t)UINT64_C(0x100000001B3);
    }
    return x ^ (x >> 29);
}

static int
has_shape(const shape *s, const PyTypeObject *type, PyObject *const *keys, Py_ssize_t n)
{
    if (s->type != type || s->n != n) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (s->keys[i] != keys[i]) {
            return 0;
        }
    }
    return 1;
}

static int
add_shape(encoder *enc, PyTypeObject *type, PyObject *const *keys, Py_ssize_t n)
{
    /* Doubled when there are as many as a power of two. */
    if ((enc->n_shapes & (enc->n_shapes - 1)) == 0) {
        size_t allocated = enc->n_shapes == 0 ? 1 : 2 * enc->n_shapes;
        shape *shapes = PyMem_Realloc(enc->shapes, allocated * sizeof(shape));
        if (shapes == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        enc->shapes = shapes;
    }
    PyObject **own = PyMem_New(PyObject *, n);
    if (own == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        own[i] = Py_NewRef(keys[i]);
    }
    enc->shapes[enc->n_shapes++] = (shape){
        .type = (PyTypeObject *)Py_XNewRef(type), .n = n, .keys = own};
    return 0;
}

int
_PyEncoder_FindShape(encoder *enc, PyTypeObject *type, PyObject *const *keys,
                     Py_ssize_t n, size_t *index)
{
    if ((n == 0 && type == NULL) || n > MOST_SHAPED_KEYS) {
        return 0;
    }
    if (!enc->uses_slots) {
        memset(enc->slots, 0, sizeof(enc->slots));
        enc->uses_slots = 1;
    }
    uintptr_t signature = signature_of(type, keys, n);
    shape_slot *slot = &enc->slots[signature & (SHAPE_SLOTS - 1)];
    if (slot->shape > 0 && slot->signature == signature
        && has_shape(&enc->shapes[slot->shape - 1], type, keys, n))
    {
        *index = slot->shape - 1;
        return 1;
    }
    /* What is met once is perhaps not met again. */
    if (type == NULL && slot->signature != signature) {
        *slot = (shape_slot){.signature = signature};
        return 0;
    }
    if (enc->n_shapes == MOST_SHAPES) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!PyUnicode_CheckExact(keys[i])) {
            return 0;
        }
    }
    if (add_shape(enc, type, keys, n) < 0) {
        return -1;
    }
    *slot = (shape_slot){signature, enc->n_shapes};
    *index = enc->n_shapes - 1;
    return 1;
}

static void
clear_shapes(encoder *enc)
{
    for (size_t i = 0; i < enc->n_shapes; i++) {
        shape *s = &enc->shapes[i];
        for (Py_ssize_t k = 0; k < s->n; k++) {
            Py_DECREF(s->keys[k]);
        }
        PyMem_Free(s->keys);
        Py_XDECREF(s->type);
    }
    PyMem_Free(enc->shapes);
}

int
_PyEncoder_DefineShape(encoder *enc, size_t index)
{
    shape *s = &enc->shapes[index];
    if (write_size(enc, s->n) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < s->n; i++) {
        if (_PyEncoder_Str(enc, s->keys[i]) == FAILED) {
            return -1;
        }
    }
    s->defined = 1;
    return 0;
}


/* --- records of several parts --------------------------------------------------------- */

/* `parts` is a tuple; i: those begun; n: all; phase: how many make the object, or -1 when
   it exists. */
progress
_PyEncoder_GoOnWithParts(encoder *enc, frame *f)
{
    while (f->i < f->n) {
        if (f->i == f->phase) {
            progress p = _PyEncoder_Number(enc, f->obj, f->keep, f->start);
            if (p != BEGUN) {
                return p;
            }
            f->phase = -1;
        }
        progress p = _PyEncoder_Encode(enc, PyTuple_GET_ITEM(f->parts, f->i++));
        if (p != COMPLETE) {
            return p;
        }
    }
    return f->i == f->phase ? number_at_end(enc, f->obj, f->keep, f->start) : COMPLETE;
}

progress
_PyEncoder_Parts(encoder *enc, int tag, PyObject *obj, int keep, PyObject *parts,
                 int n_first, const frame_kind *kind)
{
    if (parts == NULL) {
        return FAILED;
    }
    size_t start = enc->size;
    frame *f = NULL;
    if (write_byte(enc, tag | keep) == 0) {
        f = _PyEncoder_Push(enc, kind, obj, keep, start);
    }
    if (f == NULL) {
        Py_DECREF(parts);
        return FAILED;
    }
    f->parts = parts;
    f->n = PyTuple_GET_SIZE(parts);
    f->phase = n_first < 0 ? (int)f->n : n_first;
    return BEGUN;
}


/* --- after a failure, and in the end ---------------------------------------------------- */

/* While begun records are looked through, their values are so much less. */
#define MARKED (2 * MOST_BEGUN)

/* The record of a frame is begun, and its object has no number, if it got it since. */
static void
unnumber(encoder *enc, frame *f)
{
    _PyObjectMapEntry *entry = f->keep ? _PyObjectMap_Find(&enc->kept, f->obj) : NULL;
    if (entry == NULL || (entry->value < BEGUN_TOO_OFTEN - MARKED && entry->value > 0)
        || entry->value >= BEGUN_TOO_OFTEN)
    {
        return;                     /* it has a number, or was seen already */
    }
    entry->value = entry->value == 0 ? BEGUN_ONCE : entry->value + MARKED;
    enc->n_unnumbered++;
}

/* Forget what was written, and which objects and shapes were met, since the
   record of the frame began, which is not among the frames any more. */
static void
roll_back(encoder *enc, frame *f, const checkpoint *before)
{
    enc->size = before->size;
    while (enc->n_handles > before->n_handles) {
        struct handle *handle = &enc->handles[--enc->n_handles];
        handle->release(handle->ptr);
    }
    for (size_t i = 0; i < enc->n_shapes; i++) {
        shape *s = &enc->shapes[i];
        if (s->begun && s->number >= before->n_numbered) {
            s->begun = s->defined = 0;
        }
    }
    enc->n_numbered = before->n_numbered;
    while (enc->views != NULL && PyList_GET_SIZE(enc->views) > before->n_views) {
        Py_ssize_t last = PyList_GET_SIZE(enc->views) - 1;
        (void)PyList_SetSlice(enc->views, last, last + 1, NULL);    /* cannot fail */
    }
    /* Numbers that are not given any more, and begun records that are gone. */
    for (size_t i = 0; i < enc->kept.size; i++) {
        _PyObjectMapEntry *entry = &enc->kept.entries[i];
        if (entry->value >= BEGUN_TOO_OFTEN) {
            entry->value -= MARKED;
        }
        else if (entry->value > before->n_kept) {
            entry->value = 0;
        }
    }
    enc->n_kept = before->n_kept;
    enc->n_unnumbered = 0;
    for (size_t i = 0; i < enc->depth; i++) {
        unnumber(enc, &enc->frames[i]);
    }
    unnumber(enc, f);
    for (size_t i = 0; i < enc->kept.size; i++) {
        _PyObjectMapEntry *entry = &enc->kept.entries[i];
        if (entry->value >= BEGUN_TOO_OFTEN - MARKED && entry->value < BEGUN_TOO_OFTEN) {
            entry->value = 0;
        }
    }
}

progress
_PyEncoder_Guard(encoder *enc, checkpoint before)
{
    checkpoint *copy = PyMem_New(checkpoint, 1);
    if (copy == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    *copy = before;
    frame *f = &enc->frames[enc->depth - 1];
    assert(!f->kind->is_plain);
    f->before = copy;
    return BEGUN;
}

progress
_PyEncoder_Recover(encoder *enc)
{
    size_t i = enc->depth;
    while (i > 0 && (enc->frames[i - 1].kind->is_plain
                     || enc->frames[i - 1].before == NULL))
    {
        i--;
    }
    if (i == 0 || !_PyEncoder_MayRecover(enc)) {
        return FAILED;
    }
    PyErr_Clear();
    frame f = enc->frames[i - 1];
    checkpoint before = *f.before;
    Py_INCREF(f.obj);
    while (enc->depth >= i) {
        _PyEncoder_Pop(enc);
    }
    roll_back(enc, &f, &before);
    /* Not a third time. */
    progress p = FAILED;
    if (_PyObjectMap_FindOrAdd(&enc->again, f.obj) != NULL) {
        p = _PyEncoder_ExceptionAgain(enc, f.obj, f.keep);
    }
    Py_DECREF(f.obj);
    return p;
}

void
_PyEncoder_Clear(encoder *enc, int failed)
{
    while (enc->depth > 0) {
        _PyEncoder_Pop(enc);
    }
    if (enc->frames != enc->small_frames) {
        PyMem_Free(enc->frames);
    }
    _PyObjectMap_Clear(&enc->kept);
    _PyObjectMap_Clear(&enc->plans);
    _PyObjectMap_Clear(&enc->again);
    clear_shapes(enc);
    Py_CLEAR(enc->views);
    if (failed) {
        for (size_t i = 0; i < enc->n_handles; i++) {
            enc->handles[i].release(enc->handles[i].ptr);
        }
        PyMem_RawFree(enc->handles);
        if (enc->data != enc->small) {
            PyMem_RawFree(enc->data);
        }
    }
}
