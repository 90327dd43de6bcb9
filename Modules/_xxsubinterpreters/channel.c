/* Channels.  See channel.h for what the functions promise.

   An operation that waits is *live* as long as nobody has claimed its waiter.
   Operations that are not live are taken off the queues by whoever meets them.

   Invariants, true whenever both locks of a channel are free:

   1. Live operations wait on one side only, unless they are cases of one
      select.
   2. If a live receiver waits, no item is buffered, or a receiver is waking
      (ch->waking > 0), which will see to it.
   3. If a live sender waits, the buffer is full (a rendezvous channel's always
      is), and a receiving end is open.
   4. If a live receiver waits, a sending end is open.
   5. Buffered items imply an open receiving end.
   6. There is a free place in the ring for each reservation, unless the channel
      was emptied because nobody can receive from it any more.

   Who tries an operation is not waiting for anything, so it is enough that it
   claims the waiter of its counterpart.  A select keeps to that by locking all
   its channels, which is why it is tried and left waiting in one step.

   A sender that finds a waiting receiver hands its item over directly; the
   buffer is not touched, unless enough receivers are waking (see
   most_waking()).  A receiver that makes room moves the first waiting
   sender's item into the buffer, so that order is kept.

   An unbounded channel has a *front*: the oldest of the buffered items, which
   receivers took out of the buffer in one go.  While it lasts, they touch
   neither the buffer nor its lock, so that a sender and a receiver get into
   each other's way once in a batch, not with every item.  Nobody waits with
   it: any receiver may have what is in it.

   7. If a receiver waits, the front is empty.
   8. The front holds no ends of the channel itself.
   9. While places are reserved, no batch is taken.  So either the front is
      empty, and what is given back goes into the buffer, where its place is; or
      that item came out of the front, where its place still is.

   A channel has two locks.  The front's covers the front and `streaming`.  The
   back's covers every other field but those that never change.  The `closed`
   flag of an end is read under any of them and, once others know the end,
   written under both.  _PyChannel_Lock() takes both, the front's first; what
   belongs to senders and to waiting is done under the back's alone.

   Under a lock nothing is allocated, freed, woken or destroyed.  Locks are
   taken without detaching, since their holders wait for nothing but the locks
   that come next.  Channels are locked together only in the order of their
   numbers. */

#include "Python.h"
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "channel_private.h"

#define FIRST_RING 8
#define KEPT_RING 1024              /* the largest one kept while empty */


/* --- locking -------------------------------------------------------------- */

/* How long to stay away from a lock that is held, and how often to come back,
   before sleeping.  Its holder, if it runs, is done much sooner; but looking at
   the lock takes its cache line, and the fields beside it, away from the holder,
   who is likely to want it again at once.  Staying away for several operations
   of the other side makes the line change places less often. */
#define LOCK_PAUSE_NS 2000
#define LOCK_LOOKS 20

void
_PyChannel_LockContended(PyMutex *lock)
{
    if (_PyWaiter_Processors() > 1) {
        for (int i = 0; i < LOCK_LOOKS; i++) {
            _PyWaiter_Pause(LOCK_PAUSE_NS);
            if (_Py_atomic_load_uint8_relaxed(&lock->_bits) == _Py_UNLOCKED
                && PyMutex_LockFast(&lock->_bits))
            {
                return;
            }
        }
    }
    PyMutex_LockFlags(lock, _Py_LOCK_DONT_DETACH);
}

static inline _PyChannelOp *
waiting_op(struct llist_node *node)
{
    return llist_data(node, _PyChannelOp, node);
}

