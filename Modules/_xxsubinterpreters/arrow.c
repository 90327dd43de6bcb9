/* Arrow's C data interface: memory that is passed to and from libraries for columns of
   data, and for images.

   A producer makes two structs, the schema, which is the type, and the array, which is the
   memory.  Each has a release callback for what it refers to, and is released when that is
   NULL.  Its bytes may be copied elsewhere, by who then sets the callback of the original to
   NULL: so they change owners.  In Python both are in capsules, whose destructors release
   what nobody took.

   Only what one span of memory can be is supported: items of one size, none of them
   missing, or lists of them that have one length.  As with DLPack the memory is a shared
   buffer in between. */

#include "Python.h"
#include "arrow.h"
#include "bufferview.h"
#include "interp.h"
#include "shared.h"
#include "state.h"

typedef struct Schema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct Schema **children;
    struct Schema *dictionary;
    void (*release)(struct Schema *);
    void *private_data;
} Schema;

typedef struct Array {
    int64_t length;                 /* in items, or in lists */
    int64_t null_count;             /* of missing items; -1 if not known */
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;           /* bits that say which are there, or NULL; the items */
    struct Array **children;
    struct Array *dictionary;
    void (*release)(struct Array *);
    void *private_data;
} Array;

#define SCHEMA_CAPSULE "arrow_schema"
#define ARRAY_CAPSULE "arrow_array"

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.ArrowExport "ExportObject *" "clinic_state()->ArrowExport"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=0be3eb508f8e1714]*/

typedef struct {
    PyObject_HEAD
    _PySharedBuffer *buffer;        /* owned */
    const char *format;             /* of an item; static */
    int64_t length;                 /* in lists, if list_size is not 0 */
    int64_t list_size;
} ExportObject;

#define clinic_state() ((_xxsub_state *)PyModule_GetState(module))
#include "clinic/arrow.c.h"
#undef clinic_state


/* --- items ------------------------------------------------------------------ */

typedef struct {
    const char *arrow;
    const char *format;             /* of PEP 3118 */
    int size;
} Item;

static const Item items[] = {
    {"c", "b", 1},
    {"C", "B", 1},
    {"s", "h", 2},
    {"S", "H", 2},
    {"i", "i", 4},
    {"I", "I", 4},
    {"l", "q", 8},
    {"L", "Q", 8},
    {"e", "e", 2},
    {"f", "f", 4},
    {"g", "d", 8},
};

/* NULL with an exception if there is none. */
static const Item *
find_item(const char *arrow)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(items); i++) {
        if (strcmp(arrow, items[i].arrow) == 0) {
            return &items[i];
        }
    }
    if (arrow[0] == '+') {
        PyErr_Format(PyExc_BufferError, "nested Arrow data (format '%.50s') cannot be shared",
                     arrow);
    }
    else {
        PyErr_Format(PyExc_BufferError, "Arrow data of format '%.50s' cannot be shared",
                     arrow);
    }
    return NULL;
}


/* --- from others ---------------------------------------------------------- */

/* An array that was taken out of its capsule. */
typedef struct {
    _PyInterp_Pinned pinned;        /* where it is to be released */
    Array array;
} Import;

static void
release_import(_PyInterp_Pinned *pinned)
{
    Import *import = _Py_CONTAINER_OF(pinned, Import, pinned);
    if (import->array.release != NULL) {
        import->array.release(&import->array);
    }
}

static void
free_import(_PyInterp_Pinned *pinned)
{
    PyMem_RawFree(_Py_CONTAINER_OF(pinned, Import, pinned));
}

/* The release function of the block over the array's memory. */
static void
unpin(void *arg)
{
    _PyInterp_Unpin(&((Import *)arg)->pinned);
}

static int
malformed(const char *what)
{
    PyErr_Format(PyExc_ValueError, "the Arrow array has no valid %s", what);
    return -1;
}

