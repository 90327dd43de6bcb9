"""exclusive(): one thread runs Python, and no other of the process."""

import contextlib
import os
import queue
import select
import signal
import sys
import threading
import time
import unittest

import interpreters
from interpreters import exclusive
from test.support import (
    SHORT_TIMEOUT, import_helper, requires_fork, requires_subprocess, skip_if_sanitizer)
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import TestCase, by_code, wait_until

REFUSED = 'would wait for a thread that exclusive'


@by_code
def count(memory, index):
    """Add ones until the first number is set."""
    from interpreters import atomic_add, atomic_load
    numbers = memory.cast('q')
    while not atomic_load(numbers, 0):
        atomic_add(numbers, index, 1)


@by_code
def add_alone(memory, n):
    import interpreters
    numbers = memory.cast('q')
    for _ in range(n):
        with interpreters.exclusive():
            # Not atomic, and as long as it takes others to come in between.
            number = numbers[0]
            for _ in range(50):
                pass
            numbers[0] = number + 1


@by_code
def keep_gil(memory, seconds):
    """Sleep in native code that does not release the GIL."""
    import ctypes
    from interpreters import atomic_add, atomic_load, atomic_store
    numbers = memory.cast('q')
    sleep = ctypes.PyDLL(None).usleep
    atomic_store(numbers, 1, 1)
    sleep(int(seconds * 1e6))
    while not atomic_load(numbers, 0):
        atomic_add(numbers, 1, 1)


class ExclusiveTestCase(TestCase):

    def setUp(self):
        super().setUp()
        self.memory = interpreters.share(bytearray(8 * 16))
        self.numbers = memoryview(self.memory).cast('q')

    def stop(self):
        self.write(0, 1)

    def write(self, index, number):
        interpreters.atomic_store(self.numbers, index, number)

    def read(self, index):
        return interpreters.atomic_load(self.numbers, index)

    def read_all(self):
        return [self.read(index) for index in range(len(self.numbers))]

    def start_until_stopped(self, func, *args):
        """Run it in a thread that ends soon after stop(), which is called after the test."""
        result = self.start(func, *args)
        self.addCleanup(self.stop)
        return result

    def run_counters(self, *interps):
        """Have each count, the first in self.numbers[1], until the test ends."""
        for index, interp in enumerate(interps, 1):
            call = interp.call if interp is not None else lambda f, *args: f(*args)
            self.start_until_stopped(call, count, self.memory, index)
        wait_until(lambda: all(self.read_all()[1:len(interps) + 1]))

    def check_nobody_counts(self):
        before = self.read_all()
        for _ in range(20):
            time.sleep(0.001)               # without the GIL
            self.assertEqual(self.read_all(), before)

    def check_all_count(self, n):
        before = self.read_all()[1:n + 1]
        wait_until(lambda: all(now > then for now, then
                               in zip(self.read_all()[1:n + 1], before)))


