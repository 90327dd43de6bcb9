/* One wait for one wake-up, by a thread or by an event loop.  See waiter.h. */

#include "Python.h"
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "pycore_parking_lot.h"   // Py_PARK_OK
#include "pycore_time.h"          // _PyDeadline_Get()
#include "mainthread.h"
#include "waiter.h"

#include <sched.h>                // sched_getaffinity()
#include <unistd.h>               // getpid()

/* Life of `state`:

       WAITING ---fire---> FIRED     the thread sees it and returns
          |
        sleep
          v
       SLEEPING --fire--> FIRED --wake--> WOKEN, and the semaphore is posted

   Only the waiting thread goes to SLEEPING.  Once there it returns in one of two
   ways: it has claimed the waiter itself, or the state is WOKEN and it has
   passed the semaphore.  A wait by an event loop begins as SLEEPING. */
enum { WAITING = 0, SLEEPING, FIRED, WOKEN };

/* How long to look before sleeping.  Attached, so short that nobody who wants
   the GIL notices; detached, about as long as waking a sleeping thread takes,
   which on a virtual machine is tens of microseconds: this way waiting costs
   at most twice what it would if the future were known. */
#define SPIN_ATTACHED_NS 3000
#define SPIN_DETACHED_NS 50000
#define LOOKS_BETWEEN_CLOCKS 16

/* Every thread that sleeps.  The lock covers the list and the links; it is held
   for a few instructions, with nothing else taken or called under it, but by
   _PyWaiter_Break(). */
static struct {
    PyMutex lock;
    struct llist_node list;
} sleeping = {.list = LLIST_INIT(sleeping.list)};

/* Threads that spin detached.  With as many of them as there are processors
   nobody could fire what they wait for. */
static int spinning = 0;            /* atomic */

int
_PyWaiter_Processors(void)
{
    static int processors = 0;      /* atomic; every thread finds the same */
    int result = _Py_atomic_load_int_relaxed(&processors);
    if (result == 0) {
        cpu_set_t set;
        result = sched_getaffinity(getpid(), sizeof(set), &set) == 0
                 ? CPU_COUNT(&set) : INT_MAX;
        _Py_atomic_store_int_relaxed(&processors, result);
    }
    return result;
}

void
_PyWaiter_InitForPort(_PyWaiter *waiter, _PyPort *port)
{
    _PyWaiter_Init(waiter);
    waiter->state = SLEEPING;
    waiter->port = _PyPort_Incref(port);
}

_PyWaiter *
_PyWaiter_FromEntry(_PyPortEntry *entry)
{
    return _Py_CONTAINER_OF(entry, _PyWaiter, entry);
}

int
_PyWaiter_Claim(_PyWaiter *waiter)
{
    uint32_t expected = 0;
    return _Py_atomic_compare_exchange_uint32(&waiter->claimed, &expected, 1);
}

int
_PyWaiter_IsClaimed(const _PyWaiter *waiter)
{
    return _Py_atomic_load_uint32_relaxed(&waiter->claimed);
}

int
_PyWaiter_MustBeWoken(const _PyWaiter *waiter)
{
    return waiter->port == NULL
           && _Py_atomic_load_uint32_relaxed(&waiter->state) == SLEEPING;
}

int
_PyWaiter_Looks(const _PyWaiter *waiter)
{
    return _Py_atomic_load_uint32_relaxed(&waiter->state) == WAITING;
}

int
_PyWaiter_Fire(_PyWaiter *waiter, _PyWaiter **woken)
{
    assert(_PyWaiter_IsClaimed(waiter));
    uint32_t before = _Py_atomic_exchange_uint32(&waiter->state, FIRED);
    assert(before == WAITING || before == SLEEPING);
    if (before == WAITING) {
        return 0;
    }
    waiter->next_woken = *woken;
    *woken = waiter;
    return waiter->port == NULL;
}

void
_PyWaiter_WakeAll(_PyWaiter *woken)
{
    while (woken != NULL) {
        _PyWaiter *waiter = woken;
        woken = waiter->next_woken;
        _PySemaphore *sema = waiter->sema;
        _PyPort *port = waiter->port;
        _Py_atomic_store_uint32(&waiter->state, WOKEN);
        if (port != NULL) {
            _PyPort_Post(port, &waiter->entry);
        }
        else {
            _PySemaphore_Wakeup(sema);
        }
    }
}


