/* Locks, semaphores, events, conditions and barriers.  See sync.h.

   Waits are granted under the mutex; the threads are woken after unlocking. */

#include "Python.h"
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "sync.h"

/* All there are, in order of their numbers.  The lock covers the list, the links
   and `last_id`; it may be held while a mutex is taken, never the other way
   round.  What is about to be freed is listed until it is off the list. */
static struct {
    PyMutex lock;
    struct llist_node list;
    int64_t last_id;
    /* In how many forks this process became a child.  What was queued before the
       last one is in no queue now. */
    int forks;
} all = {.list = LLIST_INIT(all.list)};

static void
lock_list(void)
{
    PyMutex_LockFlags(&all.lock, _Py_LOCK_DONT_DETACH);
}

static void
unlock_list(void)
{
    PyMutex_Unlock(&all.lock);
}

static void
lock(_PySync *s)
{
    PyMutex_LockFlags(&s->mutex, _Py_LOCK_DONT_DETACH);
}

static void
unlock(_PySync *s)
{
    PyMutex_Unlock(&s->mutex);
}


/* --- creating -------------------------------------------------------------- */

_PySync *
_PySync_New(_PySync_Kind kind, int64_t value)
{
    _PySync *s = PyMem_RawMalloc(sizeof(_PySync));
    if (s == NULL) {
        return NULL;
    }
    *s = (_PySync){
        .state = (uint64_t)value << _PySync_SHIFT,
        .refs = 1,
        .kind = kind,
        .bound = kind == _PySync_BOUNDED_SEMAPHORE ? value : _PySync_MAX_VALUE,
    };
    llist_init(&s->waiting);
    llist_init(&s->barrier.complete);
    llist_init(&s->barrier.early);
    lock_list();
    s->id = ++all.last_id;
    llist_insert_tail(&all.list, &s->node);
    unlock_list();
    return s;
}

_PySync *
_PySync_NewCondition(_PySync *of)
{
    assert(of->kind == _PySync_LOCK || of->kind == _PySync_RLOCK);
    _PySync *s = _PySync_New(_PySync_CONDITION, 0);
    if (s != NULL) {
        s->lock = _PySync_Incref(of);
    }
    return s;
}

_PySync *
_PySync_NewBarrier(Py_ssize_t parties, int has_action, PyTime_t timeout)
{
    assert(parties > 0);
    _PySync *s = _PySync_New(_PySync_BARRIER, 0);
    if (s != NULL) {
        s->barrier.parties = parties;
        s->barrier.has_action = has_action;
        s->barrier.timeout = timeout;
    }
    return s;
}

_PySync *
_PySync_Incref(_PySync *s)
{
    _Py_atomic_add_ssize(&s->refs, 1);
    return s;
}

/* Nobody waits: who does has a reference. */
void
_PySync_Decref(_PySync *s)
{
    while (s != NULL && _Py_atomic_add_ssize(&s->refs, -1) == 1) {
        _PySync *condition_lock = s->lock;
        lock_list();
        llist_remove(&s->node);
        unlock_list();
        PyMem_RawFree(s);
        s = condition_lock;
    }
}

Py_ssize_t
_PySync_Count(void)
{
    Py_ssize_t n = 0;
    lock_list();
    struct llist_node *node;
    llist_for_each(node, &all.list) {
        n++;
    }
    unlock_list();
    return n;
}


/* --- the queue of those that wait; the mutex is held ----------------------- */

static int
is_queued(const _PySyncWait *wait)
{
    return wait->queue != NULL && wait->forks == all.forks;
}

static void
enqueue(struct llist_node *queue, _PySyncWait *wait, int first)
{
    /* Before the first one is after the head. */
    llist_insert_tail(first ? queue->next : queue, &wait->node);
    wait->queue = queue;
    wait->forks = all.forks;
    wait->status = _PySync_WAITING;
}

static void
dequeue(_PySync *s, _PySyncWait *wait)
{
    llist_remove(&wait->node);
    if (wait->queue == &s->waiting) {
        s->n_waiting--;
    }
    wait->queue = NULL;
}

static void
enqueue_waiting(_PySync *s, _PySyncWait *wait, int first)
{
    enqueue(&s->waiting, wait, first);
    s->n_waiting++;
}

