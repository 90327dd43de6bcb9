/* Reference-counted raw memory.  See block.h. */

#include "Python.h"
#include "block.h"

struct _PyBlock {
    Py_ssize_t refs;                /* atomic; the block dies at zero */
    void *data;
    size_t size;
    _PyBlock_ReleaseFunc release;
    void *arg;
};

_PyBlock *
_PyBlock_Wrap(void *data, size_t size, _PyBlock_ReleaseFunc release, void *arg)
{
    _PyBlock *block = PyMem_RawMalloc(sizeof(_PyBlock));
    if (block == NULL) {
        return NULL;
    }
    *block = (_PyBlock){
        .refs = 1,
        .data = data,
        .size = size,
        .release = release,
        .arg = arg,
    };
    return block;
}

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
