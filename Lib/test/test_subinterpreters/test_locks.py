"""Locks, semaphores, events, conditions and barriers between interpreters."""

import _xxsubinterpreters
import copy
import pickle
import threading
import unittest
import weakref
from unittest import mock

import interpreters
from interpreters import (
    Barrier, BoundedSemaphore, Condition, Event, ExecutionFailed, Lock, RLock, Semaphore,
    create_channel, create_queue)
from test import lock_tests
from test.support import threading_helper
from test.test_subinterpreters.support import (
    TestCase, by_code, send_with_lock, wait_until)

threading_helper.requires_working_threading(module=True)

TYPES = Lock, RLock, Semaphore, BoundedSemaphore, Event, Condition


# ---- what threading's have to do -----------------------------------------------
#
# Of the tests of CPython, two are excluded everywhere: those of the repr, which is
# another one, and that of _at_fork_reinit(), which is for locks of the stdlib.

class LockTests(lock_tests.LockTests):
    locktype = Lock
    test_repr = test_locked_repr = test_at_fork_reinit = None


class RLockTests(lock_tests.RLockTests):
    locktype = RLock
    test_repr = test_locked_repr = test_at_fork_reinit = None


class EventTests(lock_tests.EventTests):
    eventtype = Event
    test_repr = test_at_fork_reinit = None


class ConditionAsRLockTests(lock_tests.RLockTests):
    locktype = Condition
    test_repr = test_locked_repr = test_at_fork_reinit = None
    # These methods of a lock that threading.Condition uses and hands on.
    test_recursion_count = test__is_owned = test_release_save_unacquired = None


class ConditionTests(lock_tests.ConditionTests):
    condtype = Condition

    def test_acquire(self):
        # The lock has to be one of ours.
        with mock.patch.object(threading, 'Lock', Lock):
            super().test_acquire()


class ConditionOfLockTests(ConditionTests):

    @staticmethod
    def condtype(lock=None):
        return Condition(Lock() if lock is None else lock)

    test_acquire = None             # tests that it has an RLock by default


class ConditionOfThreadingTests(lock_tests.ConditionTests):
    # The class of threading, with one of our locks.

    @staticmethod
    def condtype(lock=None):
        return threading.Condition(RLock() if lock is None else lock)


class SemaphoreTests(lock_tests.SemaphoreTests):
    semtype = Semaphore
    test_repr = None


class BoundedSemaphoreTests(lock_tests.BoundedSemaphoreTests):
    semtype = BoundedSemaphore
    test_repr = None


class BarrierTests(lock_tests.BarrierTests):
    barriertype = Barrier
    test_repr = None


