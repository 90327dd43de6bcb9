/* The inside of a message, shared by the encoder and the decoder.

   A message is a sequence of records, each a tag byte and what the table
   below says, written in native byte order without padding: it never leaves
   the process.

   If the KEEP bit of a tag is set, the object gets the next number, counted
   from zero, in the order in which records begin; REF n stands for the object
   with number n.

   Handles are numbered as they are written.  A record holds the number; the
   thing itself stands in the message's table of handles, from which the
   decoder takes it. */

#ifndef Py_XXSUBINTERPRETERS_MESSAGE_FORMAT_H
#define Py_XXSUBINTERPRETERS_MESSAGE_FORMAT_H

#include "Python.h"
#include "channel.h"

enum tag {
    TAG_NONE,
    TAG_TRUE,
    TAG_FALSE,
    TAG_ELLIPSIS,
    TAG_REF,                /* size number */
    TAG_INT,                /* int64 value */
    TAG_BIGINT,             /* size n, n bytes: two's complement, little end
                               first */
    TAG_FLOAT,              /* double */
    TAG_COMPLEX,            /* double real, double imag */
    TAG_STR,                /* size length, uint32 maxchar, the characters as
                               str holds them */
    TAG_BYTES,              /* size n, n bytes */
    TAG_BYTEARRAY,          /* size n, n bytes */
    TAG_TUPLE,              /* size n, n records */
    TAG_LIST,               /* size n, n records */
    TAG_DICT,               /* size n, n times key and value */
    TAG_SET,                /* size n, n records */
    TAG_FROZENSET,          /* size n, n records */
    TAG_SLICE,              /* start, stop, step */
    TAG_RANGE,              /* start, stop, step */
    TAG_GLOBAL,             /* module name, qualified name: found by import */
    TAG_FUNCTION,           /* module name, name, qualified name, marshalled
                               code as bytes, defaults, keyword defaults */
    TAG_BUFFER,             /* size handle: _PySharedBuffer */
    TAG_CHANNEL_END,        /* size handle: _PyChannelEnd */
    TAG_QUEUE,              /* size handle: _PyChannelEnd */
    TAG_INTERPRETER,        /* int64 id, size handle: a reference to it */

    TAG_KEEP = 0x80,
};

struct handle {
    void (*release)(void *ptr);     /* for handles that are never taken */
    void *ptr;                      /* NULL once taken */
};

struct _PyMessage {
    unsigned char *data;            /* `small`, or memory of its own */
    size_t size;
    struct handle *handles;         /* NULL if there are none */
    size_t n_handles;
    size_t n_kept;                  /* objects that have a number */
    unsigned char small[];
};

/* Release functions of handles. */
extern void _PyMessage_ReleaseEnd(void *end);

/* Return a new list of the names in a qualified name, or NULL with an
   exception. */
extern PyObject *_PyMessage_SplitName(PyObject *qualname);

#endif /* !Py_XXSUBINTERPRETERS_MESSAGE_FORMAT_H */
