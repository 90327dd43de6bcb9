/* From Python objects to a message: built-in types.  See message.h, encoder.h and
   message_format.h. */

#include "Python.h"
#include "pycore_dict.h"          // DK_UNICODE_ENTRIES()
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_long.h"          // _PyLong_NumBits()
#include "pycore_object.h"        // _PyNone_Type
#include "pycore_setobject.h"     // _PySet_NextEntry()
#include "bufferview.h"
#include "channelobject.h"
#include "encoder.h"
#include "interp.h"
#include "moved.h"
#include "queueobject.h"
#include "sharedblock.h"
#include "syncobject.h"


/* --- leaves ----------------------------------------------------------------- */

static inline progress
encode_tag(encoder *enc, int tag)
{
    return write_byte(enc, tag) < 0 ? FAILED : COMPLETE;
}

static progress
encode_bigint(encoder *enc, PyObject *obj)
{
    size_t n = _PyLong_NumBits(obj) / 8 + 1;      /* one bit for the sign */
    if (n > PY_SSIZE_T_MAX / 2 || write_head(enc, TAG_BIGINT, n) < 0) {
        return FAILED;
    }
    unsigned char *to = room(enc, n);
    if (to == NULL
        || _PyLong_AsByteArray((PyLongObject *)obj, to, n, /*little_endian=*/1,
                               /*is_signed=*/1, /*with_exceptions=*/1) < 0)
    {
        return FAILED;
    }
    enc->size += n;
    return COMPLETE;
}

static inline progress
encode_int(encoder *enc, PyObject *obj)
{
    int64_t value;
    if (!_PyMessage_AsInt64(obj, &value)) {
        return encode_bigint(enc, obj);
    }
    unsigned char *to = room(enc, 1 + sizeof(value));
    if (to == NULL) {
        return FAILED;
    }
    if (value == (int8_t)value) {
        to[0] = TAG_INT8;
        to[1] = (unsigned char)value;
        enc->size += 2;
    }
    else if (value == (int16_t)value) {
        int16_t small = (int16_t)value;
        to[0] = TAG_INT16;
        memcpy(to + 1, &small, sizeof(small));
        enc->size += 1 + sizeof(small);
    }
    else if (value == (int32_t)value) {
        int32_t small = (int32_t)value;
        to[0] = TAG_INT32;
        memcpy(to + 1, &small, sizeof(small));
        enc->size += 1 + sizeof(small);
    }
    else {
        to[0] = TAG_INT64;
        memcpy(to + 1, &value, sizeof(value));
        enc->size += 1 + sizeof(value);
    }
    return COMPLETE;
}

static inline progress
encode_float(encoder *enc, PyObject *obj)
{
    double value = PyFloat_AS_DOUBLE(obj);
    unsigned char *to = room(enc, 1 + sizeof(value));
    if (to == NULL) {
        return FAILED;
    }
    to[0] = TAG_FLOAT;
    memcpy(to + 1, &value, sizeof(value));
    enc->size += 1 + sizeof(value);
    return COMPLETE;
}

static progress
encode_complex(encoder *enc, PyObject *obj)
{
    Py_complex value = PyComplex_AsCComplex(obj);
    unsigned char *to = room(enc, 1 + sizeof(value));
    if (to == NULL) {
        return FAILED;
    }
    to[0] = TAG_COMPLEX;
    memcpy(to + 1, &value, sizeof(value));
    enc->size += 1 + sizeof(value);
    return COMPLETE;
}

/* Write a large str or bytes as a handle.  BEGUN means that nothing was written. */
static progress
encode_large(encoder *enc, PyObject *obj, int keep)
{
    PyObject *copy = _PyMessage_CopyLarge(obj);
    return copy == NULL ? BEGUN
           : _PyEncoder_WriteHandle(enc, TAG_LARGE, obj, keep, _PyMessage_ReleaseLarge,
                                    copy);
}