static int
check_there(const Schema *schema, const Array *array)
{
    if (schema->release == NULL || array->release == NULL) {
        PyErr_SetString(PyExc_ValueError, "the Arrow array was released, or taken before");
        return -1;
    }
    return schema->format != NULL ? 0 : malformed("format");
}

/* What is true of lists and of items. */
static int
check_array(const Schema *schema, const Array *array, int n_buffers, int n_children)
{
    if (schema->dictionary != NULL || array->dictionary != NULL) {
        PyErr_SetString(PyExc_BufferError,
                        "Arrow data with a dictionary cannot be shared");
        return -1;
    }
    if (array->length < 0) {
        return malformed("length");
    }
    if (array->offset != 0) {
        PyErr_SetString(PyExc_BufferError, "Arrow data with an offset cannot be shared");
        return -1;
    }
    if (array->n_buffers != n_buffers || array->buffers == NULL) {
        return malformed("buffers");
    }
    if (schema->n_children != n_children || array->n_children != n_children
        || (n_children > 0
            && (schema->children == NULL || schema->children[0] == NULL
                || array->children == NULL || array->children[0] == NULL)))
    {
        return malformed("children");
    }
    if (array->null_count != 0
        && !(array->null_count == -1 && array->buffers[0] == NULL))
    {
        PyErr_SetString(PyExc_BufferError,
                        "Arrow data with missing items cannot be shared");
        return -1;
    }
    return 0;
}

/* Read the format "+w:N" of lists of N items.  Return 0 if it is another one, and -1 with
   an exception if there is no valid N. */
static int64_t
read_list_size(const char *format)
{
    if (strncmp(format, "+w:", 3) != 0) {
        return 0;
    }
    int64_t size = 0;
    const char *p = format + 3;
    while (*p >= '0' && *p <= '9' && size <= INT32_MAX) {
        size = size * 10 + (*p++ - '0');
    }
    return *p == '\0' && size > 0 && size <= INT32_MAX ? size : malformed("format");
}

/* What the arguments of from_arrow() say. */
typedef struct {
    int ndim;                       /* -1 if there is no shape */
    Py_ssize_t shape[PyBUF_MAX_NDIM];
    const char *format;             /* of PEP 3118; NULL if there is none */
    Py_ssize_t itemsize;            /* of the format */
    int readonly;
} Wishes;

static int
fill_shape(Py_buffer *view, int64_t length, int64_t list_size, const Wishes *wishes)
{
    Py_ssize_t itemsize = view->itemsize;
    int64_t row = list_size > 0 ? list_size : 1;
    if (length > PY_SSIZE_T_MAX / itemsize / row) {
        return malformed("length");
    }
    view->len = length * row * itemsize;
    int64_t product = 1;
    if (wishes->ndim < 0) {
        view->shape[view->ndim++] = product = length;
    }
    for (int i = 0; i < wishes->ndim; i++) {
        Py_ssize_t n = wishes->shape[i];
        if (n < 0 || (n > 0 && product > INT64_MAX / n)) {
            product = -1;
            break;
        }
        view->shape[view->ndim++] = n;
        product *= n;
    }
    if (product != length) {
        PyErr_Format(PyExc_ValueError, "the Arrow array has %lld items, not of that shape",
                     (long long)length);
        return -1;
    }
    if (list_size > 0) {
        view->shape[view->ndim++] = list_size;
    }
    Py_ssize_t stride = itemsize;
    for (int i = view->ndim - 1; i >= 0; i--) {
        view->strides[i] = stride;
        stride *= view->shape[i];
    }
    return 0;
}

/* Describe the array; `shape` and `strides`, to which the view then refers, have room for
   PyBUF_MAX_NDIM numbers. */
