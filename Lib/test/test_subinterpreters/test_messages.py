"""Messages: what is copied, what identity survives, what is refused."""

import ast
import collections
import copyreg
import decimal
import functools
import math
import pickle
import re
import sys
import threading
import unittest
import weakref

import interpreters
from interpreters import NotShareableError, create_channel
from test.test_subinterpreters.support import CopyTestCase, TestCase, unsendable


def identity(obj):
    return obj


class Record:

    def __init__(self, field=None):
        self.field = field


class ListOf(list):
    __hash__ = object.__hash__


class Child:

    def __init__(self, parent):
        self.parent = parent

    def __getstate__(self):
        parent = self.parent()
        return {'parent': parent, 'first': parent.items[0]}


class SelfReducing:

    def __getstate__(self):
        return {'me': self}


class Looks:

    def __init__(self, root):
        self.root = root

    def __getstate__(self):
        return {'found': self.root[1]['k'], 'first': self.root[0]}


class HidesDict:

    @property
    def __dict__(self):
        return {}


class SetsState:

    def __setstate__(self, state):
        self.state = state


class EmptyItems:

    def __reduce__(self):
        return EmptyItems, (), None, iter([]), iter([])


class NamedArguments:

    def __reduce__(self):
        return make_list, collections.namedtuple('Arguments', 'a b')(1, 2)


def make_list(*args):
    return list(args)


class Named:

    def __reduce__(self):
        return type('Name', (str,), {})('NAMED')


NAMED = Named()


class NeedsItself:

    def __reduce__(self):
        return NeedsItself, (self,)