static inline progress
encode_str(encoder *enc, PyObject *obj)
{
    int keep;
    progress p = keep_leaf_or_refer(enc, obj, &keep);
    if (p != BEGUN) {
        return p;
    }
    size_t length = PyUnicode_GET_LENGTH(obj);
    int kind = PyUnicode_KIND(obj);
    if (length * kind >= _PyMessage_LARGE) {
        p = encode_large(enc, obj, keep);
        if (p != BEGUN) {
            return p;
        }
    }
    int tag = kind == PyUnicode_1BYTE_KIND ? TAG_UCS1
              : kind == PyUnicode_2BYTE_KIND ? TAG_UCS2 : TAG_UCS4;
    if (write_record(enc, tag | keep, length, PyUnicode_DATA(obj), length * kind)
        == FAILED)
    {
        return FAILED;
    }
    return number_at_end(enc, obj, keep, 0);
}

progress
_PyEncoder_Str(encoder *enc, PyObject *obj)
{
    return encode_str(enc, obj);
}

static progress
encode_bytes(encoder *enc, PyObject *obj, int keep)
{
    size_t n = PyBytes_GET_SIZE(obj);
    if (n >= _PyMessage_LARGE) {
        progress p = encode_large(enc, obj, keep);
        if (p != BEGUN) {
            return p;
        }
    }
    if (write_record(enc, TAG_BYTES | keep, n, PyBytes_AS_STRING(obj), n) == FAILED) {
        return FAILED;
    }
    return number_at_end(enc, obj, keep, 0);
}

static progress
encode_bytearray(encoder *enc, PyObject *obj, int keep)
{
    size_t n = PyByteArray_GET_SIZE(obj);
    if (write_record(enc, TAG_BYTEARRAY | keep, n, PyByteArray_AS_STRING(obj), n)
        == FAILED)
    {
        return FAILED;
    }
    return number_at_end(enc, obj, keep, 0);
}

/* In contiguous order; as the protocol of pickle has it for those that nobody
   wants out of band. */
static progress
encode_picklebuffer(encoder *enc, PyObject *obj, int keep)
{
    const Py_buffer *view = PyPickleBuffer_GetBuffer(obj);
    if (view == NULL) {
        return FAILED;
    }
    if (!PyBuffer_IsContiguous(view, 'A')) {
        PyErr_SetString(PyExc_ValueError,
                        "PickleBuffer can not be copied when its buffer is not "
                        "contiguous");
        return FAILED;
    }
    int tag = view->readonly ? TAG_BYTES : TAG_BYTEARRAY;
    if (write_record(enc, tag | keep, view->len, view->buf, view->len) == FAILED) {
        return FAILED;
    }
    return number_at_end(enc, obj, keep, 0);
}


/* Any object. */
static inline progress encode(encoder *enc, PyObject *obj);
static inline progress encode_tuple(encoder *enc, PyObject *obj);


/* --- sequences and sets --------------------------------------------------------- */

static PyObject *
where_index(const encoder *Py_UNUSED(enc), const frame *f)
{
    return PyUnicode_FromFormat("[%zd]", f->i - 1);
}

static progress
changed(const char *what)
{
    PyErr_Format(PyExc_RuntimeError, "%s during iteration", what);
    return FAILED;
}

/* Runs of numbers of one type are written together. */
#define SHORTEST_RUN 4

static inline int
begins_run(PyObject *const *items, Py_ssize_t n)
{
    PyTypeObject *type = Py_TYPE(items[0]);
    if (n < SHORTEST_RUN || (type != &PyLong_Type && type != &PyFloat_Type)) {
        return 0;
    }
    for (int i = 1; i < SHORTEST_RUN; i++) {
        if (Py_TYPE(items[i]) != type) {
            return 0;
        }
    }
    return 1;
}