static int
describe(const Schema *schema, const Array *array, const Wishes *wishes, Py_buffer *view,
         Py_ssize_t *shape, Py_ssize_t *strides)
{
    if (check_there(schema, array) < 0) {
        return -1;
    }
    int64_t length = array->length;
    int64_t list_size = read_list_size(schema->format);
    if (list_size < 0) {
        return -1;
    }
    if (list_size > 0) {
        if (check_array(schema, array, 1, 1) < 0) {
            return -1;
        }
        schema = schema->children[0];
        array = array->children[0];
        if (check_there(schema, array) < 0) {
            return -1;
        }
    }
    const Item *item = find_item(schema->format);
    if (item == NULL || check_array(schema, array, 2, 0) < 0) {
        return -1;
    }
    if (list_size > 0 && array->length / list_size < length) {
        return malformed("length");
    }
    static char nothing;            /* where memory of no size may be said to be */
    *view = (Py_buffer){
        .buf = array->buffers[1] != NULL ? (void *)array->buffers[1] : &nothing,
        .itemsize = item->size,
        .readonly = wishes->readonly,
        .format = (char *)item->format,
        .shape = shape,
        .strides = strides,
    };
    if (fill_shape(view, length, list_size, wishes) < 0) {
        return -1;
    }
    if (array->buffers[1] == NULL && view->len > 0) {
        return malformed("memory");
    }
    if (wishes->format != NULL) {
        if (wishes->itemsize != view->itemsize) {
            PyErr_Format(PyExc_ValueError, "the items have %zd bytes, not %zd",
                         view->itemsize, wishes->itemsize);
            return -1;
        }
        view->format = (char *)wishes->format;
    }
    return 0;
}

/* Take the array, with `view` over its memory, out of its capsule.  On failure it is still
   there, or was released.  No other thread ran since it was described. */
static PyObject *
take(_xxsub_state *state, PyObject *obj, Array *array, const Py_buffer *view)
{
    Import *import = PyMem_RawMalloc(sizeof(Import));
    if (import == NULL) {
        return PyErr_NoMemory();
    }
    *import = (Import){.pinned = {.release = release_import, .free = free_import}};
    if (_PyInterp_Pin(&import->pinned) < 0) {
        PyMem_RawFree(import);
        return NULL;
    }
    import->array = *array;
    array->release = NULL;
    _PyBlock *block = _PyBlock_Wrap(view->buf, view->len, unpin, import);
    if (block == NULL) {
        unpin(import);
        return PyErr_NoMemory();
    }
    _PyBlock_Describe(block, Py_TYPE(obj)->tp_name, import->pinned.id);
    _PySharedBuffer *buffer = _PySharedBuffer_New(block, view);
    _PyBlock_Decref(block);
    if (buffer == NULL) {
        return PyErr_NoMemory();
    }
    return _PyBufferView_NewMemoryView(state, buffer);
}

static PyObject *
take_from_capsules(_xxsub_state *state, PyObject *obj, PyObject *capsules,
                   const Wishes *wishes)
{
    if (!PyTuple_Check(capsules) || PyTuple_GET_SIZE(capsules) != 2
        || !PyCapsule_IsValid(PyTuple_GET_ITEM(capsules, 0), SCHEMA_CAPSULE)
        || !PyCapsule_IsValid(PyTuple_GET_ITEM(capsules, 1), ARRAY_CAPSULE))
    {
        PyErr_SetString(PyExc_TypeError, "__arrow_c_array__() must return a tuple of two "
                        "capsules, with a schema and an array");
        return NULL;
    }
    Schema *schema = PyCapsule_GetPointer(PyTuple_GET_ITEM(capsules, 0), SCHEMA_CAPSULE);
    Array *array = PyCapsule_GetPointer(PyTuple_GET_ITEM(capsules, 1), ARRAY_CAPSULE);
    Py_buffer view;
    Py_ssize_t shape[PyBUF_MAX_NDIM], strides[PyBUF_MAX_NDIM];
    if (describe(schema, array, wishes, &view, shape, strides) < 0) {
        return NULL;
    }
    return take(state, obj, array, &view);
}

static int
read_shape(PyObject *shape, Wishes *wishes)
{
    wishes->ndim = -1;
    if (shape == Py_None) {
        return 0;
    }
    if (!PyTuple_Check(shape)) {
        PyErr_SetString(PyExc_TypeError, "shape must be a tuple");
        return -1;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(shape);
    if (n >= PyBUF_MAX_NDIM) {      /* lists are one more */
        PyErr_SetString(PyExc_ValueError, "shape has too many dimensions");
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        wishes->shape[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, i));
        if (wishes->shape[i] == -1 && PyErr_Occurred()) {
            return -1;
        }
    }
    wishes->ndim = (int)n;
    return 0;
}

