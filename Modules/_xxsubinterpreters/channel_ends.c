/* Channels and their ends: creating, counting, closing, finding.  See channel.h
   for what the functions promise, and channel.c for the rules. */

#include "Python.h"
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "channel_private.h"

/* All channels, ordered by number.  The lock covers the list, the links and
   `last_id`.  It may be held while a channel is locked, never the other way
   round. */
static struct {
    PyMutex lock;
    struct llist_node list;
    int64_t last_id;
} all = {.list = LLIST_INIT(all.list)};

static inline _PyChannel *
listed(struct llist_node *node)
{
    return llist_data(node, _PyChannel, node);
}


/* --- creating ------------------------------------------------------------- */

static inline void
lock_list(void)
{
    PyMutex_LockFlags(&all.lock, _Py_LOCK_DONT_DETACH);
}

static inline void
unlock_list(void)
{
    PyMutex_Unlock(&all.lock);
}

/* The channel has a reference, which is the caller's, and no ends. */
static _PyChannel *
new_channel(Py_ssize_t capacity, int is_queue)
{
    void *allocated = PyMem_RawMalloc(sizeof(_PyChannel) + CACHE_LINE - 1);
    if (allocated == NULL) {
        return NULL;
    }
    _PyChannel *ch = _Py_ALIGN_UP(allocated, CACHE_LINE);
    *ch = (_PyChannel){0};
    ch->allocated = allocated;
    ch->capacity = capacity;
    ch->has_front = capacity == _PyChannel_UNBOUNDED;
    ch->is_queue = is_queue;
    ch->refs = 1;
    llist_init(&ch->waiting[_PyChannel_RECV]);
    llist_init(&ch->waiting[_PyChannel_SEND]);
    lock_list();
    ch->id = ++all.last_id;
    llist_insert_tail(&all.list, &ch->node);
    unlock_list();
    return ch;
}

void
_PyChannel_Decref(_PyChannel *ch)
{
    _PyChannel_LockBack(ch);
    Py_ssize_t refs = --ch->refs;
    _PyChannel_UnlockBack(ch);
    if (refs == 0) {
        assert(ch->front.length == 0 && ch->buffer.length == 0);
        assert(ch->reserved == 0);
        lock_list();
        llist_remove(&ch->node);
        unlock_list();
        PyMem_RawFree(ch->front.items);
        PyMem_RawFree(ch->buffer.items);
        PyMem_RawFree(ch->allocated);
    }
}

/* Count `n` ends more, or less, as open.  The back's lock is held. */
static void
count_open(_PyChannel *ch, int sides, int n)
{
    for (int side = 0; side < 2; side++) {
        if (sides & (1 << side)) {
            ch->open[side] += n;
        }
    }
}

/* Take a reference, unless the channel is about to be freed.  The list's lock is
   held, so it is not yet. */
static int
incref_if_alive(_PyChannel *ch)
{
    _PyChannel_LockBack(ch);
    int alive = ch->refs > 0;
    ch->refs += alive;
    _PyChannel_UnlockBack(ch);
    return alive;
}

/* A new end of the given sides.  Those that `only_like_others` are closed if
   no end of their side is open. */
static _PyChannelEnd *
new_end(_PyChannel *ch, int sides, int only_like_others)
{
    _PyChannelEnd *end = PyMem_RawMalloc(sizeof(_PyChannelEnd));
    if (end == NULL) {
        return NULL;
    }
    *end = (_PyChannelEnd){.channel = ch, .sides = sides};
    _PyChannel_LockBack(ch);
    ch->refs++;
    for (int side = 0; side < 2; side++) {
        if (only_like_others && (sides & (1 << side)) && ch->open[side] == 0) {
            end->closed = 1;
        }
    }
    if (!end->closed) {
        count_open(ch, sides, 1);
    }
    _PyChannel_UnlockBack(ch);
    return end;
}

