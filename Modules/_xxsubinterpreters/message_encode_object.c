/* From Python objects to a message: what a class says how to copy, as pickle does,
   and what is found by import. */

#include "Python.h"
#include "pycore_dict.h"          // DK_UNICODE_ENTRIES()
#include "pycore_interp.h"        // PyInterpreterState
#include "pycore_object.h"        // _PyObject_InlineValues()
#include "pycore_typeobject.h"    // _PyType_Lookup()
#include "encoder.h"


/* --- found by import ---------------------------------------------------------- */

/* Return a str attribute, or NULL, with an exception only if something
   unexpected happened. */
static PyObject *
str_attr(PyObject *obj, PyObject *name)
{
    PyObject *value;
    if (PyObject_GetOptionalAttr(obj, name, &value) > 0
        && !PyUnicode_CheckExact(value))
    {
        Py_CLEAR(value);
    }
    return value;
}

/* 1 if the name leads from the module to exactly `obj`; 0 if not; -1 on errors. */
static int
leads_to(PyObject *module, PyObject *qualname, PyObject *obj)
{
    PyObject *found;
    int r = _PyMessage_FollowName(module, qualname, &found);
    r = r > 0 ? found == obj : r;
    Py_XDECREF(found);
    return r;
}

int
_PyEncoder_HasSpec(PyObject *module)
{
    PyObject *spec;
    int r = PyObject_GetOptionalAttr(module, &_Py_ID(__spec__), &spec);
    Py_XDECREF(spec);
    return r > 0 ? spec != Py_None : r;
}

/* True if an import of `module` here finds exactly `obj` under `qualname`, and
   finds the same elsewhere; -1 on errors. */
