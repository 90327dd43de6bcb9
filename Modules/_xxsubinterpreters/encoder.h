/* What the files of the encoder share.

   The encoder does not recurse.  An object that contains others begins a record
   and pushes a *frame*, which is continued whenever an object inside it is
   complete.  So the C stack does not limit the depth of a graph, and the frames
   say where in it the encoder is.

   Code that runs meanwhile (methods of the objects, finalizers) may change what
   is being encoded.  So a frame owns its objects, and looks anew at a
   container for each item.  While no code runs the GIL is held, so the insides of
   lists, dicts and instances are read without locking them, and references are
   borrowed from there. */

#ifndef Py_XXSUBINTERPRETERS_ENCODER_H
#define Py_XXSUBINTERPRETERS_ENCODER_H

#include "Python.h"
#include "message.h"
#include "message_format.h"
#include "objectmap.h"
#include "state.h"

typedef struct encoder encoder;
typedef struct frame frame;

/* What encoding, or continuing a frame, led to. */
typedef enum {
    FAILED = -1,                    /* an exception is set */
    COMPLETE,                       /* the record is written */
    BEGUN,                          /* a frame for it was pushed; others may have
                                       moved */
} progress;

typedef struct {
    progress (*go_on)(encoder *, frame *);
    /* A new str, the step of a path that leads to the object that is encoded
       now; NULL with an exception; or an empty one. */
    PyObject *(*where)(const encoder *, const frame *);
    int is_plain;                   /* its frames do without some fields */
} frame_kind;

/* How far the encoder is. */
typedef struct {
    size_t size;
    size_t n_kept;
    size_t n_handles;
    size_t n_numbered;
    Py_ssize_t n_views;
} checkpoint;


struct frame {
    const frame_kind *kind;
    PyObject *obj;                  /* owned */
    Py_ssize_t i;
    Py_ssize_t n;
    size_t start;                   /* of the record in the message */
    int keep;                       /* KEEP or 0 */

    /* What follows is not set in a plain frame. */
    int phase;
    size_t shape;
    PyObject *parts;                /* owned, or NULL */
    PyObject *part;                 /* owned, or NULL */
    PyObject *other;                /* owned, or NULL */
    checkpoint *before;             /* owned; NULL unless it can be encoded in another
                                       way, see _PyEncoder_Recover() */
};

#define SMALL_SIZE 512
#define SMALL_DEPTH 16
#define LARGE_DEPTH 512             /* next; then it doubles */
#define SHAPE_SLOTS 64              /* a power of two */

/* Names or keys that several objects have, see message_format.h. */
typedef struct {
    PyTypeObject *type;             /* owned; NULL for dicts */
    Py_ssize_t n;
    PyObject **keys;                /* owned, of owned str */
    int begun;                      /* it has a number, and its definition is begun */
    int defined;                    /* that is written */
    size_t number;                  /* in the message */
} shape;

typedef struct {
    uintptr_t signature;            /* of names or keys that were met */
    size_t shape;                   /* number + 1; 0 if they were met only once */
} shape_slot;

struct encoder {
    _xxsub_state *state;

    unsigned char *data;            /* `small`, or allocated */
    size_t size;
    size_t allocated;
    struct handle *handles;
    size_t n_handles;
    PyObject *views;                /* owned list of memoryviews that are moved, and are to
                                       be released in the end; or NULL */

    _PyObjectMap kept;              /* object -> number + 1, or how often its record
                                       was begun: see _PyEncoder_Keep() */
    size_t n_kept;
    size_t n_unnumbered;            /* objects in there that have no number */
    int keep_all;                   /* else most with one reference are not kept */
    int passed_some;                /* of these, so far */

    frame *frames;                  /* `small_frames`, or allocated */
    size_t depth;
    size_t allocated_frames;

