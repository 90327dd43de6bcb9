/* The inside of a message, shared by the encoder and the decoder.

   A message is a sequence of records, each a tag byte and what the table
   below says, without padding and in native byte order: it never leaves the
   process.  A size is written seven bits at a time, the lowest first; the high
   bit of a byte says that more follow.

   Objects that may be met again have numbers, counted from zero; REF n stands
   for the object with number n.  If the KEEP bit of a tag is set, the object gets
   the next number as soon as it exists: a list, dict, set, instance or cell
   when its record begins, anything else at the end of its record, or, if the
   record goes on with what is put into the object, before that.

   An object can be met inside its own record before it has a number.  Then it
   is written there once more, and gets its number there.  The outer record, when
   it comes to the point where its object would get a number, has the AGAIN bit
   set, and ends there: a size follows, and the object with that number is
   taken instead.

   Dicts that have the same keys, and instances of a class that have the same
   attributes, share a *shape*: a size, counted from zero.  The first record with
   a shape defines it.

   Handles are numbered as they are written.  A record holds the number; the
   thing itself stands in the message's table of handles, from which the
   decoder takes it. */

#ifndef Py_XXSUBINTERPRETERS_MESSAGE_FORMAT_H
#define Py_XXSUBINTERPRETERS_MESSAGE_FORMAT_H

#include "Python.h"
#include "pycore_runtime.h"       // _Py_ID()
#include "channel.h"

enum tag {
    TAG_NONE,
    TAG_TRUE,
    TAG_FALSE,
    TAG_ELLIPSIS,
    TAG_NOT_IMPLEMENTED,
    TAG_REF,                /* size number */
    TAG_INT8,               /* int8_t */
    TAG_INT16,              /* int16_t */
    TAG_INT32,              /* int32_t */
    TAG_INT64,              /* int64_t */
    TAG_BIGINT,             /* size n, n bytes: two's complement, little end
                               first */
    TAG_FLOAT,              /* double */
    TAG_INT8S,              /* size n > 0, n int8_t: so many records in one, inside of a
                               list or tuple; as the next four: */
    TAG_INT16S,             /* n int16_t */
    TAG_INT32S,             /* n int32_t */
    TAG_INT64S,             /* n int64_t */
    TAG_FLOATS,             /* n double */
    TAG_COMPLEX,            /* double real, double imag */
    TAG_UCS1,               /* str: size n, n characters of 1 byte; as the next two: */
    TAG_UCS2,               /* of 2 bytes */
    TAG_UCS4,               /* of 4 bytes */
    TAG_BYTES,              /* size n, n bytes */
    TAG_BYTEARRAY,          /* size n, n bytes */
    TAG_LARGE,              /* size handle: a str or bytes, see message_large.c */
    TAG_TUPLE,              /* size n, n records */
    TAG_LIST,               /* size n, n records */
    TAG_DICT,               /* size n, n times key and value */
    TAG_SHAPED_DICT,        /* size shape; if it is new, size n, n keys; then n
                               values */
    TAG_SET,                /* size n, n records */
    TAG_FROZENSET,          /* size n, n records */
    TAG_SLICE,              /* start, stop, step */
    TAG_GLOBAL,             /* module name, qualified name: found by import */
    TAG_MODULE,             /* name: found by import */
    TAG_INSTANCE,           /* size shape; if it is new, class, size n, n names;
                               then n values */
    TAG_REDUCE,             /* PARTS byte, function, tuple of arguments; parts */
    TAG_NEWOBJ,             /* PARTS byte, tuple (class, arguments...); parts */
    TAG_NEWOBJ_EX,          /* PARTS byte, tuple (class, args, kwargs); parts */
    TAG_CODE,               /* size handle: struct marshalled */
    TAG_FUNCTION,           /* FUNCTION_FIRST records to make it; then the rest of
                               the function, see below */
    TAG_CELL,               /* size n, n records: 1, or 0 if it is empty */
    TAG_BUFFER,             /* size handle: _PySharedBuffer */
    TAG_CHANNEL_END,        /* size handle: _PyChannelEnd */
    TAG_QUEUE,              /* size handle: _PyChannelEnd */
    TAG_INTERPRETER,        /* size handle: int64_t, its id */
    TAG_BLOCK,              /* size handle: _PySharedBuffer, of a SharedBlock */
    TAG_MOVED,              /* size handle: _PyMoved */
    TAG_SYNC,               /* size handle: _PySync */

