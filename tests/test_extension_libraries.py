"""Private copies of extension modules and of the libraries that they need."""

import os
import subprocess

import pytest

# A library that calls Python, and has a variable: next() gives START, then one more each time.
LIBRARY = '''
#include "Python.h"
static long n = START;
PyObject *library_next(void) { return PyLong_FromLong(n++); }
'''

# A module NAME with a function next(), which calls that.
MODULE = '''
#include "Python.h"
extern PyObject *library_next(void);
static PyObject *next(PyObject *self, PyObject *unused) { return library_next(); }
static PyMethodDef methods[] = {{"next", next, METH_NOARGS}, {NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "module", .m_size = -1, .m_methods = methods,
};
PyMODINIT_FUNC PyInit_module(void) { return PyModule_Create(&definition); }
'''

PROGRAM = '''
import ctypes, gc, importlib, interpreters, os, sys, threading

def call(name, *args):
    import module
    return getattr(module, name)(*args)

def why_refused(name):
    try:
        __import__(name)
    except ImportError as exc:
        return str(exc)

def count(name='module', n=2):
    """What next() gives in each of two interpreters."""
    interps = [interpreters.create() for _ in range(2)]
    return [[interp.call(call, 'next') for _ in range(n)] for interp in interps]
'''


class Folder:
    """A folder for libraries, and programs that import what is in it."""

    def __init__(self, path, python, compile_library):
        self.path = path
        self.python = python
        self.compile_library = compile_library

    def build(self, name, code, *flags):
        """Make a shared object; the name may have folders."""
        library = self.path / name
        library.parent.mkdir(exist_ok=True)
        source = library.with_suffix('.c')
        source.write_text(code)
        self.compile_library(source, library, *flags)
        return library

    def run(self, program, **environment):
        """The lines that it prints."""
        done = subprocess.run([self.python, '-X', 'faulthandler', '-c', PROGRAM + program],
                              env=dict(os.environ, PYTHONPATH=str(self.path), **environment),
                              cwd=self.path, text=True, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ''), done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def folder(tmp_path, python, compile_library):
    return Folder(tmp_path, python, compile_library)


def build_library(folder, name, start, *flags):
    return folder.build(name, LIBRARY, f'-DSTART={start}', *flags)


OWN = ['[[1, 2], [1, 2]]']


# --- where libraries are ---------------------------------------------------------------

@pytest.mark.parametrize('tags', ['enable', 'disable'])
def test_found_by_the_modules_own_path(folder, tags):
    build_library(folder, 'libone.so', 1, '-Wl,-soname,libone.so')
    folder.build('module.so', MODULE, '-L.', f'-L{folder.path}', '-lone',
                 f'-Wl,--{tags}-new-dtags,-rpath,$ORIGIN')
    assert folder.run('print(count())') == OWN


def test_found_by_ld_library_path_only(folder):
    library = build_library(folder, 'elsewhere/libone.so', 1, '-Wl,-soname,libone.so')
    folder.build('module.so', MODULE, f'-L{library.parent}', '-lone')
    for path in f'{library.parent}', f'/nowhere:{library.parent}', f'/nowhere;{library.parent}':
        assert folder.run('print(count())', LD_LIBRARY_PATH=path) == OWN


@pytest.mark.parametrize('tags,start', [('enable', 1), ('disable', 100)])
def test_ld_library_path_comes_between(folder, tags, start):
    # Before DT_RUNPATH and after DT_RPATH.
    library = build_library(folder, 'elsewhere/libone.so', 1, '-Wl,-soname,libone.so')
    build_library(folder, 'libone.so', 100, '-Wl,-soname,libone.so')
    folder.build('module.so', MODULE, f'-L{library.parent}', '-lone',
                 f'-Wl,--{tags}-new-dtags,-rpath,$ORIGIN')
    assert folder.run('print(count())', LD_LIBRARY_PATH=str(library.parent)) == [
        str([[start, start + 1]] * 2)]


def test_ld_library_path_is_what_it_was_at_the_start(folder):
    # As for the loader.
    library = build_library(folder, 'elsewhere/libone.so', 1, '-Wl,-soname,libone.so')
    folder.build('module.so', MODULE, f'-L{library.parent}', '-lone')
    assert folder.run(f'''
os.environ['LD_LIBRARY_PATH'] = {str(library.parent)!r}
print('libone.so: cannot open' in interpreters.create().call(why_refused, 'module'))
''') == ['True']


