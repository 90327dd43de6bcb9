/* Running code in another interpreter.  See call.h. */

#include "Python.h"
#include "pycore_crossinterp.h"   // _PyXI_InitExcInfo()
#include "call.h"
#include "interp.h"
#include "signals.h"

/* What comes out of the other interpreter, in raw memory. */
struct outcome {
    enum { RETURNED, RAISED, NO_MEMORY, UNDESCRIBED } kind;
    _PyMessage *result;             /* if it RETURNED */
    _PyXI_excinfo excinfo;          /* if it RAISED */
    _PyMessage *exception;          /* too; NULL if it cannot be copied */
    int interrupted;                /* what was raised is a KeyboardInterrupt */
};


/* --- in the other interpreter ---------------------------------------------- */

static PyObject *
main_namespace(void)
{
    PyObject *module = PyUnstable_InterpreterState_GetMainModule(
            PyInterpreterState_Get());
    if (module == NULL) {
        return NULL;
    }
    PyObject *ns = NULL;
    if (PyModule_Check(module)) {
        ns = Py_NewRef(PyModule_GetDict(module));
    }
    else {
        PyErr_SetString(PyExc_ImportError, "__main__ is not a module");
    }
    Py_DECREF(module);
    return ns;
}

static PyObject *
exec_source(PyObject *source)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(source, &size);
    if (text == NULL) {
        return NULL;
    }
    if (strlen(text) != (size_t)size) {
        PyErr_SetString(PyExc_SyntaxError,
                        "source code string cannot contain null bytes");
        return NULL;
    }
    PyCompilerFlags flags = _PyCompilerFlags_INIT;
    flags.cf_flags = PyCF_SOURCE_IS_UTF8 | PyCF_IGNORE_COOKIE;
    PyObject *code = Py_CompileStringExFlags(text, "<string>", Py_file_input,
                                             &flags, -1);
    PyObject *ns = code != NULL ? main_namespace() : NULL;
    PyObject *result = ns != NULL ? PyEval_EvalCode(code, ns, ns) : NULL;
    Py_XDECREF(ns);
    Py_XDECREF(code);
    return result;
}

static PyObject *
update_main(PyObject *dict)
{
    PyObject *ns = main_namespace();
    if (ns == NULL) {
        return NULL;
    }
    int r = PyDict_Update(ns, dict);
    Py_DECREF(ns);
    return r < 0 ? NULL : Py_NewRef(Py_None);
}

static int
has_shape(_PyCall_Kind kind, PyObject *payload)
{
    switch (kind) {
    case _PyCall_EXEC:
        return PyUnicode_Check(payload);
    case _PyCall_CALL:
        return PyTuple_Check(payload) && PyTuple_GET_SIZE(payload) == 3
               && PyTuple_Check(PyTuple_GET_ITEM(payload, 1))
               && PyDict_Check(PyTuple_GET_ITEM(payload, 2));
    case _PyCall_UPDATE:
        return PyDict_Check(payload);
    }
    Py_UNREACHABLE();
}

static PyObject *
act(_PyCall_Kind kind, PyObject *payload)
{
    if (!has_shape(kind, payload)) {
        PyErr_SetString(PyExc_TypeError, "wrong kind of message");
        return NULL;
    }
    switch (kind) {
    case _PyCall_EXEC:
        return exec_source(payload);
    case _PyCall_CALL: {
        PyObject *fn = PyTuple_GET_ITEM(payload, 0);
        PyObject *args = PyTuple_GET_ITEM(payload, 1);
        PyObject *kwargs = PyTuple_GET_ITEM(payload, 2);
        return PyObject_Call(fn, args, kwargs);
    }
    case _PyCall_UPDATE:
        return update_main(payload);
    }
    Py_UNREACHABLE();
}

