/* The memory inside of bytearray and array.array objects, which changes hands without
   being copied.

   All functions need an attached thread state; `obj` is an object of exactly one of these
   types, or what is left of one, see moved.h. */

#ifndef Py_XXSUBINTERPRETERS_OBJECTLAYOUT_H
#define Py_XXSUBINTERPRETERS_OBJECTLAYOUT_H

#include "Python.h"

/* The inside of an array.array, as in Modules/arraymodule.c, which has no header. */
typedef struct {
    PyObject_VAR_HEAD
    char *ob_item;
    Py_ssize_t allocated;
    const struct {
        char typecode;
        int itemsize;
    } *ob_descr;
    PyObject *weakreflist;
    Py_ssize_t ob_exports;
} _PyArrayLayout;

extern int _PyArray_CheckExact(PyObject *obj);

static inline int
_PyObjectLayout_Supports(PyObject *obj)
{
    return PyByteArray_CheckExact(obj) || _PyArray_CheckExact(obj);
}

/* What was inside of such an object. */
typedef struct {
    char *memory;                   /* from PyMem_RawMalloc(); NULL if it was empty */
    Py_ssize_t offset;              /* of the first item, in bytes */
    Py_ssize_t size;                /* items */
    Py_ssize_t allocated;           /* items that there is room for */
    Py_ssize_t itemsize;
    char typecode;                  /* as of the module array; 0 for a bytearray */
} _PyAllocation;

/* How many buffers are in use. */
extern Py_ssize_t _PyObjectLayout_Exports(PyObject *obj);

/* How large its memory is, in bytes. */
extern size_t _PyObjectLayout_Allocated(PyObject *obj);

/* Move memory that is small, and nobody's buffer, to where it can be taken from.  Does
   nothing if it cannot. */
extern void _PyObjectLayout_Enlarge(PyObject *obj);

/* Take out the memory; the object is empty then.  False if it is not good for that, see
   rawmemory.h; then nothing has changed. */
extern int _PyObjectLayout_Take(PyObject *obj, _PyAllocation *allocation);

/* The same with a copy.  -1 with an exception when out of memory. */
extern int _PyObjectLayout_TakeCopy(PyObject *obj, _PyAllocation *allocation);

/* The opposite: replace what is in the object, which owns the allocation then.  -1 with an
   exception, and nothing has changed, when out of memory. */
extern int _PyObjectLayout_Put(PyObject *obj, _PyAllocation *allocation);

/* A new object for an allocation, which it takes over; NULL with an exception. */
extern PyObject *_PyObjectLayout_New(_PyAllocation *allocation);

#endif /* !Py_XXSUBINTERPRETERS_OBJECTLAYOUT_H */
