#ifndef Py_INTERNAL_EXTENSIONCOPIES_H
#define Py_INTERNAL_EXTENSIONCOPIES_H
#ifdef __cplusplus
extern "C" {
#endif

#ifndef Py_BUILD_CORE
#  error "this header requires Py_BUILD_CORE define"
#endif

#include <stdbool.h>
#include "pycore_importdl.h"      // dl_funcptr
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_pystate.h"       // _PyInterpreterState_HasFeature()

/* Private copies of extension modules.

   An extension module that knows nothing of interpreters with a GIL of their own keeps
   Python objects in C variables.  Such an interpreter loads a copy of the shared object
   for itself instead, so the variables are its own.  The originals are used by the main
   interpreter and those that share its GIL; modules of the standard library are never
   copied. */

/* Value of PyInterpreterConfig.check_multi_interp_extensions, and what it becomes among
   the interpreter's feature flags. */
#define _PyInterpreterConfig_PRIVATE_EXTENSIONS 2
#define _Py_RTFLAGS_PRIVATE_EXTENSIONS (1UL << 24)

static inline bool
_PyExtensionCopies_Enabled(PyInterpreterState *interp)
{
    return _PyInterpreterState_HasFeature(interp, _Py_RTFLAGS_PRIVATE_EXTENSIONS);
}

/* Is the current thread loading a module that is not of a private copy?  The setter
   returns what was so before, to be set again in the end. */
extern bool _PyExtensionCopies_LoadsOriginal(void);
extern bool _PyExtensionCopies_SetLoadsOriginal(bool loads);

/* What the paths of an interpreter's copies start with. */
#define _PyExtensionCopies_PREFIX_SIZE 48
extern void _PyExtensionCopies_GetPrefix(PyInterpreterState *interp,
                                         char prefix[_PyExtensionCopies_PREFIX_SIZE]);

/* Gives the path of the current interpreter's copy of a file that the import system
   found, a new reference; NULL if the file itself is to be loaded.  Needs the GIL.
   Returns -1 with an exception. */
extern int _PyExtensionCopies_InitPath(PyObject *filename, PyObject **path);

/* The init function in the current interpreter's copy of the shared object at path, which
   is loaded if it is not yet; that runs its constructors.  Needs the GIL.  Returns NULL
   with an ImportError, or without an exception if there is no such function. */
extern dl_funcptr _PyExtensionCopies_Find(struct _Py_ext_module_loader_info *info,
                                          const char *path);

/* For Py_AtExit(): a function of a copy is called when its interpreter ends.  Returns 1, or 0
   if it is not of a copy, or -1 if there is no memory. */
extern int _PyExtensionCopies_AtExit(void (*function)(void));

/* For Py_AddPendingCall(), whose results it gives: a function of a copy is for the copy's
   interpreter, and dropped if that has ended.  Returns false if it is not of a copy.  Any
   thread may call it. */
extern bool _PyExtensionCopies_AddPendingCall(int (*function)(void *), void *argument,
                                              int *result);

/* Run the exit functions and the destructors of the current interpreter's copies.  Needs
   the GIL, and that no other thread is in the interpreter. */
extern void _PyExtensionCopies_Fini(PyInterpreterState *interp);

/* Unload the copies of the interpreter of that id, which has ended: no code of them may run, and
   no object of the interpreter exist.  Returns false if it had none, or if some have to be kept;
   then all are, and with them whatever they refer to.  Needs no GIL. */
extern bool _PyExtensionCopies_Unload(int64_t id);

/* The number of a new module definition, which becomes unused again if it is of a copy that is
   unloaded.  Any thread may call it. */
extern Py_ssize_t _PyExtensionCopies_NextModuleIndex(const PyModuleDef *def);

/* Where the function that uses it returns to. */
#ifdef __GNUC__
#  define _PyExtensionCopies_CALLER() __builtin_return_address(0)
#else
#  define _PyExtensionCopies_CALLER() NULL
#endif

/* The interpreter in whose copy the caller is, or NULL: what is the main interpreter for that
   code.  Any thread may call it. */
extern PyInterpreterState *_PyExtensionCopies_Owner(const void *caller);

/* Its id, or -1.  It is the caller's also once it has ended.  Any thread may call it. */
extern int64_t _PyExtensionCopies_OwnerId(const void *caller);

/* In the child of a fork, where no other interpreters exist any more. */
extern void _PyExtensionCopies_AfterFork(void);

/* What is known of a copy.  path is never freed. */
typedef struct {
    const char *path;           /* of the original */
    int64_t owner;              /* id of the interpreter; -1 once that has ended */
    size_t own_size;            /* bytes that it does not share with the original */
    PyTime_t load_time;         /* how long loading took, with that of libraries it needs */
    const char *kept_for;       /* why it is not unloaded when its interpreter has ended, or NULL;
                                   static */
} _PyExtensionCopies_Info;

/* All copies of the process, the oldest first, in an array for the caller to free with
   PyMem_RawFree(); NULL if there is no memory.  Needs no GIL. */
extern _PyExtensionCopies_Info *_PyExtensionCopies_List(size_t *count);

#ifdef __cplusplus
}
#endif
#endif  /* !Py_INTERNAL_EXTENSIONCOPIES_H */
