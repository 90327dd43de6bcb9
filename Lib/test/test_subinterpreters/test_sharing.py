"""share(), list_shared(), and what becomes of shared memory when its owner is closed."""

import array
import gc
import os
import subprocess
import sys
import unittest

import interpreters
from interpreters import SharedBlock, create_channel, list_shared, share
from test import support
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import TestCase, by_code


def _shared():
    """What is shared now and was not before, by type: tests run after others."""
    gc.collect()
    return list_shared()


class ShareTests(TestCase):

    def setUp(self):
        super().setUp()
        self.recv, self.send = create_channel(None)

    def round_trip(self, obj):
        self.send.send(obj)
        return self.recv.recv()

    def test_buffers_arrive_as_memoryviews(self):
        for obj in b'abc', bytearray(b'abc'), array.array('d', [1, 2]), memoryview(b'abc'):
            got = self.round_trip({'shared': share(obj)})['shared']
            self.assertIsInstance(got, memoryview)
            self.assertEqual(got, memoryview(obj))
            self.assertEqual(got.readonly, memoryview(obj).readonly)

    def test_shared_block_stays_what_it_is(self):
        block = SharedBlock(5)
        self.assertIs(share(block), block)

    def test_nothing_to_share(self):
        for obj in 5, 'abc', [b'abc'], None, len, lambda: 0, object():
            with self.subTest(repr(obj)), self.assertRaisesRegex(TypeError, 'no memory'):
                share(obj)

    def test_memory_that_is_given_out_of_band(self):
        import pickle

        class Table:
            def __init__(self, column, name):
                self.column, self.name = column, name

            def __reduce_ex__(self, protocol):
                return Table, (pickle.PickleBuffer(self.column), self.name)

        Table.__module__ = '__main__'
        self.addCleanup(delattr, sys.modules['__main__'], 'Table')
        Table.__qualname__ = 'Table'
        sys.modules['__main__'].Table = Table
        column = bytearray(1000)
        got = self.round_trip(share(Table(column, 'spam')))
        self.assertEqual(got.name, 'spam')
        got.column[5] = 1
        self.assertEqual(column[5], 1)
        self.assertRegex(repr(share(Table(column, 'spam'))), 'share.* of a Table')

    def test_auditing(self):
        assert_python_ok('-c', '''if True:
            import interpreters, sys
            seen = []
            sys.addaudithook(lambda event, args: event == 'interpreters.share'
                             and seen.append(type(args[0]).__name__))
            recv, send = interpreters.create_channel(None)
            send.send([memoryview(b'abc'), interpreters.move(bytearray(5))])
            send.send(interpreters.share(bytearray(5)))
            assert seen == ['bytes', 'bytearray', 'bytearray'], seen
            def refuse(event, args):
                if event == 'interpreters.share':
                    raise PermissionError
            sys.addaudithook(refuse)
            data = bytearray(5)
            for obj in memoryview(data), interpreters.move(data):
                try:
                    send.send(obj)
                except PermissionError:
                    continue
                raise AssertionError
            del obj
            data.append(1)
            assert len(recv) == 2
            ''')

    def test_sent_twice(self):
        data = bytearray(1000)
        shared = share(data)
        a, b = self.round_trip([shared, shared])
        self.assertIs(a, b)
        a[0] = 1
        self.assertEqual(self.round_trip(shared)[0], 1)


