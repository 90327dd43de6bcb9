/* Shared buffers: what an interpreter needs to know to view memory that it
   does not own.

   A shared buffer is a block plus a shape: where in the block the view
   starts, and the item format, shape and strides of PEP 3118.  It has one
   owner and never changes; many shared buffers may refer to one block, which
   lives as long as any of them.

   No function here needs a thread state, and none touches a PyObject: the
   Py_buffer passed in is read, never kept. */

#ifndef Py_XXSUBINTERPRETERS_SHARED_H
#define Py_XXSUBINTERPRETERS_SHARED_H

#include "Python.h"
#include "block.h"

typedef struct _PySharedBuffer _PySharedBuffer;

/* Describe `view`, whose memory lies in `block`.  The result holds a
   reference of its own to the block.  NULL when out of memory. */
extern _PySharedBuffer *_PySharedBuffer_New(_PyBlock *block,
                                            const Py_buffer *view);

/* Give up the buffer and its reference to the block. */
extern void _PySharedBuffer_Free(_PySharedBuffer *buffer);

extern _PyBlock *_PySharedBuffer_Block(const _PySharedBuffer *buffer);

/* Fill in every field of `view` but `obj` and `internal`.  The fields point
   into `buffer`, which must outlive the view. */
extern void _PySharedBuffer_Fill(_PySharedBuffer *buffer, Py_buffer *view);

#endif /* !Py_XXSUBINTERPRETERS_SHARED_H */
