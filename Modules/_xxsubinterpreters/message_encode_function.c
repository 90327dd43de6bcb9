/* From Python objects to a message: functions, by import or by their code. */

#include "Python.h"
#include "marshal.h"              // PyMarshal_WriteObjectToString()
#include "opcode.h"               // LOAD_GLOBAL
#include "pycore_cell.h"          // PyCell_GetRef()
#include "encoder.h"


/* --- cells --------------------------------------------------------------------- */

static PyObject *
where_in_cell(const encoder *Py_UNUSED(enc), const frame *Py_UNUSED(f))
{
    return PyUnicode_FromString(".cell_contents");
}

static progress
go_on_with_cell(encoder *enc, frame *f)
{
    if (f->other == NULL) {
        return COMPLETE;
    }
    PyObject *contents = f->other;
    f->other = NULL;
    progress p = _PyEncoder_Encode(enc, contents);
    Py_DECREF(contents);
    return p;
}

static const frame_kind cell_kind = {go_on_with_cell, where_in_cell};

progress
_PyEncoder_Cell(encoder *enc, PyObject *obj, int keep)
{
    (void)_PyEncoder_Number(enc, obj, keep, 0);
    PyObject *contents = PyCell_GetRef((PyCellObject *)obj);
    frame *f = NULL;
    if (write_head(enc, TAG_CELL | keep, contents != NULL) == 0) {
        f = _PyEncoder_Push(enc, &cell_kind, obj, keep, 0);
    }
    if (f == NULL) {
        Py_XDECREF(contents);
        return FAILED;
    }
    f->other = contents;
    return BEGUN;
}


/* --- code ----------------------------------------------------------------------- */

