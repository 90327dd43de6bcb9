"""Atomic operations on elements of shared memory, and waiting for them."""

import array
import ctypes
import itertools
import mmap
import operator
import signal
import struct
import sys
import threading
import unittest

import interpreters
from interpreters import (
    ExecutionFailed, atomic_add, atomic_and, atomic_compare_exchange,
    atomic_exchange, atomic_load, atomic_notify, atomic_or, atomic_store,
    atomic_sub, atomic_wait, atomic_xor, create_channel)
from test.support import requires_subprocess
from test.test_subinterpreters.support import TestCase, by_code, wait_until
from test.test_subinterpreters.test_fork import ForkTestCase
from test.test_subinterpreters.test_waiting import run_script

MODIFY = {
    atomic_exchange: lambda old, value: value,
    atomic_add: operator.add,
    atomic_sub: operator.sub,
    atomic_and: operator.and_,
    atomic_or: operator.or_,
    atomic_xor: operator.xor,
}

# All that need memory that can be written, with arguments after the index.
WRITING = [(func, (1,)) for func in (atomic_store, *MODIFY)]
WRITING.append((atomic_compare_exchange, (0, 1)))
READING = [(atomic_load, ()), (atomic_wait, (1,)), (atomic_notify, ())]


def limits(code):
    bits = struct.calcsize(code) * 8
    if code.islower():
        return -2**(bits - 1), 2**(bits - 1) - 1
    return 0, 2**bits - 1


def wrap(value, code):
    """The number that has the lowest bits of value."""
    low, high = limits(code)
    return (value - low) % (high - low + 1) + low


class Formatted:
    """Memory with a format of any kind; counts who uses it."""

    def __init__(self, data, format):
        self.data, self.format, self.used = data, format, 0

    def __buffer__(self, flags):
        self.used += 1
        return memoryview(self.data).cast(self.format)

    def __release_buffer__(self, view):
        self.used -= 1
        view.release()


