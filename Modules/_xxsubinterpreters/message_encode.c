/* From Python objects to a message.  See message.h and message_format.h. */

#include "Python.h"
#include "marshal.h"              // PyMarshal_WriteObjectToString()
#include "pycore_crossinterp.h"   // _PyInterpreterState_GetXIState()
#include "pycore_hashtable.h"     // _Py_hashtable_new()
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_long.h"          // _PyLong_NumBits()
#include "pycore_object.h"        // _PyNone_Type
#include "bufferview.h"
#include "channelobject.h"
#include "interp.h"
#include "message.h"
#include "message_format.h"
#include "queueobject.h"

#define SMALL_SIZE 512

struct encoder {
    _xxsub_state *state;

    unsigned char *data;            /* `small`, or allocated */
    size_t size;
    size_t allocated;
    struct handle *handles;
    size_t n_handles;

    _Py_hashtable_t *kept;          /* object (a strong reference, since code
                                       may run meanwhile) -> number + 1; NULL
                                       while empty */
    size_t n_kept;
    struct open_object *open;       /* the innermost object being encoded */
    int in_key;                     /* > 0 inside what the receiver hashes */

    /* Where in the graph the object is that cannot be sent, built from the
       inside out while the encoder gives up; NULL after other errors. */
    PyObject *path;
    PyTypeObject *culprit;          /* its type; strong, NULL like path */

    unsigned char small[SMALL_SIZE];
};

/* The objects whose records have begun and not ended, innermost first. */
struct open_object {
    PyObject *obj;
    struct open_object *outer;
};

static int encode(struct encoder *enc, PyObject *obj);


/* --- writing -------------------------------------------------------------- */

