/* Finding the libraries that a shared object needs, see pycore_elfsearch.h. */

#include "Python.h"
#include "pycore_elfsearch.h"

#ifdef Py_HAVE_ELFIMAGE

#include <limits.h>               // PATH_MAX
#include <string.h>
#include <unistd.h>               // access()

/* The number of a file that was removed may be another's. */
bool
_PyElf_IsSameFile(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino
           && one->st_size == other->st_size
           && one->st_mtim.tv_sec == other->st_mtim.tv_sec
           && one->st_mtim.tv_nsec == other->st_mtim.tv_nsec
           && one->st_ctim.tv_sec == other->st_ctim.tv_sec
           && one->st_ctim.tv_nsec == other->st_ctim.tv_nsec;
}

/* Is there a file of that name in one of the directories of a path list?  $ORIGIN in it
   is the directory of the library itself.  Writes where. */
static bool
search(const _PyElfLibrary *library, const char *directories, const char *name,
       char found[PATH_MAX])
{
    const char *slash = strrchr(library->path, '/');
    int origin_length = slash != NULL ? (int)(slash - library->path) : 0;
    for (const char *start = directories, *end; start != NULL; start = *end ? end + 1 : NULL) {
        end = strchrnul(start, ':');
        int skip = strncmp(start, "$ORIGIN", 7) == 0 ? 7
                   : strncmp(start, "${ORIGIN}", 9) == 0 ? 9 : 0;
        int length = snprintf(found, PATH_MAX, "%.*s%.*s/%s",
                              skip ? origin_length : 0, library->path,
                              (int)(end - start) - skip, start + skip, name);
        if (end > start && length < PATH_MAX && strchr(found, '$') == NULL
            && access(found, R_OK) == 0)
        {
            return true;
        }
    }
    return false;
}

/* Where a library that the image needs is, if the image says so; others are found by the
   loader without us.  DT_RPATH holds for what a library's dependencies need, too, unless
   they have a DT_RUNPATH. */
static bool
find_needed(const _PyElfLibrary *library, const char *name, char found[PATH_MAX])
{
    if (strchr(name, '/') != NULL) {
        return false;
    }
    const char *runpath = _PyElfImage_String(&library->image, DT_RUNPATH, 0);
    if (runpath != NULL) {
        return search(library, runpath, name, found);
    }
    for (; library != NULL; library = library->needed_by) {
        const char *rpath = _PyElfImage_String(&library->image, DT_RPATH, 0);
        if (rpath != NULL && _PyElfImage_String(&library->image, DT_RUNPATH, 0) == NULL
            && search(library, rpath, name, found))
        {
            return true;
        }
    }
    return false;
}

bool
_PyElfLibrary_OpenNeeded(const _PyElfLibrary *library, size_t i, _PyElfLibrary *needed,
            char path[PATH_MAX])
{
    const char *name = _PyElfImage_String(&library->image, DT_NEEDED, i);
    if (!find_needed(library, name, path)) {
        return false;
    }
    *needed = (_PyElfLibrary){.path = path, .needed_by = library};
    return _PyElfImage_Open(&needed->image, path) == NULL;
}

_PyElfSeen *
_PyElfSeen_Find(_PyElfSeen *seen, const _PyElfLibrary *library)
{
    while (seen != NULL && !_PyElf_IsSameFile(&seen->status, &library->image.status)) {
        seen = seen->next;
    }
    return seen;
}

bool
_PyElfLibrary_NeedsItself(const _PyElfLibrary *library)
{
    const _PyElfLibrary *other = library->needed_by;
    while (other != NULL && !_PyElf_IsSameFile(&other->image.status, &library->image.status)) {
        other = other->needed_by;
    }
    return other != NULL;
}

int
_PyElfLibrary_CallsPython(const _PyElfLibrary *library, _PyElfSeen **all_seen)
{
    _PyElfSeen *seen = _PyElfSeen_Find(*all_seen, library);
    if (seen != NULL) {
        return seen->calls_python;
    }
    int result = _PyElfImage_CallsPython(&library->image);
    for (size_t i = 0; result == 0; i++) {
        char path[PATH_MAX];
        _PyElfLibrary needed;
        if (_PyElfImage_String(&library->image, DT_NEEDED, i) == NULL) {
            break;
        }
        if (_PyElfLibrary_OpenNeeded(library, i, &needed, path)) {
            result = _PyElfLibrary_NeedsItself(&needed) ? 0 : _PyElfLibrary_CallsPython(&needed, all_seen);
            _PyElfImage_Close(&needed.image);
        }
    }
    seen = result >= 0 ? PyMem_RawCalloc(1, sizeof(*seen)) : NULL;
    if (seen == NULL) {
        return -1;
    }
    *seen = (_PyElfSeen){
        .next = *all_seen, .status = library->image.status, .calls_python = result,
    };
    *all_seen = seen;
    return result;
}

void
_PyElfSeen_Free(_PyElfSeen *all_seen)
{
    while (all_seen != NULL) {
        _PyElfSeen *seen = all_seen;
        all_seen = seen->next;
        PyMem_RawFree(seen);
    }
}

#endif  // Py_HAVE_ELFIMAGE
