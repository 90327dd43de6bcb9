/* From a message to Python objects: what a class says how to make, as pickle does, and
   what is found by import. */

#include "Python.h"
#include "pycore_dict.h"          // _PyDictValues_AddToInsertionOrder()
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_object.h"        // _PyObject_InlineValues()
#include "decoder.h"


/* --- found by import ------------------------------------------------------------ */

/* Waits for a module that another thread is importing. */
PyObject *
_PyDecoder_Import(decoder *dec, PyObject *name)
{
    /* `from name import __name__`: without the `from` it would be the package. */
    return PyImport_ImportModuleLevelObject(name, NULL, NULL, dec->state->import_list, 0);
}

PyObject *
_PyDecoder_FindGlobal(decoder *dec, PyObject *module_name, PyObject *qualname)
{
    PyObject *module = _PyDecoder_Import(dec, module_name);
    if (module == NULL) {
        return NULL;
    }
    PyObject *found;
    if (_PyMessage_FollowName(module, qualname, &found) == 0) {
        PyErr_Format(PyExc_AttributeError, "module %R has no %R", module_name, qualname);
    }
    Py_DECREF(module);
    return found;
}


/* --- the state of an object -------------------------------------------------------- */

/* What pickle does with a state when the class does not say. */
static int
set_attributes(PyObject *obj, PyObject *state)
{
    PyObject *slots = NULL;
    if (PyTuple_Check(state) && PyTuple_GET_SIZE(state) == 2) {
        slots = PyTuple_GET_ITEM(state, 1);
        state = PyTuple_GET_ITEM(state, 0);
    }
    PyObject *key, *value;
    Py_ssize_t i = 0;
    if (state != Py_None) {
        if (!PyDict_Check(state)) {
            PyErr_SetString(PyExc_TypeError, "state is not a dictionary");
            return -1;
        }
        PyObject *dict = PyObject_GetAttrString(obj, "__dict__");
        if (dict == NULL) {
            return -1;
        }
        while (PyDict_Next(state, &i, &key, &value)) {
            PyObject *name = Py_NewRef(key);
            if (PyUnicode_CheckExact(name)) {
                PyUnicode_InternInPlace(&name);
            }
            Py_INCREF(value);
            int r = PyObject_SetItem(dict, name, value);
            Py_DECREF(value);
            Py_DECREF(name);
            if (r < 0) {
                Py_DECREF(dict);
                return -1;
            }
        }
        Py_DECREF(dict);
    }
    if (slots == NULL) {
        return 0;
    }
    if (!PyDict_Check(slots)) {
        PyErr_SetString(PyExc_TypeError, "slot state is not a dictionary");
        return -1;
    }
    i = 0;
    while (PyDict_Next(slots, &i, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        int r = PyObject_SetAttr(obj, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        if (r < 0) {
            return -1;
        }
    }
    return 0;
}

static int
set_state(decoder *dec, PyObject *obj, PyObject *state)
{
    PyObject *method;
    int r = PyObject_GetOptionalAttr(obj, dec->state->setstate_name, &method);
    if (r < 0) {
        return -1;
    }
    if (r == 0) {
        return set_attributes(obj, state);
    }
    PyObject *result = PyObject_CallOneArg(method, state);
    Py_DECREF(method);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}


/* --- instances that have nothing but attributes --------------------------------------- */

/* cls.__new__(cls, *args, **kwargs), as pickle calls it. */
static PyObject *
call_new(PyObject *cls, PyObject *args, PyObject *kwargs)
{
    if (!PyType_Check(cls) || ((PyTypeObject *)cls)->tp_new == NULL) {
        PyErr_Format(PyExc_TypeError, "cannot make an object of %R", cls);
        return NULL;
    }
    return ((PyTypeObject *)cls)->tp_new((PyTypeObject *)cls, args, kwargs);
}

static PyObject *
new_instance(decoder_shape *s)
{
    if (s->way != CALLED) {
        return s->type->tp_alloc(s->type, 0);
    }
    PyObject *args = PyTuple_New(0);
    PyObject *obj = args != NULL ? call_new((PyObject *)s->type, args, NULL) : NULL;
    Py_XDECREF(args);
    return obj;
}

/* How to make instances and give them their attributes. */
static int
way_of(decoder *dec, PyTypeObject *type)
{
    if ((type->tp_flags & Py_TPFLAGS_IS_ABSTRACT)
        || !(type->tp_flags & Py_TPFLAGS_HEAPTYPE)
        || type->tp_getattro != PyObject_GenericGetAttr
        || !_PyMessage_HasPlainDict(type)
        || _PyType_Lookup(type, dec->state->setstate_name) != NULL)
    {
        return CALLED;
    }
    if (type->tp_flags & Py_TPFLAGS_INLINE_VALUES) {
        return type->tp_new == PyBaseObject_Type.tp_new ? FILLED : CALLED;
    }
    return type->tp_dictoffset > 0 && type->tp_new == PyType_GenericNew ? GIVEN_DICT
                                                                        : CALLED;
}

/* What can be known of all instances of a shape: its class, and its names. */
static int
define_instances(decoder *dec, decoder_shape *s, PyObject *cls)
{
    if (!PyType_Check(cls)) {
        _PyDecoder_Invalid();
        return -1;
    }
    if (_PyDecoder_DefineShape(dec, s) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(s->keys); i++) {
        PyObject *name = PyTuple_GET_ITEM(s->keys, i);
        PyUnicode_InternInPlace(&name);
        PyTuple_SET_ITEM(s->keys, i, name);
    }
    s->type = (PyTypeObject *)Py_NewRef(cls);
    s->way = way_of(dec, s->type);
    return 0;
}

/* Give a new instance its attributes, one by one. */
static int
store_attributes(decoder_shape *s, PyObject *obj, PyObject *const *values)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(s->keys); i++) {
        if (_PyObject_StoreInstanceAttribute(obj, PyTuple_GET_ITEM(s->keys, i), values[i])
            < 0)
        {
            return -1;
        }
    }
    return 0;
}

