/* DLPack: memory that is passed to and from other array libraries. */

#ifndef Py_XXSUBINTERPRETERS_DLPACK_H
#define Py_XXSUBINTERPRETERS_DLPACK_H

#include "Python.h"

extern PyMethodDef _PyDLPack_functions[];
extern PyType_Spec _PyDLPackExport_spec;

#endif /* !Py_XXSUBINTERPRETERS_DLPACK_H */
