/* Reference-counted raw memory.

   A block is a span of bytes that belongs to no interpreter: it holds no
   PyObject, any thread may hold a reference to it, attached to an
   interpreter or not, and whoever drops the last reference releases the
   memory.  How it is released depends on where the memory came from, so a
   block that wraps foreign memory carries the function that gives it back.

   Every function here may be called without a thread state. */

#ifndef Py_XXSUBINTERPRETERS_BLOCK_H
#define Py_XXSUBINTERPRETERS_BLOCK_H

#include <stddef.h>

typedef struct _PyBlock _PyBlock;

/* Gives the wrapped memory back.  Called once, by the thread that drops the
   last reference, with no lock of the engine held.  The function may attach
   to an interpreter. */
typedef void (*_PyBlock_ReleaseFunc)(void *arg);

/* Return a new reference to a block over `data`, or NULL when out of memory;
   then `release` is not called and `data` still belongs to the caller.
   `release` may be NULL. */
extern _PyBlock *_PyBlock_Wrap(void *data, size_t size,
                               _PyBlock_ReleaseFunc release, void *arg);

extern void _PyBlock_Incref(_PyBlock *block);
extern void _PyBlock_Decref(_PyBlock *block);

/* Never call the release function.  The caller has the only reference that
   others may come to use. */
extern void _PyBlock_Disarm(_PyBlock *block);

extern void *_PyBlock_Data(const _PyBlock *block);
extern size_t _PyBlock_Size(const _PyBlock *block);

#endif /* !Py_XXSUBINTERPRETERS_BLOCK_H */
