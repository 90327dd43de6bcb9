/* Atomic operations on the elements of buffers, as functions of the module. */

#ifndef Py_XXSUBINTERPRETERS_ATOMICVIEW_H
#define Py_XXSUBINTERPRETERS_ATOMICVIEW_H

#include "Python.h"

extern PyMethodDef _PyAtomicView_functions[];

#endif /* !Py_XXSUBINTERPRETERS_ATOMICVIEW_H */