int
_PyChannel_New(Py_ssize_t capacity, _PyChannelEnd **recv, _PyChannelEnd **send)
{
    *recv = *send = NULL;
    _PyChannel *ch = new_channel(capacity, 0);
    if (ch == NULL) {
        return -1;
    }
    *recv = new_end(ch, _PyChannel_CAN_RECV, 0);
    *send = *recv != NULL ? new_end(ch, _PyChannel_CAN_SEND, 0) : NULL;
    _PyChannel_Decref(ch);
    if (*send == NULL) {
        if (*recv != NULL) {
            _PyChannelEnd_Free(*recv);
            *recv = NULL;
        }
        return -1;
    }
    return 0;
}

_PyChannelEnd *
_PyChannel_NewQueue(Py_ssize_t capacity, int tag)
{
    _PyChannel *ch = new_channel(capacity, 1);
    if (ch == NULL) {
        return NULL;
    }
    ch->tag = tag;                  /* nobody knows it yet */
    _PyChannelEnd *end = new_end(ch, _PyChannel_CAN_BOTH, 0);
    _PyChannel_Decref(ch);
    return end;
}


/* --- ends ----------------------------------------------------------------- */

_PyChannelEnd *
_PyChannelEnd_Clone(_PyChannelEnd *end, _PyChannel_Status *status)
{
    _PyChannel *ch = end->channel;
    *status = _PyChannel_OK;
    _PyChannelEnd *clone = PyMem_RawMalloc(sizeof(_PyChannelEnd));
    if (clone == NULL) {
        *status = _PyChannel_NO_MEMORY;
        return NULL;
    }
    *clone = (_PyChannelEnd){.channel = ch, .sides = end->sides};
    _PyChannel_LockBack(ch);
    int closed = end->closed;
    if (!closed) {
        count_open(ch, end->sides, 1);
        ch->refs++;
    }
    _PyChannel_UnlockBack(ch);
    if (closed) {
        *status = _PyChannel_END_CLOSED;
        PyMem_RawFree(clone);
        return NULL;
    }
    return clone;
}

void
_PyChannelEnd_Close(_PyChannelEnd *end)
{
    _PyChannel *ch = end->channel;
    _PyWaiter *woken = NULL;
    _PyChannel_Lock(ch);
    if (end->closed) {
        _PyChannel_Unlock(ch);
        return;
    }
    end->closed = 1;
    for (int side = 0; side < 2; side++) {
        if (end->sides & (1 << side)) {
            _PyChannel_FinishAll(ch, side, end, _PyChannel_END_CLOSED,
                                 &woken);
            if (--ch->open[side] == 0) {
                /* Receivers that were left asleep get what there is first. */
                _PyChannel_HandOver(ch, INT_MAX, &woken);
                _PyChannel_FinishAll(ch, _PyChannel_Other(side), NULL,
                                     _PyChannel_CLOSED, &woken);
            }
        }
    }
    _PyChannel_Items orphans = _PyChannel_TakeOrphans(ch);
    _PyChannel_Unlock(ch);
    _PyWaiter_Wake(woken);
    _PyChannel_DestroyItems(orphans);
}

void
_PyChannelEnd_Free(_PyChannelEnd *end)
{
    _PyChannelEnd_Close(end);
    _PyChannel_Decref(end->channel);
    PyMem_RawFree(end);
}

int
_PyChannelEnd_IsClosed(_PyChannelEnd *end)
{
    _PyChannel_LockBack(end->channel);
    int closed = end->closed;
    _PyChannel_UnlockBack(end->channel);
    return closed;
}

int64_t
_PyChannelEnd_ID(const _PyChannelEnd *end)
{
    return end->channel->id;
}

Py_ssize_t
_PyChannelEnd_Capacity(const _PyChannelEnd *end)
{
    return end->channel->capacity;
}

int
_PyChannelEnd_Tag(const _PyChannelEnd *end)
{
    return end->channel->tag;
}

Py_ssize_t
_PyChannelEnd_Length(_PyChannelEnd *end)
{
    _PyChannel *ch = end->channel;
    _PyChannel_Lock(ch);
    Py_ssize_t length = ch->front.length + ch->buffer.length + ch->blocked;
    _PyChannel_Unlock(ch);
    return length;
}

