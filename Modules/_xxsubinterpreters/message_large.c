/* Large strings in messages: copied once.

   The sender copies the whole object into raw memory, and the receiver makes that
   memory its object.  Objects larger than what pymalloc has in its arenas are such
   memory anyhow, and are freed as such, whoever allocated them. */

#include "Python.h"
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_obmalloc.h"      // struct _obmalloc_state
#include "pycore_pymem.h"         // _PyMem_GetCurrentAllocatorName()
#include "pycore_pystate.h"       // _PyInterpreterState_GET()
#include "message.h"
#include "message_format.h"

#include <stddef.h>               // offsetof()

/* Is raw memory good for objects?  Allocators that keep books, as for debugging and
   tracemalloc, would not find it there. */
static int
is_raw(int *counted)
{
    const char *name = _PyMem_GetCurrentAllocatorName();
    *counted = name != NULL && strcmp(name, "pymalloc") == 0;
    return *counted || (name != NULL && strcmp(name, "malloc") == 0);
}

static size_t
size_of(PyObject *obj)
{
    if (PyBytes_CheckExact(obj)) {
        return offsetof(PyBytesObject, ob_sval) + PyBytes_GET_SIZE(obj) + 1;
    }
    size_t head = PyUnicode_IS_COMPACT_ASCII(obj) ? sizeof(PyASCIIObject)
                                                  : sizeof(PyCompactUnicodeObject);
    return head + (PyUnicode_GET_LENGTH(obj) + 1) * PyUnicode_KIND(obj);
}

PyObject *
_PyMessage_CopyLarge(PyObject *obj)
{
    int counted;
    if (!is_raw(&counted) || (PyUnicode_CheckExact(obj) && !PyUnicode_IS_COMPACT(obj))) {
        return NULL;
    }
    size_t size = size_of(obj);
    PyObject *copy = PyMem_RawMalloc(size);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, obj, size);
    if (PyUnicode_CheckExact(obj)) {
        PyASCIIObject *str = (PyASCIIObject *)copy;
        str->state.interned = 0;
        str->state.statically_allocated = 0;
        if (!str->state.ascii) {
            ((PyCompactUnicodeObject *)copy)->utf8 = NULL;
            ((PyCompactUnicodeObject *)copy)->utf8_length = 0;
        }
    }
    return copy;
}

PyObject *
_PyMessage_TakeLarge(PyObject *copy)
{
    PyTypeObject *type = Py_TYPE(copy);
    int counted;
    if (!is_raw(&counted)) {        /* any more */
        PyObject *obj = type == &PyBytes_Type
            ? PyBytes_FromStringAndSize(PyBytes_AS_STRING(copy), PyBytes_GET_SIZE(copy))
            : PyUnicode_FromKindAndData(PyUnicode_KIND(copy), PyUnicode_DATA(copy),
                                        PyUnicode_GET_LENGTH(copy));
        PyMem_RawFree(copy);
        return obj;
    }
    if (counted) {
        /* It will be uncounted when it is freed.  Those who share the count share the
           GIL. */
        _PyInterpreterState_GET()->obmalloc->mgmt.raw_allocated_blocks++;
    }
    return PyObject_Init(copy, type);
}