    shape *shapes;
    size_t n_shapes;
    size_t n_numbered;              /* shapes that have a number */
    _PyObjectMap plans;             /* type -> how its instances are encoded */
    _PyObjectMap again;             /* exceptions to be encoded with stand-ins */
    const char *name;               /* what the path begins with; lent */
    int begin_anew;                 /* see _PyEncoder_MayRunCode() */
    int uses_slots;                 /* else what is in them is garbage */
    shape_slot slots[SHAPE_SLOTS];  /* by the lowest bits of the signature */

    unsigned char small[SMALL_SIZE];
    frame small_frames[SMALL_DEPTH];
};

/* Where the encoder is. */
static inline checkpoint
checkpoint_of(const encoder *enc)
{
    return (checkpoint){
        .size = enc->size,
        .n_kept = enc->n_kept,
        .n_handles = enc->n_handles,
        .n_numbered = enc->n_numbered,
        .n_views = enc->views != NULL ? PyList_GET_SIZE(enc->views) : 0,
    };
}


/* --- writing -------------------------------------------------------------- */

/* Out of line: there is no room for n bytes more.  -1 with an exception. */
extern int _PyEncoder_Grow(encoder *enc, size_t n);

/* Where n bytes may be written, NULL with an exception when out of memory. */
static inline unsigned char *
room(encoder *enc, size_t n)
{
    if (n > enc->allocated - enc->size && _PyEncoder_Grow(enc, n) < 0) {
        return NULL;
    }
    return enc->data + enc->size;
}

#define MAX_SIZE_BYTES 10

/* Return where it ends. */
static inline unsigned char *
put_size(unsigned char *to, size_t n)
{
    while (n >= 0x80) {
        *to++ = (unsigned char)(n | 0x80);
        n >>= 7;
    }
    *to++ = (unsigned char)n;
    return to;
}

static inline int
write_byte(encoder *enc, int byte)
{
    unsigned char *to = room(enc, 1);
    if (to == NULL) {
        return -1;
    }
    *to = (unsigned char)byte;
    enc->size++;
    return 0;
}

static inline int
write_size(encoder *enc, size_t n)
{
    unsigned char *to = room(enc, MAX_SIZE_BYTES);
    if (to == NULL) {
        return -1;
    }
    enc->size = put_size(to, n) - enc->data;
    return 0;
}

/* A tag, a size, and so many bytes. */
static inline progress
write_record(encoder *enc, int tag, size_t n, const void *data, size_t n_bytes)
{
    unsigned char *to = NULL;
    if (n_bytes <= PY_SSIZE_T_MAX) {
        to = room(enc, 1 + MAX_SIZE_BYTES + n_bytes);
    }
    if (to == NULL) {
        return FAILED;
    }
    *to++ = (unsigned char)tag;
    to = put_size(to, n);
    memcpy(to, data, n_bytes);
    enc->size = to + n_bytes - enc->data;
    return COMPLETE;
}

/* A tag and a size. */
static inline int
write_head(encoder *enc, int tag, size_t n)
{
    unsigned char *to = room(enc, 1 + MAX_SIZE_BYTES);
    if (to == NULL) {
        return -1;
    }
    *to++ = (unsigned char)tag;
    enc->size = put_size(to, n) - enc->data;
    return 0;
}

/* The message owns `ptr` from now on; on failure it has been released. */
extern progress _PyEncoder_WriteHandle(encoder *enc, int tag, PyObject *obj, int keep,
                                       void (*release)(void *), void *ptr);


/* --- numbers of objects ---------------------------------------------------- */

/* Find out whether an object was met before.  COMPLETE means that it was, and a
   reference to it was written; BEGUN that its record is to be written, with *keep. */
extern progress _PyEncoder_Keep(encoder *enc, PyObject *obj, int *keep);

/* The same, but an object that has a single reference, which led here, is not kept: it
   cannot be met again.  Unless what led here is met again, which is possible inside of
   objects that have no number yet; or code runs that hands out references: see
   _PyEncoder_MayRunCode(). */
