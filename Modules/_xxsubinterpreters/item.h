/* What channels move: a kind and a payload.

   No function here needs a thread state or a GIL, and none touches a
   PyObject. */

#ifndef Py_XXSUBINTERPRETERS_ITEM_H
#define Py_XXSUBINTERPRETERS_ITEM_H

#include "Python.h"

typedef struct _PyChannel _PyChannel;

typedef union {
    void *ptr;
    int64_t i64;
    double f64;
} _PyChannelPayload;

/* What kind of item it is.  Kinds are static, and compared by address. */
typedef struct {
    /* For items that nobody receives.  NULL if there is nothing to do. */
    void (*destroy)(_PyChannelPayload payload);
    /* How many open ends of the channel the item holds, one of both sides
       counted twice.  NULL for none.  Called under the channel's lock, and calls
       nothing but _PyChannelEnd_Channel(). */
    Py_ssize_t (*count_ends)(_PyChannelPayload payload, const _PyChannel *ch);
} _PyChannelItemKind;

typedef struct {
    const _PyChannelItemKind *kind;
    _PyChannelPayload payload;
} _PyChannelItem;

static inline void
_PyChannelItem_Destroy(_PyChannelItem item)
{
    if (item.kind->destroy != NULL) {
        item.kind->destroy(item.payload);
    }
}

#endif /* !Py_XXSUBINTERPRETERS_ITEM_H */
