/* RecvChannel and SendChannel: the Python objects over channel ends. */

#ifndef Py_XXSUBINTERPRETERS_CHANNELOBJECT_H
#define Py_XXSUBINTERPRETERS_CHANNELOBJECT_H

#include "Python.h"
#include "channel.h"
#include "state.h"

extern PyType_Spec _PyRecvChannel_spec;
extern PyType_Spec _PySendChannel_spec;

/* Return a new RecvChannel or SendChannel, which owns `end` from then on, also
   if this fails.  NULL with an exception on failure. */
extern PyObject *_PyChannelObject_New(_xxsub_state *state, _PyChannelEnd *end);

/* Return another open end like that of `obj`, owned by the caller, or NULL
   with an exception. */
extern _PyChannelEnd *_PyChannelObject_CloneEnd(_xxsub_state *state,
                                                PyObject *obj);

/* Lent, as long as the object lives. */
extern _PyChannelEnd *_PyChannelObject_End(PyObject *obj);

/* Set the exception for how an operation ended, other than OK. */
extern void _PyChannelObject_RaiseStatus(_xxsub_state *state,
                                         const _PyChannelOp *op,
                                         _PyChannel_Status status);

#endif /* !Py_XXSUBINTERPRETERS_CHANNELOBJECT_H */
