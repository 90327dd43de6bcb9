"""Whose GIL an interpreter uses: its own, main's, or that of a group; what happens there."""

import random
import sys
import unittest

import interpreters
from interpreters import ExecutionFailed, InterpreterNotFoundError
from test.support import requires_fork, requires_subprocess
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import TestCase, by_code


@by_code
def get_interval():
    import sys
    return sys.getswitchinterval()


@by_code
def add_ones(memory, n, barrier):
    # Not atomic: whoever has a GIL of its own overwrites what others add.
    numbers = memory.cast('q')
    barrier.wait()
    for _ in range(n):
        numbers[0] += 1


class ModeTests(TestCase):

    def test_which_it_is(self):
        main = interpreters.get_main()
        first = self.create()
        second = self.create(gil=first)
        third = self.create(gil=second)
        others = [self.create(), self.create(gil='own')]
        for interp in main, first, *others:
            self.assertEqual(interp.gil, 'own')
        for interp in second, third:
            self.assertIs(interp.gil, first)
        shared = self.create(gil='shared')
        for interp in shared, self.create(gil=main), self.create(gil=shared):
            self.assertEqual(interp.gil, 'shared')
        with self.assertRaises(AttributeError):
            first.gil = 'own'

    def test_seen_from_another_interpreter(self):
        @by_code
        def look(other):
            import interpreters
            me = interpreters.get_current()
            return (other.gil, me.gil, interpreters.create(gil=me).gil,
                    interpreters.create(gil=other).gil)
        first, other = self.create(), self.create()
        second = self.create(gil=first)
        self.assertEqual(second.call(look, other), ('own', first, first, other))

    def test_bad_arguments(self):
        for gil in 'main', '', None, 0, interpreters.get_main().id, [], object():
            with self.subTest(gil), self.assertRaisesRegex(ValueError, 'gil must be'):
                interpreters.create(gil=gil)
        closed = self.create()
        closed.close()
        with self.assertRaises(InterpreterNotFoundError):
            interpreters.create(gil=closed)
        with self.assertRaises(InterpreterNotFoundError):
            closed.gil

    def test_the_switch_interval_is_the_gils(self):
        first = self.create()
        second, other = self.create(gil=first), self.create()
        first.exec('import sys; sys.setswitchinterval(0.125)')
        self.assertEqual(second.call(get_interval), 0.125)
        self.assertNotEqual(other.call(get_interval), 0.125)
        self.assertNotEqual(sys.getswitchinterval(), 0.125)
        self.assertEqual(self.create(gil='shared').call(get_interval), sys.getswitchinterval())

    def test_they_take_turns(self):
        n = 200_000
        def run(interps):
            memory = interpreters.SharedBlock(8)
            barrier = interpreters.Barrier(len(interps))
            for result in [self.start(interp.call, add_ones, memoryview(memory), n, barrier)
                           for interp in interps]:
                result()
            return memoryview(memory).cast('q')[0]
        first = self.create()
        group = [first, self.create(gil=first), self.create(gil=first)]
        # Then no thread is asked to give its turn away.
        first.exec('import sys; sys.setswitchinterval(1000)')
        self.assertEqual(run(group), 3 * n)

    def test_modules_and_classes_are_separate(self):
        first = self.create()
        for second in self.create(gil=first), self.create(gil='shared'):
            first.exec("""if True:
                import collections
                collections.mark = 1
                class C(collections.UserDict):
                    pass
                """)
            second.exec("""if True:
                import collections
                assert not hasattr(collections, 'mark')
                assert 'C' not in [cls.__name__ for cls in collections.UserDict.__subclasses__()]
                """)

    def test_all_ways_across(self):
        first = self.create()
        for mode in first, 'shared':
            with self.subTest(mode):
                interp = self.create(gil=mode)
                self.assertEqual(interp.call(sorted, [3, {}, 'a'], key=str), [3, 'a', {}])
                recv, send = interpreters.create_channel(1)
                interp.call(send.send, bytearray(b'spam'))
                self.assertEqual(recv.recv(), b'spam')
                moved = interp.call(by_code(lambda data: __import__('interpreters').move(data)),
                                    interpreters.move(bytearray(100_000)))
                self.assertEqual(moved, bytes(100_000))
                view = interp.call(by_code(lambda: memoryview(bytearray(b'x' * 50_000))))
                interp.close()
                self.assertEqual(bytes(view), b'x' * 50_000)
                with self.assertRaises(ExecutionFailed) as caught:
                    self.create(gil=mode).call(divmod, 1, 0)
                self.assertIs(type(caught.exception.exception), ZeroDivisionError)


