/* SharedBlock: memory that belongs to no interpreter. */

#ifndef Py_XXSUBINTERPRETERS_SHAREDBLOCK_H
#define Py_XXSUBINTERPRETERS_SHAREDBLOCK_H

#include "Python.h"
#include "moved.h"
#include "shared.h"
#include "state.h"

extern PyType_Spec _PySharedBlock_spec;

/* The memory of a SharedBlock, lent; NULL with an exception if it was moved. */
extern _PySharedBuffer *_PySharedBlock_Buffer(PyObject *self);

/* Return a new SharedBlock over the buffer, which it owns from then on; NULL with an
   exception. */
extern PyObject *_PySharedBlock_New(_xxsub_state *state, _PySharedBuffer *buffer);

/* Take the buffer out of it, which is to be what `moved` says from then on; that is, a new
   reference to it is held.  NULL with an exception, and nothing has changed, if it is in
   use. */
extern _PySharedBuffer *_PySharedBlock_Take(PyObject *self, _PyMoved *moved);

#endif /* !Py_XXSUBINTERPRETERS_SHAREDBLOCK_H */
