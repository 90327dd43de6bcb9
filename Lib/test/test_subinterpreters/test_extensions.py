"""Extension modules that know nothing of interpreters with a GIL of their own."""

import os
import shutil
import struct
import sys
import textwrap
import tracemalloc
import unittest

import interpreters
from test import support
from test.support import import_helper, os_helper, refleak_helper, script_helper
from test.test_subinterpreters.support import TestCase


def state_of(name):
    """What the module keeps in C variables, and where one of its objects is."""
    module = __import__(name)
    return module.initialized_count(), module.sum(1, 2), id(module.error)


def loaded_size(library):
    """Where what is loaded of a library ends in its file (program headers of ELF)."""
    PT_LOAD = 1
    [first] = struct.unpack_from('Q', library, 32)
    size, number = struct.unpack_from('HH', library, 54)
    segments = [struct.unpack_from('IIQQQQ', library, first + i * size) for i in range(number)]
    return max(offset + filesz for kind, _, offset, _, _, filesz in segments if kind == PT_LOAD)


skip_if_copies_stay = unittest.skipIf(support.check_sanitizer(address=True, thread=True),
                                      'what a sanitizer compiles is not unloaded')


class CopyTests(TestCase):
    """The standard library is never copied; a test module elsewhere is."""

    def setUp(self):
        super().setUp()
        self.original = import_helper.import_module('_testsinglephase')
        self.folder = self.enterContext(os_helper.temp_dir())
        shutil.copy(self.original.__file__, self.folder)
        self.enterContext(import_helper.DirsOnSysPath())
        sys.path.insert(0, self.folder)

    def test_each_interpreter_has_variables_of_its_own(self):
        first, second = self.create(), self.create()
        count = self.original.initialized_count()
        self.assertEqual(first.call(state_of, '_testsinglephase')[:2], (1, 3))
        self.assertEqual(second.call(state_of, '_testsinglephase')[:2], (1, 3))
        self.assertNotEqual(first.call(state_of, '_testsinglephase')[2],
                            second.call(state_of, '_testsinglephase')[2])
        self.assertEqual(self.original.initialized_count(), count)

    def test_imported_again(self):
        def again():
            import sys
            import _testsinglephase as before
            del sys.modules['_testsinglephase']
            import _testsinglephase as after
            return before is after, after.initialized_count(), after.sum(3, 4)
        self.assertEqual(self.create().call(again), (False, 1, 7))

    def test_refused(self):
        # Of the list in Include/internal/pycore_extensionrefusals.h.
        path = os.path.join(self.folder, '_testrefused.so')
        shutil.copy(self.original.__file__, path)
        with self.assertRaises(interpreters.ExecutionFailed) as caught:
            self.create().call(__import__, '_testrefused')
        exc = caught.exception.exception
        self.assertIs(type(exc), ImportError)
        self.assertEqual(exc.name, '_testrefused')
        self.assertEqual(str(exc), '_testrefused: it cannot be used in an interpreter with a '
                                   'GIL of its own: it is for testing')

    @skip_if_copies_stay
    def test_listed(self):
        path = os.path.join(self.folder, os.path.basename(self.original.__file__))
        def copies():
            return [copy for copy in interpreters.list_extensions() if copy.path == path]
        self.assertEqual(copies(), [])
        first, second = self.create(), self.create()
        for interp in first, second:
            interp.call(state_of, '_testsinglephase')
            interp.call(state_of, '_testsinglephase')
        self.assertEqual([copy.owner for copy in copies()], [first, second])
        size = os.path.getsize(path)
        for copy in copies():
            self.assertTrue(0 < copy.nbytes < size, (copy, size))
            self.assertGreater(copy.seconds, 0)
            self.assertIsNone(copy.kept_for)
        first.close()
        self.assertEqual([copy.owner for copy in copies()], [second])

    def test_the_process_exits_while_a_daemon_thread_runs(self):
        # What the runtime keeps for another import is of the interpreter's allocator.
        self.assertEqual(self.run_script("""
            import interpreters, sys
            sys.path.insert(0, sys.argv[2])
            def start():
                import _testsinglephase, threading, time
                threading.Thread(target=time.sleep, args=[1000], daemon=True).start()
            interp = interpreters.create()
            interp.call(start)
            print('started')
            """), ['started'])

    @skip_if_copies_stay
    def test_no_block_is_left(self):
        def cycle():
            with interpreters.create() as interp:
                interp.call(state_of, '_testsinglephase')
        for _ in range(5):
            cycle()
        before = sys.getallocatedblocks()
        for _ in range(40):
            cycle()
        # Less than one of each.
        self.assertLess(sys.getallocatedblocks() - before, 40)

    @unittest.skipIf(refleak_helper.hunting_for_refleaks(),
                     'each original stays, with what it refers to')
    def test_strict_refuses(self):
        if refleak_helper.hunting_for_refleaks():
            self.skipTest('CPython keeps the module of each new folder, which it initialises to see')
        interp = self.create(extensions='strict')
        with self.assertRaises(interpreters.ExecutionFailed) as caught:
            interp.call(state_of, '_testsinglephase')
        self.assertIs(type(caught.exception.exception), ImportError)
        self.assertIn('does not support loading in subinterpreters',
                      str(caught.exception.exception))

    def test_the_standard_library_is_not_copied(self):
        sys.path.remove(self.folder)
        with self.assertRaises(interpreters.ExecutionFailed) as caught:
            self.create().call(state_of, '_testsinglephase')
        self.assertIs(type(caught.exception.exception), ImportError)

    def test_an_unknown_kind_is_refused(self):
        with self.assertRaisesRegex(ValueError, 'extensions must be'):
            interpreters.create(extensions='shared')

    def test_a_damaged_file_is_refused(self):
        def load(name):
            try:
                __import__(name)
            except ImportError as exc:
                return exc.name, exc.path, str(exc)
        with open(self.original.__file__, 'rb') as f:
            whole = f.read()
        for name, content in [
                ('empty_file', b''),
                ('text_file', b'not a library ' * 10),
                ('cut_file', whole[:4096]),
                ('nearly_loaded_file', whole[:loaded_size(whole) - 1]),
                ('zeros_file', whole[:64] + bytes(len(whole) - 64))]:
            with self.subTest(name):
                path = os.path.join(self.folder, f'{name}.so')
                with open(path, 'wb') as f:
                    f.write(content)
                module, where, text = self.create().call(load, name)
                self.assertEqual((module, where), (name, path))
                self.assertIn(path, text)

    def test_cut_at_random_places(self):
        # In a process of its own, should one of them pass for whole.
        script = textwrap.dedent('''
            import interpreters, os, random, sys
            source, folder, seed = sys.argv[1:]
            rnd = random.Random(int(seed))
            whole = open(source, 'rb').read()
            sys.path.insert(0, folder)
            def load(name):
                try:
                    __import__(name)
                except ImportError:
                    return 'refused'
            interp = interpreters.create()
            for i in range(30):
                data = bytearray(whole[:rnd.randrange(64, len(whole))])
                with open(os.path.join(folder, f'm{i}.so'), 'wb') as f:
                    f.write(data)
                assert interp.call(load, f'm{i}') == 'refused'
            print('done')
            ''')
        _, out, _ = script_helper.assert_python_ok(
            '-c', script, self.original.__file__, self.folder, '1')
        self.assertEqual(out.strip(), b'done')

    def run_script(self, script):
        """Run code in a process of its own, with the test module's path and folder."""
        _, out, _ = script_helper.assert_python_ok(
            '-c', textwrap.dedent(script), self.original.__file__, self.folder)
        return out.decode().split()

    def test_audited(self):
        self.assertEqual(self.run_script("""
            import interpreters, os, sys
            sys.path.insert(0, sys.argv[2])
            def add_hook():
                import sys
                events = sys.events = []
                def hook(event, args):
                    if event == 'interpreters.load_copy':
                        events.append(args)
                sys.addaudithook(hook)
            def load():
                import sys, _testsinglephase, json
                return sys.events
            interp = interpreters.create()
            interp.call(add_hook)
            [(path,)] = interp.call(load)
            assert path == os.path.join(sys.argv[2], os.path.basename(sys.argv[1]))
            print('audited')
            """), ['audited'])

    # Systems may forbid files in memory, or to execute them.
    FORBID_FILES_IN_MEMORY = """
            import ctypes, platform, sys
            import interpreters
            sys.path.insert(0, sys.argv[2])
            number = {'x86_64': 319, 'aarch64': 279}[platform.machine()]
            class Instruction(ctypes.Structure):
                _fields_ = [('code', ctypes.c_uint16), ('true', ctypes.c_uint8),
                            ('false', ctypes.c_uint8), ('k', ctypes.c_uint32)]
            class Program(ctypes.Structure):
                _fields_ = [('length', ctypes.c_uint16),
                            ('instructions', ctypes.POINTER(Instruction))]
            LOAD, EQUAL, RETURN, ALLOW, EPERM = 0x20, 0x15, 0x06, 0x7fff0000, 0x50001
            program = (Instruction * 4)(
                (LOAD, 0, 0, 0), (EQUAL, 0, 1, number), (RETURN, 0, 0, EPERM),
                (RETURN, 0, 0, ALLOW))
            libc = ctypes.CDLL(None, use_errno=True)
            NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
            if (libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
                or libc.prctl(SECCOMP, FILTER, ctypes.byref(Program(4, program)), 0, 0)):
                print('cannot')
                sys.exit()
            def load():
                import _testsinglephase
                return _testsinglephase.sum(1, 2)
            """

    def run_without_files_in_memory(self, script):
        out = self.run_script(textwrap.dedent(self.FORBID_FILES_IN_MEMORY)
                              + textwrap.dedent(script))
        if out == ['cannot']:
            self.skipTest('this system does not let a process forbid itself system calls')
        return out

    def test_a_temporary_file_does_as_well(self):
        self.assertEqual(self.run_without_files_in_memory("""
            import os, tempfile
            parents = ['/tmp', '/var/tmp', '/dev/shm']
            os.environ['TMPDIR'] = parents[0] = tempfile.mkdtemp(dir=sys.argv[2])
            interp = interpreters.create()
            assert interp.call(load) == 3
            assert os.listdir(parents[0]) == []
            with open('/proc/self/maps') as f:
                assert f'{parents[0]}/python-copy-' in f.read()
            print('done')
            """), ['done'])

    def test_neither_is_possible(self):
        # No new files: a limit of their size.
        self.assertEqual(self.run_without_files_in_memory("""
            import resource, signal
            interp = interpreters.create()
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            try:
                interp.call(load)
            except interpreters.ExecutionFailed as exc:
                assert type(exc.exception) is ImportError
                text = str(exc.exception)
                assert 'Operation not permitted' in text, text
                assert 'memfd' in text and 'TMPDIR' in text, text
                print('refused')
            """), ['refused'])