/* --- spinning ------------------------------------------------------------- */

static inline int
is_fired(const _PyWaiter *waiter)
{
    return _Py_atomic_load_uint32_acquire(&waiter->state) == FIRED;
}

static PyTime_t
now(void)
{
    PyTime_t t;
    (void)PyTime_MonotonicRaw(&t);
    return t;
}

void
_PyWaiter_Pause(PyTime_t ns)
{
    PyTime_t end = now() + ns;
    do {
        for (int i = 0; i < LOOKS_BETWEEN_CLOCKS; i++) {
            _PyWaiter_RelaxCPU();
        }
    } while (now() < end);
}

static int
spin(_PyWaiter *waiter, PyTime_t ns, const uintptr_t *attention, uintptr_t mask)
{
    PyTime_t end = 0;
    do {
        for (int i = 0; i < LOOKS_BETWEEN_CLOCKS; i++) {
            if (is_fired(waiter)) {
                return 1;
            }
            _PyWaiter_RelaxCPU();
        }
        if (attention != NULL
            && (_Py_atomic_load_uintptr_relaxed(attention) & mask))
        {
            return 0;
        }
        if (end == 0) {
            end = now() + ns;
        }
    } while (now() < end);
    return 0;
}

/* Whether spinning was worth it lately, for each thread and each of the two
   ways.  After LUCK failures in a row only one wait in FIRST_PROBE spins, and
   after each further failure half as many, down to one in LAST_PROBE, until one
   succeeds. */
#define LUCK 8
#define FIRST_PROBE 4
#define LAST_PROBE 64

struct experience {
    int tries;                      /* left until only probes are made */
    int waits;                      /* left until the next probe */
    int interval;                   /* waits from the last probe to that one */
};

static int
worth_trying(struct experience *e)
{
    return e->tries > 0 || --e->waits <= 0;
}

static void
learn(struct experience *e, int fired)
{
    if (fired) {
        *e = (struct experience){.tries = LUCK};
    }
    else if (--e->tries <= 0) {
        e->tries = 0;
        e->interval = e->interval == 0 ? FIRST_PROBE
                                       : Py_MIN(2 * e->interval, LAST_PROBE);
        e->waits = e->interval;
    }
}

int
_PyWaiter_Spin(_PyWaiter *waiter, const uintptr_t *attention, uintptr_t mask)
{
    static _Py_thread_local struct experience mine = {.tries = LUCK};
    if (_PyWaiter_Processors() == 1 || !worth_trying(&mine)) {
        return is_fired(waiter);
    }
    int fired = spin(waiter, SPIN_ATTACHED_NS, attention, mask);
    learn(&mine, fired);
    return fired;
}

/* Others have used the thread's GIL since it detached. */
static int
is_gil_shared(const _PyWaiter_Breakers *breakers)
{
    return breakers->gil_holder != NULL
           && _Py_atomic_load_ptr_relaxed(breakers->gil_holder) != breakers->gil_self;
}

/* Whom another thread of its interpreter fires has to wait for the GIL, and might
   as well have slept; it was not worth it then. */
static int
spin_detached(_PyWaiter *waiter, const _PyWaiter_Breakers *breakers)
{
    static _Py_thread_local struct experience mine = {.tries = LUCK};
    if (!worth_trying(&mine)) {
        return is_fired(waiter);
    }
    int fired = 0;
    if (_Py_atomic_add_int(&spinning, 1) + 1 < _PyWaiter_Processors()) {
        fired = spin(waiter, SPIN_DETACHED_NS, NULL, 0);
        learn(&mine, fired && !is_gil_shared(breakers));
    }
    _Py_atomic_add_int(&spinning, -1);
    return fired || is_fired(waiter);
}


/* --- sleeping ------------------------------------------------------------- */

static inline void
lock_sleeping(void)
{
    PyMutex_LockFlags(&sleeping.lock, _Py_LOCK_DONT_DETACH);
}

static inline void
unlock_sleeping(void)
{
    PyMutex_Unlock(&sleeping.lock);
}

static int
is_set(const int *flag)
{
    return flag != NULL && _Py_atomic_load_int(flag);
}

/* Add the waiter to the list of all that sleep.  Whether the wait is to be
   broken is known after that: _PyWaiter_Break() finds what is listed, and
   what is listed later finds the flag set. */