class OperationTests(TestCase):

    def operands(self, code):
        low, high = limits(code)
        return sorted({wrap(value, code) for value in
                       (low, low + 1, -1, 0, 1, 5, 2**31 - 1, 2**31, 2**32 - 1, 2**32,
                        0x5555_5555_5555_5555, high - 1, high)})

    def test_load_and_store(self):
        for code in 'iIlLqQ':
            view = memoryview(bytearray(5 * struct.calcsize(code))).cast(code)
            for value in self.operands(code):
                with self.subTest(code, value=value):
                    self.assertIsNone(atomic_store(view, 2, value))
                    self.assertEqual(view.tolist(), [0, 0, value, 0, 0])
                    self.assertEqual(atomic_load(view, 2), value)

    def test_modify(self):
        for code, (func, expected) in itertools.product('iIlLqQ', MODIFY.items()):
            view = memoryview(bytearray(3 * struct.calcsize(code))).cast(code)
            for old, value in itertools.product(self.operands(code), repeat=2):
                with self.subTest(func.__name__, code=code, old=old, value=value):
                    view[1] = old
                    self.assertEqual(func(view, 1, value), old)
                    self.assertEqual(view.tolist(),
                                     [0, wrap(expected(old, value), code), 0])

    def test_compare_exchange(self):
        for code in 'iIlLqQ':
            view = memoryview(bytearray(3 * struct.calcsize(code))).cast(code)
            for old, value in itertools.product(self.operands(code), repeat=2):
                with self.subTest(code, old=old, value=value):
                    view[1] = old
                    self.assertEqual(atomic_compare_exchange(view, 1, old, value), old)
                    self.assertEqual(view.tolist(), [0, value, 0])
                    other = wrap(value + 1, code)
                    self.assertEqual(atomic_compare_exchange(view, 1, other, old),
                                     value)
                    self.assertEqual(view.tolist(), [0, value, 0])

    def test_keywords(self):
        data = array.array('i', [7])
        atomic_store(view=data, index=0, value=8)
        self.assertEqual(atomic_compare_exchange(data, 0, value=9, expected=8), 8)
        self.assertTrue(atomic_wait(view=data, index=0, expected=0, timeout=None))
        self.assertEqual(atomic_notify(view=data, index=0, count=1), 0)
        self.assertEqual(atomic_load(view=data, index=0), 9)

    def test_exporters(self):
        with mmap.mmap(-1, 4096) as mapped, memoryview(mapped) as view, \
             view.cast('l') as cast:
            for obj in (array.array('q', [1, 2]), (ctypes.c_int32 * 2)(),
                        (ctypes.c_uint64 * 2)(), (ctypes.c_long * 2)(), cast,
                        Formatted(bytearray(16), '@Q')):
                with self.subTest(obj):
                    atomic_store(obj, 1, 5)
                    self.assertEqual(atomic_add(obj, 1, 2), 5)
                    self.assertEqual(atomic_load(obj, 1), 7)

    def test_standard_formats(self):
        # ctypes says '<'; of 'l' the size is then four bytes.
        self.assertEqual(memoryview((ctypes.c_int32 * 1)()).format[0],
                         '<' if sys.byteorder == 'little' else '>')
        data = (ctypes.c_int32 * 1)()
        self.assertEqual(atomic_sub(data, 0, 1), 0)
        self.assertEqual(data[0], -1)

    def test_indices(self):
        base = memoryview(bytearray(struct.pack('24i', *range(24))))
        flat, cube = base.cast('i'), base.cast('i', (2, 3, 4))
        for i in range(-24, 24):
            self.assertEqual(atomic_load(flat, i), flat[i])
            self.assertEqual(atomic_load(flat, (i,)), flat[i])
        for index in itertools.product(range(-2, 2), range(-3, 3), range(-4, 4)):
            self.assertEqual(atomic_load(cube, index), cube[index])
        for step in (2, 5, -1, -3):
            self.assertEqual([atomic_load(flat[::step], i)
                              for i in range(len(flat[::step]))],
                             flat[::step].tolist())
        atomic_store(flat[::-2], 1, -5)
        self.assertEqual(flat[21], -5)

        class Index:
            def __index__(self):
                return 3
        self.assertEqual(atomic_load(flat, Index()), 3)

    def test_no_dimensions(self):
        view = memoryview(bytearray(8)).cast('q', ())
        atomic_store(view, (), 3)
        self.assertEqual(atomic_load(view, ()), 3)

    def test_index_errors(self):
        base = memoryview(bytearray(48))
        cube = base.cast('i', (3, 4))
        for view, index, exc in ((base.cast('i'), 12, IndexError),
                                 (base.cast('i'), -13, IndexError),
                                 (base.cast('i'), 10**30, IndexError),
                                 (base.cast('i')[5:5], 0, IndexError),
                                 (base.cast('i'), 1.0, TypeError),
                                 (base.cast('i'), None, TypeError),
                                 (base.cast('i'), 'a', TypeError),
                                 (base.cast('i'), (1, 2), TypeError),
                                 (base.cast('i'), (), TypeError),
                                 (base.cast('i'), [1], TypeError),
                                 (cube, 1, TypeError),
                                 (cube, (1, 2, 3), TypeError),
                                 (cube, (1, 'a'), TypeError),
                                 (cube, (3, 0), IndexError),
                                 (cube, (0, -5), IndexError)):
            for func, args in WRITING + READING:
                with self.subTest(func.__name__, shape=view.shape, index=index):
                    with self.assertRaises(exc):
                        func(view, index, *args)

    def test_values_that_do_not_fit(self):
        for code in 'iIlLqQ':
            data = array.array(code, [1, 2, 3])
            low, high = limits(code)
            for value, exc in ((low - 1, OverflowError), (high + 1, OverflowError),
                               (10**30, OverflowError), (-10**30, OverflowError),
                               (2**65 + 1, OverflowError), (1.0, TypeError),
                               (None, TypeError), ('1', TypeError)):
                for func in (atomic_store, *MODIFY, atomic_wait):
                    with self.subTest(func.__name__, code=code, value=value):
                        with self.assertRaises(exc):
                            func(data, 1, value)
                for args in ((value, 1), (1, value)):
                    with self.assertRaises(exc):
                        atomic_compare_exchange(data, 1, *args)
            self.assertEqual(data.tolist(), [1, 2, 3])
            data.append(4)

    def test_values_with_an_index(self):
        class Value:
            def __index__(self):
                return 7
        data = array.array('i', [0])
        atomic_store(data, 0, Value())
        self.assertEqual(atomic_exchange(data, 0, True), 7)
        self.assertEqual(data[0], 1)

    def test_other_formats(self):
        data = bytearray(64)
        for format in ('b', 'B', 'c', '?', 'h', 'H', 'f', 'd', 'P', 'n', 'N'):
            view = memoryview(data).cast(format)
            for func, args in WRITING + READING:
                with self.subTest(func.__name__, format=format):
                    with self.assertRaisesRegex(TypeError, 'format'):
                        func(view, 0, *args)
            view.release()
        swapped = (ctypes.c_int32.__ctype_be__ if sys.byteorder == 'little'
                   else ctypes.c_int32.__ctype_le__)
        class Struct(ctypes.Structure):
            _fields_ = [('a', ctypes.c_int32)]
        for obj in ((swapped * 2)(), (Struct * 2)(), data):
            for func, args in WRITING + READING:
                with self.assertRaisesRegex(TypeError, 'format'):
                    func(obj, 0, *args)
        data.append(1)

    def test_no_buffers(self):
        for obj in (None, 5, 'text', [1, 2], object):
            for func, args in WRITING + READING:
                with self.assertRaises(TypeError):
                    func(obj, 0, *args)

    def test_read_only_memory(self):
        view = memoryview(struct.pack('3q', 1, 2, 3)).cast('q')
        for func, args in WRITING:
            with self.subTest(func.__name__):
                with self.assertRaises(BufferError):
                    func(view, 1, *args)
        self.assertEqual(atomic_load(view, 1), 2)
        self.assertTrue(atomic_wait(view, 1, 3))
        self.assertFalse(atomic_wait(view, 1, 2, timeout=0))
        self.assertEqual(atomic_notify(view, 1), 0)

    def test_released_views(self):
        view = memoryview(bytearray(8)).cast('i')
        view.release()
        for func, args in WRITING + READING:
            with self.assertRaises(ValueError):
                func(view, 0, *args)

    def test_alignment(self):
        data = bytearray(64)
        for format, size in (('i', 4), ('q', 8)):
            for shift in range(1, size):
                view = memoryview(data)[shift:shift + 24].cast(format)
                for func, args in WRITING + READING:
                    with self.assertRaisesRegex(ValueError, 'aligned'):
                        func(view, 0, *args)
                view.release()
        self.assertEqual(data, bytes(64))
        data.append(1)

    def test_nothing_stays_exported(self):
        data = Formatted(bytearray(struct.pack('3i', 1, 2, 3)), 'i')
        bad = 2**40
        for func, args in ((atomic_store, (bad,)), (atomic_add, (None,)),
                           (atomic_compare_exchange, (bad, 1)),
                           (atomic_compare_exchange, (1, bad)),
                           (atomic_wait, (bad,)), (atomic_wait, (2, -1)),
                           (atomic_notify, (-1,)), (atomic_notify, ('a',))):
            with self.assertRaises((OverflowError, TypeError, ValueError)):
                func(data, 1, *args)
        for func, args in WRITING + READING:
            with self.assertRaises(IndexError):
                func(data, 3, *args)
        for func, args in WRITING:
            func(data, 1, *args)
        self.assertFalse(atomic_wait(data, 0, atomic_load(data, 0), 0))
        self.assertTrue(atomic_wait(data, 0, atomic_load(data, 0) + 1))
        self.assertEqual(data.used, 0)
        data.data.append(1)

    def test_code_that_runs_meanwhile_cannot_move_the_memory(self):
        data = array.array('i', [1])
        class Value:
            def __index__(self):
                data.append(2)
        for func, args in ((atomic_store, (Value(),)), (atomic_load, ()),
                           (atomic_compare_exchange, (1, Value()))):
            with self.assertRaises(BufferError):
                func(data, 0 if args else Value(), *args)
        self.assertEqual(data.tolist(), [1])