/* NULL if there is none. */
static _PySyncWait *
first_of(struct llist_node *queue)
{
    return llist_empty(queue) ? NULL
           : llist_data(queue->next, _PySyncWait, node);
}

/* A thread whose wait was broken just now, and so cannot be woken, comes for the
   mutex, and sees what it got. */
static void
grant(_PySync *s, _PySyncWait *wait, _PySync_Status status, _PyWaiter **woken)
{
    dequeue(s, wait);
    wait->status = status;
    if (_PyWaiter_Claim(&wait->waiter)) {
        _PyWaiter_Fire(&wait->waiter, woken);   /* it may be gone after that */
    }
}

static void
grant_all(_PySync *s, struct llist_node *queue, _PySync_Status status,
          _PyWaiter **woken)
{
    _PySyncWait *wait;
    while ((wait = first_of(queue)) != NULL) {
        grant(s, wait, status, woken);
    }
}

/* Nobody waits for a lock or semaphore any more. */
static void
clear_contended(_PySync *s)
{
    if (s->kind <= _PySync_BOUNDED_SEMAPHORE && s->n_waiting == 0) {
        _Py_atomic_and_uint64(&s->state, ~(uint64_t)_PySync_CONTENDED);
    }
}

int
_PySync_Cancel(_PySync *s, _PySyncWait *wait)
{
    lock(s);
    if (is_queued(wait)) {
        dequeue(s, wait);
        clear_contended(s);
    }
    int granted = wait->status != _PySync_WAITING;
    unlock(s);
    return granted;
}

int
_PySync_Resume(_PySync *s, _PySyncWait *wait)
{
    lock(s);
    int granted = wait->status != _PySync_WAITING;
    if (!granted) {
        _PyWaiter_Init(&wait->waiter);
        if (!is_queued(wait)) {     /* a signal handler forked */
            enqueue_waiting(s, wait, 0);
        }
    }
    unlock(s);
    return granted;
}


/* --- locks and semaphores -------------------------------------------------- */

static inline int
is_semaphore(const _PySync *s)
{
    return s->kind == _PySync_SEMAPHORE || s->kind == _PySync_BOUNDED_SEMAPHORE;
}

static inline uint64_t
owned_by(int64_t interp)
{
    return ((uint64_t)interp << _PySync_SHIFT) | _PySync_LOCKED;
}

#define PERMIT ((uint64_t)1 << _PySync_SHIFT)

/* Take it if it can be had at once.  Else return WAITING, with the state for which
   that was so. */
static _PySync_Status
take(_PySync *s, int64_t interp, uint64_t *state)
{
    *state = _PySync_State(s);
    for (;;) {
        uint64_t after;
        if (is_semaphore(s)) {
            after = *state - PERMIT;
            if (*state < PERMIT) {
                return _PySync_WAITING;
            }
        }
        else {
            after = *state == 0 ? owned_by(interp) : 0;
            if (*state & _PySync_LOCKED) {
                return _PySync_WAITING;
            }
        }
        int abandoned = *state == _PySync_ABANDONED;
        if (_Py_atomic_compare_exchange_uint64(&s->state, state, after)) {
            return abandoned ? _PySync_OWNER_DIED : _PySync_OK;
        }
    }
}

static void
set_owner(_PySync *s, uint64_t thread, uint64_t depth)
{
    if (s->kind == _PySync_RLOCK) {
        _Py_atomic_store_uint64_relaxed(&s->depth, depth);
        _Py_atomic_store_uint64_relaxed(&s->owner, thread);
    }
}

_PySync_Status
_PySync_TryAcquire(_PySync *s, int64_t interp, uint64_t thread)
{
    uint64_t state;
    _PySync_Status status = take(s, interp, &state);
    if (status == _PySync_OK) {
        set_owner(s, thread, 1);
    }
    return status;
}

_PySync_Status
_PySync_Acquire(_PySync *s, _PySyncWait *wait, int again)
{
    _PyWaiter_Init(&wait->waiter);
    _PySync_Status status;
    uint64_t state;
    lock(s);
    do {
        status = take(s, wait->interp, &state);
    } while (status == _PySync_WAITING
             && !_Py_atomic_compare_exchange_uint64(&s->state, &state,
                                                    state | _PySync_CONTENDED));
    if (status == _PySync_WAITING) {
        enqueue_waiting(s, wait, again);
    }
    else if (status == _PySync_OK) {
        set_owner(s, wait->thread, wait->depth);
    }
    unlock(s);
    return status;
}