static unsigned char *
reserve(struct encoder *enc, size_t n)
{
    size_t needed = enc->size + n;
    if (needed < n) {
        PyErr_NoMemory();
        return NULL;
    }
    if (needed > enc->allocated) {
        size_t allocated = Py_MAX(needed, enc->allocated * 2);
        unsigned char *old = enc->data == enc->small ? NULL : enc->data;
        unsigned char *data = PyMem_RawRealloc(old, allocated);
        if (data == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        if (old == NULL) {
            memcpy(data, enc->small, enc->size);
        }
        enc->data = data;
        enc->allocated = allocated;
    }
    unsigned char *result = enc->data + enc->size;
    enc->size += n;
    return result;
}

static int
write_bytes(struct encoder *enc, const void *p, size_t n)
{
    unsigned char *to = reserve(enc, n);
    if (to == NULL) {
        return -1;
    }
    memcpy(to, p, n);
    return 0;
}

static int
write_tag(struct encoder *enc, int tag)
{
    unsigned char *to = reserve(enc, 1);
    if (to == NULL) {
        return -1;
    }
    *to = (unsigned char)tag;
    return 0;
}

static int
write_size(struct encoder *enc, size_t n)
{
    return write_bytes(enc, &n, sizeof(n));
}

/* A tag and a number. */
static int
write_head(struct encoder *enc, int tag, size_t n)
{
    return write_tag(enc, tag) < 0 ? -1 : write_size(enc, n);
}

/* The message owns `ptr` from now on; on failure it has been released. */
static int
write_handle(struct encoder *enc, int tag, void (*release)(void *), void *ptr)
{
    /* Grown one by one: handles are few, and each stands for much more work
       than a realloc. */
    struct handle *handles = PyMem_RawRealloc(
            enc->handles, (enc->n_handles + 1) * sizeof(struct handle));
    if (handles == NULL) {
        release(ptr);
        PyErr_NoMemory();
        return -1;
    }
    enc->handles = handles;
    handles[enc->n_handles] = (struct handle){release, ptr};
    return write_head(enc, tag, enc->n_handles++);
}


/* --- objects that cannot be sent -------------------------------------------- */

static int
unsendable(struct encoder *enc, PyObject *obj)
{
    assert(enc->path == NULL);
    enc->culprit = (PyTypeObject *)Py_NewRef(Py_TYPE(obj));
    enc->path = Py_GetConstant(Py_CONSTANT_EMPTY_STR);
    return -1;
}

/* Put one step in front of the path.  Always returns -1; a failure in here
   replaces the path with its exception. */
static int
inside(struct encoder *enc, PyObject *step)
{
    if (enc->path != NULL) {
        PyObject *path = step != NULL ? PyUnicode_Concat(step, enc->path)
                                      : NULL;
        Py_SETREF(enc->path, path);
    }
    Py_XDECREF(step);
    return -1;
}

static int
inside_index(struct encoder *enc, Py_ssize_t i)
{
    return enc->path == NULL ? -1
           : inside(enc, PyUnicode_FromFormat("[%zd]", i));
}

static int
inside_key(struct encoder *enc, PyObject *key)
{
    return enc->path == NULL ? -1
           : inside(enc, PyUnicode_FromFormat("[%R]", key));
}

static int
inside_attr(struct encoder *enc, const char *name)
{
    return enc->path == NULL ? -1
           : inside(enc, PyUnicode_FromFormat(".%s", name));
}

static void
raise_not_shareable(struct encoder *enc, const char *name)
{
    PyInterpreterState *interp = PyInterpreterState_Get();
    PyObject *type = _PyInterpreterState_GetXIState(interp)
                     ->PyExc_NotShareableError;
    PyErr_Format(type, "%s%U: '%s' object cannot be sent to another "
                       "interpreter", name, enc->path, enc->culprit->tp_name);
}


/* --- leaves ----------------------------------------------------------------- */

/* Every encoder of a type writes the whole record; `tag` has the KEEP bit set
   where it applies. */

static int
encode_singleton(struct encoder *enc, int tag, PyObject *Py_UNUSED(obj))
{
    return write_tag(enc, tag);
}

static int
encode_bool(struct encoder *enc, int Py_UNUSED(tag), PyObject *obj)
{
    return write_tag(enc, obj == Py_True ? TAG_TRUE : TAG_FALSE);
}

static int
encode_int(struct encoder *enc, int tag, PyObject *obj)
{
    int overflow;
    int64_t value = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (!overflow) {
        return write_tag(enc, tag) < 0 ? -1
               : write_bytes(enc, &value, sizeof(value));
    }
    size_t n = _PyLong_NumBits(obj) / 8 + 1;      /* one bit for the sign */
    if (write_head(enc, TAG_BIGINT, n) < 0) {
        return -1;
    }
    unsigned char *to = reserve(enc, n);
    return to == NULL ? -1
           : _PyLong_AsByteArray((PyLongObject *)obj, to, n,
                                 /*little_endian=*/1, /*is_signed=*/1,
                                 /*with_exceptions=*/1);
}

static int
encode_float(struct encoder *enc, int tag, PyObject *obj)
{
    double value = PyFloat_AS_DOUBLE(obj);
    return write_tag(enc, tag) < 0 ? -1
           : write_bytes(enc, &value, sizeof(value));
}

static int
encode_complex(struct encoder *enc, int tag, PyObject *obj)
{
    Py_complex value = PyComplex_AsCComplex(obj);
    return write_tag(enc, tag) < 0 ? -1
           : write_bytes(enc, &value, sizeof(value));
}

static int
encode_str(struct encoder *enc, int tag, PyObject *obj)
{
    size_t length = PyUnicode_GET_LENGTH(obj);
    uint32_t maxchar = PyUnicode_MAX_CHAR_VALUE(obj);
    if (write_head(enc, tag, length) < 0
        || write_bytes(enc, &maxchar, sizeof(maxchar)) < 0)
    {
        return -1;
    }
    return write_bytes(enc, PyUnicode_DATA(obj), length * PyUnicode_KIND(obj));
}

static int
encode_bytes(struct encoder *enc, int tag, PyObject *obj)
{
    Py_ssize_t n = PyBytes_GET_SIZE(obj);
    return write_head(enc, tag, n) < 0 ? -1
           : write_bytes(enc, PyBytes_AS_STRING(obj), n);
}

static int
encode_bytearray(struct encoder *enc, int tag, PyObject *obj)
{
    Py_ssize_t n = PyByteArray_GET_SIZE(obj);
    return write_head(enc, tag, n) < 0 ? -1
           : write_bytes(enc, PyByteArray_AS_STRING(obj), n);
}


/* --- containers --------------------------------------------------------------- */

static int
encode_sequence(struct encoder *enc, int tag, PyObject *obj)
{
    Py_ssize_t n = Py_SIZE(obj);
    if (write_head(enc, tag, n) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (Py_SIZE(obj) != n) {
            PyErr_SetString(PyExc_RuntimeError,
                            "list changed size while it was sent");
            return -1;
        }
        PyObject *item = Py_NewRef(PyList_Check(obj)
                                   ? PyList_GET_ITEM(obj, i)
                                   : PyTuple_GET_ITEM(obj, i));
        int r = encode(enc, item);
        Py_DECREF(item);
        if (r < 0) {
            return inside_index(enc, i);
        }
    }
    return 0;
}

/* What becomes a dict key or an element of a set. */
static int
encode_hashed(struct encoder *enc, PyObject *obj)
{
    enc->in_key++;
    int r = encode(enc, obj);
    enc->in_key--;
    return r;
}

static int
encode_dict(struct encoder *enc, int tag, PyObject *obj)
{
    Py_ssize_t n = PyDict_GET_SIZE(obj);
    if (write_head(enc, tag, n) < 0) {
        return -1;
    }
    PyObject *key, *value;
    Py_ssize_t pos = 0, count = 0;
    while (PyDict_Next(obj, &pos, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        int r = encode_hashed(enc, key);
        if (r < 0) {
            inside_attr(enc, "keys()");
        }
        else if ((r = encode(enc, value)) < 0) {
            inside_key(enc, key);
        }
        Py_DECREF(key);
        Py_DECREF(value);
        if (r < 0) {
            return -1;
        }
        count++;
    }
    if (count != n) {
        PyErr_SetString(PyExc_RuntimeError,
                        "dictionary changed size while it was sent");
        return -1;
    }
    return 0;
}

static int
encode_set(struct encoder *enc, int tag, PyObject *obj)
{
    /* A list of the elements cannot change while they are written. */
    PyObject *items = PySequence_List(obj);
    if (items == NULL) {
        return -1;
    }
    int r = write_head(enc, tag, PyList_GET_SIZE(items));
    for (Py_ssize_t i = 0; r == 0 && i < PyList_GET_SIZE(items); i++) {
        r = encode_hashed(enc, PyList_GET_ITEM(items, i));
    }
    Py_DECREF(items);
    return r;
}

/* The three attributes of a slice or a range. */
static int
encode_three(struct encoder *enc, int tag, PyObject *obj)
{
    static const char * const names[] = {"start", "stop", "step"};
    if (write_tag(enc, tag) < 0) {
        return -1;
    }
    for (int i = 0; i < 3; i++) {
        PyObject *value = PyObject_GetAttrString(obj, names[i]);
        if (value == NULL) {
            return -1;
        }
        int r = encode(enc, value);
        Py_DECREF(value);
        if (r < 0) {
            return inside_attr(enc, names[i]);
        }
    }
    return 0;
}


/* --- functions and classes ---------------------------------------------------- */

/* Return a str attribute, or NULL, with an exception only if something
   unexpected happened. */
static PyObject *
str_attr(PyObject *obj, const char *name)
{
    PyObject *value;
    if (PyObject_GetOptionalAttrString(obj, name, &value) > 0
        && !PyUnicode_CheckExact(value))
    {
        Py_CLEAR(value);
    }
    return value;
}

/* True if an import of `module` here finds exactly `obj` under `qualname`;
   -1 on errors. */
static int
is_importable(PyObject *obj, PyObject *module, PyObject *qualname)
{
    if (PyUnicode_EqualToUTF8(module, "__main__")) {
        return 0;                   /* another module in each interpreter */
    }
    PyObject *found = PyImport_GetModule(module);
    if (found == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *names = _PyMessage_SplitName(qualname);
    if (names == NULL) {
        Py_DECREF(found);
        return -1;
    }
    for (Py_ssize_t i = 0; found != NULL && i < PyList_GET_SIZE(names); i++) {
        PyObject *next;
        (void)PyObject_GetOptionalAttr(found, PyList_GET_ITEM(names, i), &next);
        Py_SETREF(found, next);
    }
    Py_DECREF(names);
    int result = found == obj;
    Py_XDECREF(found);
    return PyErr_Occurred() ? -1 : result;
}

/* Write module name and qualified name if they name the object.  Return 1 if
   so, 0 if not, with nothing written, or -1. */
static int
encode_global(struct encoder *enc, int tag, PyObject *obj)
{
    PyObject *module = str_attr(obj, "__module__");
    PyObject *qualname = module != NULL ? str_attr(obj, "__qualname__") : NULL;
    int r = -1;
    if (qualname != NULL) {
        r = is_importable(obj, module, qualname);
        int keep = tag & TAG_KEEP;
        if (r > 0
            && (write_tag(enc, TAG_GLOBAL | keep) < 0
                || encode(enc, module) < 0 || encode(enc, qualname) < 0))
        {
            r = -1;
        }
    }
    else if (!PyErr_Occurred()) {
        r = 0;
    }
    Py_XDECREF(qualname);
    Py_XDECREF(module);
    return r;
}

/* Classes and built-in functions. */
static int
encode_importable(struct encoder *enc, int tag, PyObject *obj)
{
    int r = encode_global(enc, tag, obj);
    return r == 0 ? unsendable(enc, obj) : Py_MIN(r, 0);
}

/* A function that cannot be imported travels as its code and defaults.  It
   runs in the receiver's module of the same name. */
static int
encode_function_by_code(struct encoder *enc, int tag, PyObject *obj)
{
    PyFunctionObject *func = (PyFunctionObject *)obj;
    if (func->func_closure != NULL) {
        (void)unsendable(enc, func->func_closure);
        return inside_attr(enc, "__closure__");
    }
    PyObject *module = func->func_module;
    if (module == NULL || !PyUnicode_CheckExact(module)) {
        return unsendable(enc, obj);
    }
    PyObject *code = PyMarshal_WriteObjectToString(func->func_code,
                                                   Py_MARSHAL_VERSION);
    if (code == NULL) {
        return -1;
    }
    int r = -1;
    if (write_tag(enc, tag) < 0
        || encode(enc, module) < 0
        || encode(enc, func->func_name) < 0
        || encode(enc, func->func_qualname) < 0
        || encode(enc, code) < 0)
    {
        goto done;
    }
    r = encode(enc, func->func_defaults ? func->func_defaults : Py_None);
    if (r < 0) {
        inside_attr(enc, "__defaults__");
        goto done;
    }
    r = encode(enc, func->func_kwdefaults ? func->func_kwdefaults : Py_None);
    if (r < 0) {
        inside_attr(enc, "__kwdefaults__");
    }
done:
    Py_DECREF(code);
    return r;
}

static int
encode_function(struct encoder *enc, int tag, PyObject *obj)
{
    int r = encode_global(enc, tag, obj);
    return r == 0 ? encode_function_by_code(enc, tag, obj) : Py_MIN(r, 0);
}


/* --- what goes by handle -------------------------------------------------------- */

static void
release_buffer(void *ptr)
{
    _PySharedBuffer_Free(ptr);
}

static void
release_interpreter(void *ptr)
{
    int64_t *id = ptr;
    _PyInterp_Decref(*id);
    PyMem_RawFree(id);
}

static int
encode_memoryview(struct encoder *enc, int tag, PyObject *obj)
{
    _PySharedBuffer *buffer = _PyBufferView_Export(enc->state, obj);
    if (buffer == NULL) {
        return -1;
    }
    return write_handle(enc, tag, release_buffer, buffer);
}

static int
encode_channel_end(struct encoder *enc, int tag, PyObject *obj)
{
    _PyChannelEnd *end = _PyChannelObject_CloneEnd(enc->state, obj);
    if (end == NULL) {
        return -1;
    }
    return write_handle(enc, tag, _PyMessage_ReleaseEnd, end);
}

static int
encode_queue(struct encoder *enc, int tag, PyObject *obj)
{
    _PyChannelEnd *end = _PyQueueObject_CloneEnd(obj);
    if (end == NULL) {
        return -1;
    }
    return write_handle(enc, tag, _PyMessage_ReleaseEnd, end);
}

/* Interpreter objects are written in Python; this is their class, as a new
   reference, or NULL without an exception if nobody imported it. */
static PyObject *
interpreter_class(void)
{
    PyObject *name = PyUnicode_FromString("interpreters");
    PyObject *module = name != NULL ? PyImport_GetModule(name) : NULL;
    Py_XDECREF(name);
    PyObject *cls = NULL;
    if (module != NULL) {
        (void)PyObject_GetOptionalAttrString(module, "Interpreter", &cls);
        Py_DECREF(module);
    }
    return cls;
}

static int
is_interpreter_class(PyTypeObject *type)
{
    PyObject *cls = interpreter_class();
    Py_XDECREF(cls);
    return PyErr_Occurred() ? -1 : (PyObject *)type == cls;
}

static int
encode_interpreter(struct encoder *enc, int tag, PyObject *obj)
{
    PyObject *number = PyObject_GetAttrString(obj, "id");
    if (number == NULL) {
        return -1;
    }
    int64_t id = PyLong_AsLongLong(number);
    Py_DECREF(number);
    if (PyErr_Occurred()) {
        return -1;
    }
    int64_t *ref = PyMem_RawMalloc(sizeof(int64_t));
    if (ref == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (_PyInterp_Incref(id) < 0) {
        PyMem_RawFree(ref);
        return -1;
    }
    *ref = id;
    return write_handle(enc, tag, release_interpreter, ref);
}


/* --- any object ------------------------------------------------------------------- */

static void
decref_key(void *key)
{
    Py_DECREF((PyObject *)key);
}

/* True if the receiver could not refer to an object that was met before:
   because it makes such objects only at the end of their records, or because
   it would have to hash a tuple that is not yet filled. */
static int
refers_too_early(struct encoder *enc, PyObject *obj)
{
    int late = PySlice_Check(obj) || PyFrozenSet_CheckExact(obj)
               || PyFunction_Check(obj)
               || (enc->in_key > 0 && PyTuple_CheckExact(obj));
    if (!late) {
        return 0;
    }
    struct open_object *open = enc->open;
    while (open != NULL && open->obj != obj) {
        open = open->outer;
    }
    return open != NULL;
}

/* Give the object a number if it may be met again: it needs a second
   reference for that.  Set *keep to the tag bit.  Return 1 if it was met
   before, and its number is written instead. */
static int
keep_or_refer(struct encoder *enc, PyObject *obj, int *keep)
{
    *keep = 0;
    if (Py_REFCNT(obj) == 1) {
        return 0;
    }
    if (enc->kept == NULL) {
        enc->kept = _Py_hashtable_new_full(_Py_hashtable_hash_ptr,
                                           _Py_hashtable_compare_direct,
                                           decref_key, NULL, NULL);
        if (enc->kept == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    uintptr_t number = (uintptr_t)_Py_hashtable_get(enc->kept, obj);
    if (number != 0) {
        if (refers_too_early(enc, obj)) {
            return unsendable(enc, obj);
        }
        return write_head(enc, TAG_REF, number - 1) < 0 ? -1 : 1;
    }
    enc->n_kept++;
    if (_Py_hashtable_set(enc->kept, Py_NewRef(obj), (void *)enc->n_kept) < 0) {
        Py_DECREF(obj);
        PyErr_NoMemory();
        return -1;
    }
    *keep = TAG_KEEP;
    return 0;
}

typedef int (*encode_func)(struct encoder *, int tag, PyObject *);

/* Exact types, frequent ones first.  Numbers and singletons are never given a
   number: copying them is as cheap as referring to them. */
static const struct {
    PyTypeObject *type;
    int tag;
    int may_keep;
    encode_func func;
} encoders[] = {
    {&PyUnicode_Type, TAG_STR, 1, encode_str},
    {&PyLong_Type, TAG_INT, 0, encode_int},
    {&PyFloat_Type, TAG_FLOAT, 0, encode_float},
    {&PyTuple_Type, TAG_TUPLE, 1, encode_sequence},
    {&PyDict_Type, TAG_DICT, 1, encode_dict},
    {&PyList_Type, TAG_LIST, 1, encode_sequence},
    {&_PyNone_Type, TAG_NONE, 0, encode_singleton},
    {&PyBool_Type, 0, 0, encode_bool},
    {&PyBytes_Type, TAG_BYTES, 1, encode_bytes},
    {&PyMemoryView_Type, TAG_BUFFER, 1, encode_memoryview},
    {&PySet_Type, TAG_SET, 1, encode_set},
    {&PyFrozenSet_Type, TAG_FROZENSET, 1, encode_set},
    {&PyByteArray_Type, TAG_BYTEARRAY, 1, encode_bytearray},
    {&PyFunction_Type, TAG_FUNCTION, 1, encode_function},
    {&PyCFunction_Type, TAG_GLOBAL, 1, encode_importable},
    {&PyType_Type, TAG_GLOBAL, 1, encode_importable},
    {&PyComplex_Type, TAG_COMPLEX, 0, encode_complex},
    {&PySlice_Type, TAG_SLICE, 1, encode_three},
    {&PyRange_Type, TAG_RANGE, 1, encode_three},
    {&PyEllipsis_Type, TAG_ELLIPSIS, 0, encode_singleton},
};

/* Find how objects of this type are encoded.  Return 1 if they are, 0 if not,
   or -1 with an exception. */
static int
find_encoder(_xxsub_state *state, PyTypeObject *type,
             encode_func *func, int *tag, int *may_keep)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(encoders); i++) {
        if (type == encoders[i].type) {
            *func = encoders[i].func;
            *tag = encoders[i].tag;
            *may_keep = encoders[i].may_keep;
            return 1;
        }
    }
    *may_keep = 1;
    if (type == state->RecvChannel || type == state->SendChannel) {
        *func = encode_channel_end;
        *tag = TAG_CHANNEL_END;
        return 1;
    }
    if (type == state->Queue) {
        *func = encode_queue;
        *tag = TAG_QUEUE;
        return 1;
    }
    if (PyType_FastSubclass(type, Py_TPFLAGS_TYPE_SUBCLASS)) {
        *func = encode_importable;  /* a class with a metaclass */
        *tag = TAG_GLOBAL;
        return 1;
    }
    *func = encode_interpreter;
    *tag = TAG_INTERPRETER;
    return is_interpreter_class(type);
}

static int
encode(struct encoder *enc, PyObject *obj)
{
    encode_func func;
    int tag, may_keep;
    int r = find_encoder(enc->state, Py_TYPE(obj), &func, &tag, &may_keep);
    if (r <= 0) {
        return r < 0 ? -1 : unsendable(enc, obj);
    }
    if (!may_keep) {
        return func(enc, tag, obj);
    }
    int keep;
    r = keep_or_refer(enc, obj, &keep);
    if (r != 0) {
        return Py_MIN(r, 0);
    }
    if (Py_EnterRecursiveCall(" while sending an object")) {
        return -1;
    }
    struct open_object here = {obj, enc->open};
    enc->open = &here;
    r = func(enc, tag | keep, obj);
    enc->open = here.outer;
    Py_LeaveRecursiveCall();
    return r;
}

static _PyMessage *
new_message(struct encoder *enc)
{
    int small = enc->data == enc->small;
    _PyMessage *message = PyMem_RawMalloc(sizeof(_PyMessage)
                                          + (small ? enc->size : 0));
    if (message == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *message = (_PyMessage){
        .data = small ? message->small : enc->data,
        .size = enc->size,
        .handles = enc->handles,
        .n_handles = enc->n_handles,
        .n_kept = enc->n_kept,
    };
    if (small) {
        memcpy(message->small, enc->small, enc->size);
    }
    return message;
}

_PyMessage *
_PyMessage_Encode(_xxsub_state *state, PyObject *obj, const char *name)
{
    struct encoder enc;
    enc.state = state;
    enc.data = enc.small;
    enc.size = 0;
    enc.allocated = SMALL_SIZE;
    enc.handles = NULL;
    enc.n_handles = 0;
    enc.kept = NULL;
    enc.n_kept = 0;
    enc.open = NULL;
    enc.in_key = 0;
    enc.path = NULL;
    enc.culprit = NULL;

    _PyMessage *message = NULL;
    if (encode(&enc, obj) == 0) {
        message = new_message(&enc);
    }
    else if (enc.path != NULL) {
        raise_not_shareable(&enc, name);
    }

    /* What follows may run code; the exception is kept aside. */
    PyObject *exc = PyErr_GetRaisedException();
    Py_XDECREF(enc.path);
    Py_XDECREF(enc.culprit);
    if (enc.kept != NULL) {
        _Py_hashtable_destroy(enc.kept);
    }
    if (message != NULL) {
        assert(exc == NULL);
        return message;
    }
    for (size_t i = 0; i < enc.n_handles; i++) {
        enc.handles[i].release(enc.handles[i].ptr);
    }
    PyErr_SetRaisedException(exc);
    PyMem_RawFree(enc.handles);
    if (enc.data != enc.small) {
        PyMem_RawFree(enc.data);
    }
    return NULL;
}

int
_PyMessage_Supports(_xxsub_state *state, PyTypeObject *type)
{
    encode_func func;
    int tag, may_keep;
    return find_encoder(state, type, &func, &tag, &may_keep);
}