static inline progress
keep_or_refer(encoder *enc, PyObject *obj, int *keep)
{
    if (Py_REFCNT(obj) == 1 && !enc->keep_all && enc->n_unnumbered == 0) {
        enc->passed_some = 1;
        *keep = 0;
        return BEGUN;
    }
    return _PyEncoder_Keep(enc, obj, keep);
}

/* The same for tuples: one that is inside of an object that is written twice may be so, too,
   since what is in it is not. */
static inline progress
keep_tuple_or_refer(encoder *enc, PyObject *obj, int *keep)
{
    if (Py_REFCNT(obj) == 1 && !enc->keep_all) {
        enc->passed_some = 1;
        *keep = 0;
        return BEGUN;
    }
    return _PyEncoder_Keep(enc, obj, keep);
}

/* The same for what contains nothing: it does no harm to copy it twice. */
static inline progress
keep_leaf_or_refer(encoder *enc, PyObject *obj, int *keep)
{
    *keep = 0;
    return Py_REFCNT(obj) == 1 ? BEGUN : _PyEncoder_Keep(enc, obj, keep);
}

/* To be called before code is called that may know objects of the graph.  FAILED, without
   an exception, if some were not kept: then all is to be encoded anew, and kept. */
static inline progress
_PyEncoder_MayRunCode(encoder *enc)
{
    if (enc->keep_all || !enc->passed_some) {
        enc->keep_all = 1;
        return COMPLETE;
    }
    enc->begin_anew = 1;
    return FAILED;
}

/* The record that begins is inside of another one of the same object, which has no number
   yet. */
extern int _PyEncoder_IsInsideItself(encoder *enc, PyObject *obj);

/* The object exists at this point of its record, and gets its number, if it is
   kept.  COMPLETE means that it has one already, from a record inside its own,
   which begins at `start`: the record is complete, too.  BEGUN that it goes on. */
extern progress _PyEncoder_Number(encoder *enc, PyObject *obj, int keep, size_t start);

/* As _PyEncoder_Number(), at the end of a record. */
static inline progress
number_at_end(encoder *enc, PyObject *obj, int keep, size_t start)
{
    return keep && _PyEncoder_Number(enc, obj, keep, start) == FAILED ? FAILED : COMPLETE;
}


/* --- objects --------------------------------------------------------------- */

/* Out of line: there is no room for another frame.  -1 with an exception. */
extern int _PyEncoder_GrowFrames(encoder *enc);

/* Push a frame for the record that begins at `start`; NULL with an exception.
   It holds a new reference to obj. */
static inline frame *
_PyEncoder_Push(encoder *enc, const frame_kind *kind, PyObject *obj, int keep, size_t start)
{
    if (enc->depth == enc->allocated_frames && _PyEncoder_GrowFrames(enc) < 0) {
        return NULL;
    }
    frame *f = &enc->frames[enc->depth++];
    /* One by one: for an initializer GCC clears the frame with `rep stos`, which takes
       longer than all of this function. */
    f->kind = kind;
    f->obj = Py_NewRef(obj);
    f->i = f->n = 0;
    f->start = start;
    f->keep = keep;
    if (!kind->is_plain) {
        f->phase = 0;
        f->shape = 0;
        f->parts = f->part = f->other = NULL;
        f->before = NULL;
    }
    return f;
}

/* For frames that are no step of a path. */
extern PyObject *_PyEncoder_Nowhere(const encoder *enc, const frame *f);

/* Pop the innermost frame.  May run code. */
static inline void
_PyEncoder_Pop(encoder *enc)
{
    frame *f = &enc->frames[--enc->depth];
    PyObject *obj = f->obj;
    if (!f->kind->is_plain) {
        PyObject *parts = f->parts, *part = f->part, *other = f->other;
        PyMem_Free(f->before);
        Py_XDECREF(parts);
        Py_XDECREF(part);
        Py_XDECREF(other);
    }
    Py_DECREF(obj);
}

