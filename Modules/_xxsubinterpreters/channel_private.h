/* What the files of channels share.  See channel.c for the rules.

   The functions need both locks of the channel, unless they say otherwise. */

#ifndef Py_XXSUBINTERPRETERS_CHANNEL_PRIVATE_H
#define Py_XXSUBINTERPRETERS_CHANNEL_PRIVATE_H

#include "Python.h"
#include "pycore_lock.h"          // PyMutex_LockFast()
#include "channel.h"
#include "ring.h"

#define CACHE_LINE 64

/* Both sides write the fields that an operation needs, so what it costs is the
   number of cache lines that change places.  The first one has what handing an
   item over writes, the second one what buffering does; a third one is for
   receivers that take from the front. */
struct _PyChannel {
    _Alignas(CACHE_LINE)
    PyMutex lock;
    uint8_t is_queue;               /* never changes */
    int tag;                        /* of a queue, for its users; never changes */
    Py_ssize_t open[2];             /* open ends of each side */
    struct llist_node waiting[2];   /* of operations */
    int waking;                     /* see most_waking() */
    int preferred;                  /* see claim_receiver() */

    Py_ssize_t capacity;            /* or _PyChannel_UNBOUNDED; never changes */
    _PyRing buffer;
    size_t reserved;                /* places kept for items given back */
    Py_ssize_t own_ends;            /* open ends inside buffered items */
    Py_ssize_t blocked;             /* senders waiting, without select cases */

    /* The batch that receivers take from, see channel.c.  Covered by
       `front_lock`. */
    _Alignas(CACHE_LINE)
    PyMutex front_lock;
    uint8_t has_front;              /* never changes */
    uint8_t streaming;              /* see is_worth_a_pause() */
    _PyRing front;

    _Alignas(CACHE_LINE)
    Py_ssize_t refs;                /* ends, closed ones included, and others */
    int64_t id;                     /* never changes */
    void *allocated;                /* what to free */
    struct llist_node node;         /* among all; covered by that list's lock */
};

static inline _PyChannel_Side
_PyChannel_Other(_PyChannel_Side side)
{
    return side == _PyChannel_RECV ? _PyChannel_SEND : _PyChannel_RECV;
}

static inline int
_PyChannel_IsFull(const _PyChannel *ch)
{
    return ch->capacity != _PyChannel_UNBOUNDED
           && ch->buffer.length >= (size_t)ch->capacity;
}


/* --- locking -------------------------------------------------------------- */

/* The lock of the front, that of the back, or both: see channel.c. */

extern void _PyChannel_LockContended(PyMutex *lock);

static inline void
_PyChannel_LockBack(_PyChannel *ch)
{
    if (!PyMutex_LockFast(&ch->lock._bits)) {
        _PyChannel_LockContended(&ch->lock);
    }
}

static inline void
_PyChannel_LockFront(_PyChannel *ch)
{
    assert(ch->has_front);
    if (!PyMutex_LockFast(&ch->front_lock._bits)) {
        _PyChannel_LockContended(&ch->front_lock);
    }
}

static inline void
_PyChannel_Lock(_PyChannel *ch)
{
    if (ch->has_front) {
        _PyChannel_LockFront(ch);
    }
    _PyChannel_LockBack(ch);
}

#ifndef NDEBUG
extern void _PyChannel_CheckInvariants(_PyChannel *ch);
#else
#  define _PyChannel_CheckInvariants(ch)
#endif

static inline void
_PyChannel_UnlockBack(_PyChannel *ch)
{
    _PyChannel_CheckInvariants(ch);
    PyMutex_Unlock(&ch->lock);
}

static inline void
_PyChannel_UnlockFront(_PyChannel *ch)
{
    PyMutex_Unlock(&ch->front_lock);
}

static inline void
_PyChannel_Unlock(_PyChannel *ch)
{
    assert(ch->front.length == 0 || llist_empty(&ch->waiting[_PyChannel_RECV]));
    assert(ch->front.length == 0 || ch->open[_PyChannel_RECV] > 0);
    _PyChannel_UnlockBack(ch);
    if (ch->has_front) {
        _PyChannel_UnlockFront(ch);
    }
}


/* --- operations and items ------------------------------------------------- */

/* Finish every live operation of a side: those that wait through `end`, or, if
   that is NULL, all.  The back's lock is enough. */
extern void _PyChannel_FinishAll(_PyChannel *ch, _PyChannel_Side side,
                                 const _PyChannelEnd *end,
                                 _PyChannel_Status status, _PyWaiter **woken);

/* Hand buffered items to receivers that wait, until so many are waking.  The
   back's lock is enough. */
extern void _PyChannel_HandOver(_PyChannel *ch, int limit, _PyWaiter **woken);

/* Items of a channel, in order. */
typedef struct {
    _PyRing front;
    _PyRing buffer;
} _PyChannel_Items;

/* Take the items out that nobody is left to receive: no receiving end is open, or
   all open ends are in these items. */
extern _PyChannel_Items _PyChannel_TakeOrphans(_PyChannel *ch);

/* To be called with no lock taken. */
extern void _PyChannel_DestroyItems(_PyChannel_Items items);

/* As _PyChannel_TakeItems(), for one channel. */
extern void _PyChannel_TakeItemsOf(_PyChannel *ch,
                                   int (*take)(_PyChannelItem, void *),
                                   void *arg, _PyWaiter **woken);

/* The threads that wait do not exist any more. */
extern void _PyChannel_ForgetWaiting(_PyChannel *ch);

#endif /* !Py_XXSUBINTERPRETERS_CHANNEL_PRIVATE_H */