class CopyTests(CopyTestCase):

    def assertSame(self, got, expected):
        """Equal, and of equal types all the way down."""
        self.assertIs(type(got), type(expected))
        if isinstance(expected, float) and math.isnan(expected):
            self.assertTrue(math.isnan(got))
        elif isinstance(expected, (list, tuple)):
            self.assertEqual(len(got), len(expected))
            for a, b in zip(got, expected):
                self.assertSame(a, b)
        elif isinstance(expected, dict):
            self.assertSame(list(got), list(expected))      # order too
            self.assertSame(list(got.values()), list(expected.values()))
        else:
            self.assertEqual(got, expected)

    OBJECTS = [
        None, True, False, ...,
        0, 1, -1, 255, 256, -6, 2**62, 2**63 - 1, 2**63, -2**63, -2**63 - 1,
        2**64, 10**100, -10**100, 2**4000 - 1, -2**4000,
        0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, sys.float_info.min,
        1j, complex(-0.0, math.inf),
        '', 'a', 'é', '€', '\U0001f600', 'ascii', 'latin é', 'bmp €',
        'astral \U0001f600', 'nul\0inside', '\ud800 lone surrogate', 'x' * 10000,
        b'', b'a', b'\0\xff', b'x' * 10000, bytearray(b''), bytearray(b'ab'),
        (), (1,), (1, (2, (3,))), [], [1, [2, [3]]], {}, {'a': {'b': []}},
        {1: 'int', 'a': 'str', (1, 2): 'tuple', None: 'none'},
        set(), {1, 'a', (2,)}, frozenset(), frozenset({1, b'x'}),
        slice(None), slice(1, 10, -2), slice('a', [1], None),
        range(0), range(3, 20, 5), range(-10**30, 10**30, 7),
    ]

    def test_copies_are_equal(self):
        for obj in self.OBJECTS:
            with self.subTest(repr(obj)[:60]):
                self.assertSame(self.copy(obj), obj)

    def test_copies_through_another_interpreter_are_equal(self):
        self.assertSame(self.interp.call(identity, self.OBJECTS), self.OBJECTS)

    def test_mutable_objects_are_copied(self):
        for obj in ([1], {'a': 1}, {1}, bytearray(b'x')):
            with self.subTest(obj):
                self.assertIsNot(self.copy(obj), obj)

    def test_order_of_a_dict_is_kept(self):
        items = [(f'key {i * 7919 % 101}', i) for i in range(101)]
        self.assertEqual(list(self.copy(dict(items)).items()), items)

    def test_an_object_met_twice_arrives_as_one(self):
        shared = [1, 2]
        a, b, (c,) = self.copy([shared, shared, (shared,)])
        self.assertIs(a, b)
        self.assertIs(a, c)
        text, data = 'text ' * 10, b'bytes ' * 10
        copy = self.copy([text, data, {'k': (text, data)}])
        self.assertIs(copy[0], copy[2]['k'][0])
        self.assertIs(copy[1], copy[2]['k'][1])

    def test_equal_but_different_objects_stay_different(self):
        a, b = self.copy([[], []])
        self.assertIsNot(a, b)

    def test_cycles(self):
        a = []
        a.append(a)
        copy = self.copy(a)
        self.assertIs(copy[0], copy)
        d = {}
        d['self'] = (d, [d])
        copy = self.copy(d)
        self.assertIs(copy['self'][0], copy)
        self.assertIs(copy['self'][1][0], copy)
        t = ([],)
        t[0].append(t)
        copy = self.copy(t)
        self.assertIs(copy[0][0], copy)

    def test_cycles_through_what_exists_only_when_its_contents_do(self):
        items = []
        items.append(slice(items))
        copy = self.copy(items)
        self.assertIs(copy[0].stop, copy)
        copy = self.copy(items[0])
        self.assertIs(copy.stop[0], copy)
        def f(items=[]): pass
        f.__defaults__[0].append(f)
        copy = self.copy(f)
        self.assertIs(copy.__defaults__[0][0], copy)
        def g(items): pass
        g.__defaults__ = (frozenset([g]),)
        copy = self.copy(g.__defaults__[0])
        [function] = copy
        self.assertIs(function.__defaults__[0], copy)
        def h(items): pass
        key = (h,)
        h.__defaults__ = ({key: 1},)
        copy = self.copy(key)
        [inner] = copy[0].__defaults__[0]
        self.assertIs(inner, copy)

    def test_what_is_needed_to_make_itself_is_refused(self):
        obj = NeedsItself()
        with self.assertRaises(NotShareableError) as caught:
            self.send.send(obj)
        self.assertIsInstance(caught.exception.__cause__, RecursionError)

    def test_a_dict_inside_one_with_the_same_keys(self):
        inner = {'aa': 1, 'bb': 2}
        outer = {'aa': inner, 'bb': inner}
        copy = self.copy(outer)
        self.assertEqual(copy, outer)
        self.assertIs(copy['aa'], copy['bb'])
        nested = {'kk1': {'kk1': {'kk1': inner, 'kk2': outer}, 'kk2': inner}, 'kk2': 5}
        self.assertEqual(self.copy([nested, outer, nested]), [nested, outer, nested])

    def test_what_only_an_object_refers_to_that_is_written_twice(self):
        for make in (lambda obj: (obj,), lambda obj: frozenset([obj])):
            for cls in (Record, ListOf):
                obj = cls()
                obj.attr = make(obj)
                whole = obj.attr
                del obj
                [copy] = copied = self.copy(whole)
                self.assertIs(copy.attr, copied)
                inner = cls()
                obj = cls()
                obj.attr, inner.attr = inner, make(obj)
                whole = inner.attr
                del obj, inner
                [copy] = copied = self.copy(whole)
                self.assertIs(copy.attr.attr, copied)

    def test_references_that_are_made_meanwhile(self):
        child = Child(weakref.ref(parent := Record()))
        parent.child, parent.items = child, [[1], child]
        del child
        box = [[parent]]
        del parent
        [[parent]] = self.copy(box)
        self.assertIs(parent.child.parent, parent)
        self.assertIs(parent.items[1], parent.child)
        self.assertIs(parent.child.first, parent.items[0])
        copy = self.copy(SelfReducing())
        self.assertIs(copy.me, copy)

    def test_what_a_dict_and_its_instance_lead_to(self):
        obj = Record([])
        copy, names = self.copy([obj, vars(obj)])
        self.assertIs(copy.field, names['field'])
        names, copy = self.copy([vars(obj), obj])
        self.assertIs(copy.field, names['field'])
        a, b = Record([]), Record()
        b.__dict__ = a.__dict__
        a, b = self.copy([a, b])
        self.assertIs(a.field, b.field)
        obj.me = obj
        names = vars(obj)
        del obj
        copy = self.copy(names)
        self.assertIs(copy['me'].me, copy['me'])

    def test_what_iterators_lead_to(self):
        names = {'a': [], 'b': []}
        for make in (lambda: iter(names.values()), lambda: reversed(names.values()),
                     lambda: zip(names.values()), lambda: iter(list(names.values()))):
            with self.subTest(make()):
                copy, iterator = self.copy([names, make()])
                found = next(iterator)
                found = found[0] if isinstance(found, tuple) else found
                self.assertTrue(any(found is value for value in copy.values()))
        obj = Record([])
        partial = functools.partial(len)
        partial.__reduce_ex__ = lambda protocol: (list, ([obj.field],))
        field, [also] = self.copy([obj.field, partial])
        self.assertIs(field, also)

    def test_what_code_makes_of_what_was_passed(self):
        root = [[1], {'k': [2]}]
        root.append(Looks(root))
        copy = self.copy(root)
        self.assertIs(copy[2].found, copy[1]['k'])
        self.assertIs(copy[2].first, copy[0])

    def test_attributes_of_the_instance_that_say_how_to_copy(self):
        records = [Record(i) for i in range(3)]
        records[1].__reduce_ex__ = lambda protocol: (int, ('5',))
        copies = self.copy(records)
        self.assertEqual(copies[1], 5)
        self.assertEqual((copies[0].field, copies[2].field), (0, 2))

    def test_a_class_that_changes_between_messages(self):
        class Local:
            pass
        class Derived(Local):
            pass
        Local.__module__ = Derived.__module__ = __name__
        obj = Derived()
        obj.a = 1
        for _ in range(3):
            self.assertEqual(vars(self.copy(obj)), {'a': 1})
        Local.__reduce__ = lambda self: (str, ('reduced',))
        for _ in range(3):
            self.assertEqual(self.copy(obj), 'reduced')
        del Local.__reduce__
        Local.__getstate__ = lambda self: {'b': 2}
        self.assertEqual(vars(self.copy(obj)), {'b': 2})
        del Local.__getstate__
        copyreg.pickle(Derived, lambda obj: (int, ('7',)))
        self.addCleanup(copyreg.dispatch_table.pop, Derived, None)
        self.assertEqual(self.copy(obj), 7)
        del copyreg.dispatch_table[Derived]
        self.assertEqual(vars(self.copy(obj)), {'a': 1})
        Local.__transfer__ = lambda self: (int, ('8',))
        self.assertEqual(self.copy(obj), 8)

    def test_a_dict_attribute_that_is_a_property(self):
        obj = HidesDict()
        obj.x = 1
        copy, expected = self.copy(obj), pickle.loads(pickle.dumps(obj, 5))
        self.assertEqual(hasattr(copy, 'x'), hasattr(expected, 'x'))

    def test_states_and_items_that_are_empty(self):
        self.assertFalse(hasattr(self.copy(SetsState()), 'state'))
        self.assertIsInstance(self.copy(EmptyItems()), EmptyItems)

    def test_arguments_and_names_of_subclasses(self):
        self.assertEqual(self.copy(NamedArguments()), [1, 2])
        self.assertIs(self.copy(NAMED), NAMED)

    def test_syntax_trees_of_nodes_made_by_hand(self):
        nodes = [ast.Constant(1), ast.Expr(ast.Name('y', ast.Load())), ast.parse('f(x)[1]')]
        got = self.copy(nodes)
        expected = pickle.loads(pickle.dumps(nodes, 5))
        self.assertEqual([ast.dump(node) for node in got], [ast.dump(node) for node in expected])
        self.assertEqual([vars(node).keys() for node in got],
                         [vars(node).keys() for node in expected])

    def test_large_strings(self):
        for text in ('x' * 100_000, 'é' * 100_000, '€' * 50_000, '\U0001f600' * 30_000,
                     b'y' * 100_000):
            hash(text)
            for obj in (text, [text, text], {text: 1}, [{text: 1}] * 2 + [{text: 2}]):
                got = self.copy(obj)
                self.assertSame(got, obj)
            a, b = self.copy([text, text])
            self.assertIs(a, b)
            self.assertEqual(hash(a), hash(text))
            self.assertEqual(a + a[:1], text + text[:1])
            self.assertEqual(self.interp.call(len, text), len(text))
        record = Record()
        setattr(record, 'n' * 100_000, 1)
        self.assertEqual(vars(self.copy(record)), vars(record))

    def test_code_that_runs_while_sending_cannot_confuse_identity(self):
        graph = []
        class Meta(type):
            def __getattribute__(cls, name):
                if name == '__module__' and graph:
                    graph[0] = None             # frees the first list
                    graph[2] = ['second']       # perhaps at its address
                return super().__getattribute__(name)
        class C(metaclass=Meta):
            pass
        C.__qualname__ = 'C'
        module = sys.modules[__name__]
        module.C = C
        self.addCleanup(delattr, module, 'C')
        graph += [['first'], C, ['third']]
        copy = self.copy(graph)
        self.assertEqual(copy[2], ['second'])

    def test_many_objects_of_one_message(self):
        rows = [{'id': i, 'name': f'name {i}', 'tags': ('a', i)}
                for i in range(5000)]
        self.assertEqual(self.interp.call(identity, rows), rows)

    def test_depth_is_limited_by_memory_only(self):
        depth = 1_000_000
        for wrap in (lambda obj: [obj], lambda obj: (obj,), lambda obj: {'a': obj}):
            deep = None
            for _ in range(depth):
                deep = wrap(deep)
            copy = self.copy(deep)
            found = 0
            while copy is not None:
                [copy] = copy.values() if isinstance(copy, dict) else copy
                found += 1
            self.assertEqual(found, depth)

    def test_sending_leaves_reference_counts_alone(self):
        obj = [object, 'a' * 50, (1, [2])]
        self.copy(obj)
        before = [sys.getrefcount(x) for x in (obj, *obj)]
        for _ in range(10):
            self.copy(obj)
        self.assertEqual([sys.getrefcount(x) for x in (obj, *obj)], before)