@by_code
def _add(view, start, value, times):
    import interpreters
    for _ in range(times):
        interpreters.atomic_add(view, start, value)


@by_code
def _flip(view, bit, times):
    """Set and clear a bit that nobody else does."""
    import interpreters
    for i in range(times):
        assert not interpreters.atomic_or(view, 0, bit) & bit
        assert interpreters.atomic_and(view, 0, ~bit) & bit
        assert not interpreters.atomic_xor(view, 0, bit) & bit
        assert interpreters.atomic_xor(view, 0, bit) & bit


@by_code
def _increment_with_lock(view, times):
    """Increment view[1] and view[2], which a lock in view[0] protects.

    0 is free, 1 locked, 2 locked with others that may wait.
    """
    import interpreters
    for _ in range(times):
        found = interpreters.atomic_compare_exchange(view, 0, 0, 1)
        while found != 0:
            if (found == 2
                or interpreters.atomic_compare_exchange(view, 0, 1, 2) != 0):
                interpreters.atomic_wait(view, 0, 2)
            found = interpreters.atomic_compare_exchange(view, 0, 0, 2)
        before = view[1]
        view[2] += 1
        view[1] = before + 1
        if interpreters.atomic_exchange(view, 0, 0) == 2:
            interpreters.atomic_notify(view, 0, 1)


