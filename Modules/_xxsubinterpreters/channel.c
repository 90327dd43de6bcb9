/* Channels.  See channel.h for what the functions promise.

   Invariants, true whenever a channel's lock is free:

   1. At least one of the two wait queues is empty.
   2. If a receiver waits, no item is buffered.
   3. If a sender waits, the buffer is full (a rendezvous channel's always
      is).
   4. Waiting senders imply an open receiving end, and the other way round.
   5. Buffered items imply an open receiving end.

   Closing the last end of a side breaks 3 and 4 until it has woken the
   threads that wait on the other side.  By then nobody is left who could
   match them, and whoever comes anew is told so before any queue is looked
   at.

   A sender that finds a waiting receiver hands its item over directly; the
   buffer is not touched.  A receiver that makes room moves the first waiting
   sender's item into the buffer, so that order is kept.

   The lock covers every field of the channel but `id` and `capacity`, which
   never change, and the `closed` flag of its ends.  Under it nothing is
   allocated, freed, unparked or destroyed: what is to be done afterwards is
   collected in a list first.  It is taken without detaching, since its
   holders never block.  No other lock is taken while it is held. */

#include "Python.h"
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "channel.h"
#include "waiter.h"

/* A thread that waits for one operation on one channel; lives on its stack.
   Whoever takes it off its queue, or the thread itself, sets `status`. */
struct parked_op {
    struct parked_op *next, *prev;
    const _PyChannelEnd *end;
    _PyChannelItem *item;           /* to be sent, or what was received */
    _PyChannel_Status status;
    _PyWaiter waiter;
};

struct wait_queue {
    struct parked_op *first, *last;
    Py_ssize_t length;
};

struct item_queue {
    _PyChannelItem *first, **last;  /* last: where the next one goes */
};

struct _PyChannel {
    int64_t id;
    Py_ssize_t capacity;            /* or _PyChannel_UNBOUNDED */
    PyMutex lock;
    Py_ssize_t refs;                /* ends, closed ones included */
    Py_ssize_t open[2];             /* open ends of each side */
    struct wait_queue waiting[2];   /* parked operations of each side */
    struct item_queue buffer;
    Py_ssize_t length;              /* items in the buffer */
};

static int64_t last_id = 0;         /* atomic */

static inline _PyChannel_Side
other(_PyChannel_Side side)
{
    return side == _PyChannel_RECV ? _PyChannel_SEND : _PyChannel_RECV;
}

static inline void
lock(_PyChannel *ch)
{
    PyMutex_LockFlags(&ch->lock, _Py_LOCK_DONT_DETACH);
}

static inline void
unlock(_PyChannel *ch)
{
    assert(ch->waiting[0].first == NULL || ch->waiting[1].first == NULL);
    assert(ch->waiting[_PyChannel_RECV].first == NULL || ch->length == 0);
    assert(ch->waiting[_PyChannel_SEND].first == NULL
           || ch->length >= ch->capacity
           || ch->open[_PyChannel_RECV] == 0);
    assert(ch->length == 0 || ch->open[_PyChannel_RECV] > 0);
    PyMutex_Unlock(&ch->lock);
}


/* --- wait queues and the buffer: the lock is held ----------------------- */

static void
enqueue(struct wait_queue *q, struct parked_op *op)
{
    op->next = NULL;
    op->prev = q->last;
    if (q->last != NULL) {
        q->last->next = op;
    }
    else {
        q->first = op;
    }
    q->last = op;
    q->length++;
}

static void
dequeue(struct wait_queue *q, struct parked_op *op)
{
    if (op->prev != NULL) {
        op->prev->next = op->next;
    }
    else {
        assert(q->first == op);
        q->first = op->next;
    }
    if (op->next != NULL) {
        op->next->prev = op->prev;
    }
    else {
        assert(q->last == op);
        q->last = op->prev;
    }
    q->length--;
}

static void
push(struct item_queue *q, _PyChannelItem *item)
{
    item->next = NULL;
    *q->last = item;
    q->last = &item->next;
}

static _PyChannelItem *
pop(struct item_queue *q)
{
    _PyChannelItem *item = q->first;
    q->first = item->next;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    return item;
}

/* Finish the waiting operation `op`.  Its thread may return at once and take
   `op` with it: only the address of its waiter may be used afterwards, and
   only if it is returned. */
static const _PyWaiter *
finish(_PyChannel *ch, struct parked_op *op, _PyChannel_Status status)
{
    const _PyWaiter *waiter = &op->waiter;
    dequeue(&ch->waiting[op->end->side], op);
    op->status = status;
    return _PyWaiter_Fire(&op->waiter) ? waiter : NULL;
}


/* --- the two operations: the lock is held ------------------------------- */

/* Both set *wake to a waiter to be unparked after unlocking, or to NULL. */

