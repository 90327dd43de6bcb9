/* From a message to Python objects: built-in types.  See message.h, decoder.h and
   message_format.h. */

#include "Python.h"
#include "marshal.h"              // PyMarshal_ReadObjectFromString()
#include "pycore_cell.h"          // PyCell_SetTakeRef()
#include "pycore_dict.h"          // DK_UNICODE_ENTRIES()
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_list.h"          // _PyList_FromArraySteal()
#include "pycore_long.h"          // _PyLong_FromByteArray()
#include "pycore_object.h"        // _PyObject_GC_TRACK()
#include "pycore_tuple.h"         // _PyTuple_FromArraySteal()
#include "bufferview.h"
#include "channelobject.h"
#include "decoder.h"
#include "moved.h"
#include "queueobject.h"
#include "sharedblock.h"
#include "syncobject.h"


/* --- reading --------------------------------------------------------------- */

void *
_PyDecoder_Invalid(void)
{
    PyErr_SetString(PyExc_SystemError, "invalid message");
    return NULL;
}

/* The next n bytes, or NULL with an exception. */
static inline const unsigned char *
read_bytes(decoder *dec, size_t n)
{
    if (n > (size_t)(dec->end - dec->next)) {
        return _PyDecoder_Invalid();
    }
    const unsigned char *result = dec->next;
    dec->next += n;
    return result;
}

/* Read what is as large as `var`; false with an exception. */
#define READ(dec, var) \
    ((size_t)((dec)->end - (dec)->next) >= sizeof(var) \
     ? (memcpy(&(var), (dec)->next, sizeof(var)), (dec)->next += sizeof(var), 1) \
     : (_PyDecoder_Invalid(), 0))

static inline int
read_size(decoder *dec, size_t *n)
{
    if (dec->next < dec->end && *dec->next < 0x80) {
        *n = *dec->next++;
        return 0;
    }
    size_t result = 0;
    for (int shift = 0; dec->next < dec->end && shift < 64; shift += 7) {
        unsigned char byte = *dec->next++;
        result |= (size_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *n = result;
            return 0;
        }
    }
    _PyDecoder_Invalid();
    return -1;
}

/* A record has at least one byte, so that many are not too many to allocate. */
static inline int
read_count(decoder *dec, size_t *n)
{
    if (read_size(dec, n) < 0) {
        return -1;
    }
    if (*n > (size_t)(dec->end - dec->next)) {
        _PyDecoder_Invalid();
        return -1;
    }
    return 0;
}

int
_PyDecoder_Count(decoder *dec, size_t *n)
{
    return read_count(dec, n);
}

/* The handle of a record, of that kind, or NULL with an exception. */
static struct handle *
read_handle(decoder *dec, void (*release)(void *))
{
    size_t i;
    if (read_size(dec, &i) < 0) {
        return NULL;
    }
    if (i >= dec->message->n_handles || dec->message->handles[i].release != release
        || dec->message->handles[i].ptr == NULL)
    {
        return _PyDecoder_Invalid();
    }
    return &dec->message->handles[i];
}

/* The message lets go of what the handle stands for: the caller owns it. */
static void *
take_handle(decoder *dec, void (*release)(void *))
{
    struct handle *handle = read_handle(dec, release);
    if (handle == NULL) {
        return NULL;
    }
    void *ptr = handle->ptr;
    handle->ptr = NULL;
    return ptr;
}


/* --- numbers given to objects ---------------------------------------------- */

static inline int
number_now(decoder *dec, unsigned char tag, PyObject *obj)
{
    if (tag & TAG_KEEP) {
        if (dec->n_kept == dec->message->n_kept) {
            _PyDecoder_Invalid();
            return -1;
        }
        dec->kept[dec->n_kept++] = Py_NewRef(obj);
    }
    return 0;
}

static PyObject *
read_ref(decoder *dec)
{
    size_t n;
    if (read_size(dec, &n) < 0) {
        return NULL;
    }
    return n < dec->n_kept ? Py_NewRef(dec->kept[n]) : _PyDecoder_Invalid();
}

PyObject *
_PyDecoder_Number(decoder *dec, unsigned char tag, PyObject *obj, int *again)
{
    *again = 0;
    if (obj == NULL) {
        return NULL;
    }
    if (tag & TAG_AGAIN) {
        *again = 1;
        Py_DECREF(obj);
        return read_ref(dec);
    }
    if (number_now(dec, tag, obj) < 0) {
        Py_DECREF(obj);
        return NULL;
    }
    return obj;
}

