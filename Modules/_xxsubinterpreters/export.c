/* Exports: memory of Python objects that other interpreters use.  See export.h. */

#include "Python.h"
#include "pycore_object.h"        // _Py_DecRefTotal()
#include "export.h"
#include "interp.h"
#include "objectlayout.h"
#include "rawmemory.h"

#include <stddef.h>               // offsetof()
#include <stdlib.h>               // qsort()

/* Memory that several exports of an object had, and that is no interpreter's now. */
struct orphan {
    Py_ssize_t refs;                /* atomic */
    void *memory;                   /* from PyMem_RawMalloc() */
};

struct export {
    _PyInterp_Pinned pinned;
    Py_buffer view;                 /* of the interpreter that is pinned */
    struct orphan *orphan;          /* a reference, if it was detached */
};

static struct export *
export_of(_PyInterp_Pinned *pinned)
{
    return _Py_CONTAINER_OF(pinned, struct export, pinned);
}

static void
release_view(_PyInterp_Pinned *pinned)
{
    PyBuffer_Release(&export_of(pinned)->view);
}

static void
free_export(_PyInterp_Pinned *pinned)
{
    struct export *export = export_of(pinned);
    struct orphan *orphan = export->orphan;
    if (orphan != NULL && _Py_atomic_add_ssize(&orphan->refs, -1) == 1) {
        PyMem_RawFree(orphan->memory);
        PyMem_RawFree(orphan);
    }
    PyMem_RawFree(export);
}

/* The release function of the block over an exporter's memory. */
static void
unpin(void *arg)
{
    _PyInterp_Unpin(&((struct export *)arg)->pinned);
}


/* --- detaching ------------------------------------------------------------------------ */

/* Take the memory out of an object that nobody but `n` exports uses the memory of.  NULL
   if that cannot be done; then nothing has changed. */
static void *
take_memory(PyObject *obj, size_t n)
{
    if (!_PyRawMemory_IsGood()) {
        return NULL;
    }
    if (PyByteArray_CheckExact(obj) || _PyArray_CheckExact(obj)) {
        _PyAllocation allocation;
        return _PyObjectLayout_Exports(obj) == (Py_ssize_t)n
               && _PyObjectLayout_Take(obj, &allocation) ? allocation.memory : NULL;
    }
    if (PyBytes_CheckExact(obj) && Py_REFCNT(obj) == (Py_ssize_t)n
        && offsetof(PyBytesObject, ob_sval) + PyBytes_GET_SIZE(obj) + 1
           > _PyRawMemory_LARGEST_SMALL)
    {
        /* One more reference that nobody gives back: the memory is never freed as that of
           an object. */
        Py_INCREF(obj);
#ifdef Py_REF_DEBUG
        _Py_DecRefTotal(PyThreadState_Get());
#endif
        _PyRawMemory_Give(obj);
        return obj;
    }
    return NULL;
}

static int
compare_exporters(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)export_of(*(_PyInterp_Pinned *const *)a)->view.obj;
    uintptr_t y = (uintptr_t)export_of(*(_PyInterp_Pinned *const *)b)->view.obj;
    return (x > y) - (x < y);
}

/* The n exports are all that there are of an object.  Return true if its memory is its
   interpreter's no more. */
static int
detach_object(_PyInterp_Pinned *const *exports, size_t n)
{
    struct orphan *orphan = PyMem_RawMalloc(sizeof(struct orphan));
    if (orphan == NULL) {
        return 0;                   /* the interpreter stays for it */
    }
    orphan->memory = take_memory(export_of(exports[0])->view.obj, n);
    if (orphan->memory == NULL) {
        PyMem_RawFree(orphan);
        return 0;
    }
    orphan->refs = n;
    for (size_t i = 0; i < n; i++) {
        export_of(exports[i])->orphan = orphan;
        release_view(exports[i]);
    }
    return 1;
}

static void
swap(_PyInterp_Pinned **a, _PyInterp_Pinned **b)
{
    _PyInterp_Pinned *was = *a;
    *a = *b;
    *b = was;
}

