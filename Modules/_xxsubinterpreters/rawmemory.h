/* Memory of objects that changes hands between interpreters.

   What pymalloc does not keep in its arenas, which belong to interpreters, comes from
   PyMem_RawMalloc(), and can be freed by any interpreter, or by nobody's thread.  But the
   interpreter counts it, and allocators for debugging keep books of their own. */

#ifndef Py_XXSUBINTERPRETERS_RAWMEMORY_H
#define Py_XXSUBINTERPRETERS_RAWMEMORY_H

#include "Python.h"

/* What is larger is not in an arena. */
#define _PyRawMemory_LARGEST_SMALL 512

/* True if raw memory can be used as that of PyMem_Malloc() and PyObject_Malloc(), and,
   above that size, the other way round. */
extern int _PyRawMemory_IsGood(void);

/* An allocation becomes the current interpreter's, or is not its any more.  Only where it
   is good. */
extern void _PyRawMemory_Take(void *memory);
extern void _PyRawMemory_Give(void *memory);

#endif /* !Py_XXSUBINTERPRETERS_RAWMEMORY_H */