/* As _PyDecoder_Number(), at the end of a record. */
static inline PyObject *
number_at_end(decoder *dec, unsigned char tag, PyObject *obj)
{
    if (tag < TAG_AGAIN || obj == NULL) {
        return obj;
    }
    int again;
    return _PyDecoder_Number(dec, tag, obj, &again);
}


/* --- the stack and the frames -------------------------------------------------- */

/* Make room for `larger` items in an array that has n of them, and is allocated unless it
   is `small`.  NULL with an exception: nothing has changed. */
static void *
grown(void *array, const void *small, size_t n, size_t larger, size_t item_size)
{
    int is_small = array == small;
    void *result = PyMem_Realloc(is_small ? NULL : array, larger * item_size);
    if (result == NULL) {
        return PyErr_NoMemory();
    }
    if (is_small) {
        memcpy(result, small, n * item_size);
    }
    return result;
}

static int
grow_stack(decoder *dec)
{
    size_t n = 2 * dec->allocated;
    PyObject **stack = grown(dec->stack, dec->small_stack, dec->allocated, n,
                             sizeof(PyObject *));
    if (stack == NULL) {
        return -1;
    }
    dec->stack = stack;
    dec->allocated = n;
    return 0;
}

static int
grow_frames(decoder *dec)
{
    size_t n = dec->allocated_frames == SMALL_DEPTH ? LARGE_DEPTH : 2 * dec->allocated_frames;
    decoder_frame *frames = grown(dec->frames, dec->small_frames, dec->allocated_frames, n,
                                  sizeof(decoder_frame));
    if (frames == NULL) {
        return -1;
    }
    dec->frames = frames;
    dec->allocated_frames = n;
    return 0;
}

/* The object is complete that a frame waits for.  Takes the reference, also on failure. */
static inline int
push(decoder *dec, decoder_frame *f, PyObject *obj)
{
    if (f->items != NULL) {
        f->items[f->n_items++] = obj;
        return 0;
    }
    if (dec->used == dec->allocated && grow_stack(dec) < 0) {
        Py_DECREF(obj);
        return -1;
    }
    dec->stack[dec->used++] = obj;
    return 0;
}

void
_PyDecoder_Drop(decoder *dec, size_t base)
{
    while (dec->used > base) {
        Py_DECREF(dec->stack[--dec->used]);
    }
}

static inline decoder_frame *
push_frame(decoder *dec, unsigned char tag, size_t n)
{
    if (dec->depth == dec->allocated_frames && grow_frames(dec) < 0) {
        return NULL;
    }
    decoder_frame *f = &dec->frames[dec->depth++];
    f->tag = tag;                   /* one by one: see _PyEncoder_Push() */
    f->parts = f->phase = 0;
    f->base = dec->used;
    f->remaining = n;
    f->obj = NULL;
    f->items = NULL;
    return f;
}

decoder_frame *
_PyDecoder_Push(decoder *dec, unsigned char tag, size_t n)
{
    return push_frame(dec, tag, n);
}


/* --- leaves ---------------------------------------------------------------------- */

