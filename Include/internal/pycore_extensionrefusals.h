#ifndef Py_INTERNAL_EXTENSIONREFUSALS_H
#define Py_INTERNAL_EXTENSIONREFUSALS_H

#ifndef Py_BUILD_CORE
#  error "this header requires Py_BUILD_CORE define"
#endif

/* Packages whose extension modules work in one interpreter of a process only, even as private
   copies.  Each is the name of the top-level package, and the end of a sentence that begins
   with "it cannot be used in an interpreter with a GIL of its own: ". */

#define _PyExtensionRefusals(REFUSED)                                                   \
    REFUSED("_testrefused", "it is for testing")                                        \
    REFUSED("h5py", "libhdf5 is one library for the whole process, and calls h5py")     \
    REFUSED("numba", "LLVM, of which there is one, finds functions of any copy by name")

#endif  /* !Py_INTERNAL_EXTENSIONREFUSALS_H */