progress
_PyEncoder_Code(encoder *enc, PyObject *obj, int keep)
{
    PyObject *bytes = PyMarshal_WriteObjectToString(obj, Py_MARSHAL_VERSION);
    if (bytes == NULL) {
        return FAILED;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    struct marshalled *m = PyMem_RawMalloc(sizeof(struct marshalled) + size);
    progress p = FAILED;
    if (m != NULL) {
        m->size = size;
        memcpy(m->data, PyBytes_AS_STRING(bytes), size);
        p = _PyEncoder_WriteHandle(enc, TAG_CODE, obj, keep, _PyMessage_ReleaseCode, m);
    }
    else {
        PyErr_NoMemory();
    }
    Py_DECREF(bytes);
    return p;
}


/* --- the globals that a function uses ----------------------------------------------- */

/* Put what the code looks up in `globals` into `used`. */
static int
collect_globals(PyCodeObject *code, PyObject *globals, PyObject *used)
{
    if (Py_EnterRecursiveCall(" while sending a function")) {
        return -1;
    }
    int r = -1;
    PyObject *bytes = PyCode_GetCode(code);
    if (bytes == NULL) {
        goto done;
    }
    const unsigned char *ops = (const unsigned char *)PyBytes_AS_STRING(bytes);
    unsigned int extended = 0;
    for (Py_ssize_t i = 0; i + 1 < PyBytes_GET_SIZE(bytes); i += 2) {
        unsigned int arg = extended << 8 | ops[i + 1];
        extended = ops[i] == EXTENDED_ARG ? arg : 0;
        Py_ssize_t index = ops[i] == LOAD_GLOBAL ? (Py_ssize_t)(arg >> 1)
                           : ops[i] == LOAD_NAME || ops[i] == LOAD_FROM_DICT_OR_GLOBALS
                           ? (Py_ssize_t)arg : -1;
        if (index < 0 || index >= PyTuple_GET_SIZE(code->co_names)) {
            continue;
        }
        PyObject *name = PyTuple_GET_ITEM(code->co_names, index), *value;
        int found = PyDict_GetItemRef(globals, name, &value);
        if (found > 0) {
            found = PyDict_SetItem(used, name, value);
            Py_DECREF(value);
        }
        if (found < 0) {
            goto done;
        }
    }
    r = 0;
    for (Py_ssize_t i = 0; r == 0 && i < PyTuple_GET_SIZE(code->co_consts); i++) {
        PyObject *inner = PyTuple_GET_ITEM(code->co_consts, i);
        if (PyCode_Check(inner)) {
            r = collect_globals((PyCodeObject *)inner, globals, used);
        }
    }
done:
    Py_XDECREF(bytes);
    Py_LeaveRecursiveCall();
    return r;
}

/* 1 if the receiver finds the globals of the function by an import of its module;
   -1 on errors. */
static int
finds_globals(PyFunctionObject *func, PyObject *name)
{
    if (PyUnicode_EqualToUTF8(name, "__main__")) {
        return 0;
    }
    PyObject *module = PyImport_GetModule(name);
    if (module == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int r = PyModule_Check(module) && PyModule_GetDict(module) == func->func_globals
            ? _PyEncoder_HasSpec(module) : 0;
    Py_DECREF(module);
    return r;
}


/* --- functions -------------------------------------------------------------------------- */

/* As message_format.h has them. */
static const char *const part_names[FUNCTION_PARTS] = {
    ".__module__", "", ".__code__", ".__name__", ".__qualname__", ".__doc__",
    ".__type_params__", ".__defaults__", ".__kwdefaults__", ".__closure__", ".__dict__",
    ".__annotations__", ".__globals__",
};

static PyObject *
where_in_function(const encoder *Py_UNUSED(enc), const frame *f)
{
    return PyUnicode_FromString(part_names[f->i - 1]);
}

static const frame_kind function_kind = {_PyEncoder_GoOnWithParts, where_in_function};

static PyObject *
or_none(PyObject *obj)
{
    return obj != NULL ? obj : Py_None;
}

static PyObject *
function_parts(PyFunctionObject *func, PyObject *module, PyObject *code)
{
    int found = finds_globals(func, module);
    if (found < 0) {
        return NULL;
    }
    PyObject *globals = found ? Py_NewRef(Py_None) : PyDict_New();
    if (globals == NULL) {
        return NULL;
    }
    if (!found && collect_globals((PyCodeObject *)code, func->func_globals, globals) < 0) {
        Py_DECREF(globals);
        return NULL;
    }
    PyObject *annotations = PyFunction_GetAnnotations((PyObject *)func);    /* borrowed */
    PyObject *dict = func->func_dict != NULL ? PyDict_Copy(func->func_dict) : NULL;
    PyObject *parts = NULL;
    if (!PyErr_Occurred()) {
        parts = PyTuple_Pack(FUNCTION_PARTS, module, found ? Py_False : Py_True, code,
                             func->func_name, func->func_qualname, or_none(func->func_doc),
                             or_none(func->func_typeparams), or_none(func->func_defaults),
                             or_none(func->func_kwdefaults),
                             or_none(func->func_closure), or_none(dict),
                             or_none(annotations), globals);
    }
    Py_XDECREF(dict);
    Py_DECREF(globals);
    return parts;
}

/* A function that cannot be imported travels as its code, and what that needs. */
static progress
encode_by_code(encoder *enc, PyObject *obj, int keep)
{
    PyFunctionObject *func = (PyFunctionObject *)obj;
    if (func->func_module == NULL || !PyUnicode_CheckExact(func->func_module)) {
        return _PyEncoder_Refuse(enc, obj);
    }
    if (_PyEncoder_MayRunCode(enc) == FAILED) {
        return FAILED;
    }
    /* Code that runs may replace these. */
    PyObject *module = Py_NewRef(func->func_module), *code = Py_NewRef(func->func_code);
    PyObject *parts = function_parts(func, module, code);
    Py_DECREF(module);
    Py_DECREF(code);
    return _PyEncoder_Parts(enc, TAG_FUNCTION, obj, keep, parts, FUNCTION_FIRST,
                            &function_kind);
}

progress
_PyEncoder_Function(encoder *enc, PyObject *obj, int keep)
{
    progress p = _PyEncoder_Global(enc, obj, NULL, keep);
    return p == BEGUN ? encode_by_code(enc, obj, keep) : p;
}