class SectionTests(ExclusiveTestCase):

    def test_nobody_else_runs(self):
        first = self.create()
        self.run_counters(first, self.create(), self.create(gil=first),
                          self.create(gil='shared'), None, None)
        for timeout in None, SHORT_TIMEOUT, None:
            with exclusive(timeout=timeout):
                self.check_nobody_counts()
            self.check_all_count(6)

    def test_nested(self):
        self.run_counters(self.create(), None)
        block = exclusive()
        with block:
            with block, exclusive(timeout=0):
                self.check_nobody_counts()
            with contextlib.suppress(ZeroDivisionError), exclusive():
                1 / 0
            self.check_nobody_counts()
        self.check_all_count(2)

    def test_ends_with_an_exception(self):
        self.run_counters(self.create(), None)
        with self.assertRaises(ZeroDivisionError), exclusive():
            self.check_nobody_counts()
            1 / 0
        self.check_all_count(2)

    def test_only_the_thread_itself_ends_it(self):
        block = exclusive()
        with self.assertRaisesRegex(RuntimeError, 'in no exclusive'):
            block.__exit__(None, None, None)
        began, end = threading.Event(), threading.Event()

        def run():
            with block:
                began.set()
            end.wait()
        self.start(run)
        began.wait()
        with self.assertRaisesRegex(RuntimeError, 'in no exclusive'):
            block.__exit__(None, None, None)
        end.set()

    def test_arguments(self):
        for timeout in -1, -0.001, float('-inf'):
            with self.assertRaises((ValueError, OverflowError)):
                exclusive(timeout)
        for timeout in 'x', b'', [], float('nan'):
            with self.assertRaises((TypeError, ValueError)):
                exclusive(timeout)
        with self.assertRaises(TypeError):
            exclusive(None, None)

    def test_blocked_threads_are_not_waited_for(self):
        recv, send = interpreters.create_channel()
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        lock = threading.Lock()
        lock.acquire()
        interp = self.create()

        @by_code
        def read(fd):
            import os
            return os.read(fd, 1)
        results = [self.start(self.create().call, read, r),
                   self.start(self.create().call, lambda recv: recv.recv(), recv),
                   self.start(lock.acquire)]
        for _ in range(3):
            with exclusive(timeout=SHORT_TIMEOUT):
                interp.exec('import json')
        os.write(w, b'x')
        send.send('y')
        lock.release()
        self.assertEqual([result() for result in results], [b'x', 'y', True])

    def test_code_runs_in_other_interpreters(self):
        @by_code
        def nest(interp):
            import interpreters
            with interpreters.exclusive():
                interp.exec('x = 1')
            interp.exec('x += 1')
        first, second = self.create(), self.create()
        self.run_counters(self.create(), None)
        with exclusive():
            first.call(nest, second)
            self.check_nobody_counts()
        self.check_all_count(2)
        with self.assertRaisesRegex(interpreters.ExecutionFailed, 'x is 2'):
            second.exec('assert x == 2; raise ValueError("x is 2")')


class ContentionTests(ExclusiveTestCase):

    def test_every_section_is_alone(self):
        n = 200
        shared = self.create()
        interps = [self.create(), self.create(), shared, shared, self.create(gil=shared),
                   self.create(gil='shared')]
        results = [self.start(interp.call, add_alone, self.memory, n) for interp in interps]
        results.append(self.start(add_alone, self.memory, n))
        for result in results:
            result()
        self.assertEqual(self.numbers[0], n * len(results))

    def test_no_reader_starves(self):
        """Threads run, though others ask to be alone all the time."""
        @by_code
        def alone_all_the_time(memory):
            import interpreters
            numbers = memory.cast('q')
            while not interpreters.atomic_load(numbers, 0):
                with interpreters.exclusive():
                    pass
        for interp in self.create(), self.create():
            self.start_until_stopped(interp.call, alone_all_the_time, self.memory)
        self.run_counters(self.create(), None)
        for _ in range(20):
            self.check_all_count(2)

    def test_no_writer_starves(self):
        self.run_counters(self.create(), self.create(), None)
        results = [self.start(self.create().call, add_alone,
                              interpreters.share(bytearray(8)), 20)
                   for _ in range(3)]
        for result in results:
            result()

    def test_interpreters_come_and_go(self):
        """Others are created, run code and are closed meanwhile."""
        def come_and_go():
            for _ in range(3):
                interp = interpreters.create()
                interp.exec('import json, threading\n'
                            't = threading.Thread(target=json.dumps, args=([],)); t.start()')
                interp.close()
            return True
        self.run_counters(self.create())
        done = []
        for _ in range(2):
            self.start(lambda: done.append(come_and_go()))
        while len(done) < 2:
            with exclusive():
                before = self.read(1)
                interp = interpreters.create()
                interp.exec('pass')
                interp.close()
                self.assertEqual(self.read(1), before)

    def test_threads_come_and_go(self):
        def come_and_go():
            while not self.read(0):
                thread = threading.Thread(target=int)
                thread.start()
                thread.join()
        for _ in range(3):
            self.start_until_stopped(come_and_go)
        for _ in range(200):
            with exclusive():
                pass