static int
is_importable(PyObject *obj, PyObject *module_name, PyObject *qualname)
{
    if (PyUnicode_EqualToUTF8(module_name, "__main__")) {
        return 0;                   /* another module in each interpreter */
    }
    PyObject *module = PyImport_GetModule(module_name);
    if (module == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    /* A function can be sent in another way. */
    int r = PyFunction_Check(obj) ? _PyEncoder_HasSpec(module) : 1;
    if (r > 0) {
        r = leads_to(module, qualname, obj);
    }
    Py_DECREF(module);
    return r;
}

/* Look for the module in which an object is found that does not say so.  A new
   reference to its name, or NULL, with an exception only on errors. */
static PyObject *
search_module(PyObject *obj, PyObject *qualname)
{
    PyObject *modules = PyImport_GetModuleDict();       /* borrowed */
    PyObject *items = modules != NULL ? PyMapping_Items(modules) : NULL;
    PyObject *result = NULL;
    for (Py_ssize_t i = 0; items != NULL && i < PyList_GET_SIZE(items); i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        PyObject *name = PyTuple_GET_ITEM(item, 0);
        PyObject *module = PyTuple_GET_ITEM(item, 1);
        if (!PyUnicode_CheckExact(name) || !PyModule_Check(module)
            || PyUnicode_EqualToUTF8(name, "__main__"))
        {
            continue;
        }
        int r = leads_to(module, qualname, obj);
        if (r != 0) {
            result = r > 0 ? Py_NewRef(name) : NULL;
            break;
        }
    }
    Py_XDECREF(items);
    return result;
}

progress
_PyEncoder_Global(encoder *enc, PyObject *obj, PyObject *name, int keep)
{
    PyObject *qualname = name != NULL ? Py_NewRef(name) : str_attr(obj, &_Py_ID(__qualname__));
    if (qualname == NULL && !PyErr_Occurred()) {
        qualname = str_attr(obj, &_Py_ID(__name__));
    }
    PyObject *module = NULL;
    int r = -1;
    if (qualname != NULL) {
        module = str_attr(obj, &_Py_ID(__module__));
        if (module == NULL && !PyErr_Occurred()) {
            module = search_module(obj, qualname);
        }
        if (module != NULL) {
            r = is_importable(obj, module, qualname);
        }
    }
    progress p = BEGUN;
    if (r > 0) {
        size_t start = enc->size;
        p = FAILED;
        if (write_byte(enc, TAG_GLOBAL | keep) == 0
            && _PyEncoder_Str(enc, module) != FAILED
            && _PyEncoder_Str(enc, qualname) != FAILED)
        {
            p = number_at_end(enc, obj, keep, start);
        }
    }
    else if (PyErr_Occurred()) {
        p = FAILED;
    }
    Py_XDECREF(module);
    Py_XDECREF(qualname);
    return p;
}

progress
_PyEncoder_Module(encoder *enc, PyObject *obj, int keep)
{
    PyObject *name = PyModule_GetNameObject(obj);
    PyObject *found = name != NULL ? PyImport_GetModule(name) : NULL;
    progress p = FAILED;
    if (found == obj && !PyUnicode_EqualToUTF8(name, "__main__")) {
        if (write_byte(enc, TAG_MODULE | keep) == 0
            && _PyEncoder_Str(enc, name) != FAILED)
        {
            p = number_at_end(enc, obj, keep, 0);
        }
    }
    else {
        p = _PyEncoder_Refuse(enc, obj);
    }
    Py_XDECREF(found);
    Py_XDECREF(name);
    return p;
}


/* --- how instances of a class are encoded ----------------------------------------- */

enum plan {
    BY_REDUCE = 1,                  /* as pickle does */
    BY_COPYREG,                     /* so, too, by a function that is registered there */
    BY_ATTRIBUTES,                  /* so, too; there is nothing else to it */
    AS_AST,                         /* so, too, if all fields are there */
    BY_CLASS,                       /* they are classes */
    BY_HANDLE,                      /* they are interpreters */
    BY_REGISTRY,                    /* as was registered with interpreters.register() */
    BY_TRANSFER,                    /* as their method __transfer__() says */
    AS_EXCEPTION,                   /* by functions of Lib/_interpreters_reduce.py */
    AS_EXCEPTION_AGAIN,
    AS_OF_DATACLASSES,
    AS_PART_OF_CLASS,
};

/* 1 if the class has that attribute from `object`, or not at all if `object` has
   none. */
static int
has_default(PyTypeObject *type, PyObject *name)
{
    return _PyType_Lookup(type, name) == _PyType_Lookup(&PyBaseObject_Type, name);
}

/* The list of the slots of a class and its bases, or None, as object.__getstate__() finds
   it: it is kept in the class.  A new reference. */
static PyObject *
slot_names(_xxsub_state *state, PyTypeObject *type)
{
    PyObject *dict = PyType_GetDict(type), *names = NULL;
    if (dict != NULL && PyDict_GetItemStringRef(dict, "__slotnames__", &names) == 0) {
        names = PyObject_CallOneArg(state->slotnames, (PyObject *)type);
    }
    Py_XDECREF(dict);
    if (names != NULL && names != Py_None && !PyList_Check(names)) {
        PyErr_Format(PyExc_TypeError, "__slotnames__ of %s must be a list or None",
                     type->tp_name);
        Py_CLEAR(names);
    }
    return names;
}

/* Whether pickle would make an instance with object.__new__() and give it its
   attributes, and its size says that it has nothing else.  -1 with an exception. */
static int
has_only_attributes(_xxsub_state *state, PyTypeObject *type)
{
    const unsigned long needed = Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_HEAPTYPE;
    if ((type->tp_flags & needed) != needed
        || type->tp_flags & Py_TPFLAGS_IS_ABSTRACT
        || type->tp_new != PyBaseObject_Type.tp_new
        || type->tp_itemsize != 0
        || type->tp_basicsize > PyBaseObject_Type.tp_basicsize
        || type->tp_getattro != PyObject_GenericGetAttr
        || !_PyMessage_HasPlainDict(type))
    {
        return 0;
    }
    PyObject **names = state->reduce_names;
    for (int i = 0; names[i] != NULL; i++) {
        if (!has_default(type, names[i])) {
            return 0;
        }
    }
    PyObject *slots = slot_names(state, type);
    if (slots == NULL) {
        return -1;
    }
    int result = slots == Py_None || PyList_GET_SIZE(slots) == 0;
    Py_DECREF(slots);
    return result;
}

/* Whether they are nodes of syntax trees, made as the module ast makes them: their
   __reduce__() returns the class, None for each of the fields, to satisfy __init__(), and
   the dict.  Then the dict is all there is to it. */
static int
is_ast(_xxsub_state *state, PyTypeObject *type)
{
    PyObject **names = state->reduce_names;
    PyObject *reduce = _PyType_Lookup(type, names[1]);
    if (reduce == NULL || !Py_IS_TYPE(reduce, &PyMethodDescr_Type)) {
        return 0;
    }
    PyTypeObject *base = PyDescr_TYPE(reduce);
    if (strcmp(base->tp_name, "ast.AST") != 0
        || type->tp_new != PyType_GenericNew || type->tp_init != base->tp_init
        || type->tp_basicsize != base->tp_basicsize || type->tp_itemsize != 0
        || type->tp_dictoffset != base->tp_dictoffset || type->tp_dictoffset <= 0
        || type->tp_getattro != PyObject_GenericGetAttr
        || _PyType_Lookup(type, state->setstate_name) != NULL)
    {
        return 0;
    }
    for (int i = 0; names[i] != NULL; i++) {
        if (i != 1 && !has_default(type, names[i])) {
            return 0;
        }
    }
    return 1;
}

/* Whether the names have all that are in `_fields`; -1 with an exception. */
static int
has_all_fields(PyTypeObject *type, PyObject *const *names, Py_ssize_t n)
{
    PyObject *fields = PyObject_GetAttrString((PyObject *)type, "_fields");
    PyObject *list = fields != NULL ? PySequence_Tuple(fields) : NULL;
    Py_XDECREF(fields);
    int result = list != NULL ? 1 : -1;
    for (Py_ssize_t i = 0; result > 0 && i < PyTuple_GET_SIZE(list); i++) {
        result = 0;
        for (Py_ssize_t k = 0; result == 0 && k < n; k++) {
            result = PyObject_RichCompareBool(PyTuple_GET_ITEM(list, i), names[k], Py_EQ);
        }
    }
    Py_XDECREF(list);
    return result;
}

static int
is_interpreter_class(PyTypeObject *type)
{
    PyObject *cls = _PyMessage_InterpreterClass();
    Py_XDECREF(cls);
    return PyErr_Occurred() ? -1 : (PyObject *)type == cls;
}

/* Classes of the module dataclasses have objects that exist once. */
static int
is_of_dataclasses(PyTypeObject *type)
{
    PyObject *module = str_attr((PyObject *)type, &_Py_ID(__module__));
    int result = module != NULL && PyUnicode_EqualToUTF8(module, "dataclasses");
    Py_XDECREF(module);
    return PyErr_Occurred() ? -1 : result;
}

/* What is in the class alone. */
static int
look_at_class(_xxsub_state *state, PyTypeObject *type)
{
    if (PyType_FastSubclass(type, Py_TPFLAGS_TYPE_SUBCLASS)) {
        return BY_CLASS;
    }
    if (PyType_FastSubclass(type, Py_TPFLAGS_BASE_EXC_SUBCLASS)) {
        return AS_EXCEPTION;
    }
    if (type == &PyProperty_Type || type == &PyClassMethod_Type
        || type == &PyStaticMethod_Type || type == &PyDictProxy_Type)
    {
        return AS_PART_OF_CLASS;
    }
    int r = is_interpreter_class(type);
    if (r != 0) {
        return r < 0 ? -1 : BY_HANDLE;
    }
    r = is_of_dataclasses(type);
    if (r != 0) {
        return r < 0 ? -1 : AS_OF_DATACLASSES;
    }
    if (is_ast(state, type)) {
        return AS_AST;
    }
    r = has_only_attributes(state, type);
    return r < 0 ? -1 : r > 0 ? BY_ATTRIBUTES : BY_REDUCE;
}

/* The same, remembered: a class gets another version when it, or a base, is changed. */
static int
look_up_class(_xxsub_state *state, PyTypeObject *type)
{
    /* There may be too many versions. */
    unsigned int version = PyUnstable_Type_AssignVersionTag(type) ? type->tp_version_tag : 0;
    _xxsub_plan *known = &state->plans[version % Py_ARRAY_LENGTH(state->plans)];
    if (version != 0 && known->version == version) {
        return known->plan;
    }
    int plan = look_at_class(state, type);
    /* Looking may have put the names of slots into the class. */
    if (plan >= 0 && version != 0 && type->tp_version_tag == version) {
        *known = (_xxsub_plan){version, plan};
    }
    return plan;
}

static int
make_plan(_xxsub_state *state, PyTypeObject *type)
{
    int r = PyDict_Contains(state->registered, (PyObject *)type);
    if (r != 0) {
        return r < 0 ? -1 : BY_REGISTRY;
    }
    if (_PyType_Lookup(type, state->transfer_name) != NULL) {
        return BY_TRANSFER;
    }
    r = PyDict_Contains(state->dispatch_table, (PyObject *)type);
    if (r != 0) {
        return r < 0 ? -1 : BY_COPYREG;
    }
    return look_up_class(state, type);
}

/* Whether object.__reduce_ex__() would say that pickle cannot copy it, since it has more
   than attributes. */
static int
is_opaque(_xxsub_state *state, PyTypeObject *type)
{
    PyObject **names = state->reduce_names;
    for (int i = 0; names[i] != NULL; i++) {
        if (!has_default(type, names[i])) {
            return 0;
        }
    }
    if (type->tp_new == NULL) {
        return 1;
    }
    if (PyType_FastSubclass(type, Py_TPFLAGS_LIST_SUBCLASS | Py_TPFLAGS_DICT_SUBCLASS)) {
        return 0;
    }
    PyObject *slots = slot_names(state, type);
    if (slots == NULL) {
        return -1;
    }
    Py_ssize_t fields = slots == Py_None ? 0 : PyList_GET_SIZE(slots);
    Py_DECREF(slots);
    fields += type->tp_dictoffset != 0 && !(type->tp_flags & Py_TPFLAGS_MANAGED_DICT);
    fields += type->tp_weaklistoffset > 0;
    return type->tp_itemsize != 0
           || type->tp_basicsize > PyBaseObject_Type.tp_basicsize
                                   + fields * (Py_ssize_t)sizeof(PyObject *);
}

int
_PyEncoder_CanReduce(_xxsub_state *state, PyTypeObject *type)
{
    int plan = make_plan(state, type);
    if (plan != BY_REDUCE) {
        return plan < 0 ? -1 : 1;
    }
    int opaque = is_opaque(state, type);
    return opaque < 0 ? -1 : !opaque;
}

/* Classes are looked at once for each message. */
static int
plan_for(encoder *enc, PyTypeObject *type)
{
    _PyObjectMapEntry *entry = _PyObjectMap_Find(&enc->plans, (PyObject *)type);
    if (entry != NULL) {
        return (int)entry->value;
    }
    int plan = make_plan(enc->state, type);
    if (plan < 0) {
        return -1;
    }
    entry = _PyObjectMap_FindOrAdd(&enc->plans, (PyObject *)type);
    if (entry == NULL) {
        return -1;
    }
    entry->value = plan;
    return plan;
}


/* --- instances that have nothing but attributes ------------------------------------ */

/* Where the values of attributes are: inside the object, or in a dict. */
typedef struct {
    PyDictValues *inside;           /* or in a dict that shares its keys; else NULL */
    PyDictUnicodeEntry *entries;    /* of the shared keys, if so */
    PyDictUnicodeEntry *in_dict;    /* of the dict, if not */
    Py_ssize_t n;
} attributes;

/* Its dict, borrowed; NULL while it has none. */
static inline PyDictObject *
existing_dict(PyObject *obj)
{
    return Py_TYPE(obj)->tp_flags & Py_TPFLAGS_MANAGED_DICT
           ? _PyObject_GetManagedDict(obj)
           : (PyDictObject *)*_PyObject_ComputedDictPointer(obj);
}

/* Return 0 if the attributes are neither, or not all str. */
static inline int
get_attributes(PyObject *obj, attributes *a)
{
    if (Py_TYPE(obj)->tp_flags & Py_TPFLAGS_INLINE_VALUES) {
        PyDictValues *values = _PyObject_InlineValues(obj);
        if (values->valid) {
            PyDictKeysObject *keys = ((PyHeapTypeObject *)Py_TYPE(obj))->ht_cached_keys;
            *a = (attributes){.inside = values, .entries = DK_UNICODE_ENTRIES(keys),
                              .n = values->size};
            return 1;
        }
    }
    PyDictObject *dict = existing_dict(obj);
    if (dict == NULL || !DK_IS_UNICODE(dict->ma_keys)) {
        return 0;
    }
    if (dict->ma_values != NULL) {  /* it shares its keys with others */
        *a = (attributes){.inside = dict->ma_values,
                          .entries = DK_UNICODE_ENTRIES(dict->ma_keys),
                          .n = dict->ma_used};
        return 1;
    }
    if (dict->ma_keys->dk_nentries != dict->ma_used) {
        return 0;
    }
    *a = (attributes){.in_dict = DK_UNICODE_ENTRIES(dict->ma_keys), .n = dict->ma_used};
    return 1;
}

/* The name and the value of the i-th attribute that was set. */
static inline PyObject *
attribute(const attributes *a, Py_ssize_t i, PyObject **value)
{
    if (a->inside == NULL) {
        *value = a->in_dict[i].me_value;
        return a->in_dict[i].me_key;
    }
    Py_ssize_t ix = get_insertion_order_array(a->inside)[i];
    *value = a->inside->values[ix];
    return a->entries[ix].me_key;
}

static PyObject *
where_attribute(const encoder *enc, const frame *f)
{
    return f->i > 0 ? PyUnicode_FromFormat(".%U", enc->shapes[f->shape].keys[f->i - 1])
                    : PyUnicode_FromString(".__class__");
}

enum { CLASS, DEFINITION, ATTRIBUTES };

static progress
go_on_with_instance(encoder *enc, frame *f)
{
    progress p;
    switch (f->phase) {
    case CLASS:
        f->phase = DEFINITION;
        p = _PyEncoder_Encode(enc, (PyObject *)enc->shapes[f->shape].type);
        if (p != COMPLETE) {
            return p;
        }
        /* fall through */
    case DEFINITION:
        f->phase = ATTRIBUTES;
        if (_PyEncoder_DefineShape(enc, f->shape) < 0) {
            return FAILED;
        }
        p = _PyEncoder_Number(enc, f->obj, f->keep, f->start);
        if (p != BEGUN) {
            return p;
        }
        /* fall through */
    case ATTRIBUTES:
        break;
    }
    while (f->i < f->n) {
        attributes a;
        PyObject *value;
        if (!get_attributes(f->obj, &a) || a.n != f->n
            || attribute(&a, f->i, &value) != enc->shapes[f->shape].keys[f->i])
        {
            PyErr_SetString(PyExc_RuntimeError,
                            "attributes changed during iteration");
            return FAILED;
        }
        f->i++;
        p = _PyEncoder_Encode(enc, value);
        if (p != COMPLETE) {
            return p;
        }
    }
    return COMPLETE;
}

static const frame_kind instance_kind = {go_on_with_instance, where_attribute};

/* Whether attributes with these names are all there is to say about an object. */
static int
is_all(encoder *enc, PyTypeObject *type, PyObject *const *names, Py_ssize_t n,
       enum plan plan)
{
    /* An attribute of the instance goes before the method of the class. */
    for (Py_ssize_t i = 0; i < n; i++) {
        for (PyObject **name = enc->state->reduce_names; *name != NULL; name++) {
            int r = PyObject_RichCompareBool(names[i], *name, Py_EQ);
            if (r != 0) {
                return r < 0 ? -1 : 0;
            }
        }
    }
    return plan == AS_AST ? has_all_fields(type, names, n) : 1;
}

/* BEGUN, COMPLETE (0) if there is no shape for it, or FAILED. */
static progress
encode_attributes(encoder *enc, PyObject *obj, int keep, enum plan plan)
{
    attributes a;
    PyObject *names[MOST_SHAPED_KEYS], *value;
    PyObject *dict = (PyObject *)existing_dict(obj);
    if (dict != NULL && Py_REFCNT(dict) > 1 && _PyEncoder_MayRunCode(enc) == FAILED) {
        return FAILED;              /* the dict leads to the values as well */
    }
    if (!get_attributes(obj, &a) || a.n > MOST_SHAPED_KEYS) {
        return COMPLETE;
    }
    for (Py_ssize_t i = 0; i < a.n; i++) {
        names[i] = attribute(&a, i, &value);
    }
    size_t index;
    int r = _PyEncoder_FindShape(enc, Py_TYPE(obj), names, a.n, &index);
    if (r <= 0) {
        return r < 0 ? FAILED : COMPLETE;
    }
    int known = enc->shapes[index].defined;
    if (!known) {
        /* It may also be an instance inside its class. */
        r = enc->shapes[index].begun ? 0 : is_all(enc, Py_TYPE(obj), names, a.n, plan);
        if (r <= 0) {
            return r < 0 ? FAILED : COMPLETE;
        }
    }
    size_t start = enc->size;
    if (write_head(enc, TAG_INSTANCE | keep, shape_number(enc, index)) < 0) {
        return FAILED;
    }
    frame *f = _PyEncoder_Push(enc, &instance_kind, obj, keep, start);
    if (f == NULL) {
        return FAILED;
    }
    f->n = a.n;
    f->shape = index;
    f->phase = known ? ATTRIBUTES : CLASS;
    if (known) {
        (void)_PyEncoder_Number(enc, obj, keep, start);
    }
    return BEGUN;
}


/* --- as pickle does ------------------------------------------------------------------ */

static const frame_kind reduced_kind = {_PyEncoder_GoOnWithParts, _PyEncoder_Nowhere};

static int
bad_reduce(const char *what)
{
    PyErr_SetString(PyExc_TypeError, what);
    return -1;
}

/* Append the list of what an iterator yields. */
static int
append_all(PyObject *parts, PyObject *iterator)
{
    if (!PyIter_Check(iterator)) {
        return bad_reduce("items returned by __reduce__ must be an iterator");
    }
    PyObject *items = PySequence_List(iterator);
    int r = items != NULL ? PyList_Append(parts, items) : -1;
    Py_XDECREF(items);
    return r;
}

/* Append a list of the keys and values of the pairs that an iterator yields. */
static int
append_pairs(PyObject *parts, PyObject *iterator)
{
    if (!PyIter_Check(iterator)) {
        return bad_reduce("dict items returned by __reduce__ must be an iterator");
    }
    PyObject *flat = PyList_New(0), *pair = NULL;
    int r = flat != NULL ? PyList_Append(parts, flat) : -1;
    while (r == 0 && (pair = PyIter_Next(iterator)) != NULL) {
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            r = bad_reduce("dict items iterator must return 2-tuples");
        }
        else if (PyList_Append(flat, PyTuple_GET_ITEM(pair, 0)) < 0
                 || PyList_Append(flat, PyTuple_GET_ITEM(pair, 1)) < 0)
        {
            r = -1;
        }
        Py_DECREF(pair);
    }
    Py_XDECREF(flat);
    return PyErr_Occurred() ? -1 : r;
}