static inline int
is_ascii(const unsigned char *from, size_t length)
{
    uint64_t word, all = 0;
    size_t i = 0;
    for (; i + sizeof(word) <= length; i += sizeof(word)) {
        memcpy(&word, from + i, sizeof(word));
        all |= word;
    }
    for (; i < length; i++) {
        all |= from[i];
    }
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

static int
is_unicode(const unsigned char *from, size_t length)
{
    uint32_t character, largest = 0;
    for (size_t i = 0; i < length; i++) {
        memcpy(&character, from + i * sizeof(character), sizeof(character));
        largest = Py_MAX(largest, character);
    }
    return largest <= 0x10FFFF;
}

/* Records are not padded, and what reads characters expects them to be aligned. */
static PyObject *
decode_unaligned(int kind, const unsigned char *from, size_t length)
{
    void *aligned = PyMem_Malloc(length * kind);
    if (aligned == NULL) {
        return PyErr_NoMemory();
    }
    memcpy(aligned, from, length * kind);
    PyObject *str = PyUnicode_FromKindAndData(kind, aligned, length);
    PyMem_Free(aligned);
    return str;
}

static PyObject *
decode_str(decoder *dec, unsigned char tag)
{
    size_t length;
    if (read_size(dec, &length) < 0) {
        return NULL;
    }
    int kind = (tag & TAG_MASK) == TAG_UCS1 ? 1 : (tag & TAG_MASK) == TAG_UCS2 ? 2 : 4;
    if (length > (size_t)(dec->end - dec->next) / kind) {
        return _PyDecoder_Invalid();
    }
    const unsigned char *from = dec->next;
    dec->next += length * kind;
    if (kind == 1 && length > 1 && is_ascii(from, length)) {
        PyObject *str = PyUnicode_New(length, 0x7F);
        if (str != NULL) {
            memcpy(PyUnicode_DATA(str), from, length);
        }
        return str;
    }
    if (kind == 4 && !is_unicode(from, length)) {
        return _PyDecoder_Invalid();
    }
    if (kind > 1 && (uintptr_t)from % kind != 0) {
        return decode_unaligned(kind, from, length);
    }
    return PyUnicode_FromKindAndData(kind, from, length);
}

static PyObject *
decode_global(decoder *dec)
{
    PyObject *module = _PyDecoder_Str(dec);
    PyObject *qualname = module != NULL ? _PyDecoder_Str(dec) : NULL;
    PyObject *result = qualname != NULL ? _PyDecoder_FindGlobal(dec, module, qualname) : NULL;
    Py_XDECREF(qualname);
    Py_XDECREF(module);
    return result;
}

static PyObject *
decode_module(decoder *dec)
{
    PyObject *name = _PyDecoder_Str(dec);
    PyObject *result = name != NULL ? _PyDecoder_Import(dec, name) : NULL;
    Py_XDECREF(name);
    return result;
}

static PyObject *
decode_interpreter(decoder *dec)
{
    /* The handle's reference keeps it alive until the new object has one of
       its own. */
    struct handle *handle = read_handle(dec, _PyMessage_ReleaseInterpreter);
    PyObject *module = handle != NULL ? PyImport_ImportModule("interpreters") : NULL;
    if (module == NULL) {
        return NULL;
    }
    PyObject *cls = PyObject_GetAttrString(module, "Interpreter");
    Py_DECREF(module);
    if (cls == NULL) {
        return NULL;
    }
    long long id = *(int64_t *)handle->ptr;
    PyObject *result = PyObject_CallFunction(cls, "L", id);
    Py_DECREF(cls);
    return result;
}

static PyObject *
decode_number(decoder *dec, enum tag tag)
{
    switch (tag) {
    case TAG_INT8: {
        int8_t value;
        return READ(dec, value) ? PyLong_FromLong(value) : NULL;
    }
    case TAG_INT16: {
        int16_t value;
        return READ(dec, value) ? PyLong_FromLong(value) : NULL;
    }
    case TAG_INT32: {
        int32_t value;
        return READ(dec, value) ? PyLong_FromLong(value) : NULL;
    }
    case TAG_INT64: {
        int64_t value;
        return READ(dec, value) ? PyLong_FromLongLong(value) : NULL;
    }
    case TAG_FLOAT: {
        double value;
        return READ(dec, value) ? PyFloat_FromDouble(value) : NULL;
    }
    case TAG_COMPLEX: {
        Py_complex value;
        return READ(dec, value) ? PyComplex_FromCComplex(value) : NULL;
    }
    default:
        Py_UNREACHABLE();
    }
}

#define PUSH_NUMBERS(TYPE, MAKE) \
    for (size_t i = 0; i < n; i++) { \
        TYPE value; \
        memcpy(&value, from + i * sizeof(value), sizeof(value)); \
        PyObject *number = MAKE(value); \
        if (number == NULL) { \
            return -1; \
        } \
        *to++ = number; \
        *count += 1; \
    }

/* Push all but the last number of a run, which is *obj. */
static int
decode_run(decoder *dec, enum tag tag, PyObject **obj)
{
    size_t n;
    size_t width = tag == TAG_INT8S ? 1 : tag == TAG_INT16S ? 2 : tag == TAG_INT32S ? 4 : 8;
    if (read_count(dec, &n) < 0) {
        return -1;
    }
    decoder_frame *f = dec->depth > 0 ? &dec->frames[dec->depth - 1] : NULL;
    if (n == 0 || n > (size_t)(dec->end - dec->next) / width
        || f == NULL || n > f->remaining)
    {
        _PyDecoder_Invalid();
        return -1;
    }
    const unsigned char *from = read_bytes(dec, n * width);
    while (f->items == NULL && dec->allocated - dec->used < n) {
        if (grow_stack(dec) < 0) {
            return -1;
        }
    }
    size_t *count = f->items != NULL ? &f->n_items : &dec->used;
    PyObject **to = (f->items != NULL ? f->items : dec->stack) + *count;
    switch (tag) {
    case TAG_INT8S: PUSH_NUMBERS(int8_t, PyLong_FromLong); break;
    case TAG_INT16S: PUSH_NUMBERS(int16_t, PyLong_FromLong); break;
    case TAG_INT32S: PUSH_NUMBERS(int32_t, PyLong_FromLong); break;
    case TAG_INT64S: PUSH_NUMBERS(int64_t, PyLong_FromLongLong); break;
    default: PUSH_NUMBERS(double, PyFloat_FromDouble); break;
    }
    f->remaining -= n - 1;
    *count -= 1;
    *obj = to[-1];
    return 1;
}

/* Those that are complete at once; the number is not given yet. */
static PyObject *
decode_leaf(decoder *dec, unsigned char tag)
{
    switch (tag & TAG_MASK) {
    case TAG_NOT_IMPLEMENTED:
        return Py_NewRef(Py_NotImplemented);
    case TAG_ELLIPSIS:
        return Py_NewRef(Py_Ellipsis);
    case TAG_BIGINT: {
        size_t n;
        if (read_count(dec, &n) < 0) {
            return NULL;
        }
        return _PyLong_FromByteArray(read_bytes(dec, n), n,
                                     /*little_endian=*/1, /*is_signed=*/1);
    }
    case TAG_BYTES:
    case TAG_BYTEARRAY: {
        size_t n;
        if (read_count(dec, &n) < 0) {
            return NULL;
        }
        const char *from = (const char *)read_bytes(dec, n);
        return (tag & TAG_MASK) == TAG_BYTES ? PyBytes_FromStringAndSize(from, n)
                                             : PyByteArray_FromStringAndSize(from, n);
    }
    case TAG_GLOBAL:
        return decode_global(dec);
    case TAG_MODULE:
        return decode_module(dec);
    case TAG_LARGE: {
        PyObject *copy = take_handle(dec, _PyMessage_ReleaseLarge);
        return copy != NULL ? _PyMessage_TakeLarge(copy) : NULL;
    }
    case TAG_CODE: {
        struct handle *handle = read_handle(dec, _PyMessage_ReleaseCode);
        struct marshalled *m = handle != NULL ? handle->ptr : NULL;
        return m != NULL ? PyMarshal_ReadObjectFromString(m->data, m->size) : NULL;
    }
    case TAG_BUFFER: {
        void *buffer = take_handle(dec, _PyMessage_ReleaseBuffer);
        return buffer != NULL ? _PyBufferView_NewMemoryView(dec->state, buffer) : NULL;
    }
    case TAG_CHANNEL_END: {
        void *end = take_handle(dec, _PyMessage_ReleaseEnd);
        return end != NULL ? _PyChannelObject_New(dec->state, end) : NULL;
    }
    case TAG_QUEUE: {
        void *end = take_handle(dec, _PyMessage_ReleaseQueue);
        return end != NULL ? _PyQueueObject_New(dec->state, end) : NULL;
    }
    case TAG_SYNC: {
        void *sync = take_handle(dec, _PyMessage_ReleaseSync);
        return sync != NULL ? _PySyncObject_FromSync(dec->state, sync) : NULL;
    }
    case TAG_INTERPRETER:
        return decode_interpreter(dec);
    case TAG_BLOCK: {
        struct handle *handle = read_handle(dec, _PyMessage_ReleaseBlock);
        PyObject *block = handle != NULL ? _PySharedBlock_New(dec->state, handle->ptr) : NULL;
        if (block != NULL) {
            handle->ptr = NULL;     /* it is the block's now */
        }
        return block;
    }
    case TAG_MOVED: {
        void *moved = take_handle(dec, _PyMessage_ReleaseMoved);
        return moved != NULL ? _PyMoved_Receive(dec->state, moved) : NULL;
    }
    default:
        return _PyDecoder_Invalid();
    }
}

PyObject *
_PyDecoder_Str(decoder *dec)
{
    unsigned char tag;
    if (!READ(dec, tag)) {
        return NULL;
    }
    switch (tag & TAG_MASK) {
    case TAG_UCS1:
    case TAG_UCS2:
    case TAG_UCS4:
        return number_at_end(dec, tag, decode_str(dec, tag));
    case TAG_LARGE:
    case TAG_REF: {
        PyObject *str = (tag & TAG_MASK) == TAG_REF ? read_ref(dec)
                        : number_at_end(dec, tag, decode_leaf(dec, tag));
        if (str != NULL && !PyUnicode_CheckExact(str)) {
            Py_DECREF(str);
            return _PyDecoder_Invalid();
        }
        return str;
    }
    default:
        return _PyDecoder_Invalid();
    }
}


/* --- shapes ------------------------------------------------------------------------- */

int
_PyDecoder_Shape(decoder *dec, size_t *number)
{
    if (read_size(dec, number) < 0) {
        return -1;
    }
    if (*number < dec->n_shapes && dec->shapes[*number].keys != NULL) {
        return 1;
    }
    if (*number != dec->n_shapes || dec->n_shapes == dec->message->n_shapes) {
        _PyDecoder_Invalid();
        return -1;
    }
    dec->n_shapes++;
    return 0;
}

int
_PyDecoder_DefineShape(decoder *dec, decoder_shape *s)
{
    size_t n;
    if (read_count(dec, &n) < 0) {
        return -1;
    }
    PyObject *keys = PyTuple_New(n);
    if (keys == NULL) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        PyObject *key = _PyDecoder_Str(dec);
        if (key == NULL) {
            Py_DECREF(keys);
            return -1;
        }
        PyTuple_SET_ITEM(keys, i, key);
    }
    s->keys = keys;
    return 0;
}