/* Hand a lock that is CONTENDED to the first that waits.  The mutex is held. */
static void
hand_over(_PySync *s, _PyWaiter **woken)
{
    _PySyncWait *next = first_of(&s->waiting);
    if (next == NULL) {
        set_owner(s, 0, 0);
        _Py_atomic_store_uint64(&s->state, 0);
        return;
    }
    set_owner(s, next->thread, next->depth);
    uint64_t contended = s->n_waiting > 1 ? _PySync_CONTENDED : 0;
    _Py_atomic_store_uint64(&s->state, owned_by(next->interp) | contended);
    grant(s, next, _PySync_OK, woken);
}

_PySync_Status
_PySync_Release(_PySync *s, uint64_t thread)
{
    /* Before the owner is cleared: from then on others may take it, if the interpreter
       that it was acquired in is closed. */
    uint64_t mine = _PySync_State(s);
    if (s->kind == _PySync_RLOCK) {
        if (!_Py_atomic_compare_exchange_uint64(&s->owner, &thread, 0)) {
            return _PySync_REFUSED;
        }
    }
    uint64_t expected = mine;
    if ((mine & (_PySync_LOCKED | _PySync_CONTENDED)) == _PySync_LOCKED
        && _Py_atomic_compare_exchange_uint64(&s->state, &expected, 0))
    {
        return _PySync_OK;
    }
    _PyWaiter *woken = NULL;
    _PySync_Status status = _PySync_OK;
    lock(s);
    uint64_t state = _PySync_State(s);
    if (!(state & _PySync_LOCKED)
        || (s->kind == _PySync_RLOCK && _PySync_Value(state) != _PySync_Value(mine)))
    {
        status = _PySync_REFUSED;           /* it is not ours any more */
    }
    else if (state & _PySync_CONTENDED) {
        hand_over(s, &woken);
    }
    else if (!_PySync_ReleaseFast(s)) {     /* those that waited gave up */
        status = _PySync_REFUSED;
    }
    unlock(s);
    _PyWaiter_Wake(woken);
    return status;
}

int
_PySync_AddDepth(_PySync *s, uint64_t thread, int n)
{
    lock(s);
    int is_owner = _PySync_IsOwner(s, thread);
    if (is_owner) {
        _Py_atomic_store_uint64_relaxed(&s->depth, _PySync_Depth(s) + (uint64_t)(int64_t)n);
    }
    unlock(s);
    return is_owner;
}

/* As the next function, as long as nobody waits.  Else return WAITING. */
static _PySync_Status
add_permits(_PySync *s, int64_t n)
{
    uint64_t state = _PySync_State(s);
    do {
        if (state & _PySync_CONTENDED) {
            return _PySync_WAITING;
        }
        if (n > s->bound - _PySync_Value(state)) {
            return _PySync_REFUSED;
        }
    } while (!_Py_atomic_compare_exchange_uint64(&s->state, &state,
                                                 state + (uint64_t)n * PERMIT));
    return _PySync_OK;
}

_PySync_Status
_PySync_ReleasePermits(_PySync *s, int64_t n)
{
    assert(n > 0);
    _PySync_Status status = add_permits(s, n);
    if (status != _PySync_WAITING) {
        return status;
    }
    _PyWaiter *woken = NULL;
    lock(s);
    status = add_permits(s, n);
    if (status == _PySync_WAITING) {
        /* There are no permits, and nobody but us changes that. */
        status = n > s->bound ? _PySync_REFUSED : _PySync_OK;
    }
    else {
        n = 0;                      /* those that waited gave up */
    }
    if (status == _PySync_OK && n > 0) {
        for (; n > 0 && s->n_waiting > 0; n--) {
            grant(s, first_of(&s->waiting), _PySync_OK, &woken);
        }
        _Py_atomic_store_uint64(&s->state, s->n_waiting > 0 ? _PySync_CONTENDED
                                           : (uint64_t)n * PERMIT);
    }
    unlock(s);
    _PyWaiter_Wake(woken);
    return status;
}

/* The first of those that wait is told, and the next one gets the lock; if there is
   none, who comes first is told. */
