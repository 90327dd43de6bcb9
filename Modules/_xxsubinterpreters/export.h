/* Exports: memory of Python objects that other interpreters use.

   The object is pinned in its interpreter: it stays, and its buffer is held, until the
   block over it dies.  An interpreter that is closed meanwhile leaves behind the memory of
   bytes, bytearray and array.array objects; for any other it stays as a zombie. */

#ifndef Py_XXSUBINTERPRETERS_EXPORT_H
#define Py_XXSUBINTERPRETERS_EXPORT_H

#include "Python.h"
#include "shared.h"

/* To be called when the module is initialized. */
extern void _PyExport_Init(void);

/* Describe the memory under `memoryview`, for others.  Return a buffer owned by the caller,
   or NULL with an exception.  Needs an attached thread state. */
extern _PySharedBuffer *_PyExport_New(PyObject *memoryview);

#endif /* !Py_XXSUBINTERPRETERS_EXPORT_H */
