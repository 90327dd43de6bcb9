/* Creating, running and closing interpreters, as functions of the module. */

#ifndef Py_XXSUBINTERPRETERS_INTERPFUNCTIONS_H
#define Py_XXSUBINTERPRETERS_INTERPFUNCTIONS_H

#include "Python.h"

extern PyMethodDef _PyInterp_functions[];

#endif /* !Py_XXSUBINTERPRETERS_INTERPFUNCTIONS_H */