static _PyChannel_Status
send_locked(_PyChannelEnd *end, _PyChannelItem *item, const _PyWaiter **wake)
{
    _PyChannel *ch = end->channel;
    assert(end->side == _PyChannel_SEND);
    *wake = NULL;
    if (end->closed) {
        return _PyChannel_END_CLOSED;
    }
    if (ch->open[_PyChannel_RECV] == 0) {
        return _PyChannel_CLOSED;
    }
    struct parked_op *receiver = ch->waiting[_PyChannel_RECV].first;
    if (receiver != NULL) {
        receiver->item = item;
        *wake = finish(ch, receiver, _PyChannel_OK);
        return _PyChannel_OK;
    }
    if (ch->capacity == _PyChannel_UNBOUNDED || ch->length < ch->capacity) {
        push(&ch->buffer, item);
        ch->length++;
        return _PyChannel_OK;
    }
    return _PyChannel_WOULD_BLOCK;
}

static _PyChannel_Status
recv_locked(_PyChannelEnd *end, _PyChannelItem **item, const _PyWaiter **wake)
{
    _PyChannel *ch = end->channel;
    assert(end->side == _PyChannel_RECV);
    *wake = NULL;
    if (end->closed) {
        return _PyChannel_END_CLOSED;
    }
    struct parked_op *sender = ch->waiting[_PyChannel_SEND].first;
    if (ch->length > 0) {
        *item = pop(&ch->buffer);
        if (sender == NULL) {
            ch->length--;
        }
        else {
            push(&ch->buffer, sender->item);
            *wake = finish(ch, sender, _PyChannel_OK);
        }
        return _PyChannel_OK;
    }
    if (sender != NULL) {           /* rendezvous */
        *item = sender->item;
        *wake = finish(ch, sender, _PyChannel_OK);
        return _PyChannel_OK;
    }
    if (ch->open[_PyChannel_SEND] == 0) {
        return _PyChannel_CLOSED;
    }
    return _PyChannel_WOULD_BLOCK;
}

static _PyChannel_Status
try_locked(_PyChannelEnd *end, _PyChannelItem **item, const _PyWaiter **wake)
{
    return end->side == _PyChannel_SEND ? send_locked(end, *item, wake)
                                        : recv_locked(end, item, wake);
}

static _PyChannel_Status
try_op(_PyChannelEnd *end, _PyChannelItem **item)
{
    const _PyWaiter *wake;
    lock(end->channel);
    _PyChannel_Status status = try_locked(end, item, &wake);
    unlock(end->channel);
    if (wake != NULL) {
        _PyWaiter_Unpark(wake);
    }
    return status;
}

static _PyChannel_Status
wait_op(_PyChannelEnd *end, _PyChannelItem **item, PyTime_t deadline,
        const int *interrupted)
{
    _PyChannel *ch = end->channel;
    const _PyWaiter *wake;
    lock(ch);
    _PyChannel_Status status = try_locked(end, item, &wake);
    if (status != _PyChannel_WOULD_BLOCK) {
        unlock(ch);
        if (wake != NULL) {
            _PyWaiter_Unpark(wake);
        }
        return status;
    }
    struct parked_op op = {.end = end, .item = *item};
    _PyWaiter_Init(&op.waiter);
    enqueue(&ch->waiting[end->side], &op);
    unlock(ch);

    _PyWaiter_Result r = _PyWaiter_Wait(&op.waiter, deadline,
                                        interrupted);
    if (r != _PyWaiter_FIRED) {
        lock(ch);
        if (!_PyWaiter_Fired(&op.waiter)) {
            dequeue(&ch->waiting[end->side], &op);
            op.status = r == _PyWaiter_TIMEOUT ? _PyChannel_TIMEOUT
                                               : _PyChannel_INTR;
        }
        unlock(ch);
    }
    *item = op.item;
    return op.status;
}

_PyChannel_Status
_PyChannel_Send(_PyChannelEnd *end, _PyChannelItem *item)
{
    assert(end->side == _PyChannel_SEND);
    return try_op(end, &item);
}

_PyChannel_Status
_PyChannel_SendWait(_PyChannelEnd *end, _PyChannelItem *item,
                    PyTime_t deadline, const int *interrupted)
{
    assert(end->side == _PyChannel_SEND);
    return wait_op(end, &item, deadline, interrupted);
}

_PyChannel_Status
_PyChannel_Recv(_PyChannelEnd *end, _PyChannelItem **item)
{
    assert(end->side == _PyChannel_RECV);
    *item = NULL;
    return try_op(end, item);
}

_PyChannel_Status
_PyChannel_RecvWait(_PyChannelEnd *end, _PyChannelItem **item,
                    PyTime_t deadline, const int *interrupted)
{
    assert(end->side == _PyChannel_RECV);
    *item = NULL;
    return wait_op(end, item, deadline, interrupted);
}


/* --- ends ---------------------------------------------------------------- */

static _PyChannelEnd *
new_end(_PyChannel *ch, _PyChannel_Side side)
{
    _PyChannelEnd *end = PyMem_RawMalloc(sizeof(_PyChannelEnd));
    if (end != NULL) {
        *end = (_PyChannelEnd){.channel = ch, .side = side};
    }
    return end;
}