class NativeCodeTests(TestCase):
    """A copy of _testcapi, and threads it starts that know nothing of Python."""

    def setUp(self):
        super().setUp()
        if refleak_helper.hunting_for_refleaks():
            self.skipTest('a copy that can start threads is kept, with what it refers to')
        original = import_helper.import_module('_testcapi')
        folder = self.enterContext(os_helper.temp_dir())
        shutil.copy(original.__file__, folder)
        self.enterContext(import_helper.DirsOnSysPath(folder))
        sys.path.insert(0, folder)

    def test_it_reaches_the_interpreter_of_the_copy(self):
        def in_native_thread():
            import _testcapi
            import threading
            import interpreters
            seen = []
            def callback():
                seen.append((interpreters.get_current().id, threading.get_ident()))
            for _ in range(3):
                _testcapi._test_thread_state(callback)
            ids = {id for id, _ in seen}
            return ids, len(seen), len({thread for _, thread in seen}) > 1
        for _ in range(2):
            interp = self.create()
            ids, calls, several = interp.call(in_native_thread)
            self.assertEqual(ids, {interp.id})
            self.assertGreater(calls, 3)
            self.assertTrue(several)

    def test_close_waits_for_it(self):
        def leave_one_behind(started, recv, done):
            import _testcapi
            def callback():
                started.send(None)
                try:
                    recv.recv()
                except BaseException as exc:
                    done.send(type(exc).__name__)
                else:
                    done.send('received')
            _testcapi.call_in_temporary_c_thread(callback, False)
        started, started_send = interpreters.create_channel(None)
        recv, send = interpreters.create_channel(None)
        done, done_send = interpreters.create_channel(None)
        interp = self.create()
        interp.call(leave_one_behind, started_send, recv, done_send)
        started.recv()
        interp.close()
        self.assertNotEqual(done.recv_nowait(), 'received')
        self.assertNotIn(interp.id, [i.id for i in interpreters.list_all()])


