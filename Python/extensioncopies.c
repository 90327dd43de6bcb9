/* Private copies of extension modules, see pycore_extensioncopies.h.

   A copy is the file of the original with a few changes, under a name that the dynamic
   loader has not seen:

   - libraries that come with it and call Python, too, are copied and go by other names in
     the copy (others are shared, they hold nothing of Python's);
   - what the loader would call in it is called here: constructors when the copy is
     loaded, destructors when its interpreter ends and still has a thread state;
   - a symbol that would be one in the whole process becomes the copy's own.

   The libraries a copy needs are opened before it, as its own directory, where they are
   looked for, is not that of the original. */

#include "Python.h"
#include "pycore_elfimage.h"
#include "pycore_extensioncopies.h"
#include "pycore_import.h"        // _PyImport_GetDLOpenFlags()
#include "pycore_initconfig.h"
#include "pycore_lock.h"          // PyMutex
#include "osdefs.h"               // SEP
#include "pycore_pystate.h"       // _PyInterpreterState_GET()

static _Py_thread_local bool loads_original;

bool
_PyExtensionCopies_LoadsOriginal(void)
{
    return loads_original;
}

bool
_PyExtensionCopies_SetLoadsOriginal(bool loads)
{
    bool before = loads_original;
    loads_original = loads;
    return before;
}

void
_PyExtensionCopies_GetPrefix(PyInterpreterState *interp,
                             char prefix[_PyExtensionCopies_PREFIX_SIZE])
{
    snprintf(prefix, _PyExtensionCopies_PREFIX_SIZE, "<interpreter %" PRId64 ">",
             PyInterpreterState_GetID(interp));
}

/* The standard library's own shared objects are in the last of the folders that the
   interpreter searched before site added any. */
static int
is_of_the_stdlib(PyInterpreterState *interp, PyObject *filename)
{
    const PyWideStringList *paths =
        &_PyInterpreterState_GetConfig(interp)->module_search_paths;
    if (paths->length == 0) {
        return 0;
    }
    PyObject *folder = PyUnicode_FromWideChar(paths->items[paths->length - 1], -1);
    if (folder == NULL) {
        return -1;
    }
    Py_ssize_t length = PyUnicode_GET_LENGTH(folder);
    int result = 0;
    if (PyUnicode_GET_LENGTH(filename) > length
        && PyUnicode_READ_CHAR(filename, length) == SEP
        && PyUnicode_FindChar(filename, SEP, length + 1, PyUnicode_GET_LENGTH(filename),
                              1) == -1)
    {
        result = (int)PyUnicode_Tailmatch(filename, folder, 0, length, -1);
    }
    Py_DECREF(folder);
    return result;
}

int
_PyExtensionCopies_InitPath(PyObject *filename, PyObject **path)
{
    PyInterpreterState *interp = _PyInterpreterState_GET();
    *path = NULL;
    if (!_PyExtensionCopies_Enabled(interp)) {
        return 0;
    }
    int stdlib = is_of_the_stdlib(interp, filename);
    if (stdlib != 0) {
        return stdlib < 0 ? -1 : 0;
    }
    char prefix[_PyExtensionCopies_PREFIX_SIZE];
    _PyExtensionCopies_GetPrefix(interp, prefix);
    *path = PyUnicode_FromFormat("%s%U", prefix, filename);
    return *path != NULL ? 0 : -1;
}

#ifdef Py_HAVE_ELFIMAGE

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>

/* Deeper than libraries need each other; a ring of them ends there. */
#define MAX_DEPTH 32

struct copy {
    struct copy *next;              /* the one loaded before it */
    int64_t interp;                 /* whose it is; -1 once that has ended */
    char *path;                     /* of the original */
    dev_t device;
    ino_t inode;
    char *soname;                   /* the name others need it by, or NULL */
    void *handle;
    uintptr_t start, end;           /* where it is */
    uintptr_t base;
    _PyElfHooks hooks;
};

/* All copies of the process, the newest first; none is ever removed.  The lock is held
   for reading and changing the list and the copies' interp, never while a library is
   loaded, and nothing is called with it. */
static struct {
    PyMutex mutex;
    struct copy *copies;
    unsigned long count;            /* of names given */
} copies;

/* Why a copy could not be loaded. */
struct problem {
    char text[512];
};