class TimeoutTests(ExclusiveTestCase):

    def keep_gil(self, interp, seconds):
        result = self.start_until_stopped(interp.call, keep_gil, self.memory, seconds)
        wait_until(lambda: self.read(1))
        return result

    def test_native_code_that_keeps_its_gil(self):
        import_helper.import_module('ctypes')
        interp = self.create()
        self.keep_gil(interp, 2)
        with self.assertRaises(TimeoutError), exclusive(0):
            self.fail('entered')
        # Longer than others may be given to run, after the sections of tests before this one.
        with (self.assertRaisesRegex(TimeoutError, f'interpreter {interp.id} kept its GIL'),
              exclusive(0.3)):
            self.fail('entered')
        self.assertEqual(self.read(1), 1)           # it is there still
        with exclusive():                           # returns in the end
            self.check_nobody_counts()
        self.check_all_count(1)

    def test_others_go_on_after_a_timeout(self):
        import_helper.import_module('ctypes')
        self.keep_gil(self.create(), 0.5)
        more = interpreters.share(bytearray(16))
        result = self.start(self.create().call, count, more, 1)
        numbers = memoryview(more).cast('q')
        try:
            for _ in range(5):
                with contextlib.suppress(TimeoutError), exclusive(0.01):
                    pass
                before = interpreters.atomic_load(numbers, 1)
                wait_until(lambda: interpreters.atomic_load(numbers, 1) > before)
        finally:
            interpreters.atomic_store(numbers, 0, 1)
        result()

    def test_another_thread_waits_for_its_turn(self):
        import_helper.import_module('ctypes')
        interp = self.create()
        self.keep_gil(interp, 1)

        def run_alone():
            with exclusive():
                return self.read(1)
        result = self.start(run_alone)      # waits for the GIL, which holds off this thread, too
        with contextlib.suppress(TimeoutError), exclusive(0.01):
            pass
        self.stop()
        self.assertGreaterEqual(result(), 1)

    @unittest.skipUnless(hasattr(signal, 'setitimer'), 'needs setitimer()')
    def test_a_signal_ends_the_wait(self):
        import_helper.import_module('ctypes')
        self.keep_gil(self.create(), 1)

        def handler(*args):
            raise ZeroDivisionError
        before = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with self.assertRaises(ZeroDivisionError), exclusive():
            self.fail('entered')
        self.check_all_count(1)


