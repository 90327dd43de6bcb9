/* Private copies of extension modules, see pycore_extensioncopies.h.

   A copy is the file of the original with a few changes, under a name that the dynamic
   loader has not seen:

   - libraries that come with it and call Python, too, are copied and go by other names in
     the copy (others are shared, they hold nothing of Python's);
   - what the loader would call in it is called here: constructors when the copy is
     loaded, destructors when its interpreter ends and still has a thread state;
   - a symbol that would be one in the whole process becomes the copy's own.

   The libraries a copy needs are opened before it, as its own directory, where they are
   looked for, is not that of the original.

   When an interpreter has ended its copies are unloaded, all of them or none, as they point to
   each other: none if one may have left something behind that is called later. */

#include "Python.h"
#include "pycore_ceval.h"         // _PyEval_AddPendingCall()
#include "pycore_elfload.h"
#include "pycore_elfsearch.h"
#include "pycore_extensioncopies.h"
#include "pycore_extensionrefusals.h"
#include "pycore_extensionunloading.h"
#include "pycore_import.h"        // _PyImport_GetDLOpenFlags()
#include "pycore_initconfig.h"
#include "pycore_lock.h"          // PyMutex
#include "osdefs.h"               // SEP
#include "pycore_parking_lot.h"   // _PyParkingLot_Park()
#include "pycore_pystate.h"       // _PyInterpreterState_GET()
#include "pycore_visitors.h"      // _PyVisitors_Expect()

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
#include <string.h>

/* An interpreter that has copies. */
struct owner {
    struct owner *next;
    PyInterpreterState *interp;     /* NULL once it has ended */
    int64_t id;
    struct exit_function *exit_functions;   /* the last one first */
    struct module_index *indices;
};

/* Where the modules of a copy are in PyState_FindModule()'s list of each interpreter.  These
   lists must not grow with each interpreter that there ever was. */
struct module_index {
    struct module_index *next;
    Py_ssize_t value;
};

/* What a copy gave to Py_AtExit(). */
struct exit_function {
    struct exit_function *next;
    void (*function)(void);
};

struct copy {
    struct copy *next;              /* the one loaded before it */
    struct copy *next_to_end;       /* the same of its interpreter, which is ending */
    struct owner *owner;
    const struct path *path;        /* of the original */
    struct stat status;             /* of that, which tells it from others */
    char name[_PyElfImage_NAME_SIZE];   /* what others need it by, or "" */
    const char *kept_for;           /* why it is not unloaded, or NULL */
    PyTime_t load_time;             /* how long loading took, with what it needs */
    _PyElfLoaded loaded;
};

/* Paths are kept for good, each once. */
struct path {
    struct path *next;
    char text[];
};

/* A library of which a thread is loading a copy, on that thread's stack. */
struct load {
    struct load *next;
    const struct owner *owner;
    const struct stat *status;
    PyThread_ident_t thread;
};

/* All copies of the process and whose they are, the newest first.  The mutex is held for
   reading and changing the lists and the owners, never while a library is loaded, and nothing
   is called with it but what adds a pending call, what wakes waiting threads and what counts
   module indices.  The list of copies can be walked without
   it, if what was read is checked with the sequence lock then: no struct copy is ever freed.

   A copy is listed before its constructors run, so that these can call back, and import.  Other
   threads do not get it until they are done, nor load another one meanwhile. */
static struct {
    PyMutex mutex;
    _PySeqLock sequence;
    struct owner *owners;
    struct copy *copies;
    struct copy *unused;
    struct load *loads;             /* those that go on */
    uint32_t loads_ended;           /* how many; waited for */
    struct module_index *unused_indices;
    struct path *paths;
} copies;


/* --- loading -------------------------------------------------------------- */

/* The link to the owner of that id, also when it has ended, or the end of the list.  The mutex
   is held. */
static struct owner **
find_owner(int64_t id)
{
    struct owner **link = &copies.owners;
    while (*link != NULL && (*link)->id != id) {
        link = &(*link)->next;
    }
    return link;
}