static void
abandon(_PySync *s, int64_t interp, _PyWaiter **woken)
{
    lock(s);
    uint64_t state = _PySync_State(s);
    while ((state & _PySync_LOCKED) && _PySync_Value(state) == interp) {
        if (state & _PySync_CONTENDED) {
            grant(s, first_of(&s->waiting), _PySync_OWNER_DIED, woken);
            hand_over(s, woken);
            break;
        }
        /* Nobody takes it past the mutex from here on. */
        if (_Py_atomic_compare_exchange_uint64(&s->state, &state,
                                               state | _PySync_CONTENDED))
        {
            set_owner(s, 0, 0);
            _Py_atomic_store_uint64(&s->state, _PySync_ABANDONED);
            break;
        }
    }
    unlock(s);
}

void
_PySync_ReleaseAbandoned(int64_t interp)
{
    _PyWaiter *woken = NULL;
    lock_list();
    struct llist_node *node;
    llist_for_each(node, &all.list) {
        _PySync *s = llist_data(node, _PySync, node);
        if (s->kind == _PySync_LOCK || s->kind == _PySync_RLOCK) {
            abandon(s, interp, &woken);
        }
    }
    unlock_list();
    _PyWaiter_Wake(woken);
}


/* --- events and conditions ------------------------------------------------- */

_PySync_Status
_PySync_WaitForEvent(_PySync *s, _PySyncWait *wait)
{
    _PyWaiter_Init(&wait->waiter);
    lock(s);
    int is_set = _PySync_State(s) != 0;
    if (!is_set) {
        enqueue_waiting(s, wait, 0);
    }
    unlock(s);
    return is_set ? _PySync_OK : _PySync_WAITING;
}

void
_PySync_SetEvent(_PySync *s)
{
    _PyWaiter *woken = NULL;
    lock(s);
    _Py_atomic_store_uint64(&s->state, 1);
    grant_all(s, &s->waiting, _PySync_OK, &woken);
    unlock(s);
    _PyWaiter_Wake(woken);
}

void
_PySync_ClearEvent(_PySync *s)
{
    lock(s);
    _Py_atomic_store_uint64(&s->state, 0);
    unlock(s);
}

void
_PySync_WaitForNotify(_PySync *s, _PySyncWait *wait)
{
    _PyWaiter_Init(&wait->waiter);
    lock(s);
    enqueue_waiting(s, wait, 0);
    unlock(s);
}

void
_PySync_Notify(_PySync *s, Py_ssize_t n)
{
    _PyWaiter *woken = NULL;
    lock(s);
    /* Not those that come while this is done. */
    Py_ssize_t left = n < 0 ? s->n_waiting : Py_MIN(n, s->n_waiting);
    for (; left > 0; left--) {
        grant(s, first_of(&s->waiting), _PySync_OK, &woken);
    }
    unlock(s);
    _PyWaiter_Wake(woken);
}

Py_ssize_t
_PySync_CountWaiting(_PySync *s)
{
    lock(s);
    Py_ssize_t n = s->n_waiting;
    unlock(s);
    return n;
}


/* --- barriers -------------------------------------------------------------- */

/* Let the thread into the round that is filling.  The mutex is held, and no action
   runs. */
static _PySync_Status
admit(_PySync *s, _PySyncWait *wait, _PyWaiter **woken)
{
    assert(!s->barrier.acting && !s->barrier.broken);
    if (s->n_waiting + 1 < s->barrier.parties) {
        enqueue_waiting(s, wait, 0);
        return _PySync_WAITING;
    }
    /* Not before: some may have given up. */
    int64_t index = 0;
    struct llist_node *node;
    llist_for_each(node, &s->waiting) {
        llist_data(node, _PySyncWait, node)->index = index++;
    }
    wait->index = index;
    if (!s->barrier.has_action) {
        grant_all(s, &s->waiting, _PySync_OK, woken);
        return _PySync_OK;
    }
    s->barrier.acting = 1;
    s->barrier.undone = 0;
    _PySyncWait *other;
    while ((other = first_of(&s->waiting)) != NULL) {
        dequeue(s, other);
        enqueue(&s->barrier.complete, other, 0);
    }
    return _PySync_LAST;
}

_PySync_Status
_PySync_Arrive(_PySync *s, _PySyncWait *wait)
{
    _PyWaiter *woken = NULL;
    _PySync_Status status;
    _PyWaiter_Init(&wait->waiter);
    lock(s);
    if (s->barrier.broken) {
        status = _PySync_BROKEN;
    }
    else if (s->barrier.acting) {
        enqueue(&s->barrier.early, wait, 0);
        status = _PySync_WAITING;
    }
    else {
        status = admit(s, wait, &woken);
    }
    unlock(s);
    _PyWaiter_Wake(woken);
    return status;
}

