/* Port and Operation: sends and receives that an event loop waits for. */

#ifndef Py_XXSUBINTERPRETERS_ASYNCOBJECT_H
#define Py_XXSUBINTERPRETERS_ASYNCOBJECT_H

#include "Python.h"

extern PyType_Spec _PyPort_spec;
extern PyType_Spec _PyOperation_spec;

#endif /* !Py_XXSUBINTERPRETERS_ASYNCOBJECT_H */