#ifndef NDEBUG
void
_PyChannel_CheckInvariants(_PyChannel *ch)
{
    _PyWaiter *live[2] = {NULL, NULL};
    for (int side = 0; side < 2; side++) {
        struct llist_node *node;
        llist_for_each(node, &ch->waiting[side]) {
            _PyWaiter *waiter = waiting_op(node)->waiter;
            if (!_PyWaiter_IsClaimed(waiter)) {
                live[side] = waiter;
                break;
            }
        }
    }
    _PyWaiter *receiver = live[_PyChannel_RECV];
    _PyWaiter *sender = live[_PyChannel_SEND];
    if (receiver != NULL) {
        assert(sender == NULL || sender == receiver);
        assert(ch->buffer.length == 0 || ch->waking > 0);
        assert(ch->open[_PyChannel_SEND] > 0);
    }
    if (sender != NULL) {
        assert(_PyChannel_IsFull(ch));
        assert(ch->open[_PyChannel_RECV] > 0);
    }
    assert(ch->buffer.length == 0 || ch->open[_PyChannel_RECV] > 0);
    assert(ch->buffer.length + ch->reserved <= ch->buffer.size
           || ch->buffer.items == NULL || ch->open[_PyChannel_RECV] == 0);
}
#endif


/* --- waiting operations: the back's lock is held -------------------------- */

static void
enqueue(_PyChannel *ch, _PyChannelOp *op)
{
    llist_insert_tail(&ch->waiting[op->side], &op->node);
    ch->blocked += op->alone && op->side == _PyChannel_SEND;
}

static inline int
is_enqueued(const _PyChannelOp *op)
{
    return op->node.next != NULL;
}

static void
dequeue(_PyChannel *ch, _PyChannelOp *op)
{
    assert(is_enqueued(op));
    llist_remove(&op->node);
    ch->blocked -= op->alone && op->side == _PyChannel_SEND;
}

/* Claim the first live operation of a side; NULL if there is none. */
static _PyChannelOp *
claim_first(_PyChannel *ch, _PyChannel_Side side)
{
    struct llist_node *node;
    llist_for_each_safe(node, &ch->waiting[side]) {
        _PyChannelOp *op = waiting_op(node);
        if (_PyWaiter_Claim(op->waiter)) {
            return op;
        }
        dequeue(ch, op);
    }
    return NULL;
}

/* Finish an operation that was claimed.  Its thread may return at once and take
   `op` with it, unless this returns true: then it sleeps, and will be woken. */
static int
finish(_PyChannel *ch, _PyChannelOp *op, _PyChannel_Status status,
       _PyWaiter **woken)
{
    dequeue(ch, op);
    op->status = status;
    op->waiter->result = op;
    return _PyWaiter_Fire(op->waiter, woken);
}

/* Take an operation off whose waiter is claimed.  Takes the back's lock. */
static void
withdraw(_PyChannelOp *op)
{
    _PyChannel *ch = op->end->channel;
    _PyChannel_LockBack(ch);
    if (is_enqueued(op)) {
        dequeue(ch, op);
    }
    _PyChannel_UnlockBack(ch);
}


/* --- the buffer: the back's lock is held ---------------------------------- */

static inline Py_ssize_t
ends_in(_PyChannel *ch, const _PyChannelItem *item)
{
    return item->kind->count_ends == NULL
           ? 0 : item->kind->count_ends(item->payload, ch);
}

static inline void
push(_PyChannel *ch, const _PyChannelItem *item)
{
    _PyRing_Push(&ch->buffer, item);
    ch->own_ends += ends_in(ch, item);
}

static inline void
push_front(_PyChannel *ch, const _PyChannelItem *item)
{
    _PyRing_PushFront(&ch->buffer, item);
    ch->own_ends += ends_in(ch, item);
}

static inline void
pop(_PyChannel *ch, _PyChannelItem *item)
{
    _PyRing_Pop(&ch->buffer, item);
    ch->own_ends -= ends_in(ch, item);
}

/* The arrays of large rings that are empty, and larger than what the channel has
   lately held, for the caller to free. */
typedef struct {
    _PyChannelItem *front;
    _PyChannelItem *buffer;
} Surplus;

static inline int
is_surplus(const _PyRing *ring, const _PyRing *other)
{
    return ring->size > KEPT_RING && ring->length == 0
           && (other->length == 0 || ring->size / 4 > other->size);
}

/* Needs both locks. */
static inline Surplus
take_surplus(_PyChannel *ch)
{
    Surplus surplus = {0};
    if (is_surplus(&ch->front, &ch->buffer)) {
        surplus.front = _PyRing_Take(&ch->front).items;
    }
    if (is_surplus(&ch->buffer, &ch->front) && ch->reserved == 0) {
        surplus.buffer = _PyRing_Take(&ch->buffer).items;
    }
    return surplus;
}