/* A dict with the keys of a shape, and no values, to be copied. */
static int
make_pattern(decoder_shape *s)
{
    PyObject *dict = PyDict_New();
    if (dict == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(s->keys); i++) {
        if (PyDict_SetItem(dict, PyTuple_GET_ITEM(s->keys, i), Py_None) < 0) {
            Py_DECREF(dict);
            return -1;
        }
    }
    if (PyDict_GET_SIZE(dict) != PyTuple_GET_SIZE(s->keys)) {
        Py_DECREF(dict);
        _PyDecoder_Invalid();
        return -1;
    }
    s->pattern = dict;
    return 0;
}

static void
clear_shapes(decoder *dec)
{
    for (size_t i = 0; i < dec->n_shapes; i++) {
        Py_XDECREF(dec->shapes[i].type);
        Py_XDECREF(dec->shapes[i].keys);
        Py_XDECREF(dec->shapes[i].pattern);
        PyMem_Free(dec->shapes[i].places);
    }
    PyMem_Free(dec->shapes);
}


/* --- containers --------------------------------------------------------------- */

/* The items of a long list are collected where the list will have them. */
#define LONG_LIST 64

static PyObject *
finish_list(decoder *dec, decoder_frame *f)
{
    PyObject *list;
    if (f->items != NULL) {
        list = PyList_New(0);
        if (list == NULL) {
            return NULL;
        }
        PyListObject *empty = (PyListObject *)list;
        assert(empty->ob_item == NULL);
        empty->ob_item = f->items;
        empty->allocated = f->n_items;
        Py_SET_SIZE(empty, f->n_items);
        f->items = NULL;
    }
    else {
        size_t n = dec->used - f->base;
        dec->used = f->base;
        list = _PyList_FromArraySteal(dec->stack + f->base, n);
    }
    if (list == NULL || f->obj == NULL) {
        return list;
    }
    /* It had to be there before its items.  Code that ran may have put others into it. */
    PyListObject *kept = (PyListObject *)f->obj, *filled = (PyListObject *)list;
    int r = 0;
    if (kept->ob_item == NULL) {
        kept->ob_item = filled->ob_item;
        kept->allocated = filled->allocated;
        Py_SET_SIZE(kept, Py_SIZE(filled));
        filled->ob_item = NULL;
        filled->allocated = 0;
        Py_SET_SIZE(filled, 0);
    }
    else {
        Py_ssize_t size = Py_SIZE(kept);
        r = PyList_SetSlice(f->obj, size, size, list);
    }
    Py_DECREF(list);
    return r < 0 ? NULL : Py_NewRef(f->obj);
}