static void *
fail(struct problem *problem, const char *path, const char *what)
{
    if (*what == '\0') {
        what = strerror(errno);
    }
    snprintf(problem->text, sizeof(problem->text), "%s: %s", path, what);
    return NULL;
}


/* --- finding libraries ---------------------------------------------------- */

/* A file, and whose dependency it is. */
struct library {
    _PyElfImage image;
    const char *path;
    const struct library *needed_by;
    int depth;
};

/* Is there a file of that name in one of the directories of a path list?  $ORIGIN in it
   is the directory of the library itself.  Writes where. */
static bool
search(const struct library *library, const char *directories, const char *name,
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
find_needed(const struct library *library, const char *name, char found[PATH_MAX])
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

static bool
open_needed(const struct library *library, size_t i, struct library *needed,
            char path[PATH_MAX])
{
    const char *name = _PyElfImage_String(&library->image, DT_NEEDED, i);
    if (library->depth >= MAX_DEPTH || !find_needed(library, name, path)) {
        return false;
    }
    *needed = (struct library){
        .path = path, .needed_by = library, .depth = library->depth + 1,
    };
    return _PyElfImage_Open(&needed->image, path) == NULL;
}

/* Does the library call Python, or one that it needs? */
static bool
calls_python(const struct library *library)
{
    bool result = _PyElfImage_CallsPython(&library->image);
    for (size_t i = 0; !result; i++) {
        char path[PATH_MAX];
        struct library needed;
        if (_PyElfImage_String(&library->image, DT_NEEDED, i) == NULL) {
            break;
        }
        if (open_needed(library, i, &needed, path)) {
            result = calls_python(&needed);
            _PyElfImage_Close(&needed.image);
        }
    }
    return result;
}


/* --- loading -------------------------------------------------------------- */

static struct copy *
find_copy(int64_t interp, const struct stat *status)
{
    PyMutex_Lock(&copies.mutex);
    struct copy *copy = copies.copies;
    while (copy != NULL
           && !(copy->interp == interp && copy->device == status->st_dev
                && copy->inode == status->st_ino))
    {
        copy = copy->next;
    }
    PyMutex_Unlock(&copies.mutex);
    return copy;
}

static unsigned long
next_number(void)
{
    PyMutex_Lock(&copies.mutex);
    unsigned long number = ++copies.count;
    PyMutex_Unlock(&copies.mutex);
    return number;
}

/* A name as long as the old one that no library has. */
static bool
make_soname(char *name, unsigned long number)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    enum { NDIGITS = 6 };
    if (strlen(name) <= NDIGITS) {
        return false;
    }
    name[0] = '~';
    for (int i = NDIGITS; i > 0; i--, number /= 36) {
        name[i] = digits[number % 36];
    }
    return true;
}

/* How much of the file is loaded. */
static size_t
loaded_size(const _PyElfImage *image)
{
    size_t size = 0;
    for (size_t i = 0; i < image->nsegments; i++) {
        const ElfW(Phdr) *segment = &image->segments[i];
        if (segment->p_type == PT_LOAD) {
            size = Py_MAX(size, segment->p_offset + segment->p_filesz);
        }
    }
    return Py_MIN(size, image->size);
}

static int
write_image(const _PyElfImage *image, int fd)
{
    size_t size = loaded_size(image);
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, image->bytes + done, size - done);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* The loader takes a library of a name that it knows for the same one without looking at
   the file.  So each copy's path is another spelling of where its file is. */
static void
spell(char *path, size_t size, int fd, unsigned long number)
{
    int length = snprintf(path, size, "/proc/self/fd");
    for (; number != 0; number >>= 1) {
        length += snprintf(path + length, size - length, number & 1 ? "/." : "//");
    }
    snprintf(path + length, size - length, "/%d", fd);
}

#ifndef MFD_EXEC
#  define MFD_EXEC 0x0010U
#endif

