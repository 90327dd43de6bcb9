/* Loading changed images of shared objects, see pycore_elfload.h. */

#include "Python.h"
#include "pycore_elfload.h"

#ifdef Py_HAVE_ELFIMAGE

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>               // PATH_MAX
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *
_PyElf_Fail(_PyElfProblem *problem, const char *path, const char *what)
{
    if (*what == '\0') {
        what = strerror(errno);
    }
    snprintf(problem->text, sizeof(problem->text), "%s: %s", path, what);
    return NULL;
}


static uint32_t
next_number(void)
{
    static uint32_t count;
    return _Py_atomic_add_uint32(&count, 1) + 1;
}

void
_PyElfLoad_MakeName(char name[_PyElfImage_NAME_SIZE])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint32_t number = next_number();
    strcpy(name, _PyElfLoad_NAME_START "000000");
    for (char *digit = name + strlen(name) - 1; number > 0; digit--, number /= 36) {
        *digit = digits[number % 36];
    }
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
spell(char *path, size_t size, int fd)
{
    int length = snprintf(path, size, "/proc/self/fd");
    for (uint32_t number = next_number(); number != 0; number >>= 1) {
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
        spell(path, path_size, fd);
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
static int
load_file(const _PyElfImage *image, const char *original, int fd, const char *path, int flags,
          _PyElfLoaded *loaded, _PyElfProblem *problem)
{
    if (write_image(image, fd) < 0) {
        _PyElf_Fail(problem, original, "");
        return -1;
    }
    loaded->handle = dlopen(path, flags);
    if (loaded->handle == NULL) {
        /* Mostly it begins with the path, which says nothing. */
        const char *what = dlerror();
        size_t length = strlen(path);
        bool skip = strncmp(what, path, length) == 0 && strncmp(what + length, ": ", 2) == 0;
        _PyElf_Fail(problem, original, skip ? what + length + 2 : what);
        return -1;
    }
    struct link_map *map;
    if (dlinfo(loaded->handle, RTLD_DI_LINKMAP, &map) < 0) {
        _PyElf_Fail(problem, original, dlerror());
        dlclose(loaded->handle);
        return -1;
    }
    loaded->base = map->l_addr;
    loaded->own_size = share_text(image, fd, loaded->base);
    loaded->start = UINTPTR_MAX;
    loaded->end = 0;
    for (size_t i = 0; i < image->nsegments; i++) {
        const ElfW(Phdr) *segment = &image->segments[i];
        if (segment->p_type == PT_LOAD) {
            uintptr_t start = loaded->base + segment->p_vaddr;
            loaded->start = Py_MIN(loaded->start, start);
            loaded->end = Py_MAX(loaded->end, start + segment->p_memsz);
        }
    }
    return 0;
}

/* Is it for want of a permission, or of memory files, that a copy could not be loaded? */
static bool
may_be_forbidden(const _PyElfProblem *problem, const char *original)
{
    static const char not_there[] = ": cannot open shared object file";
    size_t length = strlen(original);
    if (strncmp(problem->text, original, length) == 0
        && strncmp(problem->text + length, not_there, strlen(not_there)) == 0)
    {
        return true;                /* /proc is not mounted */
    }
    static const int errors[] = {EPERM, EACCES, ENOSYS, EFBIG, ENOSPC, EMFILE};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(errors); i++) {
        if (strstr(problem->text, strerror(errors[i])) != NULL) {
            return true;
        }
    }
    return strstr(problem->text, "failed to map segment") != NULL;
}

/* Some systems forbid to execute files in memory, others those in temporary directories. */
int
_PyElfLoad_Open(const _PyElfImage *image, const char *original, int flags,
                _PyElfLoaded *loaded, _PyElfProblem *problem)
{
    const char *slash = strrchr(original, '/');
    char name[200], path[PATH_MAX];
    snprintf(name, sizeof(name), "%s", slash != NULL ? slash + 1 : original);

    int fd = create_in_memory(name, path, sizeof(path));
    int result = -1;
    if (fd >= 0) {
        result = load_file(image, original, fd, path, flags, loaded, problem);
        close(fd);
    }
    else {
        _PyElf_Fail(problem, original, "");
    }
    if (result == 0 || !may_be_forbidden(problem, original)) {
        return result;
    }
    const char *parents[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"};
    for (size_t i = 0; result < 0 && i < Py_ARRAY_LENGTH(parents); i++) {
        _PyElfProblem ignored;
        if (parents[i] == NULL || parents[i][0] != '/') {
            continue;
        }
        fd = create_in_directory(parents[i], name, path, sizeof(path));
        if (fd >= 0) {
            result = load_file(image, original, fd, path, flags, loaded, &ignored);
            remove_file(path);
            close(fd);
        }
    }
    if (result < 0) {
        size_t length = strlen(problem->text);
        snprintf(problem->text + length, sizeof(problem->text) - length,
                 "; a private copy needs to map a file as executable, either in memory "
                 "(memfd_create, sysctl vm.memfd_noexec) or in a directory of TMPDIR, "
                 "/tmp, /var/tmp or /dev/shm");
    }
    return result;
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

void
_PyElfLoad_CallConstructors(const _PyElfLoaded *loaded)
{
    if (loaded->hooks.init != 0) {
        call_constructor((constructor)(loaded->base + loaded->hooks.init));
    }
    constructor *functions = (constructor *)(loaded->base + loaded->hooks.init_array);
    for (size_t i = 0; i < loaded->hooks.init_count; i++) {
        call_constructor(functions[i]);
    }
}

void
_PyElfLoad_CallDestructors(const _PyElfLoaded *loaded)
{
    typedef void (*destructor)(void);
    destructor *functions = (destructor *)(loaded->base + loaded->hooks.fini_array);
    for (size_t i = loaded->hooks.fini_count; i-- > 0;) {
        functions[i]();
    }
    if (loaded->hooks.fini != 0) {
        ((destructor)(loaded->base + loaded->hooks.fini))();
    }
}

void
_PyElfLoad_Close(const _PyElfLoaded *loaded)
{
    (void)dlclose(loaded->handle);
}

#endif  // Py_HAVE_ELFIMAGE