class ListTests(TestCase):

    def test_views_and_messages(self):
        before = len(_shared())
        interp = self.create()
        data = bytearray(1000)
        recv, send = create_channel(None)
        send.send_buffer(data)
        send.send(memoryview(data)[5:])
        interp.prepare_main(view=memoryview(data))
        me = interpreters.get_current()
        found = _shared()[before:]
        self.assertEqual([f._replace(views={}) for f in found],
                         [('bytearray', 1000, me, {}, 1)] * 2
                         + [('bytearray', 1000, me, {}, 0)])
        self.assertEqual([f.views for f in found], [{}, {}, {interp: 1}])
        views = [recv.recv(), recv.recv()]
        views.append(views[0][1:])
        send.send(views[2])
        found = _shared()[before:]
        self.assertEqual(sorted((f.views.get(me, 0), f.in_messages) for f in found),
                         [(0, 0), (1, 0), (1, 1)])
        self.assertIn(f'of a bytearray of interpreter {me.id}, 1000 bytes',
                      repr(views[0].obj))
        views.clear()
        recv.close()
        interp.exec('del view')
        self.assertEqual(_shared()[before:], [])

    def test_long_name_of_a_type(self):
        cls = type('\xe9' * 20, (bytearray,), {})
        recv, send = create_channel(None)
        send.send_buffer(cls(b'abc'))
        self.assertEqual(_shared()[-1].type, '\xe9' * 15)

    def test_copies_belong_to_nobody(self):
        recv, send = create_channel(None)
        send.send(memoryview(b'abc'))
        self.assertEqual(_shared()[-1], ('bytes', 3, None, {}, 1))

    def test_shared_blocks(self):
        before = len(_shared())
        block = SharedBlock(10)
        view = memoryview(block)
        recv, send = create_channel(None)
        send.send([block, view])
        self.assertEqual(_shared()[before:], [
            ('SharedBlock', 10, None, {interpreters.get_current(): 1}, 2)])
        del block
        view.release()
        recv.close()
        self.assertEqual(_shared()[before:], [])

    def test_memory_that_lost_its_owner(self):
        before = len(_shared())
        interp = interpreters.create()
        view = interp.call(_make_bytearray, 1_000_000)
        owner = _shared()[before:][0].owner
        self.assertEqual(owner, interp)
        interp.close()
        owner = _shared()[before:][0].owner
        self.assertIn(owner, [None, interp] if interp in interpreters.list_all() else [None])
        view.release()
        gc.collect()
        self.assertEqual(_shared()[before:], [])


@by_code
def _make_bytearray(n):
    data = bytearray(n)
    data[-1:] = b'x'
    return memoryview(data)


@by_code
def _make_bytes(n):
    return memoryview(bytes(n - 1) + b'x')


@by_code
def _make_array(n):
    import array
    return memoryview(array.array('B', bytes(n - 1) + b'x'))


@by_code
def _make_small_shared(n):
    import interpreters
    return interpreters.share(bytearray(n - 1) + b'x')


@by_code
def _make_empty(n):
    import array, interpreters
    return [memoryview(bytearray()), interpreters.share(array.array('d')), memoryview(b'x')]


@by_code
def _make_small_bytes(n):
    return memoryview(b'x' * n)[n - 1:]


def _resident():
    """Bytes of memory in use."""
    gc.collect()
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


ALLOCATOR = 'pymalloc' if support.with_pymalloc() else 'malloc'

# Memory that was freed, or what was noted about it, is kept and seems to be lost.
KEEPS_FREED = support.check_sanitizer(address=True, thread=True)


