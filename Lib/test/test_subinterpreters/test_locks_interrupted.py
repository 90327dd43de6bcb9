"""Waits for locks, semaphores, events, conditions and barriers that do not run to their end.

They are interrupted, by signals, too; their interpreter is closed; or the process forks.
"""

import random
import signal
import textwrap
import unittest

from interpreters import (
    Barrier, Condition, Event, Lock, RLock, Semaphore, create_channel)
from test.support import requires_fork, requires_subprocess, skip_if_sanitizer
from test.support import threading_helper
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import TestCase, by_code, wait_until

threading_helper.requires_working_threading(module=True)


def waits():
    """Yield each thing to wait for, how to wait, and how to end the wait."""
    for lock in Lock(), RLock():
        lock.acquire()
        yield lock, 'acquire', lock.release
    sem = Semaphore(0)
    yield sem, 'acquire', sem.release
    event = Event()
    yield event, 'wait', event.set
    condition = Condition()

    def notify():
        with condition:
            condition.notify()

    yield condition, 'wait', notify
    barrier = Barrier(2)
    yield barrier, 'wait', barrier.wait


def count_waiting(obj):
    return obj.n_waiting if isinstance(obj, Barrier) else obj._waiting


@by_code
def wait_for(obj, how):
    if hasattr(obj, 'notify'):
        with obj:
            result = obj.wait()
            assert obj.locked()
        return result
    return getattr(obj, how)()


class BrokenWaitTests(TestCase):

    def test_interrupt(self):
        interp = self.create()
        for obj, how, end in waits():
            with self.subTest(obj):
                future = interp.submit(wait_for, obj, how)
                wait_until(lambda: count_waiting(obj))
                self.assertEqual(interp.interrupt(), 1)
                with self.assertRaises(KeyboardInterrupt):
                    future.result()
                # Nothing was lost, and nothing is left.
                self.assertEqual(count_waiting(obj), 0)
                future = interp.submit(wait_for, obj, how)
                wait_until(lambda: count_waiting(obj))
                end()
                self.assertIn(future.result(), (True, 0, 1))

    def test_closing(self):
        for obj, how, end in waits():
            with self.subTest(obj):
                recv, send = create_channel(None)
                interp = self.create()
                interp.prepare_main(obj=obj, send=send)
                interp.exec(textwrap.dedent(f'''
                    import threading
                    def run():
                        try:
                            if {how!r} == 'wait' and hasattr(obj, 'notify'):
                                with obj:
                                    obj.wait()
                            else:
                                obj.{how}()
                        except BaseException as exc:
                            send.send(str(exc))
                        else:
                            send.send('went on')
                    threading.Thread(target=run).start()
                    '''))
                wait_until(lambda: count_waiting(obj))
                interp.close()
                self.assertEqual(recv.recv(), 'the interpreter is being closed')
                self.assertEqual(count_waiting(obj), 0)
                if not isinstance(obj, Barrier):
                    end()
                    self.assertTrue(obj.is_set() if isinstance(obj, Event)
                                    else obj.acquire(False))

    def test_interrupts_lose_no_permit(self):
        # At whatever moment one comes, either the call has the permit, or it is
        # still there.
        sem = Semaphore(0)
        interp = self.create()
        for i in range(300):
            future = interp.submit(Semaphore.acquire, sem)
            if i % 2:
                wait_until(lambda: sem._waiting)
            for _ in range(random.randrange(500)):
                pass
            releasing = self.start(sem.release)
            interp.interrupt()
            releasing()
            try:
                got = future.result()
            except KeyboardInterrupt:
                got = False
            self.assertEqual(sem.acquire(False), not got)
            self.assertFalse(sem.acquire(False))
        self.assertEqual(sem._waiting, 0)