int
_PyChannelEnd_IsFull(_PyChannelEnd *end)
{
    _PyChannel *ch = end->channel;
    _PyChannel_LockBack(ch);
    int full = _PyChannel_IsFull(ch);
    _PyChannel_UnlockBack(ch);
    return full;
}


/* --- all channels --------------------------------------------------------- */

_PyChannel **
_PyChannel_All(Py_ssize_t *n)
{
    Py_ssize_t size = 16;
    for (;;) {
        _PyChannel **result = PyMem_RawMalloc(size * sizeof(_PyChannel *));
        if (result == NULL) {
            return NULL;
        }
        Py_ssize_t found = 0;
        lock_list();
        struct llist_node *node;
        llist_for_each(node, &all.list) {
            found += !listed(node)->is_queue;
        }
        *n = 0;
        if (found <= size) {
            llist_for_each(node, &all.list) {
                _PyChannel *ch = listed(node);
                if (!ch->is_queue && incref_if_alive(ch)) {
                    result[(*n)++] = ch;
                }
            }
        }
        unlock_list();
        if (found <= size) {
            return result;
        }
        PyMem_RawFree(result);
        size = found + 16;
    }
}

_PyChannelEnd *
_PyChannel_NewEnd(_PyChannel *ch, _PyChannel_Side side)
{
    return new_end(ch, 1 << side, 1);
}

_PyChannelEnd *
_PyChannel_OpenQueue(int64_t id, _PyChannel_Status *status)
{
    _PyChannel *ch = NULL;
    lock_list();
    struct llist_node *node = all.list.prev;
    while (node != &all.list && listed(node)->id > id) {
        node = node->prev;
    }
    if (node != &all.list && listed(node)->id == id
        && listed(node)->is_queue && incref_if_alive(listed(node)))
    {
        ch = listed(node);
    }
    unlock_list();
    if (ch == NULL) {
        *status = _PyChannel_CLOSED;
        return NULL;
    }
    _PyChannelEnd *end = new_end(ch, _PyChannel_CAN_BOTH, 1);
    _PyChannel_Decref(ch);
    *status = _PyChannel_NO_MEMORY;
    if (end != NULL && end->closed) {
        /* The last end went meanwhile. */
        _PyChannelEnd_Free(end);
        end = NULL;
        *status = _PyChannel_CLOSED;
    }
    return end;
}


/* --- items of all queues -------------------------------------------------- */

void
_PyChannel_TakeItems(int (*take)(_PyChannelItem, void *), void *arg)
{
    _PyWaiter *woken = NULL;
    lock_list();
    struct llist_node *node;
    llist_for_each(node, &all.list) {
        _PyChannel *ch = listed(node);
        if (ch->is_queue) {
            _PyChannel_Lock(ch);
            _PyChannel_TakeItemsOf(ch, take, arg, &woken);
            _PyChannel_Unlock(ch);
        }
    }
    unlock_list();
    _PyWaiter_Wake(woken);
}


/* --- fork ----------------------------------------------------------------- */

/* The thread that forks takes every lock of the engine first, in the order of
   their ranks, so that the child finds all channels in order.  What waits in
   them belongs to threads which the child does not have. */

void
_PyChannel_BeforeFork(void)
{
    lock_list();
    struct llist_node *node;
    llist_for_each(node, &all.list) {
        _PyChannel_Lock(listed(node));
    }
    _PyWaiter_BeforeFork();
}

void
_PyChannel_AfterForkParent(void)
{
    _PyWaiter_AfterForkParent();
    struct llist_node *node;
    llist_for_each(node, &all.list) {
        _PyChannel_Unlock(listed(node));
    }
    unlock_list();
}

void
_PyChannel_AfterForkChild(void)
{
    _PyWaiter_AfterForkChild();
    struct llist_node *node;
    llist_for_each(node, &all.list) {
        _PyChannel *ch = listed(node);
        _PyChannel_ForgetWaiting(ch);
        _PyMutex_at_fork_reinit(&ch->lock);
        _PyMutex_at_fork_reinit(&ch->front_lock);
    }
    _PyMutex_at_fork_reinit(&all.lock);
}
