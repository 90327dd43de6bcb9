"""Callbacks of ctypes run in the interpreter that made them."""

import os
import signal
import textwrap
import unittest

import interpreters
from test.support import import_helper, script_helper
from test.test_subinterpreters.support import TestCase, by_code

import_helper.import_module('_ctypes')
if not hasattr(__import__('ctypes').CDLL(None), 'pthread_create'):
    raise unittest.SkipTest('needs pthread_create() in the C library')


# For code of an interpreter: run a function at an address in a thread that knows nothing of
# Python, or in the calling one.
HELPERS = '''
import ctypes, interpreters
libc = ctypes.PyDLL(None), ctypes.CDLL(None)
START = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)

def start(address):
    thread = ctypes.c_ulong()
    error = libc[1].pthread_create(ctypes.byref(thread), None, ctypes.c_void_p(address), None)
    assert error == 0, error
    return thread

def join(thread):
    assert libc[1].pthread_join(thread, None) == 0

def address_of(callback):
    return ctypes.cast(callback, ctypes.c_void_p).value

def current():
    return interpreters.get_current().id
'''


@by_code
def evaluate(expression):
    import __main__
    return eval(expression, vars(__main__))


class CtypesTestCase(TestCase):

    def create(self):
        interp = super().create()
        interp.exec(HELPERS)
        return interp

    def make(self, interp, body):
        """The address of a callback in the interpreter, which lives as long as that."""
        interp.exec(f'def called(unused=None):\n{textwrap.indent(body, "    ")}\n'
                    'callback = START(called)\n')
        return interp.call(evaluate, 'address_of(callback)')


class CallbackTests(CtypesTestCase):

    def test_from_a_native_thread(self):
        interps = [self.create() for _ in range(2)]
        for interp in interps:
            address = self.make(interp, 'seen.append(current())')
            interp.exec('seen = []')
            for _ in range(3):
                interp.exec(f'join(start({address}))')
            self.assertEqual(interp.call(evaluate, 'seen'), [interp.id] * 3)
        self.assertEqual(interps[0].call(evaluate, 'seen'), [interps[0].id] * 3)

    def test_from_many_native_threads(self):
        interps = [self.create() for _ in range(2)]
        for interp in interps:
            address = self.make(interp, 'for _ in range(1000): calls.append(current())')
            interp.exec(f'calls = []; threads = [start({address}) for _ in range(8)]')
        for interp in interps:
            interp.exec('for thread in threads: join(thread)')
            self.assertEqual(interp.call(evaluate, 'calls'), [interp.id] * 8000)

    def test_from_a_thread_of_its_own(self):
        interp = self.create()
        address = self.make(interp, 'seen.append((current(), threading.get_ident()))')
        interp.exec(f'import threading; seen = []; START({address})(None)')
        interp.exec('seen.append((current(), threading.get_ident()))')
        first, second = interp.call(evaluate, 'seen')
        self.assertEqual(first, second)

    def test_from_a_thread_of_another_interpreter(self):
        # It is back where it was after that.
        a, b = self.create(), self.create()
        address = self.make(a, 'seen.append(current())')
        a.exec('seen = []')
        for call in f'START({address})(None)', f'ctypes.PYFUNCTYPE(None)({address})()':
            b.exec(f'before = current(); {call}; after = current()')
            self.assertEqual(b.call(evaluate, '(before, after)'), (b.id, b.id))
        self.assertEqual(a.call(evaluate, 'seen'), [a.id, a.id])

    def test_the_main_interpreters_from_another_one(self):
        scope = {}
        exec(HELPERS, scope)
        seen = []
        callback = scope['START'](lambda unused: seen.append(scope['current']()))
        address = scope['address_of'](callback)
        interp = self.create()
        interp.exec(f'START({address})(None)')
        interp.exec(f'join(start({address}))')
        scope['join'](scope['start'](address))
        self.assertEqual(seen, [0] * 3)

    def test_close_waits_for_it(self):
        interp = self.create()
        started, started_send = interpreters.create_channel(None)
        recv, send = interpreters.create_channel(None)
        done, done_send = interpreters.create_channel(None)
        address = self.make(interp, textwrap.dedent('''
            started.send(None)
            try:
                recv.recv()             # until the interpreter is closed
            except interpreters.InterpreterError:
                done.send('broken')
            '''))
        interp.prepare_main(started=started_send, recv=recv, done=done_send)
        interp.exec(f'start({address})')
        started.recv()
        interp.close()
        self.assertEqual(done.recv_nowait(), 'broken')
        self.assertNotIn(interp.id, [i.id for i in interpreters.list_all()])

    def test_it_can_be_closed_by_a_callback_of_another_one(self):
        # The thread is in no visit to the one that ends.
        a, b = self.create(), self.create()
        address = self.make(a, 'b.close()')
        a.prepare_main(b=b)
        self.create().exec(f'join(start({address}))')
        self.assertNotIn(b.id, [i.id for i in interpreters.list_all()])