def test_found_by_the_loader_only(folder):
    # Here as the process has one of that name; so is what is in a directory of the system.
    library = build_library(folder, 'elsewhere/libone.so', 1, '-Wl,-soname,libone.so')
    folder.build('module.so', MODULE, f'-L{library.parent}', '-lone')
    assert folder.run(f'''
ctypes.PyDLL({str(library)!r})
print(count())
interp = interpreters.create()
interp.call(call, 'next')
print(sorted(os.path.basename(copy.path) for copy in interpreters.list_extensions()))
''') == OWN + ["['libone.so', 'module.so']"]


def test_one_that_does_not_call_python_is_shared(folder):
    library = folder.build('elsewhere/libplain.so', 'long n; long plain(void) { return ++n; }',
                           '-Wl,-soname,libplain.so')
    folder.build('module.so', 'extern long plain(void);\n'
                 + MODULE.replace('return library_next()', 'return PyLong_FromLong(plain())'),
                 f'-L{library.parent}', '-lplain')
    assert folder.run('print(count(n=1))', LD_LIBRARY_PATH=str(library.parent)) == ['[[1], [2]]']


# --- what libraries are called ---------------------------------------------------------

def test_without_a_name_of_its_own(folder):
    # It is known by its file's.
    build_library(folder, 'libone.so', 1)
    folder.build('module.so', MODULE, f'-L{folder.path}', '-lone', '-Wl,-rpath,$ORIGIN')
    assert folder.run('print(count())') == OWN


def test_known_by_another_name(folder):
    library = build_library(folder, 'libone.so.1', 1, '-Wl,-soname,libone.so.1.2.3')
    folder.build('module.so', MODULE, str(library), '-Wl,-rpath,$ORIGIN')
    library.rename(folder.path / 'libone.so.1.2.3')
    assert folder.run('print(count())') == OWN
    # By a longer one, and by a shorter one.
    for name in 'libone.so.1.2.3.4', 'libone.so.1':
        stub = build_library(folder, 'stub.so', 1, f'-Wl,-soname,{name}')
        folder.build('module.so', MODULE, str(stub), '-Wl,-rpath,$ORIGIN')
        stub.unlink()
        link = folder.path / name
        link.symlink_to('libone.so.1.2.3')
        assert folder.run('print(count())') == OWN
        link.unlink()


def test_known_by_its_path(folder):
    library = build_library(folder, 'elsewhere/one.so', 1)
    folder.build('module.so', MODULE, str(library))
    assert folder.run('print(count())') == OWN


def test_a_name_that_is_too_short(folder):
    library = build_library(folder, 'one.so', 1, '-Wl,-soname,one.so')
    folder.build('module.so', MODULE, str(library), '-Wl,-rpath,$ORIGIN')
    [reason] = folder.run("print(interpreters.create().call(why_refused, 'module'))")
    assert str(library) in reason and 'too short' in reason


def test_a_name_that_is_part_of_another(folder):
    library = build_library(folder, 'libone.so', 1, '-Wl,-soname,libone.so')
    folder.build('module.so', '__attribute__((visibility("default"))) int x '
                 '__asm__("and_libone.so");\n' + MODULE, str(library), '-Wl,-rpath,$ORIGIN',
                 '-Wl,-O2')
    [reason] = folder.run("print(interpreters.create().call(why_refused, 'module'))")
    assert str(library) in reason and 'part of another' in reason


# --- several threads -------------------------------------------------------------------

# A module that is called by two names, and whose constructor tells that it runs, with the GIL
# released, and waits until it is told to go on.
SLOW = '''
#include "Python.h"
#include <unistd.h>
static int constructed;
__attribute__((constructor)) static void construct(void)
{
    const char *going = getenv("GOING"), *go_on = getenv("GO_ON");
    if (going != NULL) {
        char c = '.';
        Py_BEGIN_ALLOW_THREADS
        if (write(atoi(going), &c, 1) < 0 || read(atoi(go_on), &c, 1) < 0) {
            abort();
        }
        Py_END_ALLOW_THREADS
        Py_XDECREF(PyImport_ImportModule("IMPORTS"));
        PyErr_Clear();
    }
    constructed = 1;
}
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "slow", .m_size = -1};
static PyObject *init(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddIntConstant(module, "constructed", constructed) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
PyMODINIT_FUNC PyInit_slow1(void) { return init(); }
PyMODINIT_FUNC PyInit_slow2(void) { return init(); }
'''


