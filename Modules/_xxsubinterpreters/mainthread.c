/* What signal handlers tell the main thread.  See mainthread.h. */

#include "Python.h"
#include "pycore_signal.h"        // _PySignal_Tripped
#include "mainthread.h"

#include <sched.h>                // sched_yield()

static struct {
    _PySemaphore sema;
    int initialized;
    int sleeps;                     /* atomic */

    uintptr_t *breaker;             /* atomic */
    uintptr_t bits;                 /* set while there is no breaker */
    int handlers;                   /* atomic: those that may use the breaker */
} self;

/* Called by signal handlers, after they set their flag. */
static void
tripped(void)
{
    if (_Py_atomic_load_int(&self.sleeps)) {
        _PySemaphore_Wakeup(&self.sema);
    }
    _Py_atomic_add_int(&self.handlers, 1);
    uintptr_t *breaker = _Py_atomic_load_ptr(&self.breaker);
    if (breaker != NULL) {
        _Py_atomic_or_uintptr(breaker, self.bits);
    }
    _Py_atomic_add_int(&self.handlers, -1);
}

static void
install(void)
{
    if (!self.initialized) {
        _PySemaphore_Init(&self.sema);
        self.initialized = 1;
        _Py_atomic_store_ptr_release(&_PySignal_Tripped, tripped);
    }
}

_PySemaphore *
_PyMainThread_BeginSleep(void)
{
    install();
    /* From here on, whoever sets the flag posts the semaphore. */
    _Py_atomic_store_int(&self.sleeps, 1);
    return &self.sema;
}

void
_PyMainThread_EndSleep(void)
{
    _Py_atomic_store_int(&self.sleeps, 0);
}

void
_PyMainThread_SetBreaker(uintptr_t *breaker, uintptr_t bits)
{
    install();
    _Py_atomic_store_ptr(&self.breaker, NULL);
    /* A handler that interrupted this very thread is done; one in another thread
       may still be on its way, for a few instructions. */
    while (_Py_atomic_load_int(&self.handlers) > 0) {
        sched_yield();
    }
    self.bits = bits;
    _Py_atomic_store_ptr(&self.breaker, breaker);
}

void
_PyMainThread_AfterForkChild(void)
{
    _Py_atomic_store_int(&self.sleeps, 0);
    _Py_atomic_store_ptr(&self.breaker, NULL);
    _Py_atomic_store_int(&self.handlers, 0);
    self.initialized = 0;
}
