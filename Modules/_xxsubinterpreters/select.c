/* select(): the first of several sends and receives.  See select.h. */

#include "Python.h"
#include "blocking.h"
#include "channelobject.h"
#include "message.h"
#include "select.h"

/* The cases, prepared. */
struct cases {
    PyObject *tuple;                /* a strong reference keeps the ends alive */
    Py_ssize_t n_encoded;           /* sends before this one have an item */
    _PyChannelSelect select;
};

static int
is_send_case(_xxsub_state *state, PyObject *obj)
{
    return PyTuple_Check(obj) && PyTuple_GET_SIZE(obj) == 2
           && Py_IS_TYPE(PyTuple_GET_ITEM(obj, 0), state->SendChannel);
}

/* Prepare one operation.  A message that cannot be encoded is not sent, nor is
   any other. */
static int
prepare(_xxsub_state *state, PyObject *obj, Py_ssize_t i, _PyChannelOp *op)
{
    if (Py_IS_TYPE(obj, state->RecvChannel)) {
        op->end = _PyChannelObject_End(obj);
        op->side = _PyChannel_RECV;
        return 0;
    }
    if (!is_send_case(state, obj)) {
        PyErr_Format(PyExc_TypeError, "case %zd must be a RecvChannel or a "
                     "tuple (SendChannel, obj), not %R", i, obj);
        return -1;
    }
    op->end = _PyChannelObject_End(PyTuple_GET_ITEM(obj, 0));
    op->side = _PyChannel_SEND;
    return _PyMessage_EncodeItem(state, PyTuple_GET_ITEM(obj, 1), "obj",
                                 &op->item);
}

/* Items that were not sent; may run code. */
static void
clear(struct cases *cases, const _PyChannelOp *done)
{
    PyObject *exc = PyErr_GetRaisedException();
    _PyChannelSelect *select = &cases->select;
    for (Py_ssize_t i = 0; i < cases->n_encoded; i++) {
        _PyChannelOp *op = &select->ops[i];
        if (op->side == _PyChannel_SEND
            && !(op == done && op->status == _PyChannel_OK))
        {
            _PyChannelItem_Destroy(op->item);
        }
    }
    PyMem_Free(select->ops);
    PyMem_Free(select->channels);
    PyMem_Free(select->order);
    Py_XDECREF(cases->tuple);
    PyErr_SetRaisedException(exc);
}

static int
prepare_all(_xxsub_state *state, PyObject *obj, struct cases *cases)
{
    *cases = (struct cases){.tuple = PySequence_Tuple(obj)};
    if (cases->tuple == NULL) {
        return -1;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(cases->tuple);
    if (n == 0) {
        PyErr_SetString(PyExc_ValueError, "select() needs at least one case");
        return -1;
    }
    _PyChannelSelect *select = &cases->select;
    select->n = n;
    select->ops = PyMem_Calloc(n, sizeof(_PyChannelOp));
    select->channels = PyMem_Calloc(n, sizeof(_PyChannel *));
    select->order = PyMem_Calloc(n, sizeof(_PyChannelOp *));
    if (select->ops == NULL || select->channels == NULL
        || select->order == NULL)
    {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (prepare(state, PyTuple_GET_ITEM(cases->tuple, i), i,
                    &select->ops[i]) < 0)
        {
            return -1;
        }
        cases->n_encoded++;
    }
    _PyChannel_SelectInit(select);
    return 0;
}

/* Give the exception that is set the attributes `case` and `index`. */
static void
name_case(PyObject *obj, Py_ssize_t i)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *index = PyLong_FromSsize_t(i);
    if (index == NULL
        || PyObject_SetAttrString(exc, "case", obj) < 0
        || PyObject_SetAttrString(exc, "index", index) < 0)
    {
        Py_XDECREF(index);
        Py_DECREF(exc);             /* replaced by what went wrong here */
        return;
    }
    Py_DECREF(index);
    PyErr_SetRaisedException(exc);
}

static PyObject *
result_of(_xxsub_state *state, struct cases *cases, _PyChannelOp *op)
{
    Py_ssize_t i = op - cases->select.ops;
    if (op->status != _PyChannel_OK) {
        _PyChannelObject_RaiseStatus(state, op, op->status);
        name_case(PyTuple_GET_ITEM(cases->tuple, i), i);
        return NULL;
    }
    PyObject *value = op->side == _PyChannel_SEND
                      ? Py_NewRef(Py_None)
                      : _PyMessage_DecodeItem(state, op->item);
    return value == NULL ? NULL : Py_BuildValue("nN", i, value);
}

PyObject *
_PySelect_Run(_xxsub_state *state, PyObject *obj, int block, PyObject *timeout)
{
    PyTime_t deadline;
    if (_PyBlocking_GetDeadline(timeout, &deadline) < 0) {
        return NULL;
    }
    struct cases cases;
    PyObject *result = NULL;
    _PyChannelOp *done = NULL;
    if (prepare_all(state, obj, &cases) == 0) {
        _PyChannel_Status status = _PyChannel_WOULD_BLOCK;
        done = block
               ? _PyBlocking_Select(&cases.select, deadline, &status)
               : _PyChannel_SelectTry(&cases.select);
        if (done != NULL) {
            result = result_of(state, &cases, done);
        }
        else if (status == _PyChannel_TIMEOUT) {
            PyErr_SetString(PyExc_TimeoutError, "no case was ready in time");
        }
    }
    clear(&cases, done);
    return result;
}
