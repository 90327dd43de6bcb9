/* What the module keeps for each interpreter. */

#ifndef Py_XXSUBINTERPRETERS_STATE_H
#define Py_XXSUBINTERPRETERS_STATE_H

#include "Python.h"
#include "sync.h"

/* How objects of a class are sent, as long as the class has that version. */
typedef struct {
    unsigned int version;           /* 0 for none */
    int plan;                       /* see message_encode_object.c */
} _xxsub_plan;

typedef struct {
    PyTypeObject *RecvChannel;
    PyTypeObject *SendChannel;
    PyTypeObject *Queue;
    PyTypeObject *Port;
    PyTypeObject *Operation;
    PyTypeObject *BufferView;
    PyTypeObject *DLPackExport;
    PyTypeObject *ArrowExport;
    PyTypeObject *Message;
    PyTypeObject *SharedBlock;
    PyTypeObject *Move;
    PyTypeObject *exclusive;
    PyTypeObject *MovedByteArray;   /* NULL until one is moved, as the next */
    PyTypeObject *MovedArray;
    PyTypeObject *Sync[_PySync_KINDS];

    PyObject *OwnerDiedError;
    PyObject *ChannelError;
    PyObject *ChannelClosedError;
    PyObject *ChannelEmptyError;
    PyObject *ChannelFullError;
    PyObject *QueueError;
    PyObject *QueueNotFoundError;
    PyObject *QueueEmpty;
    PyObject *QueueFull;
    PyObject *ItemInterpreterDestroyed;
    PyObject *MovedError;

    struct _Py_hashtable_t *remains;    /* of moved objects, see moved.c */

    /* For messages.  Methods that say how pickle copies an object, the first being
       __reduce_ex__, to a NULL; that which takes the state; copyreg's table of functions
       by class, and its function for slots; what to import from a module to get the
       module. */
    PyObject *reduce_names[6];
    PyObject *setstate_name;
    PyObject *dispatch_table;
    PyObject *slotnames;
    PyObject *import_list;
    PyObject *transfer_name;
    _xxsub_plan plans[64];          /* by the lowest bits of the version */
    PyObject *registered;           /* dict: class -> (encode, decode) */
    /* Of functions that bring along their globals: by the name of a module that cannot
       be imported, a module; by the name of a module, a dict of those that came. */
    PyObject *stand_in_modules;
    PyObject *brought_globals;
} _xxsub_state;

/* Borrowed; of the module that made the type, which is one of ours.  They have no
   subclasses. */
static inline _xxsub_state *
_xxsub_state_by_type(PyTypeObject *type)
{
    _xxsub_state *state = PyType_GetModuleState(type);
    assert(state != NULL);
    return state;
}

/* The tp_traverse of objects that refer to no others.  One that is part of garbage must
   show its reference to the type: what frees it may be the last collection in its
   interpreter. */
static inline int
_xxsub_traverse_type(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return 0;
}

#endif /* !Py_XXSUBINTERPRETERS_STATE_H */
