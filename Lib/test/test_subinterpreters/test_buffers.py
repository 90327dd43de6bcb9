"""Shared memory: views, shapes, lifetimes."""

import array
import ctypes
import gc
import mmap
import struct
import unittest

import interpreters
from interpreters import create_channel
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import TestCase


def _fill(view, value):
    view[:] = bytes([value]) * len(view)


def _make_view(n):
    return memoryview(bytearray(range(n)))


class ShareTests(TestCase):

    def setUp(self):
        super().setUp()
        self.recv, self.send = create_channel(None)

    def share(self, obj):
        self.send.send_buffer(obj)
        return self.recv.recv()

    def test_the_memory_is_the_same(self):
        data = bytearray(b'abc')
        view = self.share(data)
        self.assertIsInstance(view, memoryview)
        data[0] = ord('x')
        self.assertEqual(bytes(view), b'xbc')
        view[1] = ord('y')
        self.assertEqual(data, b'xyc')

    def test_the_memory_is_the_same_in_another_interpreter(self):
        data = bytearray(1_000_000)
        self.create().call(_fill, memoryview(data), 7)
        self.assertEqual(data, b'\7' * 1_000_000)

    def test_exporters(self):
        ctypes_array = (ctypes.c_int32 * 4)(1, 2, 3, 4)
        with mmap.mmap(-1, 4096) as mapped:
            mapped[:4] = b'mmap'
            for obj in (b'bytes', bytearray(b'bytearray'), mapped, ctypes_array,
                        array.array('d', [1.5, 2.5]), memoryview(b'view')):
                with self.subTest(type(obj).__name__):
                    view = self.share(obj)
                    self.assertEqual(view, memoryview(obj))
                    del view

    def test_shape_strides_format_and_access_survive(self):
        base = memoryview(bytearray(struct.pack('24i', *range(24))))
        cube = base.cast('i', (2, 3, 4))
        views = [cube, base.cast('i')[::2], base.cast('i')[::-1], base[5:5],
                 base.toreadonly(), memoryview(b'x').cast('c'),
                 memoryview(struct.pack('d', 2.5)).cast('d', ())]
        for view in views:
            with self.subTest(view.format, shape=view.shape):
                got = self.share(view)
                for name in ('format', 'itemsize', 'ndim', 'shape', 'strides',
                             'suboffsets', 'readonly', 'nbytes',
                             'c_contiguous', 'f_contiguous'):
                    self.assertEqual(getattr(got, name), getattr(view, name),
                                     name)
                self.assertEqual(got.tolist(), view.tolist())

    def test_read_only_memory_stays_read_only(self):
        view = self.share(b'abc')
        self.assertTrue(view.readonly)
        with self.assertRaises(TypeError):
            view[0] = 0
        with self.assertRaises((BufferError, TypeError)):
            struct.pack_into('b', view.obj, 0, 1)
        self.assertEqual(bytes(view), b'abc')

    def test_views_of_a_non_contiguous_view(self):
        view = self.share(memoryview(bytearray(range(10)))[::3])
        self.assertEqual(bytes(view), bytes([0, 3, 6, 9]))
        with self.assertRaises(BufferError):
            struct.unpack_from('b', view.obj)   # asks for plain bytes

    def test_the_underlying_object_exports_plain_bytes(self):
        view = self.share(array.array('H', [1, 2]))
        self.assertEqual(bytes(view.obj), array.array('H', [1, 2]).tobytes())

    def test_memoryviews_in_containers_are_shared(self):
        data = bytearray(b'abc')
        self.send.send({'views': [memoryview(data), memoryview(data)[1:]]})
        first, second = self.recv.recv()['views']
        first[1] = ord('x')
        self.assertEqual(bytes(second), b'xc')

    def test_one_memoryview_met_twice_arrives_as_one(self):
        view = memoryview(b'abc')
        self.send.send([view, view])
        a, b = self.recv.recv()
        self.assertIs(a, b)

    def test_only_buffers_can_be_shared(self):
        with self.assertRaises(TypeError):
            self.send.send_buffer('text')
        released = memoryview(b'x')
        released.release()
        with self.assertRaises(ValueError):
            self.send.send(released)
        self.assertEqual(len(self.recv), 0)

    def test_released_view_of_shared_memory_cannot_be_sent(self):
        view = self.share(bytearray(b'x'))
        view.release()
        with self.assertRaises(ValueError):
            self.send.send(view)

    def test_memory_that_holds_objects_cannot_be_shared(self):
        for obj in ((ctypes.py_object * 2)(1, 2),
                    memoryview((ctypes.py_object * 2)(1, 2))):
            with self.assertRaisesRegex(BufferError, 'Python objects'):
                self.send.send_buffer(obj)
        class Named(ctypes.Structure):
            _fields_ = [('Offset', ctypes.c_int)]
        view = self.share((Named * 2)())            # only its name has an O
        self.assertIn('Offset', view.format)

    def test_send_buffer_nowait(self):
        recv, send = create_channel(1)
        send.send_buffer_nowait(b'a')
        with self.assertRaises(interpreters.ChannelFullError):
            send.send_buffer_nowait(b'b')
        self.assertEqual(bytes(recv.recv()), b'a')


