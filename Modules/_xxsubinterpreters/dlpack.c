/* DLPack: memory that is passed to and from other array libraries, on the CPU.

   The structs are those of the DLPack specification, versions 0 (a capsule named
   "dltensor") and 1 ("dltensor_versioned").  Whoever takes the tensor out of a capsule
   renames the capsule, and calls the tensor's deleter when the memory is not used any
   more.  In both directions the memory is a shared buffer in between: so a tensor that
   came here may be viewed by other interpreters, with its deleter called in the one where
   it came, and one that was made here may be deleted by any thread. */

#include "Python.h"
#include "bufferview.h"
#include "dlpack.h"
#include "interp.h"
#include "shared.h"
#include "state.h"

enum { DEVICE_CPU = 1 };

enum { KIND_INT = 0, KIND_UINT = 1, KIND_FLOAT = 2, KIND_COMPLEX = 5, KIND_BOOL = 6 };

enum { VERSION_MAJOR = 1, VERSION_MINOR = 0 };

#define FLAG_READ_ONLY UINT64_C(1)

typedef struct {
    int32_t type;
    int32_t id;
} Device;

typedef struct {
    uint8_t kind;
    uint8_t bits;
    uint16_t lanes;
} DataType;

typedef struct {
    void *data;
    Device device;
    int32_t ndim;
    DataType dtype;
    int64_t *shape;
    int64_t *strides;               /* in items; NULL for C order */
    uint64_t byte_offset;
} Tensor;

typedef struct Managed {
    Tensor tensor;
    void *context;
    void (*deleter)(struct Managed *);
} Managed;

typedef struct Versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct Versioned *);
    uint64_t flags;
    Tensor tensor;
} Versioned;

/*[clinic input]
module _xxsubinterpreters
class _xxsubinterpreters.DLPackExport "ExportObject *" "clinic_state()->DLPackExport"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=4d6f6fbeefbf7eee]*/

typedef struct {
    PyObject_HEAD
    _PySharedBuffer *buffer;        /* owned */
} ExportObject;

#define clinic_state() ((_xxsub_state *)PyModule_GetState(module))
#include "clinic/dlpack.c.h"
#undef clinic_state


/* --- data types ----------------------------------------------------------- */

static const struct {
    DataType dtype;
    const char *format;
} formats[] = {
    {{KIND_INT, 8, 1}, "b"},
    {{KIND_INT, 16, 1}, "h"},
    {{KIND_INT, 32, 1}, "i"},
    {{KIND_INT, 64, 1}, "q"},
    {{KIND_UINT, 8, 1}, "B"},
    {{KIND_UINT, 16, 1}, "H"},
    {{KIND_UINT, 32, 1}, "I"},
    {{KIND_UINT, 64, 1}, "Q"},
    {{KIND_FLOAT, 16, 1}, "e"},
    {{KIND_FLOAT, 32, 1}, "f"},
    {{KIND_FLOAT, 64, 1}, "d"},
    {{KIND_COMPLEX, 64, 1}, "Zf"},
    {{KIND_COMPLEX, 128, 1}, "Zd"},
    {{KIND_BOOL, 8, 1}, "?"},
};

static const char *
format_of(DataType dtype)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(formats); i++) {
        DataType known = formats[i].dtype;
        if (dtype.kind == known.kind && dtype.bits == known.bits
            && dtype.lanes == known.lanes)
        {
            return formats[i].format;
        }
    }
    PyErr_Format(PyExc_BufferError, "no format for the data type (%d, %d bits, %d lanes)",
                 dtype.kind, dtype.bits, dtype.lanes);
    return NULL;
}

/* Return 0, or -1 with an exception if there is no such data type. */
static int
dtype_of(const Py_buffer *view, DataType *dtype)
{
    const char *format = view->format;
    if (*format == '@' || *format == '=' || *format == (PY_LITTLE_ENDIAN ? '<' : '>')) {
        format++;
    }
    /* The size of these is that of the items. */
    const char *same = strcmp(format, "l") == 0 || strcmp(format, "n") == 0 ? "q"
                       : strcmp(format, "L") == 0 || strcmp(format, "N") == 0 ? "Q"
                       : format;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(formats); i++) {
        DataType known = formats[i].dtype;
        if (strcmp(same, formats[i].format) == 0) {
            if (same != format) {
                known.bits = (uint8_t)(view->itemsize * 8);
            }
            if (known.bits == view->itemsize * 8) {
                *dtype = known;
                return 0;
            }
        }
    }
    PyErr_Format(PyExc_BufferError, "DLPack has no data type for format '%s'",
                 view->format);
    return -1;
}


