#ifndef Py_INTERNAL_ELFIMAGE_H
#define Py_INTERNAL_ELFIMAGE_H
#ifdef __cplusplus
extern "C" {
#endif

#ifndef Py_BUILD_CORE
#  error "this header requires Py_BUILD_CORE define"
#endif

/* The file of a shared object (ELF, of this machine's kind), read into memory where it
   can be changed, to be loaded as a library of its own beside the original.  Nothing here
   knows Python objects; any thread may use it, an image only one at a time.

   Everything that the file says of itself is checked against its size: a damaged file is
   an error, not a crash. */

#if defined(__linux__) && defined(__GLIBC__) && defined(__LP64__)
#  define Py_HAVE_ELFIMAGE 1

#include <elf.h>
#include <link.h>                 // ElfW()
#include <stdbool.h>
#include <sys/stat.h>

typedef struct {
    unsigned char *bytes;           /* the whole file, in a private mapping */
    size_t size;
    int fd;                         /* the original, open for reading */
    struct stat status;
    const ElfW(Phdr) *segments;
    size_t nsegments;
    ElfW(Dyn) *dynamic;             /* up to DT_NULL, which is not counted */
    size_t ndynamic;
    ElfW(Sym) *symbols;             /* the dynamic ones */
    size_t nsymbols;
    char *strings;                  /* of symbols and of the dynamic section */
    size_t strings_size;            /* the last of it is '\0' */
    size_t changed_start, changed_end;  /* what differs from the file is in there, but
                                           for the dynamic section, which is written to
                                           when the library is loaded anyway */
} _PyElfImage;

/* The functions that the loader calls once a library is loaded, and before it is
   unloaded; addresses relative to where the library is, 0 for none. */
typedef struct {
    ElfW(Addr) init, fini;
    ElfW(Addr) init_array, fini_array;
    size_t init_count, fini_count;
} _PyElfHooks;

/* NULL, or what is wrong with the file (static; "" for what errno says). */
extern const char *_PyElfImage_Open(_PyElfImage *image, const char *path);
extern void _PyElfImage_Close(_PyElfImage *image);

/* The i-th string of the dynamic section with this tag (DT_NEEDED, DT_SONAME,
   DT_RPATH, DT_RUNPATH), or NULL.  It lives as long as the image. */
extern const char *_PyElfImage_String(const _PyElfImage *image, ElfW(Sxword) tag,
                                      size_t i);

/* Does it use a symbol of Python's that another library has to define? */
extern bool _PyElfImage_CallsPython(const _PyElfImage *image);

/* Does it use a symbol of this name, or if that ends in '*', one whose name begins so, that
   another library has to define? */
extern bool _PyElfImage_Uses(const _PyElfImage *image, const char *name);

/* Does it say that it is not to be unloaded, or does the loader not do that wholly? */
extern bool _PyElfImage_IsForGood(const _PyElfImage *image);

/* Is it written to where it says that it is not, to be relocated? */
extern bool _PyElfImage_HasTextRelocations(const _PyElfImage *image);

/* Put new_name in the place of a string that String() gave.  Returns NULL, or why that is not
   possible. */
extern const char *_PyElfImage_Rename(_PyElfImage *image, const char *old_name,
                                      const char *new_name);

/* Hide from the loader what it would call, and return it. */
extern _PyElfHooks _PyElfImage_TakeHooks(_PyElfImage *image);

/* Let the library itself go by that name (DT_SONAME), also if it had none; its hooks were
   taken.  Returns NULL, or why that is not possible. */
#define _PyElfImage_NAME_SIZE 8         /* with the '\0' */
extern const char *_PyElfImage_SetName(_PyElfImage *image,
                                       const char name[_PyElfImage_NAME_SIZE]);

/* Let symbols that would be one in the whole process (STB_GNU_UNIQUE) be the image's
   own.  Returns how many there were. */
extern size_t _PyElfImage_UnshareSymbols(_PyElfImage *image);

#endif  // Linux with glibc

#ifdef __cplusplus
}
#endif
#endif  /* !Py_INTERNAL_ELFIMAGE_H */
