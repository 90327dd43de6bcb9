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

/* Borrowed; of the module that made the type, which is one of ours.  They have no
   subclasses. */
static inline _xxsub_state *
_xxsub_state_by_type(PyTypeObject *type)
{
    _xxsub_state *state = PyType_GetModuleState(type);
    assert(state != NULL);
    return state;
}

#endif /* !Py_XXSUBINTERPRETERS_STATE_H */
