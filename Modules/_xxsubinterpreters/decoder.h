/* What the files of the decoder share.

   The decoder does not recurse.  A record that contains others pushes a *frame*,
   which says how many objects are to come; those that are complete wait on a stack
   of their own.  When all of a frame are there, it is finished, or goes on with
   its next phase.

   A message is written by the encoder of this process.  The decoder relies on
   that for what is inside: a function's code, say.  That sizes, numbers, handles and
   types fit, it checks.  The insides of new lists, dicts and instances are written
   while the GIL is held and no code runs. */

#ifndef Py_XXSUBINTERPRETERS_DECODER_H
#define Py_XXSUBINTERPRETERS_DECODER_H

#include "Python.h"
#include "message.h"
#include "message_format.h"
#include "state.h"

typedef struct {
    PyTypeObject *type;             /* owned; NULL for dicts, and until known */
    PyObject *keys;                 /* owned tuple of str; NULL until defined */
    PyObject *pattern;              /* owned dict with these keys, or NULL */
    enum {
        CALLED,                     /* instances are made by calling the class's methods */
        FILLED,                     /* values are put inside of new ones */
        GIVEN_DICT,                 /* new ones are given their dict */
    } way;
    PyDictKeysObject *shared;       /* the keys of the type for which `places` is
                                       right; else NULL */
    unsigned char *places;          /* owned; where values go inside an instance */
} decoder_shape;

typedef struct {
    unsigned char tag;              /* with its bits */
    unsigned char parts;            /* of REDUCE & co. */
    unsigned char phase;
    size_t base;                    /* of its objects on the stack */
    size_t remaining;               /* to come in this phase */
    size_t shape;
    PyObject *obj;                  /* owned; that is being filled, or NULL */
    PyObject **items;               /* owned, if objects go there instead of the stack */
    size_t n_items;                 /* that are there */
} decoder_frame;

#define SMALL_STACK 64
#define SMALL_KEPT 16
#define SMALL_DEPTH 16
#define LARGE_DEPTH 512             /* next; then it doubles */

typedef struct {
    _xxsub_state *state;
    _PyMessage *message;
    const unsigned char *next;
    const unsigned char *end;

    PyObject **stack;               /* of owned objects; `small_stack`, or allocated */
    size_t used;
    size_t allocated;

    decoder_frame *frames;          /* `small_frames`, or allocated */
    size_t depth;
    size_t allocated_frames;

    PyObject **kept;                /* by number; owned; `small_kept`, or allocated */
    size_t n_kept;                  /* numbers given so far */

    decoder_shape *shapes;
    size_t n_shapes;                /* met so far */

    PyObject *small_stack[SMALL_STACK];
    PyObject *small_kept[SMALL_KEPT];
    decoder_frame small_frames[SMALL_DEPTH];
} decoder;

/* Set an exception for a message that the encoder did not write; return NULL. */
extern void *_PyDecoder_Invalid(void);

/* The object exists, and gets a number if its tag says so, or is replaced with that
   which has one already: then *again is set, and its record is complete.  Takes and
   returns a reference; NULL with an exception. */
extern PyObject *_PyDecoder_Number(decoder *dec, unsigned char tag, PyObject *obj,
                                   int *again);

/* Read a size that stands for so many records; -1 with an exception. */
extern int _PyDecoder_Count(decoder *dec, size_t *n);

/* Read a record that must be a str; a new reference, or NULL with an exception. */
extern PyObject *_PyDecoder_Str(decoder *dec);

/* Import a module; a new reference, or NULL with an exception. */
extern PyObject *_PyDecoder_Import(decoder *dec, PyObject *name);

/* What a name stands for. */
extern PyObject *_PyDecoder_FindGlobal(decoder *dec, PyObject *module_name,
                                       PyObject *qualname);

/* Begin a record whose objects are to come. */
extern decoder_frame *_PyDecoder_Push(decoder *dec, unsigned char tag, size_t n);

/* Finish a phase of a frame.  Its objects are on the stack from f->base.  1 with *obj
   if it is complete; 0 if it goes on; -1 with an exception. */
extern int _PyDecoder_FinishInstance(decoder *dec, decoder_frame *f, PyObject **obj);
extern int _PyDecoder_FinishReduced(decoder *dec, decoder_frame *f, PyObject **obj);
extern int _PyDecoder_FinishFunction(decoder *dec, decoder_frame *f, PyObject **obj);

/* Begin an INSTANCE.  1 with *obj, 0, or -1 as above. */
extern int _PyDecoder_BeginInstance(decoder *dec, unsigned char tag, PyObject **obj);

/* Find or begin the shape of a record: 1 if it is known, 0 if it is new. */
extern int _PyDecoder_Shape(decoder *dec, size_t *number);

/* Read the keys of a shape. */
extern int _PyDecoder_DefineShape(decoder *dec, decoder_shape *s);

/* A new dict with the keys of a shape, which takes over the values; NULL with an
   exception. */
extern PyObject *_PyDecoder_FillPattern(decoder_shape *s, PyObject *const *values);

/* Release the objects of a frame that are on the stack. */
extern void _PyDecoder_Drop(decoder *dec, size_t base);

#endif /* !Py_XXSUBINTERPRETERS_DECODER_H */
