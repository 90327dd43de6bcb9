/* Channels between interpreters, for extension modules.

   An extension gets the functions below from a capsule, so it needs no link to
   symbols of this build and still loads where there are none:

       static const PyInterpChannel_CAPI *api;
       ...
       api = PyInterpChannel_Import();     // NULL with an exception
       if (api == NULL) {
           return -1;
       }

   A channel carries Python objects, and raw memory.  Raw memory that a Python
   program receives is a memoryview; what a Python program sends arrives here
   as a message that AsObject() turns into an object.

   Unless something else is said, every function may be called by any thread,
   with or without an attached thread state, and sets no exception.  Send and
   Recv detach the calling thread, if it is attached, while they block. */

#ifndef Py_INTERPCHANNEL_H
#define Py_INTERPCHANNEL_H

#include "Python.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One end of a channel, and a message that was received. */
typedef struct PyInterpChannel_End PyInterpChannel_End;
typedef struct PyInterpChannel_Message PyInterpChannel_Message;

typedef enum {
    PyInterpChannel_OK = 0,
    PyInterpChannel_WOULD_BLOCK,    /* only with a timeout of zero */
    PyInterpChannel_TIMEOUT,
    PyInterpChannel_CLOSED,         /* no end of the other side is open */
    PyInterpChannel_END_CLOSED,     /* this end is closed, or of the wrong side */
    PyInterpChannel_NO_MEMORY,
    PyInterpChannel_INTERRUPTED     /* a signal arrived: PyErr_CheckSignals();
                                       else return to Python code, which gets
                                       an exception, or is to end because its
                                       interpreter is being closed */
} PyInterpChannel_Status;

#define PyInterpChannel_UNBOUNDED ((Py_ssize_t)-1)
#define PyInterpChannel_FOREVER ((int64_t)-1)

/* New members are only ever added at the end; `size` tells what is there. */
typedef struct {
    size_t size;

    /* Create a channel for `capacity` messages: 0 for a rendezvous, UNBOUNDED
       for no limit.  The caller owns both ends.  OK or NO_MEMORY. */
    PyInterpChannel_Status (*New)(Py_ssize_t capacity,
                                  PyInterpChannel_End **recv,
                                  PyInterpChannel_End **send);

    /* Close an end and give it up. */
    void (*Free)(PyInterpChannel_End *end);

    /* Send `nbytes` of memory at `data`.  On OK the memory is not the caller's
       any more: `destroy(arg)` is called once, by whatever thread, attached or
       not, when nobody uses it any more, received or not.  Otherwise it is not
       called.  The timeout is in nanoseconds, 0 not to block. */
    PyInterpChannel_Status (*Send)(PyInterpChannel_End *end,
                                   void *data, Py_ssize_t nbytes,
                                   void (*destroy)(void *arg), void *arg,
                                   int64_t timeout_ns);

    /* Receive a message, which is the caller's. */
    PyInterpChannel_Status (*Recv)(PyInterpChannel_End *end,
                                   PyInterpChannel_Message **message,
                                   int64_t timeout_ns);

    /* The memory of a message, valid until the message is given up.  Return 0,
       or -1 if it holds a Python object instead. */
    int (*Data)(PyInterpChannel_Message *message,
                void **data, Py_ssize_t *nbytes);

    /* Return a new reference to the object, a memoryview for raw memory; NULL
       with an exception.  Gives the message up.  Needs an attached thread
       state. */
    PyObject *(*AsObject)(PyInterpChannel_Message *message);

    /* Give a message up.  Memory of an interpreter that it may hold is released
       by attaching to that. */
    void (*FreeMessage)(PyInterpChannel_Message *message);

    /* Return a RecvChannel or SendChannel.  Gives the end up, also on failure:
       NULL with an exception.  Needs an attached thread state. */
    PyObject *(*EndAsObject)(PyInterpChannel_End *end);

    /* Return another end like that of a RecvChannel or SendChannel, owned by the
       caller; NULL with an exception.  Needs an attached thread state. */
    PyInterpChannel_End *(*EndFromObject)(PyObject *obj);
} PyInterpChannel_CAPI;

#define PyInterpChannel_CAPSULE "_xxsubinterpreters._C_API"

/* NULL with an exception.  Needs an attached thread state. */
static inline const PyInterpChannel_CAPI *
PyInterpChannel_Import(void)
{
    return (const PyInterpChannel_CAPI *)PyCapsule_Import(
            PyInterpChannel_CAPSULE, 0);
}

#ifdef __cplusplus
}
#endif

#endif /* !Py_INTERPCHANNEL_H */
