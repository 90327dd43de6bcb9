/* Atomic operations on integers in memory.  See atomics.h. */

#include "Python.h"
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "atomics.h"

/* --- operations ----------------------------------------------------------- */

static inline uint32_t *
as_32(_PyAtomics_Element element)
{
    assert(element.size == 4 && (uintptr_t)element.address % 4 == 0);
    return element.address;
}

static inline uint64_t *
as_64(_PyAtomics_Element element)
{
    assert(element.size == 8 && (uintptr_t)element.address % 8 == 0);
    return element.address;
}

uint64_t
_PyAtomics_Load(_PyAtomics_Element element)
{
    if (element.size == 4) {
        return _Py_atomic_load_uint32(as_32(element));
    }
    return _Py_atomic_load_uint64(as_64(element));
}

void
_PyAtomics_Store(_PyAtomics_Element element, uint64_t value)
{
    if (element.size == 4) {
        _Py_atomic_store_uint32(as_32(element), (uint32_t)value);
    }
    else {
        _Py_atomic_store_uint64(as_64(element), value);
    }
}

uint64_t
_PyAtomics_CompareExchange(_PyAtomics_Element element, uint64_t expected,
                           uint64_t value)
{
    /* If it fails, `expected` becomes what was found. */
    if (element.size == 4) {
        uint32_t expected_32 = (uint32_t)expected;
        (void)_Py_atomic_compare_exchange_uint32(as_32(element), &expected_32,
                                                 (uint32_t)value);
        return expected_32;
    }
    (void)_Py_atomic_compare_exchange_uint64(as_64(element), &expected, value);
    return expected;
}

/* pyatomic.h has no such function. */
static uint64_t
exclusive_or(_PyAtomics_Element element, uint64_t operand)
{
    uint64_t old = _PyAtomics_Load(element);
    for (;;) {
        uint64_t found = _PyAtomics_CompareExchange(element, old, old ^ operand);
        if (found == old) {
            return old;
        }
        old = found;
    }
}

static uint64_t
modify_32(uint32_t *p, _PyAtomics_Op op, uint32_t operand)
{
    switch (op) {
    case _PyAtomics_EXCHANGE:
        return _Py_atomic_exchange_uint32(p, operand);
    case _PyAtomics_ADD:
        return _Py_atomic_add_uint32(p, operand);
    case _PyAtomics_SUB:
        return _Py_atomic_add_uint32(p, -operand);
    case _PyAtomics_AND:
        return _Py_atomic_and_uint32(p, operand);
    case _PyAtomics_OR:
        return _Py_atomic_or_uint32(p, operand);
    default:
        Py_UNREACHABLE();
    }
}

static uint64_t
modify_64(uint64_t *p, _PyAtomics_Op op, uint64_t operand)
{
    switch (op) {
    case _PyAtomics_EXCHANGE:
        return _Py_atomic_exchange_uint64(p, operand);
    case _PyAtomics_ADD:
        return _Py_atomic_add_uint64(p, operand);
    case _PyAtomics_SUB:
        return _Py_atomic_add_uint64(p, -operand);
    case _PyAtomics_AND:
        return _Py_atomic_and_uint64(p, operand);
    case _PyAtomics_OR:
        return _Py_atomic_or_uint64(p, operand);
    default:
        Py_UNREACHABLE();
    }
}

uint64_t
_PyAtomics_Modify(_PyAtomics_Element element, _PyAtomics_Op op, uint64_t operand)
{
    if (op == _PyAtomics_XOR) {
        return exclusive_or(element, operand);
    }
    if (element.size == 4) {
        return modify_32(as_32(element), op, (uint32_t)operand);
    }
    return modify_64(as_64(element), op, operand);
}


/* --- waits ---------------------------------------------------------------- */

/* The waits for all elements of the process, in buckets by address; in a bucket
   the oldest is first.  The lock covers the list and the links.  It is held for
   a few instructions for each wait in the bucket, and nothing is locked,
   called back, allocated or waited for under it.

   Who notifies claims a waiter, takes the wait off, and then fires it: after that
   the thread may return, and the wait is gone.  A wait whose waiter was claimed
   otherwise (its time is up, it was broken) is taken off by its own thread. */

#define BUCKET_BITS 8

struct bucket {
    PyMutex lock;
    _PyAtomics_Waiting *first, *last;
};

static struct bucket buckets[1 << BUCKET_BITS];

static struct bucket *
bucket_of(const void *address)
{
    /* The high bits of a product with 2**64 divided by the golden ratio depend
       on all bits of the address. */
    uint64_t hash = (uint64_t)(uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15);
    return &buckets[hash >> (64 - BUCKET_BITS)];
}

static inline void
lock_bucket(struct bucket *b)
{
    PyMutex_LockFlags(&b->lock, _Py_LOCK_DONT_DETACH);
}

static inline void
unlock_bucket(struct bucket *b)
{
    PyMutex_Unlock(&b->lock);
}

/* With the bucket's lock. */
static void
append(struct bucket *b, _PyAtomics_Waiting *waiting)
{
    waiting->next = NULL;
    waiting->prev = b->last;
    *(b->last != NULL ? &b->last->next : &b->first) = waiting;
    b->last = waiting;
}

/* With the bucket's lock. */
static void
take_off(struct bucket *b, _PyAtomics_Waiting *waiting)
{
    *(waiting->prev != NULL ? &waiting->prev->next : &b->first) = waiting->next;
    *(waiting->next != NULL ? &waiting->next->prev : &b->last) = waiting->prev;
}

int
_PyAtomics_BeginWait(_PyAtomics_Waiting *waiting, _PyAtomics_Element element,
                     uint64_t expected)
{
    /* Who changes the value and notifies takes the lock after the change: either
       the change is seen here, or the wait there. */
    waiting->address = element.address;
    struct bucket *b = bucket_of(element.address);
    lock_bucket(b);
    int waits = _PyAtomics_Load(element) == expected;
    if (waits) {
        append(b, waiting);
    }
    unlock_bucket(b);
    return waits;
}

_PyWaiter_Result
_PyAtomics_Wait(_PyAtomics_Waiting *waiting, PyTime_t deadline,
                const _PyWaiter_Breakers *breakers)
{
    _PyWaiter_Result result = _PyWaiter_Wait(waiting->waiter, deadline, breakers);
    if (result != _PyWaiter_FIRED) {
        struct bucket *b = bucket_of(waiting->address);
        lock_bucket(b);
        take_off(b, waiting);
        unlock_bucket(b);
    }
    return result;
}

Py_ssize_t
_PyAtomics_Notify(const void *address, Py_ssize_t count)
{
    struct bucket *b = bucket_of(address);
    _PyWaiter *woken = NULL;
    Py_ssize_t notified = 0;
    lock_bucket(b);
    _PyAtomics_Waiting *next;
    for (_PyAtomics_Waiting *w = b->first; w != NULL && notified < count; w = next) {
        next = w->next;
        if (w->address == address && _PyWaiter_Claim(w->waiter)) {
            take_off(b, w);
            _PyWaiter_Fire(w->waiter, &woken);
            notified++;
        }
    }
    unlock_bucket(b);
    _PyWaiter_Wake(woken);
    return notified;
}

void
_PyAtomics_AfterForkChild(void)
{
    /* What was queued belongs to threads that the child does not have. */
    memset(buckets, 0, sizeof(buckets));
}
