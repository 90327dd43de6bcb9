/* One wait for one wake-up, by a thread or by an event loop.

   A waiter is known to others through whatever waits with it: one operation on
   a channel, or several of which the first to be completed ends the wait.
   Whoever is to end it must *claim* it first; one alone succeeds.

       waiting thread              another thread
       --------------              --------------
       _PyWaiter_Init
       publish it, under a lock
       _PyWaiter_Wait              _PyWaiter_Claim, under the lock
                                   write the result
                                   _PyWaiter_Fire, under the lock
       (returns)                   _PyWaiter_Wake, after unlocking

   The waiting thread itself claims the waiter when its time is up, or it is
   interrupted.  After that nobody ends the wait, and what was published can be
   taken back without haste.

   Firing is one atomic exchange, which is why it may be done under a lock.  A
   thread that sleeps is added to a list of those to be woken; it does not
   return, and its waiter stays valid, until it has been.  A thread that does
   not sleep yet may return at once: then the waiter is gone.

   No function here needs a thread state or a GIL, and none touches a
   PyObject.  A thread that is attached to an interpreter detaches before it
   calls _PyWaiter_Wait. */

#ifndef Py_XXSUBINTERPRETERS_WAITER_H
#define Py_XXSUBINTERPRETERS_WAITER_H

#include "Python.h"
#include "pycore_llist.h"         // struct llist_node
#include "pycore_semaphore.h"     // _PySemaphore
#include "port.h"

/* What may break a wait besides its deadline.  The flags must stay valid as
   long as the thread waits. */
typedef struct {
    /* Set by signal handlers: for the main thread only, else NULL. */
    const int *tripped;
    /* Set before _PyWaiter_Break() is called with the same pointer; or NULL. */
    const int *stop[2];
    /* These break nothing: where a pointer tells who had the thread's GIL last,
       or NULL; and what it is as long as that is the thread itself. */
    const void *gil_holder;
    const void *gil_self;
} _PyWaiter_Breakers;

typedef struct _PyWaiter {
    uint32_t claimed;               /* atomic */
    uint32_t state;                 /* atomic, see waiter.c */
    void *result;                   /* for who claims it to write */
    struct _PyWaiter *next_woken;

    /* Of a thread that sleeps. */
    _PySemaphore *sema;
    struct llist_node node;         /* among all that sleep */
    const _PyWaiter_Breakers *breakers;

    /* Of a wait by an event loop; NULL for a thread's. */
    _PyPort *port;                  /* a reference */
    _PyPortEntry entry;
} _PyWaiter;

typedef enum {
    _PyWaiter_FIRED,
    _PyWaiter_TIMEOUT,
    _PyWaiter_SIGNAL,               /* `tripped` is set */
    _PyWaiter_BROKEN,               /* one of `stop` is set */
} _PyWaiter_Result;

/* Zero is the state in which it begins. */
static inline void
_PyWaiter_Init(_PyWaiter *waiter)
{
    waiter->claimed = 0;
    waiter->state = 0;
    waiter->result = NULL;
    waiter->port = NULL;
}

/* Of a wait that ends with an entry in the port; `waiter` gets a reference of
   its own to the port, to be released with _PyPort_Decref(). */
extern void _PyWaiter_InitForPort(_PyWaiter *waiter, _PyPort *port);
extern _PyWaiter *_PyWaiter_FromEntry(_PyPortEntry *entry);

/* Return true for exactly one of its callers. */
extern int _PyWaiter_Claim(_PyWaiter *waiter);
extern int _PyWaiter_IsClaimed(const _PyWaiter *waiter);

/* True if it belongs to a thread that is asleep, or just falling asleep. */
extern int _PyWaiter_MustBeWoken(const _PyWaiter *waiter);

/* True if it belongs to a thread that has not begun to sleep yet. */
extern int _PyWaiter_Looks(const _PyWaiter *waiter);

/* End the wait; the caller claimed it.  Adds it to the list `*woken`, which
   begins as NULL, if it must be woken.  Return true if that is a thread. */
extern int _PyWaiter_Fire(_PyWaiter *waiter, _PyWaiter **woken);
extern void _PyWaiter_WakeAll(_PyWaiter *woken);

static inline void
_PyWaiter_Wake(_PyWaiter *woken)
{
    if (woken != NULL) {
        _PyWaiter_WakeAll(woken);
    }
}

/* Look for a very short time, without sleeping, whether the waiter is fired;
   return true if so.  For threads that stay attached: gives up at once when
   any bit of `mask` is set in `*attention`. */
extern int _PyWaiter_Spin(_PyWaiter *waiter, const uintptr_t *attention,
                          uintptr_t mask);

/* Block until the waiter is fired, the deadline (PyTime_Monotonic; negative
   for none) has passed, or a breaker breaks the wait.  Unless the result is
   FIRED nothing happened, and nothing will: the waiter is claimed. */
extern _PyWaiter_Result _PyWaiter_Wait(_PyWaiter *waiter, PyTime_t deadline,
                                       const _PyWaiter_Breakers *breakers);

/* Break every wait that has `stop` among its breakers, and is on. */
extern void _PyWaiter_Break(const int *stop);

/* In the child of a fork nobody waits. */
extern void _PyWaiter_BeforeFork(void);
extern void _PyWaiter_AfterForkParent(void);
extern void _PyWaiter_AfterForkChild(void);

/* How many processors this process may use. */
extern int _PyWaiter_Processors(void);

/* Keep the processor busy for about so long, without touching memory. */
extern void _PyWaiter_Pause(PyTime_t ns);

/* Tell the processor that this is a loop that waits. */
static inline void
_PyWaiter_RelaxCPU(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif /* !Py_XXSUBINTERPRETERS_WAITER_H */
