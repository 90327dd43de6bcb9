"""Exceptions that are sent, or leave another interpreter: they arrive as themselves."""

import traceback
import unittest

import interpreters
from test.test_subinterpreters.support import CopyTestCase, unsendable


class Plain(Exception):
    pass


class OtherArguments(Exception):
    """What pickle cannot make again: __init__ takes more than there is in args."""

    def __init__(self, a, b):
        super().__init__(f'{a} and {b}')
        self.a = a


class Reduced(Exception):

    def __init__(self, *, code):
        self.code = code

    def __reduce__(self):
        return make_reduced, (self.code,), {'more': 1}


class Translated(Exception):

    def __reduce__(self):
        return ValueError, ('translated',)


class Single(Exception):

    def __reduce__(self):
        return 'SINGLE'


SINGLE = Single()


class OwnArgument(Exception):

    def __init__(self, message):
        super().__init__(self, message)


def set_state(exc, state):
    exc.via = [state]


class WithItems(Exception):

    def __init__(self):
        self.items, self.pairs = [], {}

    def append(self, item):
        self.items.append(item)

    def __setitem__(self, key, value):
        self.pairs[key] = value

    def __reduce__(self):
        return WithItems, (), 'state', iter([1, 2]), iter([('k', 'v')]), set_state


class Counted:

    count = 0

    def __transfer__(self):
        self.count += 1
        return make_counted, (self.count,)


def make_counted(count):
    counted = Counted()
    counted.count = count
    return counted


def make_reduced(code):
    return Reduced(code=code)


class Stateful(Exception):

    def __reduce__(self):
        return Stateful, (), {'state': 'got'}

    def __setstate__(self, state):
        self.state = state['state'] + ' and set'


class CannotReduce(Exception):

    def __reduce_ex__(self, protocol):
        raise LookupError


def identity(obj):
    return obj


def raised(exc):
    try:
        raise exc
    except type(exc) as caught:
        return caught