class InterfaceTests(TestCase):

    def test_lock_errors(self):
        lock = Lock()
        with self.assertRaisesRegex(RuntimeError, 'release unlocked lock'):
            lock.release()
        for bad in ('1', None, [1]):
            with self.subTest(bad), self.assertRaises(TypeError):
                lock.acquire(timeout=bad)
        self.assertFalse(lock.locked())
        with self.assertRaises(TypeError):
            Lock(1)
        with self.assertRaises(TypeError):
            lock.acquire(True, 1, 2)

    def test_lock_locked(self):
        for type in Lock, RLock, Condition:
            lock = type()
            self.assertIs(lock.locked(), False)
            self.assertIs(lock.acquire(), True)
            self.assertIs(lock.locked(), True)
            lock.release()
            self.assertIs(lock.locked(), False)
            self.assertIs(lock.acquire(True, -1), True)
            self.assertIs(lock.acquire(False), type is not Lock)
            self.assertIs(lock.acquire(timeout=0), type is not Lock)

    def test_semaphore_errors(self):
        for type in Semaphore, BoundedSemaphore:
            with self.assertRaises(OverflowError):
                type(2**62)
            with self.assertRaises(TypeError):
                type('x')
            sem = type(1)
            for n in 0, -1:
                with self.assertRaises(ValueError):
                    sem.release(n)
        sem = Semaphore(2**60 - 1)
        with self.assertRaises(OverflowError):
            sem.release()
        sem.acquire()
        sem.release()
        with self.assertRaises(ValueError):
            BoundedSemaphore(3).release(2**62)

    def test_condition_errors(self):
        for lock in (threading.Lock(), threading.RLock(), Semaphore(), Condition(), 1):
            with self.assertRaises(TypeError):
                Condition(lock)
        for type in Lock, RLock:
            condition = Condition(type())
            for method in (condition.wait, condition.notify, condition.notify_all,
                           lambda: condition.wait_for(lambda: False)):
                with self.assertRaisesRegex(RuntimeError, 'un-acquired'):
                    method()
            self.assertFalse(condition.locked())

    def test_condition_with_nobody_waiting(self):
        with Condition() as acquired:
            self.assertIs(acquired, True)
        condition = Condition()
        with condition:
            condition.notify(-1)
            condition.notify(10)
            condition.notify_all()
            self.assertIs(condition.wait(0), False)
            self.assertIs(condition.wait(-1), False)
            self.assertEqual(condition.wait_for(lambda: 'x'), 'x')
            self.assertEqual(condition.wait_for(lambda: [], 0), [])
            with self.assertRaises(ZeroDivisionError):
                condition.wait_for(lambda: 1 / 0)

    def test_condition_of_a_recursive_lock(self):
        # wait() releases it completely.
        lock = RLock()
        condition = Condition(lock)

        def notify():
            with condition:
                condition.notify()

        with lock, condition, lock:
            notified = self.start(notify)
            self.assertTrue(condition.wait())
            self.assertEqual(lock._recursion_count(), 3)
        notified()
        self.assertFalse(lock.locked())

    def test_barrier(self):
        barrier = Barrier(1, timeout=5)
        self.assertEqual((barrier.parties, barrier.n_waiting, barrier.broken),
                         (1, 0, False))
        self.assertEqual(barrier.wait(), 0)
        barrier.abort()
        self.assertIs(barrier.broken, True)
        with self.assertRaises(threading.BrokenBarrierError):
            barrier.wait()
        barrier.reset()
        self.assertEqual(barrier.wait(0), 0)

    def test_barrier_with_an_action_that_fails(self):
        barrier = Barrier(2, lambda: 1 / 0)
        other = self.start(barrier.wait)
        wait_until(lambda: barrier.n_waiting == 1)
        with self.assertRaises(ZeroDivisionError):
            barrier.wait()
        with self.assertRaises(threading.BrokenBarrierError):
            other()
        self.assertTrue(barrier.broken)

    def test_barrier_whose_action_resets_it(self):
        for end in Barrier.reset, Barrier.abort:
            barrier = Barrier(2, lambda: end(barrier))
            other = self.start(barrier.wait)
            wait_until(lambda: barrier.n_waiting == 1)
            for wait in barrier.wait, other:
                with self.assertRaises(threading.BrokenBarrierError):
                    wait()
            self.assertIs(barrier.broken, end is Barrier.abort)

    def test_barrier_of_which_more_arrive_while_the_action_runs(self):
        calls = []
        begun, go_on = Event(), Event()

        def action():
            calls.append(1)
            if len(calls) == 1:
                begun.set()
                go_on.wait()

        barrier = Barrier(2, action)
        results = [self.start(barrier.wait) for _ in range(2)]
        begun.wait()
        results += [self.start(barrier.wait) for _ in range(4)]
        go_on.set()
        self.assertEqual(sorted(result() for result in results), [0, 0, 0, 1, 1, 1])
        self.assertEqual(len(calls), 3)
        self.assertEqual(barrier.n_waiting, 0)

    def test_barrier_whose_time_is_up_while_the_action_runs(self):
        # All have come, so it is not broken.
        go_on = Event()
        barrier = Barrier(2, go_on.wait)
        other = self.start(barrier.wait, 0.05)
        wait_until(lambda: barrier.n_waiting == 1)
        last = self.start(barrier.wait)
        threading.Event().wait(0.1)
        go_on.set()
        self.assertEqual((other(), last()), (0, 1))
        self.assertFalse(barrier.broken)

    def test_barrier_in_a_cycle_with_its_action(self):
        class Action:
            def __call__(self):
                pass
        action = Action()
        action.barrier = Barrier(2, action)
        ref = weakref.ref(action)
        del action
        import gc
        gc.collect()
        self.assertIsNone(ref())

    def test_repr(self):
        for type, state in ((Lock, 'unlocked'), (RLock, 'unlocked'),
                            (Semaphore, 'value=1'), (BoundedSemaphore, 'value=1/1'),
                            (Event, 'unset')):
            obj = type()
            self.assertEqual(repr(obj),
                             f'<interpreters.{type.__name__} {obj.id} {state}>')
        event = Event()
        event.set()
        self.assertEqual(repr(event), f'<interpreters.Event {event.id} set>')
        lock = RLock()
        lock.acquire()
        here = interpreters.get_current().id
        self.assertEqual(repr(lock), f'<interpreters.RLock {lock.id} '
                                     f'locked by interpreter {here}>')
        condition = Condition(lock)
        self.assertEqual(repr(condition),
                         f'<interpreters.Condition {condition.id} of RLock {lock.id} '
                         f'locked by interpreter {here}, waiters=0>')
        barrier = Barrier(3)
        self.assertEqual(repr(barrier),
                         f'<interpreters.Barrier {barrier.id} waiters=0/3>')
        barrier.abort()
        self.assertEqual(repr(barrier), f'<interpreters.Barrier {barrier.id} broken>')

    def test_neither_pickled_nor_copied(self):
        for obj in [type() for type in TYPES] + [Barrier(1), Barrier(1, print)]:
            for copier in pickle.dumps, copy.copy, copy.deepcopy:
                with self.subTest(obj), self.assertRaises(TypeError):
                    copier(obj)

    def test_no_attributes(self):
        with self.assertRaises(AttributeError):
            Lock().x = 1
        with self.assertRaises(TypeError):
            class Sub(Lock):
                pass