/* Remember where the attributes of a shape are inside an instance that has them. */
static int
learn_places(decoder_shape *s, PyObject *obj)
{
    PyDictValues *inside = _PyObject_InlineValues(obj);
    PyDictKeysObject *shared = ((PyHeapTypeObject *)s->type)->ht_cached_keys;
    Py_ssize_t n = PyTuple_GET_SIZE(s->keys);
    if (!inside->valid || inside->size != n) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        /* Other code may have found the object, and set attributes. */
        Py_ssize_t ix = get_insertion_order_array(inside)[i];
        if (DK_UNICODE_ENTRIES(shared)[ix].me_key != PyTuple_GET_ITEM(s->keys, i)) {
            return 0;
        }
    }
    if (s->places == NULL && (s->places = PyMem_Malloc(n > 0 ? n : 1)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(s->places, get_insertion_order_array(inside), n);
    s->shared = shared;
    return 0;
}

/* The same for an instance that has none yet; takes over the values. */
static void
put_in_places(decoder_shape *s, PyDictValues *inside, PyObject *const *values)
{
    Py_ssize_t n = PyTuple_GET_SIZE(s->keys);
    for (Py_ssize_t i = 0; i < n; i++) {
        assert(inside->values[s->places[i]] == NULL);
        inside->values[s->places[i]] = values[i];
        _PyDictValues_AddToInsertionOrder(inside, s->places[i]);
    }
}

static PyObject *
state_of(decoder_shape *s, PyObject *const *values)
{
    PyObject *state = PyDict_New();
    for (Py_ssize_t i = 0; state != NULL && i < PyTuple_GET_SIZE(s->keys); i++) {
        if (PyDict_SetItem(state, PyTuple_GET_ITEM(s->keys, i), values[i]) < 0) {
            Py_CLEAR(state);
        }
    }
    return state;
}

/* The values of the instance are there. */
static int
finish_attributes(decoder *dec, decoder_frame *f)
{
    decoder_shape *s = &dec->shapes[f->shape];
    PyObject **values = dec->stack + f->base;
    int r = 0;
    if (s->way == GIVEN_DICT) {
        PyObject **dict = _PyObject_ComputedDictPointer(f->obj);
        PyObject *filled = *dict == NULL ? _PyDecoder_FillPattern(s, values) : NULL;
        if (filled != NULL) {
            *dict = filled;
            dec->used = f->base;
            return 0;
        }
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    if (s->way != FILLED) {
        PyObject *state = state_of(s, values);
        r = state != NULL ? set_state(dec, f->obj, state) : -1;
        Py_XDECREF(state);
    }
    else {
        PyDictValues *inside = _PyObject_InlineValues(f->obj);
        if (s->shared == ((PyHeapTypeObject *)s->type)->ht_cached_keys
            && inside->valid && inside->size == 0
            && _PyObject_GetManagedDict(f->obj) == NULL)
        {
            put_in_places(s, inside, values);
            dec->used = f->base;
            return 0;
        }
        r = store_attributes(s, f->obj, values);
        if (r == 0) {
            r = learn_places(s, f->obj);
        }
    }
    _PyDecoder_Drop(dec, f->base);
    return r;
}

/* Make the instance of a frame, whose shape is defined, and expect its values. */
static int
begin_values(decoder *dec, decoder_frame *f, PyObject **obj)
{
    decoder_shape *s = &dec->shapes[f->shape];
    int again;
    f->phase = 1;
    f->obj = _PyDecoder_Number(dec, f->tag, new_instance(s), &again);
    if (f->obj == NULL) {
        return -1;
    }
    f->remaining = PyTuple_GET_SIZE(s->keys);
    if (again || f->remaining == 0) {
        *obj = Py_NewRef(f->obj);
        return 1;
    }
    return 0;
}

int
_PyDecoder_BeginInstance(decoder *dec, unsigned char tag, PyObject **obj)
{
    size_t number;
    int known = _PyDecoder_Shape(dec, &number);
    if (known < 0) {
        return -1;
    }
    if (known && dec->shapes[number].type == NULL) {
        _PyDecoder_Invalid();       /* that is a dict's */
        return -1;
    }
    decoder_frame *f = _PyDecoder_Push(dec, tag, 1);
    if (f == NULL) {
        return -1;
    }
    f->shape = number;
    if (!known) {
        return 0;                   /* its class is to come */
    }
    int r = begin_values(dec, f, obj);
    if (r > 0) {
        Py_DECREF(f->obj);
        dec->depth--;
    }
    return r;
}

int
_PyDecoder_FinishInstance(decoder *dec, decoder_frame *f, PyObject **obj)
{
    if (f->phase == 0) {
        PyObject *cls = dec->stack[--dec->used];
        int r = define_instances(dec, &dec->shapes[f->shape], cls);
        Py_DECREF(cls);
        return r < 0 ? -1 : begin_values(dec, f, obj);
    }
    if (finish_attributes(dec, f) < 0) {
        return -1;
    }
    *obj = Py_NewRef(f->obj);
    return 1;
}


/* --- as pickle does ------------------------------------------------------------------- */

static int
append_all(PyObject *obj, PyObject *items)
{
    if (!PyList_CheckExact(items)) {
        _PyDecoder_Invalid();
        return -1;
    }
    PyObject *method;
    if (PyList_GET_SIZE(items) == 0) {
        return 0;
    }
    int r = PyObject_GetOptionalAttrString(obj, "extend", &method);
    if (r < 0) {
        return -1;
    }
    if (r > 0) {
        PyObject *result = PyObject_CallOneArg(method, items);
        Py_DECREF(method);
        Py_XDECREF(result);
        return result != NULL ? 0 : -1;
    }
    method = PyObject_GetAttrString(obj, "append");
    r = method != NULL ? 0 : -1;
    for (Py_ssize_t i = 0; r == 0 && i < PyList_GET_SIZE(items); i++) {
        PyObject *result = PyObject_CallOneArg(method, PyList_GET_ITEM(items, i));
        r = result != NULL ? 0 : -1;
        Py_XDECREF(result);
    }
    Py_XDECREF(method);
    return r;
}

static int
set_pairs(PyObject *obj, PyObject *flat)
{
    if (!PyList_CheckExact(flat) || PyList_GET_SIZE(flat) % 2 != 0) {
        _PyDecoder_Invalid();
        return -1;
    }
    for (Py_ssize_t i = 0; i + 1 < PyList_GET_SIZE(flat); i += 2) {
        PyObject *key = Py_NewRef(PyList_GET_ITEM(flat, i));
        PyObject *value = Py_NewRef(PyList_GET_ITEM(flat, i + 1));
        int r = PyObject_SetItem(obj, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        if (r < 0) {
            return -1;
        }
    }
    return 0;
}

/* What a REDUCE or NEWOBJ begins with is there: make the object. */
static PyObject *
make_object(decoder_frame *f, PyObject **first)
{
    PyObject *args = (f->tag & TAG_MASK) == TAG_REDUCE ? first[1] : first[0];
    if (!PyTuple_CheckExact(args)) {
        return _PyDecoder_Invalid();
    }
    Py_ssize_t n = PyTuple_GET_SIZE(args);
    switch (f->tag & TAG_MASK) {
    case TAG_REDUCE:
        return PyObject_Call(first[0], args, NULL);
    case TAG_NEWOBJ: {
        if (n < 1) {
            return _PyDecoder_Invalid();
        }
        PyObject *rest = PyTuple_GetSlice(args, 1, n);
        PyObject *obj = rest != NULL ? call_new(PyTuple_GET_ITEM(args, 0), rest, NULL)
                                     : NULL;
        Py_XDECREF(rest);
        return obj;
    }
    default:
        if (n != 3 || !PyTuple_Check(PyTuple_GET_ITEM(args, 1))
            || !PyDict_Check(PyTuple_GET_ITEM(args, 2)))
        {
            return _PyDecoder_Invalid();
        }
        return call_new(PyTuple_GET_ITEM(args, 0), PyTuple_GET_ITEM(args, 1),
                        PyTuple_GET_ITEM(args, 2));
    }
}

/* Do what the parts that came say, and expect the next of those that are left. */
int
_PyDecoder_FinishReduced(decoder *dec, decoder_frame *f, PyObject **obj)
{
    PyObject **first = dec->stack + f->base;
    int r = 0, again = 0;
    if (f->phase == 0) {
        f->obj = _PyDecoder_Number(dec, f->tag, make_object(f, first), &again);
        r = f->obj != NULL ? 0 : -1;
    }
    else if (f->phase == PART_ITEMS) {
        r = append_all(f->obj, first[0]);
    }
    else if (f->phase == PART_PAIRS) {
        r = set_pairs(f->obj, first[0]);
    }
    else if (f->phase == PART_SETTER) {
        PyObject *result = PyObject_CallFunctionObjArgs(first[0], f->obj, first[1], NULL);
        r = result != NULL ? 0 : -1;
        Py_XDECREF(result);
    }
    else {
        r = set_state(dec, f->obj, first[0]);
    }
    _PyDecoder_Drop(dec, f->base);
    if (r < 0) {
        return -1;
    }
    int left = again ? 0 : f->parts;
    if (left == 0) {
        *obj = Py_NewRef(f->obj);
        return 1;
    }
    f->remaining = 1;
    if (left & PART_ITEMS) {
        f->phase = PART_ITEMS;
    }
    else if (left & PART_PAIRS) {
        f->phase = PART_PAIRS;
    }
    else if (left & PART_SETTER) {  /* it gets the state */
        f->phase = PART_SETTER;
        f->parts &= ~PART_STATE;
        f->remaining = 2;
    }
    else {
        f->phase = PART_STATE;
    }
    f->parts &= ~f->phase;
    return 0;
}
