/* Messages: what is neither encoding nor decoding.  See message.h. */

#include "Python.h"
#include "bufferview.h"
#include "interp.h"
#include "message.h"
#include "message_format.h"
#include "sync.h"

#include <stddef.h>               // offsetof()

void
_PyMessage_Free(_PyMessage *message)
{
    for (size_t i = 0; i < message->n_handles; i++) {
        struct handle *handle = &message->handles[i];
        if (handle->ptr != NULL) {
            handle->release(handle->ptr);
        }
    }
    PyMem_RawFree(message->handles);
    if (message->data != message->small) {
        PyMem_RawFree(message->data);
    }
    PyMem_RawFree(message);
}

PyObject *
_PyMessage_Use(_xxsub_state *state, _PyMessage *message)
{
    PyObject *result = _PyMessage_Decode(state, message);
    PyObject *exc = PyErr_GetRaisedException();
    _PyMessage_Free(message);       /* may run code */
    PyErr_SetRaisedException(exc);
    return result;
}

unsigned char *
_PyMessage_Data(_PyMessage *message, size_t *size)
{
    *size = message->size;
    return message->data;
}

int
_PyMessage_FollowName(PyObject *obj, PyObject *qualname, PyObject **found)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(qualname);
    if (PyUnicode_FindChar(qualname, '.', 0, length, 1) == -1) {
        return PyObject_GetOptionalAttr(obj, qualname, found);
    }
    PyObject *dot = PyUnicode_FromString(".");
    PyObject *names = dot != NULL ? PyUnicode_Split(qualname, dot, -1) : NULL;
    Py_XDECREF(dot);
    if (names == NULL) {
        *found = NULL;
        return -1;
    }
    *found = Py_NewRef(obj);
    int r = 1;
    for (Py_ssize_t i = 0; r > 0 && i < PyList_GET_SIZE(names); i++) {
        PyObject *next;
        r = PyObject_GetOptionalAttr(*found, PyList_GET_ITEM(names, i), &next);
        Py_SETREF(*found, next);
    }
    Py_DECREF(names);
    return r;
}

PyObject *
_PyMessage_InterpreterClass(void)
{
    PyObject *name = PyUnicode_FromString("interpreters");
    PyObject *module = name != NULL ? PyImport_GetModule(name) : NULL;
    Py_XDECREF(name);
    PyObject *cls = NULL;
    if (module != NULL) {
        (void)PyObject_GetOptionalAttrString(module, "Interpreter", &cls);
        Py_DECREF(module);
    }
    return cls;
}


/* --- what is kept for each interpreter --------------------------------------------- */

static const char *const reduce_names[] = {
    "__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__",
};

int
_PyMessage_InitState(_xxsub_state *state)
{
    Py_BUILD_ASSERT(Py_ARRAY_LENGTH(reduce_names) < Py_ARRAY_LENGTH(state->reduce_names));
    for (size_t i = 0; i < Py_ARRAY_LENGTH(reduce_names); i++) {
        state->reduce_names[i] = PyUnicode_InternFromString(reduce_names[i]);
        if (state->reduce_names[i] == NULL) {
            return -1;
        }
    }
    state->setstate_name = PyUnicode_InternFromString("__setstate__");
    state->transfer_name = PyUnicode_InternFromString("__transfer__");
    state->registered = PyDict_New();
    state->import_list = Py_BuildValue("(s)", "__name__");
    state->stand_in_modules = PyDict_New();
    state->brought_globals = PyDict_New();
    if (state->setstate_name == NULL || state->import_list == NULL
        || state->transfer_name == NULL || state->registered == NULL
        || state->stand_in_modules == NULL || state->brought_globals == NULL)
    {
        return -1;
    }
    PyObject *copyreg = PyImport_ImportModule("copyreg");
    if (copyreg == NULL) {
        return -1;
    }
    state->dispatch_table = PyObject_GetAttrString(copyreg, "dispatch_table");
    state->slotnames = PyObject_GetAttrString(copyreg, "_slotnames");
    Py_DECREF(copyreg);
    if (state->dispatch_table != NULL && !PyDict_CheckExact(state->dispatch_table)) {
        PyErr_SetString(PyExc_TypeError, "copyreg.dispatch_table must be a dict");
        return -1;
    }
    return state->dispatch_table != NULL && state->slotnames != NULL ? 0 : -1;
}

int
_PyMessage_VisitState(_xxsub_state *state, visitproc visit, void *arg)
{
    Py_VISIT(state->dispatch_table);
    Py_VISIT(state->slotnames);
    Py_VISIT(state->registered);
    Py_VISIT(state->stand_in_modules);
    Py_VISIT(state->brought_globals);
    return 0;
}

