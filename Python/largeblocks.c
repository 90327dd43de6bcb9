/* The large blocks of an interpreter, see pycore_largeblocks.h: a hash table of addresses with
   linear probing, at most half full; removing moves the following ones back (Knuth, The Art of
   Computer Programming, volume 3, 6.4, algorithm R). */

#include "Python.h"
#include "pycore_largeblocks.h"

struct _PyLargeBlocks {
    void **slots;                   /* NULL where there is none */
    size_t mask;                    /* one less than their number, a power of two; 0 at first */
    size_t count;
    bool is_wrong;                  /* a block that was known was allocated again */
};

_PyLargeBlocks *
_PyLargeBlocks_New(void)
{
    return PyMem_RawCalloc(1, sizeof(_PyLargeBlocks));
}

/* Blocks are aligned, so the lowest bits say nothing. */
static size_t
home(const _PyLargeBlocks *blocks, const void *block)
{
    return (size_t)(((uint64_t)(uintptr_t)block >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 32)
           & blocks->mask;
}

/* Where the block is, or the empty slot where it would be. */
static size_t
find(const _PyLargeBlocks *blocks, const void *block)
{
    size_t i = home(blocks, block);
    while (blocks->slots[i] != NULL && blocks->slots[i] != block) {
        i = (i + 1) & blocks->mask;
    }
    return i;
}

static bool
grow(_PyLargeBlocks *blocks)
{
    size_t size = blocks->slots != NULL ? 2 * (blocks->mask + 1) : 256;
    _PyLargeBlocks larger = {
        .slots = PyMem_RawCalloc(size, sizeof(void *)), .mask = size - 1,
    };
    if (larger.slots == NULL) {
        return false;
    }
    for (size_t i = 0; blocks->slots != NULL && i <= blocks->mask; i++) {
        void *block = blocks->slots[i];
        if (block != NULL) {
            larger.slots[find(&larger, block)] = block;
        }
    }
    PyMem_RawFree(blocks->slots);
    blocks->slots = larger.slots;
    blocks->mask = larger.mask;
    return true;
}

void
_PyLargeBlocks_Add(_PyLargeBlocks *blocks, void *block)
{
    if (2 * blocks->count >= blocks->mask && !grow(blocks)) {
        return;
    }
    size_t i = find(blocks, block);
    if (blocks->slots[i] != NULL) {
        blocks->is_wrong = true;
        return;
    }
    blocks->slots[i] = block;
    blocks->count++;
}

void
_PyLargeBlocks_Remove(_PyLargeBlocks *blocks, void *block)
{
    if (blocks->slots == NULL) {
        return;
    }
    size_t hole = find(blocks, block);
    if (blocks->slots[hole] == NULL) {
        return;
    }
    blocks->count--;
    for (size_t i = (hole + 1) & blocks->mask; blocks->slots[i] != NULL;
         i = (i + 1) & blocks->mask)
    {
        /* One whose home is after the hole stays: it is found without passing that. */
        size_t way = (i - home(blocks, blocks->slots[i])) & blocks->mask;
        if (way >= ((i - hole) & blocks->mask)) {
            blocks->slots[hole] = blocks->slots[i];
            hole = i;
        }
    }
    blocks->slots[hole] = NULL;
}

void
_PyLargeBlocks_FreeAll(_PyLargeBlocks *blocks)
{
    for (size_t i = 0; !blocks->is_wrong && blocks->slots != NULL && i <= blocks->mask; i++) {
        PyMem_RawFree(blocks->slots[i]);
    }
    _PyLargeBlocks_Delete(blocks);
}

void
_PyLargeBlocks_Delete(_PyLargeBlocks *blocks)
{
    PyMem_RawFree(blocks->slots);
    PyMem_RawFree(blocks);
}