/* NULL, with a reason, if out of memory or if the interpreter's copies have ended: it gets no
   new ones then. */
static struct owner *
find_or_add_owner(PyInterpreterState *interp, const char **wrong)
{
    int64_t id = PyInterpreterState_GetID(interp);
    struct owner *added = PyMem_RawCalloc(1, sizeof(*added));
    PyMutex_Lock(&copies.mutex);
    struct owner *owner = *find_owner(id);
    if (owner == NULL && added != NULL) {
        *added = (struct owner){.next = copies.owners, .interp = interp, .id = id};
        copies.owners = owner = added;
        added = NULL;
    }
    bool has_ended = owner != NULL && owner->interp == NULL;
    PyMutex_Unlock(&copies.mutex);
    PyMem_RawFree(added);
    *wrong = has_ended ? "the interpreter is ending" : owner == NULL ? "out of memory" : NULL;
    return has_ended ? NULL : owner;
}

/* The mutex is held. */
static struct copy *
find_copy(const struct owner *owner, const struct stat *status)
{
    struct copy *copy = copies.copies;
    while (copy != NULL
           && !(copy->owner == owner && _PyElf_IsSameFile(&copy->status, status)))
    {
        copy = copy->next;
    }
    return copy;
}

/* The mutex is held. */
static bool
is_loaded_by_another_thread(const struct load *load)
{
    const struct load *other = copies.loads;
    while (other != NULL
           && !(other->owner == load->owner && other->thread != load->thread
                && _PyElf_IsSameFile(other->status, load->status)))
    {
        other = other->next;
    }
    return other != NULL;
}

/* The interpreter's copy, after waiting for another thread that loads it; NULL if it has none,
   and then the load begins, to be ended. */
static struct copy *
find_copy_or_begin(struct load *load)
{
    for (;;) {
        PyMutex_Lock(&copies.mutex);
        struct copy *copy = find_copy(load->owner, load->status);
        bool must_wait = is_loaded_by_another_thread(load);
        if (copy == NULL && !must_wait) {
            load->next = copies.loads;
            copies.loads = load;
        }
        uint32_t ended = copies.loads_ended;
        PyMutex_Unlock(&copies.mutex);
        if (!must_wait) {
            return copy;
        }
        (void)_PyParkingLot_Park(&copies.loads_ended, &ended, sizeof(ended), -1, NULL,
                                 /*detach=*/1);
    }
}

static void
end_load(const struct load *load)
{
    PyMutex_Lock(&copies.mutex);
    struct load **link = &copies.loads;
    while (*link != NULL && *link != load) {    /* it is gone after a fork */
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = load->next;
    }
    (void)_Py_atomic_add_uint32(&copies.loads_ended, 1);
    _PyParkingLot_UnparkAll(&copies.loads_ended);
    PyMutex_Unlock(&copies.mutex);
}

/* One import of a module. */
struct loading {
    struct owner *owner;            /* for whom */
    int flags;                      /* of dlopen() */
    _PyElfSeen *seen;
    _PyElfProblem problem;
};

static struct copy *load_copy(struct loading *loading, _PyElfLibrary *library);
static int load_needed(struct loading *loading, _PyElfLibrary *library);

/* Load the copy of a library that calls Python, and let the one that needs it know it by its
   name.  Returns -1 on failure. */
static int
load_needed_copy(struct loading *loading, _PyElfLibrary *library, const char *name,
                 _PyElfLibrary *needed)
{
    _PyElfProblem *problem = &loading->problem;
    if (_PyElfLibrary_NeedsItself(needed)) {
        _PyElf_Fail(problem, needed->path, "a library that it needs needs it");
        return -1;
    }
    struct copy *copy = load_copy(loading, needed);
    if (copy == NULL) {
        return -1;
    }
    const char *wrong = copy->name[0] == '\0' ? "it was loaded without a name of its own"
                        : _PyElfImage_Rename(&library->image, name, copy->name);
    if (wrong != NULL) {
        _PyElf_Fail(problem, needed->path, wrong);
        return -1;
    }
    return 0;
}

