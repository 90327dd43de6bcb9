/* Running code in another interpreter.  See call.h. */

#include "Python.h"
#include "pycore_crossinterp.h"   // _PyXI_InitExcInfo()
#include "call.h"
#include "interp.h"

/* What comes out of the other interpreter, in raw memory. */
struct outcome {
    enum { RETURNED, RAISED, NO_MEMORY, UNDESCRIBED } kind;
    _PyMessage *result;             /* if it RETURNED */
    _PyXI_excinfo excinfo;          /* if it RAISED */
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
    PyObject *ns = Py_NewRef(PyModule_GetDict(module));
    Py_DECREF(module);
    return ns;
}

static PyObject *
exec_source(PyObject *source)
{
    const char *text = PyUnicode_AsUTF8(source);
    if (text == NULL) {
        return NULL;
    }
    PyObject *code = Py_CompileString(text, "<string>", Py_file_input);
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

static PyObject *
act(_PyCall_Kind kind, PyObject *payload)
{
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

/* The module's state in the interpreter just entered: message types are its
   own.  Borrowed; the module stays in sys.modules of its interpreter. */
static _xxsub_state *
state_here(void)
{
    PyObject *module = PyImport_ImportModule("_xxsubinterpreters");
    if (module == NULL) {
        return NULL;
    }
    _xxsub_state *state = PyModule_GetState(module);
    Py_DECREF(module);
    return state;
}

static void
run(_PyCall_Kind kind, _PyMessage *payload, struct outcome *out)
{
    _xxsub_state *state = state_here();
    PyObject *obj = state != NULL ? _PyMessage_Decode(state, payload) : NULL;
    PyObject *result = obj != NULL ? act(kind, obj) : NULL;
    if (result != NULL) {
        out->result = _PyMessage_Encode(state, result, "result");
        Py_DECREF(result);
    }
    Py_XDECREF(obj);
    if (out->result != NULL) {
        out->kind = RETURNED;
        return;
    }

    PyObject *exc = PyErr_GetRaisedException();
    if (PyErr_GivenExceptionMatches(exc, PyExc_MemoryError)) {
        out->kind = NO_MEMORY;
    }
    else if (_PyXI_InitExcInfo(&out->excinfo, exc) < 0) {
        PyErr_Clear();              /* its __str__ fails, say */
        out->kind = UNDESCRIBED;
    }
    else {
        out->kind = RAISED;
    }
    Py_DECREF(exc);
}


/* --- in the calling interpreter --------------------------------------------- */

PyObject *
_PyCall_Run(_xxsub_state *state, int64_t id, _PyCall_Kind kind,
            _PyMessage *payload, PyObject **excinfo)
{
    *excinfo = NULL;
    struct outcome out = {0};
    _PyInterp_Visit visit;
    if (_PyInterp_Enter(id, &visit) < 0) {
        return NULL;
    }
    run(kind, payload, &out);
    _PyInterp_Leave(&visit);

    PyObject *result = NULL;
    switch (out.kind) {
    case RETURNED: {
        result = _PyMessage_Decode(state, out.result);
        PyObject *exc = PyErr_GetRaisedException();
        _PyMessage_Free(out.result);
        PyErr_SetRaisedException(exc);
        break;
    }
    case RAISED:
        *excinfo = _PyXI_ExcInfoAsObject(&out.excinfo);
        _PyXI_ClearExcInfo(&out.excinfo);
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
