/* A port: where waits that no thread waits for end up.

   A wait that belongs to an event loop does not put a thread to sleep.  When
   it is over its entry is posted to the loop's port, whose file descriptor
   becomes readable; the loop then collects the entries posted so far.

   A port is reference-counted and may be posted to by any thread.  No function
   here needs a thread state or a GIL, and none touches a PyObject. */

#ifndef Py_XXSUBINTERPRETERS_PORT_H
#define Py_XXSUBINTERPRETERS_PORT_H

#include "Python.h"

typedef struct _PyPort _PyPort;

/* An entry is embedded in what it stands for. */
typedef struct _PyPortEntry {
    struct _PyPortEntry *next;
} _PyPortEntry;

/* Return a new port with one reference; NULL with errno set. */
extern _PyPort *_PyPort_New(void);
extern _PyPort *_PyPort_Incref(_PyPort *port);
extern void _PyPort_Decref(_PyPort *port);

/* Readable while entries wait to be collected. */
extern int _PyPort_Fileno(const _PyPort *port);

/* Block until entries wait to be collected. */
extern void _PyPort_WaitReadable(const _PyPort *port);

/* Make it readable. */
extern void _PyPort_Signal(const _PyPort *port);

/* The port owns the entry until it is collected. */
extern void _PyPort_Post(_PyPort *port, _PyPortEntry *entry);

/* Return the entries posted so far, oldest first, NULL if there are none. */
extern _PyPortEntry *_PyPort_Collect(_PyPort *port);

#endif /* !Py_XXSUBINTERPRETERS_PORT_H */
