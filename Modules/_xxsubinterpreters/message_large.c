/* Large strings in messages: copied once.

   The sender copies the whole object into raw memory, and the receiver makes that
   memory its object: see rawmemory.h. */

#include "Python.h"
#include "message.h"
#include "message_format.h"
#include "rawmemory.h"

#include <stddef.h>               // offsetof()

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
    if (!_PyRawMemory_IsGood() || (PyUnicode_CheckExact(obj) && !PyUnicode_IS_COMPACT(obj))) {
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
    if (!_PyRawMemory_IsGood()) {   /* any more */
        PyObject *obj = type == &PyBytes_Type
            ? PyBytes_FromStringAndSize(PyBytes_AS_STRING(copy), PyBytes_GET_SIZE(copy))
            : PyUnicode_FromKindAndData(PyUnicode_KIND(copy), PyUnicode_DATA(copy),
                                        PyUnicode_GET_LENGTH(copy));
        PyMem_RawFree(copy);
        return obj;
    }
    _PyRawMemory_Take(copy);
    return PyObject_Init(copy, type);
}
