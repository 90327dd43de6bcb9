/* Messages: a graph of Python objects, copied into raw memory.

   A message belongs to no interpreter.  It is encoded in one and decoded, at
   most once, in any other.  What is not copied but passed by handle (shared
   buffers, channel ends, interpreters) is kept alive by the message until it
   is decoded or freed.

   Encoding keeps identity and cycles: an object met twice arrives as one
   object.  It leaves the sender's objects untouched.

   All functions need an attached thread state. */

#ifndef Py_XXSUBINTERPRETERS_MESSAGE_H
#define Py_XXSUBINTERPRETERS_MESSAGE_H

#include "Python.h"
#include "channel.h"
#include "shared.h"
#include "state.h"

typedef struct _PyMessage _PyMessage;

/* Return a new message, owned by the caller, or NULL with an exception:
   NotShareableError names the path to what cannot be sent, beginning with
   `name` for `obj` itself. */
extern _PyMessage *_PyMessage_Encode(_xxsub_state *state, PyObject *obj,
                                     const char *name);

/* Return a new reference to the copy, or NULL with an exception.  Either way
   the message's handles are used up; it must still be freed. */
extern PyObject *_PyMessage_Decode(_xxsub_state *state, _PyMessage *message);

/* Its records, lent. */
extern unsigned char *_PyMessage_Data(_PyMessage *message, size_t *size);

/* May detach and attach again, since handles are released. */
extern void _PyMessage_Free(_PyMessage *message);

/* 1 if objects of this type are encoded, 0 if not, -1 with an exception.  Looks
   at the type only: a container may still hold what cannot be sent. */
extern int _PyMessage_Supports(_xxsub_state *state, PyTypeObject *type);

/* Decode and free it. */
extern PyObject *_PyMessage_Use(_xxsub_state *state, _PyMessage *message);

/* What the module keeps for messages in each interpreter: to be called when the module is
   initialized, traversed and cleared.  The first returns -1 with an exception. */
extern int _PyMessage_InitState(_xxsub_state *state);
extern int _PyMessage_VisitState(_xxsub_state *state, visitproc visit, void *arg);
extern void _PyMessage_ClearState(_xxsub_state *state);

/* What travels through a channel: a message, or, for small values, the value
   itself.  Returns 0, or -1 with an exception as for _PyMessage_Encode(). */
extern int _PyMessage_EncodeItem(_xxsub_state *state, PyObject *obj,
                                 const char *name, _PyChannelItem *item);

/* Return a new reference to the object; the item is used up, whatever happens.
   NULL with an exception. */
extern PyObject *_PyMessage_DecodeItem(_xxsub_state *state,
                                       _PyChannelItem item);

/* An item that arrives as a memoryview; it owns the buffer. */
extern _PyChannelItem _PyMessage_BufferItem(_PySharedBuffer *buffer);

/* The buffer of such an item, lent; NULL if it is another item. */
extern _PySharedBuffer *_PyMessage_ItemBuffer(_PyChannelItem item);

#endif /* !Py_XXSUBINTERPRETERS_MESSAGE_H */