class DaemonThreadTests(TestCase):
    """Extension modules that know nothing of interpreters may come with code that needs them."""

    def test_strict_refuses(self):
        def start():
            import threading
            threading.Thread(target=int, daemon=True).start()
        interp = self.create(extensions='strict')
        with self.assertRaises(interpreters.ExecutionFailed) as caught:
            interp.call(start)
        self.assertIs(type(caught.exception.exception), RuntimeError)
        self.assertIn('daemon threads are disabled', str(caught.exception.exception))

    def test_threads_are_none_unless_asked_for(self):
        # Such as one that a thread from another interpreter starts.
        ended, ended_send = interpreters.create_channel(1)
        def start(ended):
            import threading
            closing = threading.Event()
            threading._register_atexit(closing.set)
            def run():
                closing.wait()
                ended.send(threading.current_thread().daemon)
            threading.Thread(target=run).start()
            return threading.current_thread().daemon
        interp = self.create()
        self.assertIs(interp.submit(start, ended_send).result(), False)
        interp.close()
        self.assertIs(ended.recv_nowait(), False)

    def test_close_while_one_runs(self):
        def start():
            import builtins, threading
            builtins.end = threading.Event()
            builtins.thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
        interp = self.create()
        interp.call(start)
        with self.assertRaisesRegex(interpreters.InterpreterError, 'threads'):
            interp.close()
        self.assertIn(interp, interpreters.list_all())
        interp.exec('end.set(); thread.join()')
        interp.close()
        self.assertNotIn(interp, interpreters.list_all())

    def test_exit_functions_end_some(self):
        # As pymongo's do.
        def start(ended):
            import atexit, threading
            def run():
                end.wait()
                ended.send(None)
            end = threading.Event()
            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            atexit.register(ended.close)
            atexit.register(thread.join)
            atexit.register(end.set)
        ended, ended_send = interpreters.create_channel(None)
        interp = self.create()
        interp.call(start, ended_send)
        ended_send.close()
        interp.close()
        self.assertEqual(list(ended), [None])

    def test_exit_functions_run_once(self):
        # In the first attempt to close, when there are threads that cannot be waited for.
        def start(called):
            import atexit, builtins, threading
            builtins.end = threading.Event()
            builtins.thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            atexit.register(called.send, None)
        called, called_send = interpreters.create_channel(None)
        interp = self.create()
        interp.call(start, called_send)
        for _ in range(2):
            with self.assertRaisesRegex(interpreters.InterpreterError, 'threads'):
                interp.close()
        interp.exec('end.set(); thread.join()')
        interp.close()
        called_send.close()
        self.assertEqual(list(called), [None])

    def test_the_process_exits_while_some_run(self):
        # In Python, in the engine, in C, and in the interpreter from outside.
        _, out, err = script_helper.assert_python_ok('-c', textwrap.dedent("""
            import interpreters, sys, threading
            def start(started, never):
                import atexit, sys, threading, time
                atexit.register(print, 'exit function')
                def wait():
                    started.send(None)
                    never.recv()
                def run():
                    started.send(None)
                    while True:
                        pass
                def sleep():
                    started.send(None)
                    time.sleep(1000)
                for target in wait, run, sleep, run:
                    threading.Thread(target=target, daemon=True).start()
                    started.send(None)
                print('started', end=' ')
            started, started_send = interpreters.create_channel(None)
            never, keep = interpreters.create_channel()
            for _ in range(3):
                interp = interpreters.create()
                interp.call(start, started_send, never)
                threading.Thread(target=interp.exec, args=['while True: pass'],
                                 daemon=True).start()
                for _ in range(8):
                    started.recv()
            """))
        self.assertEqual((out.split(), err), ([b'started', b'exit', b'function'] * 3, b''))