/* --- from others ---------------------------------------------------------- */

/* A tensor that was taken out of its capsule, one of the two kinds. */
typedef struct {
    _PyInterp_Pinned pinned;        /* where its deleter is to be called */
    Managed *managed;
    Versioned *versioned;
} Import;

static void
delete_tensor(_PyInterp_Pinned *pinned)
{
    Import *import = _Py_CONTAINER_OF(pinned, Import, pinned);
    if (import->versioned != NULL) {
        if (import->versioned->deleter != NULL) {
            import->versioned->deleter(import->versioned);
        }
    }
    else if (import->managed->deleter != NULL) {
        import->managed->deleter(import->managed);
    }
}

static void
free_import(_PyInterp_Pinned *pinned)
{
    PyMem_RawFree(_Py_CONTAINER_OF(pinned, Import, pinned));
}

/* The release function of the block over the tensor's memory. */
static void
unpin(void *arg)
{
    Import *import = arg;
    _PyInterp_Unpin(&import->pinned);
}

static int
fill_shape(const Tensor *tensor, Py_buffer *view, Py_ssize_t *shape,
           Py_ssize_t *strides)
{
    Py_ssize_t len = view->itemsize;
    for (int i = tensor->ndim - 1; i >= 0; i--) {
        int64_t n = tensor->shape[i];
        int64_t stride = tensor->strides != NULL ? tensor->strides[i] : 0;
        if (n < 0 || (n > 0 && len > PY_SSIZE_T_MAX / n)
            || stride > PY_SSIZE_T_MAX / view->itemsize
            || stride < PY_SSIZE_T_MIN / view->itemsize)
        {
            PyErr_SetString(PyExc_ValueError, "the tensor has no valid shape");
            return -1;
        }
        shape[i] = n;
        strides[i] = tensor->strides != NULL ? stride * view->itemsize : len;
        len *= n;
    }
    view->len = len;
    return 0;
}

/* Describe the tensor; fields of the view refer to `shape` and `strides`, which have
   room for PyBUF_MAX_NDIM numbers. */
static int
describe(const Tensor *tensor, int readonly, Py_buffer *view, Py_ssize_t *shape,
         Py_ssize_t *strides)
{
    if (tensor->device.type != DEVICE_CPU) {
        PyErr_SetString(PyExc_BufferError, "the tensor is not in memory of the CPU");
        return -1;
    }
    if (tensor->ndim < 0 || tensor->ndim > PyBUF_MAX_NDIM
        || (tensor->ndim > 0 && tensor->shape == NULL))
    {
        PyErr_SetString(PyExc_ValueError, "the tensor has no valid shape");
        return -1;
    }
    const char *format = format_of(tensor->dtype);
    if (format == NULL) {
        return -1;
    }
    static char nothing;            /* where memory of no size may be said to be */
    *view = (Py_buffer){
        .buf = tensor->data != NULL ? (char *)tensor->data + tensor->byte_offset
                                    : &nothing,
        .itemsize = tensor->dtype.bits / 8,
        .readonly = readonly,
        .ndim = tensor->ndim,
        .format = (char *)format,
        .shape = shape,
        .strides = strides,
    };
    if (fill_shape(tensor, view, shape, strides) < 0) {
        return -1;
    }
    if (tensor->data == NULL && view->len > 0) {
        PyErr_SetString(PyExc_ValueError, "the tensor has no memory");
        return -1;
    }
    return 0;
}

/* Take the tensor, with `view` over its memory, out of the capsule.  On failure it stays
   the capsule's, or was deleted. */
