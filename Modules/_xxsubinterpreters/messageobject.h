/* The type Message: what pack() returns. */

#ifndef Py_XXSUBINTERPRETERS_MESSAGEOBJECT_H
#define Py_XXSUBINTERPRETERS_MESSAGEOBJECT_H

#include "Python.h"
#include "message.h"

extern PyType_Spec _PyMessageObject_spec;
extern PyMethodDef _PyMessageObject_functions[];

/* Take the message out of a Message, to be used and freed; NULL with an exception. */
extern _PyMessage *_PyMessageObject_Take(PyObject *op);

#endif /* !Py_XXSUBINTERPRETERS_MESSAGEOBJECT_H */