/*[clinic input]
_xxsubinterpreters.from_arrow

    obj: object
    shape: object = None
    format: str(accept={str, NoneType}) = None
    readonly: bool = True
    /

Return a memoryview of the memory of an array of Arrow's C data interface.

obj has the method __arrow_c_array__().  It has items of one size, with none missing
and no offset, or lists of such items, all of one length; else BufferError.  Lists are
one more dimension.

shape is that of the array, without the lists; format says what the items are, if the
array cannot.  That the memory is not read-only can only be known by the caller.

Nothing is copied.  The array is released when the last view, in any interpreter, is.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_from_arrow_impl(PyObject *module, PyObject *obj,
                                   PyObject *shape, const char *format,
                                   int readonly)
/*[clinic end generated code: output=66bb648e2fbdd676 input=598fed74482e833e]*/
{
    Wishes wishes = {.format = format, .readonly = readonly};
    if (read_shape(shape, &wishes) < 0) {
        return NULL;
    }
    if (format != NULL) {
        wishes.itemsize = PyBuffer_SizeFromFormat(format);
        if (wishes.itemsize < 0) {
            return NULL;
        }
    }
    if (PySys_Audit("interpreters.share", "O", obj) < 0) {
        return NULL;
    }
    PyObject *capsules = PyObject_CallMethod(obj, "__arrow_c_array__", NULL);
    if (capsules == NULL) {
        return NULL;
    }
    PyObject *result = take_from_capsules(PyModule_GetState(module), obj, capsules,
                                          &wishes);
    /* Releases what is still in them: foreign code, which expects no exception. */
    PyObject *exc = PyErr_GetRaisedException();
    Py_DECREF(capsules);
    PyErr_SetRaisedException(exc);
    return result;
}


/* --- to others ------------------------------------------------------------ */

/* Consumers may release what follows in any thread, and without a thread state.  What a
   struct refers to is not part of it, since it may be copied; and they may take the array
   of the items out of that of the lists, which then dies first. */

static void
release_items_schema(Schema *schema)
{
    schema->release = NULL;         /* it refers to constants */
}

static Schema
items_schema(const char *format)
{
    return (Schema){.format = format, .name = "", .release = release_items_schema};
}

typedef struct {
    char format[32];
    Schema items;
    Schema *children[1];
} ListSchema;

static void
release_list_schema(Schema *schema)
{
    ListSchema *list = schema->private_data;
    if (list->items.release != NULL) {
        list->items.release(&list->items);
    }
    PyMem_RawFree(list);
    schema->release = NULL;
}

