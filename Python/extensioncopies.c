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
#include "pycore_ceval.h"         // _PyEval_AddPendingCall()
#include "pycore_elfimage.h"
#include "pycore_extensioncopies.h"
#include "pycore_extensionrefusals.h"
#include "pycore_import.h"        // _PyImport_GetDLOpenFlags()
#include "pycore_initconfig.h"
#include "pycore_lock.h"          // PyMutex
#include "pycore_parking_lot.h"   // _PyParkingLot_Park()
#include "osdefs.h"               // SEP
#include "pycore_pystate.h"       // _PyInterpreterState_GET()
#include "pycore_tstate.h"        // struct _PyThreadStateVisit

#include <sys/stat.h>

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
   interpreter searched before site added any.  It may be spelled in another way. */
static int
is_of_the_stdlib(PyInterpreterState *interp, PyObject *filename)
{
    const PyWideStringList *paths =
        &_PyInterpreterState_GetConfig(interp)->module_search_paths;
    Py_ssize_t length = PyUnicode_FindChar(filename, SEP, 0, PyUnicode_GET_LENGTH(filename),
                                           -1);
    if (paths->length == 0 || length < 0) {
        return length < -1 ? -1 : 0;
    }
    int result = -1;
    PyObject *stdlib = PyUnicode_FromWideChar(paths->items[paths->length - 1], -1);
    PyObject *folder = PyUnicode_Substring(filename, 0, length);
    PyObject *stdlib_encoded = NULL, *folder_encoded = NULL;
    if (stdlib != NULL && folder != NULL
        && (stdlib_encoded = PyUnicode_EncodeFSDefault(stdlib)) != NULL
        && (folder_encoded = PyUnicode_EncodeFSDefault(folder)) != NULL)
    {
        struct stat one, other;
        result = stat(PyBytes_AS_STRING(stdlib_encoded), &one) == 0
                 && stat(PyBytes_AS_STRING(folder_encoded), &other) == 0
                 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
    }
    Py_XDECREF(stdlib);
    Py_XDECREF(folder);
    Py_XDECREF(stdlib_encoded);
    Py_XDECREF(folder_encoded);
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
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

/* An interpreter that has copies. */
struct owner {
    struct owner *next;
    PyInterpreterState *interp;     /* NULL once it has ended */
    int64_t id;
    uint32_t visitors;              /* threads between Visit() and Leave() */
    uint32_t is_shut;               /* 0 or 1: no visitors are let in; waited for */
    struct exit_function *exit_functions;   /* the last one first */
};

/* What a copy gave to Py_AtExit(). */
struct exit_function {
    struct exit_function *next;
    void (*function)(void);
};

struct copy {
    struct copy *next;              /* the one loaded before it */
    struct owner *owner;
    char *path;                     /* of the original */
    struct stat status;             /* of that, which tells it from others */
    char *soname;                   /* the name others need it by, or NULL */
    void *handle;
    uintptr_t start, end;           /* where it is */
    uintptr_t base;
    size_t own_size;                /* of what it does not share with the original */
    _PyElfHooks hooks;
};

/* All copies of the process and whose they are, the newest first; none is ever removed.
   The lock is held for reading and changing the lists and the owners, never while a library
   is loaded, and nothing is called with it but what adds a pending call. */
static struct {
    PyMutex mutex;
    struct owner *owners;
    struct copy *copies;            /* the pointer can be read without the lock */
    unsigned long count;            /* of names given */
} copies;

/* Why a copy could not be loaded. */
struct problem {
    char text[1024];
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

/* The number of a file that was removed may be another's. */
static bool
is_same_file(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino
           && one->st_size == other->st_size
           && one->st_mtim.tv_sec == other->st_mtim.tv_sec
           && one->st_mtim.tv_nsec == other->st_mtim.tv_nsec
           && one->st_ctim.tv_sec == other->st_ctim.tv_sec
           && one->st_ctim.tv_nsec == other->st_ctim.tv_nsec;
}

/* A file, and whose dependency it is. */
struct library {
    _PyElfImage image;
    const char *path;
    const struct library *needed_by;
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
    if (!find_needed(library, name, path)) {
        return false;
    }
    *needed = (struct library){.path = path, .needed_by = library};
    return _PyElfImage_Open(&needed->image, path) == NULL;
}

/* What was found out about libraries, while one module is loaded. */
struct seen {
    struct seen *next;
    struct stat status;
    bool calls_python;
    bool is_open;                   /* it, and what it needs */
};

static struct seen *
find_seen(struct seen *seen, const struct library *library)
{
    while (seen != NULL && !is_same_file(&seen->status, &library->image.status)) {
        seen = seen->next;
    }
    return seen;
}

/* Is it one of those that need it? */
static bool
needs_itself(const struct library *library)
{
    const struct library *other = library->needed_by;
    while (other != NULL && !is_same_file(&other->image.status, &library->image.status)) {
        other = other->needed_by;
    }
    return other != NULL;
}

/* Does the library call Python, or one that it needs?  Returns -1 if out of memory. */
static int
calls_python(const struct library *library, struct seen **all_seen)
{
    struct seen *seen = find_seen(*all_seen, library);
    if (seen != NULL) {
        return seen->calls_python;
    }
    int result = _PyElfImage_CallsPython(&library->image);
    for (size_t i = 0; result == 0; i++) {
        char path[PATH_MAX];
        struct library needed;
        if (_PyElfImage_String(&library->image, DT_NEEDED, i) == NULL) {
            break;
        }
        if (open_needed(library, i, &needed, path)) {
            result = needs_itself(&needed) ? 0 : calls_python(&needed, all_seen);
            _PyElfImage_Close(&needed.image);
        }
    }
    seen = result >= 0 ? PyMem_RawCalloc(1, sizeof(*seen)) : NULL;
    if (seen == NULL) {
        return -1;
    }
    *seen = (struct seen){
        .next = *all_seen, .status = library->image.status, .calls_python = result,
    };
    *all_seen = seen;
    return result;
}


/* --- loading -------------------------------------------------------------- */

/* The lock is held. */
static struct owner *
find_owner(PyInterpreterState *interp)
{
    struct owner *owner = copies.owners;
    while (owner != NULL && owner->interp != interp) {
        owner = owner->next;
    }
    return owner;
}

static struct owner *
find_or_add_owner(PyInterpreterState *interp)
{
    struct owner *added = PyMem_RawCalloc(1, sizeof(*added));
    PyMutex_Lock(&copies.mutex);
    struct owner *owner = find_owner(interp);
    if (owner == NULL && added != NULL) {
        *added = (struct owner){
            .next = copies.owners, .interp = interp, .id = PyInterpreterState_GetID(interp),
        };
        copies.owners = owner = added;
        added = NULL;
    }
    PyMutex_Unlock(&copies.mutex);
    PyMem_RawFree(added);
    return owner;
}

static struct copy *
find_copy(const struct owner *owner, const struct stat *status)
{
    PyMutex_Lock(&copies.mutex);
    struct copy *copy = copies.copies;
    while (copy != NULL
           && !(copy->owner == owner && is_same_file(&copy->status, status)))
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

/* Does another segment have some of the file's pages from start to end? */
static bool
is_of_others(const _PyElfImage *image, const ElfW(Phdr) *segment, size_t start, size_t end,
             size_t page)
{
    for (size_t i = 0; i < image->nsegments; i++) {
        const ElfW(Phdr) *other = &image->segments[i];
        if (other->p_type == PT_LOAD && other != segment
            && other->p_offset / page * page < end
            && other->p_offset + other->p_filesz > start)
        {
            return true;
        }
    }
    return false;
}

/* Map the original over the pages from start to end of a copy's file, which are loaded
   with a segment, and give up those of the copy.  Failure only costs memory. */
static size_t
share_pages(const _PyElfImage *image, int fd, uintptr_t base, const ElfW(Phdr) *segment,
            size_t start, size_t end)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    start = (start + page - 1) / page * page;
    end = end / page * page;
    if (start >= end || is_of_others(image, segment, start, end, page)) {
        return 0;
    }
    size_t size = end - start;
    int protection = (segment->p_flags & PF_R ? PROT_READ : 0)
                     | (segment->p_flags & PF_X ? PROT_EXEC : 0);
    void *pages = mmap(NULL, size, protection, MAP_PRIVATE, image->fd, (off_t)start);
    if (pages == MAP_FAILED) {
        return 0;
    }
    void *place = (void *)(base + segment->p_vaddr + (start - segment->p_offset));
    if (mremap(pages, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED) {
        munmap(pages, size);
        return 0;
    }
    (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
                    (off_t)size);
    return size;
}

/* Share with the original what of a copy is never written to.  Nothing of it runs yet.
   Returns how many bytes are the copy's own. */
static size_t
share_text(const _PyElfImage *image, int fd, uintptr_t base)
{
    size_t own = 0;
    for (size_t i = 0; i < image->nsegments; i++) {
        const ElfW(Phdr) *segment = &image->segments[i];
        if (segment->p_type != PT_LOAD) {
            continue;
        }
        own += segment->p_memsz;
        if (!(segment->p_flags & PF_W) && !_PyElfImage_HasTextRelocations(image)) {
            size_t start = segment->p_offset, end = start + segment->p_filesz;
            size_t changed = Py_MIN(Py_MAX(start, image->changed_start), end);
            own -= share_pages(image, fd, base, segment, start, changed);
            own -= share_pages(image, fd, base, segment,
                               Py_MAX(changed, image->changed_end), end);
        }
    }
    return own;
}

#ifndef MFD_EXEC
#  define MFD_EXEC 0x0010U
#endif

/* A file in memory, for its path one that the loader has not seen. */
static int
create_in_memory(const char *name, char *path, size_t path_size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
    if (fd < 0 && errno == EINVAL) {
        fd = memfd_create(name, MFD_CLOEXEC);           /* before Linux 6.3 */
    }
    if (fd >= 0) {
        spell(path, path_size, fd, next_number());
    }
    return fd;
}

/* A file in a new directory of our own.  It must be removed, and the directory. */
static int
create_in_directory(const char *parent, const char *name, char *path, size_t path_size)
{
    int length = snprintf(path, path_size, "%s/python-copy-XXXXXX", parent);
    if (length < 0 || (size_t)length + strlen(name) + 2 > path_size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdtemp(path) == NULL) {
        return -1;
    }
    snprintf(path + length, path_size - length, "/%s", name);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0) {
        int saved = errno;
        path[length] = '\0';
        rmdir(path);
        errno = saved;
    }
    return fd;
}

static void
remove_file(char *path)
{
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

/* Write the image to a file, load that, and share what can be with the original. */
static void *
load_file(const struct library *library, int fd, const char *path, int flags,
          struct copy *copy, struct problem *problem)
{
    if (write_image(&library->image, fd) < 0) {
        return fail(problem, library->path, "");
    }
    void *handle = dlopen(path, flags);
    if (handle == NULL) {
        return fail(problem, library->path, dlerror());
    }
    struct link_map *map;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) < 0) {
        fail(problem, library->path, dlerror());
        dlclose(handle);
        return NULL;
    }
    copy->base = map->l_addr;
    copy->own_size = share_text(&library->image, fd, copy->base);
    return handle;
}

/* Is it for want of a permission, or of memory files, that a copy could not be loaded? */
static bool
may_be_forbidden(const struct problem *problem)
{
    static const int errors[] = {EPERM, EACCES, ENOSYS, EFBIG, ENOSPC, EMFILE};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(errors); i++) {
        if (strstr(problem->text, strerror(errors[i])) != NULL) {
            return true;
        }
    }
    return strstr(problem->text, "failed to map segment") != NULL
           || strstr(problem->text, ": /proc/self/fd") != NULL;     // it is not mounted
}