class LifetimeTests(TestCase):

    def setUp(self):
        super().setUp()
        self.recv, self.send = create_channel(None)

    def test_exporter_cannot_be_resized_while_shared(self):
        data = bytearray(b'abc')
        self.send.send_buffer(data)
        with self.assertRaises(BufferError):
            data.append(1)              # in a message
        view = self.recv.recv()
        with self.assertRaises(BufferError):
            data.append(1)              # in a view
        view.release()
        gc.collect()
        data.append(1)

    def test_sent_memoryview_can_be_released(self):
        data = bytearray(b'abc')
        with memoryview(data) as view:
            self.send.send(view)
        view = self.recv.recv()
        self.assertEqual(bytes(view), b'abc')
        with self.assertRaises(BufferError):
            data.append(1)

    def test_exporter_is_released_with_an_unread_message(self):
        data = bytearray(b'abc')
        self.send.send_buffer(data)
        self.recv.close()
        data.append(1)

    def test_views_passed_on_pin_the_exporter_once_and_for_all(self):
        data = bytearray(b'abcdef')
        self.send.send_buffer(data)
        view = self.recv.recv()
        for _ in range(5):
            self.send.send(view[1:])    # a view of a view of shared memory
            view = self.recv.recv()
        self.assertEqual(bytes(view), b'f')
        view[0] = ord('x')
        self.assertEqual(data, b'abcdex')
        view.release()
        gc.collect()
        data.append(1)

    def test_memory_goes_round_through_interpreters(self):
        data = bytearray(b'ping')
        view = memoryview(data)
        for _ in range(3):
            with interpreters.create() as interp:
                view = interp.call(_pass_on, view)
        view[0] = ord('x')
        self.assertEqual(data, b'xing')
        del view
        data.append(1)

    def test_closing_the_owner_leaves_the_view_valid(self):
        interp = interpreters.create()
        view = interp.call(_make_view, 200)
        interp.close()
        self.assertEqual(bytes(view), bytes(range(200)))
        self.assertIn(interp, interpreters.list_all())
        del view
        self.assertNotIn(interp, interpreters.list_all())

    def test_nothing_runs_in_a_closed_owner(self):
        interp = interpreters.create()
        view = interp.call(_make_view, 10)
        interp.close()
        with self.assertRaisesRegex(interpreters.InterpreterError, 'is closed'):
            interp.exec('pass')
        interp.close()                  # nothing more to do
        self.assertFalse(interp.is_running())
        del view

    def test_main_module_of_a_closed_owner_is_cleared(self):
        recv, send = create_channel(1)
        interp = interpreters.create()
        interp.prepare_main(send=send)
        send.close()
        view = interp.call(_make_view, 10)
        interp.close()
        self.assertEqual(list(recv), [])
        del view

    def test_last_view_may_be_released_in_another_interpreter(self):
        owner, user = interpreters.create(), self.create()
        user.prepare_main(view=owner.call(_make_view, 50))
        owner.close()
        user.exec('assert bytes(view) == bytes(range(50))')
        self.assertIn(owner, interpreters.list_all())
        user.exec('del view')
        self.assertNotIn(owner, interpreters.list_all())

    def test_many_views_of_many_owners_released_in_any_order(self):
        owners = [interpreters.create() for _ in range(5)]
        views = [owner.call(_make_view, n) for owner in owners
                 for n in (1, 100, 250)]
        for owner in owners:
            owner.close()
        self.assertEqual([len(view) for view in views], [1, 100, 250] * 5)
        for view in views[::2] + views[1::2]:
            view.release()
        views.clear()
        del view
        self.assertEqual(
            [o for o in owners if o in interpreters.list_all()], [])

    def test_exit_with_memory_that_its_owner_views(self):
        assert_python_ok('-c', '''if True:
            import interpreters
            interp = interpreters.create()
            interp.exec("""if True:
                import sys, interpreters
                r, s = interpreters.create_channel(1)
                s.send_buffer(bytearray(10))
                sys.kept = r.recv()
                """)
            interp.close()
            in_itself = interpreters.create()
            in_itself.exec("""if True:
                import interpreters
                r, s = interpreters.create_channel(1)
                s.send([r, s, memoryview(bytearray(10))])
                """)
            in_itself.close()
            ''')

    def test_closing_an_owner_with_threads_waits_for_them(self):
        interp = interpreters.create()
        recv, send = create_channel(None)
        view = interp.call(_make_view, 20)
        interp.prepare_main(send=send)
        interp.exec('''if True:
            import threading
            def run():
                for i in range(100_000):
                    send.send(i)
            threading.Thread(target=run).start()
            ''')
        interp.close()
        self.assertEqual(len(recv), 100_000)
        self.assertEqual(bytes(view), bytes(range(20)))
        del view
        self.assertNotIn(interp, interpreters.list_all())

    def test_exit_with_views_alive(self):
        rc, out, err = assert_python_ok('-c', '''if True:
            import interpreters
            def make():
                return memoryview(bytearray(b"alive"))
            interp = interpreters.create()
            view = interp.call(make)
            other = interpreters.create()
            other.prepare_main(view=view)
            interp.close()
            print(bytes(view))
            ''')
        self.assertEqual((out.strip(), err), (b"b'alive'", b''))


def _pass_on(view):
    return view


if __name__ == '__main__':
    unittest.main()