static PyObject *
finish_tuple(decoder *dec, decoder_frame *f)
{
    size_t n = dec->used - f->base;
    dec->used = f->base;
    return number_at_end(dec, f->tag, _PyTuple_FromArraySteal(dec->stack + f->base, n));
}

static PyObject *
finish_set(decoder *dec, decoder_frame *f)
{
    PyObject *set = f->obj != NULL ? Py_NewRef(f->obj) : PySet_New(NULL);
    for (size_t i = f->base; set != NULL && i < dec->used; i++) {
        if (PySet_Add(set, dec->stack[i]) < 0) {
            Py_CLEAR(set);
        }
    }
    _PyDecoder_Drop(dec, f->base);
    if (set != NULL && (f->tag & TAG_MASK) == TAG_FROZENSET) {
        Py_SETREF(set, PyFrozenSet_New(set));
        return number_at_end(dec, f->tag, set);
    }
    return set;
}

static PyObject *
finish_dict(decoder *dec, decoder_frame *f)
{
    size_t n = dec->used - f->base;
    PyObject *dict = f->obj != NULL ? Py_NewRef(f->obj) : _PyDict_NewPresized(n / 2);
    for (size_t i = f->base; dict != NULL && i < dec->used; i += 2) {
        if (PyDict_SetItem(dict, dec->stack[i], dec->stack[i + 1]) < 0) {
            Py_CLEAR(dict);
        }
    }
    _PyDecoder_Drop(dec, f->base);
    return dict;
}