/* Write as many of the items as are floats; return how many, or -1. */
static Py_ssize_t
encode_floats(encoder *enc, PyObject *const *items, Py_ssize_t n)
{
    Py_ssize_t run = 0;
    while (run < n && PyFloat_CheckExact(items[run])) {
        run++;
    }
    if (write_head(enc, TAG_FLOATS, run) < 0) {
        return -1;
    }
    unsigned char *to = room(enc, run * sizeof(double));
    if (to == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < run; i++) {
        double value = PyFloat_AS_DOUBLE(items[i]);
        memcpy(to + i * sizeof(value), &value, sizeof(value));
    }
    enc->size += run * sizeof(double);
    return run;
}

#define PUT_INTS(TYPE) \
    for (Py_ssize_t i = 0; i < run; i++) { \
        int64_t value = 0; \
        (void)_PyMessage_AsInt64(items[i], &value); \
        TYPE narrow = (TYPE)value; \
        memcpy(to + i * sizeof(narrow), &narrow, sizeof(narrow)); \
    }

/* The same for ints of 64 bits; 0 if the first is larger. */
static Py_ssize_t
encode_ints(encoder *enc, PyObject *const *items, Py_ssize_t n)
{
    Py_ssize_t run = 0;
    int64_t value, least = 0, most = 0;
    while (run < n && PyLong_CheckExact(items[run])
           && _PyMessage_AsInt64(items[run], &value))
    {
        least = Py_MIN(least, value);
        most = Py_MAX(most, value);
        run++;
    }
    int width = least >= INT8_MIN && most <= INT8_MAX ? 1
                : least >= INT16_MIN && most <= INT16_MAX ? 2
                : least >= INT32_MIN && most <= INT32_MAX ? 4 : 8;
    int tag = width == 1 ? TAG_INT8S : width == 2 ? TAG_INT16S
              : width == 4 ? TAG_INT32S : TAG_INT64S;
    if (run == 0) {
        return 0;
    }
    if (write_head(enc, tag, run) < 0) {
        return -1;
    }
    unsigned char *to = room(enc, run * width);
    if (to == NULL) {
        return -1;
    }
    switch (width) {
    case 1: PUT_INTS(int8_t); break;
    case 2: PUT_INTS(int16_t); break;
    case 4: PUT_INTS(int32_t); break;
    case 8: PUT_INTS(int64_t); break;
    }
    enc->size += run * width;
    return run;
}

/* Those items that are next; they are written in one record.  Return how many, or -1 with
   an exception. */
static inline Py_ssize_t
encode_run(encoder *enc, PyObject *const *items, Py_ssize_t n)
{
    if (!begins_run(items, n)) {
        return 0;
    }
    return PyLong_CheckExact(items[0]) ? encode_ints(enc, items, n)
                                       : encode_floats(enc, items, n);
}

/* Lists and tuples.  i: items begun; n: all.  Those that are inside of each other are
   encoded in one call. */
static progress
go_on_with_sequence(encoder *enc, frame *f)
{
    for (;;) {
        int is_tuple = PyTuple_CheckExact(f->obj);
        progress p = COMPLETE;
        while (p == COMPLETE && f->i < f->n) {
            if (!is_tuple && PyList_GET_SIZE(f->obj) != f->n) {
                return changed("list changed size");
            }
            PyObject **items = is_tuple ? ((PyTupleObject *)f->obj)->ob_item
                                        : ((PyListObject *)f->obj)->ob_item;
            Py_ssize_t run = encode_run(enc, items + f->i, f->n - f->i);
            if (run > 0) {
                f->i += run;
            }
            else if (run < 0) {
                p = FAILED;
            }
            else {
                PyObject *item = items[f->i++];
                p = PyTuple_CheckExact(item) ? encode_tuple(enc, item) : encode(enc, item);
            }
        }
        if (p == COMPLETE) {
            if (is_tuple && number_at_end(enc, f->obj, f->keep, f->start) == FAILED) {
                return FAILED;
            }
            if (enc->depth == 1 || f[-1].kind != f->kind) {
                return COMPLETE;
            }
            _PyEncoder_Pop(enc);
        }
        f = &enc->frames[enc->depth - 1];
        if (p != COMPLETE && (p == FAILED || f->kind->go_on != go_on_with_sequence)) {
            return p;
        }
    }
}

