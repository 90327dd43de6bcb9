"""Memory of objects with Arrow's C data interface is shared."""

import ctypes
import unittest

import _xxsubinterpreters as engine
import interpreters
from interpreters import create_channel, share
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import TestCase, by_code

Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Schema(ctypes.Structure):
    pass


SchemaPointer = ctypes.POINTER(Schema)

Schema._fields_ = [
    ('format', ctypes.c_char_p), ('name', ctypes.c_char_p), ('metadata', ctypes.c_char_p),
    ('flags', ctypes.c_int64), ('n_children', ctypes.c_int64),
    ('children', ctypes.POINTER(SchemaPointer)),
    ('dictionary', SchemaPointer), ('release', Release),
    ('private_data', ctypes.c_void_p)]


class Array(ctypes.Structure):
    pass


ArrayPointer = ctypes.POINTER(Array)

Array._fields_ = [
    ('length', ctypes.c_int64), ('null_count', ctypes.c_int64), ('offset', ctypes.c_int64),
    ('n_buffers', ctypes.c_int64), ('n_children', ctypes.c_int64),
    ('buffers', ctypes.POINTER(ctypes.c_void_p)),
    ('children', ctypes.POINTER(ArrayPointer)),
    ('dictionary', ArrayPointer), ('release', Release),
    ('private_data', ctypes.c_void_p)]

api = ctypes.pythonapi
capsule_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p,
                                ctypes.c_void_p)(('PyCapsule_New', api))
capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ('PyCapsule_GetPointer', api))

# A capsule has the address of its destructor, and of its name.
Destructor = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
SCHEMA, ARRAY = b'arrow_schema', b'arrow_array'


class Producer:
    """What another library has: makes an array of `data` once, and counts its releases.

    What is not taken out of the capsules is released by these, as everywhere.
    """

    all = []                        # the structs keep their producer

    def __init__(self, data, length, format=b'C', *, lists=None, items=None, log=None,
                 schema_name=SCHEMA, array_name=ARRAY, n_buffers=2):
        self.memory = (ctypes.c_char * len(data)).from_buffer(data) if data is not None \
            else None
        self.released = []
        self.log = log
        self.callbacks = Release(self.release_schema), Release(self.release_array)
        self.destructors = Destructor(self.destroy_schema), Destructor(self.destroy_array)
        address = ctypes.addressof(self.memory) if data is not None else None
        self.buffers = (ctypes.c_void_p * 2)(None, address)
        self.names = schema_name, array_name
        self.items_schema = Schema(format, b'', release=self.callbacks[0])
        self.items = Array(length if items is None else items, n_buffers=n_buffers,
                           buffers=self.buffers, release=self.callbacks[1])
        self.schema, self.array = self.items_schema, self.items
        if lists is not None:
            self.items_callback = Release(self.release_items)
            self.items.release = self.items_callback
            self.child_schemas = (SchemaPointer * 1)(
                SchemaPointer(self.items_schema))
            self.child_arrays = (ArrayPointer * 1)(ArrayPointer(self.items))
            self.schema = Schema(lists, b'', n_children=1, children=self.child_schemas,
                                 release=self.callbacks[0])
            self.array = Array(length, n_buffers=1, n_children=1,
                               buffers=(ctypes.c_void_p * 1)(), children=self.child_arrays,
                               release=self.callbacks[1])
        self.all.append(self)

    def release_schema(self, pointer):
        Schema.from_address(pointer).release = Release()

    def release_items(self, pointer):
        Array.from_address(pointer).release = Release()

    def release_array(self, pointer):
        if self.array is not self.items and self.items.release:
            self.items.release(ctypes.addressof(self.items))
        Array.from_address(pointer).release = Release()
        self.released.append('array')
        if self.log is not None:
            self.log[0] += 1

    def destroy_schema(self, capsule):
        if self.schema.release:
            self.schema.release(ctypes.addressof(self.schema))

    def destroy_array(self, capsule):
        if self.array.release:
            self.array.release(ctypes.addressof(self.array))

    def __arrow_c_array__(self, requested_schema=None):
        return (capsule_new(ctypes.addressof(self.schema), self.names[0],
                            self.destructors[0]),
                capsule_new(ctypes.addressof(self.array), self.names[1],
                            self.destructors[1]))


class ArrowTestCase(TestCase):

    def setUp(self):
        super().setUp()
        self.addCleanup(Producer.all.clear)
        before = interpreters.list_shared()
        self.addCleanup(lambda: self.assertEqual(interpreters.list_shared(), before))


