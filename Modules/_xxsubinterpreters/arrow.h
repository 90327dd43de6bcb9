/* Arrow's C data interface: memory that is passed to and from libraries for columns of
   data, and for images. */

#ifndef Py_XXSUBINTERPRETERS_ARROW_H
#define Py_XXSUBINTERPRETERS_ARROW_H

#include "Python.h"

extern PyMethodDef _PyArrow_functions[];
extern PyType_Spec _PyArrowExport_spec;

#endif /* !Py_XXSUBINTERPRETERS_ARROW_H */