/* Copying a dict with the right keys, and putting the values into the copy, is
   cheaper than setting items. */
PyObject *
_PyDecoder_FillPattern(decoder_shape *s, PyObject *const *values)
{
    if (s->pattern == NULL && make_pattern(s) < 0) {
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(s->keys);
    PyObject *copy = PyDict_Copy(s->pattern);
    if (copy == NULL) {
        return NULL;
    }
    PyDictObject *dict = (PyDictObject *)copy;
    assert(dict->ma_values == NULL && DK_IS_UNICODE(dict->ma_keys));
    assert(dict->ma_keys->dk_nentries == n);
    PyDictUnicodeEntry *entries = DK_UNICODE_ENTRIES(dict->ma_keys);
    int track = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        assert(entries[i].me_value == Py_None);
        entries[i].me_value = values[i];    /* None is immortal */
        track |= _PyObject_GC_MAY_BE_TRACKED(values[i]);
    }
    if (track && !_PyObject_GC_IS_TRACKED(copy)) {
        _PyObject_GC_TRACK(copy);
    }
    return copy;
}

static PyObject *
finish_shaped_dict(decoder *dec, decoder_frame *f)
{
    decoder_shape *s = &dec->shapes[f->shape];
    PyObject **values = dec->stack + f->base;
    size_t n = dec->used - f->base;
    if (f->obj == NULL) {
        PyObject *dict = _PyDecoder_FillPattern(s, values);
        if (dict != NULL) {
            dec->used = f->base;
        }
        return dict;
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = PyDict_SetItem(f->obj, PyTuple_GET_ITEM(s->keys, i), values[i]);
    }
    _PyDecoder_Drop(dec, f->base);
    return r < 0 ? NULL : Py_NewRef(f->obj);
}

static PyObject *
finish_slice(decoder *dec, decoder_frame *f)
{
    PyObject **parts = dec->stack + f->base;
    PyObject *slice = PySlice_New(parts[0], parts[1], parts[2]);
    _PyDecoder_Drop(dec, f->base);
    return number_at_end(dec, f->tag, slice);
}

static PyObject *
finish_cell(decoder *dec, decoder_frame *f)
{
    PyCell_SetTakeRef((PyCellObject *)f->obj, dec->stack[--dec->used]);
    return Py_NewRef(f->obj);
}

/* The object of a mutable container, which is numbered before what is in it; NULL if
   that need not be.  -1 with an exception. */
static int
make_now(decoder *dec, unsigned char tag, decoder_frame *f)
{
    PyObject *obj;
    switch (tag & TAG_MASK) {
    case TAG_LIST:
        obj = PyList_New(0);
        break;
    case TAG_SET:
        obj = PySet_New(NULL);
        break;
    case TAG_CELL:
        obj = PyCell_New(NULL);
        break;
    default:
        obj = PyDict_New();
        break;
    }
    if (obj == NULL) {
        return -1;
    }
    f->obj = obj;
    return number_now(dec, tag, obj);
}

/* The objects of the phase are there.  1 with *obj if the record is complete; 0 if it
   goes on; -1 with an exception. */
