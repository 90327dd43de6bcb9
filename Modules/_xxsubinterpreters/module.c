/* The module _xxsubinterpreters: what Lib/interpreters.py is built on.

   This file parses arguments and turns the layers below into a module; the
   table of layers is in Doc/internals. */

#include "Python.h"
#include "pycore_crossinterp.h"   // _PyInterpreterState_GetXIState()
#include "pycore_interp.h"        // PyInterpreterState
#include "arrow.h"
#include "asyncobject.h"
#include "atomicview.h"
#include "bufferview.h"
#include "capi.h"
#include "channelobject.h"
#include "dlpack.h"
#include "exclusiveobject.h"
#include "export.h"
#include "interp.h"
#include "interpfunctions.h"
#include "message.h"
#include "messageobject.h"
#include "moved.h"
#include "queueobject.h"
#include "select.h"
#include "sharedblock.h"
#include "state.h"
#include "syncobject.h"

/*[clinic input]
module _xxsubinterpreters
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=02354679e2f8db14]*/

#include "clinic/module.c.h"


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
    return _PyMessage_Supports(PyModule_GetState(module), Py_TYPE(obj));
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
    return _PyMove_New(PyModule_GetState(module), obj);
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
    _xxsub_state *state = PyModule_GetState(module);
    PyObject *functions = PyTuple_Pack(2, encode, decode);
    int r = functions != NULL
            ? PyDict_SetItem(state->registered, cls, functions) : -1;
    Py_XDECREF(functions);
    return r < 0 ? NULL : Py_NewRef(Py_None);
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
    return make_pair(PyModule_GetState(module), recv, send);
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
    return _PyQueueObject_New(PyModule_GetState(module), end);
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
    return _PyBarrierObject_WithAction(PyModule_GetState(module), barrier, action);
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
    _xxsub_state *state = PyModule_GetState(module);
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
    PyObject *result = _PySelect_Run(PyModule_GetState(module), cases, block, timeout);
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
    _xxsub_state *state = PyModule_GetState(module);
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
        || add_type(module, &_PyMessageObject_spec, &state->Message) < 0
        || add_type(module, &_PySharedBlock_spec, &state->SharedBlock) < 0
        || add_type(module, &_PyMove_spec, &state->Move) < 0
        || add_type(module, &_PyExclusive_spec, &state->exclusive) < 0)
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

    if (PyModule_AddFunctions(module, _PyMessageObject_functions) < 0
        || PyModule_AddFunctions(module, _PyInterp_functions) < 0
        || PyModule_AddFunctions(module, _PyAtomicView_functions) < 0
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
    _xxsub_state *state = PyModule_GetState(module);
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
    Py_VISIT(state->exclusive);
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
    _xxsub_state *state = PyModule_GetState(module);
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
    Py_CLEAR(state->exclusive);
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
    _PyMoved_FreeState(PyModule_GetState(module));
}

static PyMethodDef module_methods[] = {
    _XXSUBINTERPRETERS_IS_SHAREABLE_METHODDEF
    _XXSUBINTERPRETERS_REGISTER_METHODDEF
    _XXSUBINTERPRETERS_VIEW_METHODDEF
    _XXSUBINTERPRETERS_MOVE_METHODDEF
    _XXSUBINTERPRETERS_LIST_SHARED_METHODDEF
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
