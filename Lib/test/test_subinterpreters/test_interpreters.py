"""Interpreter objects: creating, running code, closing."""

import os
import pickle
import sys
import threading
import traceback
import unittest
import weakref

import interpreters
from interpreters import (
    ExecutionFailed, InterpreterError, InterpreterNotFoundError,
    create_channel)
from test.support import import_helper, os_helper, requires_subprocess
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import TestCase, unsendable, wait_until


def add(a, b=0, *, c=0):
    return a + b + c


def fail(message):
    raise LookupError(message)


def fail_with_cause(message):
    try:
        1 / 0
    except ZeroDivisionError as exc:
        error = LookupError(message)
        error.add_note('a note')
        raise error from exc


def wait_for(recv):
    return recv.recv()


class CreateTests(TestCase):

    def test_new_interpreters_are_listed_after_older_ones(self):
        a, b = self.create(), self.create()
        self.assertEqual(interpreters.list_all()[-2:], [a, b])
        self.assertLess(a.id, b.id)

    def test_there_is_one_object_for_an_interpreter(self):
        interp = self.create()
        self.assertIs(interpreters.Interpreter(interp.id), interp)
        self.assertIs(interpreters.list_all()[-1], interp)
        self.assertIs(pickle.loads(pickle.dumps(interp)), interp)

    def test_main_and_current(self):
        main = interpreters.get_main()
        self.assertEqual(main.id, 0)
        self.assertTrue(main.is_running())
        self.assertEqual(main.whence, 'runtime init')
        interp = self.create()
        interp.exec(f'''if True:
            import interpreters
            assert interpreters.get_current().id == {interp.id}
            assert interpreters.get_main().id == 0
            ''')

    def test_name(self):
        interp = self.create(name='worker')
        self.assertEqual(interp.name, 'worker')
        self.assertIn("'worker'", repr(interp))
        self.assertIsNone(self.create().name)
        with self.assertRaises(TypeError):
            interpreters.create(name=1)

    def test_unknown_interpreter(self):
        with self.assertRaises(InterpreterNotFoundError):
            interpreters.Interpreter(10**6)
        for bad in ('1', 1.0, True):
            with self.subTest(bad), self.assertRaises(TypeError):
                interpreters.Interpreter(bad)

    def test_interpreters_can_be_sent(self):
        a, b = self.create(), self.create()
        self.assertEqual(a.call(_id_of, b), b.id)
        recv, send = create_channel(1)
        send.send([a])
        self.assertIs(recv.recv()[0], a)

    def test_created_inside_another(self):
        outer = self.create()
        outer.exec('''if True:
            import interpreters
            inner = interpreters.create()
            inner.exec('x = 1')
            inner.exec('assert x == 1')
            inner.close()
            ''')

    @requires_subprocess()
    def test_the_module_is_imported_before_it_is_created(self):
        # By its sitecustomize.
        folder = self.enterContext(os_helper.temp_dir())
        with open(os.path.join(folder, 'sitecustomize.py'), 'w') as f:
            f.write('import interpreters; me = interpreters.get_current()')
        rc, out, err = assert_python_ok('-c', """if True:
            import interpreters
            interp = interpreters.create()
            print(interp.call(sum, [1, 2]))
            interp.close()
            print(len(interpreters.list_all()))
            """, PYTHONPATH=folder)
        self.assertEqual(out.split(), [b'3', b'1'])

    def test_interpreters_do_not_share_modules(self):
        interp = self.create()
        interp.exec('import math; math.pi = 3')
        import math
        self.assertNotEqual(math.pi, 3)
        self.create().exec('import math; assert math.pi != 3')


def _id_of(interp):
    return interp.id