static int
finish(decoder *dec, decoder_frame *f, PyObject **obj)
{
    switch (f->tag & TAG_MASK) {
    case TAG_LIST:
        *obj = finish_list(dec, f);
        break;
    case TAG_TUPLE:
        *obj = finish_tuple(dec, f);
        break;
    case TAG_SET:
    case TAG_FROZENSET:
        *obj = finish_set(dec, f);
        break;
    case TAG_DICT:
        *obj = finish_dict(dec, f);
        break;
    case TAG_SHAPED_DICT:
        *obj = finish_shaped_dict(dec, f);
        break;
    case TAG_SLICE:
        *obj = finish_slice(dec, f);
        break;
    case TAG_CELL:
        *obj = finish_cell(dec, f);
        break;
    case TAG_INSTANCE:
        return _PyDecoder_FinishInstance(dec, f, obj);
    case TAG_REDUCE:
    case TAG_NEWOBJ:
    case TAG_NEWOBJ_EX:
        return _PyDecoder_FinishReduced(dec, f, obj);
    case TAG_FUNCTION:
        return _PyDecoder_FinishFunction(dec, f, obj);
    default:
        Py_UNREACHABLE();
    }
    return *obj != NULL ? 1 : -1;
}

static inline void
pop_frame(decoder *dec)
{
    decoder_frame *f = &dec->frames[--dec->depth];
    PyObject **items = f->items;
    PyObject *obj = f->obj;
    if (items != NULL) {            /* its list was not made */
        for (size_t i = 0, n = f->n_items; i < n; i++) {
            Py_DECREF(items[i]);
        }
        PyMem_Free(items);
    }
    Py_XDECREF(obj);
}