static void *
load_from_memory(const struct library *library, int flags, struct problem *problem)
{
    const char *name = strrchr(library->path, '/');
    name = name != NULL ? name + 1 : library->path;
    char short_name[200];
    snprintf(short_name, sizeof(short_name), "%s", name);
    int fd = memfd_create(short_name, MFD_CLOEXEC | MFD_EXEC);
    if (fd < 0 && errno == EINVAL) {
        fd = memfd_create(short_name, MFD_CLOEXEC);     /* before Linux 6.3 */
    }
    if (fd < 0) {
        return fail(problem, library->path, "");
    }
    void *handle = NULL;
    if (write_image(&library->image, fd) < 0) {
        fail(problem, library->path, "");
    }
    else {
        char path[256];
        spell(path, sizeof(path), fd, next_number());
        handle = dlopen(path, flags);
        if (handle == NULL) {
            fail(problem, library->path, dlerror());
        }
    }
    close(fd);
    return handle;
}

static void
call_constructors(const struct copy *copy)
{
    typedef void (*constructor)(int, char **, char **);
    extern char **environ;
    static char *no_arguments[] = {NULL};
    if (copy->hooks.init != 0) {
        ((constructor)(copy->base + copy->hooks.init))(0, no_arguments, environ);
    }
    constructor *functions = (constructor *)(copy->base + copy->hooks.init_array);
    for (size_t i = 0; i < copy->hooks.init_count; i++) {
        functions[i](0, no_arguments, environ);
    }
}

static void
call_destructors(const struct copy *copy)
{
    typedef void (*destructor)(void);
    destructor *functions = (destructor *)(copy->base + copy->hooks.fini_array);
    for (size_t i = copy->hooks.fini_count; i-- > 0;) {
        functions[i]();
    }
    if (copy->hooks.fini != 0) {
        ((destructor)(copy->base + copy->hooks.fini))();
    }
}

static struct copy *load_copy(int64_t interp, struct library *library, int flags,
                              struct problem *problem);

/* Open the libraries that the image needs, as far as they come with it: copies of those
   that call Python, by whose names they go in the image then, else the originals.
   Returns -1 on failure. */
