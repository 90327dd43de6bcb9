/* Functions of the module that are about interpreters. */

#include "Python.h"
#include "pycore_extensioncopies.h"  // _PyExtensionCopies_List()
#include "pycore_gil.h"           // struct _gil_stats
#include "call.h"
#include "interp.h"
#include "interpfunctions.h"
#include "message.h"
#include "messageobject.h"
#include "signals.h"
#include "state.h"

/*[clinic input]
module _xxsubinterpreters
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=02354679e2f8db14]*/

#define clinic_state() ((_xxsub_state *)PyModule_GetState(module))
#include "clinic/interpfunctions.c.h"
#undef clinic_state


/* --- running code ------------------------------------------------------------- */

/* Return the tuple (result, None, None), or (None, excinfo, exception). */
static PyObject *
run_message(PyObject *module, int64_t id, _PyCall_Kind kind, PyObject *op)
{
    if (PySys_Audit("interpreters.exec", "L", (long long)id) < 0) {
        return NULL;                /* a hook may run code, so this is first */
    }
    _PyMessage *message = _PyMessageObject_Take(op);
    if (message == NULL) {
        return NULL;
    }

    PyObject *excinfo, *exception;
    PyObject *result = _PyCall_Run(PyModule_GetState(module), id, kind, message,
                                   &excinfo, &exception);
    PyObject *exc = PyErr_GetRaisedException();
    _PyMessage_Free(message);
    PyErr_SetRaisedException(exc);
    if (result == NULL && excinfo == NULL) {
        return NULL;
    }
    PyObject *triple = PyTuple_Pack(3, result != NULL ? result : Py_None,
                                    excinfo != NULL ? excinfo : Py_None,
                                    exception != NULL ? exception : Py_None);
    Py_XDECREF(result);
    Py_XDECREF(excinfo);
    Py_XDECREF(exception);
    return triple;
}

/*[clinic input]
_xxsubinterpreters.exec

    id: long_long
    source: object(subclass_of="clinic_state()->Message")
    /

Run packed source text in the __main__ module of an interpreter.

Return (None, None, None), or, if an exception left it, (None, excinfo, copy): its
description, and the exception itself, or None if it could not be copied.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_exec_impl(PyObject *module, long long id,
                             PyObject *source)
/*[clinic end generated code: output=1a1917c237063991 input=fd0e3fa01e21c602]*/
{
    return run_message(module, id, _PyCall_EXEC, source);
}

/*[clinic input]
_xxsubinterpreters.call

    id: long_long
    call: object(subclass_of="clinic_state()->Message")
    /

Call a packed (callable, args tuple, kwargs dict) in an interpreter.

Return (result, None, None), or what exec() returns.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_call_impl(PyObject *module, long long id, PyObject *call)
/*[clinic end generated code: output=b206b8c3906e4bc9 input=6de297c519f747c9]*/
{
    return run_message(module, id, _PyCall_CALL, call);
}

/*[clinic input]
_xxsubinterpreters.update_main

    id: long_long
    namespace: object(subclass_of="clinic_state()->Message")
    /

Update the __main__ module of an interpreter with a packed dict.

Return (None, None, None), or, if an exception left it, (None, excinfo, copy): its
description, and the exception itself, or None if it could not be copied.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_update_main_impl(PyObject *module, long long id,
                                    PyObject *namespace)
/*[clinic end generated code: output=84fd959e195c166c input=ba6aa3fb02e89742]*/
{
    return run_message(module, id, _PyCall_UPDATE, namespace);
}


/* --- interpreters ------------------------------------------------------------- */

/*[clinic input]
_xxsubinterpreters.create

    *
    gil: long_long
    private_extensions: bool

Create an interpreter that uses the GIL of the one with the id gil, or its own if that is -1.

Return its id.  The caller holds one reference to it, to be given back with decref().
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_create_impl(PyObject *module, long long gil,
                               int private_extensions)
/*[clinic end generated code: output=f0d73f123e51d8ec input=bfcdba4eabd7ef3f]*/
/*[clinic end generated code]*/
{
    if (PySys_Audit("interpreters.create", NULL) < 0) {
        return NULL;
    }
    int64_t id = _PyInterp_Create(gil, private_extensions);
    return id < 0 ? NULL : PyLong_FromLongLong(id);
}

/*[clinic input]
_xxsubinterpreters.oldest_of_gil

    id: long_long
    /

Return the id of the oldest interpreter that uses the same GIL as the one of that id.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_oldest_of_gil_impl(PyObject *module, long long id)
/*[clinic end generated code: output=cf9287ecf92a5871 input=826c7e799ae7b2eb]*/
/*[clinic end generated code]*/
{
    int64_t oldest = _PyInterp_OldestOfGIL(id);
    return oldest < 0 ? NULL : PyLong_FromLongLong(oldest);
}

/*[clinic input]
_xxsubinterpreters.gil_stats

    id: long_long
    /

Return what happened at the GIL of the interpreter: counts, and times in nanoseconds.

A tuple of how often it was acquired, how often a thread had to wait for that, how long
these waits took, and how long it was held since the first call.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_gil_stats_impl(PyObject *module, long long id)
/*[clinic end generated code: output=e1bbfd4632cfda90 input=5124ae31f801b898]*/
/*[clinic end generated code]*/
{
    struct _gil_stats stats;
    if (_PyInterp_GetGILStats(id, &stats) < 0) {
        return NULL;
    }
    return Py_BuildValue("KKLL", (unsigned long long)stats.acquisitions,
                         (unsigned long long)stats.waits, (long long)stats.waiting,
                         (long long)stats.holding);
}