# ---- sending --------------------------------------------------------------------

class SendingTests(TestCase):

    def setUp(self):
        super().setUp()
        self.recv, self.send = create_channel(None)

    def copy(self, obj):
        self.send.send(obj)
        return self.recv.recv()

    def test_objects_for_one_are_equal(self):
        for obj in [type() for type in TYPES] + [Barrier(2), Barrier(2, print)]:
            with self.subTest(obj):
                other = self.copy(obj)
                self.assertIsNot(other, obj)
                self.assertIs(type(other), type(obj))
                self.assertEqual(other, obj)
                self.assertEqual(hash(other), hash(obj))
                self.assertEqual(other.id, obj.id)
                self.assertEqual(repr(other), repr(obj))
                self.assertNotEqual(obj, Event())
                self.assertNotEqual(obj, 1)
                self.assertEqual(len({obj, other}), 1)
                with self.assertRaises(TypeError):
                    obj < other
                self.assertTrue(interpreters.is_shareable(obj))

    def test_identity_inside_a_message(self):
        lock = Lock()
        a, b = self.copy([lock, lock])
        self.assertIs(a, b)
        barrier = Barrier(2, print)
        a, b = self.copy((barrier, {'x': barrier}))
        self.assertIs(a, b['x'])

    def test_in_containers(self):
        lock, event = Lock(), Event()
        obj = {'a': [lock, (event, {lock})], lock: 1}
        self.assertEqual(self.copy(obj), obj)
        queue = create_queue()
        queue.put([lock])
        self.assertEqual(queue.get(), [lock])

    def test_a_condition_and_its_lock(self):
        for type in Lock, RLock:
            lock = type()
            condition = Condition(lock)
            lock2, condition2 = self.copy((lock, condition))
            condition3 = self.copy(condition)
            del condition
            with condition3:
                self.assertTrue(lock.locked())
                self.assertTrue(lock2.locked())
                self.assertTrue(condition2.locked())
                condition2.notify()
            self.assertFalse(lock.locked())

    def test_a_barrier_with_an_action(self):
        interp = self.create()
        recv, send = create_channel(None)

        def action():
            import interpreters
            send.send(interpreters.get_current().id)

        barrier = Barrier(2, action)
        for here_last in False, True, False:
            if here_last:
                result = interp.submit(Barrier.wait, barrier)
                wait_until(lambda: barrier.n_waiting == 1)
                self.assertEqual(barrier.wait(), 1)
                self.assertEqual(result.result(), 0)
                last = interpreters.get_current()
            else:
                result = self.start(barrier.wait)
                wait_until(lambda: barrier.n_waiting == 1)
                self.assertEqual(interp.call(Barrier.wait, barrier), 1)
                self.assertEqual(result(), 0)
                last = interp
            self.assertEqual(recv.recv(), last.id)
        self.assertEqual(len(recv), 0)

    def test_a_barrier_whose_action_cannot_be_sent(self):
        action = mock.Mock(spec=[])
        action.unsendable = (_ for _ in ())
        with self.assertRaises(interpreters.NotShareableError):
            self.send.send(Barrier(2, (_ for _ in ()).__next__))
        self.assertEqual(len(self.recv), 0)

    def test_the_settings_of_a_barrier(self):
        barrier = self.copy(Barrier(3, timeout=0))
        self.assertEqual(barrier.parties, 3)
        with self.assertRaises(threading.BrokenBarrierError):
            barrier.wait()

    def test_the_last_object_frees_it(self):
        before = _xxsubinterpreters._count_locks()
        objs = [type() for type in TYPES] + [Barrier(2)]
        self.assertEqual(_xxsubinterpreters._count_locks(), before + len(objs) + 1)
        interp = self.create()
        interp.prepare_main(objs=objs)
        del objs
        self.assertEqual(_xxsubinterpreters._count_locks(), before + 8)
        interp.exec('del objs')
        self.assertEqual(_xxsubinterpreters._count_locks(), before)

    def test_an_unread_message_frees_it(self):
        before = _xxsubinterpreters._count_locks()
        recv, send = create_channel(None)
        send.send([Lock(), Condition(Lock()), Barrier(2, Event)])
        self.assertEqual(_xxsubinterpreters._count_locks(), before + 4)
        recv.close()
        send.close()
        del recv, send
        self.assertEqual(_xxsubinterpreters._count_locks(), before)
        # Nor does one that could not be sent keep it.
        with self.assertRaises(interpreters.NotShareableError):
            self.send.send([Lock(), (_ for _ in ())])
        self.assertEqual(_xxsubinterpreters._count_locks(), before)

    def test_a_closed_interpreter_frees_them(self):
        before = _xxsubinterpreters._count_locks()
        interp = self.create()
        interp.exec('import interpreters as i, builtins\n'
                    'builtins.kept = [i.Lock(), i.Condition(), i.Barrier(2)]')
        self.assertEqual(_xxsubinterpreters._count_locks(), before + 4)
        interp.close()
        self.assertEqual(_xxsubinterpreters._count_locks(), before)


