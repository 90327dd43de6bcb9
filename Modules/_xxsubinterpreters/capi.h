/* The C API of the module: see Include/interpchannel.h. */

#ifndef Py_XXSUBINTERPRETERS_CAPI_H
#define Py_XXSUBINTERPRETERS_CAPI_H

#include "Python.h"

/* Return a new capsule, or NULL with an exception. */
extern PyObject *_PyCAPI_NewCapsule(void);

#endif /* !Py_XXSUBINTERPRETERS_CAPI_H */