/* Open a library that is not copied, after those that it needs.  If that fails the loader
   may know better, and says so if it does not. */
static int
open_original(struct loading *loading, _PyElfLibrary *library)
{
    _PyElfSeen *seen = _PyElfSeen_Find(loading->seen, library);
    if (seen->is_open || _PyElfLibrary_NeedsItself(library)) {
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
load_needed(struct loading *loading, _PyElfLibrary *library)
{
    const char *name;
    int result = 0;
    for (size_t i = 0;
         result == 0 && (name = _PyElfImage_String(&library->image, DT_NEEDED, i)); i++)
    {
        char path[PATH_MAX];
        _PyElfLibrary needed;
        if (_PyElfLibrary_OpenNeeded(library, i, &needed, path)) {
            int calls = _PyElfLibrary_CallsPython(&needed, &loading->seen);
            if (calls < 0) {
                _PyElf_Fail(&loading->problem, path, "out of memory");
            }
            result = calls < 0 ? -1
                     : calls ? load_needed_copy(loading, library, name, &needed)
                     : open_original(loading, &needed);
            _PyElfLibrary_CloseNeeded(library, i, &needed, calls != 0);
        }
    }
    return result;
}

/* Why the copy cannot be unloaded, or NULL. */
static const char *
why_kept(const _PyElfImage *image)
{
    static const struct {
        const char *name, *reason;
    } symbols[] = {
#define SYMBOL(NAME, REASON) {NAME, REASON},
        _PyExtensionUnloading_SYMBOLS(SYMBOL)
#undef SYMBOL
    };
    static const char *const libraries[] = {
        _PyElfLoad_NAME_START,
#define LIBRARY(START) START,
        _PyExtensionUnloading_LIBRARIES(LIBRARY)
#undef LIBRARY
    };
    if (_PyElfImage_IsForGood(image)) {
        return "the loader does not unload it";
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(symbols); i++) {
        if (_PyElfImage_Uses(image, symbols[i].name)) {
            return symbols[i].reason;
        }
    }
    const char *name;
    for (size_t i = 0; (name = _PyElfImage_String(image, DT_NEEDED, i)) != NULL; i++) {
        size_t known = 0;
        while (known < Py_ARRAY_LENGTH(libraries)
               && strncmp(name, libraries[known], strlen(libraries[known])) != 0)
        {
            known++;
        }
        if (known == Py_ARRAY_LENGTH(libraries)) {
            return "it can give its functions to a library that is not copied";
        }
    }
    return NULL;
}

/* The mutex is held.  NULL if out of memory. */
static const struct path *
intern_path(const char *text)
{
    struct path *path = copies.paths;
    while (path != NULL && strcmp(path->text, text) != 0) {
        path = path->next;
    }
    size_t size = strlen(text) + 1;
    if (path == NULL && (path = PyMem_RawMalloc(sizeof(*path) + size)) != NULL) {
        memcpy(path->text, text, size);
        path->next = copies.paths;
        copies.paths = path;
    }
    return path;
}

/* One that is in no list, or NULL if out of memory. */
static struct copy *
new_copy(const char *path)
{
    PyMutex_Lock(&copies.mutex);
    const struct path *interned = intern_path(path);
    struct copy *copy = interned != NULL ? copies.unused : NULL;
    if (copy != NULL) {
        copies.unused = copy->next;
    }
    PyMutex_Unlock(&copies.mutex);
    if (copy == NULL && interned != NULL) {
        copy = PyMem_RawCalloc(1, sizeof(*copy));
    }
    if (copy != NULL) {
        copy->path = interned;
        copy->name[0] = '\0';
    }
    return copy;
}

static void
discard_copy(struct copy *copy)
{
    PyMutex_Lock(&copies.mutex);
    _Py_atomic_store_ptr_relaxed(&copy->next, copies.unused);
    copies.unused = copy;
    PyMutex_Unlock(&copies.mutex);
}

/* Who walks the list without the mutex reads these fields, also those of copies that are not
   in it any more. */
static void
publish(struct copy *copy, struct owner *owner, const _PyElfLoaded *loaded)
{
    PyMutex_Lock(&copies.mutex);
    _PySeqLock_LockWrite(&copies.sequence);
    copy->loaded.handle = loaded->handle;
    copy->loaded.base = loaded->base;
    copy->loaded.own_size = loaded->own_size;
    copy->loaded.hooks = loaded->hooks;
    _Py_atomic_store_uintptr_relaxed(&copy->loaded.start, loaded->start);
    _Py_atomic_store_uintptr_relaxed(&copy->loaded.end, loaded->end);
    _Py_atomic_store_ptr_relaxed(&copy->owner, owner);
    _Py_atomic_store_ptr_relaxed(&copy->next, copies.copies);
    _Py_atomic_store_ptr_relaxed(&copies.copies, copy);
    _PySeqLock_UnlockWrite(&copies.sequence);
    PyMutex_Unlock(&copies.mutex);
}

static struct copy *
load_new_copy(struct loading *loading, _PyElfLibrary *library)
{
    _PyElfImage *image = &library->image;
    _PyElfProblem *problem = &loading->problem;
    PyTime_t start, end;
    (void)PyTime_MonotonicRaw(&start);
    if (load_needed(loading, library) < 0) {
        return NULL;
    }
    PyMutex_Lock(&copies.mutex);
    struct copy *copy = find_copy(loading->owner, &image->status);
    PyMutex_Unlock(&copies.mutex);
    if (copy != NULL) {
        return copy;                /* a constructor of what it needs has imported it */
    }
    copy = new_copy(library->path);
    if (copy == NULL) {
        return _PyElf_Fail(problem, library->path, "out of memory");
    }
    copy->status = image->status;
    copy->kept_for = why_kept(image);
    _PyElfLoaded loaded = {.hooks = _PyElfImage_TakeHooks(image)};
    if (library->needed_by != NULL || _PyElfImage_String(image, DT_SONAME, 0) != NULL) {
        _PyElfLoad_MakeName(copy->name);
        const char *wrong = _PyElfImage_SetName(image, copy->name);
        if (wrong != NULL) {
            _PyElf_Fail(problem, library->path, wrong);
            goto error;
        }
    }
    _PyElfImage_UnshareSymbols(image);
    if (_PyElfLoad_Open(image, library->path, loading->flags, &loaded, problem) < 0) {
        goto error;
    }
    (void)PyTime_MonotonicRaw(&end);
    copy->load_time = end - start;
    publish(copy, loading->owner, &loaded);
    _PyElfLoad_CallConstructors(&loaded);
    return copy;

error:
    discard_copy(copy);
    return NULL;
}

/* The interpreter's copy of the library, a new one or what it has already. */
static struct copy *
load_copy(struct loading *loading, _PyElfLibrary *library)
{
    struct load load = {
        .owner = loading->owner, .status = &library->image.status,
        .thread = PyThread_get_thread_ident_ex(),
    };
    struct copy *copy = find_copy_or_begin(&load);
    if (copy == NULL) {
        copy = load_new_copy(loading, library);
        end_load(&load);
    }
    return copy;
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
    const char *wrong;
    _PyElfLibrary library = {.path = path};
    struct loading loading = {
        .owner = find_or_add_owner(interp, &wrong),
        /* What others would bind to is never one interpreter's. */
        .flags = _PyImport_GetDLOpenFlags(interp)
                 & ~(RTLD_GLOBAL | RTLD_NODELETE | RTLD_NOLOAD),
    };
    struct copy *copy = NULL;
    if (wrong == NULL) {
        wrong = _PyVisitors_Expect(interp) < 0 ? "out of memory"
                : _PyElfImage_Open(&library.image, path);
    }
    if (wrong != NULL) {
        _PyElf_Fail(&loading.problem, path, wrong);
    }
    else {
        copy = load_copy(&loading, &library);
        _PyElfImage_Close(&library.image);
    }
    _PyElfSeen_Free(loading.seen);
    if (copy != NULL) {
        char function[258];
        PyOS_snprintf(function, sizeof(function), "%.20s_%.200s", info->hook_prefix,
                      PyBytes_AS_STRING(info->name_encoded));
        return (dl_funcptr)dlsym(copy->loaded.handle, function);
    }
    return raise_import_error(info, PyUnicode_DecodeLocale(loading.problem.text,
                                                            "surrogateescape"));
}


/* --- whose code an address is ---------------------------------------------- */

static struct owner *
search_owner(uintptr_t address)
{
    const struct copy *copy = _Py_atomic_load_ptr_relaxed(&copies.copies);
    while (copy != NULL
           && !(address >= _Py_atomic_load_uintptr_relaxed(&copy->loaded.start)
                && address < _Py_atomic_load_uintptr_relaxed(&copy->loaded.end)))
    {
        copy = _Py_atomic_load_ptr_relaxed(&copy->next);
    }
    return copy != NULL ? _Py_atomic_load_ptr_relaxed(&copy->owner) : NULL;
}

/* Threads mostly ask for one address again and again. */
static _Py_thread_local struct {
    uint32_t sequence;
    const void *address;
    struct owner *owner;
} last;

/* An owner lives as long as its copies, so for the caller at that address. */
static struct owner *
owner_at(const void *address)
{
    if (_Py_atomic_load_ptr_relaxed(&copies.copies) == NULL) {
        return NULL;
    }
    uint32_t sequence = _PySeqLock_BeginRead(&copies.sequence);
    if (last.sequence == sequence && last.address == address) {
        return last.owner;
    }
    struct owner *owner;
    while (owner = search_owner((uintptr_t)address),
           !_PySeqLock_EndRead(&copies.sequence, sequence))
    {
        sequence = _PySeqLock_BeginRead(&copies.sequence);
    }
    last.sequence = sequence;
    last.address = address;
    last.owner = owner;
    return owner;
}

PyInterpreterState *
_PyExtensionCopies_Owner(const void *caller)
{
    struct owner *owner = owner_at(caller);
    return owner != NULL ? _Py_atomic_load_ptr(&owner->interp) : NULL;
}

int64_t
_PyExtensionCopies_OwnerId(const void *caller)
{
    struct owner *owner = owner_at(caller);
    return owner != NULL ? owner->id : -1;
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
    bool lives = owner->interp != NULL;
    if (lives) {
        added->next = owner->exit_functions;
        owner->exit_functions = added;
    }
    PyMutex_Unlock(&copies.mutex);
    if (!lives) {
        PyMem_RawFree(added);
    }
    return lives ? 1 : -1;
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
    int64_t id = PyInterpreterState_GetID(interp);
    PyMutex_Lock(&copies.mutex);
    struct owner *owner = *find_owner(id);
    PyMutex_Unlock(&copies.mutex);
    if (owner == NULL || owner->interp == NULL) {
        return;
    }
    call_exit_functions(owner);
    /* Others may be removed from the list meanwhile, but these are not. */
    PyMutex_Lock(&copies.mutex);
    struct copy *first = NULL, **end = &first;
    for (struct copy *copy = copies.copies; copy != NULL; copy = copy->next) {
        if (copy->owner == owner) {
            *end = copy;
            end = &copy->next_to_end;
        }
    }
    *end = NULL;
    PyMutex_Unlock(&copies.mutex);
    bool has_copies = first != NULL;
    for (struct copy *copy = first; copy != NULL; copy = copy->next_to_end) {
        _PyElfLoad_CallDestructors(&copy->loaded);
    }
    PyMutex_Lock(&copies.mutex);
    _Py_atomic_store_ptr(&owner->interp, NULL);
    if (!has_copies) {
        *find_owner(id) = owner->next;
    }
    PyMutex_Unlock(&copies.mutex);
    if (!has_copies) {
        PyMem_RawFree(owner);
    }
}

/* Take the owner's copies out of the list, the newest first.  The mutex is held. */
static struct copy *
withdraw(const struct owner *owner)
{
    struct copy *gone = NULL, **end = &gone;
    _PySeqLock_LockWrite(&copies.sequence);
    for (struct copy **link = &copies.copies; *link != NULL;) {
        struct copy *copy = *link;
        if (copy->owner != owner) {
            link = &copy->next;
            continue;
        }
        _Py_atomic_store_ptr_relaxed(link, copy->next);
        _Py_atomic_store_ptr_relaxed(&copy->next, NULL);
        _Py_atomic_store_ptr_relaxed(end, copy);
        end = &copy->next;
    }
    _PySeqLock_UnlockWrite(&copies.sequence);
    return gone;
}

static bool
are_any_kept(const struct owner *owner)
{
    const struct copy *copy = copies.copies;
    while (copy != NULL && !(copy->owner == owner && copy->kept_for != NULL)) {
        copy = copy->next;
    }
    return copy != NULL;
}

bool
_PyExtensionCopies_Unload(int64_t id)
{
    PyMutex_Lock(&copies.mutex);
    struct owner **link = find_owner(id);
    struct owner *owner = *link;
    if (owner == NULL || are_any_kept(owner)) {
        PyMutex_Unlock(&copies.mutex);
        return false;
    }
    struct copy *gone = withdraw(owner);
    *link = owner->next;
    struct module_index **last = &owner->indices;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = copies.unused_indices;
    copies.unused_indices = owner->indices;
    PyMutex_Unlock(&copies.mutex);

    while (gone != NULL) {
        struct copy *copy = gone;
        gone = copy->next;
        _PyElfLoad_Close(&copy->loaded);
        discard_copy(copy);
    }
    PyMem_RawFree(owner);
    return true;
}

Py_ssize_t
_PyExtensionCopies_NextModuleIndex(const PyModuleDef *def)
{
    struct owner *owner = owner_at(def);
    if (owner == NULL) {
        return _PyImport_GetNextModuleIndex();
    }
    PyMutex_Lock(&copies.mutex);
    struct module_index *index = copies.unused_indices;
    if (index != NULL) {
        copies.unused_indices = index->next;
    }
    else if ((index = PyMem_RawMalloc(sizeof(*index))) != NULL) {
        index->value = _PyImport_GetNextModuleIndex();
    }
    if (index != NULL) {
        index->next = owner->indices;
        owner->indices = index;
    }
    PyMutex_Unlock(&copies.mutex);
    return index != NULL ? index->value : _PyImport_GetNextModuleIndex();
}

void
_PyExtensionCopies_AfterFork(void)
{
    _PyMutex_at_fork_reinit(&copies.mutex);
    (void)_PySeqLock_AfterFork(&copies.sequence);
    last.address = NULL;
    last.owner = NULL;
    copies.loads = NULL;
    for (struct owner *owner = copies.owners; owner != NULL; owner = owner->next) {
        owner->interp = NULL;
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
            .path = copy->path->text,
            .load_time = copy->load_time,
            .kept_for = copy->kept_for,
            .owner = copy->owner->interp != NULL ? copy->owner->id : -1,
            .own_size = copy->loaded.own_size,
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

bool
_PyExtensionCopies_Unload(int64_t id)
{
    return false;
}

Py_ssize_t
_PyExtensionCopies_NextModuleIndex(const PyModuleDef *def)
{
    return _PyImport_GetNextModuleIndex();
}

PyInterpreterState *
_PyExtensionCopies_Owner(const void *caller)
{
    return NULL;
}

int64_t
_PyExtensionCopies_OwnerId(const void *caller)
{
    return -1;
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