/*[clinic input]
_xxsubinterpreters.list_extensions

Return what is known of each private copy of an extension module.

A tuple of its path, its owner's id or -1, nbytes, seconds, and why it is kept or None.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_list_extensions_impl(PyObject *module)
/*[clinic end generated code: output=a71d783f55ee21c1 input=635bfc9265f37059]*/

{
    size_t count;
    _PyExtensionCopies_Info *copies = _PyExtensionCopies_List(&count);
    if (copies == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = Py_BuildValue("NLndz", PyUnicode_DecodeFSDefault(copies[i].path),
                                       (long long)copies[i].owner,
                                       (Py_ssize_t)copies[i].own_size,
                                       PyTime_AsSecondsDouble(copies[i].load_time),
                                       copies[i].kept_for);
        if (item == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, item);
    }
    PyMem_RawFree(copies);
    return list;
}

/*[clinic input]
_xxsubinterpreters.close

    id: long_long
    /

End an interpreter that was created by this module.

InterpreterError if it is running or is the current one.  If others still view
its memory, it stays listed until the last view is released.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_close_impl(PyObject *module, long long id)
/*[clinic end generated code: output=245e87164bcad00a input=0f1795142519b6df]*/
{
    if (_PyInterp_Close(id, _PySignals_CanHandle(_PyThreadState_GET())) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.incref

    id: long_long
    /

Keep an interpreter from being closed until decref().
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_incref_impl(PyObject *module, long long id)
/*[clinic end generated code: output=6a14354e5b660d24 input=fbc128fb0c9996d6]*/
{
    if (_PyInterp_Incref(id) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.decref

    id: long_long
    /

Give a reference back; the last one closes the interpreter.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_decref_impl(PyObject *module, long long id)
/*[clinic end generated code: output=0557589a392b06e7 input=0ea0a36669c508c0]*/
{
    _PyInterp_Decref(id);
    Py_RETURN_NONE;
}

/*[clinic input]
_xxsubinterpreters.is_running

    id: long_long
    /

Return True if a thread runs code in the interpreter, or it is the main one.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_is_running_impl(PyObject *module, long long id)
/*[clinic end generated code: output=c97d4276520d151c input=486ab7a03f72f88e]*/
{
    int running = _PyInterp_IsRunning(id);
    return running < 0 ? NULL : PyBool_FromLong(running);
}

/*[clinic input]
_xxsubinterpreters.interrupt

    id: long_long
    /

Raise KeyboardInterrupt in every call that is in progress; return their number.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_interrupt_impl(PyObject *module, long long id)
/*[clinic end generated code: output=a51326f8a8758300 input=315166debff5ad44]*/
{
    return PyLong_FromSsize_t(
            _PyInterp_Interrupt(id, PyExc_KeyboardInterrupt));
}

/*[clinic input]
_xxsubinterpreters.list_all

Return (id, whence, created by this module) of every interpreter, oldest first.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_list_all_impl(PyObject *module)
/*[clinic end generated code: output=1d421e8a2f8aecc0 input=d2150c915ffa3945]*/
{
    return _PyInterp_List();
}

/*[clinic input]
_xxsubinterpreters.get_current

Return the id of the interpreter that calls this.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_get_current_impl(PyObject *module)
/*[clinic end generated code: output=f629cb3cad790bd0 input=737609a4c1466c53]*/
{
    return PyLong_FromLongLong(
            PyInterpreterState_GetID(PyInterpreterState_Get()));
}

/*[clinic input]
_xxsubinterpreters.get_main

Return the id of the main interpreter.
[clinic start generated code]*/

static PyObject *
_xxsubinterpreters_get_main_impl(PyObject *module)
/*[clinic end generated code: output=83aa8c4141c2b060 input=d081a37049e1d8f5]*/
{
    return PyLong_FromLongLong(
            PyInterpreterState_GetID(PyInterpreterState_Main()));
}

PyMethodDef _PyInterp_functions[] = {
    _XXSUBINTERPRETERS_LIST_EXTENSIONS_METHODDEF
    _XXSUBINTERPRETERS_EXEC_METHODDEF
    _XXSUBINTERPRETERS_CALL_METHODDEF
    _XXSUBINTERPRETERS_UPDATE_MAIN_METHODDEF
    _XXSUBINTERPRETERS_CREATE_METHODDEF
    _XXSUBINTERPRETERS_OLDEST_OF_GIL_METHODDEF
    _XXSUBINTERPRETERS_GIL_STATS_METHODDEF
    _XXSUBINTERPRETERS_CLOSE_METHODDEF
    _XXSUBINTERPRETERS_INCREF_METHODDEF
    _XXSUBINTERPRETERS_DECREF_METHODDEF
    _XXSUBINTERPRETERS_IS_RUNNING_METHODDEF
    _XXSUBINTERPRETERS_LIST_ALL_METHODDEF
    _XXSUBINTERPRETERS_GET_CURRENT_METHODDEF
    _XXSUBINTERPRETERS_GET_MAIN_METHODDEF
    _XXSUBINTERPRETERS_INTERRUPT_METHODDEF
    {NULL},
};
