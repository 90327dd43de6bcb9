/* A queue of items in one array.  See ring.h. */

#include "Python.h"
#include "ring.h"

_PyChannelItem *
_PyRing_MoveTo(_PyRing *ring, _PyChannelItem *items, size_t size)
{
    assert(size >= ring->length);
    if (ring->length > 0) {
        /* The part up to the end of the old array, then the rest. */
        size_t part = Py_MIN(ring->length, ring->size - ring->head);
        memcpy(items, ring->items + ring->head, part * sizeof(*items));
        memcpy(items + part, ring->items, (ring->length - part) * sizeof(*items));
    }
    _PyChannelItem *old = ring->items;
    ring->items = items;
    ring->size = size;
    ring->head = 0;
    return old;
}

/* The items may hold the last ends of other channels, and these items in turn:
   what comes up while a thread is in here waits until it is back, so that a long
   chain of channels needs no deep stack. */
void
_PyRing_Destroy(_PyRing ring)
{
    struct pending {
        _PyRing ring;
        struct pending *next;
    };
    static _Py_thread_local struct pending *pending = NULL;
    static _Py_thread_local int destroying = 0;

    if (destroying && ring.length > 0) {
        struct pending *p = PyMem_RawMalloc(sizeof(*p));
        if (p != NULL) {
            *p = (struct pending){ring, pending};
            pending = p;
            return;
        }
        /* Out of memory: the stack will have to do. */
    }
    int outermost = !destroying;
    destroying = 1;
    for (;;) {
        for (size_t i = 0; i < ring.length; i++) {
            _PyChannelItem_Destroy(ring.items[(ring.head + i) & (ring.size - 1)]);
        }
        PyMem_RawFree(ring.items);
        if (!outermost || pending == NULL) {
            break;
        }
        struct pending *p = pending;
        pending = p->next;
        ring = p->ring;
        PyMem_RawFree(p);
    }
    if (outermost) {
        destroying = 0;
    }
}