void
_PyMessage_ClearState(_xxsub_state *state)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(reduce_names); i++) {
        Py_CLEAR(state->reduce_names[i]);
    }
    Py_CLEAR(state->setstate_name);
    Py_CLEAR(state->import_list);
    Py_CLEAR(state->dispatch_table);
    Py_CLEAR(state->slotnames);
    Py_CLEAR(state->transfer_name);
    Py_CLEAR(state->registered);
    Py_CLEAR(state->stand_in_modules);
    Py_CLEAR(state->brought_globals);
}


/* --- handles ------------------------------------------------------------------- */

void
_PyMessage_ReleaseEnd(void *end)
{
    _PyChannelEnd_Free(end);
}

void
_PyMessage_ReleaseQueue(void *end)
{
    _PyChannelEnd_Free(end);
}

void
_PyMessage_ReleaseBuffer(void *buffer)
{
    _PySharedBuffer_Free(buffer);
}

void
_PyMessage_ReleaseBlock(void *buffer)
{
    _PySharedBuffer_Free(buffer);
}

void
_PyMessage_ReleaseLarge(void *copy)
{
    PyMem_RawFree(copy);
}

void
_PyMessage_ReleaseCode(void *marshalled)
{
    PyMem_RawFree(marshalled);
}

void
_PyMessage_ReleaseInterpreter(void *id)
{
    _PyInterp_Decref(*(int64_t *)id);
    PyMem_RawFree(id);
}

void
_PyMessage_ReleaseSync(void *sync)
{
    _PySync_Decref(sync);
}


/* --- items ---------------------------------------------------------------- */

static void
destroy_message(_PyChannelPayload payload)
{
    _PyMessage_Free(payload.ptr);
}

static Py_ssize_t
count_ends(_PyChannelPayload payload, const _PyChannel *ch)
{
    const _PyMessage *message = payload.ptr;
    Py_ssize_t n = 0;
    for (size_t i = 0; i < message->n_handles; i++) {
        const struct handle *handle = &message->handles[i];
        if ((handle->release == _PyMessage_ReleaseEnd
             || handle->release == _PyMessage_ReleaseQueue)
            && _PyChannelEnd_Channel(handle->ptr) == ch)
        {
            int sides = ((const _PyChannelEnd *)handle->ptr)->sides;
            n += (sides == _PyChannel_CAN_BOTH) + 1;
        }
    }
    return n;
}

static void
destroy_buffer(_PyChannelPayload payload)
{
    _PySharedBuffer_Free(payload.ptr);
}

/* The payload is a message, a shared buffer, an int64_t, a double, nothing. */
static const _PyChannelItemKind message_kind = {destroy_message, NULL};
static const _PyChannelItemKind message_with_handles_kind = {destroy_message,
                                                             count_ends};
static const _PyChannelItemKind buffer_kind = {destroy_buffer, NULL};
static const _PyChannelItemKind int_kind = {0}, float_kind = {0}, none_kind = {0},
                                true_kind = {0}, false_kind = {0};

int
_PyMessage_EncodeItem(_xxsub_state *state, PyObject *obj, const char *name,
                      _PyChannelItem *item)
{
    if (PyLong_CheckExact(obj)) {
        if (_PyMessage_AsInt64(obj, &item->payload.i64)) {
            item->kind = &int_kind;
            return 0;
        }
    }
    else if (PyFloat_CheckExact(obj)) {
        item->kind = &float_kind;
        item->payload.f64 = PyFloat_AS_DOUBLE(obj);
        return 0;
    }
    else if (obj == Py_None || PyBool_Check(obj)) {
        item->kind = obj == Py_None ? &none_kind
                     : obj == Py_True ? &true_kind : &false_kind;
        item->payload.ptr = NULL;
        return 0;
    }
    _PyMessage *message = _PyMessage_Encode(state, obj, name);
    if (message == NULL) {
        return -1;
    }
    item->kind = message->n_handles > 0 ? &message_with_handles_kind
                                        : &message_kind;
    item->payload.ptr = message;
    return 0;
}

PyObject *
_PyMessage_DecodeItem(_xxsub_state *state, _PyChannelItem item)
{
    if (item.kind == &int_kind) {
        return PyLong_FromLongLong(item.payload.i64);
    }
    if (item.kind == &float_kind) {
        return PyFloat_FromDouble(item.payload.f64);
    }
    if (item.kind == &none_kind) {
        Py_RETURN_NONE;
    }
    if (item.kind == &true_kind || item.kind == &false_kind) {
        return PyBool_FromLong(item.kind == &true_kind);
    }
    if (item.kind == &buffer_kind) {
        return _PyBufferView_NewMemoryView(state, item.payload.ptr);
    }
    return _PyMessage_Use(state, item.payload.ptr);
}

_PyChannelItem
_PyMessage_BufferItem(_PySharedBuffer *buffer)
{
    return (_PyChannelItem){&buffer_kind, {.ptr = buffer}};
}

_PySharedBuffer *
_PyMessage_ItemBuffer(_PyChannelItem item)
{
    return item.kind == &buffer_kind ? item.payload.ptr : NULL;
}
