/* Reading and changing the files of shared objects, see pycore_elfimage.h.

   The format is that of the System V ABI, chapters 4 and 5, with the extensions that
   glibc's <elf.h> names. */

#include "Python.h"
#include "pycore_elfimage.h"

#ifdef Py_HAVE_ELFIMAGE

#include <fcntl.h>
#include <stddef.h>               // offsetof()
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A tag of the range for operating systems that no loader knows. */
#define DT_IGNORED (DT_HIOS - 1)


/* --- reading -------------------------------------------------------------- */

/* size bytes at an offset in the file, or NULL. */
static void *
at_offset(const _PyElfImage *image, uint64_t offset, uint64_t size, size_t alignment)
{
    if (offset > image->size || size > image->size - offset || offset % alignment != 0) {
        return NULL;
    }
    return image->bytes + offset;
}

/* size bytes at an address that the file says they are loaded at, or NULL. */
static void *
at_address(const _PyElfImage *image, uint64_t address, uint64_t size, size_t alignment)
{
    for (size_t i = 0; i < image->nsegments; i++) {
        const ElfW(Phdr) *segment = &image->segments[i];
        if (segment->p_type == PT_LOAD && address >= segment->p_vaddr
            && address - segment->p_vaddr <= segment->p_filesz
            && size <= segment->p_filesz - (address - segment->p_vaddr))
        {
            uint64_t offset = address - segment->p_vaddr;
            return segment->p_offset > image->size ? NULL
                   : at_offset(image, segment->p_offset + offset, size, alignment);
        }
    }
    return NULL;
}

static const ElfW(Dyn) *
dynamic(const _PyElfImage *image, ElfW(Sxword) tag, size_t i)
{
    for (size_t k = 0; k < image->ndynamic; k++) {
        if (image->dynamic[k].d_tag == tag && i-- == 0) {
            return &image->dynamic[k];
        }
    }
    return NULL;
}

static uint64_t
dynamic_value(const _PyElfImage *image, ElfW(Sxword) tag)
{
    const ElfW(Dyn) *entry = dynamic(image, tag, 0);
    return entry != NULL ? entry->d_un.d_val : 0;
}

static bool
is_for_this_machine(const ElfW(Ehdr) *header)
{
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0
           && header->e_ident[EI_CLASS] == ELFCLASS64
           && header->e_ident[EI_DATA] == (PY_LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB)
#if defined(__x86_64__)
           && header->e_machine == EM_X86_64
#elif defined(__aarch64__)
           && header->e_machine == EM_AARCH64
#endif
           && header->e_type == ET_DYN && header->e_phentsize == sizeof(ElfW(Phdr));
}

/* Neither the file nor its dynamic section says how many symbols there are; the tables
   for looking them up do. */
static bool
count_symbols_by_gnu_hash(_PyElfImage *image, uint64_t address)
{
    const uint32_t *head = at_address(image, address, 16, 4);
    if (head == NULL) {
        return false;
    }
    uint64_t nbuckets = head[0], first = head[1], nwords = head[2];
    uint64_t buckets_at = address + 16 + nwords * sizeof(ElfW(Addr));
    const uint32_t *buckets = at_address(image, buckets_at, nbuckets * 4, 4);
    if (buckets == NULL) {
        return false;
    }
    uint64_t last = 0;
    for (uint64_t i = 0; i < nbuckets; i++) {
        last = Py_MAX(last, buckets[i]);
    }
    if (last < first) {
        image->nsymbols = first;
        return true;
    }
    const uint32_t *hash;
    do {
        hash = at_address(image, buckets_at + (nbuckets + last - first) * 4, 4, 4);
        if (hash == NULL) {
            return false;
        }
        last++;
    } while ((*hash & 1) == 0);
    image->nsymbols = last;
    return true;
}

static bool
count_symbols(_PyElfImage *image)
{
    uint64_t gnu_hash = dynamic_value(image, DT_GNU_HASH);
    if (gnu_hash != 0) {
        return count_symbols_by_gnu_hash(image, gnu_hash);
    }
    const uint32_t *hash = at_address(image, dynamic_value(image, DT_HASH), 8, 4);
    image->nsymbols = hash != NULL ? hash[1] : 0;
    return hash != NULL;
}