class FaulthandlerTests(TestCase):

    def test_what_is_for_the_whole_process_is_refused(self):
        def use():
            import faulthandler, signal, tempfile
            results = {}
            for name, args in [('enable', ()), ('disable', ()),
                               ('dump_traceback_later', (100,)),
                               ('cancel_dump_traceback_later', ()),
                               ('register', (signal.SIGUSR2,)),
                               ('unregister', (signal.SIGUSR2,))]:
                try:
                    results[name] = getattr(faulthandler, name)(*args)
                except RuntimeError as exc:
                    results[name] = 'is for the whole process' in str(exc)
            with tempfile.TemporaryFile() as f:
                faulthandler.dump_traceback(f)
                f.seek(0)
                dump = f.read()
            return results, b'in use' in dump, type(faulthandler.is_enabled())
        results, dumped, kind = self.create().call(use)
        self.assertEqual(results, dict.fromkeys(results, True))
        self.assertEqual(len(results), 6)
        self.assertTrue(dumped)
        self.assertIs(kind, bool)


class TracemallocTests(TestCase):

    def test_what_is_for_the_whole_process_is_refused(self):
        def use():
            import _tracemalloc, tracemalloc
            results = {}
            for name in 'start', 'stop', 'clear_traces', '_get_traces', 'reset_peak':
                try:
                    results[name] = getattr(_tracemalloc, name)()
                except RuntimeError as exc:
                    results[name] = 'is for the whole process' in str(exc)
            return results, tracemalloc.is_tracing(), type(tracemalloc.get_traced_memory())
        results, tracing, kind = self.create().call(use)
        self.assertEqual(results, dict.fromkeys(results, True))
        self.assertEqual(len(results), 5)
        self.assertIs(tracing, tracemalloc.is_tracing())
        self.assertIs(kind, tuple)

    def test_traces_outlive_the_interpreter(self):
        # They refer to names of files, which must not be its own.
        script = textwrap.dedent('''
            import interpreters, tracemalloc
            interp = interpreters.create()
            tracemalloc.start(5)
            interp.exec('kept = eval(compile("[object() for _ in range(99)]", "its" + " file", "eval"))')
            before = tracemalloc.take_snapshot()
            assert sum(trace.size for trace in before.traces) > 99 * 16
            names = {frame.filename for trace in before.traces for frame in trace.traceback}
            assert 'its file' not in names, names
            interp.close()
            tracemalloc.take_snapshot()
            tracemalloc.stop()
            ''')
        script_helper.assert_python_ok('-I', '-c', script)