class ByNameTests(TestCase):

    def setUp(self):
        super().setUp()
        self.interp = self.create()

    def test_classes_and_builtin_functions_are_found_by_import(self):
        for obj in (int, ValueError, len, math.sin, collections.OrderedDict,
                    unittest.TestCase, type):
            with self.subTest(obj):
                self.assertIs(self.interp.call(identity, obj), obj)

    def test_functions_are_found_by_import(self):
        self.assertIs(self.interp.call(identity, identity), identity)
        self.assertEqual(self.interp.call(math.gcd, 12, 18), 6)

    def test_functions_that_cannot_be_imported_go_by_code(self):
        double = lambda x, y=[1], *, z=2: (x, y, z, __name__)
        self.assertEqual(self.interp.call(double, 0), (0, [1], 2, __name__))
        self.assertEqual(self.interp.call(double, 0, 1, z=3),
                         (0, 1, 3, __name__))

    def test_their_names_travel_with_them(self):
        def local(): pass
        got = interpreters.create_channel(1)
        got[1].send(local)
        copy = got[0].recv()
        self.assertEqual(copy.__name__, 'local')
        self.assertEqual(copy.__qualname__, local.__qualname__)
        self.assertEqual(copy.__module__, __name__)

    def test_what_is_not_a_module_cannot_hold_functions(self):
        double = lambda x: x
        self.interp.exec(f'import sys; sys.modules[{__name__!r}] = 1')
        with self.assertRaises(interpreters.ExecutionFailed) as caught:
            self.interp.call(double, 1)
        self.assertEqual(caught.exception.excinfo.type.__name__, 'ImportError')
        self.interp.exec('import sys; sys.modules["__main__"] = 1')
        with self.assertRaises(interpreters.ExecutionFailed) as caught:
            self.interp.exec('pass')
        self.assertEqual(caught.exception.excinfo.type.__name__, 'ImportError')

    def test_functions_of_main_run_in_the_receivers_main(self):
        namespace = {'__name__': '__main__'}
        exec('def f(): return answer', namespace)
        self.interp.prepare_main(answer=42)
        self.assertEqual(self.interp.call(namespace['f']), 42)


