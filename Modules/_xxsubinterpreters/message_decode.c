/* From a message to Python objects.  See message.h and message_format.h.

   A message is trusted: it was written by the encoder of this process. */

#include "Python.h"
#include "marshal.h"              // PyMarshal_ReadObjectFromString()
#include "pycore_long.h"          // _PyLong_FromByteArray()
#include "bufferview.h"
#include "channelobject.h"
#include "message.h"
#include "message_format.h"
#include "queueobject.h"

struct decoder {
    _xxsub_state *state;
    _PyMessage *message;
    const unsigned char *next;
    PyObject **kept;                /* by number; strong references */
    size_t n_kept;                  /* numbers given so far */
};

static PyObject *decode(struct decoder *dec);


/* --- reading --------------------------------------------------------------- */

static const void *
read_bytes(struct decoder *dec, size_t n)
{
    const void *result = dec->next;
    dec->next += n;
    assert(dec->next <= dec->message->data + dec->message->size);
    return result;
}

#define READ(dec, var) memcpy(&(var), read_bytes((dec), sizeof(var)), sizeof(var))

static size_t
read_size(struct decoder *dec)
{
    size_t n;
    READ(dec, n);
    return n;
}

static struct handle *
read_handle(struct decoder *dec)
{
    size_t i = read_size(dec);
    assert(i < dec->message->n_handles);
    return &dec->message->handles[i];
}

/* The message lets go of what the handle stands for: the caller owns it. */
static void *
take_handle(struct decoder *dec)
{
    struct handle *handle = read_handle(dec);
    void *ptr = handle->ptr;
    assert(ptr != NULL);
    handle->ptr = NULL;
    return ptr;
}


/* --- numbers given to objects ---------------------------------------------- */

/* Objects are numbered when their record begins, but most exist only at its
   end; containers that can be met again inside themselves are put in their
   place first. */
static void
keep(struct decoder *dec, size_t number, PyObject *obj)
{
    if (number > 0) {
        assert(dec->kept[number - 1] == NULL);
        dec->kept[number - 1] = Py_NewRef(obj);
    }
}


/* --- containers --------------------------------------------------------------- */

/* Fill a new list or tuple, which others may see before it is complete: code
   that is imported meanwhile, through the garbage collector. */
static void
fill_with_none(PyObject **items, size_t n)
{
    assert(_Py_IsImmortal(Py_None));
    for (size_t i = 0; i < n; i++) {
        items[i] = Py_None;
    }
}

static PyObject *
decode_list(struct decoder *dec, size_t number)
{
    size_t n = read_size(dec);
    PyObject *list = PyList_New(n);
    if (list == NULL) {
        return NULL;
    }
    fill_with_none(((PyListObject *)list)->ob_item, n);
    keep(dec, number, list);
    for (size_t i = 0; i < n; i++) {
        PyObject *item = decode(dec);
        if (item == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, i, item);
    }
    return list;
}

static PyObject *
decode_tuple(struct decoder *dec, size_t number)
{
    size_t n = read_size(dec);
    PyObject *tuple = PyTuple_New(n);
    if (tuple == NULL) {
        return NULL;
    }
    fill_with_none(((PyTupleObject *)tuple)->ob_item, n);
    keep(dec, number, tuple);
    for (size_t i = 0; i < n; i++) {
        PyObject *item = decode(dec);
        if (item == NULL) {
            Py_DECREF(tuple);
            return NULL;
        }
        PyTuple_SET_ITEM(tuple, i, item);
    }
    return tuple;
}

static PyObject *
decode_dict(struct decoder *dec, size_t number)
{
    size_t n = read_size(dec);
    PyObject *dict = PyDict_New();
    if (dict == NULL) {
        return NULL;
    }
    keep(dec, number, dict);
    while (n-- > 0) {
        PyObject *key = decode(dec);
        PyObject *value = key != NULL ? decode(dec) : NULL;
        int r = value != NULL ? PyDict_SetItem(dict, key, value) : -1;
        Py_XDECREF(value);
        Py_XDECREF(key);
        if (r < 0) {
            Py_DECREF(dict);
            return NULL;
        }
    }
    return dict;
}

static PyObject *
decode_set(struct decoder *dec, size_t number, PyObject *set)
{
    size_t n = read_size(dec);
    if (set == NULL) {
        return NULL;
    }
    while (n-- > 0) {
        PyObject *item = decode(dec);
        int r = item != NULL ? PySet_Add(set, item) : -1;
        Py_XDECREF(item);
        if (r < 0) {
            Py_DECREF(set);
            return NULL;
        }
    }
    /* Only now: a frozenset may be filled as long as nobody else has it.  The
       encoder refuses one that contains itself, by way of a function. */
    keep(dec, number, set);
    return set;
}

