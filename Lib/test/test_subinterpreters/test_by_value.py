"""Functions and classes that no import finds, and what is registered."""

import abc
import collections
import dataclasses
import enum
import functools
import sys
import textwrap
import types
import unittest

import interpreters
from interpreters import NotShareableError
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import CopyTestCase, unsendable


def identity(obj):
    return obj


def apply(function, *args):
    return function(*args)


def run_main(script, *expected):
    """Run a script of which the functions and classes are in __main__."""
    out = assert_python_ok('-c', textwrap.dedent(script)).out
    got = out.decode().splitlines()
    assert got == list(expected), got


class FunctionTests(CopyTestCase):

    def test_closures(self):
        def outer(n):
            def inner(k):
                nonlocal n
                n += k
                return n
            return inner
        add = outer(10)
        self.assertEqual(self.interp.call(add, 5), 15)
        self.assertEqual(add(1), 11)            # the cell was copied
        copy = self.interp.call(identity, add)
        self.assertEqual((copy(1), copy(1), add(1)), (12, 13, 12))

    def test_closures_that_share_a_cell_still_do(self):
        def make():
            n = 0
            def bump():
                nonlocal n
                n += 1
            return bump, lambda: n
        bump, get = self.copy(make())
        bump()
        self.assertEqual(get(), 1)

    def test_recursion_through_a_closure(self):
        def factorial(n):
            return 1 if n == 0 else n * factorial(n - 1)
        self.assertEqual(self.interp.call(factorial, 10), 3628800)
        copy = self.copy(factorial)
        self.assertIs(copy.__closure__[0].cell_contents, copy)

    def test_cells_without_contents(self):
        def make():
            def get():
                return later
            yield get
            later = 1
        get = next(make())
        with self.assertRaises(NameError):
            self.copy(get)()

    def test_attributes_and_annotations(self):
        def local(a: int, *, b: 'str' = 'x') -> list[int]:
            """Document."""
        local.attribute = [1]
        copy = self.interp.call(identity, local)
        self.assertEqual(copy.__annotations__, local.__annotations__)
        self.assertEqual(copy.__kwdefaults__, {'b': 'x'})
        self.assertEqual(copy.attribute, [1])
        self.assertEqual(copy.__doc__, 'Document.')

    def test_documents_and_globals_of_class_bodies(self):
        run_main('''
            import interpreters
            G = 3
            def f():
                class A[T]:
                    size = G
                    type X = list[G]
                return A.size, A.X.__value__
            f.__doc__ = 'set later'
            interp = interpreters.create()
            print(interp.call(f), interp.call(lambda g: g.__doc__, f))
            interp.close()
            ''', '(3, list[3]) set later')

    def test_type_parameters(self):
        run_main('''
            import interpreters
            def first[T: int](items: list[T]) -> T:
                return items[0]
            class Box[T]:
                def __init__(self, content: T):
                    self.content = content
            interp = interpreters.create()
            print(interp.call(first, [1]), interp.call(lambda: Box[int]('x').content),
                  interp.call(lambda f: f.__type_params__[0].__bound__, first))
            interp.close()
            ''', "1 x <class 'int'>")

    def test_what_is_changed_while_it_is_sent(self):
        namespace = {'__name__': 'only_here'}
        exec('def f(): return G', namespace)
        f = namespace['f']
        class Evil(str):
            def __hash__(self):
                return hash('G')
            def __eq__(self, other):
                if armed:
                    f.__code__ = (lambda: 1).__code__
                    del f.__module__
                    armed.clear()
                return False
        armed = []
        namespace[Evil('x')] = 1
        namespace['G'] = 2
        armed.append(True)
        self.assertEqual(self.copy(f)(), 2)
        self.assertEqual((armed, f()), ([], 1))

    def test_a_module_name_that_is_deleted_while_it_is_received(self):
        namespace = {'__name__': 'only_here', 'G': 1}
        exec('def f(x=None): return G', namespace)
        f = namespace['f']
        f.__defaults__ = DeletesModule(f),
        self.assertEqual(self.copy(f)(), 1)

    def test_decorated(self):
        @functools.cache
        def cached(n):
            return n
        with self.assertRaises(NotShareableError):  # as with pickle: it is not importable
            self.send.send(cached)
        def decorate(function):
            @functools.wraps(function)
            def wrapper(*args):
                return 'wrapped', function(*args)
            return wrapper
        self.assertEqual(self.interp.call(decorate(lambda x: x), 1), ('wrapped', 1))

    def test_generators_and_coroutines(self):
        def generate(n):
            yield from range(n)
        async def coroutine():
            return 1
        self.assertEqual(list(self.copy(generate)(3)), [0, 1, 2])
        self.assertEqual(self.interp.call(
            lambda g, c: (list(g(2)), __import__('asyncio').run(c())), generate, coroutine),
            ([0, 1], 1))

    def test_partials_and_methods(self):
        class Adder:
            def __init__(self, n):
                self.n = n
            def add(self, k):
                return self.n + k
        self.assertEqual(self.interp.call(functools.partial(lambda a, b: a - b, 5), 3), 2)
        self.assertEqual(self.interp.call(Adder(1).add, 2), 3)
        self.assertEqual(self.interp.call('a-b'.split, '-'), ['a', 'b'])

    def test_main_and_its_globals(self):
        run_main('''
            import collections, interpreters, math, os.path
            LIMIT = 10
            UNUSED = (_ for _ in ())            # cannot be sent, and need not be
            def helper(n):
                return min(n, LIMIT) + later(n)
            def later(n):
                return math.floor(n) if n else [helper(x) for x in ()]
            def work(n):
                return helper(n), os.path.sep, collections.Counter('aa')['a'], [LIMIT for _ in 'x']
            interp = interpreters.create()
            print(interp.call(work, 12.5))
            print(interp.submit(work, 2).result())
            LIMIT = 3                           # what was sent last is what counts
            print(interp.call(lambda: helper(12)))
            interp.close()
            ''', "(22, '/', 2, [10])", "(4, '/', 2, [10])", '15')

    def test_globals_that_the_receiver_has_set_are_its_own(self):
        run_main('''
            import interpreters
            counter = 0
            def count():
                global counter
                counter += 1
                return counter
            interp = interpreters.create()
            print([interp.call(count) for _ in range(3)], counter)
            interp.exec('name = "mine"')
            name = 'yours'
            print(interp.call(lambda: name))
            interp.prepare_main(counter=10)
            print(interp.call(count), interp.call(lambda: missing if 'missing' in globals() else 0))
            interp.close()
            ''', '[1, 2, 3] 0', 'mine', '11 0')

    def test_a_global_that_cannot_be_sent_is_named(self):
        run_main('''
            import interpreters
            thing = (_ for _ in ())
            interp = interpreters.create()
            try:
                interp.call(lambda: thing)
            except interpreters.NotShareableError as exc:
                print(str(exc).partition(':')[0])
            interp.close()
            ''', "(callable, args, kwargs)[0].__globals__['thing']")

    def test_a_module_that_cannot_be_imported(self):
        module = types.ModuleType('only_here')
        exec(textwrap.dedent('''
            FACTOR = 2
            def double(n):
                return FACTOR * n, helper()
            def helper():
                return __name__
            '''), module.__dict__)
        sys.modules['only_here'] = module
        self.addCleanup(sys.modules.pop, 'only_here', None)
        self.assertEqual(self.interp.call(module.double, 2), (4, 'only_here'))
        module.FACTOR = 3
        self.assertEqual(self.interp.call(module.double, 2), (6, 'only_here'))
        del sys.modules['only_here']
        self.assertEqual(self.interp.call(module.double, 2), (6, 'only_here'))
        self.assertNotIn('only_here', self.interp.call(lambda: list(__import__('sys').modules)))

    def test_a_function_called_before_its_closure_is_there(self):
        def make():
            n = Caller()
            def inner():
                return n
            n.function = inner
            return inner
        self.assertEqual(self.copy(make())().outcome, 'NameError')