static const frame_kind sequence_kind = {go_on_with_sequence, where_index, .is_plain = 1};

/* i: where the iteration is; n: elements that are to come. */
static progress
go_on_with_set(encoder *enc, frame *f)
{
    PyObject *element;
    Py_hash_t hash;
    while (_PySet_NextEntry(f->obj, &f->i, &element, &hash)) {
        if (--f->n < 0) {
            break;
        }
        progress p = _PyEncoder_Encode(enc, element);
        if (p != COMPLETE) {
            return p;
        }
    }
    if (f->n != 0) {
        return changed("set changed size");
    }
    return PyFrozenSet_CheckExact(f->obj)
           ? number_at_end(enc, f->obj, f->keep, f->start) : COMPLETE;
}

static const frame_kind set_kind = {go_on_with_set, _PyEncoder_Nowhere, .is_plain = 1};

/* A mutable container has its number from the beginning. */
static inline progress
begin(encoder *enc, int tag, PyObject *obj, int keep, Py_ssize_t n,
      const frame_kind *kind)
{
    size_t start = enc->size;
    if (write_head(enc, tag | keep, n) < 0) {
        return FAILED;
    }
    frame *f = _PyEncoder_Push(enc, kind, obj, keep, start);
    if (f == NULL) {
        return FAILED;
    }
    f->n = n;
    return BEGUN;
}

static inline progress
encode_list(encoder *enc, PyObject *obj)
{
    int keep;
    progress p = keep_or_refer(enc, obj, &keep);
    if (p != BEGUN) {
        return p;
    }
    if (keep) {
        (void)_PyEncoder_Number(enc, obj, keep, 0);
    }
    return begin(enc, TAG_LIST, obj, keep, PyList_GET_SIZE(obj), &sequence_kind);
}

static inline progress
encode_tuple(encoder *enc, PyObject *obj)
{
    int keep;
    progress p = keep_tuple_or_refer(enc, obj, &keep);
    return p != BEGUN ? p
           : begin(enc, TAG_TUPLE, obj, keep, PyTuple_GET_SIZE(obj), &sequence_kind);
}

static progress
encode_set(encoder *enc, PyObject *obj, int keep)
{
    int frozen = PyFrozenSet_CheckExact(obj);
    if (!frozen) {
        (void)_PyEncoder_Number(enc, obj, keep, 0);
    }
    return begin(enc, frozen ? TAG_FROZENSET : TAG_SET, obj, keep, PySet_GET_SIZE(obj),
                 &set_kind);
}


/* --- dicts ------------------------------------------------------------------------ */

static PyObject *
where_key(const encoder *enc, const frame *f)
{
    if (f->phase == 0) {
        return PyUnicode_FromString(".keys()");
    }
    return f->part != NULL ? PyUnicode_FromFormat("[%R]", f->part)
                           : _PyEncoder_Nowhere(enc, f);
}

/* Those that cannot run code while they are encoded. */
static inline int
is_leaf(PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type
           || obj == Py_None || type == &PyBool_Type;
}

/* i: where the iteration is; n: pairs that are to come; phase: whether the key of
   the last pair is encoded; part: that key; other: its value, while it is to come. */
static progress
go_on_with_dict(encoder *enc, frame *f)
{
    for (;;) {
        progress p;
        if (f->other != NULL) {
            PyObject *value = f->other;
            f->other = NULL;
            f->phase = 1;
            p = _PyEncoder_Encode(enc, value);
            Py_DECREF(value);
            if (p != COMPLETE) {
                return p;
            }
        }
        PyObject *key, *value;
        Py_CLEAR(f->part);          /* may run code, so it comes first */
        if (!PyDict_Next(f->obj, &f->i, &key, &value)) {
            return f->n == 0 ? COMPLETE : changed("dictionary changed size");
        }
        if (--f->n < 0) {
            return changed("dictionary changed size");
        }
        f->phase = 0;
        if (is_leaf(key)) {
            if (_PyEncoder_Encode(enc, key) == FAILED) {
                return FAILED;
            }
            f->phase = 1;
            if (!is_leaf(value)) {
                f->part = Py_NewRef(key);
            }
            p = _PyEncoder_Encode(enc, value);
        }
        else {
            f->part = Py_NewRef(key);
            f->other = Py_NewRef(value);
            p = _PyEncoder_Encode(enc, key);
        }
        if (p != COMPLETE) {
            return p;
        }
    }
}