static inline void
free_surplus(Surplus surplus)
{
    PyMem_RawFree(surplus.front);
    PyMem_RawFree(surplus.buffer);
}

_PyChannel_Items
_PyChannel_TakeOrphans(_PyChannel *ch)
{
    Py_ssize_t open = ch->open[_PyChannel_RECV] + ch->open[_PyChannel_SEND];
    _PyChannel_Items orphans = {0};
    if (ch->open[_PyChannel_RECV] == 0 || open == ch->own_ends) {
        ch->own_ends = 0;
        orphans.front = _PyRing_Take(&ch->front);
        orphans.buffer = _PyRing_Take(&ch->buffer);
    }
    return orphans;
}

void
_PyChannel_DestroyItems(_PyChannel_Items items)
{
    _PyRing_Destroy(items.front);
    _PyRing_Destroy(items.buffer);
}

static inline int
ring_is_full(const _PyChannel *ch)
{
    return ch->buffer.length + ch->reserved >= ch->buffer.size;
}

/* Make room for one item more, with the locks free; somebody else may take it.
   Return -1 when out of memory. */
static int
grow_ring(_PyChannel *ch)
{
    _PyChannel_LockBack(ch);
    int full = ring_is_full(ch);
    size_t size = ch->buffer.size > 0 ? 2 * ch->buffer.size : FIRST_RING;
    _PyChannel_UnlockBack(ch);
    if (!full) {
        return 0;
    }
    if (size > (size_t)PY_SSIZE_T_MAX / sizeof(_PyChannelItem)) {
        return -1;
    }
    _PyChannelItem *items = PyMem_RawMalloc(size * sizeof(_PyChannelItem));
    if (items == NULL) {
        return -1;
    }
    _PyChannel_LockBack(ch);
    if (size > ch->buffer.size && ring_is_full(ch)) {
        items = _PyRing_MoveTo(&ch->buffer, items, size);
    }
    _PyChannel_UnlockBack(ch);
    PyMem_RawFree(items);
    return 0;
}


/* --- whom to serve: the back's lock is held ------------------------------- */

/* Waking a thread takes much longer than moving an item, and more threads than
   there are processors do not run anyhow: one that is woken too many takes the
   processor from the one that sends, or from a receiver that is about to come
   back for more.  So while as many receivers as could run are *waking* -- they
   were handed an item in their sleep, and are not back yet -- others are left
   asleep, and items are buffered if there is room.  Each that is back sees to
   the next. */
static int
most_waking(void)
{
    return Py_MAX(_PyWaiter_Processors() - 1, 1);
}

/* How often in a row a receiver may be preferred to one that waits longer. */
#define PREFERRED_IN_A_ROW 4000

/* Claim a receiver to hand an item to; NULL if none is live, or if the item is
   to be buffered.  The one that waits longest is most likely asleep; the one that
   came last is preferred if it still looks, because it runs, and its caches are
   warm. */
static _PyChannelOp *
claim_receiver(_PyChannel *ch)
{
    struct llist_node *queue = &ch->waiting[_PyChannel_RECV];
    if (llist_empty(queue)) {
        return NULL;
    }
    _PyChannelOp *last = waiting_op(queue->prev);
    if (queue->next != queue->prev && ch->preferred < PREFERRED_IN_A_ROW
        && _PyWaiter_Looks(last->waiter) && _PyWaiter_Claim(last->waiter))
    {
        ch->preferred++;
        return last;
    }
    ch->preferred = 0;
    while (ch->waking >= most_waking() && !_PyChannel_IsFull(ch) && !llist_empty(queue)) {
        _PyChannelOp *first = waiting_op(queue->next);
        if (!_PyWaiter_IsClaimed(first->waiter)) {
            if (_PyWaiter_MustBeWoken(first->waiter)) {
                return NULL;
            }
            break;
        }
        dequeue(ch, first);
    }
    return claim_first(ch, _PyChannel_RECV);
}

