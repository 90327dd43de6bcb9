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
#include <stdint.h>

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

/* Return a new reference to a block of zeros, aligned to so many bytes; NULL when out of
   memory.  Large ones get their memory from the kernel, page by page when it is used;
   `huge` asks for huge pages. */
#define _PyBlock_ALIGNMENT 64
extern _PyBlock *_PyBlock_New(size_t size, int huge);

/* Say, for people, what the memory is of, and whose, the id of an interpreter, -1 for
   nobody's.  Only by whoever made the block, before others know it; `kind` is copied,
   and cut if it is long. */
#define _PyBlock_KIND_SIZE 32
extern void _PyBlock_Describe(_PyBlock *block, const char *kind, int64_t owner);
extern const char *_PyBlock_Kind(const _PyBlock *block);
extern int64_t _PyBlock_Owner(const _PyBlock *block);

extern void _PyBlock_Incref(_PyBlock *block);
extern void _PyBlock_Decref(_PyBlock *block);

/* Never call the release function.  The caller has the only reference that
   others may come to use. */
extern void _PyBlock_Disarm(_PyBlock *block);

extern void *_PyBlock_Data(const _PyBlock *block);
extern size_t _PyBlock_Size(const _PyBlock *block);

#endif /* !Py_XXSUBINTERPRETERS_BLOCK_H */