static void
run(_PyInterp_Visit *visit, _PySignals_Visit *signals, _PyCall_Kind kind,
    _PyMessage *payload, struct outcome *out)
{
    /* The interpreter just entered has a module, and types, of its own. */
    PyObject *module = PyImport_ImportModule("_xxsubinterpreters");
    _xxsub_state *state = module != NULL ? PyModule_GetState(module) : NULL;
    PyObject *obj = state != NULL ? _PyMessage_Decode(state, payload) : NULL;
    PyObject *result = NULL;
    if (obj != NULL) {
        _PyInterp_BeginInterruptible(visit);
        _PySignals_Begin(signals);
        result = act(kind, obj);
        _PySignals_End(signals);
        _PyInterp_EndInterruptible(visit);
    }
    if (result != NULL) {
        out->result = _PyMessage_Encode(state, result, "result");
        Py_DECREF(result);
    }
    Py_XDECREF(obj);
    if (out->result != NULL) {
        out->kind = RETURNED;
        Py_DECREF(module);
        return;
    }

    PyObject *exc = PyErr_GetRaisedException();
    out->interrupted = PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt);
    if (PyErr_GivenExceptionMatches(exc, PyExc_MemoryError)) {
        out->kind = NO_MEMORY;
    }
    else if (_PyXI_InitExcInfo(&out->excinfo, exc) < 0) {
        PyErr_Clear();              /* its __str__ fails, say */
        out->kind = UNDESCRIBED;
    }
    else {
        out->kind = RAISED;
        out->exception = state != NULL ? _PyMessage_Encode(state, exc, "exception") : NULL;
        if (out->exception == NULL) {
            PyErr_Clear();          /* the description has to do */
        }
    }
    Py_DECREF(exc);
    Py_XDECREF(module);             /* which has the state */
}


/* --- in the calling interpreter --------------------------------------------- */

PyObject *
_PyCall_Run(_xxsub_state *state, int64_t id, _PyCall_Kind kind,
            _PyMessage *payload, PyObject **excinfo, PyObject **exception)
{
    *excinfo = NULL;
    *exception = NULL;
    struct outcome out = {0};
    _PyInterp_Visit visit;
    if (_PyInterp_Enter(id, &visit) < 0) {
        return NULL;
    }
    _PySignals_Visit signals;
    _PySignals_Enter(&signals, &visit);
    run(&visit, &signals, kind, payload, &out);
    _PyInterp_Leave(&visit);
    /* Signals wait until this is done, which runs code: they are not about that. */
    PyObject *copy = NULL;
    if (out.exception != NULL) {
        copy = _PyMessage_Use(state, out.exception);
    }
    PyObject *error = PyErr_GetRaisedException();
    if (_PySignals_Leave(&signals, out.interrupted)) {
        _PyXI_ClearExcInfo(&out.excinfo);
        Py_XDECREF(copy);
        Py_XDECREF(error);
        return NULL;
    }
    if (error != NULL && PyErr_GivenExceptionMatches(error, PyExc_Exception)) {
        Py_CLEAR(error);            /* its class cannot be imported here, say */
    }
    if (error != NULL) {            /* the caller was interrupted */
        _PyXI_ClearExcInfo(&out.excinfo);
        PyErr_SetRaisedException(error);
        return NULL;
    }

    PyObject *result = NULL;
    switch (out.kind) {
    case RETURNED:
        result = _PyMessage_Use(state, out.result);
        break;
    case RAISED:
        *excinfo = _PyXI_ExcInfoAsObject(&out.excinfo);
        _PyXI_ClearExcInfo(&out.excinfo);
        if (*excinfo != NULL && copy != NULL && PyExceptionInstance_Check(copy)) {
            *exception = copy;      /* its class may have made anything of it */
        }
        else {
            Py_XDECREF(copy);
        }
        break;
    case NO_MEMORY:
        PyErr_NoMemory();
        break;
    case UNDESCRIBED:
        PyErr_SetString(PyExc_InterpreterError,
                        "an exception left the interpreter, and describing it "
                        "failed");
        break;
    }
    return result;
}
