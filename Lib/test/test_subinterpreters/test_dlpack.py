"""DLPack: memory passed to and from other libraries."""

import array
import ctypes
import itertools
import struct
import unittest

import interpreters
from interpreters import create_channel, from_dlpack, to_dlpack
from test.test_subinterpreters.support import TestCase, by_code


class Tensor(ctypes.Structure):
    _fields_ = [('data', ctypes.c_void_p),
                ('device_type', ctypes.c_int32), ('device_id', ctypes.c_int32),
                ('ndim', ctypes.c_int32),
                ('kind', ctypes.c_uint8), ('bits', ctypes.c_uint8),
                ('lanes', ctypes.c_uint16),
                ('shape', ctypes.POINTER(ctypes.c_int64)),
                ('strides', ctypes.POINTER(ctypes.c_int64)),
                ('byte_offset', ctypes.c_uint64)]


Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    _fields_ = [('tensor', Tensor), ('context', ctypes.c_void_p),
                ('deleter', Deleter)]


class Versioned(ctypes.Structure):
    _fields_ = [('major', ctypes.c_uint32), ('minor', ctypes.c_uint32),
                ('context', ctypes.c_void_p), ('deleter', Deleter),
                ('flags', ctypes.c_uint64), ('tensor', Tensor)]


api = ctypes.pythonapi
api.PyCapsule_New.restype = ctypes.py_object
api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
api.PyCapsule_GetName.restype = ctypes.c_char_p
api.PyCapsule_GetName.argtypes = [ctypes.py_object]
api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
USED = b'used_dltensor'         # the capsule only refers to it
api.PyCapsule_GetPointer.restype = ctypes.c_void_p
api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]

KINDS = {'b': (0, 8), 'h': (0, 16), 'i': (0, 32), 'q': (0, 64),
         'B': (1, 8), 'H': (1, 16), 'I': (1, 32), 'Q': (1, 64),
         'e': (2, 16), 'f': (2, 32), 'd': (2, 64),
         'Zf': (5, 64), 'Zd': (5, 128), '?': (6, 8)}


class Producer:
    """What another library has: makes capsules, and counts what is deleted.

    Its capsules have no destructor, so a tensor that was not taken is not deleted.
    """

    all = []                        # a tensor keeps its producer

    def __init__(self, data, shape, kind=(0, 32), strides=None, *, offset=0,
                 lanes=1, version=None, flags=0, device=(1, 0), name=None):
        self.memory = (ctypes.c_char * len(data)).from_buffer(data)
        shape_array = (ctypes.c_int64 * len(shape))(*shape)
        strides_array = strides and (ctypes.c_int64 * len(strides))(*strides)
        self.kept = shape_array, strides_array
        tensor = Tensor(ctypes.addressof(self.memory), *device, len(shape), *kind,
                        lanes, shape_array, strides_array, offset)
        self.deleter = Deleter(self.delete)
        self.deleted = []
        if version is not None:
            self.name = name or b'dltensor_versioned'
            self.managed = Versioned(*version, None, self.deleter, flags, tensor)
        else:
            self.name = name or b'dltensor'
            self.managed = Managed(tensor, None, self.deleter)
        self.version, self.device, self.asked = version, device, []
        self.all.append(self)

    def delete(self, pointer):
        self.deleted.append(pointer == ctypes.addressof(self.managed))

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **kwargs):
        self.asked.append(kwargs)
        if self.version is None and kwargs:
            raise TypeError('no keywords are known')
        self.capsule = api.PyCapsule_New(ctypes.addressof(self.managed), self.name, None)
        return self.capsule

    def capsule_name(self):
        return api.PyCapsule_GetName(self.capsule)


