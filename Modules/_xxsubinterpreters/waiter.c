/* One thread waiting for one wake-up: spin, then park.  See waiter.h. */

#include "Python.h"
#include "pycore_parking_lot.h"   // _PyParkingLot_Park()
#include "pycore_time.h"          // _PyDeadline_Get()
#include "waiter.h"

#include <unistd.h>               // sysconf()

/* Life of `state`:

       WAITING ---fire---> FIRED
          |                  ^
         park               fire
          v                  |
        PARKED --------------+

   Only the waiting thread goes from WAITING to PARKED, and from PARKED back
   to WAITING when it stops sleeping without having been fired. */
enum { WAITING, PARKED, FIRED };

/* How often to look before going to sleep.  One look takes a few
   nanoseconds; waking a sleeping thread takes tens of microseconds on a
   virtual machine.  With a single processor nobody can fire the waiter while
   we look. */
#define SPIN_LOOKS 2000

static inline void
relax_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static int
spin_looks(void)
{
    static int looks = -1;          /* atomic; every thread finds the same */
    int result = _Py_atomic_load_int_relaxed(&looks);
    if (result < 0) {
        result = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_LOOKS : 0;
        _Py_atomic_store_int_relaxed(&looks, result);
    }
    return result;
}

void
_PyWaiter_Init(_PyWaiter *waiter)
{
    waiter->state = WAITING;
}

int
_PyWaiter_Fired(_PyWaiter *waiter)
{
    return _Py_atomic_load_uint32(&waiter->state) == FIRED;
}

int
_PyWaiter_Fire(_PyWaiter *waiter)
{
    uint32_t before = _Py_atomic_exchange_uint32(&waiter->state, FIRED);
    assert(before != FIRED);
    return before == PARKED;
}

void
_PyWaiter_Unpark(const _PyWaiter *waiter)
{
    _PyParkingLot_UnparkAll(&waiter->state);
}

static inline int
is_set(const int *interrupted)
{
    return interrupted != NULL && _Py_atomic_load_int_relaxed(interrupted);
}

_PyWaiter_Result
_PyWaiter_Wait(_PyWaiter *waiter, PyTime_t deadline, const int *interrupted)
{
    for (int looks = spin_looks(); looks > 0; looks--) {
        if (_PyWaiter_Fired(waiter)) {
            return _PyWaiter_FIRED;
        }
        relax_cpu();
    }

    if (is_set(interrupted)) {
        return _PyWaiter_INTR;
    }
    uint32_t expected = WAITING;
    if (!_Py_atomic_compare_exchange_uint32(&waiter->state, &expected, PARKED)) {
        assert(expected == FIRED);
        return _PyWaiter_FIRED;
    }
    for (;;) {
        PyTime_t timeout = -1;
        if (deadline >= 0) {
            timeout = Py_MAX(_PyDeadline_Get(deadline), 0);
        }
        const uint32_t parked = PARKED;
        int r = _PyParkingLot_Park(&waiter->state, &parked, sizeof(parked),
                                   timeout, NULL, /*detach=*/0);
        /* An unpark meant for an earlier waiter at this address may wake us;
           only the state says whether we were fired. */
        if (_PyWaiter_Fired(waiter)) {
            return _PyWaiter_FIRED;
        }
        if (r == Py_PARK_TIMEOUT || r == Py_PARK_INTR) {
            expected = PARKED;
            if (!_Py_atomic_compare_exchange_uint32(&waiter->state, &expected,
                                                    WAITING)) {
                return _PyWaiter_FIRED;
            }
            return r == Py_PARK_INTR ? _PyWaiter_INTR : _PyWaiter_TIMEOUT;
        }
    }
}
