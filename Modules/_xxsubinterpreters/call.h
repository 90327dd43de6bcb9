/* Running code in another interpreter. */

#ifndef Py_XXSUBINTERPRETERS_CALL_H
#define Py_XXSUBINTERPRETERS_CALL_H

#include "Python.h"
#include "message.h"
#include "state.h"

/* What to do with the decoded payload, in the other interpreter. */
typedef enum {
    _PyCall_EXEC,       /* payload is source text (str): run it in __main__ */
    _PyCall_CALL,       /* payload is (callable, args, kwargs) */
    _PyCall_UPDATE,     /* payload is a dict: update __main__ with it */
} _PyCall_Kind;

/* Decode `payload` in interpreter `id`, act on it there, in the calling
   thread, and copy the result back.  Return a new reference to the result, or
   NULL: then either an exception is set, or, for an exception that left the
   other interpreter, *excinfo is a new reference to its description, and
   *exception one to a copy of it, or NULL if it could not be copied. */
extern PyObject *_PyCall_Run(_xxsub_state *state, int64_t id,
                             _PyCall_Kind kind, _PyMessage *payload,
                             PyObject **excinfo, PyObject **exception);

#endif /* !Py_XXSUBINTERPRETERS_CALL_H */