class WaitTests(ExclusiveTestCase):
    """What would wait for another thread raises RuntimeError, and leaves all as it was."""

    def check_refused(self, func, *args, **kwargs):
        with exclusive(), self.assertRaisesRegex(RuntimeError, REFUSED):
            func(*args, **kwargs)

    def test_channels(self):
        recv, send = interpreters.create_channel(1)
        self.check_refused(recv.recv)
        self.check_refused(recv.recv, timeout=SHORT_TIMEOUT)
        self.check_refused(next, recv)
        with exclusive():
            with self.assertRaises(TimeoutError):
                recv.recv(timeout=0)
            with self.assertRaises(interpreters.ChannelEmptyError):
                recv.recv_nowait()
            send.send(1)
            self.assertEqual(recv.recv(), 1)
            send.send(2)
        self.check_refused(send.send, 3)
        self.assertEqual(recv.recv(), 2)
        send.send(4)                # neither that nor a receiver is left over
        self.assertEqual(recv.recv(), 4)
        other, other_send = interpreters.create_channel()
        self.check_refused(interpreters.select, recv, other)
        with self.assertRaises(TimeoutError):
            interpreters.select(recv, other, timeout=0)

    def test_queues(self):
        q = interpreters.create_queue(1)
        self.check_refused(q.get)
        with exclusive():
            q.put(1)
            with self.assertRaises(interpreters.QueueFull):
                q.put(2, timeout=0)
        self.check_refused(q.put, 2)
        self.assertEqual(q.get(), 1)
        self.assertTrue(q.empty())

    def test_locks(self):
        for lock in interpreters.Lock(), interpreters.RLock(), interpreters.Semaphore():
            with self.subTest(lock):
                with exclusive(), lock:
                    pass
                taken, end = threading.Event(), threading.Event()

                def take():
                    with lock:
                        taken.set()
                        end.wait()
                result = self.start(take)
                taken.wait()
                self.check_refused(lock.acquire)
                with exclusive():
                    self.assertFalse(lock.acquire(blocking=False))
                end.set()
                result()
                with lock:
                    pass
        self.check_refused(interpreters.Event().wait)
        self.check_refused(interpreters.Barrier(2).wait)
        condition = interpreters.Condition()
        with condition:
            self.check_refused(condition.wait)
            condition.notify_all()

    def test_atomics(self):
        self.check_refused(interpreters.atomic_wait, self.numbers, 0, 0)
        with exclusive():
            self.assertTrue(interpreters.atomic_wait(self.numbers, 0, 1))

    def test_interpreters_with_threads(self):
        interp = self.create()
        interp.exec('import threading\n'
                    'end = threading.Event()\n'
                    'thread = threading.Thread(target=end.wait)\n'
                    'thread.start()')
        self.check_refused(interp.close)
        interp.exec('end.set(); thread.join()')
        with exclusive():
            interp.close()

    def test_calls_in_threads(self):
        """Thread.start() waits for the thread.  None is started."""
        interp = self.create()
        calls = []
        for func in interp.call_in_thread, interp.submit:
            with self.subTest(func):
                self.check_refused(func, int)
        self.check_refused(threading.Thread(target=calls.append, args=[1]).start)
        self.assertEqual(interp.submit(int).result(), 0)
        self.assertEqual(calls, [])

    def test_what_threading_has(self):
        lock, rlock = threading.Lock(), threading.RLock()
        taken, end = threading.Event(), threading.Event()

        def take():
            with lock, rlock:
                taken.set()
                end.wait()
        result = self.start(take)
        taken.wait()
        self.check_refused(lock.acquire)
        self.check_refused(rlock.acquire)
        self.check_refused(threading.Event().wait)
        self.check_refused(queue.SimpleQueue().get)
        self.check_refused(queue.Queue().get)
        with exclusive():
            self.assertFalse(lock.acquire(timeout=0.001))
            self.assertFalse(rlock.acquire(timeout=0.001))
            self.assertFalse(threading.Event().wait(0.001))
            with self.assertRaises(queue.Empty):
                queue.SimpleQueue().get(timeout=0.001)
        thread = threading.Thread(target=end.wait)
        thread.start()
        self.check_refused(thread.join)
        with exclusive():
            thread.join(0.001)
            self.assertTrue(thread.is_alive())
        end.set()
        thread.join()
        with exclusive():
            thread.join()
        result()

    def test_buffered_file_in_use(self):
        """The thread that uses it has written, and is held off with its lock."""
        r, w = os.pipe()
        with open(r, 'rb', 0) as reader, open(w, 'wb') as writer:
            result = self.start(writer.write, bytes(1 << 20))
            while not select.select([r], [], [], 0)[0]:
                pass
            self.check_refused(writer.flush)
            n = 0
            while n < 1 << 20:
                n += len(reader.read(1 << 16))
            self.assertEqual(result(), 1 << 20)