class RefusalTests(TestCase):

    def setUp(self):
        super().setUp()
        self.recv, self.send = create_channel(None)

    def refused(self, obj, path):
        with self.assertRaises(NotShareableError) as caught:
            self.send.send(obj)
        self.assertEqual(str(caught.exception).split(':')[0], path)
        self.assertEqual(len(self.recv), 0)

    def test_the_path_to_the_culprit_is_named(self):
        lock = threading.Lock()
        self.refused(lock, 'obj')
        self.refused([1, lock], 'obj[1]')
        self.refused({'a': [0, 1, (lock,)]}, "obj['a'][2][0]")
        self.refused({1: {2: lock}}, 'obj[1][2]')
        self.refused({lock: 1}, 'obj.keys()')
        self.refused({lock}, 'obj')
        self.refused([Record(lock)], 'obj[0].field')
        self.refused(collections.deque([1, lock]), 'obj[1]')
        self.refused(slice(0, lock), 'obj.stop')

    def test_the_type_of_the_culprit_is_named(self):
        with self.assertRaisesRegex(NotShareableError, "'generator' object"):
            self.send.send([(x for x in ())])

    def test_cells_that_cannot_be_sent_are_named(self):
        x = unsendable()
        self.refused(lambda: x, 'obj.__closure__[0].cell_contents')

    def test_defaults_that_cannot_be_sent_are_named(self):
        def f(a=threading.Lock()): pass
        self.refused(f, 'obj.__defaults__[0]')

    def test_a_repr_that_fails_replaces_the_error(self):
        class Key(str):
            def __repr__(self):
                raise ZeroDivisionError
        with self.assertRaises(ZeroDivisionError):
            self.send.send({Key('k'): unsendable()})
        self.assertEqual(len(self.recv), 0)

    def test_handles_of_a_refused_message_are_released(self):
        data = bytearray(b'x')
        recv, send = create_channel(1)
        with self.assertRaises(NotShareableError):
            self.send.send([memoryview(data), send, unsendable()])
        data.append(1)                  # no longer exported
        send.close()
        self.assertEqual(list(recv), [])

    def test_call_names_the_argument(self):
        interp = self.create()
        with self.assertRaisesRegex(NotShareableError,
                                    r'^\(callable, args, kwargs\)\[1\]\[0\]: '):
            interp.call(identity, unsendable())

    def test_what_cannot_be_imported_there_fails_there(self):
        module = type(sys)('only_here')
        exec('class C: pass', module.__dict__)
        sys.modules['only_here'] = module
        self.addCleanup(sys.modules.pop, 'only_here')
        with self.assertRaises(interpreters.ExecutionFailed) as caught:
            self.create().call(identity, module.C)
        self.assertEqual(caught.exception.excinfo.type.__name__,
                         'ModuleNotFoundError')


class IsShareableTests(TestCase):

    def test_looks_at_the_type_only(self):
        recv, send = create_channel()
        for obj in CopyTests.OBJECTS + [memoryview(b''), recv, send, identity,
                                        int, len, interpreters.get_main()]:
            with self.subTest(repr(obj)[:60]):
                self.assertIs(interpreters.is_shareable(obj), True)
        self.assertIs(interpreters.is_shareable([object()]), True)
        for obj in (object(), sys, iter(()), Record(unsendable()), Record, 1 .real,
                    collections.deque(), [].append, ValueError(), decimal.Decimal()):
            with self.subTest(obj):
                self.assertIs(interpreters.is_shareable(obj), True)
        for obj in (unsendable(), threading.Lock(), sys._getframe(),
                    re.compile('').scanner('')):
            with self.subTest(obj):
                self.assertIs(interpreters.is_shareable(obj), False)


if __name__ == '__main__':
    unittest.main()