class DetachTests(TestCase):
    """The memory is there after its owner has ended, which it does at once.

    Allocators for debugging keep books about objects' memory, so that it cannot be
    taken from its interpreter.  So the tests run once more without.
    """

    @unittest.skipIf(os.environ.get('PYTHONMALLOC') == ALLOCATOR, 'is the inner one')
    def test_with_the_usual_allocator(self):
        resources = ['-u', 'cpu'] if support.is_resource_enabled('cpu') else []
        done = subprocess.run(
            [sys.executable, '-m', 'test', '-q', *resources, '-m', 'DetachTests', __name__],
            env=os.environ | {'PYTHONMALLOC': ALLOCATOR}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotRegex(done.stdout, 'run=0')

    def setUp(self):
        super().setUp()
        if os.environ.get('PYTHONMALLOC') != ALLOCATOR \
                and not self.id().endswith('usual_allocator'):
            self.skipTest('runs in the inner process')

    def assertEnded(self, interp):
        self.assertNotIn(interp, interpreters.list_all())

    def test_memory_outlives_its_owner(self):
        for make in _make_bytearray, _make_bytes, _make_array:
            for n in 1000, 1_000_000:
                with self.subTest(make.__name__, n=n):
                    interp = interpreters.create()
                    view = interp.call(make, n)
                    interp.close()
                    self.assertEnded(interp)
                    self.assertEqual((len(view), view[-1], view[0]), (n, ord('x'), 0))
                    if not view.readonly:
                        view[0] = 7
                        self.assertEqual(view[0], 7)

    def test_small_memory(self):
        for make in _make_small_shared, _make_small_bytes, _make_empty:
            interp = interpreters.create()
            view = interp.call(make, 10)
            interp.close()
            self.assertEnded(interp)
            last = view[-1]
            self.assertEqual(last if make is not _make_empty else last[0], ord('x'))

    def test_several_views_of_one_object(self):
        @by_code
        def make():
            import interpreters
            data = bytearray(5000)
            recv, send = interpreters.create_channel(None)
            for _ in range(3):
                send.send_buffer(data)
            return [recv.recv() for _ in range(3)]
        interp = interpreters.create()
        views = interp.call(make)
        interp.close()
        self.assertEnded(interp)
        views[0][0] = 7
        self.assertEqual([view[0] for view in views], [7, 7, 7])
        while views:
            view = views.pop()
            self.assertEqual(view[0], 7)
            view.release()

    def test_view_that_another_interpreter_holds(self):
        owner, user = interpreters.create(), self.create()
        user.prepare_main(view=owner.call(_make_bytearray, 5000))
        owner.close()
        self.assertEnded(owner)
        user.exec('assert view[-1] == ord("x"); del view')

    def test_view_in_a_message(self):
        recv, send = create_channel(None)
        owner = interpreters.create()
        owner.prepare_main(send=send)
        owner.exec('send.send_buffer(bytes(5000))')
        owner.exec('send.send_buffer(bytearray(5000))')
        owner.close()
        self.assertEnded(owner)
        self.assertEqual(bytes(recv.recv()), bytes(5000))
        recv.close()

    def test_object_that_the_owner_holds(self):
        recv, send = create_channel(None)
        owner = interpreters.create()
        owner.prepare_main(send=send)
        owner.exec('''if True:
            import sys
            sys.kept = bytearray(b'abc' * 1000)
            send.send_buffer(sys.kept)
            ''')
        view = recv.recv()
        owner.close()
        self.assertEnded(owner)
        self.assertEqual(bytes(view), b'abc' * 1000)

    def test_memory_that_the_owner_views_keeps_it(self):
        owner = interpreters.create()
        recv, send = create_channel(None)
        owner.prepare_main(send=send)
        owner.exec('''if True:
            import sys
            sys.kept = memoryview(bytearray(b'abc' * 1000))
            send.send(sys.kept)
            ''')
        view = recv.recv()
        owner.close()
        self.assertIn(owner, interpreters.list_all())
        self.assertEqual(bytes(view), b'abc' * 1000)
        view.release()
        self.assertEnded(owner)

    def test_other_exporters_keep_it(self):
        @by_code
        def make():
            import ctypes
            return memoryview((ctypes.c_int * 1000)(*range(1000)))
        owner = interpreters.create()
        view = owner.call(make)
        owner.close()
        self.assertIn(owner, interpreters.list_all())
        self.assertEqual(view.cast('B').cast('i')[-1], 999)
        del view
        self.assertEnded(owner)

    def test_workers_that_are_closed_at_once(self):
        count = 1000 if support.is_resource_enabled('cpu') else 30
        size = 1_000_000

        def run(count):
            for _ in range(count):
                interp = interpreters.create()
                result = interp.call(_make_array, size)
                interp.close()
                self.assertEnded(interp)
                self.assertEqual((len(result), result[-1]), (size, ord('x')))

        run(10)                         # what is allocated once
        before = _resident()
        run(count)
        # However many there were.
        if not KEEPS_FREED:
            self.assertLess(_resident() - before, 5 * size)
        self.assertEqual(_shared(), [])

    def test_views_that_are_kept(self):
        kept = []
        for i in range(30):
            interp = interpreters.create()
            kept.append(interp.call(_make_bytearray, 1000 + i))
            interp.close()
            self.assertEnded(interp)
        for i, view in enumerate(kept):
            self.assertEqual((len(view), view[-1]), (1000 + i, ord('x')))

    def test_views_released_while_the_owner_ends(self):
        for _ in range(20):
            owner = interpreters.create()
            views = [owner.call(make, 5000) for _ in range(10)
                     for make in (_make_bytearray, _make_bytes, _make_array)]
            closed = self.start(owner.close)
            while views:
                views.pop().release()
            closed()
            self.assertEnded(owner)


class LifetimeTests(TestCase):

    def test_sharing_and_releasing_many_times(self):
        count = 100_000 if support.is_resource_enabled('cpu') else 5_000
        recv, send = create_channel(None)
        data, numbers, block = bytearray(1000), array.array('d', [1.5] * 100), SharedBlock(10)
        before = len(_shared())

        def cycles(n):
            for i in range(n):
                send.send([memoryview(data), share(numbers), block, memoryview(block)])
                views = recv.recv()
                self.assertEqual((len(views[0]), views[1][5]), (1000, 1.5))

        cycles(1000)
        memory = _resident()
        cycles(count)
        # A word lost in each cycle would be more.
        if not KEEPS_FREED:
            self.assertLess(_resident() - memory, max(8 * count, 1_000_000))
        self.assertEqual(len(_shared()), before)
        data.append(1)
        numbers.append(1)

    def test_checksums_of_what_others_write(self):
        """Writers of disjoint slices, each in its interpreter, and readers of the whole."""
        import zlib
        writers, size, rounds = 4, 10_000, 200

        @by_code
        def write(part, number, rounds, done):
            for i in range(rounds):
                part[:] = bytes([(number + i) % 256]) * len(part)
            done.send(number)

        @by_code
        def read(whole, done):
            import zlib
            return [zlib.crc32(whole) for _ in range(done)][-1]

        block = SharedBlock(writers * size)
        whole = memoryview(block)
        recv, send = create_channel(None)
        futures = [self.create().submit(write, whole[n * size:(n + 1) * size], n, rounds, send)
                   for n in range(writers)]
        reading = self.create().submit(read, whole, rounds)
        for future in futures:
            future.result()
        reading.result()
        self.assertEqual(sorted(recv.recv() for _ in futures), list(range(writers)))
        expected = b''.join(bytes([(n + rounds - 1) % 256]) * size for n in range(writers))
        self.assertEqual(zlib.crc32(whole), zlib.crc32(expected))

    def test_writers_of_overlapping_slices(self):
        """Each byte has a value that somebody wrote, and the edges are untouched."""
        @by_code
        def write(part, value):
            for _ in range(200):
                part[:] = bytes([value]) * len(part)

        block = SharedBlock(10_000)
        whole = memoryview(block)
        futures = [self.create().submit(write, whole[a:b], value)
                   for a, b, value in ((100, 6000, 1), (4000, 9900, 2), (50, 5000, 3))]
        for future in futures:
            future.result()
        self.assertEqual(set(whole[:50]) | set(whole[9900:]), {0})
        self.assertEqual(set(whole[50:100]), {3})
        self.assertLessEqual(set(whole[100:9900]), {1, 2, 3})
        self.assertEqual(set(whole[6000:9900]), {2})


if __name__ == '__main__':
    unittest.main()
