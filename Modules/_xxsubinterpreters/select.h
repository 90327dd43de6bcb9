/* select(): the first of several sends and receives. */

#ifndef Py_XXSUBINTERPRETERS_SELECT_H
#define Py_XXSUBINTERPRETERS_SELECT_H

#include "Python.h"
#include "state.h"

/* Do one of the cases, each a RecvChannel to receive from, or a tuple
   (SendChannel, obj).  Return a new tuple (index, what was received or None).
   If none can be done: with `block` wait, until the timeout (seconds, or None);
   else return NULL without an exception.  A case whose channel is closed
   raises ChannelClosedError, with the attributes `case` and `index`. */
extern PyObject *_PySelect_Run(_xxsub_state *state, PyObject *cases, int block,
                               PyObject *timeout);

#endif /* !Py_XXSUBINTERPRETERS_SELECT_H */
