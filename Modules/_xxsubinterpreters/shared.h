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

/* The interpreter that views it; -1, as in the beginning, while it is in a message. */
extern void _PySharedBuffer_SetHolder(_PySharedBuffer *buffer, int64_t holder);

/* Fill in every field of `view` but `obj` and `internal`.  The fields point
   into `buffer`, which must outlive the view. */
extern void _PySharedBuffer_Fill(_PySharedBuffer *buffer, Py_buffer *view);

/* What is shared now.  Blocks are told apart by their address, which may be used again
   when all buffers over it are gone. */
typedef struct {
    const void *block;
    char kind[_PyBlock_KIND_SIZE];
    int64_t owner;                  /* as in block.h */
    size_t size;                    /* bytes of the block */
    int64_t holder;
} _PySharedBuffer_Info;

/* Describe up to `size` of all buffers, oldest first; return how many there are. */
extern Py_ssize_t _PySharedBuffer_List(_PySharedBuffer_Info *infos, Py_ssize_t size);

/* Around a fork.  In the child the buffers of threads that are gone stay listed. */
extern void _PySharedBuffer_BeforeFork(void);
extern void _PySharedBuffer_AfterForkParent(void);
extern void _PySharedBuffer_AfterForkChild(void);

#endif /* !Py_XXSUBINTERPRETERS_SHARED_H */