# ---- between interpreters ---------------------------------------------------------

@by_code
def increment(lock, memory, times):
    """Add to a number in shared memory what another one would overwrite."""
    numbers = memory.cast('q')
    for _ in range(times):
        with lock:
            numbers[0] += 1


@by_code
def increment_recursively(lock, memory, times):
    numbers = memory.cast('q')
    for i in range(times):
        with lock:
            if i % 3 == 0:
                with lock:
                    numbers[0] += 1
            else:
                numbers[0] += 1


@by_code
def increment_impatiently(lock, memory, times):
    import random
    numbers = memory.cast('q')
    for _ in range(times):
        while not lock.acquire(timeout=random.random() * 1e-4):
            pass
        numbers[0] += 1
        lock.release()


class ExclusionTests(TestCase):

    N = 4
    TIMES = 5000

    def assert_exact(self, lock, func, times=TIMES):
        memory = bytearray(8)
        with memoryview(memory) as view:
            futures = [self.create().submit(func, lock, view, times)
                       for _ in range(self.N)]
            for future in futures:
                future.result()
        self.assertEqual(int.from_bytes(memory, 'little'), self.N * times)

    def test_lock(self):
        lock = Lock()
        self.assert_exact(lock, increment)
        self.assertFalse(lock.locked())

    def test_rlock(self):
        self.assert_exact(RLock(), increment_recursively)

    def test_condition(self):
        self.assert_exact(Condition(), increment_recursively)

    def test_semaphore(self):
        sem = Semaphore(1)
        self.assert_exact(sem, increment)
        self.assertEqual(repr(sem), f'<interpreters.Semaphore {sem.id} value=1>')

    def test_with_timeouts(self):
        for type in Lock, RLock, BoundedSemaphore:
            lock = type()
            self.assert_exact(lock, increment_impatiently, 1000)
            self.assertEqual(lock._waiting, 0)

    def test_threads_of_one_interpreter_too(self):
        lock = Lock()
        memory = bytearray(8)
        with memoryview(memory) as view:
            interp = self.create()
            futures = [interp.submit(increment, lock, view, 1000) for _ in range(3)]
            for _ in range(3):
                futures.append(self.start(increment, lock, view, 1000))
            for future in futures:
                future.result() if hasattr(future, 'result') else future()
        self.assertEqual(int.from_bytes(memory, 'little'), 6000)

    def test_order(self):
        # Who came first is first.
        for lock in Lock(), RLock(), Semaphore(1):
            lock.acquire()
            recv, send = create_channel(None)
            futures = []
            for i in range(6):
                futures.append(self.create().submit(send_with_lock, lock, send, i))
                wait_until(lambda: lock._waiting == i + 1)
            lock.release()
            for future in futures:
                future.result()
            self.assertEqual(recv.drain(), list(range(6)))

    def test_who_releases_cannot_overtake(self):
        lock = Lock()
        lock.acquire()
        recv, send = create_channel(None)
        future = self.create().submit(send_with_lock, lock, send, 'other')
        wait_until(lambda: lock._waiting == 1)
        lock.release()
        with lock:
            send.send('me')
        future.result()
        self.assertEqual(recv.drain(), ['other', 'me'])

    def test_permits_are_neither_lost_nor_made(self):
        @by_code
        def use(sem, times):
            import random
            for _ in range(times):
                if sem.acquire(timeout=random.choice((0, 1e-6, 1e-5, 1e-4, None))):
                    sem.release()

        for type in Semaphore, BoundedSemaphore:
            sem = type(2)
            futures = [self.create().submit(use, sem, 1000) for _ in range(4)]
            for future in futures:
                future.result()
            self.assertTrue(all(sem.acquire(False) for _ in range(2)))
            self.assertFalse(sem.acquire(False))

    def test_releasing_several_permits(self):
        sem = Semaphore(0)
        futures = [self.create().submit(Semaphore.acquire, sem) for _ in range(3)]
        wait_until(lambda: sem._waiting == 3)
        sem.release(5)
        self.assertEqual([future.result() for future in futures], [True] * 3)
        self.assertTrue(sem.acquire(False))
        self.assertTrue(sem.acquire(False))
        self.assertFalse(sem.acquire(False))

    def test_released_by_another_interpreter(self):
        lock = Lock()
        lock.acquire()
        self.create().call(Lock.release, lock)
        self.assertFalse(lock.locked())
        with self.assertRaises(ExecutionFailed) as caught:
            self.create().call(Lock.release, lock)
        self.assertIsInstance(caught.exception.exception, RuntimeError)

    def test_an_rlock_is_a_threads_in_every_interpreter(self):
        lock = RLock()
        interp = self.create()
        interp.call(RLock.acquire, lock)
        self.assertTrue(lock.acquire(False))
        self.assertEqual(lock._recursion_count(), 2)
        self.assertFalse(interp.submit(RLock.acquire, lock, False).result())
        lock.release()
        interp.call(RLock.release, lock)
        self.assertFalse(lock.locked())

    def test_repr_tells_the_interpreter(self):
        interp = self.create()
        lock = Lock()
        interp.call(Lock.acquire, lock)
        self.assertEqual(repr(lock), f'<interpreters.Lock {lock.id} '
                                     f'locked by interpreter {interp.id}>')
        lock.release()


