/* What the module keeps for each interpreter. */

#ifndef Py_XXSUBINTERPRETERS_STATE_H
#define Py_XXSUBINTERPRETERS_STATE_H

#include "Python.h"

typedef struct {
    PyTypeObject *RecvChannel;
    PyTypeObject *SendChannel;
    PyTypeObject *Queue;
    PyTypeObject *Port;
    PyTypeObject *Operation;
    PyTypeObject *BufferView;
    PyTypeObject *Message;

    PyObject *ChannelError;
    PyObject *ChannelClosedError;
    PyObject *ChannelEmptyError;
    PyObject *ChannelFullError;
    PyObject *QueueError;
    PyObject *QueueNotFoundError;
    PyObject *QueueEmpty;
    PyObject *QueueFull;
    PyObject *ItemInterpreterDestroyed;
} _xxsub_state;

extern struct PyModuleDef _xxsubinterpreters_module;

/* Borrowed; the module that made the type. */
static inline _xxsub_state *
_xxsub_state_by_type(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &_xxsubinterpreters_module);
    assert(module != NULL);
    return PyModule_GetState(module);
}

#endif /* !Py_XXSUBINTERPRETERS_STATE_H */