static const frame_kind dict_kind = {go_on_with_dict, where_key};


/* --- dicts that share their keys with others ------------------------------------------- */

/* The entries of a dict that has nothing but str keys, and no holes; else NULL. */
static inline PyDictUnicodeEntry *
dense_entries(PyObject *obj, Py_ssize_t *n)
{
    PyDictObject *dict = (PyDictObject *)obj;
    PyDictKeysObject *keys = dict->ma_keys;
    if (dict->ma_values != NULL || !DK_IS_UNICODE(keys)
        || keys->dk_nentries != dict->ma_used)
    {
        return NULL;
    }
    *n = dict->ma_used;
    return DK_UNICODE_ENTRIES(keys);
}

static PyObject *
where_shaped_key(const encoder *enc, const frame *f)
{
    return PyUnicode_FromFormat("[%R]", enc->shapes[f->shape].keys[f->i - 1]);
}

/* i: values begun; n: all of them. */
static progress
go_on_with_shaped_dict(encoder *enc, frame *f)
{
    while (f->i < f->n) {
        Py_ssize_t n;
        const PyDictUnicodeEntry *entries = dense_entries(f->obj, &n);
        PyObject *key = enc->shapes[f->shape].keys[f->i];
        if (entries == NULL || n != f->n || entries[f->i].me_key != key) {
            return changed("dictionary changed size or keys");
        }
        progress p = _PyEncoder_Encode(enc, entries[f->i++].me_value);
        if (p != COMPLETE) {
            return p;
        }
    }
    return COMPLETE;
}

static const frame_kind shaped_dict_kind = {go_on_with_shaped_dict, where_shaped_key};

static progress
encode_dict(encoder *enc, PyObject *obj, int keep)
{
    Py_ssize_t n;
    const PyDictUnicodeEntry *entries = dense_entries(obj, &n);
    if (entries == NULL || n > MOST_SHAPED_KEYS) {
        (void)_PyEncoder_Number(enc, obj, keep, 0);
        return begin(enc, TAG_DICT, obj, keep, PyDict_GET_SIZE(obj), &dict_kind);
    }
    PyObject *keys[MOST_SHAPED_KEYS];
    for (Py_ssize_t i = 0; i < n; i++) {
        keys[i] = entries[i].me_key;
    }
    size_t index;
    int r = _PyEncoder_FindShape(enc, NULL, keys, n, &index);
    if (r <= 0) {
        (void)_PyEncoder_Number(enc, obj, keep, 0);
        return r < 0 ? FAILED : begin(enc, TAG_DICT, obj, keep, n, &dict_kind);
    }
    if (begin(enc, TAG_SHAPED_DICT, obj, keep, shape_number(enc, index),
              &shaped_dict_kind) == FAILED
        || (!enc->shapes[index].defined && _PyEncoder_DefineShape(enc, index) < 0))
    {
        return FAILED;
    }
    (void)_PyEncoder_Number(enc, obj, keep, 0);     /* its keys came first */
    frame *f = &enc->frames[enc->depth - 1];
    f->n = n;
    f->shape = index;
    return BEGUN;
}


/* --- slices --------------------------------------------------------------------------- */

static PyObject *
where_in_slice(const encoder *Py_UNUSED(enc), const frame *f)
{
    static const char *const names[] = {".start", ".stop", ".step"};
    return PyUnicode_FromString(names[f->i - 1]);
}

static const frame_kind slice_kind = {_PyEncoder_GoOnWithParts, where_in_slice};

