/* The memory inside of bytearray and array.array objects.  See objectlayout.h. */

#include "Python.h"
#include "objectlayout.h"
#include "rawmemory.h"

#define AS_BYTEARRAY(obj) ((PyByteArrayObject *)(obj))
#define AS_ARRAY(obj) ((_PyArrayLayout *)(obj))

int
_PyArray_CheckExact(PyObject *obj)
{
    /* Each interpreter has its own, and others cannot have this name: classes made by
       Python code are not immutable, and those of another extension have its name. */
    const PyTypeObject *type = Py_TYPE(obj);
    return type->tp_basicsize == sizeof(_PyArrayLayout)
           && type->tp_flags & Py_TPFLAGS_IMMUTABLETYPE
           && strcmp(type->tp_name, "array.array") == 0;
}

Py_ssize_t
_PyObjectLayout_Exports(PyObject *obj)
{
    return PyByteArray_Check(obj) ? AS_BYTEARRAY(obj)->ob_exports
                                       : AS_ARRAY(obj)->ob_exports;
}

size_t
_PyObjectLayout_Allocated(PyObject *obj)
{
    return PyByteArray_Check(obj)
           ? AS_BYTEARRAY(obj)->ob_alloc
           : (size_t)AS_ARRAY(obj)->allocated * AS_ARRAY(obj)->ob_descr->itemsize;
}

void
_PyObjectLayout_Enlarge(PyObject *obj)
{
    size_t n = _PyRawMemory_LARGEST_SMALL + 1;
    if (!_PyRawMemory_IsGood() || _PyObjectLayout_Exports(obj) > 0
        || _PyObjectLayout_Allocated(obj) >= n)
    {
        return;
    }
    if (PyByteArray_Check(obj)) {
        PyByteArrayObject *self = AS_BYTEARRAY(obj);
        Py_ssize_t offset = self->ob_bytes != NULL ? self->ob_start - self->ob_bytes : 0;
        char *memory = self->ob_bytes != NULL ? PyMem_Realloc(self->ob_bytes, n) : NULL;
        if (memory != NULL) {
            self->ob_bytes = memory;
            self->ob_start = memory + offset;
            self->ob_alloc = n;
        }
    }
    else {
        _PyArrayLayout *self = AS_ARRAY(obj);
        Py_ssize_t items = n / self->ob_descr->itemsize + 1;
        char *memory = self->ob_item != NULL
            ? PyMem_Realloc(self->ob_item, items * self->ob_descr->itemsize) : NULL;
        if (memory != NULL) {
            self->ob_item = memory;
            self->allocated = items;
        }
    }
}

/* Describe what is in the object. */
static void
look(PyObject *obj, _PyAllocation *allocation)
{
    if (PyByteArray_Check(obj)) {
        const PyByteArrayObject *self = AS_BYTEARRAY(obj);
        *allocation = (_PyAllocation){
            .memory = self->ob_bytes,
            .offset = self->ob_bytes != NULL ? self->ob_start - self->ob_bytes : 0,
            .size = Py_SIZE(self),
            .allocated = self->ob_alloc,
            .itemsize = 1,
        };
    }
    else {
        const _PyArrayLayout *self = AS_ARRAY(obj);
        *allocation = (_PyAllocation){
            .memory = self->ob_item,
            .size = Py_SIZE(self),
            .allocated = self->allocated,
            .itemsize = self->ob_descr->itemsize,
            .typecode = self->ob_descr->typecode,
        };
    }
}

/* Put that into the object, which forgets what it had. */
static void
set(PyObject *obj, const _PyAllocation *allocation)
{
    if (PyByteArray_Check(obj)) {
        PyByteArrayObject *self = AS_BYTEARRAY(obj);
        self->ob_bytes = allocation->memory;
        self->ob_start = allocation->memory != NULL
                         ? allocation->memory + allocation->offset : NULL;
        self->ob_alloc = allocation->allocated;
    }
    else {
        _PyArrayLayout *self = AS_ARRAY(obj);
        self->ob_item = allocation->memory;
        self->allocated = allocation->allocated;
    }
    Py_SET_SIZE((PyVarObject *)obj, allocation->size);
}

int
_PyObjectLayout_Take(PyObject *obj, _PyAllocation *allocation)
{
    static const _PyAllocation nothing = {0};
    if (!_PyRawMemory_IsGood()
        || _PyObjectLayout_Allocated(obj) <= _PyRawMemory_LARGEST_SMALL)
    {
        return 0;
    }
    look(obj, allocation);
    set(obj, &nothing);
    _PyRawMemory_Give(allocation->memory);
    return 1;
}

int
_PyObjectLayout_TakeCopy(PyObject *obj, _PyAllocation *allocation)
{
    static const _PyAllocation nothing = {0};
    look(obj, allocation);
    char *old = allocation->memory;
    if (old != NULL) {
        size_t n = (size_t)allocation->allocated * allocation->itemsize;
        allocation->memory = PyMem_RawMalloc(n);
        if (allocation->memory == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        memcpy(allocation->memory, old, n);
        set(obj, &nothing);
        PyMem_Free(old);
    }
    return 0;
}

int
_PyObjectLayout_Put(PyObject *obj, _PyAllocation *allocation)
{
    if (allocation->memory != NULL && _PyRawMemory_IsGood()) {
        _PyRawMemory_Take(allocation->memory);
    }
    else if (allocation->memory != NULL) {
        size_t n = (size_t)allocation->allocated * allocation->itemsize;
        char *memory = PyMem_Malloc(n);
        if (memory == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        memcpy(memory, allocation->memory, n);
        PyMem_RawFree(allocation->memory);
        allocation->memory = memory;
    }
    _PyAllocation old;
    look(obj, &old);
    set(obj, allocation);
    PyMem_Free(old.memory);
    return 0;
}

static PyObject *
new_array(char typecode)
{
    PyObject *module = PyImport_ImportModule("array");
    PyObject *result = module != NULL
                       ? PyObject_CallMethod(module, "array", "C", typecode) : NULL;
    Py_XDECREF(module);
    if (result != NULL
        && (!_PyArray_CheckExact(result) || Py_REFCNT(result) != 1
            || AS_ARRAY(result)->ob_descr->typecode != typecode
            || AS_ARRAY(result)->ob_exports > 0))
    {
        PyErr_SetString(PyExc_TypeError, "array.array() returned something else");
        Py_CLEAR(result);
    }
    return result;
}

PyObject *
_PyObjectLayout_New(_PyAllocation *allocation)
{
    PyObject *obj = allocation->typecode == 0 ? PyByteArray_FromStringAndSize(NULL, 0)
                                              : new_array(allocation->typecode);
    if (obj != NULL && _PyObjectLayout_Put(obj, allocation) < 0) {
        Py_CLEAR(obj);
    }
    return obj;
}
