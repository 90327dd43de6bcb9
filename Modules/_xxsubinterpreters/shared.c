/* Shared buffers.  See shared.h. */

#include "Python.h"
#include "pycore_llist.h"         // struct llist_node
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "shared.h"

/* One allocation: the struct, then shape, strides and suboffsets of `ndim`
   numbers each (suboffsets only if there are any), then the format. */
struct _PySharedBuffer {
    struct llist_node node;         /* among all */
    int64_t holder;
    _PyBlock *block;
    void *buf;
    Py_ssize_t len;
    Py_ssize_t itemsize;
    int readonly;
    int ndim;
    int has_suboffsets;
    char *format;
    Py_ssize_t numbers[];
};

/* Every buffer of the process, oldest first.  The lock covers the list and the holders; it
   is held for a few instructions, or for as many as there are buffers to describe, with
   nothing else taken or called under it. */
static struct {
    PyMutex lock;
    struct llist_node all;          /* zero until there was one */
} registry;

static void
lock(void)
{
    PyMutex_LockFlags(&registry.lock, _Py_LOCK_DONT_DETACH);
}

static void
unlock(void)
{
    PyMutex_Unlock(&registry.lock);
}

_PySharedBuffer *
_PySharedBuffer_New(_PyBlock *block, const Py_buffer *view)
{
    assert(view->ndim >= 0 && view->ndim <= PyBUF_MAX_NDIM);
    const char *format = view->format != NULL ? view->format : "B";
    int rows = view->suboffsets != NULL ? 3 : 2;
    size_t numbers = sizeof(Py_ssize_t) * rows * view->ndim;
    size_t format_size = strlen(format) + 1;

    _PySharedBuffer *self = PyMem_RawMalloc(sizeof(_PySharedBuffer) + numbers
                                            + format_size);
    if (self == NULL) {
        return NULL;
    }
    _PyBlock_Incref(block);
    self->block = block;
    self->buf = view->buf;
    self->len = view->len;
    self->itemsize = view->itemsize;
    self->readonly = view->readonly;
    self->ndim = view->ndim;
    self->has_suboffsets = view->suboffsets != NULL;
    self->format = (char *)self->numbers + numbers;
    memcpy(self->format, format, format_size);

    size_t row = sizeof(Py_ssize_t) * view->ndim;
    if (row > 0) {
        memcpy(self->numbers, view->shape, row);
        memcpy(self->numbers + view->ndim, view->strides, row);
        if (self->has_suboffsets) {
            memcpy(self->numbers + 2 * view->ndim, view->suboffsets, row);
        }
    }
    self->holder = -1;
    lock();
    if (registry.all.next == NULL) {
        llist_init(&registry.all);
    }
    llist_insert_tail(&registry.all, &self->node);
    unlock();
    return self;
}

void
_PySharedBuffer_Free(_PySharedBuffer *self)
{
    lock();
    llist_remove(&self->node);
    unlock();
    _PyBlock_Decref(self->block);
    PyMem_RawFree(self);
}

_PyBlock *
_PySharedBuffer_Block(const _PySharedBuffer *self)
{
    return self->block;
}

void
_PySharedBuffer_SetHolder(_PySharedBuffer *self, int64_t holder)
{
    lock();
    self->holder = holder;
    unlock();
}

void
_PySharedBuffer_Fill(_PySharedBuffer *self, Py_buffer *view)
{
    view->buf = self->buf;
    view->len = self->len;
    view->itemsize = self->itemsize;
    view->readonly = self->readonly;
    view->ndim = self->ndim;
    view->format = self->format;
    view->shape = self->ndim > 0 ? self->numbers : NULL;
    view->strides = self->ndim > 0 ? self->numbers + self->ndim : NULL;
    view->suboffsets = self->has_suboffsets
                       ? self->numbers + 2 * self->ndim : NULL;
}


/* --- looking ------------------------------------------------------------------------- */

Py_ssize_t
_PySharedBuffer_List(_PySharedBuffer_Info *infos, Py_ssize_t size)
{
    Py_ssize_t n = 0;
    lock();
    if (registry.all.next != NULL) {
        struct llist_node *node;
        llist_for_each(node, &registry.all) {
            const _PySharedBuffer *self = llist_data(node, _PySharedBuffer, node);
            if (n < size) {
                _PySharedBuffer_Info *info = &infos[n];
                info->block = self->block;
                memcpy(info->kind, _PyBlock_Kind(self->block), sizeof(info->kind));
                info->owner = _PyBlock_Owner(self->block);
                info->size = _PyBlock_Size(self->block);
                info->holder = self->holder;
            }
            n++;
        }
    }
    unlock();
    return n;
}

void
_PySharedBuffer_BeforeFork(void)
{
    lock();
}

void
_PySharedBuffer_AfterForkParent(void)
{
    unlock();
}

void
_PySharedBuffer_AfterForkChild(void)
{
    _PyMutex_at_fork_reinit(&registry.lock);
}