class RunTests(TestCase):

    def test_exec_runs_in_main_and_state_stays(self):
        interp = self.create()
        interp.exec('x = 1')
        interp.exec('x += 1')
        interp.exec('assert x == 2 and __name__ == "__main__"')

    def test_exec_takes_text_as_it_is(self):
        interp = self.create()
        interp.exec('# coding: latin-1\nassert len("é") == 1')
        with self.assertRaises(ExecutionFailed) as caught:
            interp.exec('x = 1\0; y = 2')
        self.assertEqual(caught.exception.excinfo.type.__name__, 'SyntaxError')

    def test_exec_wants_source(self):
        interp = self.create()
        for bad in (None, 1, b'x = 1', add):
            with self.subTest(bad), self.assertRaises(TypeError):
                interp.exec(bad)

    def test_call_returns_the_result(self):
        interp = self.create()
        self.assertEqual(interp.call(add, 1), 1)
        self.assertEqual(interp.call(add, 1, b=2, c=3), 6)

    def test_call_in_the_current_interpreter(self):
        self.assertEqual(interpreters.get_current().call(add, 1, 2), 3)

    def test_call_back_into_main(self):
        interp = self.create()
        self.assertEqual(interp.call(_call_main, interpreters.get_main()), 0)

    def test_prepare_main(self):
        interp = self.create()
        interp.prepare_main({'a': [1]}, b=2)
        interp.exec('assert a == [1] and b == 2')
        with self.assertRaises(interpreters.NotShareableError):
            interp.prepare_main(c=unsendable())

    def test_modules_are_found_where_the_creator_finds_them(self):
        with os_helper.temp_dir() as folder:
            with open(os.path.join(folder, 'only_in_this_folder.py'), 'w') as f:
                f.write('def f(): return __name__')
            with import_helper.DirsOnSysPath(folder):
                import only_in_this_folder
                self.addCleanup(sys.modules.pop, 'only_in_this_folder')
                self.assertEqual(self.create().call(only_in_this_folder.f),
                                 'only_in_this_folder')
                class Path(str):
                    pass
                entry = Path('of a class')
                entry.lock = threading.Lock()
                sys.path += [b'not a str', entry]
                path = self.create().call(eval, '__import__("sys").path', {})
                self.assertEqual(path[-1], 'of a class')
                self.assertEqual({type(entry) for entry in path}, {str})
            path = self.create().call(eval, '__import__("sys").path', {})
        self.assertEqual(path, sys.path)

    def test_exception_leaves_a_description(self):
        interp = self.create()
        with self.assertRaises(ExecutionFailed) as caught:
            interp.call(fail, 'gone')
        excinfo = caught.exception.excinfo
        self.assertEqual(excinfo.type.__name__, 'LookupError')
        self.assertEqual(excinfo.msg, 'gone')
        self.assertEqual(excinfo.formatted, 'LookupError: gone')
        self.assertEqual(interp.call(add, 1), 1)        # still usable

    def test_exception_arrives_as_a_copy(self):
        interp = self.create()
        with self.assertRaises(ExecutionFailed) as caught:
            interp.call(fail_with_cause, 'gone')
        exc = caught.exception.exception
        self.assertIs(caught.exception.__cause__, exc)
        self.assertIs(type(exc), LookupError)
        self.assertEqual(exc.args, ('gone',))
        self.assertEqual(exc.__notes__, ['a note'])
        self.assertIs(type(exc.__cause__), ZeroDivisionError)
        text = ''.join(traceback.format_exception(caught.exception))
        for part in ('1 / 0', '~~^~~', 'ZeroDivisionError: division by zero',
                     'raise error from exc', 'LookupError: gone\na note',
                     'ExecutionFailed: LookupError: gone'):
            with self.subTest(part):
                self.assertEqual(text.count(part), 1)

    def test_exception_of_a_future_is_itself_from_what_failed(self):
        interp = self.create()
        for function, error in ((fail, LookupError), (fail_with_cause, ZeroDivisionError)):
            future = interp.submit(function, 'gone')
            with self.assertRaises(LookupError) as caught:
                future.result()
            exc = caught.exception
            while type(exc) is not error:
                exc = exc.__cause__
            self.assertIsInstance(exc.__cause__, ExecutionFailed)
            self.assertIsNone(exc.__cause__.__cause__)
            self.assertEqual(exc.__cause__.excinfo.msg, 'gone')

    def test_exception_of_code_that_unloads_the_engine(self):
        interp = self.create()
        with self.assertRaises(ExecutionFailed) as caught:
            interp.exec('''if True:
                import gc, sys
                for name in 'interpreters', '_xxsubinterpreters', '_interpreters_reduce':
                    sys.modules.pop(name, None)
                gc.collect()
                raise LookupError('gone')
                ''')
        self.assertEqual(caught.exception.exception.args, ('gone',))

    def test_exception_that_cannot_be_copied_is_still_described(self):
        interp = self.create()
        interp.exec('''if True:
            import sys
            class Stubborn(Exception):
                def __reduce_ex__(self, protocol):
                    raise LookupError
            class Meta(type):
                def __reduce_ex__(cls, protocol):
                    raise LookupError
            class Hidden(Exception, metaclass=Meta):
                pass
            Hidden.lock = sys._getframe()
            Stubborn.frame = sys._getframe()
            ''')
        for name in ('Stubborn', 'Hidden'):
            with self.subTest(name), self.assertRaises(ExecutionFailed) as caught:
                interp.exec(f'raise {name}("why")')
            self.assertIsNone(caught.exception.exception)
            self.assertIn('Uncaught in the interpreter', str(caught.exception))
            self.assertIn(f'{name}: why', str(caught.exception))

    def test_exception_that_cannot_be_described(self):
        interp = self.create()
        with self.assertRaises(InterpreterError) as caught:
            interp.exec('''if True:
                class Bad(Exception):
                    def __str__(self): raise Bad
                raise Bad
                ''')
        self.assertNotIsInstance(caught.exception, ExecutionFailed)

    def test_exception_whose_traceback_cannot_be_described(self):
        with self.assertRaises(ExecutionFailed) as caught:
            self.create().exec('''if True:
                class Bad(Exception):
                    __cause__ = property(lambda self: 1 / 0)
                raise Bad('bad')
                ''')
        self.assertEqual(caught.exception.excinfo.msg, 'bad')

    def test_calls_nested_too_deep(self):
        # Each interpreter calls the other, until the C stack would overflow.
        a, b = self.create(), self.create()
        with self.assertRaises(ExecutionFailed) as caught:
            a.call(_ping_pong, a, b)
        self.assertIn('RecursionError', str(caught.exception))

    def test_nested_failures_do_not_repeat_each_other(self):
        interp = self.create()
        with self.assertRaises(ExecutionFailed) as caught:
            interp.call(_fail_nested, 5, interp)
        text = ''.join(traceback.format_exception(caught.exception))
        self.assertEqual(text.count('raise LookupError'), 1)
        self.assertEqual(text.count('direct cause'), 6)

    def test_syntax_error_and_exit_are_exceptions_like_others(self):
        interp = self.create()
        for code, name in (('x =', 'SyntaxError'),
                           ('raise SystemExit(3)', 'SystemExit'),
                           ('raise KeyboardInterrupt', 'KeyboardInterrupt')):
            with self.subTest(name), self.assertRaises(ExecutionFailed) as caught:
                interp.exec(code)
            self.assertEqual(caught.exception.excinfo.type.__name__, name)

    def test_memory_error_there_is_memory_error_here(self):
        with self.assertRaises(MemoryError):
            self.create().exec('raise MemoryError')

    def test_result_that_cannot_be_sent(self):
        with self.assertRaises(ExecutionFailed) as caught:
            self.create().call(threading.Lock)
        self.assertEqual(caught.exception.excinfo.type.__name__,
                         'NotShareableError')

    def test_several_threads_in_one_interpreter(self):
        interp = self.create()
        recv, send = create_channel()
        waiting = interp.submit(wait_for, recv)
        wait_until(interp.is_running)
        self.assertEqual(interp.call(add, 1, 2), 3)
        send.send('done')
        self.assertEqual(waiting.result(), 'done')
        self.assertFalse(interp.is_running())


