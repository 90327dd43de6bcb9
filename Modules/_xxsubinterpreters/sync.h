/* Locks, semaphores, events, conditions and barriers, for threads of any
   interpreters.

   A _PySync is reference-counted raw memory.  What every kind shares is a queue
   of threads that wait, in the order in which they came; each has a record on
   its stack.  Whoever ends a wait *grants* it, under the mutex: writes what the
   thread got, takes the record off, and wakes the thread.  So what a thread
   gets is its own when it wakes, and nobody can come in between.

   A thread whose wait is broken, or whose time is up, takes its record back by
   _PySync_Cancel().  If it was granted before that, it has what it waited for,
   and must use it or pass it on.

   No function here needs a thread state or a GIL, or touches a PyObject.  All
   but _PySync_Decref() return after a few instructions. */

#ifndef Py_XXSUBINTERPRETERS_SYNC_H
#define Py_XXSUBINTERPRETERS_SYNC_H

#include "Python.h"
#include "pycore_llist.h"         // struct llist_node
#include "waiter.h"

typedef enum {
    _PySync_LOCK,
    _PySync_RLOCK,
    _PySync_SEMAPHORE,
    _PySync_BOUNDED_SEMAPHORE,
    _PySync_EVENT,
    _PySync_CONDITION,
    _PySync_BARRIER,
    _PySync_KINDS,
} _PySync_Kind;

typedef enum {
    _PySync_OK,
    _PySync_WAITING,                /* has to wait, or would have to */
    _PySync_OWNER_DIED,             /* not taken: its owner's interpreter ended */
    _PySync_BROKEN,                 /* the barrier is broken, or was reset */
    _PySync_LAST,                   /* all have come; now run the action */
    _PySync_REFUSED,                /* not locked, not the owner's, too many */
} _PySync_Status;

/* `state` of a lock or semaphore, atomic.  A lock is LOCKED with the id of its
   owner's interpreter in the upper bits, ABANDONED if that ended and nobody was
   told yet, or zero.  A semaphore has its value in the upper bits.  With
   CONTENDED set there are waiting threads, so a lock is LOCKED and a semaphore
   zero, and the state is changed under the mutex only; without it, by
   compare-and-swap, with the mutex or not. */
#define _PySync_LOCKED 1
#define _PySync_CONTENDED 2
#define _PySync_ABANDONED 4
#define _PySync_SHIFT 3
#define _PySync_MAX_VALUE (INT64_MAX >> _PySync_SHIFT)

typedef struct _PySync {
    uint64_t state;                 /* of an event: whether it is set */
    /* Of an RLock, both atomic: its owner, as a number that only the owner finds to
       be its own, or 0; how often it has acquired it.  The mutex covers changes of
       `depth` by who is the owner already, since the lock may be taken from it. */
    uint64_t owner;
    uint64_t depth;

    PyMutex mutex;                  /* covers what follows but for constants */
    struct llist_node waiting;

    Py_ssize_t refs;                /* atomic */
    struct llist_node node;         /* among all; under the lock of that list */

    /* Constants. */
    _PySync_Kind kind;
    int64_t id;
    int64_t bound;                  /* of a BoundedSemaphore */
    struct _PySync *lock;           /* of a condition; a reference */

    Py_ssize_t n_waiting;           /* of a condition or barrier: in `waiting` */
    struct {
        /* Constants. */
        Py_ssize_t parties;
        int has_action;
        PyTime_t timeout;           /* in ns; negative for none */

        int broken;
        /* While a thread runs the action: the others of its round are in
           `complete`, those of later rounds in `early`, and nobody waits in
           `waiting`. */
        int acting;
        int undone;                 /* reset or broken since that began */
        struct llist_node complete;
        struct llist_node early;
    } barrier;
} _PySync;

/* One wait, on the stack of the thread. */
typedef struct {
    /* Of the one who acquires a lock. */
    int64_t interp;
    uint64_t thread;
    uint64_t depth;

    _PySync_Status status;          /* once granted; until then WAITING */
    Py_ssize_t index;               /* of the arrival at a barrier */

    _PyWaiter waiter;
    struct llist_node node;
    struct llist_node *queue;       /* NULL if in none */
    int forks;                      /* as many as there were when it was queued */
} _PySyncWait;

/* Return a new one with one reference, which is the caller's; NULL if out of
   memory.  `value` is what a semaphore begins with. */
extern _PySync *_PySync_New(_PySync_Kind kind, int64_t value);
/* `lock` is a Lock or RLock. */
extern _PySync *_PySync_NewCondition(_PySync *lock);
extern _PySync *_PySync_NewBarrier(Py_ssize_t parties, int has_action,
                                   PyTime_t timeout);
extern _PySync *_PySync_Incref(_PySync *s);
extern void _PySync_Decref(_PySync *s);

