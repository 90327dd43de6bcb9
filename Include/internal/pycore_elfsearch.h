#ifndef Py_INTERNAL_ELFSEARCH_H
#define Py_INTERNAL_ELFSEARCH_H
#ifdef __cplusplus
extern "C" {
#endif

#ifndef Py_BUILD_CORE
#  error "this header requires Py_BUILD_CORE define"
#endif

/* Which libraries a shared object needs, where they are, and which of them call Python.
   Nothing here knows Python objects; any thread may use it, a list of what was seen only
   one at a time. */

#include "pycore_elfimage.h"

#ifdef Py_HAVE_ELFIMAGE

/* A file, and whose dependency it is.  The path is borrowed. */
typedef struct _PyElfLibrary {
    _PyElfImage image;
    const char *path;
    const struct _PyElfLibrary *needed_by;
    void *handle;                   /* if the loader was asked for it, else NULL */
} _PyElfLibrary;

/* What was found out about libraries, while one module is loaded. */
typedef struct _PyElfSeen {
    struct _PyElfSeen *next;
    struct stat status;
    bool calls_python;
    bool is_open;                   /* it, and what it needs */
} _PyElfSeen;

extern bool _PyElf_IsSameFile(const struct stat *one, const struct stat *other);

/* Open the image of the i-th library that the image needs, and fill path with where that is.
   False if it is not found, or known not to call Python and found by the loader without us. */
extern bool _PyElfLibrary_OpenNeeded(const _PyElfLibrary *library, size_t i,
                                     _PyElfLibrary *needed, char path[]);

/* Close it.  What does not call Python stays loaded, if it is. */
extern void _PyElfLibrary_CloseNeeded(const _PyElfLibrary *library, size_t i,
                                      _PyElfLibrary *needed, bool calls_python);

/* Is it one of those that need it? */
extern bool _PyElfLibrary_NeedsItself(const _PyElfLibrary *library);

/* Does the library call Python, or one that it needs?  It is in the list of what was seen
   then.  Returns -1 if out of memory. */
extern int _PyElfLibrary_CallsPython(const _PyElfLibrary *library, _PyElfSeen **all_seen);

extern _PyElfSeen *_PyElfSeen_Find(_PyElfSeen *seen, const _PyElfLibrary *library);
extern void _PyElfSeen_Free(_PyElfSeen *all_seen);

#endif  // Py_HAVE_ELFIMAGE

#ifdef __cplusplus
}
#endif
#endif  /* !Py_INTERNAL_ELFSEARCH_H */
