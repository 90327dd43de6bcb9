#ifndef Py_INTERNAL_LARGEBLOCKS_H
#define Py_INTERNAL_LARGEBLOCKS_H
#ifdef __cplusplus
extern "C" {
#endif

#ifndef Py_BUILD_CORE
#  error "this header requires Py_BUILD_CORE define"
#endif

#include <stdbool.h>
#include <stddef.h>

/* Which blocks too large for its arenas an interpreter has allocated, so that they can be
   freed with the arenas: private copies of extension modules keep objects until the end.

   Adding and removing needs the GIL of the interpreter whose blocks they are; when it has
   ended, the others need none. */
typedef struct _PyLargeBlocks _PyLargeBlocks;

/* A new and empty one, or NULL if out of memory. */
extern _PyLargeBlocks *_PyLargeBlocks_New(void);

/* A block was allocated, by PyMem_RawMalloc().  If there is no memory to keep track of it,
   FreeAll() will not free it. */
extern void _PyLargeBlocks_Add(_PyLargeBlocks *blocks, void *block);

/* It is going to be freed, or becomes another interpreter's.  It need not be known. */
extern void _PyLargeBlocks_Remove(_PyLargeBlocks *blocks, void *block);

/* Free the blocks that are known, and what kept track of them.  Not the blocks if it was noticed
   that one was freed without being removed, which is when its address is added again: then it
   is not clear whose the others are. */
extern void _PyLargeBlocks_FreeAll(_PyLargeBlocks *blocks);

/* Forget them. */
extern void _PyLargeBlocks_Delete(_PyLargeBlocks *blocks);

#ifdef __cplusplus
}
#endif
#endif  /* !Py_INTERNAL_LARGEBLOCKS_H */
