/* Lock, RLock, Semaphore, BoundedSemaphore, Event, Condition and Barrier: the
   interface of threading's, between interpreters.

   An object has a reference to what may have other objects in other
   interpreters.  All functions need an attached thread state. */

#ifndef Py_XXSUBINTERPRETERS_SYNCOBJECT_H
#define Py_XXSUBINTERPRETERS_SYNCOBJECT_H

#include "Python.h"
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_pystate.h"       // _PyThreadState_GET()
#include "state.h"
#include "sync.h"

/* What all types begin with. */
typedef struct {
    PyObject_HEAD
    _PySync *sync;                  /* a reference */
    PyObject *weakrefs;
} _PySyncObject;

/* By kind. */
extern PyType_Spec *const _PySyncObject_specs[_PySync_KINDS];
extern PyType_Spec _PySemaphore_spec;
extern PyType_Spec _PyBoundedSemaphore_spec;
extern PyType_Spec _PyEvent_spec;
extern PyType_Spec _PyCondition_spec;
extern PyType_Spec _PyBarrier_spec;

/* To be called once in every interpreter. */
extern void _PySyncObject_Init(void);

extern int _PySyncObject_CheckType(const PyTypeObject *type);

/* Return a new object, which owns the reference `s` from then on, also if this fails.
   NULL with an exception on failure, or if `s` is NULL, for no memory. */
extern PyObject *_PySyncObject_New(PyTypeObject *type, _PySync *s);
extern PyObject *_PySyncObject_FromSync(_xxsub_state *state, _PySync *s);

/* True if a barrier has an action, which has to be sent with it. */
extern int _PyBarrierObject_HasAction(PyObject *obj);

/* Return a new object for the same barrier, with that action. */
extern PyObject *_PyBarrierObject_WithAction(_xxsub_state *state, PyObject *obj,
                                             PyObject *action);


/* --- what the files of these types share ----------------------------------- */

/* Slots of all types. */
extern void _PySyncObject_Dealloc(PyObject *op);
extern PyObject *_PySyncObject_Repr(PyObject *op);
extern PyObject *_PySyncObject_RichCompare(PyObject *a, PyObject *b, int op);
extern Py_hash_t _PySyncObject_Hash(PyObject *op);
extern PyMemberDef _PySyncObject_members[];
extern PyObject *_PySyncObject_GetID(PyObject *op, void *closure);
extern PyObject *_PySyncObject_CountWaiting(PyObject *op, void *closure);
extern PyGetSetDef _PySyncObject_getset[];
#define _PySyncObject_SLOTS                                                    \
    {Py_tp_traverse, _xxsub_traverse_type},                                    \
    {Py_tp_dealloc, _PySyncObject_Dealloc},                                    \
    {Py_tp_repr, _PySyncObject_Repr},                                          \
    {Py_tp_richcompare, _PySyncObject_RichCompare},                            \
    {Py_tp_hash, _PySyncObject_Hash},                                          \
    {Py_tp_members, _PySyncObject_members}

/* Turn a timeout in seconds, or None, into a deadline; a negative one has passed.
   Return 0, or -1 with an exception. */
extern int _PySyncObject_GetDeadline(PyObject *timeout, PyTime_t *deadline);

/* Wait until granted.  Return 1; or 0 when the deadline has passed; or -1 with an
   exception.  Unless granted, the wait is still queued. */
extern int _PySyncObject_Wait(_PySync *s, _PySyncWait *wait, PyTime_t deadline);

/* Acquire a Lock or RLock; `timeout` is in seconds, or NULL.  Return 1, or 0 if it
   cannot be had in time, or -1 with an exception. */
extern int _PySyncObject_Acquire(_xxsub_state *state, _PySync *s, int blocking,
                                 PyObject *timeout);

/* Acquire a lock or semaphore, with and without waiting.  Return as above. */
extern int _PySyncObject_AcquireBlocking(_xxsub_state *state, _PySync *s,
                                         PyTime_t deadline);
extern int _PySyncObject_TryAcquire(_xxsub_state *state, _PySync *s);

/* Return 0, or -1 with an exception. */
extern int _PySyncObject_Release(_PySync *s);

/* An RLock is the calling thread's; a Lock is locked. */
extern int _PySyncObject_IsOwned(_PySync *s);

/* Acquire it, `depth` times, whatever comes; an exception that is set stays.  Return
   0, or -1 with an exception if one is set now: also then it is acquired.  For the
   interpreter with that id, if there is one, else the current one. */
extern int _PySyncObject_Reacquire(_xxsub_state *state, _PySync *s, uint64_t depth,
                                   int64_t interp);

static inline int64_t
_PySyncObject_Interp(void)
{
    return _PyThreadState_GET()->interp->id;
}

static inline uint64_t
_PySyncObject_Thread(void)
{
    return _PyThreadState_GET()->thread_id;
}

#endif /* !Py_XXSUBINTERPRETERS_SYNCOBJECT_H */