/* Finish a receive that was claimed, and has its item. */
static void
finish_receiver(_PyChannel *ch, _PyChannelOp *op, _PyWaiter **woken)
{
    if (finish(ch, op, _PyChannel_OK, woken)) {
        /* The thread sleeps, so `op` is still there. */
        op->waking = 1;
        ch->waking++;
    }
}

/* Hand buffered items to receivers that wait, until so many are waking. */
void
_PyChannel_HandOver(_PyChannel *ch, int limit, _PyWaiter **woken)
{
    _PyChannelOp *receiver;
    while (ch->buffer.length > 0 && ch->waking < limit
           && (receiver = claim_first(ch, _PyChannel_RECV)) != NULL)
    {
        pop(ch, &receiver->item);
        finish_receiver(ch, receiver, woken);
    }
}

/* Move the items of waiting senders into the room that a receiver made. */
static inline void
refill(_PyChannel *ch, _PyWaiter **woken)
{
    _PyChannelOp *sender;
    while (!llist_empty(&ch->waiting[_PyChannel_SEND])
           && !_PyChannel_IsFull(ch) && !ring_is_full(ch)
           && (sender = claim_first(ch, _PyChannel_SEND)) != NULL)
    {
        push(ch, &sender->item);
        finish(ch, sender, _PyChannel_OK, woken);
    }
}

/* A receiver is back that was handed an item in its sleep.  Takes the back's
   lock. */
static void
is_back(_PyChannelOp *op)
{
    _PyChannel *ch = op->end->channel;
    _PyWaiter *woken = NULL;
    _PyChannel_LockBack(ch);
    op->waking = 0;
    ch->waking--;
    _PyChannel_HandOver(ch, most_waking(), &woken);
    _PyChannel_UnlockBack(ch);
    _PyWaiter_Wake(woken);
}


/* --- the two operations: their locks are held ----------------------------- */

/* As a status, and never seen outside: the ring is too small. */
#define NEEDS_ROOM ((_PyChannel_Status)-1)

static _PyChannel_Status
send_locked(_PyChannelOp *op, _PyWaiter **woken)
{
    _PyChannelEnd *end = op->end;
    _PyChannel *ch = end->channel;
    if (end->closed) {
        return _PyChannel_END_CLOSED;
    }
    if (ch->open[_PyChannel_RECV] == 0) {
        return _PyChannel_CLOSED;
    }
    _PyChannelOp *receiver = claim_receiver(ch);
    if (receiver == NULL) {
        if (_PyChannel_IsFull(ch)) {
            return _PyChannel_WOULD_BLOCK;
        }
        if (ring_is_full(ch)) {
            return NEEDS_ROOM;
        }
        push(ch, &op->item);
    }
    else if (ch->buffer.length == 0) {
        receiver->item = op->item;
        finish_receiver(ch, receiver, woken);
    }
    else {                          /* those that came earlier go first */
        pop(ch, &receiver->item);
        push(ch, &op->item);
        finish_receiver(ch, receiver, woken);
    }
    return _PyChannel_OK;
}

/* Take what is buffered as the new front, which is empty, if that is allowed,
   and worth it. */
static int
take_batch(_PyChannel *ch)
{
    if (ch->buffer.length == 1 || ch->reserved > 0 || ch->own_ends > 0
        || !llist_empty(&ch->waiting[_PyChannel_RECV]))
    {
        return 0;
    }
    assert(ch->front.length == 0);
    _PyRing batch = ch->buffer;
    ch->buffer = ch->front;
    ch->front = batch;
    return 1;
}

/* The front's lock is enough. */
static inline int
recv_from_front(_PyChannelOp *op)
{
    _PyChannel *ch = op->end->channel;
    if (ch->front.length == 0 || op->end->closed) {
        return 0;
    }
    _PyRing_Pop(&ch->front, &op->item);
    return 1;
}