/* A slice or a range, made from its three attributes. */
static PyObject *
decode_three(struct decoder *dec, PyTypeObject *type)
{
    PyObject *args[3];
    int n = 0;
    while (n < 3 && (args[n] = decode(dec)) != NULL) {
        n++;
    }
    PyObject *result = n == 3
        ? PyObject_Vectorcall((PyObject *)type, args, 3, NULL) : NULL;
    while (n > 0) {
        Py_DECREF(args[--n]);
    }
    return result;
}


/* --- functions and classes ------------------------------------------------------ */

static PyObject *
find_global(PyObject *module_name, PyObject *qualname)
{
    PyObject *obj = PyImport_Import(module_name);
    PyObject *names = obj != NULL ? _PyMessage_SplitName(qualname) : NULL;
    if (names == NULL) {
        Py_XDECREF(obj);
        return NULL;
    }
    for (Py_ssize_t i = 0; obj != NULL && i < PyList_GET_SIZE(names); i++) {
        Py_SETREF(obj, PyObject_GetAttr(obj, PyList_GET_ITEM(names, i)));
    }
    Py_DECREF(names);
    return obj;
}

static PyObject *
decode_global(struct decoder *dec)
{
    PyObject *module = decode(dec);
    PyObject *qualname = module != NULL ? decode(dec) : NULL;
    PyObject *result = qualname != NULL ? find_global(module, qualname) : NULL;
    Py_XDECREF(qualname);
    Py_XDECREF(module);
    return result;
}

static PyObject *
new_function(PyObject *module_name, PyObject *name, PyObject *qualname,
             PyObject *marshalled, PyObject *defaults, PyObject *kwdefaults)
{
    PyObject *module = PyImport_Import(module_name);
    if (module == NULL) {
        return NULL;
    }
    PyObject *func = NULL;
    if (!PyModule_Check(module)) {
        PyErr_Format(PyExc_ImportError, "%R is not a module", module_name);
        Py_DECREF(module);
        return NULL;
    }
    PyObject *code = PyMarshal_ReadObjectFromString(
            PyBytes_AS_STRING(marshalled), PyBytes_GET_SIZE(marshalled));
    if (code != NULL) {
        func = PyFunction_NewWithQualName(code, PyModule_GetDict(module),
                                          qualname);
        Py_DECREF(code);
    }
    Py_DECREF(module);
    if (func == NULL) {
        return NULL;
    }
    if (PyObject_SetAttrString(func, "__name__", name) < 0
        || PyObject_SetAttrString(func, "__module__", module_name) < 0
        || PyFunction_SetDefaults(func, defaults) < 0
        || PyFunction_SetKwDefaults(func, kwdefaults) < 0)
    {
        Py_DECREF(func);
        return NULL;
    }
    return func;
}

static PyObject *
decode_function(struct decoder *dec)
{
    PyObject *parts[6];
    int n = 0;
    while (n < 6 && (parts[n] = decode(dec)) != NULL) {
        n++;
    }
    PyObject *result = n == 6
        ? new_function(parts[0], parts[1], parts[2], parts[3], parts[4],
                       parts[5])
        : NULL;
    while (n > 0) {
        Py_DECREF(parts[--n]);
    }
    return result;
}


/* --- what goes by handle ---------------------------------------------------------- */

