#ifndef Py_INTERNAL_ELFLOAD_H
#define Py_INTERNAL_ELFLOAD_H
#ifdef __cplusplus
extern "C" {
#endif

#ifndef Py_BUILD_CORE
#  error "this header requires Py_BUILD_CORE define"
#endif

/* Loading a changed image of a shared object, whose file is in memory, or in a temporary
   directory where that is forbidden.  What is never written to is shared with the original.
   Nothing here knows Python objects; any thread may use it. */

#include "pycore_elfimage.h"

#ifdef Py_HAVE_ELFIMAGE

typedef struct {
    void *handle;                   /* of dlopen() */
    uintptr_t base;                 /* what addresses in the file are relative to */
    uintptr_t start, end;           /* where it is */
    size_t own_size;                /* of what it does not share with the original */
    _PyElfHooks hooks;
} _PyElfLoaded;

/* Why something could not be loaded. */
typedef struct {
    char text[1024];
} _PyElfProblem;

/* Say what is wrong with the file at path, "" for what errno says.  Returns NULL. */
extern void *_PyElf_Fail(_PyElfProblem *problem, const char *path, const char *what);

/* Make a name that no library has. */
#define _PyElfLoad_NAME_START "~"
extern void _PyElfLoad_MakeName(char name[_PyElfImage_NAME_SIZE]);

/* Load the image, whose hooks were taken, of the original at path; dlopen() gets the
   flags.  Nothing of it runs yet.  Returns -1 and says why on failure. */
extern int _PyElfLoad_Open(const _PyElfImage *image, const char *path, int flags,
                           _PyElfLoaded *loaded, _PyElfProblem *problem);

/* Call what the hooks name.  Calling the destructors does not unload it. */
extern void _PyElfLoad_CallConstructors(const _PyElfLoaded *loaded);
extern void _PyElfLoad_CallDestructors(const _PyElfLoaded *loaded);

/* Unload it.  Nothing may refer to it any more, other libraries excepted that need it. */
extern void _PyElfLoad_Close(const _PyElfLoaded *loaded);

#endif  // Py_HAVE_ELFIMAGE

#ifdef __cplusplus
}
#endif
#endif  /* !Py_INTERNAL_ELFLOAD_H */