class Caller:
    """Calls a function that refers to it, while that is being made."""

    def __reduce__(self):
        return Caller, (), {'function': self.function}

    def __setstate__(self, state):
        try:
            state['function']()
        except NameError as exc:
            self.outcome = type(exc).__name__


class DeletesModule:

    def __init__(self, function):
        self.function = function

    def __setstate__(self, state):
        del state['function'].__module__


class ClassTests(CopyTestCase):

    def test_a_class_is_one_class_wherever_it_goes(self):
        class Local:
            def __init__(self, n):
                self.n = n
            def double(self):
                return type(self)(2 * self.n)
        copy = self.interp.call(Local.double, Local(4))
        self.assertIs(type(copy), Local)
        self.assertEqual(copy.n, 8)
        self.assertIs(self.copy(Local), Local)
        other = self.create()
        self.assertIs(other.call(lambda cls, interp: interp.call(identity, cls),
                                 Local, self.interp), Local)
        self.assertTrue(self.interp.call(lambda a, b: type(a) is type(b), Local(1), Local(2)))

    def test_contents(self):
        class Base(abc.ABC):
            @abc.abstractmethod
            def needed(self): ...
            def super_method(self):
                return 'base'
        class Local(Base):
            """Document."""
            constant = [1]
            annotated: int = 3
            def needed(self):
                return super().super_method()
            @property
            def prop(self):
                return self.constant
            @classmethod
            def class_method(cls):
                return cls.__name__
            @staticmethod
            def static_method(n):
                return n
            @functools.cached_property
            def cached(self):
                return 'cached'
            def __eq__(self, other):
                return type(self) is type(other)
            __hash__ = None
        def use(cls, base):
            obj = cls()
            try:
                base()
            except TypeError:
                abstract = True
            return (obj.needed(), obj.prop, obj.class_method(), obj.static_method(2),
                    obj.cached, cls.__doc__, cls.__annotations__, cls.__hash__, abstract,
                    cls.__module__, cls.__qualname__, cls.__mro__[1:] == (base, *base.__mro__[1:]))
        self.assertEqual(self.interp.call(use, Local, Base), use(Local, Base))

    def test_slots(self):
        class Local:
            __slots__ = 'a', '__private', '__weakref__'
            def __init__(self):
                self.a = 1
                self.__private = 2
            def get(self):
                return self.a, self.__private, hasattr(self, '__dict__')
        self.assertEqual(self.interp.call(lambda obj: obj.get(), Local()), (1, 2, False))
        class One:
            __slots__ = 'only'
        one = One()
        one.only = 3
        self.assertEqual(self.interp.call(lambda obj: obj.only, one), 3)

    def test_enums(self):
        class Local(enum.Enum):
            A = 1
            B = 'b'
            ALIAS = 1
            def describe(self):
                return f'{self.name}={self.value}'
        class Kept(enum.Flag, boundary=enum.KEEP):
            ONE = 1
        self.assertEqual(self.interp.call(lambda cls: cls(8).value, Kept), 8)
        class Bits(enum.IntFlag):
            ONE = 1
            TWO = 2
        def use(member, cls, bits):
            return (member.describe(), cls('b') is cls.B, cls.ALIAS is cls.A, list(cls.__members__),
                    cls, bits, bits | type(bits).TWO, member)
        result = self.interp.call(use, Local.A, Local, Bits.ONE)
        self.assertEqual(result, use(Local.A, Local, Bits.ONE))
        self.assertIs(result[-1], Local.A)

    def test_dataclasses(self):
        @dataclasses.dataclass(order=True)
        class Local:
            a: int
            b: list = dataclasses.field(default_factory=list, metadata={'k': 1})
            c: int = dataclasses.field(default=3, kw_only=True)
        def use(obj):
            cls = type(obj)
            return (obj, cls(1), cls(1, c=2) < obj, dataclasses.asdict(obj),
                    [(f.name, f.default is dataclasses.MISSING, dict(f.metadata))
                     for f in dataclasses.fields(cls)], dataclasses.replace(obj, a=5))
        obj = Local(2, [1])
        self.assertEqual(self.interp.call(use, obj), use(obj))
        frozen = dataclasses.make_dataclass('Frozen', ['x'], frozen=True, slots=True)
        self.assertEqual(self.interp.call(lambda obj: obj.x, frozen(1)), 1)

    def test_named_tuples(self):
        Point = collections.namedtuple('Point', 'x y', defaults=[0])
        Point.__module__ = __name__
        got = self.interp.call(lambda p: (p.x, type(p)(5)), Point(1, 2))
        self.assertEqual(got, (1, (5, 0)))
        self.assertIs(type(got[1]), Point)

    def test_what_enum_members_have(self):
        class Local(enum.Enum):
            A = 1, 'one'
            B = 2, 'two'
            def __init__(self, number, label):
                self.label = label
        Local.A.extra = [1]
        self.assertEqual(self.interp.call(lambda c: (c.A.label, c.B.label, c.A.extra, c.A.value),
                                          Local), ('one', 'two', [1], (1, 'one')))

    def test_classes_that_are_equal(self):
        class Meta(type):
            def __eq__(cls, other):
                return True
            def __hash__(cls):
                return 1
        a, b = Meta('A', (), {'n': 1}), Meta('B', (), {'n': 2})
        self.assertEqual(self.interp.call(lambda a, b: (a.n, b.n, a is b), a, b), (1, 2, False))

    def test_metaclasses(self):
        class Meta(type):
            def __call__(cls, *args):
                return 'made', super().__call__(*args)
            @property
            def shout(cls):
                return cls.__name__.upper()
        class Local(metaclass=Meta):
            pass
        self.assertEqual(self.interp.call(lambda cls: (cls.shout, cls()[0]), Local),
                         ('LOCAL', 'made'))

    def test_classes_that_refer_to_each_other(self):
        class A:
            pass
        class B(A):
            other = A
        A.b, A.instance = B, B()
        self.assertEqual(self.interp.call(
            lambda a: (a.b.other is a, type(a.instance) is a.b, a.b.__bases__ == (a,)), A),
            (True,) * 3)

    def test_builtin_subclasses(self):
        class Items(list):
            extra = None
        class Text(str):
            pass
        class Number(int):
            def __new__(cls, value, unit='m'):
                self = super().__new__(cls, value)
                self.unit = unit
                return self
            def __getnewargs__(self):
                return int(self), self.unit
        items = Items([1, Text('a'), Number(3, 'km')])
        items.extra = items
        copy = self.interp.call(identity, items)
        self.assertEqual(copy, items)
        self.assertEqual([type(x) for x in copy], [int, Text, Number])
        self.assertEqual(copy[2].unit, 'km')
        self.assertIs(copy.extra, copy)
        self.assertIs(type(copy), Items)

    def test_main(self):
        run_main('''
            import dataclasses, interpreters
            SCALE = 10
            @dataclasses.dataclass
            class Job:
                n: int
                def run(self):
                    return Result(self.n * SCALE)
            @dataclasses.dataclass
            class Result:
                value: int
            interp = interpreters.create()
            print(interp.call(Job.run, Job(2)))
            print(interp.call(lambda job: job.run(), Job(3)) == Result(30))
            recv, send = interpreters.create_channel(None)
            send.send(Job(1))
            print(type(recv.recv()) is Job)
            interp.close()
            ''', 'Result(value=20)', 'True', 'True')

    def test_what_a_class_has_that_cannot_be_sent_is_named(self):
        class Local:
            stream = unsendable()
        with self.assertRaises(NotShareableError) as caught:
            self.send.send(Local())
        self.assertIn("['stream']", str(caught.exception))

    def test_classes_made_in_c_are_not_taken_apart(self):
        for cls in (type(unsendable()), type(iter([])), type({}.keys())):
            with self.subTest(cls), self.assertRaises(NotShareableError):
                self.send.send(cls)

    def test_they_do_not_keep_each_other_alive(self):
        import gc
        import weakref
        class Local:
            pass
        self.copy(Local())
        gone = weakref.ref(Local)
        del Local
        gc.collect()
        self.assertIsNone(gone())


