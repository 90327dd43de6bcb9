/* Shared buffers.  See shared.h. */

#include "Python.h"
#include "shared.h"

/* One allocation: the struct, then shape, strides and suboffsets of `ndim`
   numbers each (suboffsets only if there are any), then the format. */
struct _PySharedBuffer {
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
    return self;
}

void
_PySharedBuffer_Free(_PySharedBuffer *self)
{
    _PyBlock_Decref(self->block);
    PyMem_RawFree(self);
}

_PyBlock *
_PySharedBuffer_Block(const _PySharedBuffer *self)
{
    return self->block;
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