class GroupTests(TestCase):

    def test_the_first_is_closed_first(self):
        first = self.create()
        second = self.create(gil=first)
        third = self.create(gil=first)
        first.exec('import sys; sys.setswitchinterval(0.125)')
        first.close()
        self.assertEqual((second.gil, third.gil), ('own', second))
        fourth = self.create(gil=third)
        self.assertIs(fourth.gil, second)
        for interp in second, third, fourth:
            self.assertEqual(interp.call(get_interval), 0.125)
        second.close()
        third.close()
        self.assertEqual(fourth.gil, 'own')
        self.assertEqual(fourth.call(get_interval), 0.125)

    def test_the_first_is_closed_while_others_run(self):
        for _ in range(5):
            first = self.create()
            rest = [self.create(gil=first) for _ in range(2)]
            started, started_send = interpreters.create_channel(None)
            def run(started):
                started.send(None)
                return sum(n % 7 for n in range(100_000))
            by_code(run)
            results = [self.start(interp.call, run, started_send) for interp in rest]
            for _ in rest:
                started.recv()
            first.close()
            self.assertEqual([result() for result in results],
                             [sum(n % 7 for n in range(100_000))] * 2)
            for interp in rest:
                interp.close()

    def test_calls_within_a_group(self):
        # A thread goes from one to the next, and back, with the same GIL.
        @by_code
        def go_on(group, depth):
            import interpreters
            here = [interpreters.get_current().id]
            if depth > 0:
                here += group[0].call(go_on, group[1:] + group[:1], depth - 1)
            return here
        first = self.create()
        group = [first, self.create(gil=first), self.create(gil=first)]
        ids = [interp.id for interp in group]
        ways = [self.start(first.call, go_on, group, 4) for _ in range(3)]
        for way in ways:
            self.assertEqual(way(), [ids[0]] + [ids[n % 3] for n in range(4)])

    def test_an_interrupt_reaches_one_that_waits_for_its_turn(self):
        first = self.create()
        second = self.create(gil=first)
        started, started_send = interpreters.create_channel(None)
        def run(started):
            started.send(None)
            while True:
                pass
        by_code(run)
        results = [self.start(self.fails, interp, run, started_send) for interp in (first, second)]
        for _ in results:
            started.recv()
        self.assertEqual(second.interrupt(), 1)
        self.assertIs(results[1](), KeyboardInterrupt)
        self.assertEqual(first.interrupt(), 1)
        self.assertIs(results[0](), KeyboardInterrupt)

    def fails(self, interp, *args):
        with self.assertRaises(ExecutionFailed) as caught:
            interp.call(*args)
        return type(caught.exception.exception)

    def test_everything_at_once(self):
        # Groups come and go, from inside and outside, while their members call each other.
        @by_code
        def add(a, b):
            return a + b
        def work(seed):
            rng = random.Random(seed)
            group = [interpreters.create()]
            total = 0
            for n in range(40):
                interp = rng.choice(group)
                what = rng.random()
                if what < 0.2 and len(group) < 4:
                    group.append(interpreters.create(gil=interp))
                elif what < 0.4 and len(group) > 1:
                    group.remove(interp)
                    interp.close()
                else:
                    total += interp.call(add, n, 1) - n
            self.assertEqual(len({member.gil for member in group if member.gil != 'own'}),
                             len(group) > 1)
            for interp in group:
                interp.close()
            return total
        for result in [self.start(work, seed) for seed in range(4)]:
            self.assertGreater(result(), 0)

    @requires_fork()
    @requires_subprocess()
    def test_fork_while_members_run(self):
        rc, out, err = assert_python_ok('-c', """if True:
            import interpreters, os, threading
            first = interpreters.create()
            second = interpreters.create(gil=first)
            started, started_send = interpreters.create_channel(None)
            def run(started):
                started.send(None)
                while True:
                    pass
            threads = [threading.Thread(target=interp.submit, args=(run, started_send))
                       for interp in (first, second)]
            for thread in threads:
                thread.start()
            for _ in threads:
                started.recv()
            if (pid := os.fork()) == 0:
                third = interpreters.create()
                print(interpreters.create(gil=third).call(sum, [1, 2]), flush=True)
                os._exit(0)
            print(os.waitpid(pid, 0)[1], flush=True)
            os._exit(0)
            """)
        self.assertEqual(out.split(), [b'3', b'0'])


