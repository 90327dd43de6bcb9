/* The module _xxsubinterpreters: what Lib/interpreters.py is built on.

   This file parses arguments and turns the layers below into a module; the
   table of layers is in Doc/internals. */

#include "Python.h"
#include "pycore_extensioncopies.h"  // _PyExtensionCopies_List()
#include "pycore_crossinterp.h"   // _PyInterpreterState_GetXIState()
#include "pycore_interp.h"        // PyInterpreterState
#include "arrow.h"
#include "asyncobject.h"
#include "atomicview.h"
#include "bufferview.h"
#include "call.h"
#include "capi.h"
#include "channelobject.h"
#include "dlpack.h"
#include "export.h"
#include "interp.h"
#include "message.h"
#include "moved.h"
#include "queueobject.h"
#include "select.h"
#include "sharedblock.h"
#include "signals.h"
#include "state.h"
#include "syncobject.h"

/*[clinic input]
module _xxsubinterpreters
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=02354679e2f8db14]*/

static inline _xxsub_state *
get_state(PyObject *module)
{
    return PyModule_GetState(module);
}

#define clinic_state() (get_state(module))
#include "clinic/module.c.h"
#undef clinic_state


/* --- Message: an encoded object, waiting to be used once -------------------- */

typedef struct {
    PyObject_HEAD
    _PyMessage *message;            /* owned; NULL once used */
    Py_ssize_t exports;             /* of its memory */
} MessageObject;

/* Its records, to be looked at and, by tests, spoilt. */
static int
message_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    MessageObject *self = (MessageObject *)op;
    if (self->message == NULL) {
        PyErr_SetString(PyExc_BufferError, "the message was used before");
        view->obj = NULL;
        return -1;
    }
    size_t size;
    unsigned char *data = _PyMessage_Data(self->message, &size);
    int r = PyBuffer_FillInfo(view, op, data, size, /*readonly=*/0, flags);
    self->exports += r == 0;
    return r;
}

static void
message_releasebuffer(PyObject *op, Py_buffer *Py_UNUSED(view))
{
    ((MessageObject *)op)->exports--;
}

/* Take the message out, to be used and freed; NULL with an exception. */
static _PyMessage *
take_message(PyObject *op)
{
    MessageObject *self = (MessageObject *)op;
    _PyMessage *message = self->message;
    if (message == NULL) {
        PyErr_SetString(PyExc_ValueError, "the message was used before");
    }
    else if (self->exports > 0) {
        PyErr_SetString(PyExc_BufferError, "the message is looked at");
        return NULL;
    }
    self->message = NULL;
    return message;
}