static progress
encode_slice(encoder *enc, PyObject *obj, int keep)
{
    PySliceObject *slice = (PySliceObject *)obj;
    PyObject *parts = PyTuple_Pack(3, slice->start, slice->stop, slice->step);
    return _PyEncoder_Parts(enc, TAG_SLICE, obj, keep, parts, -1, &slice_kind);
}


/* --- what goes by handle -------------------------------------------------------- */

static progress
encode_memoryview(encoder *enc, PyObject *obj, int keep)
{
    _PySharedBuffer *buffer = _PyBufferView_Export(enc->state, obj);
    return buffer == NULL ? FAILED
           : _PyEncoder_WriteHandle(enc, TAG_BUFFER, obj, keep,
                                    _PyMessage_ReleaseBuffer, buffer);
}

static progress
encode_block(encoder *enc, PyObject *obj, int keep)
{
    _PySharedBuffer *own = _PySharedBlock_Buffer(obj);
    if (own == NULL) {
        return FAILED;
    }
    Py_buffer view;
    _PySharedBuffer_Fill(own, &view);
    _PySharedBuffer *buffer = _PySharedBuffer_New(_PySharedBuffer_Block(own), &view);
    if (buffer == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    return _PyEncoder_WriteHandle(enc, TAG_BLOCK, obj, keep, _PyMessage_ReleaseBlock,
                                  buffer);
}

/* What move() was called with.  If its memory cannot change hands it is shared; a
   memoryview is released then. */
static progress
encode_move(encoder *enc, PyObject *obj, int keep)
{
    PyObject *moved = _PyMove_Object(obj);
    if (_PyMoved_Supports(enc->state, moved)) {
        _PyMoved *record = _PyMoved_Take(enc->state, moved);
        return record == NULL ? FAILED
               : _PyEncoder_WriteHandle(enc, TAG_MOVED, obj, keep,
                                        _PyMessage_ReleaseMoved, record);
    }
    _PySharedBuffer *buffer = _PyBufferView_Export(enc->state, moved);
    if (buffer == NULL) {
        return FAILED;
    }
    if (PyMemoryView_Check(moved)) {
        if (enc->views == NULL) {
            enc->views = PyList_New(0);
        }
        if (enc->views == NULL || PyList_Append(enc->views, moved) < 0) {
            _PySharedBuffer_Free(buffer);
            return FAILED;
        }
    }
    return _PyEncoder_WriteHandle(enc, TAG_BUFFER, obj, keep, _PyMessage_ReleaseBuffer,
                                  buffer);
}

static progress encode_new(encoder *enc, PyObject *obj, int keep);

/* What is left of an object that was moved; unless it has its memory again. */
static progress
encode_remains(encoder *enc, PyObject *obj, int keep)
{
    if (!_PyMoved_IsBack(obj)) {
        return FAILED;
    }
    return encode_new(enc, obj, keep);
}

static progress
encode_channel_end(encoder *enc, PyObject *obj, int keep)
{
    _PyChannelEnd *end = _PyChannelObject_CloneEnd(enc->state, obj);
    return end == NULL ? FAILED
           : _PyEncoder_WriteHandle(enc, TAG_CHANNEL_END, obj, keep,
                                    _PyMessage_ReleaseEnd, end);
}

static progress
encode_queue(encoder *enc, PyObject *obj, int keep)
{
    _PyChannelEnd *end = _PyQueueObject_CloneEnd(obj);
    return end == NULL ? FAILED
           : _PyEncoder_WriteHandle(enc, TAG_QUEUE, obj, keep,
                                    _PyMessage_ReleaseQueue, end);
}

/* A barrier with an action is reduced to one without, and the action. */
static progress
encode_sync(encoder *enc, PyObject *obj, int keep)
{
    _PySync *sync = ((_PySyncObject *)obj)->sync;
    if (sync->kind == _PySync_BARRIER && _PyBarrierObject_HasAction(obj)) {
        return _PyEncoder_Object(enc, obj, keep);
    }
    return _PyEncoder_WriteHandle(enc, TAG_SYNC, obj, keep, _PyMessage_ReleaseSync,
                                  _PySync_Incref(sync));
}

progress
_PyEncoder_Interpreter(encoder *enc, PyObject *obj, int keep)
{
    PyObject *number = PyObject_GetAttrString(obj, "id");
    if (number == NULL) {
        return FAILED;
    }
    int64_t id = PyLong_AsLongLong(number);
    Py_DECREF(number);
    if (PyErr_Occurred()) {
        return FAILED;
    }
    int64_t *ref = PyMem_RawMalloc(sizeof(int64_t));
    if (ref == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    if (_PyInterp_Incref(id) < 0) {
        PyMem_RawFree(ref);
        return FAILED;
    }
    *ref = id;
    return _PyEncoder_WriteHandle(enc, TAG_INTERPRETER, obj, keep,
                                  _PyMessage_ReleaseInterpreter, ref);
}


/* --- any object ------------------------------------------------------------------- */

typedef progress (*encode_func)(encoder *enc, PyObject *obj, int keep);

/* By exact type, frequent ones first. */
static const struct {
    PyTypeObject *type;
    encode_func encode;
} encoders[] = {
    {&PyDict_Type, encode_dict},
    {&PyBytes_Type, encode_bytes},
    {&PySet_Type, encode_set},
    {&PyFrozenSet_Type, encode_set},
    {&PyByteArray_Type, encode_bytearray},
    {&PySlice_Type, encode_slice},
    {&PyMemoryView_Type, encode_memoryview},
    {&PyPickleBuffer_Type, encode_picklebuffer},
    {&PyFunction_Type, _PyEncoder_Function},
    {&PyCode_Type, _PyEncoder_Code},
    {&PyCell_Type, _PyEncoder_Cell},
    {&PyModule_Type, _PyEncoder_Module},
};

/* NULL for types of which the class says how to copy its objects. */
static inline encode_func
find_encoder(const _xxsub_state *state, const PyTypeObject *type)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(encoders); i++) {
        if (type == encoders[i].type) {
            return encoders[i].encode;
        }
    }
    return type == state->RecvChannel || type == state->SendChannel ? encode_channel_end
           : type == state->Queue ? encode_queue
           : type == state->SharedBlock ? encode_block
           : type == state->Move ? encode_move
           : type == state->MovedByteArray || type == state->MovedArray ? encode_remains
           : _PySyncObject_CheckType(type) ? encode_sync : NULL;
}

