/* From a message to Python objects: functions from their code. */

#include "Python.h"
#include "decoder.h"

/* The module whose functions bring along their globals: __main__, or one that exists only
   for them, if there is no such module.  A new reference. */
static PyObject *
own_module(decoder *dec, PyObject *name)
{
    if (PyUnicode_EqualToUTF8(name, "__main__")) {
        return _PyDecoder_Import(dec, name);
    }
    PyObject *module = PyImport_GetModule(name), *modules = dec->state->stand_in_modules;
    if (module != NULL || PyErr_Occurred()
        || PyDict_GetItemRef(modules, name, &module) != 0)
    {
        return module;
    }
    module = PyModule_NewObject(name);
    if (module != NULL
        && (PyObject_SetAttrString(module, "__builtins__", PyEval_GetBuiltins()) < 0
            || PyDict_SetItem(modules, name, module) < 0))
    {
        Py_CLEAR(module);
    }
    return module;
}

static PyObject *
namespace_of(decoder *dec, PyObject *name, int brings_globals)
{
    PyObject *module = brings_globals ? own_module(dec, name)
                                      : _PyDecoder_Import(dec, name);
    PyObject *namespace = NULL;
    if (module != NULL && PyModule_Check(module)) {
        namespace = Py_NewRef(PyModule_GetDict(module));
    }
    else if (module != NULL) {
        PyErr_Format(PyExc_ImportError, "%R is not a module", name);
    }
    Py_XDECREF(module);
    return namespace;
}

/* Set a global that came with a function, unless the receiver has set that name to
   something else. */
static int
bring_global(PyObject *namespace, PyObject *brought, PyObject *name, PyObject *value)
{
    PyObject *current, *before = NULL;
    int r = PyDict_GetItemRef(namespace, name, &current);
    if (r > 0) {
        r = PyDict_GetItemRef(brought, name, &before);
    }
    int own = current != NULL && current != before;
    if (r >= 0 && !own) {
        r = PyDict_SetItem(namespace, name, value) < 0 ? -1
            : PyDict_SetItem(brought, name, value);
    }
    Py_XDECREF(before);
    Py_XDECREF(current);
    return r < 0 ? -1 : 0;
}

static int
bring_globals(decoder *dec, PyFunctionObject *func, PyObject *globals)
{
    PyObject *all = dec->state->brought_globals, *module, *brought = NULL;
    int r = PyDict_GetItemStringRef(func->func_globals, "__name__", &module);
    if (r == 0) {
        return 0;                   /* somebody takes that module apart */
    }
    r = r > 0 ? PyDict_GetItemRef(all, module, &brought) : -1;
    if (r == 0) {
        brought = PyDict_New();
        r = brought != NULL ? PyDict_SetItem(all, module, brought) : -1;
    }
    Py_XDECREF(module);
    PyObject *name, *value;
    Py_ssize_t i = 0;
    while (r >= 0 && PyDict_Next(globals, &i, &name, &value)) {
        Py_INCREF(name);
        Py_INCREF(value);
        r = bring_global(func->func_globals, brought, name, value);
        Py_DECREF(name);
        Py_DECREF(value);
    }
    Py_XDECREF(brought);
    return r < 0 ? -1 : 0;
}

static inline Py_ssize_t
count_free(PyObject *func)
{
    return ((PyCodeObject *)PyFunction_GET_CODE(func))->co_nfreevars;
}

/* For those who call it before its own closure is there. */
static int
give_empty_closure(PyObject *func)
{
    Py_ssize_t n = count_free(func);
    PyObject *closure = n > 0 ? PyTuple_New(n) : NULL;
    int r = n > 0 && closure == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; r == 0 && i < n; i++) {
        PyObject *cell = PyCell_New(NULL);
        r = cell != NULL ? 0 : -1;
        PyTuple_SET_ITEM(closure, i, cell);
    }
    if (r == 0 && n > 0) {
        r = PyFunction_SetClosure(func, closure);
    }
    Py_XDECREF(closure);
    return r;
}

static PyObject *
make_function(decoder *dec, PyObject **first)
{
    PyObject *name = first[0], *code = first[2];
    if (!PyUnicode_CheckExact(name) || !PyBool_Check(first[1]) || !PyCode_Check(code)) {
        return _PyDecoder_Invalid();
    }
    PyObject *namespace = namespace_of(dec, name, first[1] == Py_True);
    if (namespace == NULL) {
        return NULL;
    }
    PyObject *func = PyFunction_New(code, namespace);
    Py_DECREF(namespace);
    if (func != NULL && (PyObject_SetAttrString(func, "__module__", name) < 0
                         || give_empty_closure(func) < 0))
    {
        Py_CLEAR(func);
    }
    return func;
}

/* As FUNCTION_PARTS has them, those that make_function() took apart. */
static int
complete_function(decoder *dec, PyObject *func, PyObject **parts)
{
    static const char *const attributes[] = {
        "__name__", "__qualname__", "__doc__", "__type_params__", "__defaults__",
        "__kwdefaults__", NULL, NULL, "__annotations__",
    };
    for (int i = 0; i < (int)Py_ARRAY_LENGTH(attributes); i++) {
        if (attributes[i] != NULL && parts[i] != Py_None
            && PyObject_SetAttrString(func, attributes[i], parts[i]) < 0)
        {
            return -1;
        }
    }
    PyObject *closure = parts[6], *dict = parts[7], *globals = parts[9];
    Py_ssize_t n_free = count_free(func);
    if (closure == Py_None ? n_free != 0
        : !PyTuple_CheckExact(closure) || PyTuple_GET_SIZE(closure) != n_free)
    {
        _PyDecoder_Invalid();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n_free; i++) {
        if (!PyCell_Check(PyTuple_GET_ITEM(closure, i))) {
            _PyDecoder_Invalid();
            return -1;
        }
    }
    if (closure != Py_None && PyFunction_SetClosure(func, closure) < 0) {
        return -1;
    }
    if ((dict != Py_None && !PyDict_CheckExact(dict))
        || (globals != Py_None && !PyDict_CheckExact(globals)))
    {
        _PyDecoder_Invalid();
        return -1;
    }
    PyObject *own = dict != Py_None ? PyObject_GetAttrString(func, "__dict__") : NULL;
    int r = dict == Py_None ? 0 : own != NULL ? PyDict_Update(own, dict) : -1;
    Py_XDECREF(own);
    if (r == 0 && globals != Py_None) {
        r = bring_globals(dec, (PyFunctionObject *)func, globals);
    }
    return r;
}

int
_PyDecoder_FinishFunction(decoder *dec, decoder_frame *f, PyObject **obj)
{
    PyObject **parts = dec->stack + f->base;
    if (f->phase == 0) {
        int again;
        PyObject *func = _PyDecoder_Number(dec, f->tag, make_function(dec, parts), &again);
        _PyDecoder_Drop(dec, f->base);
        if (func == NULL || again) {
            *obj = func;
            return func != NULL ? 1 : -1;
        }
        f->obj = func;
        f->phase = 1;
        f->remaining = FUNCTION_PARTS - FUNCTION_FIRST;
        return 0;
    }
    int r = complete_function(dec, f->obj, parts);
    _PyDecoder_Drop(dec, f->base);
    if (r < 0) {
        return -1;
    }
    *obj = Py_NewRef(f->obj);
    return 1;
}