static size_t
detach(_PyInterp_Pinned **pinned, size_t n)
{
    size_t exports = 0;
    for (size_t i = 0; i < n; i++) {
        if (pinned[i]->release == release_view) {   /* else it is none of ours */
            swap(&pinned[exports++], &pinned[i]);
        }
    }
    qsort(pinned, exports, sizeof(*pinned), compare_exporters);
    size_t detached = 0;
    for (size_t i = 0, next; i < exports; i = next) {
        PyObject *obj = export_of(pinned[i])->view.obj;
        for (next = i + 1;
             next < exports && export_of(pinned[next])->view.obj == obj; next++)
        {
        }
        if (detach_object(pinned + i, next - i)) {
            for (size_t k = i; k < next; k++) {
                swap(&pinned[detached++], &pinned[k]);
            }
        }
    }
    return detached;
}

void
_PyExport_Init(void)
{
    _PyInterp_DetachWith(detach);
}


/* --- exporting ------------------------------------------------------------------------ */

static void
describe(_PyBlock *block, PyObject *exporter, int64_t owner)
{
    _PyBlock_Describe(block, exporter != NULL ? Py_TYPE(exporter)->tp_name : "memory",
                      owner);
}

/* A buffer over part of a block, in the shape of `view`, with its own reference to the
   block; the caller's is used up. */
static _PySharedBuffer *
buffer_over(_PyBlock *block, const Py_buffer *view)
{
    _PySharedBuffer *buffer = _PySharedBuffer_New(block, view);
    if (buffer == NULL) {
        PyErr_NoMemory();
    }
    _PyBlock_Decref(block);
    return buffer;
}

/* Nothing, and short bytes, which live in an arena, are copied: the n bytes from `data` on,
   in which the view is, unless there are none. */
static _PySharedBuffer *
copy(const char *data, size_t n, PyObject *exporter, const Py_buffer *view)
{
    _PyBlock *block = _PyBlock_New(n, 0);
    if (block == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    describe(block, exporter, -1);
    Py_buffer moved = *view;
    moved.buf = _PyBlock_Data(block);
    if (n > 0) {
        memcpy(_PyBlock_Data(block), data, n);
        moved.buf = (char *)moved.buf + ((char *)view->buf - data);
    }
    return buffer_over(block, &moved);
}

/* Return a new reference to a block over the memory of `obj`. */
static _PyBlock *
pin(PyObject *obj, PyObject *exporter)
{
    struct export *export = PyMem_RawMalloc(sizeof(struct export));
    if (export == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *export = (struct export){.pinned = {.release = release_view, .free = free_export}};
    if (PyObject_GetBuffer(obj, &export->view, PyBUF_FULL_RO) < 0) {
        PyMem_RawFree(export);
        return NULL;
    }
    if (_PyInterp_Pin(&export->pinned) < 0) {
        PyBuffer_Release(&export->view);
        PyMem_RawFree(export);
        return NULL;
    }
    _PyBlock *block = _PyBlock_Wrap(export->view.buf, export->view.len, unpin, export);
    if (block == NULL) {
        unpin(export);
        PyErr_NoMemory();
        return NULL;
    }
    describe(block, exporter, export->pinned.id);
    return block;
}

_PySharedBuffer *
_PyExport_New(PyObject *memoryview)
{
    const Py_buffer *view = PyMemoryView_GET_BUFFER(memoryview);
    PyObject *exporter = PyMemoryView_GET_BASE(memoryview);
    PyObject *pinned = memoryview;
    if (PySys_Audit("interpreters.share", "O",
                    exporter != NULL ? exporter : memoryview) < 0)
    {
        return NULL;
    }
    if (view->len == 0) {
        return copy(NULL, 0, exporter, view);
    }
    if (exporter != NULL && PyBytes_CheckExact(exporter)) {
        if (PyBytes_GET_SIZE(exporter) <= _PyRawMemory_LARGEST_SMALL) {
            return copy(PyBytes_AS_STRING(exporter), PyBytes_GET_SIZE(exporter), exporter,
                        view);
        }
        pinned = exporter;
    }
    else if (exporter != NULL && _PyObjectLayout_Supports(exporter)) {
        pinned = exporter;
    }
    /* Of an object whose memory can be detached every use is to be counted, and several
       memoryviews may be one use. */
    _PyBlock *block = pin(pinned, exporter);
    return block != NULL ? buffer_over(block, view) : NULL;
}