/* One that may have a number, and got none yet. */
static progress
encode_new(encoder *enc, PyObject *obj, int keep)
{
    encode_func func = find_encoder(enc->state, Py_TYPE(obj));
    return func != NULL ? func(enc, obj, keep) : _PyEncoder_Object(enc, obj, keep);
}

static progress
encode_other(encoder *enc, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyBool_Type) {
        return encode_tag(enc, obj == Py_True ? TAG_TRUE : TAG_FALSE);
    }
    if (type == &PyComplex_Type) {
        return encode_complex(enc, obj);
    }
    if (obj == Py_Ellipsis) {
        return encode_tag(enc, TAG_ELLIPSIS);
    }
    if (obj == Py_NotImplemented) {
        return encode_tag(enc, TAG_NOT_IMPLEMENTED);
    }
    int keep;
    progress p = keep_or_refer(enc, obj, &keep);
    if (p != BEGUN) {
        return p;
    }
    Py_INCREF(obj);                 /* code that runs may take it out of its place */
    p = encode_new(enc, obj, keep);
    Py_DECREF(obj);
    return p;
}

/* Numbers and singletons have no numbers: copying them is as cheap as referring to
   them. */
static inline progress
encode(encoder *enc, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyUnicode_Type) {
        return encode_str(enc, obj);
    }
    if (type == &PyLong_Type) {
        return encode_int(enc, obj);
    }
    if (type == &PyFloat_Type) {
        return encode_float(enc, obj);
    }
    if (obj == Py_None) {
        return encode_tag(enc, TAG_NONE);
    }
    if (type == &PyTuple_Type) {
        return encode_tuple(enc, obj);
    }
    if (type == &PyList_Type) {
        return encode_list(enc, obj);
    }
    return encode_other(enc, obj);
}