static PyObject *
decode_interpreter(struct decoder *dec)
{
    /* The handle's reference keeps it alive until the new object has one of
       its own. */
    int64_t *id = read_handle(dec)->ptr;
    PyObject *module = PyImport_ImportModule("interpreters");
    if (module == NULL) {
        return NULL;
    }
    PyObject *cls = PyObject_GetAttrString(module, "Interpreter");
    Py_DECREF(module);
    if (cls == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_CallFunction(cls, "L", (long long)*id);
    Py_DECREF(cls);
    return result;
}


/* --- any object ------------------------------------------------------------------- */

static PyObject *
decode_str(struct decoder *dec)
{
    size_t length = read_size(dec);
    uint32_t maxchar;
    READ(dec, maxchar);
    PyObject *str = PyUnicode_New(length, maxchar);
    if (str == NULL) {
        return NULL;
    }
    size_t n = length * PyUnicode_KIND(str);
    const void *from = read_bytes(dec, n);
    if (n > 0) {                    /* the empty string is shared */
        memcpy(PyUnicode_DATA(str), from, n);
    }
    if (length == 1) {              /* so are the Latin-1 characters */
        Py_SETREF(str, PyUnicode_FromOrdinal(PyUnicode_READ_CHAR(str, 0)));
    }
    return str;
}

static PyObject *
decode_leaf(struct decoder *dec, enum tag tag)
{
    switch (tag) {
    case TAG_NONE:
        Py_RETURN_NONE;
    case TAG_TRUE:
        Py_RETURN_TRUE;
    case TAG_FALSE:
        Py_RETURN_FALSE;
    case TAG_ELLIPSIS:
        return Py_NewRef(Py_Ellipsis);
    case TAG_INT: {
        int64_t value;
        READ(dec, value);
        return PyLong_FromLongLong(value);
    }
    case TAG_BIGINT: {
        size_t n = read_size(dec);
        return _PyLong_FromByteArray(read_bytes(dec, n), n,
                                     /*little_endian=*/1, /*is_signed=*/1);
    }
    case TAG_FLOAT: {
        double value;
        READ(dec, value);
        return PyFloat_FromDouble(value);
    }
    case TAG_COMPLEX: {
        Py_complex value;
        READ(dec, value);
        return PyComplex_FromCComplex(value);
    }
    case TAG_STR:
        return decode_str(dec);
    case TAG_BYTES: {
        size_t n = read_size(dec);
        return PyBytes_FromStringAndSize(read_bytes(dec, n), n);
    }
    case TAG_BYTEARRAY: {
        size_t n = read_size(dec);
        return PyByteArray_FromStringAndSize(read_bytes(dec, n), n);
    }
    case TAG_SLICE:
        return decode_three(dec, &PySlice_Type);
    case TAG_RANGE:
        return decode_three(dec, &PyRange_Type);
    case TAG_GLOBAL:
        return decode_global(dec);
    case TAG_FUNCTION:
        return decode_function(dec);
    case TAG_BUFFER:
        return _PyBufferView_NewMemoryView(dec->state, take_handle(dec));
    case TAG_CHANNEL_END:
        return _PyChannelObject_New(dec->state, take_handle(dec));
    case TAG_QUEUE:
        return _PyQueueObject_New(dec->state, take_handle(dec));
    case TAG_INTERPRETER:
        return decode_interpreter(dec);
    default:
        Py_UNREACHABLE();
    }
}

static PyObject *
decode_record(struct decoder *dec)
{
    unsigned char byte;
    READ(dec, byte);
    enum tag tag = byte & ~TAG_KEEP;
    size_t number = byte & TAG_KEEP ? ++dec->n_kept : 0;
    assert(dec->n_kept <= dec->message->n_kept);

    switch (tag) {
    case TAG_REF: {
        PyObject *obj = dec->kept[read_size(dec)];
        if (obj == NULL) {
            PyErr_SetString(PyExc_SystemError,
                            "a message refers to what is not yet decoded");
            return NULL;
        }
        return Py_NewRef(obj);
    }
    case TAG_LIST:
        return decode_list(dec, number);
    case TAG_TUPLE:
        return decode_tuple(dec, number);
    case TAG_DICT:
        return decode_dict(dec, number);
    case TAG_SET:
        return decode_set(dec, number, PySet_New(NULL));
    case TAG_FROZENSET:
        return decode_set(dec, number, PyFrozenSet_New(NULL));
    default: {
        PyObject *obj = decode_leaf(dec, tag);
        if (obj != NULL) {
            keep(dec, number, obj);
        }
        return obj;
    }
    }
}

static PyObject *
decode(struct decoder *dec)
{
    if (Py_EnterRecursiveCall(" while receiving an object")) {
        return NULL;
    }
    PyObject *obj = decode_record(dec);
    Py_LeaveRecursiveCall();
    return obj;
}

PyObject *
_PyMessage_Decode(_xxsub_state *state, _PyMessage *message)
{
    struct decoder dec = {
        .state = state,
        .message = message,
        .next = message->data,
    };
    if (message->n_kept > 0) {
        dec.kept = PyMem_Calloc(message->n_kept, sizeof(PyObject *));
        if (dec.kept == NULL) {
            return PyErr_NoMemory();
        }
    }
    PyObject *obj = decode(&dec);
    for (size_t i = 0; i < dec.n_kept; i++) {
        Py_XDECREF(dec.kept[i]);
    }
    PyMem_Free(dec.kept);
    return obj;
}