class Handle:
    """Neither pickle nor a message could copy the generator."""

    def __init__(self, n):
        self.n = n
        self.steps = unsendable()


# What is registered stays so, so these are not made anew by each test.
class Base:
    pass


class Derived(Base):
    pass


class Transferred(Handle):

    def __transfer__(self):
        return Transferred, (self.n + 1,), {'by': 'transfer'}

    def __reduce__(self):
        raise AssertionError('has __transfer__()')


class RegistryTests(CopyTestCase):

    def test_register(self):
        with self.assertRaises(NotShareableError):
            self.send.send(Handle(1))
        interpreters.register(Handle, lambda handle: handle.n, Handle)
        self.addCleanup(self.unregister, Handle)
        copies = self.interp.call(lambda handles: [handle.n for handle in handles],
                                  [Handle(1), Handle(2)])
        self.assertEqual(copies, [1, 2])
        handle = Handle(3)
        a, b = self.copy([handle, handle])
        self.assertIs(a, b)
        self.assertIs(type(a), Handle)
        self.assertTrue(interpreters.is_shareable(Handle(1)))

    def unregister(self, cls):
        interpreters.register(cls, lambda obj: obj.__reduce_ex__(5), tuple)

    def test_register_is_for_the_class_alone(self):
        interpreters.register(Base, lambda obj: None, lambda _: 'decoded')
        self.assertEqual(self.copy(Base()), 'decoded')
        self.assertIsInstance(self.copy(Derived()), Derived)

    def test_decode_may_be_any_function(self):
        factor = 3
        interpreters.register(Base, lambda obj: [obj.n, {'k': obj.n}],
                              lambda parts: (factor * parts[0], parts[1]))
        obj = Base()
        obj.n = 2
        self.assertEqual(self.interp.call(identity, [obj]), [(6, {'k': 2})])

    def test_errors(self):
        for args in ((1, identity, identity), (Handle, 1, identity), (Handle, identity, None)):
            with self.subTest(args), self.assertRaises(TypeError):
                interpreters.register(*args)
        interpreters.register(Base, lambda obj: 1 / 0, identity)
        with self.assertRaises(NotShareableError) as caught:
            self.send.send([Base()])
        self.assertIsInstance(caught.exception.__cause__, ZeroDivisionError)
        self.assertTrue(str(caught.exception).startswith('obj[0]: '))
        interpreters.register(Base, lambda obj: unsendable(), identity)
        with self.assertRaises(NotShareableError):
            self.send.send(Base())

    def test_transfer(self):
        copy = self.interp.call(identity, Transferred(1))
        self.assertEqual((copy.n, copy.by), (3, 'transfer'))     # there and back
        self.assertTrue(interpreters.is_shareable(copy))


if __name__ == '__main__':
    unittest.main()
