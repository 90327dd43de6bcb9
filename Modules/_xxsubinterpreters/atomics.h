/* Atomic operations on integers in memory, and waiting for them to change.

   An element is an integer of 4 or 8 bytes, aligned to its size, in memory that
   the caller keeps valid.  Its value is passed as bits, those above its size
   being zero; whether it has a sign is the caller's business.  All operations
   are sequentially consistent, and without locks.

   A thread that waits for an element is found by the address, so it does not
   matter through which view, or in which interpreter, others know the memory.

   No function here needs a thread state or a GIL, and none touches a PyObject.
   A thread that is attached to an interpreter detaches before it calls
   _PyAtomics_Wait. */

#ifndef Py_XXSUBINTERPRETERS_ATOMICS_H
#define Py_XXSUBINTERPRETERS_ATOMICS_H

#include "Python.h"
#include "waiter.h"

typedef struct {
    void *address;
    int size;                       /* 4 or 8 */
} _PyAtomics_Element;

typedef enum {
    _PyAtomics_EXCHANGE,
    _PyAtomics_ADD,                 /* wraps around, as the next one does */
    _PyAtomics_SUB,
    _PyAtomics_AND,
    _PyAtomics_OR,
    _PyAtomics_XOR,
} _PyAtomics_Op;

extern uint64_t _PyAtomics_Load(_PyAtomics_Element element);
extern void _PyAtomics_Store(_PyAtomics_Element element, uint64_t value);

/* These return what the value was before. */
extern uint64_t _PyAtomics_Modify(_PyAtomics_Element element, _PyAtomics_Op op,
                                  uint64_t operand);
extern uint64_t _PyAtomics_CompareExchange(_PyAtomics_Element element,
                                           uint64_t expected, uint64_t value);

/* One wait.  It belongs to the thread that waits, mostly on its stack; while it
   is queued, its links are covered by the lock of its bucket. */
typedef struct _PyAtomics_Waiting {
    const void *address;
    _PyWaiter *waiter;              /* initialised by the caller */
    struct _PyAtomics_Waiting *prev, *next;
} _PyAtomics_Waiting;

/* Queue the wait if the element has the expected value; return false if not.
   No notification after this is missed. */
extern int _PyAtomics_BeginWait(_PyAtomics_Waiting *waiting,
                                _PyAtomics_Element element, uint64_t expected);

/* Block until a wait that was queued is over, see _PyWaiter_Wait().  Then it is
   not queued any more. */
extern _PyWaiter_Result _PyAtomics_Wait(_PyAtomics_Waiting *waiting,
                                        PyTime_t deadline,
                                        const _PyWaiter_Breakers *breakers);

/* End up to `count` waits for the element at the address, the oldest first.
   Return how many. */
extern Py_ssize_t _PyAtomics_Notify(const void *address, Py_ssize_t count);

/* In the child of a fork nobody waits. */
extern void _PyAtomics_AfterForkChild(void);

#endif /* !Py_XXSUBINTERPRETERS_ATOMICS_H */