class FirstImportTests(unittest.TestCase):

    def test_ctypes_at_the_same_time(self):
        # They share a table that the first one fills.  That the others wait for it is seen by
        # ThreadSanitizer; without it they rarely come in time.
        script = textwrap.dedent('''
            import concurrent.futures, interpreters, threading
            interps = [interpreters.create() for _ in range(4)]
            ready = threading.Barrier(len(interps))
            def use(interp):
                ready.wait()
                interp.exec('import ctypes')
            with concurrent.futures.ThreadPoolExecutor(len(interps)) as pool:
                list(pool.map(use, interps))
            ''')
        script_helper.assert_python_ok('-I', '-c', script)


class StaticTypesTests(unittest.TestCase):

    def test_datetime_first_in_others(self):
        # In a process that did not import it in the main interpreter.
        for order in 'interps', 'reversed(interps)':
            script = textwrap.dedent(f'''
                import interpreters, sys
                interps = [interpreters.create() for _ in range(3)]
                for interp in interps:
                    interp.exec('from _datetime import date; date(2000, 1, 1).isoformat()')
                assert 'datetime' not in sys.modules
                for interp in {order}:
                    interp.close()
                from _datetime import date
                print(date(2001, 2, 3))
                ''')
            with self.subTest(order):
                _, out, _ = script_helper.assert_python_ok('-I', '-c', script)
                self.assertEqual(out.strip(), b'2001-02-03')


if __name__ == '__main__':
    unittest.main()
