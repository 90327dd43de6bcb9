"""Locks whose owner, an interpreter or a thread of it, ends."""

import unittest

import interpreters
from interpreters import (
    Condition, InterpreterError, Lock, OwnerDiedError, RLock, create_channel)
from test.support import threading_helper
from test.test_subinterpreters.support import (
    TestCase, by_code, send_with_lock, wait_until)

threading_helper.requires_working_threading(module=True)


class OwnerDiedTests(TestCase):

    def abandon(self, lock, times=1):
        interp = self.create()
        for _ in range(times):
            interp.call(type(lock).acquire, lock)
        return interp

    def test_it_is_told_once(self):
        self.assertTrue(issubclass(OwnerDiedError, InterpreterError))
        for type in Lock, RLock, Condition:
            for acquire in (lambda l: l.acquire(), lambda l: l.acquire(False),
                            lambda l: l.acquire(timeout=10), lambda l: l.__enter__()):
                lock = type()
                interp = self.abandon(lock)
                self.assertTrue(lock.locked())
                interp.close()
                self.assertFalse(lock.locked())
                with self.assertRaises(OwnerDiedError):
                    acquire(lock)
                self.assertFalse(lock.locked())
                self.assertTrue(acquire(lock))
                lock.release()

    def test_released_before(self):
        lock = Lock()
        interp = self.abandon(lock)
        lock.release()
        interp.close()
        self.assertTrue(lock.acquire(False))

    def test_the_first_that_waits_is_told_and_the_next_has_it(self):
        for type in Lock, RLock:
            lock = type()
            interp = self.abandon(lock, 1 if type is Lock else 3)
            first = self.start(lock.acquire)
            wait_until(lambda: lock._waiting == 1)
            recv, send = create_channel(None)
            second = self.create().submit(send_with_lock, lock, send, 'second')
            wait_until(lambda: lock._waiting == 2)
            third = self.create().submit(send_with_lock, lock, send, 'third')
            wait_until(lambda: lock._waiting == 3)
            interp.close()
            with self.assertRaises(OwnerDiedError):
                first()
            second.result(), third.result()
            self.assertEqual(recv.drain(), ['second', 'third'])
            self.assertFalse(lock.locked())
            self.assertTrue(lock.acquire(False))

    def test_nobody_else_has_it(self):
        lock = RLock()
        self.abandon(lock).close()
        with self.assertRaises(RuntimeError):
            lock.release()
        with self.assertRaises(OwnerDiedError):
            lock.acquire()

    def test_locks_of_others_stay(self):
        mine, other = Lock(), Lock()
        mine.acquire()
        keeper = self.abandon(other)
        self.abandon(Lock()).close()
        self.assertTrue(mine.locked() and other.locked())
        keeper.close()
        self.assertTrue(mine.locked())
        self.assertFalse(other.locked())

    def test_an_interpreter_that_stays_since_its_memory_is_viewed(self):
        @by_code
        def view_memory():
            return memoryview(bytearray(10))

        lock = Lock()
        interp = self.abandon(lock)
        view = interp.call(view_memory)
        interp.close()
        self.assertIn(interp, interpreters.list_all())
        with self.assertRaises(OwnerDiedError):
            lock.acquire()
        view.release()
        self.assertTrue(lock.acquire())

    def test_while_a_condition_waits_for_its_lock(self):
        # The error comes with the lock acquired, as at the end of any wait().
        @by_code
        def notify(condition):
            condition.acquire()
            condition.notify()

        for type in Lock, RLock:
            lock = type()
            condition = Condition(lock)

            def wait():
                with condition:
                    try:
                        condition.wait()
                    except OwnerDiedError:
                        return lock.locked()

            result = self.start(wait)
            wait_until(lambda: condition._waiting == 1)
            interp = self.create()
            interp.call(notify, condition)
            wait_until(lambda: lock._waiting == 1)
            interp.close()
            self.assertIs(result(), True)
            self.assertTrue(lock.acquire(False))

    def test_it_arrives_as_itself(self):
        lock = Lock()
        self.abandon(lock).close()
        future = self.create().submit(Lock.acquire, lock)
        with self.assertRaises(OwnerDiedError):
            future.result()

    def test_at_any_moment(self):
        # However many race for it, one is told.
        for _ in range(10):
            lock = Lock()
            interp = self.abandon(lock)
            told = []

            def acquire():
                for _ in range(20):
                    try:
                        with lock:
                            pass
                    except OwnerDiedError:
                        told.append(1)

            racing = [self.start(acquire) for _ in range(3)]
            interp.close()
            for result in racing:
                result()
            self.assertEqual(told, [1])


class OwnerTests(TestCase):

    def test_rlock_stays_with_its_interpreter_while_another_waits_for_a_condition(self):
        condition = interpreters.Condition()
        interp = interpreters.create()
        interp.prepare_main(condition=condition)
        with condition:
            interp.exec('condition.wait(0.01)')
            interp.close()
            condition.notify()          # RuntimeError if it is not ours any more

    def test_lock_that_is_acquired_while_the_interpreter_ends(self):
        lock = interpreters.Lock()
        interp = interpreters.create()
        interp.prepare_main(lock=lock)
        interp.exec('''if True:
            import codecs
            class Late:
                def __init__(self, lock):
                    self.acquire = lock.acquire
                def __del__(self):
                    self.acquire()
            codecs.register(lambda name, late=Late(lock): None)
            ''')
        interp.close()
        with self.assertRaises(OwnerDiedError):
            lock.acquire()
        self.assertTrue(lock.acquire())


if __name__ == '__main__':
    unittest.main()
