/* A port: where waits that no thread waits for end up.  See port.h.

   This file holds what depends on Linux's eventfd. */

#include "Python.h"
#include "pycore_lock.h"          // PyMutex_LockFlags()
#include "port.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>               // close()

/* The lock covers the list.  The descriptor is readable if, and, but for the
   instant between unlocking and writing, only if the list is not empty. */
struct _PyPort {
    Py_ssize_t refs;                /* atomic */
    int fd;
    PyMutex lock;
    _PyPortEntry *first, **last;
};

_PyPort *
_PyPort_New(void)
{
    _PyPort *port = PyMem_RawMalloc(sizeof(_PyPort));
    if (port == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        int saved = errno;
        PyMem_RawFree(port);
        errno = saved;
        return NULL;
    }
    *port = (_PyPort){.refs = 1, .fd = fd};
    port->last = &port->first;
    return port;
}

_PyPort *
_PyPort_Incref(_PyPort *port)
{
    _Py_atomic_add_ssize(&port->refs, 1);
    return port;
}

void
_PyPort_Decref(_PyPort *port)
{
    if (_Py_atomic_add_ssize(&port->refs, -1) == 1) {
        assert(port->first == NULL);
        close(port->fd);
        PyMem_RawFree(port);
    }
}

int
_PyPort_Fileno(const _PyPort *port)
{
    return port->fd;
}

void
_PyPort_WaitReadable(const _PyPort *port)
{
    struct pollfd pollfd = {.fd = port->fd, .events = POLLIN};
    while (poll(&pollfd, 1, -1) < 0 && errno == EINTR) {
    }
}

void
_PyPort_Signal(const _PyPort *port)
{
    /* Cannot fail: the counter is far from its limit. */
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(port->fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
}

void
_PyPort_Post(_PyPort *port, _PyPortEntry *entry)
{
    entry->next = NULL;
    PyMutex_LockFlags(&port->lock, _Py_LOCK_DONT_DETACH);
    int was_empty = port->first == NULL;
    *port->last = entry;
    port->last = &entry->next;
    /* The collector may give up the reference that the entry stands for. */
    if (was_empty) {
        _PyPort_Incref(port);
    }
    PyMutex_Unlock(&port->lock);
    if (was_empty) {
        _PyPort_Signal(port);
        _PyPort_Decref(port);
    }
}

_PyPortEntry *
_PyPort_Collect(_PyPort *port)
{
    /* Before the list is taken: what is posted from now on writes again. */
    uint64_t count;
    ssize_t got;
    do {
        got = read(port->fd, &count, sizeof(count));
    } while (got < 0 && errno == EINTR);
    PyMutex_LockFlags(&port->lock, _Py_LOCK_DONT_DETACH);
    _PyPortEntry *first = port->first;
    port->first = NULL;
    port->last = &port->first;
    PyMutex_Unlock(&port->lock);
    return first;
}