class NativeCodeTests(ExclusiveTestCase):

    @skip_if_sanitizer('what the native writer does is a data race', thread=True)
    def test_native_writer_goes_on(self):
        """Native code without a GIL changes memory inside the block; Python code does not."""
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)

        @by_code
        def read(memory, fd):
            import os
            from interpreters import atomic_store
            numbers = memory.cast('q')
            atomic_store(numbers, 2, 1)
            n = os.readv(fd, [memory[8:16]])
            atomic_store(numbers, 3, n)
        result = self.start(self.create().call, read, self.memory, r)
        wait_until(lambda: self.read(2))
        with exclusive():
            os.write(w, (42).to_bytes(8, sys.byteorder))
            wait_until(lambda: self.read(1) == 42)
            time.sleep(0.01)
            self.assertEqual(self.read(3), 0)
        result()
        self.assertEqual(self.read(3), 8)

    def test_sqlite_callbacks(self):
        """They come back from native code that has released the GIL."""
        sqlite3 = import_helper.import_module('sqlite3')
        db = sqlite3.connect(':memory:', check_same_thread=False)
        self.addCleanup(db.close)

        def alone(n):
            with exclusive():
                return n + sum(n for n, in db.execute('select 1 union select 2'))
        db.create_function('alone', 1, alone)
        db.create_function('plain', 1, lambda n: n + 1)
        self.run_counters(self.create(), None)
        with exclusive():
            before = self.read_all()
            self.assertEqual(db.execute('select plain(1)').fetchall(), [(2,)])
            self.assertEqual(db.execute('select alone(1)').fetchall(), [(4,)])
            self.assertEqual(self.read_all(), before)
        self.assertEqual(db.execute('select alone(1)').fetchall(), [(4,)])
        self.check_all_count(2)

    def test_memdb_writers(self):
        """Who is held off in a transaction keeps its lock: no deadlock, but an error."""
        sqlite3 = import_helper.import_module('sqlite3')
        uri = f'file:/exclusive{os.getpid()}?vfs=memdb'

        @by_code
        def write(uri, memory):
            import sqlite3
            from interpreters import atomic_load, atomic_store
            numbers = memory.cast('q')
            db = sqlite3.connect(uri, uri=True, isolation_level=None)
            n = 0
            while not atomic_load(numbers, 0):
                db.execute('begin immediate')
                db.execute('insert into t values (1)')
                atomic_store(numbers, 1, n + 1)
                while not atomic_load(numbers, 2):
                    pass
                db.execute('commit')
                n += 1
            db.close()
            return n
        db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
        self.addCleanup(db.close)
        db.execute('create table t (n)')
        result = self.start_until_stopped(self.create().call, write, uri, self.memory)
        wait_until(lambda: self.read(1))
        with exclusive(), self.assertRaisesRegex(sqlite3.OperationalError, 'locked'):
            db.execute('insert into t values (2)')
        self.write(2, 1)
        written = 0
        for _ in range(100):
            with exclusive(), contextlib.suppress(sqlite3.OperationalError):
                db.execute('insert into t values (2)')
                written += 1
        self.stop()
        n = result()
        self.assertEqual(db.execute('select count(*) from t where n = 1').fetchone(), (n,))
        self.assertEqual(db.execute('select count(*) from t where n = 2').fetchone(), (written,))


class EndTests(ExclusiveTestCase):
    """A section ends with its thread, interpreter or process at the latest."""

    def test_with_its_thread(self):
        self.run_counters(self.create(), None)
        thread = threading.Thread(target=exclusive().__enter__)
        thread.start()
        thread.join()
        self.check_all_count(2)

    def test_with_its_interpreter(self):
        interp = self.create()
        self.run_counters(self.create(), None)
        interp.exec('import interpreters; interpreters.exclusive().__enter__()')
        interp.close()
        self.check_all_count(2)

    @requires_subprocess()
    def test_with_the_process(self):
        for end in 'pass', 'sys.exit()', 'os._exit(0)':
            with self.subTest(end):
                assert_python_ok('-c', f'''if True:
                    import interpreters, os, sys, threading, time
                    def run():
                        time.sleep(0.05)
                        print('end', flush=True)
                    threading.Thread(target=run).start()
                    block = interpreters.exclusive()
                    block.__enter__()
                    {end}''')

    @requires_subprocess()
    def test_at_exit(self):
        out = assert_python_ok('-c', '''if True:
            import atexit, interpreters, threading
            interp = interpreters.create()
            thread = threading.Thread(target=interp.exec, args=('while True: pass',), daemon=True)
            thread.start()
            @atexit.register
            def run():
                with interpreters.exclusive():
                    print('alone')''').out
        self.assertEqual(out.strip(), b'alone')


@requires_fork()
@skip_if_sanitizer('sanitizers hang or die when threads fork', address=True, thread=True)
class ForkTests(ExclusiveTestCase):

    def test_fork_inside(self):
        with exclusive():
            pid = os.fork()
            if pid == 0:
                with exclusive():
                    os._exit(0 if threading.active_count() == 1 else 1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)

    def test_fork_while_others_are_inside(self):
        def alone():
            while not self.read(0):
                with exclusive():
                    pass
        for _ in range(2):
            self.start_until_stopped(alone)
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                with exclusive():
                    thread = None
                thread = threading.Thread(target=exclusive().__enter__)
                thread.start()
                thread.join()
                os._exit(0)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)


if __name__ == '__main__':
    unittest.main()