class EventAndConditionTests(TestCase):

    def test_set_wakes_all(self):
        event = Event()
        futures = [self.create().submit(Event.wait, event) for _ in range(5)]
        wait_until(lambda: event._waiting == 5)
        self.create().call(Event.set, event)
        self.assertEqual([future.result() for future in futures], [True] * 5)
        self.assertTrue(event.is_set())
        event.clear()
        self.assertFalse(self.create().call(Event.wait, event, 0.001))

    def test_ping_pong(self):
        @by_code
        def answer(ping, pong, rounds):
            for _ in range(rounds):
                ping.wait()
                ping.clear()
                pong.set()

        ping, pong = Event(), Event()
        future = self.create().submit(answer, ping, pong, 2000)
        for _ in range(2000):
            ping.set()
            self.assertTrue(pong.wait())
            pong.clear()
        future.result()

    def test_notify_in_order(self):
        @by_code
        def wait(condition, send, name):
            with condition:
                condition.wait()
                send.send(name)

        condition = Condition()
        recv, send = create_channel(None)
        futures = []
        for i in range(5):
            futures.append(self.create().submit(wait, condition, send, i))
            wait_until(lambda: condition._waiting == i + 1)
        with condition:
            condition.notify(2)
            self.assertEqual(condition._waiting, 3)
        for future in futures[:2]:
            future.result()
        self.assertEqual(sorted(recv.drain()), [0, 1])
        with condition:
            condition.notify_all()
        for future in futures:
            future.result()
        self.assertEqual(sorted(recv.drain()), [2, 3, 4])

    def test_producers_and_consumers(self):
        # A ring in shared memory: head, tail, sum of what was consumed, items.
        SIZE, N, CONSUMERS = 4, 1500, 3

        @by_code
        def produce(condition, memory, size, items):
            ring = memory.cast('q')
            for item in items:
                with condition:
                    condition.wait_for(lambda: ring[0] - ring[1] < size)
                    ring[3 + ring[0] % size] = item
                    ring[0] += 1
                    condition.notify_all()

        @by_code
        def consume(condition, memory, size):
            ring = memory.cast('q')
            got = []
            while True:
                with condition:
                    condition.wait_for(lambda: ring[0] > ring[1])
                    item = ring[3 + ring[1] % size]
                    ring[1] += 1
                    ring[2] += max(item, 0)
                    condition.notify_all()
                if item < 0:
                    return got
                got.append(item)

        for condition in Condition(), Condition(Lock()):
            memory = bytearray(8 * (3 + SIZE))
            with memoryview(memory) as view:
                consumers = [self.create().submit(consume, condition, view, SIZE)
                             for _ in range(CONSUMERS)]
                producers = [self.create().submit(produce, condition, view, SIZE,
                                                  range(i, N, 2)) for i in range(2)]
                for future in producers:
                    future.result()
                produce(condition, view, SIZE, [-1] * CONSUMERS)
                got = [future.result() for future in consumers]
            self.assertEqual(sorted(sum(got, [])), list(range(N)))
            self.assertEqual(int.from_bytes(memory[16:24], 'little'), sum(range(N)))

    def test_no_notification_is_lost_by_timeouts(self):
        # One of those that wait has no timeout, so each notify() wakes exactly one.
        @by_code
        def wait_patiently(condition, memory):
            numbers = memory.cast('q')      # woken, waits without timeout, the end
            with condition:
                while not numbers[2]:
                    numbers[1] = 1
                    condition.wait()
                    numbers[0] += 1
                    numbers[1] = 0

        @by_code
        def wait(condition, memory):
            import random
            numbers = memory.cast('q')
            with condition:
                while not numbers[2]:
                    if condition.wait(random.random() * 1e-4):
                        numbers[0] += 1

        condition = Condition()
        with memoryview(bytearray(24)) as view:
            futures = [self.create().submit(func, condition, view)
                       for func in (wait_patiently, wait, wait)]
            numbers = view.cast('q')
            notified = 0

            def notify_if_waiting():
                nonlocal notified
                with condition:
                    if numbers[1] and numbers[0] == notified:
                        condition.notify()
                        notified += 1
                        return True

            for _ in range(1000):
                while not notify_if_waiting():
                    pass

            def all_woken():
                with condition:
                    return numbers[0] == 1000

            wait_until(all_woken)
            with condition:
                numbers[2] = 1
                condition.notify_all()
            for future in futures:
                future.result()
            numbers.release()


