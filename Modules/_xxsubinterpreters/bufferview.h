/* BufferView: the object under a memoryview of shared memory.

   It exports the memory of a shared buffer in the interpreter that received
   it, and gives up its share of it when it dies. */

#ifndef Py_XXSUBINTERPRETERS_BUFFERVIEW_H
#define Py_XXSUBINTERPRETERS_BUFFERVIEW_H

#include "Python.h"
#include "shared.h"
#include "state.h"

extern PyType_Spec _PyBufferView_spec;

/* Return a new memoryview of `buffer`, which it owns from then on, also if
   this fails.  NULL with an exception on failure. */
extern PyObject *_PyBufferView_NewMemoryView(_xxsub_state *state,
                                             _PySharedBuffer *buffer);

/* A new memoryview of an object.  Its memory is one that can be detached, if possible. */
extern PyObject *_PyBufferView_Of(PyObject *obj);

/* Describe the memory of `obj`, usually a memoryview, for others; the memory is pinned in
   its interpreter, or, if it is shared memory already, shared once more.  Return a
   shared buffer owned by the caller, or NULL with an exception. */
extern _PySharedBuffer *_PyBufferView_Export(_xxsub_state *state, PyObject *obj);

#endif /* !Py_XXSUBINTERPRETERS_BUFFERVIEW_H */