class SignalTests(CtypesTestCase):
    """A signal that comes while the main thread waits for a native one to leave."""

    def setUp(self):
        super().setUp()
        self.interp = self.create()
        self.pipe, self.end = os.pipe()
        self.addCleanup(os.close, self.pipe)
        self.addCleanup(os.close, self.end)
        started, started_send = interpreters.create_channel(None)
        never, self.never_send = interpreters.create_channel(None)
        address = self.make(self.interp, textwrap.dedent(f"""
            started.send(None)
            try:
                never.recv()            # until the interpreter is being closed
            except interpreters.InterpreterError:
                os.kill(os.getpid(), signal.SIGUSR1)
                os.read({self.pipe}, 1)
            """))
        self.interp.prepare_main(started=started_send, never=never)
        self.interp.exec(f'import os, signal; thread = start({address})')
        started.recv()

    def handle(self, handler):
        before = signal.signal(signal.SIGUSR1, handler)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)

    def test_that_raises(self):
        def handler(signum, frame):
            1 / 0
        self.handle(handler)
        with self.assertRaises(ZeroDivisionError):
            self.interp.close()
        # It is as it was, and open to others.
        self.assertEqual(self.interp.call(evaluate, '1 + 1'), 2)
        address = self.make(self.interp, 'seen.append(current())')
        self.interp.exec(f"""
import threading
seen = []
other = threading.Thread(target=lambda: join(start({address})))
other.start()
join(start({address}))
other.join()
""")
        self.assertEqual(self.interp.call(evaluate, 'seen'), [self.interp.id] * 2)
        os.write(self.end, b'.')
        self.interp.close()

    def test_that_does_not(self):
        handled = []
        def handler(signum, frame):
            handled.append(signum)
            os.write(self.end, b'.')
        self.handle(handler)
        self.interp.close()
        self.assertEqual(handled, [signal.SIGUSR1])

    def test_in_another_thread(self):
        # Only the main thread handles signals.
        def handler(signum, frame):
            os.write(self.end, b'.')
        self.handle(handler)
        self.start(self.interp.close)()
        self.assertNotIn(self.interp, interpreters.list_all())


class CheckTests(TestCase):
    """PyGILState_Check() is what libraries ask before they acquire the GIL."""

    def test_gil_is_held_or_not(self):
        def check():
            import ctypes
            # The one keeps the GIL while it calls, the other releases it.
            return [library(None).PyGILState_Check() for library in (ctypes.PyDLL, ctypes.CDLL)]
        self.assertEqual(self.create().call(check), [1, 0])
        self.assertEqual(check(), [1, 0])
        self.assertEqual(self.create().submit(check).result(), [1, 0])


class LateTests(unittest.TestCase):
    """In processes of their own, with threads that never end."""

    SCRIPT = f"""{HELPERS}
import os, threading
HELPERS = {HELPERS!r}

def create():
    interp = interpreters.create()
    interp.exec(HELPERS)
    return interp

def evaluate(expression):
    import __main__
    return eval(expression, vars(__main__))

def tasks():
    return set(os.listdir('/proc/self/task'))

# A sanitizer may have one, too, that it starts with the first.
threading.Thread(target=int).start()
before = tasks()

def threads():
    # States of the process's new threads, as the kernel names them.
    for task in tasks() - before:
        with open(f'/proc/self/task/{{task}}/stat') as f:
            yield f.read().rpartition(')')[2].split()[0]
"""

    def run_script(self, script):
        _, out, err = script_helper.assert_python_ok('-c', self.SCRIPT + script)
        self.assertEqual(err, b'')
        return out.decode().split()

    def test_when_the_interpreter_has_ended(self):
        # The thread waits for ever: nobody can tell its caller what the result is.
        for keep in 'import sys; sys.kept = callback', 'pass':
            with self.subTest(keep):
                self.assertEqual(self.run_script(f"""
interp = create()
interp.exec('''
callback = START(lambda unused: print('called', flush=True))
{keep}
''')
address = interp.call(evaluate, 'address_of(callback)')
interp.close()
for _ in range(3):
    start(address)
while sorted(threads()) != ['S'] * 3:
    pass
print('asleep', flush=True)
os._exit(0)
"""), ['asleep'])

    def test_while_the_interpreter_is_closed(self):
        # Its own exit function starts the thread, which waits from then on.
        self.assertEqual(self.run_script("""
interp = create()
interp.exec('''
import atexit
callback = START(lambda unused: print('called', flush=True))
atexit.register(lambda: start(address_of(callback)))
print('exec', flush=True)
''')
interp.close()
while sorted(threads()) != ['S']:
    pass
print('asleep', flush=True)
os._exit(0)
"""), ['exec', 'asleep'])


if __name__ == '__main__':
    unittest.main()