static int
load_needed(int64_t interp, struct library *library, int flags, struct problem *problem)
{
    const char *name;
    for (size_t i = 0; (name = _PyElfImage_String(&library->image, DT_NEEDED, i)); i++) {
        char path[PATH_MAX];
        struct library needed;
        if (!open_needed(library, i, &needed, path)) {
            continue;
        }
        int result = 0;
        if (calls_python(&needed)) {
            struct copy *copy = load_copy(interp, &needed, flags, problem);
            const char *wrong = copy == NULL ? problem->text
                : copy->soname == NULL || strlen(copy->soname) != strlen(name)
                ? "a library that needs it calls it by another name"
                : _PyElfImage_Rename(&library->image, name, copy->soname);
            if (wrong != NULL) {
                result = -1;
                if (copy != NULL) {
                    fail(problem, path, wrong);
                }
            }
        }
        else {
            result = load_needed(interp, &needed, flags, problem);
            if (result == 0 && dlopen(path, RTLD_LAZY | RTLD_LOCAL) == NULL) {
                fail(problem, path, dlerror());
                result = -1;
            }
        }
        _PyElfImage_Close(&needed.image);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

/* The interpreter's copy of the library, a new one or what it has already. */
static struct copy *
load_copy(int64_t interp, struct library *library, int flags, struct problem *problem)
{
    _PyElfImage *image = &library->image;
    struct copy *copy = find_copy(interp, &image->status);
    if (copy != NULL) {
        return copy;
    }
    if (load_needed(interp, library, flags, problem) < 0) {
        return NULL;
    }
    copy = PyMem_RawCalloc(1, sizeof(*copy));
    if (copy == NULL) {
        return fail(problem, library->path, "out of memory");
    }
    copy->path = _PyMem_RawStrdup(library->path);
    const char *soname = _PyElfImage_String(image, DT_SONAME, 0);
    if (soname != NULL) {
        copy->soname = _PyMem_RawStrdup(soname);
    }
    if (copy->path == NULL || (soname != NULL && copy->soname == NULL)) {
        fail(problem, library->path, "out of memory");
        goto error;
    }
    if (soname != NULL) {
        const char *wrong = make_soname(copy->soname, next_number())
                            ? _PyElfImage_Rename(image, soname, copy->soname)
                            : "its name is too short";
        if (wrong != NULL) {
            fail(problem, library->path, wrong);
            goto error;
        }
    }
    copy->hooks = _PyElfImage_TakeHooks(image);
    _PyElfImage_UnshareSymbols(image);

    copy->handle = load_from_memory(library, flags, problem);
    if (copy->handle == NULL) {
        goto error;
    }
    struct link_map *map;
    if (dlinfo(copy->handle, RTLD_DI_LINKMAP, &map) < 0) {
        fail(problem, library->path, dlerror());
        dlclose(copy->handle);
        goto error;
    }
    copy->interp = interp;
    copy->device = image->status.st_dev;
    copy->inode = image->status.st_ino;
    copy->base = copy->start = map->l_addr;
    for (size_t i = 0; i < image->nsegments; i++) {
        const ElfW(Phdr) *segment = &image->segments[i];
        if (segment->p_type == PT_LOAD) {
            copy->end = Py_MAX(copy->end, copy->base + segment->p_vaddr + segment->p_memsz);
        }
    }
    PyMutex_Lock(&copies.mutex);
    copy->next = copies.copies;
    copies.copies = copy;
    PyMutex_Unlock(&copies.mutex);
    call_constructors(copy);
    return copy;

error:
    PyMem_RawFree(copy->path);
    PyMem_RawFree(copy->soname);
    PyMem_RawFree(copy);
    return NULL;
}

dl_funcptr
_PyExtensionCopies_Find(struct _Py_ext_module_loader_info *info, const char *path)
{
    PyInterpreterState *interp = _PyInterpreterState_GET();
    struct library library = {.path = path};
    struct problem problem;
    struct copy *copy = NULL;
    const char *wrong = _PyElfImage_Open(&library.image, path);
    if (wrong != NULL) {
        fail(&problem, path, wrong);
    }
    else {
        /* What others would bind to is never one interpreter's. */
        int flags = _PyImport_GetDLOpenFlags(interp) & ~RTLD_GLOBAL;
        copy = load_copy(PyInterpreterState_GetID(interp), &library, flags, &problem);
        _PyElfImage_Close(&library.image);
    }
    if (copy != NULL) {
        char function[258];
        PyOS_snprintf(function, sizeof(function), "%.20s_%.200s", info->hook_prefix,
                      PyBytes_AS_STRING(info->name_encoded));
        return (dl_funcptr)dlsym(copy->handle, function);
    }
    PyObject *message = PyUnicode_DecodeLocale(problem.text, "surrogateescape");
    if (message != NULL) {
        PyErr_SetImportError(message, info->name, info->filename);
        Py_DECREF(message);
    }
    return NULL;
}


/* --- the end of an interpreter -------------------------------------------- */

static struct copy *
newest_copy(int64_t interp)
{
    PyMutex_Lock(&copies.mutex);
    struct copy *copy = copies.copies;
    while (copy != NULL && copy->interp != interp) {
        copy = copy->next;
    }
    PyMutex_Unlock(&copies.mutex);
    return copy;
}

void
_PyExtensionCopies_Fini(PyInterpreterState *interp)
{
    struct copy *copy;
    while ((copy = newest_copy(PyInterpreterState_GetID(interp))) != NULL) {
        call_destructors(copy);
        PyMutex_Lock(&copies.mutex);
        copy->interp = -1;
        PyMutex_Unlock(&copies.mutex);
    }
}

int64_t
_PyExtensionCopies_Owner(const void *address)
{
    int64_t interp = -1;
    PyMutex_Lock(&copies.mutex);
    for (struct copy *copy = copies.copies; copy != NULL; copy = copy->next) {
        if ((uintptr_t)address >= copy->start && (uintptr_t)address < copy->end) {
            interp = copy->interp;
            break;
        }
    }
    PyMutex_Unlock(&copies.mutex);
    return interp;
}

#else  // !Py_HAVE_ELFIMAGE

dl_funcptr
_PyExtensionCopies_Find(struct _Py_ext_module_loader_info *info, const char *path)
{
    PyObject *message = PyUnicode_FromString(
        "private copies of extension modules need Linux with glibc");
    if (message != NULL) {
        PyErr_SetImportError(message, info->name, info->filename);
        Py_DECREF(message);
    }
    return NULL;
}

void
_PyExtensionCopies_Fini(PyInterpreterState *interp)
{
}

int64_t
_PyExtensionCopies_Owner(const void *address)
{
    return -1;
}

#endif  // Py_HAVE_ELFIMAGE