static const char *
read_image(_PyElfImage *image)
{
    const ElfW(Ehdr) *header = at_offset(image, 0, sizeof(*header), 8);
    if (header == NULL || !is_for_this_machine(header)) {
        return "not a shared object for this machine";
    }
    image->segments = at_offset(image, header->e_phoff,
                                header->e_phnum * sizeof(ElfW(Phdr)), 8);
    if (image->segments == NULL) {
        return "damaged: no program headers";
    }
    image->nsegments = header->e_phnum;

    for (size_t i = 0; i < image->nsegments; i++) {
        const ElfW(Phdr) *segment = &image->segments[i];
        /* The loader would map what is not there, and be killed for touching it. */
        if (segment->p_type == PT_LOAD
            && at_offset(image, segment->p_offset, segment->p_filesz, 1) == NULL)
        {
            return "damaged: it ends too early";
        }
        if (segment->p_type == PT_DYNAMIC) {
            image->dynamic = at_offset(image, segment->p_offset, segment->p_filesz, 8);
            image->ndynamic = segment->p_filesz / sizeof(ElfW(Dyn));
        }
    }
    if (image->dynamic == NULL) {
        return "damaged: no dynamic section";
    }
    for (size_t k = 0; k < image->ndynamic; k++) {
        if (image->dynamic[k].d_tag == DT_NULL) {
            image->ndynamic = k;
        }
    }

    image->strings_size = dynamic_value(image, DT_STRSZ);
    image->strings = at_address(image, dynamic_value(image, DT_STRTAB),
                                image->strings_size, 1);
    if (image->strings == NULL || image->strings_size == 0
        || image->strings[image->strings_size - 1] != '\0')
    {
        return "damaged: no strings";
    }
    if (!count_symbols(image)) {
        return "damaged: no table of symbols";
    }
    image->symbols = at_address(image, dynamic_value(image, DT_SYMTAB),
                                image->nsymbols * sizeof(ElfW(Sym)), 8);
    if (image->symbols == NULL) {
        return "damaged: no symbols";
    }
    return NULL;
}

const char *
_PyElfImage_Open(_PyElfImage *image, const char *path)
{
    *image = (_PyElfImage){.bytes = MAP_FAILED};
    image->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (image->fd < 0 || fstat(image->fd, &image->status) < 0) {
        goto error;
    }
    if (!S_ISREG(image->status.st_mode)) {
        _PyElfImage_Close(image);
        return "not a file";
    }
    image->size = image->changed_start = (size_t)image->status.st_size;
    if (image->size < sizeof(ElfW(Ehdr))) {
        _PyElfImage_Close(image);
        return "not a shared object for this machine";
    }
    image->bytes = mmap(NULL, image->size, PROT_READ | PROT_WRITE, MAP_PRIVATE,
                        image->fd, 0);
    if (image->bytes == MAP_FAILED) {
        goto error;
    }
    const char *problem = read_image(image);
    if (problem != NULL) {
        _PyElfImage_Close(image);
    }
    return problem;

error:;
    int saved = errno;
    _PyElfImage_Close(image);
    errno = saved;
    return "";
}

void
_PyElfImage_Close(_PyElfImage *image)
{
    if (image->bytes != MAP_FAILED) {
        munmap(image->bytes, image->size);
    }
    if (image->fd >= 0) {
        close(image->fd);
    }
    *image = (_PyElfImage){.bytes = MAP_FAILED, .fd = -1};
}

const char *
_PyElfImage_String(const _PyElfImage *image, ElfW(Sxword) tag, size_t i)
{
    const ElfW(Dyn) *entry = dynamic(image, tag, i);
    return entry == NULL || entry->d_un.d_val >= image->strings_size ? NULL
           : image->strings + entry->d_un.d_val;
}

bool
_PyElfImage_Uses(const _PyElfImage *image, const char *name)
{
    size_t length = strlen(name);
    bool begins = length > 0 && name[length - 1] == '*';
    for (size_t i = 1; i < image->nsymbols; i++) {
        const ElfW(Sym) *symbol = &image->symbols[i];
        if (symbol->st_shndx == SHN_UNDEF && symbol->st_name < image->strings_size
            && strncmp(image->strings + symbol->st_name, name,
                       begins ? length - 1 : length + 1) == 0)
        {
            return true;
        }
    }
    return false;
}

bool
_PyElfImage_CallsPython(const _PyElfImage *image)
{
    return _PyElfImage_Uses(image, "Py*") || _PyElfImage_Uses(image, "_Py*");
}

bool
_PyElfImage_IsForGood(const _PyElfImage *image)
{
    return (dynamic_value(image, DT_FLAGS_1) & DF_1_NODELETE) != 0
           || (dynamic_value(image, DT_FLAGS) & DF_STATIC_TLS) != 0;
}

bool
_PyElfImage_HasTextRelocations(const _PyElfImage *image)
{
    return dynamic(image, DT_TEXTREL, 0) != NULL
           || (dynamic_value(image, DT_FLAGS) & DF_TEXTREL) != 0;
}


/* --- changing ------------------------------------------------------------- */

/* Linkers let a string be the end of a longer one: is the string at start, or one that it
   ends, the name of anything else? */
static bool
is_used_by_others(const _PyElfImage *image, size_t start, size_t end)
{
    size_t longest = start;
    while (longest > 0 && image->strings[longest - 1] != '\0') {
        longest--;
    }
    for (size_t i = 1; i < image->nsymbols; i++) {
        size_t name = image->symbols[i].st_name;
        if (name >= longest && name < end) {
            return true;
        }
    }
    for (size_t k = 0; k < image->ndynamic; k++) {
        ElfW(Sxword) tag = image->dynamic[k].d_tag;
        size_t name = image->dynamic[k].d_un.d_val;
        if ((tag == DT_NEEDED || tag == DT_SONAME || tag == DT_RPATH || tag == DT_RUNPATH)
            && name >= longest && name < end && name != start)
        {
            return true;
        }
    }
    return false;
}