class ExceptionTests(CopyTestCase):

    def test_classes_and_arguments(self):
        for exc in (Plain(), Plain(1, [2]), ValueError('x'), KeyError('k'), StopIteration(3),
                    SystemExit(4), KeyboardInterrupt(), UnicodeDecodeError('utf-8', b'x', 0, 1, 'why'),
                    OSError(2, 'no', 'file'), ConnectionResetError(104, 'reset'),
                    ImportError('no', name='n', path='p'), AttributeError('a', name='n', obj=1),
                    SyntaxError('bad', ('file', 1, 2, 'text', 1, 3)), NameError('n', name='x'),
                    OtherArguments(1, 2), Reduced(code=5), UserWarning('w')):
            with self.subTest(repr(exc)):
                copy = self.copy(exc)
                self.assertIs(type(copy), type(exc))
                self.assertEqual(copy.args, exc.args)
                self.assertEqual(str(copy), str(exc))
                for name in ('errno', 'filename', 'name', 'path', 'lineno', 'text',
                             'value', 'code', 'a', 'object'):
                    self.assertEqual(getattr(copy, name, None), getattr(exc, name, None), name)

    def test_attributes_and_notes(self):
        exc = Plain('x')
        exc.attribute = [exc]
        exc.add_note('one')
        exc.add_note('two')
        copy = self.copy(exc)
        self.assertEqual(copy.__notes__, ['one', 'two'])
        self.assertIs(copy.attribute[0], copy)

    def test_state(self):
        self.assertEqual(self.copy(Stateful()).state, 'got and set')
        self.assertEqual(self.copy(Reduced(code=1)).more, 1)

    def test_cause_and_context(self):
        exc = Plain('outer')
        exc.__cause__, exc.__context__ = KeyError('cause'), ValueError('context')
        copy = self.copy(exc)
        self.assertIs(type(copy.__cause__), KeyError)
        self.assertIs(type(copy.__context__), ValueError)
        self.assertIs(copy.__suppress_context__, True)
        exc = Plain()
        exc.__context__ = exc.__cause__ = Plain('both')
        exc.__suppress_context__ = False
        copy = self.copy(exc)
        self.assertIs(copy.__context__, copy.__cause__)
        self.assertIs(copy.__suppress_context__, False)

    def test_chains_in_circles(self):
        a, b = Plain('a'), Plain('b')
        a.__cause__, b.__cause__ = b, a
        copy = self.copy(a)
        self.assertIs(copy.__cause__.__cause__, copy)

    def test_long_chains(self):
        exc = None
        for n in range(2000):
            exc, inner = Plain(n), exc
            exc.__cause__ = inner
        copy = self.copy(exc)
        for n in reversed(range(2000)):
            self.assertEqual(copy.args, (n,))
            copy = copy.__cause__

    def test_groups(self):
        group = ExceptionGroup('group', [raised(ValueError(1)),
                                         ExceptionGroup('inner', [Plain('x')])])
        copy = self.copy(raised(group))
        self.assertIs(type(copy), ExceptionGroup)
        self.assertEqual(copy.message, 'group')
        self.assertIs(type(copy.exceptions[1].exceptions[0]), Plain)
        self.assertEqual(traceback.format_exception(copy), traceback.format_exception(group))
        self.assertIs(type(self.copy(BaseExceptionGroup('b', [KeyboardInterrupt()]))),
                      BaseExceptionGroup)

    def test_tracebacks(self):
        def outer(depth):
            if depth == 0:
                return {}['missing'] + \
                    1
            return outer(depth - 1)
        for depth in 0, 1, 30:
            with self.subTest(depth), self.assertRaises(KeyError) as caught:
                try:
                    outer(depth)
                except KeyError as exc:
                    expected = traceback.format_exception(exc)
                    copy = self.copy(exc)
                    self.assertEqual(traceback.format_exception(copy), expected)
                    again = self.copy(copy)
                    self.assertEqual(traceback.format_exception(again), expected)
                    raise copy
            self.assertIs(caught.exception, copy)

    def test_traceback_of_code_without_source(self):
        for source in ('1 / 0', '\n\nx = [\n 1 / 0\n]', 'raise ValueError'):
            code = compile(source, '<nowhere>', 'exec')
            try:
                exec(code)
            except Exception as exc:
                copy = self.copy(exc)
                self.assertEqual(traceback.format_exception(copy),
                                 traceback.format_exception(exc))
        code = compile('1 / 0', '<nowhere>', 'exec').replace(co_linetable=b'')
        try:
            exec(code)
        except ZeroDivisionError as exc:
            copy = self.copy(exc)
        self.assertIn('<nowhere>', ''.join(traceback.format_exception(copy)))

    def test_what_cannot_be_sent_is_shown(self):
        thing = unsendable()
        exc = Plain('x', thing, [1, thing], {'k': (thing,)})
        exc.attribute = thing
        copy = self.copy(exc)
        self.assertEqual(copy.args[0], 'x')
        self.assertEqual(copy.args[2][0], 1)
        for shown in (copy.args[1], copy.args[2][1], copy.args[3]['k'][0], copy.attribute):
            self.assertEqual(repr(shown), repr(thing))
        self.assertEqual(str(copy), str(exc))

    def test_identity_and_cycles_through_exceptions(self):
        items = [1]
        exc = ValueError(items)
        exc.items, exc.itself = items, {'exc': exc}
        items.append(exc)
        first, second = self.copy([items, exc])
        self.assertIs(second.args[0], first)
        self.assertIs(second.items, first)
        self.assertIs(first[1], second)
        self.assertIs(second.itself['exc'], second)

    def test_what_is_known_before_something_cannot_be_sent(self):
        # What was written of the exception is taken back, with what it numbered.
        shared, other = [1], [2]
        exc = Plain(shared, {'a': other, 'b': 1}, {'a': 3, 'b': 2}, unsendable())
        record = {'a': shared, 'b': other}
        got = self.copy([shared, record, exc, other, {'a': 5, 'b': 6}, shared])
        self.assertEqual(got[1], {'a': [1], 'b': [2]})
        self.assertIs(got[1]['a'], got[0])
        self.assertIs(got[1]['b'], got[3])
        self.assertIs(got[5], got[0])
        self.assertIs(got[2].args[0], got[0])
        self.assertIs(got[2].args[1]['a'], got[3])
        self.assertEqual(got[2].args[2], {'a': 3, 'b': 2})
        self.assertEqual(got[4], {'a': 5, 'b': 6})

    def test_causes_and_members_that_cannot_be_sent(self):
        class Meta(type):
            pass
        hidden = Meta('Hidden', (Exception,), {'thing': unsendable()})('why')
        exc = Plain('x')
        exc.__cause__ = hidden
        copy = self.copy(exc)
        self.assertIn('why', str(copy.__cause__))
        group = self.copy(ExceptionGroup('g', [hidden, ValueError(1)]))
        self.assertIn('why', str(group.exceptions[0]))
        self.assertEqual(group.exceptions[1].args, (1,))
        with self.assertRaises(interpreters.NotShareableError):
            self.send.send(hidden)

    def test_those_in_their_own_arguments(self):
        copy = self.copy(OwnArgument('x'))
        self.assertEqual(copy.args[1], 'x')
        exc = Plain()
        exc.args = (exc,),
        with self.assertRaises(interpreters.NotShareableError):
            self.send.send(exc)
        a, b = Plain(), Plain()
        a.args, b.args = (b,), (a,)
        with self.assertRaises(interpreters.NotShareableError):
            self.send.send(a)
        exc = Plain()
        exc.args = [exc], unsendable()
        copy = self.copy(exc)
        self.assertIs(copy.args[0][0], copy)

    def test_stand_ins_of_what_is_shared_or_in_a_circle(self):
        thing = unsendable()
        tree = {'thing': thing, 'children': []}
        for name in 'ab':
            tree['children'].append({'name': name, 'parent': tree})
        copy = self.copy(Plain(tree, tree))
        self.assertIs(copy.args[0], copy.args[1])
        self.assertEqual(copy.args[0]['children'][1]['name'], 'b')
        nested = [thing]
        for _ in range(50):
            nested = [nested, nested]
        self.copy(Plain(nested))
        first, second = self.copy(Plain(thing, thing)).args
        self.assertIs(first, second)

    def test_chains_of_which_some_hold_what_cannot_be_sent(self):
        exc = None
        for n in range(20):
            exc, inner = Plain(n, unsendable()) if n % 2 else Plain(n), exc
            exc.__cause__ = inner
        copy = self.copy(exc)
        for n in reversed(range(20)):
            self.assertIs(type(copy), Plain)
            self.assertEqual(copy.args[0], n)
            copy = copy.__cause__

    def test_a_member_raised_while_its_group_is_handled(self):
        try:
            try:
                raise ExceptionGroup('group', [ValueError(1), TypeError(2)])
            except ExceptionGroup as exc:
                group = exc
                raise exc.exceptions[0]
        except ValueError as exc:
            member = exc
        copy = self.copy(group)
        self.assertEqual(copy.message, 'group')
        self.assertIs(copy.exceptions[0].__context__, copy)
        self.assertEqual(type(copy.args[1]), list)
        self.assertIs(self.copy(member).__context__.exceptions[0].args[0], 1)

    def test_those_that_reduce_to_something_else(self):
        self.assertEqual(repr(self.copy(Translated())), "ValueError('translated')")
        self.assertIs(self.copy(SINGLE), SINGLE)
        copy = self.copy(WithItems())
        self.assertEqual((copy.items, copy.pairs, copy.via), ([1, 2], {'k': 'v'}, ['state']))

    def test_transfer_happens_once(self):
        exc = Plain(Counted(), 1)
        copy = self.copy(exc)
        self.assertEqual(copy.args[0].count, 1)

    def test_a_repr_that_fails(self):
        class Bad:
            def __init__(self):
                self.thing = unsendable()
            def __repr__(self):
                raise ZeroDivisionError
        shown = self.copy(Plain(Bad())).args[0]
        self.assertIn('Bad object at', repr(shown))

    def test_those_that_cannot_be_reduced(self):
        exc = CannotReduce('x', 1)
        exc.attribute = 2
        copy = self.copy(exc)
        self.assertIs(type(copy), CannotReduce)
        self.assertEqual((copy.args, copy.attribute), (('x', 1), 2))

    def test_local_classes(self):
        class Local(Plain):
            pass
        with self.create() as interp:
            def fail():
                raise Local('x')
            with self.assertRaises(Local) as caught:
                interp.submit(fail).result()
        self.assertEqual(caught.exception.args, ('x',))

    def test_tracebacks_from_another_interpreter(self):
        with self.create() as interp:
            with self.assertRaises(interpreters.ExecutionFailed) as caught:
                interp.call(raised_deep, 3)
            exc = caught.exception.exception
        names = [frame.name for frame in traceback.extract_tb(exc.__traceback__)]
        self.assertEqual(names, ['raised_deep'] * 4)
        self.assertIn("raise Plain('deep')", traceback.extract_tb(exc.__traceback__)[-1].line)


def raised_deep(depth):
    if depth == 0:
        raise Plain('deep')
    raised_deep(depth - 1)


if __name__ == '__main__':
    unittest.main()