/* When nothing is to be had from the front. */
static _PyChannel_Status
recv_from_back(_PyChannelOp *op, _PyWaiter **woken)
{
    _PyChannelEnd *end = op->end;
    _PyChannel *ch = end->channel;
    if (end->closed) {
        return _PyChannel_END_CLOSED;
    }
    assert(ch->front.length == 0);
    if (ch->buffer.length > 0) {
        if (ch->has_front && take_batch(ch)) {
            _PyRing_Pop(&ch->front, &op->item);
            return _PyChannel_OK;
        }
        pop(ch, &op->item);
        refill(ch, woken);
        return _PyChannel_OK;
    }
    _PyChannelOp *sender = claim_first(ch, _PyChannel_SEND);
    if (sender != NULL) {           /* rendezvous */
        op->item = sender->item;
        finish(ch, sender, _PyChannel_OK, woken);
        return _PyChannel_OK;
    }
    return ch->open[_PyChannel_SEND] == 0 ? _PyChannel_CLOSED
                                          : _PyChannel_WOULD_BLOCK;
}

static _PyChannel_Status
recv_locked(_PyChannelOp *op, _PyWaiter **woken)
{
    return recv_from_front(op) ? _PyChannel_OK : recv_from_back(op, woken);
}

static inline _PyChannel_Status
try_locked(_PyChannelOp *op, _PyWaiter **woken)
{
    assert(op->end->sides & (1 << op->side));
    return op->side == _PyChannel_SEND ? send_locked(op, woken)
                                       : recv_locked(op, woken);
}


/* --- one operation -------------------------------------------------------- */

/* Leave it waiting if there is a waiter. */
static inline void
leave_waiting(_PyChannelOp *op, _PyWaiter *waiter)
{
    /* Before it is known to others, who may finish it at any time. */
    op->status = _PyChannel_WOULD_BLOCK;
    if (waiter != NULL) {
        op->waiter = waiter;
        op->alone = 1;
        enqueue(op->end->channel, op);
    }
}

static _PyChannel_Status
begin_send(_PyChannelOp *op, _PyWaiter *waiter)
{
    _PyChannel *ch = op->end->channel;
    _PyWaiter *woken = NULL;
    _PyChannel_Status status;
    for (;;) {
        _PyChannel_LockBack(ch);
        status = send_locked(op, &woken);
        if (status != NEEDS_ROOM) {
            break;
        }
        _PyChannel_UnlockBack(ch);
        if (grow_ring(ch) < 0) {
            return op->status = _PyChannel_NO_MEMORY;
        }
    }
    if (status == _PyChannel_WOULD_BLOCK) {
        leave_waiting(op, waiter);
    }
    else {
        op->status = status;
    }
    _PyChannel_UnlockBack(ch);
    _PyWaiter_Wake(woken);
    return status;
}

/* A receiver that is faster than the senders finds nothing, and each item has
   to be handed over to it, which costs both sides more than a buffered one does.
   So after a batch that was worth it, it stays away once, for a few items more
   to come.  A channel that carries one item at a time never gets there. */
#define BATCH_WORTH_IT 4
#define BATCH_PAUSE_NS 1500

static inline int
is_worth_a_pause(const _PyChannel *ch, const _PyWaiter *waiter)
{
    return ch->streaming && waiter != NULL && waiter->port == NULL
           && _PyWaiter_Processors() > 1;
}

static _PyChannel_Status
begin_recv(_PyChannelOp *op, _PyWaiter *waiter)
{
    _PyChannel *ch = op->end->channel;
    _PyWaiter *woken = NULL;
    _PyChannel_Status status;
    for (int paused = 0; ; paused = 1) {
        if (ch->has_front) {
            _PyChannel_LockFront(ch);
            /* The last item of a large front: see whether it is surplus. */
            int last = ch->front.length == 1 && ch->front.size > KEPT_RING;
            if (!last && recv_from_front(op)) {
                _PyChannel_UnlockFront(ch);
                return op->status = _PyChannel_OK;
            }
        }
        _PyChannel_LockBack(ch);
        status = recv_locked(op, &woken);
        if (status != _PyChannel_WOULD_BLOCK || paused || !is_worth_a_pause(ch, waiter)) {
            break;
        }
        ch->streaming = 0;
        _PyChannel_Unlock(ch);
        _PyWaiter_Pause(BATCH_PAUSE_NS);
    }
    if (status == _PyChannel_WOULD_BLOCK) {
        leave_waiting(op, waiter);
    }
    else {
        op->status = status;
    }
    if (ch->front.length >= BATCH_WORTH_IT) {
        ch->streaming = 1;
    }
    Surplus surplus = take_surplus(ch);
    _PyChannel_Unlock(ch);
    _PyWaiter_Wake(woken);
    free_surplus(surplus);
    return status;
}

