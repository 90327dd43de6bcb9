/* exclusive(): a context manager for a section in which no other thread runs Python. */

#ifndef Py_XXSUBINTERPRETERS_EXCLUSIVEOBJECT_H
#define Py_XXSUBINTERPRETERS_EXCLUSIVEOBJECT_H

#include "Python.h"

extern PyType_Spec _PyExclusive_spec;

#endif /* !Py_XXSUBINTERPRETERS_EXCLUSIVEOBJECT_H */
