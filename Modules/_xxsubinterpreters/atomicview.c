/* Atomic operations on the elements of buffers.  See atomicview.h.

   Each function gets a buffer from the object, which keeps the memory where it is,
   and gives it back before it returns. */

#include "Python.h"
#include "pycore_long.h"          // _PyLong_IsNegative()
#include "atomics.h"
#include "atomicview.h"
#include "blocking.h"

/*[clinic input]
module _xxsubinterpreters
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=02354679e2f8db14]*/

#include "clinic/atomicview.c.h"


/* --- elements ------------------------------------------------------------- */

typedef struct {
    Py_buffer buffer;               /* owned */
    _PyAtomics_Element raw;
    int is_signed;
} Element;

/* Find out what integers these are; return 0 if they are none, or have another
   byte order than the machine's. */
static int
parse_format(const char *format, int *size, int *is_signed)
{
    int native = 1;
    if (*format == '@') {
        format++;
    }
    else if (*format == '=' || *format == (PY_LITTLE_ENDIAN ? '<' : '>')) {
        native = 0;
        format++;
    }
    switch (*format) {
    case 'i':
    case 'I':
        *size = 4;
        break;
    case 'l':
    case 'L':
        *size = native ? (int)sizeof(long) : 4;
        break;
    case 'q':
    case 'Q':
        *size = 8;
        break;
    default:
        return 0;
    }
    *is_signed = Py_ISLOWER(*format);
    return format[1] == '\0';
}

static int
check_format(Element *e)
{
    const char *format = e->buffer.format != NULL ? e->buffer.format : "B";
    if (!parse_format(format, &e->raw.size, &e->is_signed)
        || e->buffer.itemsize != e->raw.size)
    {
        PyErr_Format(PyExc_TypeError, "the items must be integers of 32 or 64 bits "
                     "in native byte order, not of format '%s'", format);
        return -1;
    }
    return 0;
}

/* Add the length if the index is negative. */
static int
parse_index(PyObject *obj, Py_ssize_t length, Py_ssize_t *index)
{
    Py_ssize_t i = PyNumber_AsSsize_t(obj, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (i < 0) {
        i += length;
    }
    if (i < 0 || i >= length) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
        return -1;
    }
    *index = i;
    return 0;
}

/* Some exporters, such as ctypes, leave out the strides of C-contiguous memory even
   if asked for them. */
static void *
pointer(const Py_buffer *buffer, const Py_ssize_t *indices)
{
    Py_ssize_t strides[PyBUF_MAX_NDIM];
    Py_buffer strided = *buffer;
    if (strided.strides == NULL) {
        PyBuffer_FillContiguousStrides(strided.ndim, strided.shape, strides,
                                       (int)strided.itemsize, 'C');
        strided.strides = strides;
    }
    return PyBuffer_GetPointer(&strided, indices);
}

static int
locate(Element *e, PyObject *index)
{
    Py_ssize_t indices[PyBUF_MAX_NDIM];
    int ndim = e->buffer.ndim;
    int is_tuple = PyTuple_Check(index);
    Py_ssize_t given = is_tuple ? PyTuple_GET_SIZE(index) : 1;
    if (ndim > PyBUF_MAX_NDIM || (ndim > 0 && e->buffer.shape == NULL)) {
        PyErr_SetString(PyExc_BufferError, "the buffer has no valid shape");
        return -1;
    }
    if (given != ndim) {
        PyErr_Format(PyExc_TypeError,
                     "memory of %d dimensions has no element with %zd indices",
                     ndim, given);
        return -1;
    }
    for (int i = 0; i < ndim; i++) {
        if (parse_index(is_tuple ? PyTuple_GET_ITEM(index, i) : index,
                        e->buffer.shape[i], &indices[i]) < 0)
        {
            return -1;
        }
    }
    e->raw.address = pointer(&e->buffer, indices);
    if ((uintptr_t)e->raw.address % e->raw.size != 0) {
        PyErr_Format(PyExc_ValueError, "the element is not aligned to %d bytes",
                     e->raw.size);
        return -1;
    }
    return 0;
}

/* Find the element.  Return 0, with *e to be given to end(), or -1 with an
   exception. */
static int
begin(Element *e, PyObject *view, PyObject *index, int flags)
{
    if (PyObject_GetBuffer(view, &e->buffer, flags) < 0) {
        return -1;
    }
    if (check_format(e) < 0 || locate(e, index) < 0) {
        PyBuffer_Release(&e->buffer);
        return -1;
    }
    return 0;
}

static void
end(Element *e)
{
    PyBuffer_Release(&e->buffer);
}

/* Return -1 with an exception if `obj` is no integer, or the element cannot have
   that value. */