class ThreadTests(TestCase):

    def test_call_in_thread(self):
        recv, send = create_channel(1)
        thread = self.create().call_in_thread(_send_one, send, 5)
        self.assertEqual(recv.recv(), 5)
        thread.join()

    def test_submit_returns_a_future(self):
        interp = self.create()
        self.assertEqual(interp.submit(add, 1, b=2, c=3).result(), 6)
        with self.assertRaises(LookupError):
            interp.submit(fail, 'x').result()

    def test_submit_copies_arguments_before_it_returns(self):
        recv, send = create_channel()
        interp = self.create()
        data = [1]
        future = interp.submit(_second_after_first, recv, data)
        data.append(2)
        send.send(None)
        self.assertEqual(future.result(), [1])

    def test_submit_refuses_at_once(self):
        with self.assertRaises(interpreters.NotShareableError):
            self.create().submit(add, unsendable())

    def test_a_message_is_used_once(self):
        import _xxsubinterpreters as engine
        interp = self.create()
        message = engine.pack('x = 1', 'code')
        self.assertEqual(engine.exec(interp.id, message), (None, None, None))
        with self.assertRaises(ValueError):
            engine.exec(interp.id, message)


class CloseTests(TestCase):

    def test_closed_interpreters_are_gone(self):
        interp = interpreters.create()
        interp.close()
        self.assertNotIn(interp, interpreters.list_all())
        for use in (interp.close, interp.is_running, lambda: interp.exec('')):
            with self.assertRaises(InterpreterNotFoundError):
                use()

    def test_a_running_interpreter_cannot_be_closed(self):
        interp = self.create()
        recv, send = create_channel()
        future = interp.submit(wait_for, recv)
        wait_until(interp.is_running)
        with self.assertRaisesRegex(InterpreterError, 'is running'):
            interp.close()
        send.send(None)
        future.result()

    def test_main_cannot_be_closed(self):
        with self.assertRaises(InterpreterError):
            interpreters.get_main().close()

    def test_an_interpreter_cannot_close_itself(self):
        with self.assertRaises(ExecutionFailed) as caught:
            self.create().exec(
                'import interpreters; interpreters.get_current().close()')
        self.assertEqual(caught.exception.excinfo.type.__name__,
                         'InterpreterError')

    def test_close_waits_for_threads_started_inside(self):
        # A wait for a channel is broken: nobody may be left to end it.
        recv, send = create_channel(2)
        interp = interpreters.create()
        gate_recv, gate = create_channel()
        interp.prepare_main(send=send, gate=gate_recv)
        interp.exec('''if True:
            import interpreters, threading
            def run():
                try:
                    gate.recv()
                except interpreters.InterpreterError as exc:
                    send.send(str(exc))
                send.send('finished')
            threading.Thread(target=run).start()
            ''')
        interp.close()
        self.assertIn('being closed', recv.recv_nowait())
        self.assertEqual(recv.recv_nowait(), 'finished')

    def test_an_interpreter_cannot_be_closed_from_its_own_thread(self):
        # Not even while that thread visits another interpreter.
        interp = self.create()
        recv, send = create_channel(1)
        interp.prepare_main(send=send)
        interp.exec(f'''if True:
            import interpreters, threading
            def close(id):
                import interpreters
                try:
                    interpreters.Interpreter(id).close()
                except interpreters.InterpreterError as exc:
                    return str(exc)
            def run():
                send.send(interpreters.get_main().call(close, {interp.id}))
            threading.Thread(target=run).start()
            ''')
        self.assertIn(f'interpreter {interp.id} ', recv.recv())

    def test_threads_that_others_brought_are_not_waited_for(self):
        import _interpreters
        interp = self.create()
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        done = self.start(_interpreters.exec, interp.id,
                          f'import os; os.read({read}, 1)')
        wait_until(interp.is_running)
        with self.assertRaisesRegex(InterpreterError, 'threads'):
            interp.close()
        os.write(write, b'x')
        done()
        interp.close()

    def test_closing_while_others_create(self):
        # What is listed may be closed, at any moment of its creation.
        stop = threading.Event()

        def close_all():
            while not stop.is_set():
                for interp in interpreters.list_all()[1:]:
                    try:
                        interp.close()
                    except InterpreterError:
                        pass

        closing = self.start(close_all)
        for _ in range(10):
            try:
                interpreters.create()
            except InterpreterNotFoundError:
                pass                    # closed before we saw it
        stop.set()
        closing()

    def test_names_are_safe_while_the_last_one_goes(self):
        # Whoever gets an object for an interpreter can use it, also when the
        # last other object for it is collected at this moment.
        recv, send = create_channel()
        user = self.create()
        used = user.submit(_use_by_id, recv)
        recv.close()
        for _ in range(20):
            interp = interpreters.create()
            send.send(interp.id)
            del interp
        send.close()
        self.assertEqual(used.result(), [])

    def test_objects_can_be_made_in_finalizers(self):
        rc, out, err = assert_python_ok('-c', '''if True:
            import gc, interpreters
            class Late:
                def __del__(self):
                    interpreters.get_main()
                    interpreters.list_all()
            gc.set_threshold(1)
            for _ in range(50):
                late = Late()
                late.cycle = late
                del late
                interpreters.list_all()
                with interpreters.create():
                    break
            ''')

    def test_collecting_the_object_does_not_wait_for_threads(self):
        recv, send = create_channel()
        interp = interpreters.create()
        id = interp.id
        interp.prepare_main(recv=recv)
        interp.exec('''if True:
            import threading
            threading.Thread(target=recv.recv).start()
            ''')
        del interp                      # would wait for us to send
        again = interpreters.Interpreter(id)
        send.send(None)
        again.close()

    def test_exit_waits_for_threads_in_interpreters(self):
        rc, out, err = assert_python_ok('-c', '''if True:
            import interpreters
            recv, send = interpreters.create_channel()
            interp = interpreters.create()
            interp.prepare_main(recv=recv)
            interp.exec("""if True:
                import threading
                def run():
                    print(list(recv), flush=True)
                threading.Thread(target=run).start()
                """)
            del interp
            send.send('before exit')
            send.close()
            ''')
        self.assertEqual((out.strip(), err), (b"['before exit']", b''))

    def test_closed_inside_its_block(self):
        with interpreters.create() as interp:
            interp.close()

    def test_collected_interpreters_are_closed(self):
        interp = interpreters.create()
        id, ref = interp.id, weakref.ref(interp)
        del interp
        self.assertIsNone(ref())
        with self.assertRaises(InterpreterNotFoundError):
            interpreters.Interpreter(id)

    def test_one_in_a_message_is_kept(self):
        recv, send = create_channel(1)
        interp = interpreters.create()
        send.send(interp)
        id = interp.id
        del interp
        again = recv.recv()
        self.assertEqual(again.id, id)
        again.exec('')
        again.close()

    def test_one_collected_while_it_runs_is_closed_afterwards(self):
        recv, send = create_channel()
        interp = interpreters.create()
        id = interp.id
        import _xxsubinterpreters as engine
        message = engine.pack((wait_for, (recv,), {}), 'call')
        running = self.start(engine.call, id, message)
        wait_until(interp.is_running)
        del interp
        self.assertTrue(engine.is_running(id))
        send.send('x')
        self.assertEqual(running(), ('x', None, None))
        with self.assertRaises(InterpreterNotFoundError):
            engine.is_running(id)

    def test_create_and_close_from_many_threads(self):
        def cycle():
            for _ in range(5):
                with interpreters.create() as interp:
                    interp.call(add, 1, 2)
        for result in [self.start(cycle) for _ in range(4)]:
            result()

    @requires_subprocess()
    def test_exit_with_open_interpreters(self):
        rc, out, err = assert_python_ok('-c', '''if True:
            import interpreters
            kept = [interpreters.create() for _ in range(3)]
            kept.append(kept)       # collected late
            kept[0].exec('import interpreters; x = interpreters.create()')
            ''')
        self.assertEqual(err, b'')


def _fail_nested(n, interp):
    if n == 0:
        raise LookupError('innermost')
    interp.call(_fail_nested, n - 1, interp)


def _ping_pong(a, b):
    b.call(_ping_pong, b, a)


def _use_by_id(recv):
    import interpreters
    problems = []
    for id in recv:
        try:
            interp = interpreters.Interpreter(id)
        except interpreters.InterpreterNotFoundError:
            continue                    # gone before
        try:
            interp.exec('pass')
        except interpreters.InterpreterError as exc:
            problems.append(str(exc))
    return problems


def _call_main(main):
    import interpreters
    return main.call(_current_id)


def _current_id():
    import interpreters
    return interpreters.get_current().id


def _send_one(send, obj):
    send.send(obj)


def _second_after_first(recv, obj):
    recv.recv()
    return obj


if __name__ == '__main__':
    unittest.main()
