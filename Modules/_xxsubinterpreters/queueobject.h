/* Queue: the interface of queue.Queue over a channel. */

#ifndef Py_XXSUBINTERPRETERS_QUEUEOBJECT_H
#define Py_XXSUBINTERPRETERS_QUEUEOBJECT_H

#include "Python.h"
#include "channel.h"
#include "state.h"

extern PyType_Spec _PyQueue_spec;

/* What is to become of an item whose interpreter has ended. */
typedef enum {
    _PyQueue_KEEP = 0,
    _PyQueue_REMOVE = 1,
    _PyQueue_ERROR = 2,
    _PyQueue_REPLACE = 3,
} _PyQueue_Unbound;

/* To be called once in every interpreter. */
extern void _PyQueueObject_Init(void);

/* Return a new Queue, which owns `end` from then on, also if this fails.  NULL
   with an exception on failure.  The tag of a queue is a _PyQueue_Unbound. */
extern PyObject *_PyQueueObject_New(_xxsub_state *state, _PyChannelEnd *end);

/* Return another end of the queue, owned by the caller, or NULL with an
   exception. */
extern _PyChannelEnd *_PyQueueObject_CloneEnd(PyObject *obj);

#endif /* !Py_XXSUBINTERPRETERS_QUEUEOBJECT_H */