class ImportTests(TestCase):

    def setUp(self):
        super().setUp()
        self.addCleanup(Producer.all.clear)

    def test_data_types(self):
        data = bytearray(range(64))
        for (format, kind), version in itertools.product(KINDS.items(),
                                                         (None, (1, 0), (1, 7))):
            with self.subTest(format, version=version):
                producer = Producer(data, [2], kind, version=version)
                view = from_dlpack(producer)
                self.assertEqual((view.format, view.itemsize, view.shape),
                                 (format, kind[1] // 8, (2,)))
                self.assertEqual(view.tobytes(), data[:2 * view.itemsize])
                self.assertFalse(view.readonly)
                self.assertEqual(producer.deleted, [])
                del view
                self.assertEqual(producer.deleted, [True])

    def test_capsules_are_renamed(self):
        for version, name in ((None, b'used_dltensor'),
                              ((1, 0), b'used_dltensor_versioned')):
            producer = Producer(bytearray(8), [2], version=version)
            view = from_dlpack(producer)
            self.assertEqual(producer.capsule_name(), name)
            self.assertEqual(producer.asked[0], {'max_version': (1, 0)})
            del view

    def test_shapes_and_strides(self):
        data = bytearray(struct.pack('24i', *range(24)))
        flat = memoryview(data).cast('i')
        for shape, strides, offset, expected in (
                ([2, 3, 4], None, 0, flat.cast('B').cast('i', (2, 3, 4)).tolist()),
                ([2, 3], [3, 1], 8, [[2, 3, 4], [5, 6, 7]]),
                ([3, 2], [1, 3], 0, [[0, 3], [1, 4], [2, 5]]),
                ([4], [-2], 40, [10, 8, 6, 4]),
                ([2, 2], [0, 1], 4, [[1, 2], [1, 2]]),
                ([], None, 12, 3), ([0], None, 0, []), ([2, 0], None, 0, [[], []])):
            with self.subTest(shape=shape, strides=strides):
                producer = Producer(data, shape, (0, 32), strides, offset=offset)
                view = from_dlpack(producer)
                self.assertEqual(view.tolist(), expected)
                self.assertEqual(view.shape, tuple(shape))
                del view
                self.assertEqual(producer.deleted, [True])

    def test_the_memory_is_the_same(self):
        data = bytearray(8)
        view = from_dlpack(Producer(data, [2]))
        view[1] = -1
        self.assertEqual(data, b'\0\0\0\0\xff\xff\xff\xff')
        data[0] = 7
        self.assertEqual(view[0], struct.unpack('i', data[:4])[0])

    def test_read_only(self):
        producer = Producer(bytearray(8), [2], version=(1, 0), flags=1)
        view = from_dlpack(producer)
        self.assertTrue(view.readonly)
        with self.assertRaises(TypeError):
            view[0] = 1
        # The other flag says that it is a copy.
        self.assertFalse(from_dlpack(
            Producer(bytearray(8), [2], version=(1, 0), flags=2)).readonly)

    def test_deleted_once_with_the_last_view(self):
        producer = Producer(bytearray(64), [16], version=(1, 0))
        recv, send = create_channel(None)
        view = from_dlpack(producer)
        send.send([view, view[2:]])
        part = view[::2]
        view.release()
        messages = recv.recv()
        del view, part
        self.assertEqual(producer.deleted, [])
        messages.clear()
        self.assertEqual(producer.deleted, [True])
        in_message = Producer(bytearray(4), [1])
        send.send(from_dlpack(in_message))
        self.assertEqual(in_message.deleted, [])
        recv.close()
        self.assertEqual(in_message.deleted, [True])

    def test_deleted_at_home(self):
        # The last view is released in another interpreter.
        producer = Producer(bytearray(struct.pack('2i', 1, 2)), [2])
        interp = self.create()
        interp.prepare_main(view=from_dlpack(producer))
        interp.exec('assert view.tolist() == [1, 2]; view[0] = 5')
        self.assertEqual(producer.deleted, [])
        interp.exec('del view')
        self.assertEqual(producer.deleted, [True])
        self.assertEqual(struct.unpack_from('i', producer.memory.raw), (5,))

    def test_bad_tensors(self):
        data = bytearray(64)
        for kwargs, exc in (({'kind': (0, 24)}, BufferError),
                            ({'kind': (4, 16)}, BufferError),   # bfloat16
                            ({'kind': (3, 64)}, BufferError),   # a handle
                            ({'kind': (0, 0)}, BufferError),
                            ({'lanes': 4}, BufferError),
                            ({'lanes': 0}, BufferError),
                            ({'shape': [-1]}, ValueError),
                            ({'shape': [2**40, 2**40]}, ValueError),
                            ({'shape': [2], 'strides': [2**62]}, ValueError),
                            ({'shape': [1] * 65}, ValueError),
                            ({'device': (2, 0)}, BufferError),
                            ({'name': b'other'}, TypeError),
                            ({'name': b'used_dltensor'}, TypeError),
                            ({'version': (2, 0)}, BufferError),
                            ({'version': (0, 9)}, BufferError)):
            with self.subTest(kwargs):
                producer = Producer(data, **{'shape': [2]} | kwargs)
                with self.assertRaises(exc):
                    from_dlpack(producer)
                if producer.asked:
                    self.assertEqual(producer.capsule_name(), producer.name)
                self.assertEqual(producer.deleted, [])

    def test_what_is_no_producer(self):
        class Wrong(Producer):
            wrong_device = (1, 0)
            def __dlpack_device__(self):
                return self.wrong_device
            def __dlpack__(self, **kwargs):
                return 'no capsule'

        for obj in (None, b'bytes', memoryview(b'x')):
            with self.assertRaises(AttributeError):
                from_dlpack(obj)
        wrong = Wrong(bytearray(8), [2])
        with self.assertRaises(TypeError):
            from_dlpack(wrong)
        for wrong.wrong_device in (None, 1, (1,), ('a', 'b'), [1, 0]):
            with self.assertRaises(TypeError):
                from_dlpack(wrong)

    def test_errors_of_the_producer(self):
        class Failing(Producer):
            def __dlpack__(self, **kwargs):
                raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            from_dlpack(Failing(bytearray(8), [2]))


@by_code
def _export():
    import array
    import interpreters
    return memoryview(array.array('i', [1, 2, 3]))


class ExportTests(TestCase):

    def test_round_trip(self):
        data = bytearray(range(48))
        base = memoryview(data)
        cube = base.cast('h', (2, 3, 4))
        views = [base.cast(code) for code in 'bBhHiIlLqQnNfd?']
        views += [cube, base.cast('i')[::2], base.cast('i')[::-3], base[5:5],
                  base.cast('q')[::-1][1:4], base[:8].cast('d', ()), base.toreadonly()]
        for view in views:
            with self.subTest(view.format, shape=view.shape):
                got = from_dlpack(to_dlpack(view))
                for name in ('itemsize', 'shape', 'strides', 'readonly', 'nbytes'):
                    self.assertEqual(getattr(got, name), getattr(view, name), name)
                self.assertEqual(got.tobytes(), view.tobytes())
                self.assertEqual(got.tolist(), view.tolist())
                del got

    def test_the_memory_is_the_same(self):
        data = array.array('i', [1, 2])
        view = from_dlpack(to_dlpack(data))
        view[0] = 5
        data[1] = 6
        self.assertEqual((data.tolist(), view.tolist()), ([5, 6], [5, 6]))

    def test_memory_is_released_with_the_last_user(self):
        data = bytearray(8)
        exported = to_dlpack(data)
        with self.assertRaises(BufferError):
            data.append(1)
        first, second = from_dlpack(exported), from_dlpack(exported)
        unused = exported.__dlpack__(), exported.__dlpack__(max_version=(1, 1))
        del exported
        first.release()
        del first, second
        with self.assertRaises(BufferError):
            data.append(1)
        del unused
        data.append(1)

    def test_memory_of_another_interpreter(self):
        owner = interpreters.create()
        view = from_dlpack(to_dlpack(owner.call(_export)))
        owner.close()
        self.assertEqual(view.tolist(), [1, 2, 3])
        self.assertIn(owner, interpreters.list_all())
        del view
        self.assertNotIn(owner, interpreters.list_all())

    def test_versions(self):
        exported = to_dlpack(bytearray(8))
        self.assertEqual(exported.__dlpack_device__(), (1, 0))
        for max_version, name in ((None, b'dltensor'), ((0, 8), b'dltensor'),
                                  ((1, 0), b'dltensor_versioned'),
                                  ((2, 3), b'dltensor_versioned')):
            capsule = exported.__dlpack__(max_version=max_version, stream=None,
                                          dl_device=(1, 0), copy=False)
            self.assertEqual(api.PyCapsule_GetName(capsule), name)
        versioned = Versioned.from_address(api.PyCapsule_GetPointer(capsule, name))
        self.assertEqual((versioned.major, versioned.minor, versioned.flags), (1, 0, 0))
        self.assertEqual((versioned.tensor.kind, versioned.tensor.bits), (1, 8))

    def test_read_only_memory_needs_a_version(self):
        exported = to_dlpack(b'abc')
        with self.assertRaises(BufferError):
            exported.__dlpack__()
        view = from_dlpack(exported)
        self.assertTrue(view.readonly)
        self.assertEqual(bytes(view), b'abc')

    def test_deleter_called_without_the_gil(self):
        data = bytearray(8)
        capsule = to_dlpack(data).__dlpack__()
        address = api.PyCapsule_GetPointer(capsule, b'dltensor')
        self.assertEqual(api.PyCapsule_SetName(capsule, USED), 0)
        Managed.from_address(address).deleter(address)
        del capsule
        data.append(1)

    def test_bad_arguments(self):
        exported = to_dlpack(bytearray(8))
        for kwargs, exc in (({'stream': 1}, ValueError), ({'copy': True}, BufferError),
                            ({'dl_device': (2, 0)}, BufferError),
                            ({'dl_device': (1, 1)}, BufferError),
                            ({'dl_device': 1}, TypeError),
                            ({'max_version': 1}, TypeError),
                            ({'max_version': (1,)}, TypeError),
                            ({'max_version': ('a', 0)}, TypeError),
                            ({'other': 1}, TypeError)):
            with self.subTest(kwargs):
                with self.assertRaises(exc):
                    exported.__dlpack__(**kwargs)
        with self.assertRaises(TypeError):
            type(exported)()

    def test_memory_is_listed(self):
        me = interpreters.get_current()
        data = bytearray(10)
        exported = to_dlpack(data)
        view = from_dlpack(exported)
        ours, theirs = interpreters.list_shared()[-2:]
        self.assertEqual(ours, ('bytearray', 10, me, {me: 2}, 0))
        self.assertEqual(theirs, ('DLPack tensor', 10, me, {me: 1}, 0))
        view.release()

    def test_items_of_no_size(self):
        class Empty(ctypes.Structure):
            pass
        with self.assertRaises(BufferError):
            to_dlpack((Empty * 3)()).__dlpack__()

    def test_bad_memory(self):
        for obj in (None, 5, 'text'):
            with self.assertRaises(TypeError):
                to_dlpack(obj)
        swapped = ctypes.c_int32.__ctype_be__ if struct.pack('=h', 1)[0] \
            else ctypes.c_int32.__ctype_le__
        data = bytearray(8)
        for obj in (memoryview(data).cast('c'), (swapped * 2)(),
                    memoryview(data).cast('P')):
            with self.assertRaises(BufferError):
                from_dlpack(to_dlpack(obj))
        del obj
        data.append(1)


if __name__ == '__main__':
    unittest.main()