FORMATS = {b'c': 'b', b'C': 'B', b's': 'h', b'S': 'H', b'i': 'i', b'I': 'I', b'l': 'q',
           b'L': 'Q', b'e': 'e', b'f': 'f', b'g': 'd'}


class ImportTests(ArrowTestCase):

    def test_formats(self):
        data = bytearray(range(64))
        for arrow, format in FORMATS.items():
            with self.subTest(arrow=arrow):
                producer = Producer(data, 3, arrow)
                view = share(producer)
                self.assertEqual((view.format, view.shape, view.readonly),
                                 (format, (3,), True))
                self.assertEqual(view.tobytes(), data[:3 * view.itemsize])
                self.assertFalse(producer.array.release)        # it was taken
                self.assertFalse(producer.schema.release)       # it was released
                self.assertEqual(producer.released, [])
                del view
                self.assertEqual(producer.released, ['array'])

    def test_lists(self):
        data = bytearray(range(48))
        for lists, format, items, expected in (
                (b'+w:4', b'C', 8, [[0, 1, 2, 3], [4, 5, 6, 7]]),
                (b'+w:1', b'C', 2, [[0], [1]]),
                (b'+w:3', b'C', 24, [[0, 1, 2], [3, 4, 5]])):   # more than are used
            with self.subTest(lists=lists):
                producer = Producer(data, 2, format, lists=lists, items=items)
                view = share(producer)
                self.assertEqual(view.tolist(), expected)
                self.assertTrue(producer.items.release)
                del view
                self.assertEqual(producer.released, ['array'])
                self.assertFalse(producer.items.release)

    def test_shape(self):
        data = bytearray(range(24))
        view = engine.from_arrow(Producer(data, 6, lists=b'+w:4', items=24), (2, 3))
        self.assertEqual(view.shape, (2, 3, 4))
        self.assertEqual(view.tolist()[1][2], [20, 21, 22, 23])
        view = engine.from_arrow(Producer(data, 6, b's'), (3, 2), 'H', False)
        self.assertEqual((view.shape, view.format, view.readonly), ((3, 2), 'H', False))
        view[2, 1] = 0xffff
        self.assertEqual(data[10:12], b'\xff\xff')
        for shape in (2, 2), (6, 2), (-1, -6), (0, 6), (), (2**40, 2**40):
            producer = Producer(data, 6)
            with self.assertRaises(ValueError):
                engine.from_arrow(producer, shape)
            self.assertEqual(producer.released, ['array'])
        for args, exc in (([6],), TypeError), (('a',), TypeError), (((1,) * 64,), ValueError), \
                (((6,), 'H'), ValueError), (((6,), '?!'), Exception), (((2**80,),), OverflowError):
            with self.subTest(args=args), self.assertRaises(exc):
                engine.from_arrow(Producer(data, 6), *args)
        del view

    def test_nothing(self):
        for producer in Producer(None, 0), Producer(bytearray(1), 0, lists=b'+w:4'):
            view = share(producer)
            self.assertEqual(view.nbytes, 0)
            del view
            self.assertEqual(producer.released, ['array'])
        for shape in (0, 5), (5, 0), (2**40, 0), (0, 2**40, 2**40):
            view = engine.from_arrow(Producer(None, 0, lists=b'+w:4'), shape)
            self.assertEqual(view.shape, (*shape, 4))
            del view

    def test_released_once_with_the_last_view(self):
        producer = Producer(bytearray(range(64)), 64)
        recv, send = create_channel(None)
        view = share(producer)
        send.send([view, view[2:]])
        part = view[::2]
        view.release()
        messages = recv.recv()
        del view, part
        self.assertEqual(producer.released, [])
        messages.clear()
        self.assertEqual(producer.released, ['array'])
        lost = Producer(bytearray(4), 4)
        send.send(share(lost))
        self.assertEqual(lost.released, [])
        recv.close()
        self.assertEqual(lost.released, ['array'])

    def test_released_at_home(self):
        data = bytearray(range(8))
        producer = Producer(data, 8)
        interp = self.create()
        interp.prepare_main(view=share(producer))
        data[1] = 77
        interp.exec('assert view.tolist() == [0, 77, 2, 3, 4, 5, 6, 7]')
        self.assertEqual(producer.released, [])
        interp.exec('del view')
        self.assertEqual(producer.released, ['array'])

    def test_memory_is_listed(self):
        me = interpreters.get_current()
        view = share(Producer(bytearray(10), 10))
        self.assertEqual(interpreters.list_shared()[-1], ('Producer', 10, me, {me: 1}, 0))
        del view

    def test_auditing(self):
        assert_python_ok('-c', '''if True:
            import _xxsubinterpreters, interpreters, sys
            seen, refused = [], False
            def hook(event, args):
                if event == 'interpreters.share':
                    seen.append(type(args[0]).__name__)
                    if refused:
                        raise PermissionError
            data = bytearray(5)
            exported = _xxsubinterpreters.to_arrow(data, 'C')
            sys.addaudithook(hook)
            view = interpreters.share(exported)
            assert seen == ['ArrowExport'], seen
            refused = True
            try:
                interpreters.share(exported)
            except PermissionError:
                pass
            else:
                raise AssertionError
            del exported, view
            data.append(1)
            ''')

    def check_refused(self, exc, regex, producer):
        with self.assertRaisesRegex(exc, regex):
            share(producer)
        self.assertEqual(producer.released, ['array'])
        self.assertFalse(producer.schema.release)

    def test_formats_that_are_no_items(self):
        data = bytearray(64)
        for format in b'n', b'b', b'u', b'z', b'tdD', b'd:19,10', b'w:4', b'', b'CC', b'\xff':
            with self.subTest(format=format):
                self.check_refused(BufferError, 'format', Producer(data, 2, format))
        for format in b'+s', b'+l', b'+ud:1', b'+r', b'+vl':
            with self.subTest(format=format):
                self.check_refused(BufferError, 'nested', Producer(data, 2, lists=format))
        self.check_refused(BufferError, 'nested', Producer(data, 2, b'+w:2', lists=b'+w:2'))
        for format in b'+w:', b'+w:0', b'+w:-1', b'+w:x', b'+w:1x', b'+w:99999999999999999999':
            with self.subTest(format=format):
                self.check_refused(ValueError, 'format', Producer(data, 2, lists=format))
        for lists in None, b'+w:2':
            self.check_refused(ValueError, 'format', Producer(data, 2, None, lists=lists))

    def test_layouts_that_are_not_one_span(self):
        data = bytearray(64)
        for lists in None, b'+w:2':
            for outer in (False, True) if lists else (False,):
                def producer():
                    made = Producer(data, 2, lists=lists, items=lists and 4)
                    return made, made.array if outer else made.items, \
                        made.schema if outer else made.items_schema
                with self.subTest(lists=lists, outer=outer):
                    made, array, schema = producer()
                    array.offset = 1
                    self.check_refused(BufferError, 'offset', made)
                    for count in 1, 2:
                        made, array, schema = producer()
                        array.null_count = count
                        self.check_refused(BufferError, 'missing', made)
                    made, array, schema = producer()
                    bits = (ctypes.c_void_p * 2)(ctypes.addressof(made.memory), array.buffers[0])
                    array.null_count, array.buffers = -1, bits
                    self.check_refused(BufferError, 'missing', made)
                    made, array, schema = producer()
                    array.null_count = -1               # not counted, but none can be missing
                    self.assertEqual(len(share(made)), 2)
                    made, array, schema = producer()
                    array.dictionary = ArrayPointer(Array())
                    self.check_refused(BufferError, 'dictionary', made)
                    made, array, schema = producer()
                    schema.dictionary = SchemaPointer(Schema())
                    self.check_refused(BufferError, 'dictionary', made)

    def test_malformed_arrays(self):
        data = bytearray(64)
        for length in -1, 2**62, 2**63 - 1:
            self.check_refused(ValueError, 'length', Producer(data, length, b'l'))
            self.check_refused(ValueError, 'length', Producer(data, length, b'l', lists=b'+w:2'))
        self.check_refused(ValueError, 'length', Producer(data, 5, lists=b'+w:2', items=9))
        self.check_refused(ValueError, 'memory', Producer(None, 5))
        self.check_refused(ValueError, 'memory', Producer(None, 5, lists=b'+w:2', items=10))
        for n in 0, 1, 3, -1:
            self.check_refused(ValueError, 'buffers', Producer(data, 5, n_buffers=n))
        for lists in None, b'+w:2':
            producer = Producer(data, 2, lists=lists, items=4)
            producer.array.buffers = None
            self.check_refused(ValueError, 'buffers', producer)
            for struct in 'array', 'schema':
                for n in -1, 2, 0 if lists else 1:
                    producer = Producer(data, 2, lists=lists, items=4)
                    getattr(producer, struct).n_children = n
                    self.check_refused(ValueError, 'children', producer)
        for struct in 'array', 'schema':
            producer = Producer(data, 2, lists=b'+w:2', items=4)
            getattr(producer, struct).children = None
            self.check_refused(ValueError, 'children', producer)
            producer = Producer(data, 2, lists=b'+w:2', items=4)
            getattr(producer, struct).children[0] = None
            self.check_refused(ValueError, 'children', producer)

    def test_what_is_no_producer(self):
        class Wrong:
            def __arrow_c_array__(self):
                return self.result

        data = bytearray(8)
        wrong = Wrong()
        capsules = Producer(data, 8).__arrow_c_array__()
        for wrong.result in (None, (), capsules[:1], capsules[::-1], (None, None),
                             capsules + capsules, list(capsules)):
            with self.assertRaises(TypeError):
                share(wrong)
        for names in {'schema_name': b'other'}, {'array_name': b'other'}:
            with self.assertRaises(TypeError):
                share(Producer(data, 8, **names))
        with self.assertRaises(TypeError):
            share(object())
        with self.assertRaises(AttributeError):
            engine.from_arrow(b'bytes')

    def test_taken_before(self):
        class Again:
            def __arrow_c_array__(self):
                return capsules

        producer = Producer(bytearray(8), 8)
        capsules = producer.__arrow_c_array__()
        view = share(Again())
        with self.assertRaisesRegex(ValueError, 'taken before'):
            share(Again())
        self.assertEqual(producer.released, [])
        del view
        self.assertEqual(producer.released, ['array'])
        producer = Producer(bytearray(8), 2, lists=b'+w:4', items=8)
        producer.items.release = Release()
        self.check_refused(ValueError, 'taken before', producer)

    def test_errors_of_the_producer(self):
        class Failing:
            def __arrow_c_array__(self):
                raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            share(Failing())

    def test_what_gives_pickle_its_memory_is_pickled(self):
        import pickle
        class Pickles(Producer):
            def __reduce__(self):
                return bytes, (pickle.PickleBuffer(b'by pickle' * 100),)

        recv, send = create_channel(None)
        send.send(share(Pickles(bytearray(8), 8)))
        self.assertEqual(recv.recv(), b'by pickle' * 100)

        class Copies(Producer):
            def __reduce__(self):
                return bytes, (b'copy',)

        view = share(Copies(bytearray(b'by arrow'), 8))
        self.assertEqual(bytes(view), b'by arrow')
        del view