static PyObject *
reduced_item(PyObject *reduced, Py_ssize_t i)
{
    PyObject *item = i < PyTuple_GET_SIZE(reduced) ? PyTuple_GET_ITEM(reduced, i) : NULL;
    return item == Py_None ? NULL : item;
}

static int
is_named(PyObject *function, const char *name)
{
    if (!PyFunction_Check(function)) {
        return 0;
    }
    return PyUnicode_EqualToUTF8(((PyFunctionObject *)function)->func_name, name);
}

/* What is to be encoded of the tuple that __reduce_ex__() returned, as a new list;
   and how. */
static PyObject *
parts_of(PyObject *reduced, int *tag, int *flags, int *n_first)
{
    Py_ssize_t size = PyTuple_GET_SIZE(reduced);
    if (size < 2 || size > 6) {
        bad_reduce("tuple returned by __reduce__ must contain 2 through 6 elements");
        return NULL;
    }
    PyObject *function = PyTuple_GET_ITEM(reduced, 0);
    PyObject *args = PyTuple_GET_ITEM(reduced, 1);
    if (!PyCallable_Check(function)) {
        bad_reduce("first item of the tuple returned by __reduce__ must be callable");
        return NULL;
    }
    if (!PyTuple_Check(args)) {
        bad_reduce("second item of the tuple returned by __reduce__ must be a tuple");
        return NULL;
    }
    *flags = 0;
    *tag = TAG_REDUCE;
    if (PyTuple_GET_SIZE(args) > 0 && PyType_Check(PyTuple_GET_ITEM(args, 0))) {
        if (is_named(function, "__newobj__")) {
            *tag = TAG_NEWOBJ;
        }
        else if (is_named(function, "__newobj_ex__") && PyTuple_GET_SIZE(args) == 3) {
            *tag = TAG_NEWOBJ_EX;
        }
    }
    *n_first = *tag == TAG_REDUCE ? 2 : 1;
    PyObject *state = reduced_item(reduced, 2);
    PyObject *items = reduced_item(reduced, 3);
    PyObject *pairs = reduced_item(reduced, 4);
    PyObject *setter = reduced_item(reduced, 5);
    PyObject *parts = PyList_New(0);
    int r = parts == NULL ? -1 : 0;
    if (r == 0 && *tag == TAG_REDUCE) {
        r = PyList_Append(parts, function);
    }
    if (r == 0) {
        /* A plain tuple, if it is of a subclass. */
        args = PyTuple_GetSlice(args, 0, PyTuple_GET_SIZE(args));
        r = args != NULL ? PyList_Append(parts, args) : -1;
        Py_XDECREF(args);
    }
    if (r == 0 && items != NULL) {
        *flags |= PART_ITEMS;
        r = append_all(parts, items);
    }
    if (r == 0 && pairs != NULL) {
        *flags |= PART_PAIRS;
        r = append_pairs(parts, pairs);
    }
    if (r == 0 && state != NULL) {
        *flags |= PART_STATE;
        if (setter != NULL) {
            *flags |= PART_SETTER;
            r = PyList_Append(parts, setter);
        }
        r = r == 0 ? PyList_Append(parts, state) : -1;
    }
    if (r < 0) {
        Py_CLEAR(parts);
    }
    return parts;
}