static PyObject *
take(_xxsub_state *state, PyObject *capsule, Managed *managed, Versioned *versioned,
     const Py_buffer *view)
{
    Import *import = PyMem_RawMalloc(sizeof(Import));
    if (import == NULL) {
        return PyErr_NoMemory();
    }
    *import = (Import){
        .pinned = {.release = delete_tensor, .free = free_import},
        .managed = managed,
        .versioned = versioned,
    };
    if (_PyInterp_Pin(&import->pinned) < 0) {
        PyMem_RawFree(import);
        return NULL;
    }
    /* Fails only for what is no capsule. */
    (void)PyCapsule_SetName(capsule, versioned != NULL ? "used_dltensor_versioned"
                                                       : "used_dltensor");
    _PyBlock *block = _PyBlock_Wrap(view->buf, view->len, unpin, import);
    if (block == NULL) {
        unpin(import);
        return PyErr_NoMemory();
    }
    _PyBlock_Describe(block, "DLPack tensor", import->pinned.id);
    _PySharedBuffer *buffer = _PySharedBuffer_New(block, view);
    _PyBlock_Decref(block);
    if (buffer == NULL) {
        return PyErr_NoMemory();
    }
    return _PyBufferView_NewMemoryView(state, buffer);
}

static PyObject *
take_from_capsule(_xxsub_state *state, PyObject *capsule)
{
    Managed *managed = NULL;
    Versioned *versioned = NULL;
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        versioned = PyCapsule_GetPointer(capsule, "dltensor_versioned");
        if (versioned->major != VERSION_MAJOR) {
            return PyErr_Format(PyExc_BufferError, "DLPack version %u is not supported",
                                (unsigned int)versioned->major);
        }
    }
    else if (PyCapsule_IsValid(capsule, "dltensor")) {
        managed = PyCapsule_GetPointer(capsule, "dltensor");
    }
    else {
        PyErr_SetString(PyExc_TypeError, "__dlpack__() must return a capsule with a "
                        "tensor that was not taken before");
        return NULL;
    }
    Py_buffer view;
    Py_ssize_t shape[PyBUF_MAX_NDIM], strides[PyBUF_MAX_NDIM];
    int readonly = versioned != NULL && (versioned->flags & FLAG_READ_ONLY);
    if (describe(versioned != NULL ? &versioned->tensor : &managed->tensor, readonly,
                 &view, shape, strides) < 0)
    {
        return NULL;
    }
    return take(state, capsule, managed, versioned, &view);
}

/* Return 0 if the object is in memory of the CPU, else -1 with an exception. */
static int
check_device(PyObject *obj)
{
    PyObject *device = PyObject_CallMethod(obj, "__dlpack_device__", NULL);
    if (device == NULL) {
        return -1;
    }
    int type, id;
    int r = PyTuple_Check(device) && PyArg_ParseTuple(device, "ii", &type, &id) ? 0 : -1;
    if (r < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "__dlpack_device__() must return a tuple");
    }
    Py_DECREF(device);
    if (r == 0 && type != DEVICE_CPU) {
        PyErr_SetString(PyExc_BufferError, "the object is not in memory of the CPU");
        return -1;
    }
    return r;
}

/* Return a new reference to what __dlpack__() returned.  Older ones know no versions. */
static PyObject *
get_capsule(PyObject *obj)
{
    PyObject *method = PyObject_GetAttrString(obj, "__dlpack__");
    if (method == NULL) {
        return NULL;
    }
    PyObject *capsule = NULL;
    PyObject *args = PyTuple_New(0);
    PyObject *kwargs = Py_BuildValue("{s(ii)}", "max_version", VERSION_MAJOR,
                                     VERSION_MINOR);
    if (args != NULL && kwargs != NULL) {
        capsule = PyObject_Call(method, args, kwargs);
        if (capsule == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            capsule = PyObject_CallNoArgs(method);
        }
    }
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    Py_DECREF(method);
    return capsule;
}

/*[clinic input]
_xxsubinterpreters.from_dlpack

    obj: object
    /

Return a memoryview of the memory of an array of another library.

obj has the methods __dlpack__() and __dlpack_device__(), and its memory is that
of the CPU, else BufferError.  Nothing is copied; the array is kept until the last
view, in any interpreter, is released.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_from_dlpack(PyObject *module, PyObject *obj)
/*[clinic end generated code: output=c048e87d7bd7fee6 input=f9b79845153d9c13]*/
{
    if (check_device(obj) < 0) {
        return NULL;
    }
    PyObject *capsule = get_capsule(obj);
    if (capsule == NULL) {
        return NULL;
    }
    PyObject *result = take_from_capsule(PyModule_GetState(module), capsule);
    Py_DECREF(capsule);             /* deletes a tensor that is still in it */
    return result;
}