static void
message_dealloc(PyObject *op)
{
    MessageObject *self = (MessageObject *)op;
    PyTypeObject *type = Py_TYPE(self);
    if (self->message != NULL) {
        _PyMessage_Free(self->message);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(message_doc,
"An object encoded by pack(), to be used once.  Its buffer are the records.");

static PyType_Slot message_slots[] = {
    {Py_tp_doc, (void *)message_doc},
    {Py_tp_dealloc, message_dealloc},
    {Py_bf_getbuffer, message_getbuffer},
    {Py_bf_releasebuffer, message_releasebuffer},
    {0, NULL},
};

static PyType_Spec message_spec = {
    .name = "_xxsubinterpreters.Message",
    .basicsize = sizeof(MessageObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = message_slots,
};

/*[clinic input]
_xxsubinterpreters.pack

    obj: object
    name: str
    /

Encode obj for exec(), call(), update_main() or unpack().

name stands for obj in the message of a NotShareableError.

Separate from these, so that what cannot be sent is found, and the state of obj
is taken, before a thread is started.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_pack_impl(PyObject *module, PyObject *obj,
                             const char *name)
/*[clinic end generated code: output=67e9c2e6156cc087 input=3e4ded3d8191f059]*/
{
    _xxsub_state *state = get_state(module);
    _PyMessage *message = _PyMessage_Encode(state, obj, name);
    if (message == NULL) {
        return NULL;
    }
    MessageObject *self = PyObject_New(MessageObject, state->Message);
    if (self == NULL) {
        _PyMessage_Free(message);
        return NULL;
    }
    self->message = message;
    self->exports = 0;
    return (PyObject *)self;
}

/*[clinic input]
_xxsubinterpreters.unpack

    message: object(subclass_of="clinic_state()->Message")
    /

Return the object that was packed.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_unpack_impl(PyObject *module, PyObject *message)
/*[clinic end generated code: output=af280099e09b6a00 input=0d0412cbde3f70ab]*/

{
    _PyMessage *taken = take_message(message);
    if (taken == NULL) {
        return NULL;
    }
    return _PyMessage_Use(get_state(module), taken);
}

/*[clinic input]
_xxsubinterpreters.is_shareable -> bool

    obj: object
    /

Return True if objects of this type can be sent to other interpreters.

Looks at the type only: a container may hold something that cannot.
[clinic start generated code]*/

static int
_xxsubinterpreters_is_shareable_impl(PyObject *module, PyObject *obj)
/*[clinic end generated code: output=2017870e3284a59a input=8cdb5294694646ff]*/
{
    return _PyMessage_Supports(get_state(module), Py_TYPE(obj));
}


/*[clinic input]
_xxsubinterpreters.view

    obj: object
    /

Return a memoryview of a buffer, to be shared.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_view(PyObject *module, PyObject *obj)
/*[clinic end generated code: output=8ba76adb163b49af input=f3710d0314909c4c]*/
{
    return _PyBufferView_Of(obj);
}

/*[clinic input]
_xxsubinterpreters.move

    obj: object
    /

Return an object that stands for `obj` in one message, to be moved.

A bytearray, array.array or SharedBlock arrives as itself, with its memory, in constant time
(the first two are copied if they are small).  Nothing happens before it is sent.  Then the
sender's object has no memory any more: whatever is done with it raises MovedError, which
says where the memory went.  If nobody receives the message, the object has it back.

A memoryview is shared, and released; other objects with the buffer protocol are shared.
BufferError if the memory is in use by others, or holds Python objects.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_move(PyObject *module, PyObject *obj)
/*[clinic end generated code: output=5ed3d40af12734ee input=2dcf6a8d4eade8cc]*/
{
    return _PyMove_New(get_state(module), obj);
}

static PyObject *
list_from_infos(const _PySharedBuffer_Info *infos, Py_ssize_t n)
{
    PyObject *result = PyList_New(n);
    for (Py_ssize_t i = 0; result != NULL && i < n; i++) {
        PyObject *item = Py_BuildValue(
            "KsLnL", (unsigned long long)(uintptr_t)infos[i].block, infos[i].kind,
            (long long)infos[i].owner, (Py_ssize_t)infos[i].size, (long long)infos[i].holder);
        if (item == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyList_SET_ITEM(result, i, item);
    }
    return result;
}

/*[clinic input]
_xxsubinterpreters.list_shared

Describe all shared memory, by who views it.

A list of (block, type, owner, nbytes, holder) tuples, oldest first: a number for the
memory, the name of the type of its object, the id of the interpreter that the object is in
or -1, bytes, and the id of the interpreter that views it or -1 if it is in a message.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_list_shared_impl(PyObject *module)
/*[clinic end generated code: output=1cd41e6ed51ac291 input=7019438326da5fb2]*/
{
    PyObject *result = NULL;
    Py_ssize_t n = _PySharedBuffer_List(NULL, 0);
    Py_ssize_t size;
    do {
        size = n + 8;               /* room for some made meanwhile */
        _PySharedBuffer_Info *infos = PyMem_New(_PySharedBuffer_Info, size);
        if (infos == NULL) {
            return PyErr_NoMemory();
        }
        n = _PySharedBuffer_List(infos, size);
        if (n <= size) {
            result = list_from_infos(infos, n);
        }
        PyMem_Free(infos);
    } while (n > size);
    return result;
}

/*[clinic input]
_xxsubinterpreters.register

    cls: object(subclass_of='&PyType_Type')
    encode: object
    decode: object
    /

Copy objects of exactly this class as decode(encode(obj)).
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_register_impl(PyObject *module, PyObject *cls,
                                 PyObject *encode, PyObject *decode)
/*[clinic end generated code: output=50d18c580e231512 input=76a521958b4a2840]*/

{
    if (!PyCallable_Check(encode) || !PyCallable_Check(decode)) {
        PyErr_SetString(PyExc_TypeError, "encode and decode must be callable");
        return NULL;
    }
    PyObject *functions = PyTuple_Pack(2, encode, decode);
    int r = functions != NULL
            ? PyDict_SetItem(get_state(module)->registered, cls, functions) : -1;
    Py_XDECREF(functions);
    return r < 0 ? NULL : Py_NewRef(Py_None);
}


/* --- running code ------------------------------------------------------------- */

/* Return the tuple (result, None, None), or (None, excinfo, exception). */
static PyObject *
run_message(PyObject *module, int64_t id, _PyCall_Kind kind, PyObject *op)
{
    if (PySys_Audit("interpreters.exec", "L", (long long)id) < 0) {
        return NULL;                /* a hook may run code, so this is first */
    }
    _PyMessage *message = take_message(op);
    if (message == NULL) {
        return NULL;
    }

    PyObject *excinfo, *exception;
    PyObject *result = _PyCall_Run(get_state(module), id, kind, message,
                                   &excinfo, &exception);
    PyObject *exc = PyErr_GetRaisedException();
    _PyMessage_Free(message);
    PyErr_SetRaisedException(exc);
    if (result == NULL && excinfo == NULL) {
        return NULL;
    }
    PyObject *triple = PyTuple_Pack(3, result != NULL ? result : Py_None,
                                    excinfo != NULL ? excinfo : Py_None,
                                    exception != NULL ? exception : Py_None);
    Py_XDECREF(result);
    Py_XDECREF(excinfo);
    Py_XDECREF(exception);
    return triple;
}

/*[clinic input]
_xxsubinterpreters.exec

    id: long_long
    source: object(subclass_of="clinic_state()->Message")
    /

Run packed source text in the __main__ module of an interpreter.

Return (None, None, None), or, if an exception left it, (None, excinfo, copy): its
description, and the exception itself, or None if it could not be copied.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_exec_impl(PyObject *module, long long id,
                             PyObject *source)
/*[clinic end generated code: output=1a1917c237063991 input=fd0e3fa01e21c602]*/
{
    return run_message(module, id, _PyCall_EXEC, source);
}

/*[clinic input]
_xxsubinterpreters.call

    id: long_long
    call: object(subclass_of="clinic_state()->Message")
    /

Call a packed (callable, args tuple, kwargs dict) in an interpreter.

Return (result, None, None), or what exec() returns.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_call_impl(PyObject *module, long long id, PyObject *call)
/*[clinic end generated code: output=b206b8c3906e4bc9 input=6de297c519f747c9]*/
{
    return run_message(module, id, _PyCall_CALL, call);
}

/*[clinic input]
_xxsubinterpreters.update_main

    id: long_long
    namespace: object(subclass_of="clinic_state()->Message")
    /

Update the __main__ module of an interpreter with a packed dict.

Return (None, None, None), or, if an exception left it, (None, excinfo, copy): its
description, and the exception itself, or None if it could not be copied.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_update_main_impl(PyObject *module, long long id,
                                    PyObject *namespace)
/*[clinic end generated code: output=84fd959e195c166c input=ba6aa3fb02e89742]*/
{
    return run_message(module, id, _PyCall_UPDATE, namespace);
}


/* --- interpreters ------------------------------------------------------------- */

/*[clinic input]
_xxsubinterpreters.create

    *
    private_extensions: bool

Create an interpreter with a GIL of its own; return its id.

The caller holds one reference to it, to be given back with decref().
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_create_impl(PyObject *module, int private_extensions)
/*[clinic end generated code: output=3936d03c6e837033 input=ee5c08b252a89d5c]*/
{
    if (PySys_Audit("interpreters.create", NULL) < 0) {
        return NULL;
    }
    int64_t id = _PyInterp_Create(private_extensions);
    return id < 0 ? NULL : PyLong_FromLongLong(id);
}

/*[clinic input]
_xxsubinterpreters.list_extensions

Return what is known of each private copy of an extension module.

A tuple of its path, its owner's id or -1, nbytes, seconds, and why it is kept or None.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_list_extensions_impl(PyObject *module)
/*[clinic end generated code: output=a71d783f55ee21c1 input=635bfc9265f37059]*/

{
    size_t count;
    _PyExtensionCopies_Info *copies = _PyExtensionCopies_List(&count);
    if (copies == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = Py_BuildValue("NLndz", PyUnicode_DecodeFSDefault(copies[i].path),
                                       (long long)copies[i].owner,
                                       (Py_ssize_t)copies[i].own_size,
                                       PyTime_AsSecondsDouble(copies[i].load_time),
                                       copies[i].kept_for);
        if (item == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, item);
    }
    PyMem_RawFree(copies);
    return list;
}

/*[clinic input]
_xxsubinterpreters.close

    id: long_long
    /

End an interpreter that was created by this module.

InterpreterError if it is running or is the current one.  If others still view
its memory, it stays listed until the last view is released.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_close_impl(PyObject *module, long long id)
/*[clinic end generated code: output=245e87164bcad00a input=0f1795142519b6df]*/
{
    if (_PyInterp_Close(id, _PySignals_CanHandle(_PyThreadState_GET())) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.incref

    id: long_long
    /

Keep an interpreter from being closed until decref().
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_incref_impl(PyObject *module, long long id)
/*[clinic end generated code: output=6a14354e5b660d24 input=fbc128fb0c9996d6]*/
{
    if (_PyInterp_Incref(id) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.decref

    id: long_long
    /

Give a reference back; the last one closes the interpreter.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_decref_impl(PyObject *module, long long id)
/*[clinic end generated code: output=0557589a392b06e7 input=0ea0a36669c508c0]*/
{
    _PyInterp_Decref(id);
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.is_running

    id: long_long
    /

Return True if a thread runs code in the interpreter, or it is the main one.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_is_running_impl(PyObject *module, long long id)
/*[clinic end generated code: output=c97d4276520d151c input=486ab7a03f72f88e]*/
{
    int running = _PyInterp_IsRunning(id);
    return running < 0 ? NULL : PyBool_FromLong(running);
}

/*[clinic input]
_xxsubinterpreters.interrupt

    id: long_long
    /

Raise KeyboardInterrupt in every call that is in progress; return their number.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_interrupt_impl(PyObject *module, long long id)
/*[clinic end generated code: output=a51326f8a8758300 input=315166debff5ad44]*/
{
    return PyLong_FromSsize_t(
            _PyInterp_Interrupt(id, PyExc_KeyboardInterrupt));
}

/*[clinic input]
_xxsubinterpreters.list_all

Return (id, whence, created by this module) of every interpreter, oldest first.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_list_all_impl(PyObject *module)
/*[clinic end generated code: output=1d421e8a2f8aecc0 input=d2150c915ffa3945]*/
{
    return _PyInterp_List();
}

/*[clinic input]
_xxsubinterpreters.get_current

Return the id of the interpreter that calls this.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_get_current_impl(PyObject *module)
/*[clinic end generated code: output=f629cb3cad790bd0 input=737609a4c1466c53]*/
{
    return PyLong_FromLongLong(
            PyInterpreterState_GetID(PyInterpreterState_Get()));
}

/*[clinic input]
_xxsubinterpreters.get_main

Return the id of the main interpreter.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_get_main_impl(PyObject *module)
/*[clinic end generated code: output=83aa8c4141c2b060 input=d081a37049e1d8f5]*/
{
    return PyLong_FromLongLong(
            PyInterpreterState_GetID(PyInterpreterState_Main()));
}


/* --- channels ------------------------------------------------------------------- */

/* A capacity, from an int or None for no limit.  Return 0, or -1 with an
   exception. */
static int
get_capacity(PyObject *capacity, Py_ssize_t *n)
{
    if (capacity == Py_None) {
        *n = _PyChannel_UNBOUNDED;
        return 0;
    }
    *n = PyNumber_AsSsize_t(capacity, PyExc_OverflowError);
    if (*n == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (*n < 0) {
        PyErr_SetString(PyExc_ValueError, "capacity must not be negative");
        return -1;
    }
    return 0;
}

/* Both ends of a channel, which are the caller's, as a tuple; they are used
   up.  NULL with an exception. */
static PyObject *
make_pair(_xxsub_state *state, _PyChannelEnd *recv_end, _PyChannelEnd *send_end)
{
    PyObject *recv = _PyChannelObject_New(state, recv_end);
    PyObject *send = _PyChannelObject_New(state, send_end);
    PyObject *pair = recv != NULL && send != NULL
                     ? PyTuple_Pack(2, recv, send) : NULL;
    Py_XDECREF(recv);
    Py_XDECREF(send);
    return pair;
}

/*[clinic input]
_xxsubinterpreters.create_channel

    capacity: object
    /

Return the two ends of a new channel, (RecvChannel, SendChannel).

capacity is how many messages it holds: 0 makes every send wait for its
receiver, None means no limit.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_create_channel(PyObject *module, PyObject *capacity)
/*[clinic end generated code: output=ea50bca6dc099fa6 input=c698529c7ef51733]*/
{
    Py_ssize_t n;
    if (get_capacity(capacity, &n) < 0) {
        return NULL;
    }
    _PyChannelEnd *recv, *send;
    if (_PyChannel_New(n, &recv, &send) < 0) {
        return PyErr_NoMemory();
    }
    return make_pair(get_state(module), recv, send);
}

/*[clinic input]
_xxsubinterpreters.create_queue

    capacity: object
    unbound: int
    /

Return a new Queue for capacity items, None for no limit.

unbound says what becomes of an item whose interpreter has ended: 0 nothing, 1 it
is removed, 2 getting it is an error, 3 it is replaced.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_create_queue_impl(PyObject *module, PyObject *capacity,
                                     int unbound)
/*[clinic end generated code: output=bcf7ed861a11640c input=4d71f62f21c28017]*/
{
    Py_ssize_t n;
    if (get_capacity(capacity, &n) < 0) {
        return NULL;
    }
    if (unbound < _PyQueue_KEEP || unbound > _PyQueue_REPLACE) {
        PyErr_SetString(PyExc_ValueError, "unbound must be 0 to 3");
        return NULL;
    }
    _PyChannelEnd *end = _PyChannel_NewQueue(n, unbound);
    if (end == NULL) {
        return PyErr_NoMemory();
    }
    return _PyQueueObject_New(get_state(module), end);
}

/*[clinic input]
_xxsubinterpreters._barrier_with_action

    barrier: object
    action: object
    /

Return an object for the same barrier; how one with an action is received.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters__barrier_with_action_impl(PyObject *module,
                                             PyObject *barrier,
                                             PyObject *action)
/*[clinic end generated code: output=ef8dc01d6ee9b1ee input=c1ec020722366254]*/
{
    return _PyBarrierObject_WithAction(get_state(module), barrier, action);
}

/*[clinic input]
_xxsubinterpreters._count_locks

Return how many locks and the like the process has; for tests.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters__count_locks_impl(PyObject *module)
/*[clinic end generated code: output=fcb54a205dd86e87 input=2ad9ee82bbfec642]*/
{
    return PyLong_FromSsize_t(_PySync_Count());
}

/*[clinic input]
_xxsubinterpreters.list_all_channels

Return the two ends of every channel of the process, oldest first.

An end is closed if no end of its side is open.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_list_all_channels_impl(PyObject *module)
/*[clinic end generated code: output=92076e605fd3481a input=380f82b47857b88a]*/
{
    _xxsub_state *state = get_state(module);
    Py_ssize_t n;
    _PyChannel **channels = _PyChannel_All(&n);
    if (channels == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *pair = NULL;
        if (list != NULL) {
            _PyChannelEnd *recv = _PyChannel_NewEnd(channels[i], _PyChannel_RECV);
            _PyChannelEnd *send = _PyChannel_NewEnd(channels[i], _PyChannel_SEND);
            if (recv != NULL && send != NULL) {
                pair = make_pair(state, recv, send);
            }
            else {
                PyErr_NoMemory();
                _PyChannelEnd *made = recv != NULL ? recv : send;
                if (made != NULL) {
                    _PyChannelEnd_Free(made);
                }
            }
            if (pair == NULL || PyList_Append(list, pair) < 0) {
                Py_CLEAR(list);
            }
        }
        _PyChannel_Decref(channels[i]);
        Py_XDECREF(pair);
    }
    PyMem_RawFree(channels);
    return list;
}

/*[clinic input]
_xxsubinterpreters.select

    cases: object
    block: bool
    timeout: object
    /

Do one of the cases; return (index, what was received or None).

None if none can be done and block is false.  See interpreters.select().
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_select_impl(PyObject *module, PyObject *cases, int block,
                               PyObject *timeout)
/*[clinic end generated code: output=a744bb2fa0b4c292 input=a43c8d45a5a6831a]*/
{
    PyObject *result = _PySelect_Run(get_state(module), cases, block, timeout);
    if (result == NULL && !PyErr_Occurred()) {
        Py_RETURN_NONE;
    }
    return result;
}


/* --- the module object ------------------------------------------------------------ */

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **slot)
{
    *slot = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *slot == NULL ? -1 : PyModule_AddType(module, *slot);
}

/* Add an exception of the public module `interpreters`. */
static int
add_exception(PyObject *module, const char *name, const char *doc,
              PyObject *base, PyObject **slot)
{
    char qualified[64];
    PyOS_snprintf(qualified, sizeof(qualified), "interpreters.%s", name);
    *slot = PyErr_NewExceptionWithDoc(qualified, doc, base, NULL);
    return *slot == NULL ? -1 : PyModule_AddObjectRef(module, name, *slot);
}

/* Those of the module queue are base classes, so that code which catches them
   works with both. */
static int
add_queue_exceptions(PyObject *module, _xxsub_state *state)
{
    if (add_exception(module, "QueueError",
                      "Base class of the errors of queues.",
                      NULL, &state->QueueError) < 0
        || add_exception(module, "QueueNotFoundError",
                         "There is no queue with that id.",
                         state->QueueError, &state->QueueNotFoundError) < 0
        || add_exception(module, "ItemInterpreterDestroyed",
                         "The interpreter that put the item has ended.",
                         state->QueueError,
                         &state->ItemInterpreterDestroyed) < 0)
    {
        return -1;
    }
    PyObject *queue = PyImport_ImportModule("queue");
    if (queue == NULL) {
        return -1;
    }
    const struct {
        const char *name, *base, *doc;
        PyObject **slot;
    } exceptions[] = {
        {"QueueEmpty", "Empty", "get() found no item.", &state->QueueEmpty},
        {"QueueFull", "Full", "put() found no room.", &state->QueueFull},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < Py_ARRAY_LENGTH(exceptions); i++) {
        PyObject *base = PyObject_GetAttrString(queue, exceptions[i].base);
        PyObject *bases = base != NULL
                          ? PyTuple_Pack(2, state->QueueError, base) : NULL;
        r = bases == NULL ? -1
            : add_exception(module, exceptions[i].name, exceptions[i].doc,
                            bases, exceptions[i].slot);
        Py_XDECREF(bases);
        Py_XDECREF(base);
    }
    Py_DECREF(queue);
    return r;
}

static int
module_exec(PyObject *module)
{
    _xxsub_state *state = get_state(module);
    if (_PyInterp_Register() < 0) {
        return -1;
    }
    _PyQueueObject_Init();
    _PyExport_Init();
    _PySyncObject_Init();
    if (add_type(module, &_PyRecvChannel_spec, &state->RecvChannel) < 0
        || add_type(module, &_PySendChannel_spec, &state->SendChannel) < 0
        || add_type(module, &_PyQueue_spec, &state->Queue) < 0
        || add_type(module, &_PyPort_spec, &state->Port) < 0
        || add_type(module, &_PyOperation_spec, &state->Operation) < 0
        || add_type(module, &_PyBufferView_spec, &state->BufferView) < 0
        || add_type(module, &_PyDLPackExport_spec, &state->DLPackExport) < 0
        || add_type(module, &_PyArrowExport_spec, &state->ArrowExport) < 0
        || add_type(module, &message_spec, &state->Message) < 0
        || add_type(module, &_PySharedBlock_spec, &state->SharedBlock) < 0
        || add_type(module, &_PyMove_spec, &state->Move) < 0)
    {
        return -1;
    }
    for (int kind = 0; kind < _PySync_KINDS; kind++) {
        if (add_type(module, _PySyncObject_specs[kind], &state->Sync[kind]) < 0) {
            return -1;
        }
    }
    if (add_exception(module, "OwnerDiedError",
                      "The interpreter that had acquired the lock was closed.",
                      PyExc_InterpreterError, &state->OwnerDiedError) < 0
        || add_exception(module, "ChannelError",
                         "Base class of the errors of channels.",
                         NULL, &state->ChannelError) < 0
        || add_exception(module, "ChannelClosedError",
                         "This end, or every end of the other side, is closed.",
                         state->ChannelError, &state->ChannelClosedError) < 0
        || add_exception(module, "ChannelEmptyError",
                         "recv_nowait() found no message.",
                         state->ChannelError, &state->ChannelEmptyError) < 0
        || add_exception(module, "ChannelFullError",
                         "send_nowait() found no room and no waiting receiver.",
                         state->ChannelError, &state->ChannelFullError) < 0)
    {
        return -1;
    }

    if (add_queue_exceptions(module, state) < 0
        || add_exception(module, "MovedError",
                         "The object was moved to another interpreter.",
                         PyExc_ValueError, &state->MovedError) < 0
        || _PyMessage_InitState(state) < 0
        || _PyMoved_InitState(state) < 0
        || PyModule_Add(module, "_C_API", _PyCAPI_NewCapsule()) < 0)
    {
        return -1;
    }

    if (PyModule_AddFunctions(module, _PyAtomicView_functions) < 0
        || PyModule_AddFunctions(module, _PyDLPack_functions) < 0
        || PyModule_AddFunctions(module, _PyArrow_functions) < 0)
    {
        return -1;
    }

    PyInterpreterState *interp = PyInterpreterState_Get();
    PyObject *not_shareable = _PyInterpreterState_GetXIState(interp)
                              ->PyExc_NotShareableError;
    if (PyModule_AddObjectRef(module, "InterpreterError",
                              PyExc_InterpreterError) < 0
        || PyModule_AddObjectRef(module, "InterpreterNotFoundError",
                                 PyExc_InterpreterNotFoundError) < 0
        || PyModule_AddObjectRef(module, "NotShareableError",
                                 not_shareable) < 0)
    {
        return -1;
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    _xxsub_state *state = get_state(module);
    Py_VISIT(state->RecvChannel);
    Py_VISIT(state->SendChannel);
    Py_VISIT(state->Queue);
    Py_VISIT(state->Port);
    Py_VISIT(state->Operation);
    Py_VISIT(state->BufferView);
    Py_VISIT(state->DLPackExport);
    Py_VISIT(state->ArrowExport);
    Py_VISIT(state->Message);
    Py_VISIT(state->SharedBlock);
    Py_VISIT(state->Move);
    Py_VISIT(state->MovedByteArray);
    Py_VISIT(state->MovedArray);
    for (int kind = 0; kind < _PySync_KINDS; kind++) {
        Py_VISIT(state->Sync[kind]);
    }
    Py_VISIT(state->OwnerDiedError);
    Py_VISIT(state->ChannelError);
    Py_VISIT(state->ChannelClosedError);
    Py_VISIT(state->ChannelEmptyError);
    Py_VISIT(state->ChannelFullError);
    Py_VISIT(state->QueueError);
    Py_VISIT(state->QueueNotFoundError);
    Py_VISIT(state->QueueEmpty);
    Py_VISIT(state->QueueFull);
    Py_VISIT(state->ItemInterpreterDestroyed);
    Py_VISIT(state->MovedError);
    return _PyMessage_VisitState(state, visit, arg);
}

static int
module_clear(PyObject *module)
{
    _xxsub_state *state = get_state(module);
    Py_CLEAR(state->RecvChannel);
    Py_CLEAR(state->SendChannel);
    Py_CLEAR(state->Queue);
    Py_CLEAR(state->Port);
    Py_CLEAR(state->Operation);
    Py_CLEAR(state->BufferView);
    Py_CLEAR(state->DLPackExport);
    Py_CLEAR(state->ArrowExport);
    Py_CLEAR(state->Message);
    Py_CLEAR(state->SharedBlock);
    Py_CLEAR(state->Move);
    Py_CLEAR(state->MovedByteArray);
    Py_CLEAR(state->MovedArray);
    for (int kind = 0; kind < _PySync_KINDS; kind++) {
        Py_CLEAR(state->Sync[kind]);
    }
    Py_CLEAR(state->OwnerDiedError);
    Py_CLEAR(state->ChannelError);
    Py_CLEAR(state->ChannelClosedError);
    Py_CLEAR(state->ChannelEmptyError);
    Py_CLEAR(state->ChannelFullError);
    Py_CLEAR(state->QueueError);
    Py_CLEAR(state->QueueNotFoundError);
    Py_CLEAR(state->QueueEmpty);
    Py_CLEAR(state->QueueFull);
    Py_CLEAR(state->ItemInterpreterDestroyed);
    Py_CLEAR(state->MovedError);
    _PyMessage_ClearState(state);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear((PyObject *)module);
    _PyMoved_FreeState(get_state(module));
}

static PyMethodDef module_methods[] = {
    _XXSUBINTERPRETERS_PACK_METHODDEF
    _XXSUBINTERPRETERS_UNPACK_METHODDEF
    _XXSUBINTERPRETERS_IS_SHAREABLE_METHODDEF
    _XXSUBINTERPRETERS_REGISTER_METHODDEF
    _XXSUBINTERPRETERS_VIEW_METHODDEF
    _XXSUBINTERPRETERS_MOVE_METHODDEF
    _XXSUBINTERPRETERS_LIST_SHARED_METHODDEF
    _XXSUBINTERPRETERS_LIST_EXTENSIONS_METHODDEF
    _XXSUBINTERPRETERS_EXEC_METHODDEF
    _XXSUBINTERPRETERS_CALL_METHODDEF
    _XXSUBINTERPRETERS_UPDATE_MAIN_METHODDEF
    _XXSUBINTERPRETERS_CREATE_METHODDEF
    _XXSUBINTERPRETERS_CLOSE_METHODDEF
    _XXSUBINTERPRETERS_INCREF_METHODDEF
    _XXSUBINTERPRETERS_DECREF_METHODDEF
    _XXSUBINTERPRETERS_IS_RUNNING_METHODDEF
    _XXSUBINTERPRETERS_LIST_ALL_METHODDEF
    _XXSUBINTERPRETERS_GET_CURRENT_METHODDEF
    _XXSUBINTERPRETERS_GET_MAIN_METHODDEF
    _XXSUBINTERPRETERS_INTERRUPT_METHODDEF
    _XXSUBINTERPRETERS_CREATE_CHANNEL_METHODDEF
    _XXSUBINTERPRETERS_CREATE_QUEUE_METHODDEF
    _XXSUBINTERPRETERS__BARRIER_WITH_ACTION_METHODDEF
    _XXSUBINTERPRETERS__COUNT_LOCKS_METHODDEF
    _XXSUBINTERPRETERS_LIST_ALL_CHANNELS_METHODDEF
    _XXSUBINTERPRETERS_SELECT_METHODDEF
    {NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {Py_mod_gil, Py_MOD_GIL_USED},  /* the encoder borrows items */
    {0, NULL},
};

PyDoc_STRVAR(module_doc,
"The engine under the module interpreters, which is the one to use.");

static struct PyModuleDef _xxsubinterpreters_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_xxsubinterpreters",
    .m_doc = module_doc,
    .m_size = sizeof(_xxsub_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__xxsubinterpreters(void)
{
    return PyModuleDef_Init(&_xxsubinterpreters_module);
}