progress
_PyEncoder_Encode(encoder *enc, PyObject *obj)
{
    return encode(enc, obj);
}

static int
encode_all(encoder *enc, PyObject *obj)
{
    progress p = encode(enc, obj);
    for (;;) {
        if (p == FAILED) {
            size_t depth = enc->depth;
            p = _PyEncoder_Recover(enc);
            if (p == FAILED && enc->depth == depth) {
                return -1;          /* there was nothing to be done */
            }
        }
        else if (enc->depth == 0) {
            return 0;
        }
        else {
            frame *f = &enc->frames[enc->depth - 1];
            p = f->kind->go_on(enc, f);
            if (p == COMPLETE) {
                _PyEncoder_Pop(enc);
            }
        }
    }
}

static _PyMessage *
new_message(encoder *enc)
{
    int small = enc->data == enc->small;
    _PyMessage *message = PyMem_RawMalloc(sizeof(_PyMessage)
                                          + (small ? enc->size : 0));
    if (message == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (small) {
        memcpy(message->small, enc->small, enc->size);
        enc->data = message->small;
    }
    else {
        unsigned char *shrunk = PyMem_RawRealloc(enc->data, enc->size);
        enc->data = shrunk != NULL ? shrunk : enc->data;
    }
    *message = (_PyMessage){
        .data = enc->data,
        .size = enc->size,
        .handles = enc->handles,
        .n_handles = enc->n_handles,
        .n_kept = enc->n_kept,
        .n_shapes = enc->n_numbered,
    };
    return message;
}

/* Release the memoryviews that are moved.  -1 with an exception. */
static int
release_views(encoder *enc)
{
    for (Py_ssize_t i = 0; enc->views != NULL && i < PyList_GET_SIZE(enc->views); i++) {
        PyObject *released = PyObject_CallMethod(PyList_GET_ITEM(enc->views, i),
                                                 "release", NULL);
        if (released == NULL) {
            return -1;
        }
        Py_DECREF(released);
    }
    return 0;
}

_PyMessage *
_PyMessage_Encode(_xxsub_state *state, PyObject *obj, const char *name)
{
    encoder enc;                    /* `slots` and what follows stay as they are */
    for (int keep_all = 0; ; keep_all = 1) {
        memset(&enc, 0, offsetof(encoder, slots));
        enc.state = state;
        enc.data = enc.small;
        enc.allocated = SMALL_SIZE;
        enc.frames = enc.small_frames;
        enc.allocated_frames = SMALL_DEPTH;
        enc.name = name;
        enc.keep_all = keep_all;
        _PyMessage *message = encode_all(&enc, obj) == 0 && release_views(&enc) == 0
                               ? new_message(&enc) : NULL;
        /* What follows may run code; the exception is kept aside. */
        PyObject *exc = PyErr_GetRaisedException();
        _PyEncoder_Clear(&enc, message == NULL);
        if (!enc.begin_anew) {
            PyErr_SetRaisedException(exc);
            return message;
        }
        assert(exc == NULL && !keep_all);
    }
}

int
_PyMessage_Supports(_xxsub_state *state, PyTypeObject *type)
{
    PyTypeObject *const others[] = {
        &PyUnicode_Type, &PyLong_Type, &PyFloat_Type, &_PyNone_Type, &PyBool_Type,
        &PyComplex_Type, &PyEllipsis_Type, &_PyNotImplemented_Type,
        &PyTuple_Type, &PyList_Type,
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(others); i++) {
        if (type == others[i]) {
            return 1;
        }
    }
    if (find_encoder(state, type) != NULL) {
        return 1;
    }
    return _PyEncoder_CanReduce(state, type);
}