/* --- to others ------------------------------------------------------------ */

/* A tensor made here, in raw memory; shape and strides follow. */
typedef struct {
    union {
        Managed managed;
        Versioned versioned;
    };
    _PySharedBuffer *buffer;        /* owned */
    int64_t numbers[];
} Export;

static void
free_export(Export *export)
{
    _PySharedBuffer_Free(export->buffer);
    PyMem_RawFree(export);
}

/* Consumers may call these without a thread state. */
static void
delete_managed(Managed *managed)
{
    free_export(managed->context);
}

static void
delete_versioned(Versioned *versioned)
{
    free_export(versioned->context);
}

static void
destroy_capsule(PyObject *capsule)
{
    if (PyCapsule_IsValid(capsule, "dltensor")) {
        Managed *managed = PyCapsule_GetPointer(capsule, "dltensor");
        managed->deleter(managed);
    }
    else if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        Versioned *versioned = PyCapsule_GetPointer(capsule, "dltensor_versioned");
        versioned->deleter(versioned);
    }
}

/* `numbers` has room for shape and strides. */
static int
fill_tensor(Tensor *tensor, const Py_buffer *view, int64_t *numbers)
{
    *tensor = (Tensor){
        .data = view->buf,
        .device = {DEVICE_CPU, 0},
        .ndim = view->ndim,
        .shape = numbers,
        .strides = numbers + view->ndim,
    };
    if (view->suboffsets != NULL) {
        PyErr_SetString(PyExc_BufferError, "DLPack has no suboffsets");
        return -1;
    }
    if (dtype_of(view, &tensor->dtype) < 0) {
        return -1;
    }
    if (view->itemsize <= 0) {
        PyErr_SetString(PyExc_BufferError, "DLPack has no items of no size");
        return -1;
    }
    for (int i = 0; i < view->ndim; i++) {
        if (view->strides[i] % view->itemsize != 0) {
            PyErr_SetString(PyExc_BufferError,
                            "DLPack needs strides that are multiples of the item size");
            return -1;
        }
        tensor->shape[i] = view->shape[i];
        tensor->strides[i] = view->strides[i] / view->itemsize;
    }
    return 0;
}

static int64_t
current_id(void)
{
    return PyInterpreterState_GetID(PyInterpreterState_Get());
}

/* Return a new capsule with a tensor over the memory, which stays the caller's. */
static PyObject *
make_capsule(_PySharedBuffer *buffer, int with_version)
{
    Py_buffer view;
    _PySharedBuffer_Fill(buffer, &view);
    if (view.readonly && !with_version) {
        PyErr_SetString(PyExc_BufferError,
                        "read-only memory needs a consumer of DLPack 1.0 or later");
        return NULL;
    }
    Export *export = PyMem_RawCalloc(1, sizeof(Export)
                                        + 2 * view.ndim * sizeof(int64_t));
    if (export == NULL) {
        return PyErr_NoMemory();
    }
    Tensor *tensor;
    if (with_version) {
        export->versioned = (Versioned){
            .major = VERSION_MAJOR,
            .minor = VERSION_MINOR,
            .context = export,
            .deleter = delete_versioned,
            .flags = view.readonly ? FLAG_READ_ONLY : 0,
        };
        tensor = &export->versioned.tensor;
    }
    else {
        export->managed = (Managed){.context = export, .deleter = delete_managed};
        tensor = &export->managed.tensor;
    }
    if (fill_tensor(tensor, &view, export->numbers) < 0) {
        PyMem_RawFree(export);
        return NULL;
    }
    export->buffer = _PySharedBuffer_New(_PySharedBuffer_Block(buffer), &view);
    if (export->buffer == NULL) {
        PyMem_RawFree(export);
        return PyErr_NoMemory();
    }
    _PySharedBuffer_SetHolder(export->buffer, current_id());
    PyObject *capsule = PyCapsule_New(export, with_version ? "dltensor_versioned"
                                                           : "dltensor",
                                      destroy_capsule);
    if (capsule == NULL) {
        free_export(export);
    }
    return capsule;
}