    TAG_AGAIN = 0x40,
    TAG_KEEP = 0x80,
    TAG_MASK = 0x3F,
};

/* What follows when the object of a REDUCE or NEWOBJ is there, in this order;
   as in pickle. */
enum {
    PART_ITEMS = 1,         /* a list, to be appended */
    PART_PAIRS = 2,         /* a list of keys and values in turn, to be set */
    PART_SETTER = 4,        /* a callable, for the state */
    PART_STATE = 8,
};

/* What a function is made from: the name of its module; whether it brings along the
   globals it uses, or finds them in that module; its code.  What it is given then, or
   None: name, qualified name, document, type parameters, defaults, keyword defaults,
   closure, attributes, annotations, globals. */
enum { FUNCTION_FIRST = 3, FUNCTION_PARTS = 13 };

/* A code object.  Not among the records, since what is wrong in there could not be told
   from code that does wrong. */
struct marshalled {
    Py_ssize_t size;
    char data[];
};

struct handle {
    void (*release)(void *ptr);     /* for handles that are never taken; says what
                                       kind of handle it is, too */
    void *ptr;                      /* NULL once taken */
};

struct _PyMessage {
    unsigned char *data;            /* `small`, or memory of its own */
    size_t size;
    struct handle *handles;         /* NULL if there are none */
    size_t n_handles;
    size_t n_kept;                  /* objects that have a number */
    size_t n_shapes;
    unsigned char small[];
};

/* Release functions of handles. */
extern void _PyMessage_ReleaseEnd(void *end);
extern void _PyMessage_ReleaseQueue(void *end);
extern void _PyMessage_ReleaseBuffer(void *buffer);
extern void _PyMessage_ReleaseInterpreter(void *id);
extern void _PyMessage_ReleaseBlock(void *buffer);
extern void _PyMessage_ReleaseSync(void *sync);
extern void _PyMessage_ReleaseLarge(void *copy);
extern void _PyMessage_ReleaseCode(void *marshalled);

/* A large str or bytes, all but an object, to be released with PyMem_RawFree(); NULL
   without an exception if that cannot be done. */
#define _PyMessage_LARGE 65536      /* more than what pymalloc has in its arenas */
extern PyObject *_PyMessage_CopyLarge(PyObject *obj);

/* Make it an object.  Takes it over, also on failure; NULL with an exception. */
extern PyObject *_PyMessage_TakeLarge(PyObject *copy);

/* The class of Interpreter objects, which are written in Python, as a new reference; NULL
   without an exception if nobody imported it. */
extern PyObject *_PyMessage_InterpreterClass(void);

/* Whether the __dict__ of an object is the dict that it has: its class may say otherwise. */
static inline int
_PyMessage_HasPlainDict(PyTypeObject *type)
{
    PyObject *descriptor = _PyType_Lookup(type, &_Py_ID(__dict__));
    return descriptor != NULL && Py_IS_TYPE(descriptor, &PyGetSetDescr_Type);
}

/* The value of an int; false if it has more than 64 bits. */
static inline int
_PyMessage_AsInt64(PyObject *obj, int64_t *value)
{
    if (PyUnstable_Long_IsCompact((PyLongObject *)obj)) {
        *value = PyUnstable_Long_CompactValue((PyLongObject *)obj);
        return 1;
    }
    int overflow;
    *value = PyLong_AsLongLongAndOverflow(obj, &overflow);
    return !overflow;
}

/* Look up the names in a qualified name, one after the other, beginning with `obj`.  1
   with a new reference in *found; 0, or -1 with an exception, and NULL. */
extern int _PyMessage_FollowName(PyObject *obj, PyObject *qualname, PyObject **found);

#endif /* !Py_XXSUBINTERPRETERS_MESSAGE_FORMAT_H */