int
_PyChannel_New(Py_ssize_t capacity, _PyChannelEnd **recv, _PyChannelEnd **send)
{
    _PyChannel *ch = PyMem_RawCalloc(1, sizeof(_PyChannel));
    *recv = new_end(ch, _PyChannel_RECV);
    *send = new_end(ch, _PyChannel_SEND);
    if (ch == NULL || *recv == NULL || *send == NULL) {
        PyMem_RawFree(*send);
        PyMem_RawFree(*recv);
        PyMem_RawFree(ch);
        *recv = *send = NULL;
        return -1;
    }
    ch->id = _Py_atomic_add_int64(&last_id, 1) + 1;
    ch->capacity = capacity;
    ch->buffer.last = &ch->buffer.first;
    ch->refs = 2;
    ch->open[_PyChannel_RECV] = ch->open[_PyChannel_SEND] = 1;
    return 0;
}

_PyChannelEnd *
_PyChannelEnd_Clone(_PyChannelEnd *end, _PyChannel_Status *status)
{
    _PyChannel *ch = end->channel;
    *status = _PyChannel_OK;
    _PyChannelEnd *clone = new_end(ch, end->side);
    if (clone == NULL) {
        return NULL;
    }
    lock(ch);
    int closed = end->closed;
    if (!closed) {
        ch->open[end->side]++;
        ch->refs++;
    }
    unlock(ch);
    if (closed) {
        *status = _PyChannel_END_CLOSED;
        PyMem_RawFree(clone);
        return NULL;
    }
    return clone;
}

/* Destroy a list of items.  Items may hold the last ends of other channels,
   and these items in turn; what comes up while a thread is in here is appended
   to its list, so that a long chain of channels needs no deep stack. */
static void
destroy_items(_PyChannelItem *items)
{
    static _Py_thread_local struct item_queue pending;
    static _Py_thread_local int destroying = 0;
    int outermost = !destroying;
    if (outermost) {
        destroying = 1;
        pending.last = &pending.first;
    }
    while (items != NULL) {
        _PyChannelItem *next = items->next;
        push(&pending, items);
        items = next;
    }
    if (outermost) {
        while (pending.first != NULL) {
            _PyChannelItem *item = pop(&pending);
            item->destroy(item);
        }
        destroying = 0;
    }
}

/* Take one waiting operation that `end`'s closing ends off its queue: one that
   waits through this end, or, when no end of its side is left, any of the
   other side.  The lock is held.  Return false when there is none. */
static int
finish_one(_PyChannelEnd *end, const _PyWaiter **wake)
{
    _PyChannel *ch = end->channel;
    for (struct parked_op *op = ch->waiting[end->side].first;
         op != NULL; op = op->next)
    {
        if (op->end == end) {
            *wake = finish(ch, op, _PyChannel_END_CLOSED);
            return 1;
        }
    }
    struct parked_op *op = ch->waiting[other(end->side)].first;
    if (ch->open[end->side] == 0 && op != NULL) {
        *wake = finish(ch, op, _PyChannel_CLOSED);
        return 1;
    }
    return 0;
}

void
_PyChannelEnd_Close(_PyChannelEnd *end)
{
    _PyChannel *ch = end->channel;
    lock(ch);
    if (end->closed) {
        unlock(ch);
        return;
    }
    end->closed = 1;
    ch->open[end->side]--;
    _PyChannelItem *orphans = NULL;
    if (ch->open[_PyChannel_RECV] == 0) {
        orphans = ch->buffer.first;
        ch->buffer.first = NULL;
        ch->buffer.last = &ch->buffer.first;
        ch->length = 0;
    }
    /* One at a time, because nothing may be unparked under the lock and
       there is no memory to remember many. */
    const _PyWaiter *wake;
    while (finish_one(end, &wake)) {
        unlock(ch);
        if (wake != NULL) {
            _PyWaiter_Unpark(wake);
        }
        lock(ch);
    }
    unlock(ch);

    if (orphans != NULL) {
        destroy_items(orphans);
    }
}

void
_PyChannelEnd_Free(_PyChannelEnd *end)
{
    _PyChannel *ch = end->channel;
    _PyChannelEnd_Close(end);
    PyMem_RawFree(end);
    lock(ch);
    Py_ssize_t refs = --ch->refs;
    unlock(ch);
    if (refs == 0) {
        assert(ch->buffer.first == NULL);
        PyMem_RawFree(ch);
    }
}

int
_PyChannelEnd_IsClosed(_PyChannelEnd *end)
{
    lock(end->channel);
    int closed = end->closed;
    unlock(end->channel);
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

Py_ssize_t
_PyChannelEnd_Length(_PyChannelEnd *end)
{
    _PyChannel *ch = end->channel;
    lock(ch);
    Py_ssize_t length = ch->length + ch->waiting[_PyChannel_SEND].length;
    unlock(ch);
    return length;
}