static progress
encode_reduced(encoder *enc, PyObject *obj, PyObject *reduced, int keep)
{
    int tag = 0, flags = 0, n_first = 0;
    PyObject *list = parts_of(reduced, &tag, &flags, &n_first);
    PyObject *parts = list != NULL ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    if (_PyEncoder_Parts(enc, tag, obj, keep, parts, n_first, &reduced_kind) == FAILED) {
        return FAILED;
    }
    return write_byte(enc, flags) < 0 ? FAILED : BEGUN;
}

/* Call a function of the module that copies what pickle does not. */
static PyObject *
call_helper(const char *name, PyObject *obj)
{
    PyObject *module = PyImport_ImportModule("_interpreters_reduce");
    PyObject *function = module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    PyObject *result = function != NULL ? PyObject_CallOneArg(function, obj) : NULL;
    Py_XDECREF(function);
    Py_XDECREF(module);
    return result;
}

/* What a table has for the class of the object, which it had a moment ago. */
static PyObject *
look_up(PyObject *table, PyObject *obj)
{
    PyObject *found;
    if (PyDict_GetItemRef(table, (PyObject *)Py_TYPE(obj), &found) == 0) {
        PyErr_SetString(PyExc_RuntimeError, "unregistered while it was sent");
    }
    return found;
}

