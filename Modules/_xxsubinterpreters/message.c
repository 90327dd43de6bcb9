/* Messages: what is neither encoding nor decoding.  See message.h. */

#include "Python.h"
#include "message.h"
#include "message_format.h"

#include <stddef.h>               // offsetof()

void
_PyMessage_Free(_PyMessage *message)
{
    for (size_t i = 0; i < message->n_handles; i++) {
        struct handle *handle = &message->handles[i];
        if (handle->ptr != NULL) {
            handle->release(handle->ptr);
        }
    }
    PyMem_RawFree(message->handles);
    if (message->data != message->small) {
        PyMem_RawFree(message->data);
    }
    PyMem_RawFree(message);
}

PyObject *
_PyMessage_SplitName(PyObject *qualname)
{
    PyObject *dot = PyUnicode_FromString(".");
    PyObject *names = dot != NULL ? PyUnicode_Split(qualname, dot, -1) : NULL;
    Py_XDECREF(dot);
    return names;
}

_PyChannelItem *
_PyMessage_AsItem(_PyMessage *message)
{
    return &message->item;
}

_PyMessage *
_PyMessage_FromItem(_PyChannelItem *item)
{
    return _Py_CONTAINER_OF(item, _PyMessage, item);
}