@by_code
def _share(log):
    from interpreters import share
    from test.test_subinterpreters.test_arrow import Producer
    return share(Producer(bytearray(b'spam'), 4, log=memoryview(log)))


class OwnerTests(ArrowTestCase):
    """The array is that of another interpreter."""

    def test_owner_closed_first(self):
        log = interpreters.SharedBlock(1)
        owner = interpreters.create()
        view = owner.call(_share, log)
        self.assertEqual(bytes(view), b'spam')
        owner.close()
        self.assertEqual(bytes(view), b'spam')
        self.assertIn(owner, interpreters.list_all())
        self.assertEqual(memoryview(log)[0], 0)
        del view
        self.assertNotIn(owner, interpreters.list_all())
        self.assertEqual(memoryview(log)[0], 1)
        del log

    def test_view_released_first(self):
        log = interpreters.SharedBlock(1)
        with interpreters.create() as owner:
            view = owner.call(_share, log)
            del view
            self.assertEqual(memoryview(log)[0], 1)
        self.assertNotIn(owner, interpreters.list_all())
        self.assertEqual(memoryview(log)[0], 1)
        del log

    def test_released_by_a_third_one(self):
        log = interpreters.SharedBlock(1)
        owner, user = interpreters.create(), self.create()
        user.prepare_main(view=owner.call(_share, log))
        owner.close()
        user.exec('assert bytes(view) == b"spam"')
        user.exec('del view')
        self.assertNotIn(owner, interpreters.list_all())
        self.assertEqual(memoryview(log)[0], 1)
        del log