/* Some systems forbid to execute files in memory, others those in temporary directories. */
static void *
load_image(const struct library *library, int flags, struct copy *copy,
           struct problem *problem)
{
    const char *slash = strrchr(library->path, '/');
    char name[200], path[PATH_MAX];
    snprintf(name, sizeof(name), "%s", slash != NULL ? slash + 1 : library->path);

    int fd = create_in_memory(name, path, sizeof(path));
    void *handle = NULL;
    if (fd >= 0) {
        handle = load_file(library, fd, path, flags, copy, problem);
        close(fd);
    }
    else {
        fail(problem, library->path, "");
    }
    if (handle != NULL || !may_be_forbidden(problem)) {
        return handle;
    }
    const char *parents[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"};
    for (size_t i = 0; handle == NULL && i < Py_ARRAY_LENGTH(parents); i++) {
        struct problem ignored;
        if (parents[i] == NULL || parents[i][0] != '/') {
            continue;
        }
        fd = create_in_directory(parents[i], name, path, sizeof(path));
        if (fd >= 0) {
            handle = load_file(library, fd, path, flags, copy, &ignored);
            remove_file(path);
            close(fd);
        }
    }
    if (handle == NULL) {
        size_t length = strlen(problem->text);
        snprintf(problem->text + length, sizeof(problem->text) - length,
                 "; a private copy needs to map a file as executable, either in memory "
                 "(memfd_create, sysctl vm.memfd_noexec) or in a directory of TMPDIR, "
                 "/tmp, /var/tmp or /dev/shm");
    }
    return handle;
}

/* What the loader gives to all constructors: what main() gets. */
typedef void (*constructor)(int, char **, char **);
static struct {
    int count;
    char **arguments;
    char **environment;
} at_start;

__attribute__((constructor)) static void
keep_arguments(int count, char **arguments, char **environment)
{
    at_start.count = count;
    at_start.arguments = arguments;
    at_start.environment = environment;
}

static void
call_constructor(constructor function)
{
    function(at_start.count, at_start.arguments, at_start.environment);
}

static void
call_constructors(const struct copy *copy)
{
    if (copy->hooks.init != 0) {
        call_constructor((constructor)(copy->base + copy->hooks.init));
    }
    constructor *functions = (constructor *)(copy->base + copy->hooks.init_array);
    for (size_t i = 0; i < copy->hooks.init_count; i++) {
        call_constructor(functions[i]);
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

/* One import of a module. */
struct loading {
    struct owner *owner;            /* for whom */
    int flags;                      /* of dlopen() */
    struct seen *seen;
    struct problem problem;
};

static struct copy *load_copy(struct loading *loading, struct library *library);
static int load_needed(struct loading *loading, struct library *library);

/* Load the copy of a library that calls Python, and let the one that needs it know it by its
   name.  Returns -1 on failure. */
static int
load_needed_copy(struct loading *loading, struct library *library, const char *name,
                 struct library *needed)
{
    struct problem *problem = &loading->problem;
    if (needs_itself(needed)) {
        fail(problem, needed->path, "a library that it needs needs it");
        return -1;
    }
    struct copy *copy = load_copy(loading, needed);
    if (copy == NULL) {
        return -1;
    }
    const char *wrong = copy->soname == NULL || strlen(copy->soname) != strlen(name)
        ? "a library that needs it calls it by another name"
        : _PyElfImage_Rename(&library->image, name, copy->soname);
    if (wrong != NULL) {
        fail(problem, needed->path, wrong);
        return -1;
    }
    return 0;
}

/* Open a library that is not copied, after those that it needs.  If that fails the loader
   may know better, and says so if it does not. */
static int
open_original(struct loading *loading, struct library *library)
{
    struct seen *seen = find_seen(loading->seen, library);
    if (seen->is_open || needs_itself(library)) {
        return 0;
    }
    if (load_needed(loading, library) < 0) {
        return -1;
    }
    (void)dlopen(library->path, RTLD_LAZY | RTLD_LOCAL);
    seen->is_open = true;
    return 0;
}

/* Open the libraries that the image needs, as far as they come with it: copies of those
   that call Python, by whose names they go in the image then, else the originals.
   Returns -1 on failure. */
static int
load_needed(struct loading *loading, struct library *library)
{
    const char *name;
    int result = 0;
    for (size_t i = 0;
         result == 0 && (name = _PyElfImage_String(&library->image, DT_NEEDED, i)); i++)
    {
        char path[PATH_MAX];
        struct library needed;
        if (open_needed(library, i, &needed, path)) {
            int calls = calls_python(&needed, &loading->seen);
            if (calls < 0) {
                fail(&loading->problem, path, "out of memory");
            }
            result = calls < 0 ? -1
                     : calls ? load_needed_copy(loading, library, name, &needed)
                     : open_original(loading, &needed);
            _PyElfImage_Close(&needed.image);
        }
    }
    return result;
}

/* The interpreter's copy of the library, a new one or what it has already. */
static struct copy *
load_copy(struct loading *loading, struct library *library)
{
    _PyElfImage *image = &library->image;
    struct problem *problem = &loading->problem;
    struct copy *copy = find_copy(loading->owner, &image->status);
    if (copy != NULL) {
        return copy;
    }
    if (load_needed(loading, library) < 0) {
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

    copy->handle = load_image(library, loading->flags, copy, problem);
    if (copy->handle == NULL) {
        goto error;
    }
    copy->owner = loading->owner;
    copy->status = image->status;
    copy->start = UINTPTR_MAX;
    for (size_t i = 0; i < image->nsegments; i++) {
        const ElfW(Phdr) *segment = &image->segments[i];
        if (segment->p_type == PT_LOAD) {
            copy->start = Py_MIN(copy->start, copy->base + segment->p_vaddr);
            copy->end = Py_MAX(copy->end, copy->base + segment->p_vaddr + segment->p_memsz);
        }
    }
    PyMutex_Lock(&copies.mutex);
    copy->next = copies.copies;
    _Py_atomic_store_ptr_release(&copies.copies, copy);
    PyMutex_Unlock(&copies.mutex);
    call_constructors(copy);
    return copy;

error:
    PyMem_RawFree(copy->path);
    PyMem_RawFree(copy->soname);
    PyMem_RawFree(copy);
    return NULL;
}

/* Why modules of that name are not copied, or NULL. */
static const char *
why_refused(const char *module_name)
{
    static const struct {
        const char *package, *reason;
    } refused[] = {
#define REFUSED(PACKAGE, REASON) {PACKAGE, REASON},
        _PyExtensionRefusals(REFUSED)
#undef REFUSED
    };
    size_t length = strcspn(module_name, ".");
    for (size_t i = 0; i < Py_ARRAY_LENGTH(refused); i++) {
        if (strlen(refused[i].package) == length
            && memcmp(refused[i].package, module_name, length) == 0)
        {
            return refused[i].reason;
        }
    }
    return NULL;
}

static dl_funcptr
raise_import_error(struct _Py_ext_module_loader_info *info, PyObject *message)
{
    if (message != NULL) {
        PyErr_SetImportError(message, info->name, info->filename);
        Py_DECREF(message);
    }
    return NULL;
}

dl_funcptr
_PyExtensionCopies_Find(struct _Py_ext_module_loader_info *info, const char *path)
{
    const char *reason = why_refused(info->newcontext);
    if (reason != NULL) {
        return raise_import_error(info, PyUnicode_FromFormat(
            "%U: it cannot be used in an interpreter with a GIL of its own: %s",
            info->name, reason));
    }
    if (PySys_Audit("interpreters.load_copy", "O", info->filename) < 0) {
        return NULL;
    }
    PyInterpreterState *interp = _PyInterpreterState_GET();
    struct library library = {.path = path};
    struct loading loading = {
        .owner = find_or_add_owner(interp),
        /* What others would bind to is never one interpreter's. */
        .flags = _PyImport_GetDLOpenFlags(interp) & ~RTLD_GLOBAL,
    };
    struct copy *copy = NULL;
    const char *wrong = loading.owner == NULL ? "out of memory"
                        : _PyElfImage_Open(&library.image, path);
    if (wrong != NULL) {
        fail(&loading.problem, path, wrong);
    }
    else {
        copy = load_copy(&loading, &library);
        _PyElfImage_Close(&library.image);
    }
    while (loading.seen != NULL) {
        struct seen *seen = loading.seen;
        loading.seen = seen->next;
        PyMem_RawFree(seen);
    }
    if (copy != NULL) {
        char function[258];
        PyOS_snprintf(function, sizeof(function), "%.20s_%.200s", info->hook_prefix,
                      PyBytes_AS_STRING(info->name_encoded));
        return (dl_funcptr)dlsym(copy->handle, function);
    }
    return raise_import_error(info, PyUnicode_DecodeLocale(loading.problem.text,
                                                            "surrogateescape"));
}


/* --- visitors ------------------------------------------------------------- */

/* Copies are never removed, so no lock is needed.  Threads mostly ask for one address again
   and again; the newest copy tells whether some were added meanwhile. */
static struct owner *
owner_at(const void *address)
{
    static _Py_thread_local struct {
        struct copy *newest;
        const void *address;
        struct owner *owner;
    } last;
    struct copy *copy = _Py_atomic_load_ptr_acquire(&copies.copies);
    if (last.newest == copy && last.address == address) {
        return last.owner;
    }
    last.newest = copy;
    last.address = address;
    while (copy != NULL
           && !((uintptr_t)address >= copy->start && (uintptr_t)address < copy->end))
    {
        copy = copy->next;
    }
    last.owner = copy != NULL ? copy->owner : NULL;
    return last.owner;
}

PyInterpreterState *
_PyExtensionCopies_Owner(const void *caller)
{
    struct owner *owner = owner_at(caller);
    return owner != NULL ? _Py_atomic_load_ptr(&owner->interp) : NULL;
}

static void
wait_while(uint32_t *value, uint32_t expected)
{
    (void)_PyParkingLot_Park(value, &expected, sizeof(expected), -1, NULL, /*detach=*/1);
}

/* Did the thread come from a visit to the interpreter to where it is now? */
static bool
is_visitor_already(PyThreadState *tstate, int64_t id)
{
    while (tstate != NULL) {
        const struct _PyThreadStateVisit *visit = &((_PyThreadStateImpl *)tstate)->visit;
        tstate = visit->active ? visit->before : NULL;
        if (tstate != NULL && PyInterpreterState_GetID(tstate->interp) == id) {
            return true;
        }
    }
    return false;
}

PyInterpreterState *
_PyExtensionCopies_Visit(PyThreadState *tstate, const void *caller)
{
    struct owner *owner = owner_at(caller);
    /* While an interpreter ends its own thread may still call the copies' code. */
    if (owner == NULL
        || (tstate != NULL && PyInterpreterState_GetID(tstate->interp) == owner->id))
    {
        return NULL;
    }
    bool returns = is_visitor_already(tstate, owner->id);
    for (;;) {
        PyMutex_Lock(&copies.mutex);
        PyInterpreterState *interp = owner->interp;
        bool enters = interp != NULL && (!owner->is_shut || returns);
        if (enters) {
            (void)_Py_atomic_add_uint32(&owner->visitors, 1);
        }
        PyMutex_Unlock(&copies.mutex);
        if (enters) {
            return interp;
        }
        wait_while(&owner->is_shut, 1);
    }
}

void
_PyExtensionCopies_Leave(PyInterpreterState *interp)
{
    PyMutex_Lock(&copies.mutex);
    struct owner *owner = find_owner(interp);
    (void)_Py_atomic_add_uint32(&owner->visitors, (uint32_t)-1);
    PyMutex_Unlock(&copies.mutex);
    _PyParkingLot_UnparkAll(&owner->visitors);
}

/* The owner, or NULL, and how many are visiting it. */
static struct owner *
count_visitors(PyInterpreterState *interp, uint32_t *visitors)
{
    PyMutex_Lock(&copies.mutex);
    struct owner *owner = find_owner(interp);
    *visitors = owner != NULL ? owner->visitors : 0;
    PyMutex_Unlock(&copies.mutex);
    return owner;
}

uint32_t
_PyExtensionCopies_ShutOut(PyInterpreterState *interp)
{
    /* One that has no copies yet may load some while it ends. */
    struct owner *owner = _PyExtensionCopies_Enabled(interp) ? find_or_add_owner(interp)
                                                             : NULL;
    if (owner == NULL) {
        return 0;
    }
    PyMutex_Lock(&copies.mutex);
    _Py_atomic_store_uint32(&owner->is_shut, 1);
    uint32_t visitors = owner->visitors;
    PyMutex_Unlock(&copies.mutex);
    return visitors;
}

void
_PyExtensionCopies_WaitForVisitors(PyInterpreterState *interp)
{
    uint32_t visitors;
    struct owner *owner;
    while ((owner = count_visitors(interp, &visitors)) != NULL && visitors != 0) {
        wait_while(&owner->visitors, visitors);
    }
}

void
_PyExtensionCopies_LetIn(PyInterpreterState *interp)
{
    PyMutex_Lock(&copies.mutex);
    struct owner *owner = find_owner(interp);
    if (owner != NULL) {
        _Py_atomic_store_uint32(&owner->is_shut, 0);
    }
    PyMutex_Unlock(&copies.mutex);
    if (owner != NULL) {
        _PyParkingLot_UnparkAll(&owner->is_shut);
    }
}


/* --- the end of an interpreter -------------------------------------------- */

int
_PyExtensionCopies_AtExit(void (*function)(void))
{
    struct owner *owner = owner_at((const void *)(uintptr_t)function);
    if (owner == NULL) {
        return 0;
    }
    struct exit_function *added = PyMem_RawMalloc(sizeof(*added));
    if (added == NULL) {
        return -1;
    }
    added->function = function;
    PyMutex_Lock(&copies.mutex);
    added->next = owner->exit_functions;
    owner->exit_functions = added;
    PyMutex_Unlock(&copies.mutex);
    return 1;
}

bool
_PyExtensionCopies_AddPendingCall(int (*function)(void *), void *argument, int *result)
{
    struct owner *owner = owner_at((const void *)(uintptr_t)function);
    if (owner == NULL) {
        return false;
    }
    *result = 0;
    /* With the lock, so that the interpreter does not end meanwhile. */
    PyMutex_Lock(&copies.mutex);
    if (owner->interp != NULL
        && _PyEval_AddPendingCall(owner->interp, function, argument, 0)
           != _Py_ADD_PENDING_SUCCESS)
    {
        *result = -1;
    }
    PyMutex_Unlock(&copies.mutex);
    return true;
}

static void
call_exit_functions(struct owner *owner)
{
    for (;;) {
        PyMutex_Lock(&copies.mutex);
        struct exit_function *last = owner->exit_functions;
        if (last != NULL) {
            owner->exit_functions = last->next;
        }
        PyMutex_Unlock(&copies.mutex);
        if (last == NULL) {
            return;
        }
        last->function();
        PyMem_RawFree(last);
    }
}

void
_PyExtensionCopies_Fini(PyInterpreterState *interp)
{
    PyMutex_Lock(&copies.mutex);
    struct owner *owner = find_owner(interp);
    struct copy *copy = copies.copies;
    PyMutex_Unlock(&copies.mutex);
    if (owner == NULL) {
        return;
    }
    call_exit_functions(owner);
    bool has_copies = false;
    /* Those that are loaded meanwhile are other interpreters'. */
    for (; copy != NULL; copy = copy->next) {
        if (copy->owner == owner) {
            has_copies = true;
            call_destructors(copy);
        }
    }
    PyMutex_Lock(&copies.mutex);
    _Py_atomic_store_uint32(&owner->is_shut, 1);
    _Py_atomic_store_ptr(&owner->interp, NULL);
    if (!has_copies) {
        struct owner **link = &copies.owners;
        while (*link != owner) {
            link = &(*link)->next;
        }
        *link = owner->next;
    }
    PyMutex_Unlock(&copies.mutex);
    if (!has_copies) {
        PyMem_RawFree(owner);
    }
}

void
_PyExtensionCopies_AfterFork(void)
{
    _PyMutex_at_fork_reinit(&copies.mutex);
    for (struct owner *owner = copies.owners; owner != NULL; owner = owner->next) {
        owner->interp = NULL;
        owner->visitors = 0;
        owner->is_shut = 1;
    }
}

_PyExtensionCopies_Info *
_PyExtensionCopies_List(size_t *count)
{
    _PyExtensionCopies_Info *list = NULL;
    size_t size = 0, needed;
    for (;;) {
        PyMutex_Lock(&copies.mutex);
        needed = 0;
        for (struct copy *copy = copies.copies; copy != NULL; copy = copy->next) {
            needed++;
        }
        if (list != NULL && needed <= size) {
            break;
        }
        PyMutex_Unlock(&copies.mutex);
        PyMem_RawFree(list);
        size = needed;
        list = PyMem_RawMalloc((size + 1) * sizeof(*list));
        if (list == NULL) {
            return NULL;
        }
    }
    *count = needed;
    for (struct copy *copy = copies.copies; copy != NULL; copy = copy->next) {
        list[--needed] = (_PyExtensionCopies_Info){
            .path = copy->path,
            .owner = copy->owner->interp != NULL ? copy->owner->id : -1,
            .own_size = copy->own_size,
        };
    }
    PyMutex_Unlock(&copies.mutex);
    return list;
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

PyInterpreterState *
_PyExtensionCopies_Owner(const void *caller)
{
    return NULL;
}

PyInterpreterState *
_PyExtensionCopies_Visit(PyThreadState *tstate, const void *caller)
{
    return NULL;
}

void
_PyExtensionCopies_Leave(PyInterpreterState *interp)
{
}

uint32_t
_PyExtensionCopies_ShutOut(PyInterpreterState *interp)
{
    return 0;
}

void
_PyExtensionCopies_WaitForVisitors(PyInterpreterState *interp)
{
}

void
_PyExtensionCopies_LetIn(PyInterpreterState *interp)
{
}

int
_PyExtensionCopies_AtExit(void (*function)(void))
{
    return 0;
}

bool
_PyExtensionCopies_AddPendingCall(int (*function)(void *), void *argument, int *result)
{
    return false;
}

void
_PyExtensionCopies_AfterFork(void)
{
}

_PyExtensionCopies_Info *
_PyExtensionCopies_List(size_t *count)
{
    *count = 0;
    return PyMem_RawMalloc(1);
}

#endif  // Py_HAVE_ELFIMAGE
