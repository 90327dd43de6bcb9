/* A queue of items in one array, which is given from outside.

   No function here needs a thread state or a GIL, and none touches a PyObject.
   Whoever has the ring sees to it that one thread uses it at a time. */

#ifndef Py_XXSUBINTERPRETERS_RING_H
#define Py_XXSUBINTERPRETERS_RING_H

#include "Python.h"
#include "item.h"

/* All zero is an empty ring without room. */
typedef struct {
    _PyChannelItem *items;          /* raw memory, owned */
    size_t size;                    /* zero or a power of two */
    size_t head;                    /* where the first item is */
    size_t length;
} _PyRing;

/* There must be room. */
static inline void
_PyRing_Push(_PyRing *ring, const _PyChannelItem *item)
{
    assert(ring->length < ring->size);
    ring->items[(ring->head + ring->length) & (ring->size - 1)] = *item;
    ring->length++;
}

static inline void
_PyRing_PushFront(_PyRing *ring, const _PyChannelItem *item)
{
    assert(ring->length < ring->size);
    ring->head = (ring->head - 1) & (ring->size - 1);
    ring->items[ring->head] = *item;
    ring->length++;
}

/* There must be an item. */
static inline void
_PyRing_Pop(_PyRing *ring, _PyChannelItem *item)
{
    assert(ring->length > 0);
    *item = ring->items[ring->head];
    ring->head = (ring->head + 1) & (ring->size - 1);
    ring->length--;
}

/* Leave an empty ring without room; what was in it is the caller's. */
static inline _PyRing
_PyRing_Take(_PyRing *ring)
{
    _PyRing taken = *ring;
    *ring = (_PyRing){0};
    return taken;
}

/* Move the items to a larger array, of which the ring becomes the owner.  Return
   the former one, for the caller to free.  Allocates and frees nothing. */
extern _PyChannelItem *_PyRing_MoveTo(_PyRing *ring, _PyChannelItem *items,
                                      size_t size);

/* Free the array after destroying the items, which may run any code that destroys
   rings again. */
extern void _PyRing_Destroy(_PyRing ring);

#endif /* !Py_XXSUBINTERPRETERS_RING_H */