/* The mutex is held. */
static void
reset(_PySync *s, int broken, _PyWaiter **woken)
{
    s->barrier.broken = broken;
    s->barrier.undone = 1;
    grant_all(s, &s->waiting, _PySync_BROKEN, woken);
    grant_all(s, &s->barrier.complete, _PySync_BROKEN, woken);
    if (broken) {
        grant_all(s, &s->barrier.early, _PySync_BROKEN, woken);
    }
}

_PySync_Status
_PySync_ActionDone(_PySync *s, int succeeded)
{
    _PyWaiter *woken = NULL;
    lock(s);
    s->barrier.acting = 0;
    int undone = s->barrier.undone;
    if (!undone && !succeeded) {
        reset(s, /*broken=*/1, &woken);
    }
    grant_all(s, &s->barrier.complete, _PySync_OK, &woken);
    /* Those that came meanwhile, as far as they are not to run the action again. */
    _PySyncWait *wait;
    while (!s->barrier.acting && !s->barrier.broken
           && (wait = first_of(&s->barrier.early)) != NULL)
    {
        dequeue(s, wait);
        wait->status = admit(s, wait, &woken);
        if (wait->status != _PySync_WAITING && _PyWaiter_Claim(&wait->waiter)) {
            _PyWaiter_Fire(&wait->waiter, &woken);
        }
    }
    unlock(s);
    _PyWaiter_Wake(woken);
    return undone || !succeeded ? _PySync_BROKEN : _PySync_OK;
}

_PySync_Status
_PySync_ArrivedTooEarly(_PySync *s, _PySyncWait *wait)
{
    _PyWaiter *woken = NULL;
    lock(s);
    if (wait->status == _PySync_WAITING) {
        if (is_queued(wait) && wait->queue == &s->barrier.complete) {
            _PyWaiter_Init(&wait->waiter);
        }
        else {
            int early = is_queued(wait) && wait->queue == &s->barrier.early;
            if (is_queued(wait)) {
                dequeue(s, wait);
            }
            wait->status = _PySync_BROKEN;
            if (early) {            /* the round that is complete goes on */
                s->barrier.broken = 1;
                grant_all(s, &s->barrier.early, _PySync_BROKEN, &woken);
            }
            else {
                reset(s, /*broken=*/1, &woken);
            }
        }
    }
    _PySync_Status status = wait->status;
    unlock(s);
    _PyWaiter_Wake(woken);
    return status;
}

void
_PySync_ResetBarrier(_PySync *s, int broken)
{
    _PyWaiter *woken = NULL;
    lock(s);
    reset(s, broken, &woken);
    unlock(s);
    _PyWaiter_Wake(woken);
}

int
_PySync_IsBroken(_PySync *s)
{
    lock(s);
    int broken = s->barrier.broken;
    unlock(s);
    return broken;
}


/* --- fork ------------------------------------------------------------------ */

void
_PySync_BeforeFork(void)
{
    lock_list();
    struct llist_node *node;
    llist_for_each(node, &all.list) {
        lock(llist_data(node, _PySync, node));
    }
}

void
_PySync_AfterForkParent(void)
{
    struct llist_node *node;
    llist_for_each(node, &all.list) {
        unlock(llist_data(node, _PySync, node));
    }
    unlock_list();
}

/* The records are on stacks of threads that are gone, but for those of the thread
   that forked, if it did in a signal handler. */
static void
forget_waiting(_PySync *s)
{
    llist_init(&s->waiting);
    s->n_waiting = 0;
    clear_contended(s);
    llist_init(&s->barrier.complete);
    llist_init(&s->barrier.early);
    s->barrier.acting = 0;
    s->barrier.undone = 1;          /* if this thread runs an action */
    _PyMutex_at_fork_reinit(&s->mutex);
}

void
_PySync_AfterForkChild(void)
{
    all.forks++;
    struct llist_node *node;
    llist_for_each(node, &all.list) {
        forget_waiting(llist_data(node, _PySync, node));
    }
    _PyMutex_at_fork_reinit(&all.lock);
}