@requires_subprocess()
@unittest.skipUnless(hasattr(signal, 'pthread_kill'), 'needs pthread_kill()')
class SignalTests(unittest.TestCase):

    PREAMBLE = '''
import faulthandler, signal, threading, time
import interpreters
from interpreters import *
faulthandler.dump_traceback_later(120, exit=True)

class Broken(Exception):
    pass

def breaks():
    raise Broken

def start(func):
    thread = threading.Thread(target=func)
    thread.start()
    return thread

def wait_until(condition):
    """For what nothing announces, such as a thread having begun to wait."""
    while not condition():
        time.sleep(0.001)

def during(waiting, handler):
    """Have the main thread run the handler once somebody is waiting."""
    signal.signal(signal.SIGUSR1, lambda *args: handler())
    def kill():
        wait_until(waiting)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
    start(kill)

def expect_broken(waiting, wait):
    try:
        during(waiting, breaks)
        wait()
    except Broken:
        print('broken')
'''

    def run_script(self, script, *expected):
        rc, out, err = assert_python_ok('-c', self.PREAMBLE + textwrap.dedent(script))
        self.assertEqual(out.decode().split(), list(expected))

    def test_an_exception_breaks_each_wait(self):
        self.run_script('''
            lock = Lock(); lock.acquire()
            expect_broken(lambda: lock._waiting, lock.acquire)
            assert lock.locked() and lock._waiting == 0
            lock.release(); assert lock.acquire(False)
            sem = Semaphore(0)
            expect_broken(lambda: sem._waiting, sem.acquire)
            sem.release(); assert sem.acquire(False)
            event = Event()
            expect_broken(lambda: event._waiting, event.wait)
            condition = Condition()
            with condition:
                expect_broken(lambda: condition._waiting, condition.wait)
                assert condition.locked() and condition._waiting == 0
            assert not condition.locked()
            barrier = Barrier(2)
            expect_broken(lambda: barrier.n_waiting, barrier.wait)
            assert barrier.n_waiting == 0 and not barrier.broken
            ''', *['broken'] * 5)

    def test_a_handler_may_use_the_lock(self):
        # It is not handed to the wait that the handler is in the middle of.
        self.run_script('''
            lock = Lock(); lock.acquire()
            def use():
                lock.release()
                with lock:
                    print('handler')
            during(lambda: lock._waiting, use)
            with lock:
                print('acquired')
            ''', 'handler', 'acquired')

    def test_a_handler_may_end_the_wait(self):
        self.run_script('''
            for what in Event(), Semaphore(0):
                during(lambda: what._waiting,
                       what.set if type(what) is Event else what.release)
                print(what.wait() if type(what) is Event else what.acquire())
            condition = Condition()
            during(lambda: condition._waiting,
                   lambda: (condition.acquire(), condition.notify(), condition.release()))
            with condition:
                print(condition.wait())
            barrier = Barrier(2)
            def arrive():
                thread = start(barrier.wait)
                thread.join()
            during(lambda: barrier.n_waiting, arrive)
            print(barrier.wait())
            ''', 'True', 'True', 'True', '0')

    def test_a_notification_while_a_handler_runs(self):
        self.run_script('''
            condition = Condition()
            def handler():
                def notify():
                    with condition:
                        condition.notify()
                start(notify).join()
            during(lambda: condition._waiting, handler)
            with condition:
                print(condition.wait())
            ''', 'True')

    def test_a_wait_that_is_broken_passes_its_notification_on(self):
        self.run_script('''
            condition = Condition()
            def other():
                with condition:
                    print('other', condition.wait())
            def handler():
                global thread
                thread = start(other)
                wait_until(lambda: condition._waiting == 2)
                def notify():
                    with condition:
                        condition.notify()
                start(notify).join()
                assert condition._waiting == 1      # it was for the main thread
                raise Broken
            during(lambda: condition._waiting, handler)
            try:
                with condition:
                    condition.wait()
            except Broken:
                thread.join()
                print('broken')
            ''', 'other', 'True', 'broken')

    def test_a_place_in_the_queue_is_kept(self):
        self.run_script('''
            lock = Lock(); lock.acquire()
            order = []
            def other():
                with lock:
                    order.append('other')
            def handler():
                global thread
                thread = start(other)
                wait_until(lambda: lock._waiting == 1)  # we are not among them meanwhile
                start(release)
            def release():
                wait_until(lambda: lock._waiting == 2)
                lock.release()
            during(lambda: lock._waiting, handler)
            with lock:
                order.append('main')
            thread.join()
            print(*order)
            ''', 'main', 'other')

    def test_in_another_interpreter(self):
        self.run_script('''
            interp = interpreters.create()
            event = Event()
            expect_broken(lambda: event._waiting,
                          lambda: interp.call(Event.wait, event))
            assert event._waiting == 0
            ''', 'broken')