def take(capsule, struct, name):
    """Move a struct out of its capsule."""
    source = struct.from_address(capsule_pointer(capsule, name))
    moved = struct()
    ctypes.pointer(moved)[0] = source
    source.release = Release()
    return moved


def release(struct):
    struct.release(ctypes.addressof(struct))


class ExportTests(ArrowTestCase):
    """to_arrow() gives libraries what they need to know."""

    def test_items(self):
        for arrow, format in FORMATS.items():
            with self.subTest(arrow=arrow):
                data = memoryview(bytearray(range(48))).cast(format)
                exported = engine.to_arrow(data, arrow.decode())
                view = engine.from_arrow(exported, None, None, False)
                self.assertEqual((view.format, view.tobytes()), (format, data.tobytes()))
                view[0] = 0
                self.assertEqual(data[0], 0)
                del view, exported

    def test_lists(self):
        data = bytearray(range(24))
        exported = engine.to_arrow(memoryview(data).cast('B', (2, 3, 4)), 'C', 4)
        capsules = exported.__arrow_c_array__(None)
        schema = Schema.from_address(capsule_pointer(capsules[0], SCHEMA))
        array = Array.from_address(capsule_pointer(capsules[1], ARRAY))
        self.assertEqual((schema.format, schema.n_children, schema.children[0][0].format),
                         (b'+w:4', 1, b'C'))
        self.assertEqual((array.length, array.n_buffers, array.buffers[0], array.n_children),
                         (6, 1, None, 1))
        items = array.children[0][0]
        self.assertEqual((items.length, items.null_count, items.offset, items.n_buffers),
                         (24, 0, 0, 2))
        self.assertEqual(ctypes.string_at(items.buffers[1], 24), data)
        view = engine.from_arrow(exported)
        self.assertEqual(view.shape, (6, 4))
        del view
        capsule = exported.__arrow_c_schema__()
        alone = Schema.from_address(capsule_pointer(capsule, SCHEMA))
        self.assertEqual(alone.format, b'+w:4')

    def test_memory_is_released_with_the_last_user(self):
        for list_size in 0, 4:
            data = bytearray(range(8))
            exported = engine.to_arrow(data, 'C', list_size)
            schema, array = exported.__arrow_c_array__()
            del exported
            taken = take(array, Array, ARRAY)
            type = take(schema, Schema, SCHEMA)
            del array, schema
            with self.assertRaises(BufferError):
                data.append(1)
            release(taken)
            release(type)
            self.assertFalse(taken.release or type.release)
            data.append(1)

    def test_items_outlive_their_lists(self):
        data = bytearray(range(8))
        schema, array = engine.to_arrow(data, 'C', 4).__arrow_c_array__()
        lists, type = take(array, Array, ARRAY), take(schema, Schema, SCHEMA)
        items, item_type = Array(), Schema()
        for moved, source in (items, lists), (item_type, type):
            ctypes.pointer(moved)[0] = source.children[0][0]
            source.children[0][0].release = Release()
            release(source)
        self.assertEqual(item_type.format, b'C')
        self.assertEqual(ctypes.string_at(items.buffers[1], 8), data)
        with self.assertRaises(BufferError):
            data.append(1)
        release(items)
        release(item_type)
        data.append(1)

    def test_released_by_another_thread_without_the_gil(self):
        data = bytearray(8)
        capsules = engine.to_arrow(data, 'C').__arrow_c_array__()
        taken = take(capsules[1], Array, ARRAY)
        self.start(release, taken)()    # CFUNCTYPE lets go of the GIL
        data.append(1)

    def test_memory_of_another_interpreter(self):
        log = interpreters.SharedBlock(1)
        owner = interpreters.create()
        view = engine.from_arrow(engine.to_arrow(owner.call(_share, log), 'C', 2))
        owner.close()
        self.assertEqual(view.tolist(), [[*b'sp'], [*b'am']])
        self.assertIn(owner, interpreters.list_all())
        del view
        self.assertNotIn(owner, interpreters.list_all())
        del log

    def test_what_cannot_be_exported(self):
        data = bytearray(8)
        for args, exc in (((data[::2], 'C', 3), ValueError),
                          ((data, 'C', 3), ValueError), ((data, 'C', -1), ValueError),
                          ((data, 'C', 2**40), ValueError), ((data, 's'), BufferError),
                          ((memoryview(data)[::2], 'C'), BufferError),
                          ((data, 'b'), BufferError), ((data, '+s'), BufferError),
                          ((None, 'C'), TypeError), ((data,), TypeError)):
            with self.subTest(args=args), self.assertRaises(exc):
                engine.to_arrow(*args)
        args = None
        data.append(1)
        with self.assertRaises(TypeError):
            engine.ArrowExport()


if __name__ == '__main__':
    unittest.main()