static inline _PyChannel_Status
begin(_PyChannelOp *op, _PyWaiter *waiter)
{
    assert(op->end->sides & (1 << op->side));
    return op->side == _PyChannel_SEND ? begin_send(op, waiter)
                                       : begin_recv(op, waiter);
}

_PyChannel_Status
_PyChannel_Try(_PyChannelOp *op)
{
    return begin(op, NULL);
}

int
_PyChannel_Begin(_PyChannelOp *op, _PyWaiter *waiter)
{
    return begin(op, waiter) != _PyChannel_WOULD_BLOCK;
}

static _PyChannel_Status
unsuccessful(_PyWaiter_Result result)
{
    switch (result) {
    case _PyWaiter_TIMEOUT:
        return _PyChannel_TIMEOUT;
    case _PyWaiter_SIGNAL:
        return _PyChannel_SIGNAL;
    case _PyWaiter_BROKEN:
        return _PyChannel_BROKEN;
    default:
        Py_UNREACHABLE();
    }
}

_PyChannel_Status
_PyChannel_Wait(_PyChannelOp *op, PyTime_t deadline,
                const _PyWaiter_Breakers *breakers)
{
    _PyWaiter_Result result = _PyWaiter_Wait(op->waiter, deadline, breakers);
    if (result == _PyWaiter_FIRED) {
        if (op->waking) {
            is_back(op);
        }
        return op->status;
    }
    withdraw(op);
    if (result == _PyWaiter_TIMEOUT
        && begin(op, NULL) != _PyChannel_WOULD_BLOCK)
    {
        return op->status;          /* it had been left asleep, see most_waking() */
    }
    return op->status = unsuccessful(result);
}

Py_ssize_t
_PyChannel_Drain(_PyChannelEnd *end, _PyChannelItem *items, Py_ssize_t n,
                 _PyChannel_Status *status)
{
    _PyChannel *ch = end->channel;
    _PyChannelOp op = {.end = end, .side = _PyChannel_RECV};
    _PyWaiter *woken = NULL;
    Py_ssize_t got = 0;
    _PyChannel_Lock(ch);
    *status = _PyChannel_OK;
    while (got < n && *status == _PyChannel_OK) {
        *status = recv_locked(&op, &woken);
        if (*status == _PyChannel_OK) {
            items[got++] = op.item;
        }
    }
    Surplus surplus = take_surplus(ch);
    _PyChannel_Unlock(ch);
    _PyWaiter_Wake(woken);
    free_surplus(surplus);
    return got;
}


/* --- select --------------------------------------------------------------- */

static int
compare_channels(const void *a, const void *b)
{
    int64_t x = (*(_PyChannel *const *)a)->id, y = (*(_PyChannel *const *)b)->id;
    return (x > y) - (x < y);
}

void
_PyChannel_SelectInit(_PyChannelSelect *select)
{
    for (Py_ssize_t i = 0; i < select->n; i++) {
        select->channels[i] = select->ops[i].end->channel;
        select->order[i] = &select->ops[i];
    }
    qsort(select->channels, select->n, sizeof(_PyChannel *), compare_channels);
    Py_ssize_t n = 0;
    for (Py_ssize_t i = 0; i < select->n; i++) {
        if (n == 0 || select->channels[n - 1] != select->channels[i]) {
            select->channels[n++] = select->channels[i];
        }
    }
    select->n_channels = n;
}

static void
lock_all(const _PyChannelSelect *select)
{
    for (Py_ssize_t i = 0; i < select->n_channels; i++) {
        _PyChannel_Lock(select->channels[i]);
    }
}