class BarrierBetweenInterpretersTests(TestCase):

    def test_rounds(self):
        @by_code
        def meet(barrier, memory, me, rounds):
            numbers = memory.cast('q')
            indexes = []
            for i in range(rounds):
                numbers[me] = i
                indexes.append(barrier.wait())
                assert all(n == i for n in numbers[1:5]), numbers.tolist()
                assert numbers[0] == 2 * i + 1, numbers.tolist()
                barrier.wait()
            return indexes

        memory = bytearray(40)
        with memoryview(memory) as view:
            def action():
                view.cast('q')[0] += 1

            barrier = Barrier(4, action)
            futures = [self.create().submit(meet, barrier, view, i + 1, 300)
                       for i in range(4)]
            indexes = [future.result() for future in futures]
        for together in zip(*indexes):
            self.assertEqual(sorted(together), [0, 1, 2, 3])
        self.assertEqual(int.from_bytes(memory[:8], 'little'), 600)
        self.assertEqual(barrier.n_waiting, 0)

    def test_broken_by_a_timeout(self):
        barrier = Barrier(3)
        futures = [self.create().submit(Barrier.wait, barrier) for _ in range(1)]
        wait_until(lambda: barrier.n_waiting == 1)
        with self.assertRaises(threading.BrokenBarrierError):
            barrier.wait(0.001)
        for future in futures:
            with self.assertRaises(threading.BrokenBarrierError):
                future.result()
        self.assertTrue(barrier.broken)

    def test_one_that_is_interrupted_leaves(self):
        barrier = Barrier(2)
        interp = self.create()
        future = interp.submit(Barrier.wait, barrier)
        wait_until(lambda: barrier.n_waiting == 1)
        wait_until(interp.interrupt)
        with self.assertRaises(KeyboardInterrupt):
            future.result()
        self.assertEqual(barrier.n_waiting, 0)
        future = interp.submit(Barrier.wait, barrier)
        self.assertEqual({barrier.wait(), future.result()}, {0, 1})


