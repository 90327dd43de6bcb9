"""Moved objects: bytearrays, arrays and SharedBlocks change hands."""

import array
import ctypes
import gc
import pickle
import sys
import unittest
import weakref

import interpreters
from interpreters import MovedError, SharedBlock, create_channel, move
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import TestCase, by_code, unsendable

SIZES = 0, 1, 500, 513, 1000, 1_000_000


def _bytearray(n):
    return bytearray(i % 251 for i in range(n))


def _array(n):
    return array.array('i', range(n))


def _block(n):
    block = SharedBlock(n)
    with memoryview(block) as view:
        view[:] = _bytearray(n)
    return block


MAKERS = _bytearray, _array, _block
KINDS = [(make, n) for make in MAKERS for n in SIZES]


@by_code
def _return_moved(n):
    import interpreters
    return interpreters.move(bytearray(n))


class MoveTests(TestCase):

    def setUp(self):
        super().setUp()
        self.recv, self.send = create_channel(None)


    def assertMoved(self, obj, regex=''):
        with self.assertRaisesRegex(MovedError, regex):
            len(obj)

    def test_receiver_gets_the_object(self):
        for make, n in KINDS:
            with self.subTest(make.__name__, n=n):
                obj = make(n)
                self.send.send(move(obj))
                got = self.recv.recv()
                self.assertIs(type(got), type(make(0)))
                self.assertEqual(bytes(got), bytes(make(n)))
                self.assertMoved(obj)

    def test_memory_is_the_same(self):
        data = bytearray(1000)
        with memoryview(data) as view:
            address = _address(view)
        self.send.send(move(data))
        got = self.recv.recv()
        with memoryview(got) as view:
            self.assertEqual(_address(view), address)

    def test_what_arrives_can_be_changed(self):
        for n in SIZES:
            data = _bytearray(n)
            self.send.send(move(data))
            got = self.recv.recv()
            got += b'more'
            del got[:n]
            self.assertEqual(got, b'more')
            got.extend(bytes(3 * n))
            self.assertEqual(len(got), 4 + 3 * n)
            numbers = _array(n)
            self.send.send(move(numbers))
            got = self.recv.recv()
            got.append(7)
            got.extend(range(n))
            self.assertEqual(got.tolist(), [*_array(n), 7, *range(n)])

    def test_bytearray_that_begins_inside_its_memory(self):
        data = _bytearray(2000)
        del data[:100]
        expected = bytes(data)
        self.send.send(move(data))
        got = self.recv.recv()
        self.assertEqual(got, expected)
        got += b'x'
        self.assertEqual(got, expected + b'x')

    def test_all_typecodes(self):
        for code in array.typecodes.replace('u', ''):
            with self.subTest(code):
                items = 'spam' if code == 'w' else [1, 2, 3]
                obj = array.array(code, items)
                self.send.send(move(obj))
                self.assertEqual(self.recv.recv(), array.array(code, items))

    def test_through_interpreters_and_back(self):
        interp = self.create()
        def grow(data):
            import interpreters
            data.append(1)
            return interpreters.move(data)
        for n in 10, 1000:
            data = bytearray(n)
            for _ in range(3):
                sent, data = data, interp.call(grow, move(data))
                self.assertMoved(sent, f'moved to interpreter {interp.id}')
            self.assertEqual(data, bytes(n) + b'\1\1\1')

    def test_error_says_where_it_went(self):
        data = bytearray(1000)
        self.send.send(move(data))
        self.assertMoved(data, 'on its way')
        self.recv.recv()
        self.assertMoved(data, f'moved to interpreter {interpreters.get_current().id}')
        self.assertRegex(repr(data), 'moved to interpreter')

    def test_whatever_is_done_with_it(self):
        for make in _bytearray, _array:
            obj = make(1000)
            self.send.send(move(obj))
            for use in (len, iter, bytes, memoryview, reversed, list,
                        lambda x: x[0], lambda x: x[1:2], lambda x: x.__setitem__(0, 1),
                        lambda x: x == x, lambda x: x + x, lambda x: x * 2,
                        lambda x: 1 in x, lambda x: x.append(1), lambda x: x.pop,
                        lambda x: setattr(x, 'spam', 1), lambda x: bool(x),
                        lambda x: self.send.send(x), lambda x: self.send.send(move(x)),
                        lambda x: self.send.send_buffer(x)):
                with self.subTest(make.__name__):
                    with self.assertRaises(MovedError):
                        use(obj)
            with self.assertRaises(TypeError):
                hash(obj)
            def inplace():
                nonlocal obj
                obj += obj
            with self.assertRaises(MovedError):
                inplace()
            self.assertIsNot(type(obj), type(make(0)))

    def test_nothing_happens_before_it_is_sent(self):
        for make in MAKERS:
            obj = make(1000)
            move(obj)
            self.assertEqual(bytes(obj), bytes(make(1000)))
            self.assertIn('interpreters.move(', repr(move(obj)))

    def test_twice_in_one_message(self):
        m = move(bytearray(1000))
        self.send.send([m, m])
        a, b = self.recv.recv()
        self.assertIs(a, b)
        self.assertEqual(len(a), 1000)
        with self.assertRaises(interpreters.MovedError):
            self.send.send([move(a), move(a)])
        self.assertEqual(len(a), 1000)
        with self.assertRaises(MovedError):
            self.send.send(m)

    def test_comes_back_if_the_message_is_refused(self):
        for make, n in KINDS:
            with self.subTest(make.__name__, n=n):
                obj = make(n)
                with self.assertRaises(interpreters.NotShareableError):
                    self.send.send([move(obj), unsendable()])
                self.assertEqual(bytes(obj), bytes(make(n)))
                self.assertIs(type(obj), type(make(0)))

    def test_comes_back_if_nobody_takes_it(self):
        recv, send = create_channel(0)
        for make, n in KINDS:
            with self.subTest(make.__name__, n=n):
                obj = make(n)
                with self.assertRaises(interpreters.ChannelFullError):
                    send.send_nowait(move(obj))
                with self.assertRaises(TimeoutError):
                    send.send(move(obj), timeout=0.001)
                self.assertEqual(bytes(obj), bytes(make(n)))

    def test_comes_back_from_a_channel_that_is_closed(self):
        for make, n in KINDS:
            with self.subTest(make.__name__, n=n):
                recv, send = create_channel(None)
                obj = make(n)
                send.send(move(obj))
                self.assertMoved(obj)
                recv.close()
                send.close()
                self.assertEqual(bytes(obj), bytes(make(n)))

    def test_comes_back_to_whatever_is_done_first(self):
        def lost(make):
            obj = make(1000)
            recv, send = create_channel(None)
            send.send(move(obj))
            return obj
        self.assertEqual(len(lost(_bytearray)), 1000)
        self.assertEqual(lost(_bytearray)[1], 1)
        self.assertEqual(lost(_bytearray)[-1:], b'\xf6')
        self.assertEqual(list(lost(_array)), _array(1000).tolist())
        self.assertEqual(lost(_array), _array(1000))
        self.assertEqual(lost(_bytearray) + b'x', _bytearray(1000) + b'x')
        self.assertEqual(lost(_bytearray) * 2, _bytearray(1000) * 2)
        self.assertIn(5, lost(_bytearray))
        self.assertEqual(bytes(memoryview(lost(_bytearray))), _bytearray(1000))
        self.assertEqual(repr(lost(_array)), repr(_array(1000)))
        self.assertEqual(lost(_bytearray).find(b'\5'), 5)
        with self.assertRaises(TypeError):
            lost(_array) % 5
        self.assertEqual(lost(lambda n: bytearray(b'%d')) % 5, b'5')
        self.assertEqual(list(reversed(lost(_array)))[0], 999)
        self.send.send(lost(_bytearray))
        self.assertEqual(self.recv.recv(), _bytearray(1000))
        data = lost(_bytearray)
        data += b'x'
        self.assertEqual(data, _bytearray(1000) + b'x')
        data = lost(_array)
        data[1] = 77
        del data[0]
        self.assertEqual(data[0], 77)
        data = lost(_array)
        data *= 2
        self.assertEqual(len(data), 2000)
        self.send.send(move(lost(_bytearray)))
        self.assertEqual(self.recv.recv(), _bytearray(1000))

    def test_in_use(self):
        for make in MAKERS:
            obj = make(1000)
            with memoryview(obj), self.assertRaisesRegex(BufferError, 'in use'):
                self.send.send(move(obj))
            self.assertEqual(bytes(obj), bytes(make(1000)))
            self.send.send(move(obj))
            self.assertEqual(bytes(self.recv.recv()), bytes(make(1000)))

    def test_shared_memory_is_in_use(self):
        data = bytearray(1000)
        self.send.send_buffer(data)
        with self.assertRaises(BufferError):
            self.send.send(move(data))
        self.recv.recv().release()
        gc.collect()
        self.send.send(move(data))

    def test_memoryview_is_shared_and_released(self):
        data = bytearray(b'abc')
        view = memoryview(data)
        self.send.send(move(view))
        with self.assertRaises(ValueError):
            view[0]
        got = self.recv.recv()
        got[0] = ord('x')
        self.assertEqual(data, b'xbc')

    def test_memoryview_in_use_is_not_released(self):
        view = memoryview(bytearray(b'abc'))
        user = pickle.PickleBuffer(view)
        with self.assertRaises(BufferError):
            self.send.send(move(view))
        self.assertEqual(view[0], ord('a'))
        self.assertEqual(len(self.recv), 0)
        user.release()

    def test_others_are_shared(self):
        class Mine(bytearray):
            pass
        for obj in b'abc', Mine(b'abc'), Mine(bytes(1000)):
            self.send.send(move(obj))
            got = self.recv.recv()
            self.assertIsInstance(got, memoryview)
            self.assertEqual(got, obj)
            self.assertIsInstance(obj, (bytes, Mine))

    def test_only_buffers(self):
        for obj in 5, 'spam', [bytearray(5)], None:
            with self.assertRaises(TypeError):
                self.send.send(move(obj))

    def test_in_containers_with_other_objects(self):
        data = bytearray(1000)
        self.send.send({'data': move(data), 'more': [1, 2, move(SharedBlock(5))]})
        got = self.recv.recv()
        self.assertEqual(got['data'], bytes(1000))
        self.assertEqual(len(got['more'][2]), 5)

    def test_object_that_dies_on_the_way(self):
        for make, n in KINDS:
            with self.subTest(make.__name__, n=n):
                recv, send = create_channel(None)
                send.send(move(make(n)))
                send.send(move(make(n)))
                self.assertEqual(bytes(recv.recv()), bytes(make(n)))

    def test_weak_references(self):
        obj = _array(1000)
        ref = weakref.ref(obj)
        self.send.send(move(obj))
        self.assertIs(ref(), obj)
        called = []
        other = weakref.ref(obj, called.append)
        del obj
        self.assertIsNone(ref())
        self.assertEqual(called, [other])

    def test_sender_that_is_gone(self):
        interp = interpreters.create()
        data = interp.call(_return_moved, 1000)
        interp.close()
        self.assertNotIn(interp, interpreters.list_all())
        self.assertEqual(data, bytes(1000))
        data += b'x'

    def test_sender_that_ends_with_the_message_on_its_way(self):
        interp = interpreters.create()
        interp.prepare_main(send=self.send)
        interp.exec('''if True:
            import interpreters
            kept = bytearray(b'abc' * 1000)
            send.send(interpreters.move(kept))
            ''')
        interp.close()
        self.assertEqual(self.recv.recv(), b'abc' * 1000)

    def test_counts_of_allocated_blocks(self):
        # Those of an interpreter in which they are moved in a circle, and of two.
        def round_trip(data):
            self.send.send(move(data))
            return self.recv.recv()
        data = round_trip(bytearray(2000))
        before = sys.getallocatedblocks()
        for _ in range(1000):
            data = round_trip(data)
        self.assertLess(abs(sys.getallocatedblocks() - before), 100)

    def test_code_that_moves_what_is_in_use(self):
        # What C code holds is an empty object while it goes on.
        data = bytearray(1000)
        def items():
            yield 1
            self.send.send(move(data))
            yield 2
        try:
            data.extend(items())
        except (BufferError, MovedError):
            pass
        gc.collect()
        numbers = array.array('d', range(1000))
        def more():
            yield 1.0
            self.send.send(move(numbers))
            yield 2.0
        try:
            numbers.extend(more())
        except (BufferError, MovedError):
            pass
        del numbers
        gc.collect()


    def test_in_a_cycle_that_is_garbage(self):
        for make in _bytearray, _array:
            obj = make(1000)
            self.send.send(move(obj))
            cycle = [obj]
            cycle.append(cycle)
            del obj, cycle
            gc.collect()
        assert_python_ok('-c', '''if True:
            import array, interpreters, sys
            recv, send = interpreters.create_channel(None)
            obj = array.array('i', range(1000))
            send.send(interpreters.move(obj))
            recv.recv()
            sys.kept = [obj]
            sys.kept.append(sys.kept)
            ''')

    def test_method_that_was_bound_before(self):
        data = bytearray(1000)
        extend, buffer = data.extend, data.__buffer__
        recv, send = create_channel(None)
        send.send(move(data))
        extend(b'x' * 2000)
        view = buffer(0)
        recv.close()
        with self.assertRaisesRegex(BufferError, 'in use'):
            len(data)
        self.assertEqual(bytes(view), b'x' * 2000)
        view.release()
        self.assertEqual(data, bytes(1000))

    def test_text_of_what_is_left(self):
        data = bytearray(1000)
        self.send.send(move(data))
        self.assertIn('on its way', str(data))
        self.assertIn('on its way', f'{data}')

    def test_memoryview_is_released_only_if_all_can_be_sent(self):
        class Reduced:
            def __reduce__(self):
                return str, ('text',)
        view = memoryview(bytearray(b'abc'))
        with self.assertRaises(interpreters.NotShareableError):
            self.send.send([move(view), unsendable()])
        self.assertEqual(view[0], ord('a'))
        self.send.send([[move(view)], Reduced()])
        self.assertEqual(self.recv.recv()[1], 'text')
        with self.assertRaises(ValueError):
            view[0]

    def test_shared_block_that_came_back_is_held_here(self):
        block = SharedBlock(1000)
        recv, send = create_channel(None)
        send.send(move(block))
        recv.close()
        self.assertEqual(len(block), 1000)
        gc.collect()
        found = interpreters.list_shared()[-1]
        self.assertEqual((found.in_messages, found.views),
                         (0, {interpreters.get_current(): 1}))