static void
unlock_all(const _PyChannelSelect *select)
{
    for (Py_ssize_t i = select->n_channels - 1; i >= 0; i--) {
        _PyChannel_Unlock(select->channels[i]);
    }
}

/* A number from 0 to n - 1, from a generator of each thread (xorshift64*,
   Vigna 2016). */
static Py_ssize_t
random_below(Py_ssize_t n)
{
    static _Py_thread_local uint64_t x = 0;
    if (x == 0) {
        x = (uint64_t)(uintptr_t)&x | 1;
    }
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    return (Py_ssize_t)(((x * 0x2545F4914F6CDD1Du) >> 33) % (uint64_t)n);
}

/* Every order is as likely (Fisher and Yates). */
static void
shuffle(_PyChannelOp **order, Py_ssize_t n)
{
    for (Py_ssize_t i = n - 1; i > 0; i--) {
        Py_ssize_t k = random_below(i + 1);
        _PyChannelOp *op = order[i];
        order[i] = order[k];
        order[k] = op;
    }
}

/* Try the cases; if all would block, leave them waiting if there is a waiter. */
static _PyChannelOp *
select_begin(_PyChannelSelect *select, _PyWaiter *waiter)
{
    if (select->n == 0) {
        return NULL;
    }
    _PyWaiter *woken = NULL;
    _PyChannelOp *done = NULL;
    shuffle(select->order, select->n);
    for (;;) {
        _PyChannelOp *needs_room = NULL;
        lock_all(select);
        for (Py_ssize_t i = 0; i < select->n && done == NULL; i++) {
            _PyChannelOp *op = select->order[i];
            op->status = try_locked(op, &woken);
            if (op->status == NEEDS_ROOM) {
                needs_room = op;
                break;
            }
            if (op->status != _PyChannel_WOULD_BLOCK) {
                done = op;
            }
        }
        if (needs_room == NULL) {
            break;
        }
        unlock_all(select);
        if (grow_ring(needs_room->end->channel) < 0) {
            needs_room->status = _PyChannel_NO_MEMORY;
            return needs_room;
        }
    }
    if (done == NULL && waiter != NULL) {
        for (Py_ssize_t i = 0; i < select->n; i++) {
            select->ops[i].waiter = waiter;
            select->ops[i].alone = 0;
            enqueue(select->ops[i].end->channel, &select->ops[i]);
        }
    }
    Surplus surplus = {0};
    if (done != NULL) {
        surplus = take_surplus(done->end->channel);
    }
    unlock_all(select);
    _PyWaiter_Wake(woken);
    free_surplus(surplus);
    return done;
}

_PyChannelOp *
_PyChannel_SelectTry(_PyChannelSelect *select)
{
    return select_begin(select, NULL);
}

_PyChannelOp *
_PyChannel_SelectBegin(_PyChannelSelect *select, _PyWaiter *waiter)
{
    return select_begin(select, waiter);
}

_PyChannelOp *
_PyChannel_SelectWait(_PyChannelSelect *select, PyTime_t deadline,
                      const _PyWaiter_Breakers *breakers,
                      _PyChannel_Status *status)
{
    _PyWaiter *waiter = select->ops[0].waiter;
    _PyWaiter_Result result = _PyWaiter_Wait(waiter, deadline, breakers);
    for (Py_ssize_t i = 0; i < select->n; i++) {
        withdraw(&select->ops[i]);
    }
    if (result != _PyWaiter_FIRED) {
        *status = unsuccessful(result);
        if (result != _PyWaiter_TIMEOUT) {
            return NULL;
        }
        /* A receiver may have been left asleep, see most_waking(). */
        _PyChannelOp *op = select_begin(select, NULL);
        if (op != NULL) {
            *status = op->status;
        }
        return op;
    }
    _PyChannelOp *op = waiter->result;
    if (op->waking) {
        is_back(op);
    }
    *status = op->status;
    return op;
}


/* --- operations of event loops -------------------------------------------- */