/* The versions of symbols are listed by the name of the library that they come from, which
   must be the very string by which that is needed. */
static bool
versions_name_it_apart(const _PyElfImage *image, size_t start)
{
    uint64_t address = dynamic_value(image, DT_VERNEED);
    for (uint64_t n = dynamic_value(image, DT_VERNEEDNUM); n > 0; n--) {
        const ElfW(Verneed) *entry = at_address(image, address, sizeof(*entry), 4);
        if (entry == NULL) {
            break;
        }
        if (entry->vn_file != start && entry->vn_file < image->strings_size
            && strcmp(image->strings + entry->vn_file, image->strings + start) == 0)
        {
            return true;
        }
        if (entry->vn_next == 0) {
            break;
        }
        address += entry->vn_next;
    }
    return false;
}

static void
note_change(_PyElfImage *image, const void *start, size_t size)
{
    size_t offset = (size_t)((const unsigned char *)start - image->bytes);
    image->changed_start = Py_MIN(image->changed_start, offset);
    image->changed_end = Py_MAX(image->changed_end, offset + size);
}

const char *
_PyElfImage_Rename(_PyElfImage *image, const char *old_name, const char *new_name)
{
    size_t length = strlen(old_name);
    size_t start = (size_t)(old_name - image->strings);
    if (strlen(new_name) > length) {
        return "its name is too short";
    }
    if (is_used_by_others(image, start, start + length)) {
        return "its name is part of another name";
    }
    if (versions_name_it_apart(image, start)) {
        return "its name is there twice";
    }
    strcpy(image->strings + start, new_name);
    note_change(image, image->strings + start, length);
    return NULL;
}

/* Where the file has a place for it: there is none among the strings, but once it is loaded
   nobody looks for its sections. */
const char *
_PyElfImage_SetName(_PyElfImage *image, const char name[_PyElfImage_NAME_SIZE])
{
    ElfW(Ehdr) *header = (ElfW(Ehdr) *)image->bytes;
    static_assert(sizeof(header->e_shoff) == _PyElfImage_NAME_SIZE, "no place for a name");
    const ElfW(Dyn) *entry = dynamic(image, DT_SONAME, 0);
    if (entry == NULL) {
        entry = dynamic(image, DT_IGNORED, 0);
    }
    for (size_t i = 0; entry != NULL && i < image->nsegments; i++) {
        const ElfW(Phdr) *segment = &image->segments[i];
        if (segment->p_type == PT_LOAD && segment->p_offset == 0
            && segment->p_filesz >= sizeof(*header))
        {
            ElfW(Addr) address = segment->p_vaddr + offsetof(ElfW(Ehdr), e_shoff);
            memcpy(&header->e_shoff, name, _PyElfImage_NAME_SIZE);
            header->e_shnum = header->e_shstrndx = 0;
            note_change(image, header, sizeof(*header));
            image->dynamic[entry - image->dynamic] = (ElfW(Dyn)){
                .d_tag = DT_SONAME,
                .d_un.d_val = address - dynamic_value(image, DT_STRTAB),
            };
            return NULL;
        }
    }
    return "there is no place for a name of its own";
}

static void
take(_PyElfImage *image, ElfW(Sxword) tag, ElfW(Addr) *value)
{
    for (size_t k = 0; k < image->ndynamic; k++) {
        if (image->dynamic[k].d_tag == tag) {
            *value = image->dynamic[k].d_un.d_val;
            image->dynamic[k].d_tag = DT_IGNORED;
        }
    }
}

_PyElfHooks
_PyElfImage_TakeHooks(_PyElfImage *image)
{
    _PyElfHooks hooks = {0};
    ElfW(Addr) init_size = 0, fini_size = 0;
    take(image, DT_INIT, &hooks.init);
    take(image, DT_FINI, &hooks.fini);
    take(image, DT_INIT_ARRAY, &hooks.init_array);
    take(image, DT_INIT_ARRAYSZ, &init_size);
    take(image, DT_FINI_ARRAY, &hooks.fini_array);
    take(image, DT_FINI_ARRAYSZ, &fini_size);
    hooks.init_count = init_size / sizeof(ElfW(Addr));
    hooks.fini_count = fini_size / sizeof(ElfW(Addr));
    return hooks;
}

size_t
_PyElfImage_UnshareSymbols(_PyElfImage *image)
{
    size_t count = 0;
    for (size_t i = 1; i < image->nsymbols; i++) {
        ElfW(Sym) *symbol = &image->symbols[i];
        if (ELF64_ST_BIND(symbol->st_info) == STB_GNU_UNIQUE) {
            symbol->st_info = ELF64_ST_INFO(STB_GLOBAL, ELF64_ST_TYPE(symbol->st_info));
            note_change(image, symbol, sizeof(*symbol));
            count++;
        }
    }
    return count;
}

#endif  // Py_HAVE_ELFIMAGE