static int
list_sleeping(_PyWaiter *waiter, const _PyWaiter_Breakers *breakers)
{
    waiter->breakers = breakers;
    lock_sleeping();
    llist_insert_tail(&sleeping.list, &waiter->node);
    int broken = is_set(breakers->stop[0]) || is_set(breakers->stop[1]);
    unlock_sleeping();
    return broken;
}

static void
unlist_sleeping(_PyWaiter *waiter)
{
    lock_sleeping();
    llist_remove(&waiter->node);
    unlock_sleeping();
}

/* Sleep until the wait is over.  The waiter is SLEEPING and listed; `broken` is
   whether it is to be broken already. */
static _PyWaiter_Result
sleep_until_over(_PyWaiter *waiter, PyTime_t deadline, const int *tripped,
                 int broken)
{
    /* Why to give up.  FIRED stands for no reason. */
    _PyWaiter_Result reason = broken ? _PyWaiter_BROKEN : _PyWaiter_FIRED;
    int claimed_by_other = 0;
    for (;;) {
        if (reason == _PyWaiter_FIRED && is_set(tripped)) {
            reason = _PyWaiter_SIGNAL;
        }
        if (reason != _PyWaiter_FIRED && !claimed_by_other) {
            if (_PyWaiter_Claim(waiter)) {
                return reason;
            }
            /* Too late: somebody is ending the wait, and will wake us. */
            claimed_by_other = 1;
        }
        PyTime_t timeout = -1;
        if (deadline >= 0 && !claimed_by_other) {
            /* Negative if it has passed, which would stand for none. */
            PyTime_t left = _PyDeadline_Get(deadline);
            timeout = Py_MAX(left, 0);
        }
        int r = _PySemaphore_Wait(waiter->sema, timeout, /*detach=*/0);
        if (r == Py_PARK_OK && _Py_atomic_load_uint32(&waiter->state) == WOKEN) {
            return waiter->result == waiter ? _PyWaiter_BROKEN
                                            : _PyWaiter_FIRED;
        }
        if (r == Py_PARK_TIMEOUT) {
            reason = _PyWaiter_TIMEOUT;
        }
        /* Else a signal was handled, here or in another thread. */
    }
}

_PyWaiter_Result
_PyWaiter_Wait(_PyWaiter *waiter, PyTime_t deadline,
               const _PyWaiter_Breakers *breakers)
{
    assert(waiter->port == NULL);
    if (spin_detached(waiter, breakers)) {
        return _PyWaiter_FIRED;
    }
    /* The main thread's semaphore is posted by signal handlers. */
    int in_main_thread = breakers->tripped != NULL;
    _PySemaphore own;
    if (in_main_thread) {
        waiter->sema = _PyMainThread_BeginSleep();
    }
    else {
        _PySemaphore_Init(&own);
        waiter->sema = &own;
    }
    _PyWaiter_Result result = _PyWaiter_FIRED;
    uint32_t expected = WAITING;
    if (_Py_atomic_compare_exchange_uint32(&waiter->state, &expected, SLEEPING)) {
        int broken = list_sleeping(waiter, breakers);
        result = sleep_until_over(waiter, deadline, breakers->tripped, broken);
        unlist_sleeping(waiter);
    }
    else {
        assert(expected == FIRED);
    }
    if (in_main_thread) {
        _PyMainThread_EndSleep();
    }
    else {
        _PySemaphore_Destroy(&own);
    }
    return result;
}

void
_PyWaiter_Break(const int *stop)
{
    _PyWaiter *woken = NULL;
    lock_sleeping();
    struct llist_node *node;
    llist_for_each(node, &sleeping.list) {
        _PyWaiter *w = llist_data(node, _PyWaiter, node);
        if ((w->breakers->stop[0] == stop || w->breakers->stop[1] == stop)
            && _PyWaiter_Claim(w))
        {
            w->result = w;          /* stands for broken */
            _PyWaiter_Fire(w, &woken);
        }
    }
    unlock_sleeping();
    _PyWaiter_Wake(woken);
}


/* --- fork ----------------------------------------------------------------- */

void
_PyWaiter_BeforeFork(void)
{
    lock_sleeping();
}

void
_PyWaiter_AfterForkParent(void)
{
    unlock_sleeping();
}

void
_PyWaiter_AfterForkChild(void)
{
    sleeping.lock = (PyMutex){0};
    llist_init(&sleeping.list);
    _Py_atomic_store_int(&spinning, 0);
    _PyMainThread_AfterForkChild();
}