class StatsTests(TestCase):

    def test_acquisitions(self):
        interp = self.create()
        before = interp.gil_stats()
        self.assertIsInstance(before, interpreters.GILStats)
        self.assertGreater(before.acquisitions, 0)
        for _ in range(100):
            interp.call(int)
        after = interp.gil_stats()
        self.assertGreaterEqual(after.acquisitions, before.acquisitions + 100)
        self.assertEqual((after.waits, after.waiting), (before.waits, before.waiting))

    def test_waits(self):
        first = self.create()
        second = self.create(gil=first)
        before = second.gil_stats()
        memory = interpreters.SharedBlock(1)
        started, started_send = interpreters.create_channel(None)
        @by_code
        def run(memory, started):
            started.send(None)
            while not memory[0]:
                pass
        @by_code
        def end(memory):
            memory[0] = 1
        result = self.start(first.call, run, memoryview(memory), started_send)
        started.recv()
        second.call(end, memoryview(memory))    # the other thread holds the GIL
        result()
        after = first.gil_stats()
        self.assertGreater(after.waits, before.waits)
        self.assertGreater(after.waiting, before.waiting)
        self.assertLessEqual(after.waits, after.acquisitions)

    def test_holding(self):
        idle = self.create()
        self.assertEqual([idle.gil_stats().holding for _ in range(2)], [0, 0])
        idle.call(sum, range(1000))
        holding = idle.gil_stats().holding
        self.assertGreater(holding, 0)
        self.assertEqual(idle.gil_stats().holding, holding)
        main = interpreters.get_main()
        before = main.gil_stats().holding
        sum(range(1000))
        self.assertGreater(main.gil_stats().holding, before)

    def test_members_of_a_group_have_one(self):
        first = self.create()
        second, third = self.create(gil=first), self.create(gil=first)
        stats = first.gil_stats()
        self.assertEqual(second.gil_stats(), stats)
        first.close()
        with self.assertRaises(InterpreterNotFoundError):
            first.gil_stats()
        self.assertGreater(third.gil_stats().acquisitions, stats.acquisitions)
        self.assertEqual(self.create(gil='shared').gil_stats().acquisitions,
                         interpreters.get_main().gil_stats().acquisitions)


class SharedTests(TestCase):
    """Of the main interpreter."""

    def test_extensions_are_the_originals(self):
        def load():
            import _testsinglephase
            return _testsinglephase.__file__
        by_code(load)
        before = interpreters.list_extensions()
        self.assertTrue(self.create(gil='shared').call(load))
        self.assertEqual(interpreters.list_extensions(), before)
        with self.assertRaises(ExecutionFailed) as caught:
            self.create(gil='shared', extensions='strict').call(load)
        self.assertIs(type(caught.exception.exception), ImportError)

    def test_fork_is_refused(self):
        with self.assertRaises(ExecutionFailed) as caught:
            self.create(gil='shared').call(by_code(lambda: __import__('os').fork()))
        self.assertIs(type(caught.exception.exception), RuntimeError)

    def test_threads(self):
        def work():
            import threading
            total = []
            threads = [threading.Thread(target=total.append, args=(n,)) for n in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return sorted(total)
        by_code(work)
        results = [self.start(self.create(gil='shared').call, work) for _ in range(4)]
        for result in results:
            self.assertEqual(result(), [*range(5)])


if __name__ == '__main__':
    unittest.main()