@by_code
def _draw_tickets(view, times):
    """Append the numbers of this thread to a list, in turns.

    view[0] is the next ticket, view[1] whose turn it is.
    """
    import interpreters
    for _ in range(times):
        mine = interpreters.atomic_add(view, 0, 1)
        while (turn := interpreters.atomic_load(view, 1)) != mine:
            interpreters.atomic_wait(view, 1, turn)
        assert view[2] == mine, (view[2], mine)
        view[2] = mine + 1
        interpreters.atomic_store(view, 1, mine + 1)
        interpreters.atomic_notify(view, 1)


@by_code
def _play(view, me, rounds):
    """Count to 2 * rounds, in turns: me adds to numbers of its parity."""
    import interpreters
    for i in range(rounds):
        expected = 2 * i + me
        while (value := interpreters.atomic_load(view, 0)) != expected:
            interpreters.atomic_wait(view, 0, value)
        interpreters.atomic_store(view, 0, expected + 1)
        interpreters.atomic_notify(view, 0)


class ParallelTests(TestCase):

    def run_in(self, n, func, *args):
        """Call func(*args) in n interpreters at the same time."""
        futures = [self.create().submit(func, *args) for _ in range(n)]
        for future in futures:
            future.result()

    def test_sums_are_exact(self):
        for code in 'iQ':
            with self.subTest(code):
                data = array.array(code, [0] * 3)
                self.run_in(4, _add, memoryview(data), 1, 3, 20_000)
                self.assertEqual(data.tolist(), [0, 240_000, 0])

    def test_bits(self):
        data = array.array('q', [0])
        futures = [self.create().submit(_flip, memoryview(data), 1 << bit, 5_000)
                   for bit in (0, 31, 32, 62)]
        for future in futures:
            future.result()
        self.assertEqual(data[0], 0)

    def test_lock(self):
        data = array.array('i', [0] * 3)
        self.run_in(4, _increment_with_lock, memoryview(data), 5_000)
        self.assertEqual(data.tolist(), [0, 20_000, 20_000])

    def test_ticket_lock(self):
        data = array.array('Q', [0] * 3)
        self.run_in(3, _draw_tickets, memoryview(data), 1_000)
        self.assertEqual(data.tolist(), [3_000] * 3)

    def test_ping_pong(self):
        data = array.array('I', [0])
        futures = [self.create().submit(_play, memoryview(data), me, 10_000)
                   for me in (0, 1)]
        for future in futures:
            future.result()
        self.assertEqual(data[0], 20_000)

    def test_ping_pong_in_one_interpreter(self):
        data = array.array('I', [0])
        results = [self.start(_play, data, me, 2_000) for me in (0, 1)]
        for result in results:
            result()
        self.assertEqual(data[0], 4_000)