static PyObject *
call_copyreg(encoder *enc, PyObject *obj)
{
    PyObject *function = look_up(enc->state->dispatch_table, obj);
    PyObject *result = function != NULL ? PyObject_CallOneArg(function, obj) : NULL;
    Py_XDECREF(function);
    return result;
}

/* (decode, (encode(obj),)) */
static PyObject *
call_registered(encoder *enc, PyObject *obj)
{
    PyObject *functions = look_up(enc->state->registered, obj);
    if (functions == NULL) {
        return NULL;
    }
    PyObject *encoded = PyObject_CallOneArg(PyTuple_GET_ITEM(functions, 0), obj);
    PyObject *result = encoded == NULL ? NULL
        : Py_BuildValue("O(N)", PyTuple_GET_ITEM(functions, 1), encoded);
    Py_DECREF(functions);
    return result;
}

/* Call what says how to copy the object, and return what that returns. */
static PyObject *
call_reduce(encoder *enc, PyObject *obj, enum plan plan)
{
    switch (plan) {
    case BY_CLASS:
        return call_helper("reduce_class", obj);
    case AS_EXCEPTION:
        return call_helper("reduce_exception", obj);
    case AS_EXCEPTION_AGAIN:
        return call_helper("reduce_exception_with_stand_ins", obj);
    case AS_OF_DATACLASSES:
        return call_helper("reduce_of_dataclasses", obj);
    case AS_PART_OF_CLASS:
        return call_helper("reduce_part_of_class", obj);
    case BY_REGISTRY:
        return call_registered(enc, obj);
    case BY_TRANSFER:
        return PyObject_CallMethodNoArgs(obj, enc->state->transfer_name);
    case BY_COPYREG:
        return call_copyreg(enc, obj);
    default:
        break;
    }
    PyObject *method = PyObject_GetAttr(obj, enc->state->reduce_names[0]);
    if (method == NULL) {
        return NULL;
    }
    PyObject *protocol = PyLong_FromLong(5);
    PyObject *result = protocol != NULL ? PyObject_CallOneArg(method, protocol) : NULL;
    Py_XDECREF(protocol);
    Py_DECREF(method);
    return result;
}