/* Read a tuple of two integers. */
static int
parse_pair(PyObject *obj, const char *name, int *first, int *second)
{
    if (!PyTuple_Check(obj)) {
        PyErr_Format(PyExc_TypeError, "%s must be a tuple of two integers", name);
        return -1;
    }
    return PyArg_ParseTuple(obj, "ii", first, second) ? 0 : -1;
}

/*[clinic input]
_xxsubinterpreters.DLPackExport.__dlpack__

    *
    stream: object = None
    max_version: object = None
    dl_device: object = None
    copy: object = None

Return a capsule with a tensor over the memory.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_DLPackExport___dlpack___impl(ExportObject *self,
                                                PyObject *stream,
                                                PyObject *max_version,
                                                PyObject *dl_device,
                                                PyObject *copy)
/*[clinic end generated code: output=8e266102b5eea70f input=bc0f8de8d4a11e12]*/
{
    int first, second, with_version = 0;
    if (stream != Py_None) {
        PyErr_SetString(PyExc_ValueError, "stream must be None for memory of the CPU");
        return NULL;
    }
    if (dl_device != Py_None) {
        if (parse_pair(dl_device, "dl_device", &first, &second) < 0) {
            return NULL;
        }
        if (first != DEVICE_CPU || second != 0) {
            PyErr_SetString(PyExc_BufferError, "the memory is that of the CPU");
            return NULL;
        }
    }
    if (max_version != Py_None) {
        if (parse_pair(max_version, "max_version", &first, &second) < 0) {
            return NULL;
        }
        with_version = first >= VERSION_MAJOR;
    }
    int copies = PyObject_IsTrue(copy);
    if (copies != 0) {
        if (copies > 0) {
            PyErr_SetString(PyExc_BufferError, "the memory is shared, not copied");
        }
        return NULL;
    }
    return make_capsule(self->buffer, with_version);
}

/*[clinic input]
_xxsubinterpreters.DLPackExport.__dlpack_device__

Return (1, 0), which stands for the CPU.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_DLPackExport___dlpack_device___impl(ExportObject *self)
/*[clinic end generated code: output=d88d8a77f2ee85da input=44780a7cf0dde977]*/
{
    return Py_BuildValue("(ii)", DEVICE_CPU, 0);
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

/*[clinic input]
_xxsubinterpreters.to_dlpack

    view: object
    /

Return an object over the same memory for other libraries' from_dlpack().

view is any object with the buffer protocol; its items must be booleans, or
integers, floats or complex numbers in native byte order.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_to_dlpack(PyObject *module, PyObject *view)
/*[clinic end generated code: output=fea675ca0fd9efd9 input=3fa262688ff93ec8]*/
{
    _xxsub_state *state = PyModule_GetState(module);
    _PySharedBuffer *buffer = _PyBufferView_Export(state, view);
    if (buffer == NULL) {
        return NULL;
    }
    ExportObject *self = PyObject_New(ExportObject, state->DLPackExport);
    if (self == NULL) {
        _PySharedBuffer_Free(buffer);
        return NULL;
    }
    self->buffer = buffer;
    _PySharedBuffer_SetHolder(buffer, current_id());
    return (PyObject *)self;
}

PyDoc_STRVAR(export_doc,
"Memory for other libraries' from_dlpack(); see interpreters.to_dlpack().");

static PyMethodDef export_methods[] = {
    _XXSUBINTERPRETERS_DLPACKEXPORT___DLPACK___METHODDEF
    _XXSUBINTERPRETERS_DLPACKEXPORT___DLPACK_DEVICE___METHODDEF
    {NULL},
};

static PyType_Slot export_slots[] = {
    {Py_tp_doc, (void *)export_doc},
    {Py_tp_dealloc, export_dealloc},
    {Py_tp_methods, export_methods},
    {0, NULL},
};

PyType_Spec _PyDLPackExport_spec = {
    .name = "_xxsubinterpreters.DLPackExport",
    .basicsize = sizeof(ExportObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = export_slots,
};

PyMethodDef _PyDLPack_functions[] = {
    _XXSUBINTERPRETERS_FROM_DLPACK_METHODDEF
    _XXSUBINTERPRETERS_TO_DLPACK_METHODDEF
    {NULL},
};