@by_code
def _wait(view, index, expected, ready):
    import interpreters
    ready.send(None)
    return interpreters.atomic_wait(view, index, expected)


class WaitTests(TestCase):

    def setUp(self):
        super().setUp()
        self.data = array.array('i', [0] * 6)

    def queue(self, then=lambda *args: None, *args):
        """Start a thread that waits for the first element, then calls a function.

        Return what start() does, when the thread waits: it refers to the memory
        twice then, by its argument and by the buffer that it got.
        """
        def wait():
            woken = atomic_wait(self.data, 0, 0)
            then(*args)
            return woken

        before = sys.getrefcount(self.data)
        result = self.start(wait)
        wait_until(lambda: sys.getrefcount(self.data) == before + 2)
        return result

    def notify(self, n, index=0, view=None):
        """Notify until n threads were woken."""
        view = self.data if view is None else view
        woken = 0

        def notify():
            nonlocal woken
            woken += atomic_notify(view, index, n - woken)
            return woken == n

        wait_until(notify)

    def test_another_value(self):
        for expected in (1, -1, 2**31 - 1, -2**31):
            self.assertIs(atomic_wait(self.data, 0, expected), True)
            self.assertIs(atomic_wait(self.data, 0, expected, timeout=0), True)

    def test_timeout(self):
        for timeout in (0, 1e-9, 0.001, 0.02):
            self.assertIs(atomic_wait(self.data, 0, 0, timeout), False)
            self.assertEqual(atomic_notify(self.data, 0), 0)

    def test_wrong_timeouts(self):
        for timeout, exc in ((-1, ValueError), ('1', TypeError),
                             (float('nan'), ValueError), (1e300, OverflowError)):
            with self.assertRaises(exc):
                atomic_wait(self.data, 0, 0, timeout)
        self.data.append(1)

    def test_wrong_counts(self):
        for count, exc in ((-1, ValueError), (1.5, TypeError), ('1', TypeError)):
            with self.assertRaises(exc):
                atomic_notify(self.data, 0, count)
        self.assertEqual(atomic_notify(self.data, 0, 10**30), 0)
        self.data.append(1)

    def test_notified_without_a_change(self):
        result = self.queue()
        self.assertEqual(atomic_notify(self.data, 0), 1)
        self.assertIs(result(), True)

    def test_memory_is_exported_while_waiting(self):
        result = self.queue()
        with self.assertRaises(BufferError):
            self.data.append(0)
        self.notify(1)
        result()
        self.data.append(0)

    def test_counts(self):
        results = [self.queue() for _ in range(5)]
        self.assertEqual(atomic_notify(self.data, 0, 0), 0)
        self.assertEqual(atomic_notify(self.data, 0, 2), 2)
        self.assertEqual(atomic_notify(self.data, 0, count=1), 1)
        self.assertEqual(atomic_notify(self.data, 1), 0)
        self.assertEqual(atomic_notify(self.data, 0, None), 2)
        for result in results:
            self.assertIs(result(), True)
        self.assertEqual(atomic_notify(self.data, 0), 0)

    def test_first_come_first_served(self):
        order, order_send = create_channel(None)
        results = [self.queue(order_send.send, i) for i in range(4)]
        for i in range(4):
            self.assertEqual(atomic_notify(self.data, 0, 1), 1)
            self.assertEqual(order.recv(), i)
        for result in results:
            result()

    def test_other_elements_are_not_woken(self):
        results = [self.start(atomic_wait, self.data, i, 0) for i in range(6)]
        for i in (3, 1, 5, 0, 4, 2):
            self.notify(1, index=i)
            results[i]()
            self.assertEqual(atomic_notify(self.data, i), 0)

    def test_many_elements(self):
        # More than there are buckets.
        data = array.array('q', [0] * 3000)
        threads = [self.start(atomic_wait, data, i, 0) for i in range(0, 3000, 60)]
        for i in range(0, 3000, 60):
            self.notify(1, index=i, view=data)
        for result in threads:
            result()

    def test_views_of_one_element(self):
        base = memoryview(self.data)
        cast = base.cast('B').cast('I', (2, 3))
        recv, send = create_channel(1)
        send.send(base[4:])
        views = [(self.data, 4), (base[2:], 2), (base[::-1], 1), (base[::4], 1),
                 (cast, (1, 1)), (base[4:5].cast('B').cast('i'), -1),
                 (base[4:].cast('B').cast('q'), 0), (recv.recv(), 0)]
        for waiting, notifying in itertools.product(views, repeat=2):
            result = self.start(atomic_wait, *waiting, 0)
            self.notify(1, notifying[1], notifying[0])
            self.assertIs(result(), True)

    def test_in_another_interpreter(self):
        ready, ready_send = create_channel(None)
        futures = [self.create().submit(_wait, memoryview(self.data)[i:], 3 - i, 0,
                                        ready_send) for i in range(3)]
        self.notify(3, index=3)
        for future in futures:
            self.assertIs(future.result(), True)

    def test_a_change_is_not_missed(self):
        # However far the other thread is.
        def wait():
            for i in range(3_000):
                while atomic_load(self.data, 0) == i:
                    atomic_wait(self.data, 0, i)
                atomic_store(self.data, 1, i + 1)
                atomic_notify(self.data, 1)

        waiting = self.start(wait)
        for i in range(3_000):
            atomic_store(self.data, 0, i + 1)
            atomic_notify(self.data, 0)
            while atomic_load(self.data, 1) == i:
                atomic_wait(self.data, 1, i)
        waiting()

    def test_time_outs_and_notifications_at_the_same_time(self):
        # Each wait that was counted as woken returned True, and no other did.
        stop = threading.Event()

        def wait():
            woken = 0
            for i in range(1_000):
                woken += atomic_wait(self.data, 0, 0, timeout=i % 10 * 1e-6)
            return woken

        def notify():
            woken = 0
            while not stop.is_set():
                woken += atomic_notify(self.data, 0)
            return woken

        waits = [self.start(wait) for _ in range(3)]
        notified = self.start(notify)
        returned = sum(wait() for wait in waits)
        stop.set()
        self.assertEqual(returned, notified())