static int
to_bits(const Element *e, PyObject *obj, uint64_t *bits)
{
    PyObject *number = PyNumber_Index(obj);
    if (number == NULL) {
        return -1;
    }
    int flags = Py_ASNATIVEBYTES_NATIVE_ENDIAN;
    if (!e->is_signed) {
        flags |= Py_ASNATIVEBYTES_UNSIGNED_BUFFER;
    }
    Py_ssize_t needed;
    if (e->raw.size == 4) {
        uint32_t bits_32;
        needed = PyLong_AsNativeBytes(number, &bits_32, 4, flags);
        *bits = bits_32;
    }
    else {
        needed = PyLong_AsNativeBytes(number, bits, 8, flags);
    }
    int fits = needed <= e->raw.size
               && (e->is_signed || !_PyLong_IsNegative((PyLongObject *)number));
    Py_DECREF(number);
    if (needed < 0) {
        return -1;
    }
    if (!fits) {
        PyErr_Format(PyExc_OverflowError, "the value does not fit %s integer of "
                     "%d bits", e->is_signed ? "a signed" : "an unsigned",
                     e->raw.size * 8);
        return -1;
    }
    return 0;
}

static PyObject *
from_bits(const Element *e, uint64_t bits)
{
    if (!e->is_signed) {
        return PyLong_FromUnsignedLongLong(bits);
    }
    return PyLong_FromLongLong(e->raw.size == 4 ? (int32_t)(uint32_t)bits
                                                : (int64_t)bits);
}


/* --- operations ----------------------------------------------------------- */