@requires_fork()
@requires_subprocess()
@skip_if_sanitizer('sanitizers hang or die when threads fork',
                   address=True, thread=True)
class ForkTests(unittest.TestCase):

    PREAMBLE = SignalTests.PREAMBLE + '''
import os, traceback
def fork(func):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            func()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
'''

    def run_script(self, script):
        rc, out, err = assert_python_ok('-W', 'ignore::DeprecationWarning', '-c',
                                        self.PREAMBLE + textwrap.dedent(script))
        self.assertEqual(out + err, b'')

    def test_what_was_locked_stays_locked(self):
        self.run_script('''
            mine, theirs, sem = Lock(), RLock(), Semaphore(2)
            mine.acquire()
            start(theirs.acquire).join()
            sem.acquire()
            def child():
                assert mine.locked() and theirs.locked()
                assert not theirs.acquire(timeout=0.001)
                mine.release()
                with mine:
                    pass
                assert sem.acquire(False) and not sem.acquire(False)
            fork(child)
            assert mine.locked()
            ''')

    def test_nobody_waits(self):
        self.run_script('''
            lock, sem, event = Lock(), Semaphore(0), Event()
            condition, barrier = Condition(), Barrier(2)
            lock.acquire()
            def wait():
                with condition:
                    condition.wait()
            threads = [start(f) for f in (lock.acquire, sem.acquire, event.wait, wait,
                                          barrier.wait)]
            every = lock, sem, event, condition
            wait_until(lambda: all(x._waiting for x in every) and barrier.n_waiting)
            def child():
                assert not any(x._waiting for x in every) and not barrier.n_waiting
                lock.release()
                with lock:
                    pass
                sem.release()
                assert sem.acquire(False)
                event.set()
                with condition:
                    condition.notify_all()
                thread = start(barrier.wait)
                assert barrier.wait() in (0, 1)
                thread.join()
            for _ in range(3):
                fork(child)
            # And here they still do.
            lock.release(); sem.release(); event.set(); barrier.wait()
            with condition:
                condition.notify()
            for thread in threads:
                thread.join()
            ''')

    def test_in_a_handler_that_breaks_a_wait(self):
        self.run_script('''
            event, condition = Event(), Condition()
            parent = os.getpid()
            def handler():
                global pid
                pid = os.fork()
                if not pid:
                    what()
                    start(later)
            def later():
                wait_until(waiting)
                end()
            def wait():
                with condition:
                    condition.wait()
            def notify():
                with condition:
                    condition.notify()
            for do, waiting, end in (
                    (event.wait, lambda: event._waiting, event.set),
                    (wait, lambda: condition._waiting, notify)):
                what = lambda: None
                thread = None
                def later_in_parent():
                    wait_until(lambda: globals().get('pid'))
                    end()
                starter = start(later_in_parent)
                during(waiting, handler)    # only now: the child has no such thread
                do()
                if os.getpid() != parent:
                    os._exit(0)
                starter.join()
                assert os.waitpid(pid, 0)[1] == 0
                pid = None
                event.clear()
            ''')


if __name__ == '__main__':
    unittest.main()