/* What a method of the object raised is why it cannot be sent, unless it is about
   something else. */
static progress
refuse_or_fail(encoder *enc, PyObject *obj)
{
    return _PyEncoder_MayRecover(enc) ? _PyEncoder_Refuse(enc, obj) : FAILED;
}

/* Whether only C code of the base says how to copy objects of a type, which hands out
   nothing that can be reached in another way. */
static int
is_trusted(const PyTypeObject *type, enum plan plan)
{
    static const char *const names[] = {
        "range", "datetime.datetime", "datetime.date", "datetime.time",
        "datetime.timedelta", "datetime.timezone", "decimal.Decimal",
    };
    if (plan != BY_REDUCE || (type->tp_flags & Py_TPFLAGS_HEAPTYPE
                              && !(type->tp_flags & Py_TPFLAGS_IMMUTABLETYPE)))
    {
        return 0;
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        if (strcmp(type->tp_name, names[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

static progress
encode_by_reduce(encoder *enc, PyObject *obj, int keep, enum plan plan)
{
    if (!is_trusted(Py_TYPE(obj), plan) && _PyEncoder_MayRunCode(enc) == FAILED) {
        return FAILED;
    }
    PyObject *reduced = call_reduce(enc, obj, plan);
    if (reduced == NULL) {
        return refuse_or_fail(enc, obj);
    }
    progress p;
    if (PyUnicode_Check(reduced)) {
        PyObject *name = PyUnicode_FromObject(reduced);
        p = name != NULL ? _PyEncoder_Global(enc, obj, name, keep) : FAILED;
        Py_XDECREF(name);
        if (p == BEGUN) {
            Py_SETREF(reduced, call_helper("reduce_unnamed", obj));
            p = reduced == NULL ? refuse_or_fail(enc, obj)
                : PyTuple_Check(reduced) ? encode_reduced(enc, obj, reduced, keep)
                : _PyEncoder_Refuse(enc, obj);
        }
    }
    else if (PyTuple_Check(reduced)) {
        size_t depth = enc->depth;
        p = encode_reduced(enc, obj, reduced, keep);
        if (p == FAILED && enc->depth == depth) {
            p = refuse_or_fail(enc, obj);
        }
    }
    else {
        bad_reduce("__reduce__ must return a string or tuple");
        p = _PyEncoder_Refuse(enc, obj);
    }
    Py_XDECREF(reduced);
    return p;
}


progress
_PyEncoder_ExceptionAgain(encoder *enc, PyObject *obj, int keep)
{
    return encode_by_reduce(enc, obj, keep, AS_EXCEPTION_AGAIN);
}

static progress
encode_exception(encoder *enc, PyObject *obj, int keep)
{
    if (_PyObjectMap_Find(&enc->again, obj) != NULL) {
        return _PyEncoder_ExceptionAgain(enc, obj, keep);
    }
    checkpoint before = checkpoint_of(enc);
    progress p = encode_by_reduce(enc, obj, keep, AS_EXCEPTION);
    if (p == FAILED && _PyEncoder_MayRecover(enc)) {
        PyErr_Clear();
        return _PyEncoder_ExceptionAgain(enc, obj, keep);
    }
    /* The outermost record of an exception is enough to go back to. */
    if (p == BEGUN && !_PyEncoder_IsInsideItself(enc, obj)) {
        return _PyEncoder_Guard(enc, before);
    }
    return p;
}


/* --- objects of any other type ---------------------------------------------------------- */

/* The classes of singletons are not where they say. */
static progress
encode_class(encoder *enc, PyObject *obj, int keep)
{
    PyObject *only = obj == (PyObject *)&_PyNone_Type ? Py_None
                     : obj == (PyObject *)&PyEllipsis_Type ? Py_Ellipsis
                     : obj == (PyObject *)&_PyNotImplemented_Type ? Py_NotImplemented
                     : NULL;
    if (only != NULL) {
        PyObject *reduced = Py_BuildValue("O(O)", &PyType_Type, only);
        progress p = reduced != NULL ? encode_reduced(enc, obj, reduced, keep) : FAILED;
        Py_XDECREF(reduced);
        return p;
    }
    progress p = _PyEncoder_Global(enc, obj, NULL, keep);
    if (p != BEGUN) {
        return p;
    }
    if (!(((PyTypeObject *)obj)->tp_flags & Py_TPFLAGS_HEAPTYPE)
        || ((PyTypeObject *)obj)->tp_flags & Py_TPFLAGS_IMMUTABLETYPE
        || ((PyHeapTypeObject *)obj)->ht_module != NULL)
    {
        return _PyEncoder_Refuse(enc, obj);     /* it was made in C */
    }
    return encode_by_reduce(enc, obj, keep, BY_CLASS);
}

progress
_PyEncoder_Object(encoder *enc, PyObject *obj, int keep)
{
    int plan = plan_for(enc, Py_TYPE(obj));
    switch (plan) {
    case -1:
        return FAILED;
    case BY_ATTRIBUTES:
    case AS_AST: {
        progress p = encode_attributes(enc, obj, keep, plan);
        return p == COMPLETE ? encode_by_reduce(enc, obj, keep, BY_REDUCE) : p;
    }
    case BY_CLASS:
        return encode_class(enc, obj, keep);
    case AS_EXCEPTION:
        return encode_exception(enc, obj, keep);
    case BY_HANDLE:
        return _PyEncoder_Interpreter(enc, obj, keep);
    default:
        return encode_by_reduce(enc, obj, keep, plan);
    }
}