/* Push a frame for n objects; complete it at once if there are none. */
static int
begin(decoder *dec, unsigned char tag, size_t n, size_t shape, PyObject **obj)
{
    decoder_frame *f = push_frame(dec, tag, n);
    if (f == NULL) {
        return -1;
    }
    f->shape = shape;
    switch (tag & TAG_MASK) {
    case TAG_CELL:
        if (make_now(dec, tag, f) < 0) {
            return -1;
        }
        break;
    case TAG_LIST:
    case TAG_DICT:
    case TAG_SHAPED_DICT:
    case TAG_SET:
        if (tag & TAG_KEEP && make_now(dec, tag, f) < 0) {
            return -1;
        }
        break;
    default:
        break;
    }
    if (n >= LONG_LIST && (tag & TAG_MASK) == TAG_LIST) {
        f->items = PyMem_New(PyObject *, n);
        if (f->items == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        f->n_items = 0;
    }
    if (n > 0) {
        return 0;
    }
    if ((tag & TAG_MASK) == TAG_CELL) {
        *obj = Py_NewRef(f->obj);
    }
    else if (finish(dec, f, obj) < 0) {
        return -1;
    }
    pop_frame(dec);
    return 1;
}

static int
begin_container(decoder *dec, unsigned char tag, PyObject **obj)
{
    size_t n, shape = 0;
    switch (tag & TAG_MASK) {
    case TAG_LIST:
    case TAG_TUPLE:
    case TAG_SET:
    case TAG_FROZENSET:
        if (read_count(dec, &n) < 0) {
            return -1;
        }
        break;
    case TAG_CELL:
        if (read_count(dec, &n) < 0) {
            return -1;
        }
        if (n > 1) {
            _PyDecoder_Invalid();
            return -1;
        }
        break;
    case TAG_DICT:
        if (read_count(dec, &n) < 0) {
            return -1;
        }
        n *= 2;
        break;
    case TAG_SHAPED_DICT: {
        int known = _PyDecoder_Shape(dec, &shape);
        if (known < 0) {
            return -1;
        }
        decoder_shape *s = &dec->shapes[shape];
        if (!known && _PyDecoder_DefineShape(dec, s) < 0) {
            return -1;
        }
        n = PyTuple_GET_SIZE(s->keys);
        break;
    }
    case TAG_SLICE:
        n = 3;
        break;
    case TAG_INT8S:
    case TAG_INT16S:
    case TAG_INT32S:
    case TAG_INT64S:
    case TAG_FLOATS:
        return decode_run(dec, tag, obj);
    case TAG_INSTANCE:
        return _PyDecoder_BeginInstance(dec, tag, obj);
    case TAG_REDUCE:
    case TAG_NEWOBJ:
    case TAG_NEWOBJ_EX: {
        unsigned char parts;
        if (!READ(dec, parts)) {
            return -1;
        }
        decoder_frame *f = _PyDecoder_Push(dec, tag,
                                           (tag & TAG_MASK) == TAG_REDUCE ? 2 : 1);
        if (f == NULL) {
            return -1;
        }
        f->parts = parts;
        return 0;
    }
    case TAG_FUNCTION:
        return _PyDecoder_Push(dec, tag, FUNCTION_FIRST) != NULL ? 0 : -1;
    default: {
        PyObject *leaf = number_at_end(dec, tag, decode_leaf(dec, tag));
        *obj = leaf;
        return leaf != NULL ? 1 : -1;
    }
    }
    return begin(dec, tag, n, shape, obj);
}


/* --- any object ------------------------------------------------------------------- */

/* Read one record: 1 with *obj if it is complete, 0 if a frame was pushed, -1 with an
   exception. */
static inline int
decode_record(decoder *dec, PyObject **obj)
{
    unsigned char tag;
    if (!READ(dec, tag)) {
        return -1;
    }
    switch (tag) {
    case TAG_NONE:
        *obj = Py_None;
        return 1;
    case TAG_TRUE:
        *obj = Py_True;
        return 1;
    case TAG_FALSE:
        *obj = Py_False;
        return 1;
    case TAG_INT8:
    case TAG_INT16:
    case TAG_INT32:
    case TAG_INT64:
    case TAG_FLOAT:
    case TAG_COMPLEX:
        *obj = decode_number(dec, tag);
        break;
    case TAG_UCS1:
    case TAG_UCS2:
    case TAG_UCS4:
        *obj = decode_str(dec, tag);
        break;
    case TAG_UCS1 | TAG_KEEP:
    case TAG_UCS2 | TAG_KEEP:
    case TAG_UCS4 | TAG_KEEP:
        *obj = number_at_end(dec, tag, decode_str(dec, tag));
        break;
    case TAG_REF:
        *obj = read_ref(dec);
        break;
    case TAG_TUPLE:
    case TAG_LIST: {
        size_t n;
        if (read_count(dec, &n) < 0) {
            return -1;
        }
        if (n > 0 && n < LONG_LIST) {
            return push_frame(dec, tag, n) != NULL ? 0 : -1;
        }
        return begin(dec, tag, n, 0, obj);
    }
    default:
        return begin_container(dec, tag, obj);
    }
    return *obj != NULL ? 1 : -1;
}

/* Return a new reference to the object of the first record, or NULL. */
static PyObject *
decode_all(decoder *dec)
{
    for (;;) {
        PyObject *obj;
        int r = decode_record(dec, &obj);
        while (r > 0) {
            if (dec->depth == 0) {
                return obj;
            }
            decoder_frame *f = &dec->frames[dec->depth - 1];
            if (push(dec, f, obj) < 0) {
                return NULL;
            }
            if (--f->remaining > 0) {
                break;
            }
            if (f->tag == TAG_TUPLE) {      /* without a number: the frame owns nothing */
                obj = finish_tuple(dec, f);
                r = obj != NULL ? 1 : -1;
                dec->depth--;
                continue;
            }
            r = finish(dec, f, &obj);
            if (r > 0) {
                pop_frame(dec);
            }
        }
        if (r < 0) {
            return NULL;
        }
    }
}

PyObject *
_PyMessage_Decode(_xxsub_state *state, _PyMessage *message)
{
    decoder dec;                    /* `small_stack` and what follows stay as they are */
    memset(&dec, 0, offsetof(decoder, small_stack));
    dec.state = state;
    dec.message = message;
    dec.next = message->data;
    dec.end = message->data + message->size;
    dec.stack = dec.small_stack;
    dec.allocated = SMALL_STACK;
    dec.frames = dec.small_frames;
    dec.allocated_frames = SMALL_DEPTH;
    dec.kept = dec.small_kept;
    PyObject *obj = NULL;
    if (message->n_kept > SMALL_KEPT) {
        dec.kept = PyMem_New(PyObject *, message->n_kept);
    }
    if (message->n_shapes > 0) {
        dec.shapes = PyMem_Calloc(message->n_shapes, sizeof(decoder_shape));
    }
    if (dec.kept == NULL
        || (dec.shapes == NULL && message->n_shapes > 0))
    {
        PyErr_NoMemory();
    }
    else {
        obj = decode_all(&dec);
    }

    PyObject *exc = PyErr_GetRaisedException();     /* what follows may run code */
    _PyDecoder_Drop(&dec, 0);
    if (dec.stack != dec.small_stack) {
        PyMem_Free(dec.stack);
    }
    while (dec.depth > 0) {
        pop_frame(&dec);
    }
    if (dec.frames != dec.small_frames) {
        PyMem_Free(dec.frames);
    }
    for (size_t i = 0; i < dec.n_kept; i++) {
        Py_DECREF(dec.kept[i]);
    }
    if (dec.kept != dec.small_kept) {
        PyMem_Free(dec.kept);
    }
    clear_shapes(&dec);
    PyErr_SetRaisedException(exc);
    return obj;
}