@pytest.mark.parametrize('imports', ['os', 'slow1', 'slow3'])
def test_two_threads_load_one_library(folder, imports):
    # The second one waits until the first has called the constructors; these may import.
    folder.build('slow1.so', SLOW.replace('IMPORTS', imports))
    for name in 'slow2', 'slow3':
        (folder.path / f'{name}.so').symlink_to('slow1.so')
    assert folder.run('''
def states(tasks):
    for task in tasks:
        try:
            with open(f'/proc/self/task/{task}/stat') as f:
                yield f.read().rpartition(')')[2].split()[0]
        except OSError:
            yield 'ended'
going, going_end = os.pipe()
go_on, go_on_end = os.pipe()
interp = interpreters.create()
interp.exec(f'import os; os.environ |= dict(GOING="{going_end}", GO_ON="{go_on}")')
def load(name):
    return __import__(name).constructed
first = interp.submit(load, 'slow1')
os.read(going, 1)
before = set(os.listdir('/proc/self/task'))
second = interp.submit(load, 'slow2')
# Give it the chance to be too early: until it is done, or sleeps.
asleep = 0
while not second.done() and asleep < 100:
    new = set(os.listdir('/proc/self/task')) - before
    asleep = asleep + 1 if set(states(new)) <= {'S'} else 0
os.write(go_on_end, b'.')
print(first.result(), second.result(), len(interpreters.list_extensions()))
''') == ['1 1 1']


def test_a_constructor_imports_what_needs_its_library(folder):
    folder.build('libone.so', LIBRARY + '''
__attribute__((constructor)) static void construct(void)
{
    Py_XDECREF(PyImport_ImportModule("module"));
    PyErr_Clear();
}''', '-DSTART=1', '-Wl,-soname,libone.so')
    folder.build('module.so', MODULE, f'-L{folder.path}', '-lone', '-Wl,-rpath,$ORIGIN')
    assert folder.run('''
interp = interpreters.create()
print(interp.call(call, 'next'), len(interpreters.list_extensions()))
''') == ['1 2']


def test_many_threads_load_libraries(folder):
    for i in range(4):
        build_library(folder, f'libone{i}.so', 1, f'-Wl,-soname,libone{i}.so')
    folder.build('module.so', MODULE, f'-L{folder.path}', '-Wl,--no-as-needed',
                 *(f'-lone{i}' for i in range(4)), '-Wl,-rpath,$ORIGIN')
    assert folder.run('''
def load():
    import module
    return module.next()
for _ in range(20):
    interp = interpreters.create()
    assert sorted(f.result() for f in [interp.submit(load) for _ in range(4)]) == [1, 2, 3, 4]
    assert len(interpreters.list_extensions()) == 5
    interp.close()
print('done')
''') == ['done']


# --- variables of threads --------------------------------------------------------------

# Of the kind for which the loader has little space, and does not give back what was taken.
THREAD_LOCAL = MODULE.replace('extern PyObject *library_next(void);', '''
static __thread long values[32] __attribute__((tls_model("initial-exec")));
static PyObject *library_next(void) { return PyLong_FromLong(++values[31]); }
''')


@pytest.mark.parametrize('which', ['module.so', 'libone.so', 'module.so with a library'])
def test_no_space_for_variables_of_threads(folder, which):
    # Those that have a copy go on, and what failed leaves nothing.
    flags = ['-Wl,--no-as-needed', f'-L{folder.path}', '-lone', '-Wl,-rpath,$ORIGIN']
    which, _, with_library = which.partition(' ')
    if which == 'libone.so':
        code = THREAD_LOCAL.replace('static PyObject *library_next', 'PyObject *library_next')
        folder.build('libone.so', code, '-Wl,-soname,libone.so')
        folder.build('module.so', MODULE, *flags)
    else:
        build_library(folder, 'libone.so', 1)
        folder.build('module.so', THREAD_LOCAL, *flags * bool(with_library))
    out = folder.run('''
interps, refused = [], []
while len(refused) < 20:
    interps.append(interpreters.create())
    reason = interps[-1].call(why_refused, 'module')
    if reason is not None:
        refused.append(reason)
        interps.pop().close()
    if len(refused) == 10:
        before = os.listdir('/proc/self/fd'), len(interpreters.list_extensions())
print(before == (os.listdir('/proc/self/fd'), len(interpreters.list_extensions())))
print(len(interps) > 0, [{interp.call(call, 'next') for interp in interps} for _ in range(2)])
print(*set(refused))
''')
    assert out[:2] == ['True', 'True [{1}, {2}]']
    assert out[2:] == [f'{folder.path}/{which}: cannot allocate memory in static TLS block']
