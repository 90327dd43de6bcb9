/* Moved objects: their memory is another interpreter's.

   What changes hands is described by a record outside of all interpreters, with two
   references: one of the message, one of what is left of the object at the sender.  That is
   of another type, which raises MovedError for whatever is done with it, and says where the
   memory went.  If a message is dropped that nobody received, the memory is there again
   when the object is touched next.

   All functions need an attached thread state. */

#ifndef Py_XXSUBINTERPRETERS_MOVED_H
#define Py_XXSUBINTERPRETERS_MOVED_H

#include "Python.h"
#include "shared.h"
#include "state.h"

typedef struct _PyMoved _PyMoved;

extern PyType_Spec _PyMove_spec;

/* What move(obj) returns: a new object that stands for `obj` in a message, moved. */
extern PyObject *_PyMove_New(_xxsub_state *state, PyObject *obj);

/* The object, borrowed. */
extern PyObject *_PyMove_Object(PyObject *move);

/* Of what is left of a bytearray or an array: if its memory came back, turn it into what it
   was, and return true.  False with an exception if not. */
extern int _PyMoved_IsBack(PyObject *obj);

/* True if the memory of this object can change hands. */
extern int _PyMoved_Supports(_xxsub_state *state, PyObject *obj);

/* Take the memory of such an object.  Return the message's reference; NULL with an
   exception, and nothing has changed. */
extern _PyMoved *_PyMoved_Take(_xxsub_state *state, PyObject *obj);

/* Return a new object that has the memory; NULL with an exception, and then the memory goes
   back.  Uses up the message's reference either way. */
extern PyObject *_PyMoved_Receive(_xxsub_state *state, _PyMoved *moved);

/* The message is dropped: its reference is given up.  The release function of the
   message's handle. */
extern void _PyMessage_ReleaseMoved(void *moved);

/* Set a MovedError that says where the memory of an object of that type went. */
extern void _PyMoved_Raise(_xxsub_state *state, const _PyMoved *moved);

extern void _PyMoved_Decref(_PyMoved *moved);

/* If the memory came back, take it out: the buffer of a SharedBlock.  NULL if not. */
extern _PySharedBuffer *_PyMoved_TakeBack(_PyMoved *moved);

/* What is kept for each interpreter: to be called when the module is initialized, and when
   it is freed, not before: what is left of objects needs it.  -1 with an exception. */
extern int _PyMoved_InitState(_xxsub_state *state);
extern void _PyMoved_FreeState(_xxsub_state *state);

#endif /* !Py_XXSUBINTERPRETERS_MOVED_H */