static int
reserve(_PyChannelOp *op)
{
    _PyChannel *ch = op->end->channel;
    for (;;) {
        _PyChannel_LockBack(ch);
        int closed = op->end->closed;   /* then it will not receive anyhow */
        op->reserved = !closed && !ring_is_full(ch);
        ch->reserved += op->reserved;
        _PyChannel_UnlockBack(ch);
        if (closed || op->reserved) {
            return 0;
        }
        if (grow_ring(ch) < 0) {
            return -1;
        }
    }
}

int
_PyChannel_BeginAsync(_PyChannelOp *op, _PyWaiter *waiter)
{
    op->reserved = 0;
    if (op->side == _PyChannel_RECV && reserve(op) < 0) {
        op->status = _PyChannel_NO_MEMORY;
        return 1;
    }
    return _PyChannel_Begin(op, waiter);
}

int
_PyChannel_CancelAsync(_PyChannelOp *op)
{
    if (!_PyWaiter_Claim(op->waiter)) {
        return 0;
    }
    withdraw(op);
    _PyChannel_EndAsync(op);
    return 1;
}

void
_PyChannel_EndAsync(_PyChannelOp *op)
{
    _PyChannel *ch = op->end->channel;
    _PyChannel_LockBack(ch);
    ch->reserved -= op->reserved;
    _PyChannel_UnlockBack(ch);
    op->reserved = 0;
}

void
_PyChannel_GiveBack(_PyChannelOp *op)
{
    _PyChannel *ch = op->end->channel;
    _PyWaiter *woken = NULL;
    _PyChannel_Items orphans = {0};
    int orphaned = 0;
    assert(op->side == _PyChannel_RECV && op->status == _PyChannel_OK);
    assert(op->reserved);
    _PyChannel_Lock(ch);
    _PyChannelOp *receiver = claim_first(ch, _PyChannel_RECV);
    if (receiver != NULL) {
        receiver->item = op->item;
        finish_receiver(ch, receiver, &woken);
    }
    else if (ch->open[_PyChannel_RECV] == 0 || ch->buffer.items == NULL) {
        orphaned = 1;
    }
    else if (ch->front.length > 0) {    /* it came from there, see 9 */
        assert(ends_in(ch, &op->item) == 0);
        _PyRing_PushFront(&ch->front, &op->item);
    }
    else {
        push_front(ch, &op->item);
        orphans = _PyChannel_TakeOrphans(ch);
    }
    ch->reserved--;
    op->reserved = 0;
    _PyChannel_Unlock(ch);
    _PyWaiter_Wake(woken);
    if (orphaned) {
        _PyChannelItem_Destroy(op->item);
    }
    _PyChannel_DestroyItems(orphans);
}


/* --- for the ends and the list -------------------------------------------- */

void
_PyChannel_FinishAll(_PyChannel *ch, _PyChannel_Side side, const _PyChannelEnd *end,
                     _PyChannel_Status status, _PyWaiter **woken)
{
    struct llist_node *node;
    llist_for_each_safe(node, &ch->waiting[side]) {
        _PyChannelOp *op = waiting_op(node);
        if ((end == NULL || op->end == end) && _PyWaiter_Claim(op->waiter)) {
            finish(ch, op, status, woken);
        }
    }
}

void
_PyChannel_TakeItemsOf(_PyChannel *ch, int (*take)(_PyChannelItem, void *),
                       void *arg, _PyWaiter **woken)
{
    size_t n = ch->front.length;
    for (size_t i = 0; i < n; i++) {
        _PyChannelItem item;
        _PyRing_Pop(&ch->front, &item);
        if (!take(item, arg)) {
            _PyRing_Push(&ch->front, &item);
        }
    }
    n = ch->buffer.length;
    for (size_t i = 0; i < n; i++) {
        _PyChannelItem item;
        pop(ch, &item);
        if (!take(item, arg)) {
            push(ch, &item);
        }
    }
    refill(ch, woken);
}

void
_PyChannel_ForgetWaiting(_PyChannel *ch)
{
    for (int side = 0; side < 2; side++) {
        /* Those of event loops are still there, and may be withdrawn. */
        struct llist_node *node;
        llist_for_each_safe(node, &ch->waiting[side]) {
            llist_remove(node);
        }
    }
    ch->waking = 0;
    ch->blocked = 0;
}
