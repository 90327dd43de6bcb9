/* Finding the libraries that a shared object needs, see pycore_elfsearch.h. */

#include "Python.h"
#include "pycore_elfsearch.h"

#ifdef Py_HAVE_ELFIMAGE

#include <dlfcn.h>
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

/* What LD_LIBRARY_PATH was when the loader read it, or NULL. */
static const char *library_path;

__attribute__((constructor)) static void
keep_library_path(void)
{
    const char *path = secure_getenv("LD_LIBRARY_PATH");
    library_path = path != NULL ? strdup(path) : NULL;
}

/* Is there a file of that name in one of the directories of a path list?  $ORIGIN in it
   is the directory of the library at origin, if that is not NULL.  Writes where. */
static bool
search(const char *directories, const char *separators, const char *origin, const char *name,
       char found[PATH_MAX])
{
    const char *slash = origin != NULL ? strrchr(origin, '/') : NULL;
    int origin_length = slash != NULL ? (int)(slash - origin) : 0;
    for (const char *start = directories, *end; start != NULL; start = *end ? end + 1 : NULL) {
        end = start + strcspn(start, separators);
        int skip = origin == NULL ? 0 : strncmp(start, "$ORIGIN", 7) == 0 ? 7
                   : strncmp(start, "${ORIGIN}", 9) == 0 ? 9 : 0;
        int length = snprintf(found, PATH_MAX, "%.*s%.*s/%s",
                              skip ? origin_length : 0, origin != NULL ? origin : "",
                              (int)(end - start) - skip, start + skip, name);
        if (end > start && length < PATH_MAX && strchr(found, '$') == NULL
            && access(found, R_OK) == 0)
        {
            return true;
        }
    }
    return false;
}

/* Where a library that the image needs is, if the image or the environment says so, as the
   loader searches.  DT_RPATH holds for what a library's dependencies need, too, unless they
   have a DT_RUNPATH, which LD_LIBRARY_PATH comes before. */
static bool
find_needed(const _PyElfLibrary *library, const char *name, char found[PATH_MAX])
{
    if (strchr(name, '/') != NULL) {
        return snprintf(found, PATH_MAX, "%s", name) < PATH_MAX && access(found, R_OK) == 0;
    }
    const char *runpath = _PyElfImage_String(&library->image, DT_RUNPATH, 0);
    for (const _PyElfLibrary *other = library; runpath == NULL && other != NULL;
         other = other->needed_by)
    {
        const char *rpath = _PyElfImage_String(&other->image, DT_RPATH, 0);
        if (rpath != NULL && _PyElfImage_String(&other->image, DT_RUNPATH, 0) == NULL
            && search(rpath, ":", other->path, name, found))
        {
            return true;
        }
    }
    return (library_path != NULL && search(library_path, ":;", NULL, name, found))
           || (runpath != NULL && search(runpath, ":", library->path, name, found));
}

/* Names of libraries that the loader found, that do not call Python, and that are kept open,
   so that it goes on to find these.  None is ever taken out. */
static struct harmless {
    struct harmless *next;
    char name[];
} *harmless;

static bool
is_harmless(const char *name)
{
    const struct harmless *known = _Py_atomic_load_ptr_acquire(&harmless);
    while (known != NULL && strcmp(known->name, name) != 0) {
        known = known->next;
    }
    return known != NULL;
}

static void
add_harmless(const char *name)
{
    size_t size = strlen(name) + 1;
    struct harmless *added = PyMem_RawMalloc(sizeof(*added) + size);
    if (added != NULL) {
        memcpy(added->name, name, size);
        added->next = _Py_atomic_load_ptr(&harmless);
        while (!_Py_atomic_compare_exchange_ptr(&harmless, &added->next, added)) {
        }
    }
}

/* Where the loader finds a library: among those that it has, by its cache, in directories of
   the system.  It says so only when it has opened it; returns the handle. */
static void *
ask_loader(const char *name, char found[PATH_MAX])
{
    struct link_map *map;
    void *handle = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    if (handle != NULL
        && (dlinfo(handle, RTLD_DI_LINKMAP, &map) < 0
            || snprintf(found, PATH_MAX, "%s", map->l_name) >= PATH_MAX))
    {
        dlclose(handle);
        return NULL;
    }
    return handle;
}

bool
_PyElfLibrary_OpenNeeded(const _PyElfLibrary *library, size_t i, _PyElfLibrary *needed,
                         char path[])
{
    const char *name = _PyElfImage_String(&library->image, DT_NEEDED, i);
    void *handle = NULL;
    if (!find_needed(library, name, path)
        && (is_harmless(name) || (handle = ask_loader(name, path)) == NULL))
    {
        return false;
    }
    *needed = (_PyElfLibrary){.path = path, .needed_by = library, .handle = handle};
    if (_PyElfImage_Open(&needed->image, path) != NULL) {
        if (handle != NULL) {
            dlclose(handle);
        }
        return false;
    }
    return true;
}

void
_PyElfLibrary_CloseNeeded(const _PyElfLibrary *library, size_t i, _PyElfLibrary *needed,
                          bool calls_python)
{
    _PyElfImage_Close(&needed->image);
    if (needed->handle != NULL && calls_python) {
        dlclose(needed->handle);
    }
    else if (needed->handle != NULL) {
        add_harmless(_PyElfImage_String(&library->image, DT_NEEDED, i));
    }
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
            bool ring = _PyElfLibrary_NeedsItself(&needed);
            result = ring ? 0 : _PyElfLibrary_CallsPython(&needed, all_seen);
            _PyElfLibrary_CloseNeeded(library, i, &needed, ring || result != 0);
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