class SharedBlockTests(TestCase):

    def setUp(self):
        super().setUp()
        self.recv, self.send = create_channel(None)

    def test_zeros_that_can_be_written(self):
        for n in 0, 1, 63, 1000, 1 << 20, 3 << 20:
            with self.subTest(n):
                block = SharedBlock(n)
                self.assertEqual((len(block), block.nbytes), (n, n))
                view = memoryview(block)
                self.assertEqual((view.nbytes, view.format, view.readonly),
                                 (n, 'B', False))
                self.assertFalse(any(view[:5000]))
                self.assertEqual(_address(view) % 64 if n else 0, 0)
                if n:
                    view[-1] = 7
                    self.assertEqual(memoryview(block)[-1], 7)

    def test_huge_pages(self):
        block = SharedBlock(5_000_000, huge=True)
        view = memoryview(block)
        self.assertEqual(_address(view) % (2 << 20), 0)
        view[-1] = view[0] = 1
        self.assertEqual(sum(view[:10]), 1)

    def test_bad_sizes(self):
        with self.assertRaises(ValueError):
            SharedBlock(-1)
        with self.assertRaises(TypeError):
            SharedBlock(1.5)
        with self.assertRaises(TypeError):
            SharedBlock(1, True)
        for n in sys.maxsize, sys.maxsize - (4 << 20):
            with self.assertRaises(MemoryError):
                SharedBlock(n)

    def test_receiver_gets_one_of_the_same_memory(self):
        block = SharedBlock(1000)
        self.send.send([block, block])
        a, b = self.recv.recv()
        self.assertIs(a, b)
        self.assertIsNot(a, block)
        self.assertEqual(a, block)
        self.assertEqual(hash(a), hash(block))
        self.assertNotEqual(a, SharedBlock(1000))
        self.assertNotEqual(a, 5)
        memoryview(a)[5] = 1
        self.assertEqual(memoryview(block)[5], 1)
        self.assertTrue(interpreters.is_shareable(block))

    def test_outlives_its_creator(self):
        @by_code
        def make():
            import interpreters
            block = interpreters.SharedBlock(1000)
            memoryview(block)[3] = 7
            return block, memoryview(block)[2:]
        interp = interpreters.create()
        block, view = interp.call(make)
        interp.close()
        self.assertNotIn(interp, interpreters.list_all())
        self.assertEqual((memoryview(block)[3], view[1]), (7, 7))

    def test_repr(self):
        block = SharedBlock(10)
        self.assertEqual(repr(block), '<interpreters.SharedBlock of 10 bytes>')
        self.send.send(move(block))
        self.assertRegex(repr(block), '<interpreters.SharedBlock: .* on its way>')
        for use in hash, len, memoryview, lambda b: b == b, lambda b: b.nbytes:
            with self.assertRaises(MovedError):
                use(block)


def _address(view):
    return ctypes.addressof(ctypes.c_char.from_buffer(view)) if view.nbytes else 0


if __name__ == '__main__':
    unittest.main()
