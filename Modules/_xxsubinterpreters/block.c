/* Reference-counted raw memory.  See block.h. */

#include "Python.h"
#include "block.h"

#include <sys/mman.h>             // mmap()

struct _PyBlock {
    Py_ssize_t refs;                /* atomic; the block dies at zero */
    void *data;
    size_t size;
    _PyBlock_ReleaseFunc release;
    void *arg;
    int64_t owner;
    char kind[_PyBlock_KIND_SIZE];
};

static void
init(_PyBlock *block, void *data, size_t size, _PyBlock_ReleaseFunc release, void *arg)
{
    *block = (_PyBlock){
        .refs = 1,
        .data = data,
        .size = size,
        .release = release,
        .arg = arg,
        .owner = -1,
    };
}

_PyBlock *
_PyBlock_Wrap(void *data, size_t size, _PyBlock_ReleaseFunc release, void *arg)
{
    _PyBlock *block = PyMem_RawMalloc(sizeof(_PyBlock));
    if (block != NULL) {
        init(block, data, size, release, arg);
    }
    return block;
}


/* --- memory of its own ------------------------------------------------------------ */

/* From this size on it is a mapping. */
#define LARGE (1024 * 1024)
#define HUGE_PAGE ((size_t)2 * 1024 * 1024)

static void *
align(void *address, size_t alignment)
{
    return (void *)(((uintptr_t)address + alignment - 1) & ~(uintptr_t)(alignment - 1));
}

struct mapping {
    void *address;
    size_t size;
};

static void
unmap(void *arg)
{
    struct mapping *mapping = arg;
    munmap(mapping->address, mapping->size);
    PyMem_RawFree(mapping);
}

static _PyBlock *
new_mapping(size_t size, int huge)
{
    struct mapping *mapping = PyMem_RawMalloc(sizeof(struct mapping));
    if (mapping == NULL) {
        return NULL;
    }
    mapping->size = huge ? (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE + HUGE_PAGE : size;
    mapping->address = mmap(NULL, mapping->size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping->address == MAP_FAILED) {
        PyMem_RawFree(mapping);
        return NULL;
    }
    void *data = mapping->address;
#ifdef MADV_HUGEPAGE
    if (huge) {
        data = align(data, HUGE_PAGE);
        /* A wish: a kernel without huge pages gives others. */
        (void)madvise(data, mapping->size - HUGE_PAGE, MADV_HUGEPAGE);
    }
#endif
    _PyBlock *block = _PyBlock_Wrap(data, size, unmap, mapping);
    if (block == NULL) {
        unmap(mapping);
    }
    return block;
}

_PyBlock *
_PyBlock_New(size_t size, int huge)
{
    if (size > PY_SSIZE_T_MAX - 2 * HUGE_PAGE) {
        return NULL;
    }
    if (size > 0 && (huge || size >= LARGE)) {
        return new_mapping(size, huge);
    }
    _PyBlock *block = PyMem_RawCalloc(1, sizeof(_PyBlock) + _PyBlock_ALIGNMENT - 1 + size);
    if (block != NULL) {
        init(block, align(block + 1, _PyBlock_ALIGNMENT), size, NULL, NULL);
    }
    return block;
}

void
_PyBlock_Describe(_PyBlock *block, const char *kind, int64_t owner)
{
    size_t n = strlen(kind);
    n = n < sizeof(block->kind) ? n : sizeof(block->kind) - 1;
    while (n > 0 && ((unsigned char)kind[n] & 0xC0) == 0x80) {
        n--;                        /* not inside of a character */
    }
    memcpy(block->kind, kind, n);
    block->kind[n] = '\0';
    block->owner = owner;
}

const char *
_PyBlock_Kind(const _PyBlock *block)
{
    return block->kind;
}

int64_t
_PyBlock_Owner(const _PyBlock *block)
{
    return block->owner;
}


/* --- references ----------------------------------------------------------------------- */

void
_PyBlock_Incref(_PyBlock *block)
{
    Py_ssize_t before = _Py_atomic_add_ssize(&block->refs, 1);
    assert(before > 0);
    (void)before;
}

void
_PyBlock_Decref(_PyBlock *block)
{
    Py_ssize_t before = _Py_atomic_add_ssize(&block->refs, -1);
    assert(before > 0);
    if (before == 1) {
        if (block->release != NULL) {
            block->release(block->arg);
        }
        PyMem_RawFree(block);
    }
}

void
_PyBlock_Disarm(_PyBlock *block)
{
    block->release = NULL;
}

void *
_PyBlock_Data(const _PyBlock *block)
{
    return block->data;
}

size_t
_PyBlock_Size(const _PyBlock *block)
{
    return block->size;
}