class BreakTests(TestCase):

    def setUp(self):
        super().setUp()
        self.data = array.array('i', [0])

    def assert_nobody_waits(self):
        self.assertEqual(atomic_notify(self.data, 0), 0)

    def test_interrupt(self):
        for _ in range(5):
            ready, ready_send = create_channel()
            with interpreters.create() as interp:
                interp.exec('import interpreters')
                future = interp.submit(_wait, memoryview(self.data), 0, 0,
                                       ready_send)
                ready.recv()
                self.assertEqual(interp.interrupt(), 1)
                with self.assertRaises(KeyboardInterrupt) as caught:
                    future.result()
                self.assertIsInstance(caught.exception.__cause__, ExecutionFailed)
                self.assert_nobody_waits()
                del future, caught
        self.data.append(1)

    def test_closing_the_interpreter(self):
        for _ in range(5):
            log, log_send = create_channel(None)
            interp = self.create()
            interp.prepare_main(view=memoryview(self.data), log=log_send)
            interp.exec('''if True:
                import interpreters, threading
                def run():
                    log.send('waits')
                    try:
                        interpreters.atomic_wait(view, 0, 0)
                    except interpreters.InterpreterError as exc:
                        log.send(str(exc))
                threading.Thread(target=run).start()
                ''')
            log_send.close()
            self.assertEqual(log.recv(), 'waits')
            interp.close()
            self.assertEqual(list(log), ['the interpreter is being closed'])
            self.assert_nobody_waits()
        self.data.append(1)

    def test_closing_the_owner_of_the_memory(self):
        @by_code
        def make():
            import array
            return memoryview(array.array('i', [0] * 1000))

        owner = interpreters.create()
        view = owner.call(make)
        ready, ready_send = create_channel()
        future = self.create().submit(_wait, view, 0, 0, ready_send)
        ready.recv()
        owner.close()
        wait_until(lambda: atomic_notify(view, 0) == 1)
        self.assertIs(future.result(), True)
        del view, future
        self.assertNotIn(owner, interpreters.list_all())

    def assert_broken_by_ctrl_c(self, wait):
        out = run_script(f'''
            import array, interpreters, os, signal, threading
            data = array.array('i', [0])
            interp = interpreters.create()
            interp.prepare_main(view=memoryview(data))
            interp.exec('import interpreters')
            timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                {wait}
            except KeyboardInterrupt:
                print('broken')
            print(interpreters.atomic_notify(data, 0))
            timer.join()
            ''')
        self.assertEqual(out, ['broken', '0'])

    @requires_subprocess()
    def test_ctrl_c(self):
        self.assert_broken_by_ctrl_c('interpreters.atomic_wait(data, 0, 0)')

    @requires_subprocess()
    def test_ctrl_c_where_it_was_ignored(self):
        # As it is for what a script's shell starts in the background.
        self.addCleanup(signal.signal, signal.SIGINT,
                        signal.signal(signal.SIGINT, signal.SIG_IGN))
        self.assert_broken_by_ctrl_c('interpreters.atomic_wait(data, 0, 0)')

    @requires_subprocess()
    def test_ctrl_c_while_the_main_thread_is_elsewhere(self):
        self.assert_broken_by_ctrl_c(
            "interp.exec('interpreters.atomic_wait(view, 0, 0)')")

    @requires_subprocess()
    def test_handled_signals_do_not_end_it(self):
        out = run_script('''
            import array, interpreters, signal
            data = array.array('i', [0])
            calls = []
            def handle(*args):
                calls.append(1)
                if len(calls) == 5:
                    interpreters.atomic_store(data, 0, 1)
            signal.signal(signal.SIGALRM, handle)
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
            print(interpreters.atomic_wait(data, 0, 0))
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(len(calls) >= 5, interpreters.atomic_wait(data, 0, 1, 0))
            ''')
        self.assertEqual(out, ['True', 'True', 'False'])


class ForkTests(ForkTestCase):

    def test_nobody_waits_in_the_child(self):
        self.run_script('''
            import array
            data = array.array('i', [0] * 100)
            def wait(i):
                atomic_wait(data, i, 0)
            threads = [start(wait, i) for i in range(0, 100, 5)]
            def child():
                for i in range(100):
                    assert atomic_notify(data, i) == 0
                def play():
                    atomic_wait(data, 0, 0)
                thread = start(play)
                wait_until(lambda: atomic_notify(data, 0))
                thread.join()
            for _ in range(20):
                assert fork(child) == 0
            for i in range(0, 100, 5):
                wait_until(lambda: atomic_notify(data, i) == 1)
            for thread in threads:
                thread.join()
            ''')


if __name__ == '__main__':
    unittest.main()