static int
fill_schema(Schema *schema, const ExportObject *self)
{
    if (self->list_size == 0) {
        *schema = items_schema(self->format);
        return 0;
    }
    ListSchema *list = PyMem_RawMalloc(sizeof(ListSchema));
    if (list == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyOS_snprintf(list->format, sizeof(list->format), "+w:%lld",
                  (long long)self->list_size);
    list->items = items_schema(self->format);
    list->items.name = "item";
    list->children[0] = &list->items;
    *schema = (Schema){
        .format = list->format,
        .name = "",
        .n_children = 1,
        .children = list->children,
        .release = release_list_schema,
        .private_data = list,
    };
    return 0;
}

typedef struct {
    _PySharedBuffer *buffer;        /* owned */
    const void *buffers[2];
} Items;

static void
release_items(Array *array)
{
    Items *items = array->private_data;
    array->release = NULL;
    _PySharedBuffer_Free(items->buffer);
    PyMem_RawFree(items);
}

static int
fill_items(Array *array, _PySharedBuffer *buffer, int64_t length)
{
    Items *items = PyMem_RawMalloc(sizeof(Items));
    if (items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_buffer view;
    _PySharedBuffer_Fill(buffer, &view);
    items->buffer = _PySharedBuffer_New(_PySharedBuffer_Block(buffer), &view);
    if (items->buffer == NULL) {
        PyMem_RawFree(items);
        PyErr_NoMemory();
        return -1;
    }
    _PySharedBuffer_SetHolder(items->buffer,
                              PyInterpreterState_GetID(PyInterpreterState_Get()));
    items->buffers[0] = NULL;       /* none is missing */
    items->buffers[1] = view.buf;
    *array = (Array){
        .length = length,
        .n_buffers = 2,
        .buffers = items->buffers,
        .release = release_items,
        .private_data = items,
    };
    return 0;
}

typedef struct {
    const void *buffers[1];
    Array items;
    Array *children[1];
} Lists;

static void
release_lists(Array *array)
{
    Lists *lists = array->private_data;
    array->release = NULL;
    if (lists->items.release != NULL) {
        lists->items.release(&lists->items);
    }
    PyMem_RawFree(lists);
}

static int
fill_array(Array *array, const ExportObject *self)
{
    if (self->list_size == 0) {
        return fill_items(array, self->buffer, self->length);
    }
    Lists *lists = PyMem_RawMalloc(sizeof(Lists));
    if (lists == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (fill_items(&lists->items, self->buffer, self->length * self->list_size) < 0) {
        PyMem_RawFree(lists);
        return -1;
    }
    lists->buffers[0] = NULL;
    lists->children[0] = &lists->items;
    *array = (Array){
        .length = self->length,
        .n_buffers = 1,
        .n_children = 1,
        .buffers = lists->buffers,
        .children = lists->children,
        .release = release_lists,
        .private_data = lists,
    };
    return 0;
}

static void
destroy_schema(PyObject *capsule)
{
    Schema *schema = PyCapsule_GetPointer(capsule, SCHEMA_CAPSULE);
    if (schema->release != NULL) {
        schema->release(schema);
    }
    PyMem_RawFree(schema);
}

static void
destroy_array(PyObject *capsule)
{
    Array *array = PyCapsule_GetPointer(capsule, ARRAY_CAPSULE);
    if (array->release != NULL) {
        array->release(array);
    }
    PyMem_RawFree(array);
}

/*[clinic input]
_xxsubinterpreters.ArrowExport.__arrow_c_schema__

Return a capsule with the type of the array.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_ArrowExport___arrow_c_schema___impl(ExportObject *self)
/*[clinic end generated code: output=cc904401675dacc8 input=a310d18224ea9bd9]*/
{
    Schema *schema = PyMem_RawMalloc(sizeof(Schema));
    if (schema == NULL) {
        return PyErr_NoMemory();
    }
    if (fill_schema(schema, self) < 0) {
        PyMem_RawFree(schema);
        return NULL;
    }
    PyObject *capsule = PyCapsule_New(schema, SCHEMA_CAPSULE, destroy_schema);
    if (capsule == NULL) {
        schema->release(schema);
        PyMem_RawFree(schema);
    }
    return capsule;
}

static PyObject *
array_capsule(const ExportObject *self)
{
    Array *array = PyMem_RawMalloc(sizeof(Array));
    if (array == NULL) {
        return PyErr_NoMemory();
    }
    if (fill_array(array, self) < 0) {
        PyMem_RawFree(array);
        return NULL;
    }
    PyObject *capsule = PyCapsule_New(array, ARRAY_CAPSULE, destroy_array);
    if (capsule == NULL) {
        array->release(array);
        PyMem_RawFree(array);
    }
    return capsule;
}

/*[clinic input]
_xxsubinterpreters.ArrowExport.__arrow_c_array__

    requested_schema: object = None

Return capsules with the type of the array, which is always the same, and the array.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_ArrowExport___arrow_c_array___impl(ExportObject *self,
                                                      PyObject *requested_schema)
/*[clinic end generated code: output=a9277599f8b02da9 input=34efbe2586c37a6b]*/
{
    PyObject *schema = _xxsubinterpreters_ArrowExport___arrow_c_schema___impl(self);
    PyObject *array = schema != NULL ? array_capsule(self) : NULL;
    PyObject *result = array != NULL ? PyTuple_Pack(2, schema, array) : NULL;
    Py_XDECREF(schema);
    Py_XDECREF(array);
    return result;
}

static void
export_dealloc(PyObject *op)
{
    ExportObject *self = (ExportObject *)op;
    PyTypeObject *type = Py_TYPE(self);
    _PySharedBuffer_Free(self->buffer);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The number of items, or of lists, in the memory; -1 with an exception. */
static int64_t
count(_PySharedBuffer *buffer, const Item *item, int64_t list_size)
{
    Py_buffer view;
    _PySharedBuffer_Fill(buffer, &view);
    if (!PyBuffer_IsContiguous(&view, 'C')) {
        PyErr_SetString(PyExc_BufferError, "Arrow needs memory that is C-contiguous");
        return -1;
    }
    if (view.itemsize != item->size) {
        PyErr_Format(PyExc_BufferError, "items of %zd bytes have no Arrow format '%s'",
                     view.itemsize, item->arrow);
        return -1;
    }
    if (list_size < 0 || list_size > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "list_size is out of range");
        return -1;
    }
    int64_t n = view.len / item->size;
    if (list_size == 0) {
        return n;
    }
    if (n % list_size != 0) {
        PyErr_Format(PyExc_ValueError, "%lld items are not lists of %lld", (long long)n,
                     (long long)list_size);
        return -1;
    }
    return n / list_size;
}

/*[clinic input]
_xxsubinterpreters.to_arrow

    view: object
    format: str
    list_size: long_long = 0
    /

Return an object over the same memory for consumers of Arrow's C data interface.

view is any object with the buffer protocol, C-contiguous; its shape is passed over.
format is Arrow's for an item.  With list_size, each so many items are a list.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_to_arrow_impl(PyObject *module, PyObject *view,
                                 const char *format, long long list_size)
/*[clinic end generated code: output=3bb909a6b4950f84 input=956ed5f207ef53d6]*/
{
    _xxsub_state *state = PyModule_GetState(module);
    const Item *item = find_item(format);
    if (item == NULL) {
        return NULL;
    }
    _PySharedBuffer *buffer = _PyBufferView_Export(state, view);
    if (buffer == NULL) {
        return NULL;
    }
    int64_t length = count(buffer, item, list_size);
    ExportObject *self = length >= 0 ? PyObject_New(ExportObject, state->ArrowExport) : NULL;
    if (self == NULL) {
        _PySharedBuffer_Free(buffer);
        return NULL;
    }
    self->buffer = buffer;
    self->format = item->arrow;
    self->length = length;
    self->list_size = list_size;
    _PySharedBuffer_SetHolder(buffer, PyInterpreterState_GetID(PyInterpreterState_Get()));
    return (PyObject *)self;
}

PyDoc_STRVAR(export_doc,
"Memory for consumers of Arrow's C data interface.");

static PyMethodDef export_methods[] = {
    _XXSUBINTERPRETERS_ARROWEXPORT___ARROW_C_SCHEMA___METHODDEF
    _XXSUBINTERPRETERS_ARROWEXPORT___ARROW_C_ARRAY___METHODDEF
    {NULL},
};

static PyType_Slot export_slots[] = {
    {Py_tp_doc, (void *)export_doc},
    {Py_tp_dealloc, export_dealloc},
    {Py_tp_methods, export_methods},
    {0, NULL},
};

PyType_Spec _PyArrowExport_spec = {
    .name = "_xxsubinterpreters.ArrowExport",
    .basicsize = sizeof(ExportObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = export_slots,
};

PyMethodDef _PyArrow_functions[] = {
    _XXSUBINTERPRETERS_FROM_ARROW_METHODDEF
    _XXSUBINTERPRETERS_TO_ARROW_METHODDEF
    {NULL},
};