class RoundTests(TestCase):
    """Barriers that somebody leaves early."""

    def test_time_out_of_the_next_round_leaves_the_complete_one(self):
        acting, go_on = threading.Event(), threading.Event()

        def action():
            acting.set()
            go_on.wait()

        barrier = interpreters.Barrier(2, action)
        complete = [self.start(barrier.wait) for _ in range(2)]
        acting.wait()
        with self.assertRaises(threading.BrokenBarrierError):
            barrier.wait(0.01)
        go_on.set()
        self.assertEqual(sorted(result() for result in complete), [0, 1])
        self.assertTrue(barrier.broken)

    def test_numbers_are_different_although_somebody_gave_up(self):
        barrier = interpreters.Barrier(3)
        interp = self.create()
        interp.prepare_main(barrier=barrier)
        gone = self.start(interp.exec, 'barrier.wait()')
        wait_until(lambda: barrier.n_waiting == 1)
        results = [self.start(barrier.wait)]
        wait_until(lambda: barrier.n_waiting == 2)
        interp.interrupt()
        with self.assertRaises(interpreters.ExecutionFailed):
            gone()
        if barrier.broken:
            with self.assertRaises(threading.BrokenBarrierError):
                results[0]()
            return
        results += [self.start(barrier.wait) for _ in range(2)]
        self.assertEqual(sorted(result() for result in results), [0, 1, 2])


if __name__ == '__main__':
    unittest.main()
