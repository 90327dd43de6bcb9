/* Threads that visit an interpreter, see pycore_visitors.h. */

#include "Python.h"
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "pycore_parking_lot.h"   // _PyParkingLot_Park()
#include "pycore_pystate.h"       // _Py_IsMainInterpreter()
#include "pycore_tstate.h"        // struct _PyThreadStateVisit
#include "pycore_visitors.h"

/* An interpreter that expects visitors; never the main one, which ends last. */
struct host {
    struct host *next;
    PyInterpreterState *interp;
    int64_t id;
    uint32_t visitors;              /* threads between Enter() and Leave() */
    bool is_shut;                   /* no visitors are let in */
    void (*left)(void *);           /* called when the last visitor leaves, or NULL */
    void *argument;
};

/* The mutex covers the list and all fields of the hosts.  It is held for a few instructions, and
   nothing is called with it but left().  Who waits to be let in holds no host. */
static struct {
    PyMutex mutex;
    struct host *first;
    uint32_t changes;               /* that threads outside wait for */
    uint32_t for_ever;              /* never changes */
} hosts;

static void
lock(void)
{
    PyMutex_LockFlags(&hosts.mutex, _Py_LOCK_DONT_DETACH);
}

static void
unlock(void)
{
    PyMutex_Unlock(&hosts.mutex);
}

/* The link to the host, or to NULL.  The lock is held. */
static struct host **
find(int64_t id)
{
    struct host **link = &hosts.first;
    while (*link != NULL && (*link)->id != id) {
        link = &(*link)->next;
    }
    return link;
}

static struct host *
find_host(PyInterpreterState *interp)
{
    return *find(PyInterpreterState_GetID(interp));
}

/* The lock is held. */
static void
tell_those_outside(void)
{
    (void)_Py_atomic_add_uint32(&hosts.changes, 1);
    _PyParkingLot_UnparkAll(&hosts.changes);
}

int
_PyVisitors_Expect(PyInterpreterState *interp)
{
    if (_Py_IsMainInterpreter(interp)) {
        return 0;
    }
    struct host *added = PyMem_RawCalloc(1, sizeof(*added));
    lock();
    bool known = find_host(interp) != NULL;
    if (!known && added != NULL) {
        *added = (struct host){
            .next = hosts.first, .interp = interp, .id = PyInterpreterState_GetID(interp),
        };
        hosts.first = added;
    }
    unlock();
    if (known) {
        PyMem_RawFree(added);
    }
    return known || added != NULL ? 0 : -1;
}

/* Did the thread come from a visit to the interpreter to where it is now? */
static bool
is_visitor_already(PyThreadState *tstate, int64_t id)
{
    while (tstate != NULL) {
        const struct _PyThreadStateVisit *visit = &((_PyThreadStateImpl *)tstate)->visit;
        tstate = visit->active ? visit->before : NULL;
        if (tstate != NULL && PyInterpreterState_GetID(tstate->interp) == id) {
            return true;
        }
    }
    return false;
}

PyInterpreterState *
_PyVisitors_Enter(PyThreadState *tstate, int64_t id)
{
    /* While an interpreter ends its own thread may still call back. */
    if (tstate != NULL && PyInterpreterState_GetID(tstate->interp) == id) {
        return NULL;
    }
    PyInterpreterState *main_interp = _PyInterpreterState_Main();
    if (PyInterpreterState_GetID(main_interp) == id) {
        return tstate != NULL ? main_interp : NULL;
    }
    bool returns = is_visitor_already(tstate, id);
    for (;;) {
        lock();
        struct host *host = *find(id);
        PyInterpreterState *interp = NULL;
        if (host != NULL && (!host->is_shut || returns)) {
            host->visitors++;
            interp = host->interp;
        }
        uint32_t *change = host != NULL ? &hosts.changes : &hosts.for_ever;
        uint32_t expected = *change;
        unlock();
        if (interp != NULL) {
            return interp;
        }
        (void)_PyParkingLot_Park(change, &expected, sizeof(expected), -1, NULL, /*detach=*/1);
    }
}

void
_PyVisitors_Leave(PyInterpreterState *interp)
{
    lock();
    struct host *host = find_host(interp);
    if (host != NULL && --host->visitors == 0 && host->left != NULL) {
        host->left(host->argument);
        host->left = NULL;
    }
    unlock();
}

uint32_t
_PyVisitors_ShutOut(PyInterpreterState *interp)
{
    /* One that expects none yet may do so while it ends. */
    (void)_PyVisitors_Expect(interp);
    lock();
    struct host *host = find_host(interp);
    uint32_t visitors = 0;
    if (host != NULL) {
        host->is_shut = true;
        visitors = host->visitors;
    }
    unlock();
    return visitors;
}

void
_PyVisitors_LetIn(PyInterpreterState *interp)
{
    lock();
    struct host *host = find_host(interp);
    if (host != NULL) {
        host->is_shut = false;
        tell_those_outside();
    }
    unlock();
}

bool
_PyVisitors_WhenLeft(PyInterpreterState *interp, void (*left)(void *), void *argument)
{
    lock();
    struct host *host = find_host(interp);
    bool visited = host != NULL && host->visitors > 0;
    if (visited) {
        host->left = left;
        host->argument = argument;
    }
    unlock();
    return visited;
}

void
_PyVisitors_Forget(PyInterpreterState *interp)
{
    lock();
    struct host **link = find(PyInterpreterState_GetID(interp)), *host = *link;
    if (host != NULL) {
        *link = host->next;
        tell_those_outside();
    }
    unlock();
    PyMem_RawFree(host);
}

void
_PyVisitors_AfterFork(void)
{
    _PyMutex_at_fork_reinit(&hosts.mutex);
    while (hosts.first != NULL) {
        struct host *host = hosts.first;
        hosts.first = host->next;
        PyMem_RawFree(host);
    }
}