/* Encode any object. */
extern progress _PyEncoder_Encode(encoder *enc, PyObject *obj);

/* Find the shape with these keys, which are compared by identity, or make it.  1 and
   its index; 0 if these are not worth one, or are not all str; -1 with an exception. */
extern int _PyEncoder_FindShape(encoder *enc, PyTypeObject *type, PyObject *const *keys,
                                Py_ssize_t n, size_t *index);

/* The number of a shape, which gets one now if it has none. */
static inline size_t
shape_number(encoder *enc, size_t index)
{
    shape *s = &enc->shapes[index];
    if (!s->begun) {
        s->begun = 1;
        s->number = enc->n_numbered++;
    }
    return s->number;
}

/* Write the definition of a shape, but for its class. */
extern int _PyEncoder_DefineShape(encoder *enc, size_t index);

#define MOST_SHAPED_KEYS 32         /* more than instances share */

/* Say that the record of the innermost frame, before which the encoder was there, can be
   encoded in another way.  BEGUN, or FAILED with an exception. */
extern progress _PyEncoder_Guard(encoder *enc, checkpoint before);

/* Encode str. */
extern progress _PyEncoder_Str(encoder *enc, PyObject *obj);

/* Encode each of the parts in turn.  Takes over the tuple, NULL with an exception being a
   failure.  The object gets its number after the first so many, or after all if that is
   negative. */
extern progress _PyEncoder_Parts(encoder *enc, int tag, PyObject *obj, int keep,
                                 PyObject *parts, int n_first, const frame_kind *kind);
extern progress _PyEncoder_GoOnWithParts(encoder *enc, frame *f);

/* NotShareableError for an object, naming the path to it, and, if an exception is
   set, with that as its cause. */
extern progress _PyEncoder_Refuse(encoder *enc, PyObject *obj);

/* Objects of other files; the object has an entry in enc->kept if it is kept. */
extern progress _PyEncoder_Object(encoder *enc, PyObject *obj, int keep);
extern progress _PyEncoder_Interpreter(encoder *enc, PyObject *obj, int keep);
extern progress _PyEncoder_Function(encoder *enc, PyObject *obj, int keep);
extern progress _PyEncoder_Module(encoder *enc, PyObject *obj, int keep);
extern progress _PyEncoder_Code(encoder *enc, PyObject *obj, int keep);
extern progress _PyEncoder_Cell(encoder *enc, PyObject *obj, int keep);

/* 1 if a module was imported from somewhere; -1 with an exception. */
extern int _PyEncoder_HasSpec(PyObject *module);

/* As what an import finds, under a name, or its own if that is NULL.  BEGUN means that it
   finds none, and nothing was written. */
extern progress _PyEncoder_Global(encoder *enc, PyObject *obj, PyObject *name, int keep);

/* After a failure: whether it was because something cannot be sent. */
static inline int
_PyEncoder_MayRecover(encoder *enc)
{
    return !enc->begin_anew && PyErr_ExceptionMatches(PyExc_Exception)
           && !PyErr_ExceptionMatches(PyExc_MemoryError);
}

/* After a failure: encode the innermost of the exceptions that are being encoded in
   another way, if it was because something cannot be sent.  FAILED with all frames as they
   were means that there is none. */
extern progress _PyEncoder_Recover(encoder *enc);

/* Release everything, or, unless it failed, all but what went into the message. */
extern void _PyEncoder_Clear(encoder *enc, int failed);

/* An exception again, with stand-ins for what cannot be sent. */
extern progress _PyEncoder_ExceptionAgain(encoder *enc, PyObject *obj, int keep);

/* 1 if a type that is not built in has objects that can be sent, as far as one can tell
   from the type; 0 if not; -1 with an exception. */
extern int _PyEncoder_CanReduce(_xxsub_state *state, PyTypeObject *type);

#endif /* !Py_XXSUBINTERPRETERS_ENCODER_H */