/* How many there are. */
extern Py_ssize_t _PySync_Count(void);

static inline uint64_t
_PySync_State(const _PySync *s)
{
    return _Py_atomic_load_uint64(&s->state);
}

/* The value of a semaphore; of a lock that is LOCKED, its owner's interpreter. */
static inline int64_t
_PySync_Value(uint64_t state)
{
    return (int64_t)(state >> _PySync_SHIFT);
}

/* Withdraw a wait that is broken.  Return true if it was granted before. */
extern int _PySync_Cancel(_PySync *s, _PySyncWait *wait);

/* Wait for the same once more, after the waiter was broken and the record left
   where it is.  Return true if it was granted meanwhile. */
extern int _PySync_Resume(_PySync *s, _PySyncWait *wait);


/* --- locks and semaphores -------------------------------------------------- */

/* OK, OWNER_DIED or WAITING, in which case the wait is queued: last, or first if
   `again`. */
extern _PySync_Status _PySync_Acquire(_PySync *s, _PySyncWait *wait, int again);
/* The same for who does not wait, and is to be the owner. */
extern _PySync_Status _PySync_TryAcquire(_PySync *s, int64_t interp, uint64_t thread);

/* OK, or REFUSED if it is not locked, or an RLock that is not that thread's, which is
   released completely. */
extern _PySync_Status _PySync_Release(_PySync *s, uint64_t thread);

/* Add n > 0 permits; REFUSED if they would be too many. */
extern _PySync_Status _PySync_ReleasePermits(_PySync *s, int64_t n);

static inline int
_PySync_AcquireFast(_PySync *s, int64_t interp)
{
    uint64_t expected = 0;
    return _Py_atomic_compare_exchange_uint64(
            &s->state, &expected,
            ((uint64_t)interp << _PySync_SHIFT) | _PySync_LOCKED);
}

static inline int
_PySync_ReleaseFast(_PySync *s)
{
    uint64_t state = _Py_atomic_load_uint64_relaxed(&s->state);
    return (state & (_PySync_LOCKED | _PySync_CONTENDED)) == _PySync_LOCKED
           && _Py_atomic_compare_exchange_uint64(&s->state, &state, 0);
}

static inline int
_PySync_IsOwner(const _PySync *rlock, uint64_t thread)
{
    return _Py_atomic_load_uint64_relaxed(&rlock->owner) == thread;
}

/* It may be another owner's by now. */
static inline uint64_t
_PySync_Depth(const _PySync *rlock)
{
    return _Py_atomic_load_uint64_relaxed(&rlock->depth);
}

/* Let an RLock's owner have acquired it n times more.  Return false if it is not, or
   not any more, that thread's. */
extern int _PySync_AddDepth(_PySync *rlock, uint64_t thread, int n);

/* Release every lock that a thread of the interpreter owns. */
extern void _PySync_ReleaseAbandoned(int64_t interp);


/* --- events and conditions ------------------------------------------------- */

/* OK if it is set, else WAITING. */
extern _PySync_Status _PySync_WaitForEvent(_PySync *s, _PySyncWait *wait);
extern void _PySync_SetEvent(_PySync *s);
extern void _PySync_ClearEvent(_PySync *s);

/* To be called with the condition's lock held, and before releasing it. */
extern void _PySync_WaitForNotify(_PySync *s, _PySyncWait *wait);
/* End the n oldest waits; negative for all. */
extern void _PySync_Notify(_PySync *s, Py_ssize_t n);
extern Py_ssize_t _PySync_CountWaiting(_PySync *s);


/* --- barriers -------------------------------------------------------------- */

/* WAITING, OK, BROKEN, or LAST: then the caller runs the action, and calls
   _PySync_ActionDone() with whether it succeeded, which returns OK or BROKEN. */
extern _PySync_Status _PySync_Arrive(_PySync *s, _PySyncWait *wait);
extern _PySync_Status _PySync_ActionDone(_PySync *s, int succeeded);

/* The wait's time is up.  OK or LAST if it was granted before; WAITING if all
   have come, and it has to wait for the action only; else the barrier is
   broken now. */
extern _PySync_Status _PySync_ArrivedTooEarly(_PySync *s, _PySyncWait *wait);

/* Threads that wait find the barrier broken.  Others do if `broken`. */
extern void _PySync_ResetBarrier(_PySync *s, int broken);
extern int _PySync_IsBroken(_PySync *s);


/* --- fork ------------------------------------------------------------------ */

/* In the child nobody waits.  What was locked stays locked. */
extern void _PySync_BeforeFork(void);
extern void _PySync_AfterForkParent(void);
extern void _PySync_AfterForkChild(void);

#endif /* !Py_XXSUBINTERPRETERS_SYNC_H */