static PyObject *
modify(PyObject *view, PyObject *index, _PyAtomics_Op op, PyObject *value)
{
    Element e;
    if (begin(&e, view, index, PyBUF_FULL) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    uint64_t operand;
    if (to_bits(&e, value, &operand) == 0) {
        result = from_bits(&e, _PyAtomics_Modify(e.raw, op, operand));
    }
    end(&e);
    return result;
}

/*[clinic input]
_xxsubinterpreters.atomic_load

    view: object
    index: object

Return the value of an element of shared memory.

view is an object with the buffer protocol, whose items are integers of 32 or
64 bits (format i, I, l, L, q or Q), in native byte order and aligned.  index
is an int, or a tuple of one int for each dimension.  As of all atomic
functions, the effect is as if the operations of all threads of all
interpreters came one after another.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_load_impl(PyObject *module, PyObject *view,
                                    PyObject *index)
/*[clinic end generated code: output=4dc1444b35eef090 input=50c352d01f1a3556]*/
{
    Element e;
    if (begin(&e, view, index, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    PyObject *result = from_bits(&e, _PyAtomics_Load(e.raw));
    end(&e);
    return result;
}

/*[clinic input]
_xxsubinterpreters.atomic_store

    view: object
    index: object
    value: object

Set an element of shared memory.

OverflowError if the value does not fit; BufferError if the memory is
read-only.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_store_impl(PyObject *module, PyObject *view,
                                     PyObject *index, PyObject *value)
/*[clinic end generated code: output=ffe5d033e7d9f707 input=282975871c92e6fb]*/
{
    Element e;
    if (begin(&e, view, index, PyBUF_FULL) < 0) {
        return NULL;
    }
    uint64_t bits;
    int r = to_bits(&e, value, &bits);
    if (r == 0) {
        _PyAtomics_Store(e.raw, bits);
    }
    end(&e);
    if (r < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.atomic_exchange

    view: object
    index: object
    value: object

Set an element of shared memory; return what it was.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_exchange_impl(PyObject *module, PyObject *view,
                                        PyObject *index, PyObject *value)
/*[clinic end generated code: output=20c8e91c300c5388 input=b9b4f1760ee1116d]*/
{
    return modify(view, index, _PyAtomics_EXCHANGE, value);
}

/*[clinic input]
_xxsubinterpreters.atomic_add

    view: object
    index: object
    value: object

Add to an element of shared memory; return what it was.

The sum wraps around; the value itself must fit the element.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_add_impl(PyObject *module, PyObject *view,
                                   PyObject *index, PyObject *value)
/*[clinic end generated code: output=cca8470bffd005eb input=44c98b739ba63321]*/
{
    return modify(view, index, _PyAtomics_ADD, value);
}

/*[clinic input]
_xxsubinterpreters.atomic_sub

    view: object
    index: object
    value: object

Subtract from an element of shared memory; return what it was.

The difference wraps around; the value itself must fit the element.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_sub_impl(PyObject *module, PyObject *view,
                                   PyObject *index, PyObject *value)
/*[clinic end generated code: output=08dc663180b81605 input=194e50357f1cdda9]*/
{
    return modify(view, index, _PyAtomics_SUB, value);
}

/*[clinic input]
_xxsubinterpreters.atomic_and

    view: object
    index: object
    value: object

Set an element of shared memory to its bitwise and with the value.

Return what it was.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_and_impl(PyObject *module, PyObject *view,
                                   PyObject *index, PyObject *value)
/*[clinic end generated code: output=9f2d153dd8c34f91 input=549044d772a4557f]*/
{
    return modify(view, index, _PyAtomics_AND, value);
}

/*[clinic input]
_xxsubinterpreters.atomic_or

    view: object
    index: object
    value: object

Set an element of shared memory to its bitwise or with the value.

Return what it was.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_or_impl(PyObject *module, PyObject *view,
                                  PyObject *index, PyObject *value)
/*[clinic end generated code: output=801b3bee8b35e391 input=07090acf4611368b]*/
{
    return modify(view, index, _PyAtomics_OR, value);
}

/*[clinic input]
_xxsubinterpreters.atomic_xor

    view: object
    index: object
    value: object

Set an element of shared memory to its exclusive or with the value.

Return what it was.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_xor_impl(PyObject *module, PyObject *view,
                                   PyObject *index, PyObject *value)
/*[clinic end generated code: output=b4cc6b05e05de467 input=d70fdeca274e8629]*/
{
    return modify(view, index, _PyAtomics_XOR, value);
}

/*[clinic input]
_xxsubinterpreters.atomic_compare_exchange

    view: object
    index: object
    expected: object
    value: object

Set an element of shared memory if it is what is expected.

Return what it was: it has been set if that equals expected.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_compare_exchange_impl(PyObject *module,
                                                PyObject *view,
                                                PyObject *index,
                                                PyObject *expected,
                                                PyObject *value)
/*[clinic end generated code: output=d5ae091f13a3f1e4 input=da48679542ac0c6b]*/
{
    Element e;
    if (begin(&e, view, index, PyBUF_FULL) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    uint64_t expected_bits, bits;
    if (to_bits(&e, expected, &expected_bits) == 0
        && to_bits(&e, value, &bits) == 0)
    {
        result = from_bits(&e, _PyAtomics_CompareExchange(e.raw, expected_bits,
                                                          bits));
    }
    end(&e);
    return result;
}


/* --- waiting -------------------------------------------------------------- */

/*[clinic input]
_xxsubinterpreters.atomic_wait

    view: object
    index: object
    expected: object
    timeout: object = None

Wait until another thread calls atomic_notify() for the element.

Return True then, or at once if the element is not what is expected; False when
the timeout, in seconds or None for no limit, is over.  A thread that changes
the element and then notifies is never missed.  The value may be the expected
one again, or still, when this returns.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_wait_impl(PyObject *module, PyObject *view,
                                    PyObject *index, PyObject *expected,
                                    PyObject *timeout)
/*[clinic end generated code: output=a316c29c41c38441 input=be4457d1ee55df95]*/
{
    PyTime_t deadline;
    if (_PyBlocking_GetDeadline(timeout, &deadline) < 0) {
        return NULL;
    }
    Element e;
    if (begin(&e, view, index, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    uint64_t bits;
    int r = to_bits(&e, expected, &bits);
    if (r == 0) {
        r = _PyBlocking_WaitForElement(e.raw, bits, deadline);
    }
    end(&e);
    return r < 0 ? NULL : PyBool_FromLong(r);
}

/*[clinic input]
_xxsubinterpreters.atomic_notify

    view: object
    index: object
    count: object = None

Wake threads that wait for the element, the first to wait first.

Return how many were woken: all, or at most count.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_atomic_notify_impl(PyObject *module, PyObject *view,
                                      PyObject *index, PyObject *count)
/*[clinic end generated code: output=48efe8cf32c09d58 input=d7b6d501364a6c9e]*/
{
    Py_ssize_t n = PY_SSIZE_T_MAX;
    if (count != Py_None) {
        n = PyNumber_AsSsize_t(count, NULL);
        if (n == -1 && PyErr_Occurred()) {
            return NULL;
        }
        if (n < 0) {
            PyErr_SetString(PyExc_ValueError, "count must not be negative");
            return NULL;
        }
    }
    Element e;
    if (begin(&e, view, index, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    n = _PyAtomics_Notify(e.raw.address, n);
    end(&e);
    return PyLong_FromSsize_t(n);
}

PyMethodDef _PyAtomicView_functions[] = {
    _XXSUBINTERPRETERS_ATOMIC_LOAD_METHODDEF
    _XXSUBINTERPRETERS_ATOMIC_STORE_METHODDEF
    _XXSUBINTERPRETERS_ATOMIC_EXCHANGE_METHODDEF
    _XXSUBINTERPRETERS_ATOMIC_ADD_METHODDEF
    _XXSUBINTERPRETERS_ATOMIC_SUB_METHODDEF
    _XXSUBINTERPRETERS_ATOMIC_AND_METHODDEF
    _XXSUBINTERPRETERS_ATOMIC_OR_METHODDEF
    _XXSUBINTERPRETERS_ATOMIC_XOR_METHODDEF
    _XXSUBINTERPRETERS_ATOMIC_COMPARE_EXCHANGE_METHODDEF
    _XXSUBINTERPRETERS_ATOMIC_WAIT_METHODDEF
    _XXSUBINTERPRETERS_ATOMIC_NOTIFY_METHODDEF
    {NULL},
};
