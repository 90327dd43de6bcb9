"""Objects whose methods change what is being sent, or what is being received."""

import collections
import gc
import sys
import threading
import unittest
import _xxsubinterpreters as engine

from interpreters import NotShareableError
from test.support import is_resource_enabled
from test.test_subinterpreters.support import TestCase


def copy(obj):
    return engine.unpack(engine.pack(obj, 'obj'))


class Acts:
    """Calls a function when it is encoded, and one when it is decoded."""

    now = None
    then = None

    def __init__(self, now=None):
        self.__dict__['now'] = now

    def __reduce__(self):
        if self.now is not None:
            self.now()
        return make_and_act, ()


def make_and_act():
    if Acts.then is not None:
        Acts.then()
    return None


class Attributes:
    pass


class Key:
    """Hashes and compares as it is told."""

    act = None

    def __init__(self, n):
        self.n = n

    def __hash__(self):
        if Key.act is not None:
            Key.act()
        return 1

    def __eq__(self, other):
        if Key.act is not None:
            Key.act()
        return self.n == other.n


class EncodingTests(TestCase):

    def attempt(self, obj):
        """Whatever comes of it, it is an answer or an exception; and pickle's if the latter."""
        try:
            copy(obj)
        except (RuntimeError, NotShareableError):
            pass
        gc.collect()

    def test_a_list_changes(self):
        for change in (lambda obj: obj.clear(), lambda obj: obj.append(1), lambda obj: obj.pop(),
                       lambda obj: obj.extend(range(10000)), lambda obj: obj.reverse(),
                       lambda obj: obj.__setitem__(slice(None), 'abc')):
            obj = [['x'], 1.5]
            obj += [Acts(lambda: change(obj)), ['y'], 2, 3, 4, 5, 6]
            self.attempt(obj)
        grows = [Acts(lambda: grows.append(1)), 2]
        with self.assertRaises(RuntimeError):
            copy(grows)

    def test_a_dict_changes(self):
        for change in (lambda obj: obj.clear(), lambda obj: obj.update(new=1),
                       lambda obj: obj.popitem(), lambda obj: obj.pop('a'),
                       lambda obj: obj.update(dict.fromkeys(range(1000))),
                       lambda obj: (obj.clear(), obj.update(zip('xyz', 'xyz'))),
                       lambda obj: (obj.pop('a'), obj.update(q=3))):
            for times in 1, 3:
                dicts = [{'a': ['x'], 'b': 1, 'c': []} for _ in range(times)]
                dicts[-1]['b'] = Acts(lambda: change(dicts[-1]))
                self.attempt(dicts)
            obj = {('k', 1): ['v'], 'a': [1]}
            obj[2] = Acts(lambda: change(obj))
            obj['z'] = 1
            self.attempt(obj)

    def test_a_set_changes(self):
        for change in (lambda obj: obj.clear(), lambda obj: obj.add(1),
                       lambda obj: obj.update(range(1000)), lambda obj: obj.pop()):
            obj = {('x', 1), 'y'}
            obj.add(Acts(lambda: change(obj)))
            self.attempt(obj)

    def test_attributes_change(self):
        def replace(obj):
            obj.__dict__ = {'new': 1}
        for change in (lambda obj: obj.__dict__.clear(), lambda obj: setattr(obj, 'new', 1),
                       lambda obj: delattr(obj, 'a'), replace,
                       lambda obj: [setattr(obj, f'a{i}', i) for i in range(100)],
                       lambda obj: setattr(obj, '__class__', Key)):
            for times in 1, 3:
                objects = [Attributes() for _ in range(times)]
                for obj in objects:
                    obj.a, obj.b, obj.c = [1], 2, ['x']
                objects[-1].b = Acts(lambda: change(objects[-1]))
                self.attempt(objects)

    def test_what_is_in_a_tuple_of_a_list_goes(self):
        obj = [[Acts()], (1, [2])]
        obj[0][0].__dict__['now'] = lambda: (obj.__setitem__(1, None), gc.collect())
        self.assertEqual(copy(obj), [[None], None])

    def test_sending_while_sending(self):
        obj = [1, {'k': 2}]
        obj.append(Acts(lambda: copy([obj[:2], obj[:2]])))
        self.assertEqual(copy(obj), [1, {'k': 2}, None])

    def test_reduce_returns_nonsense(self):
        for value in (None, 1, '', 'no such name', (), (1,), (list,), (list, 1), (1, ()),
                      (list, (), None, 1), (list, (), None, None, 1), (dict, (), None, None, [1]),
                      (dict, (), None, None, iter([1])), (dict, (), None, None, iter([(1,)])),
                      (list, (), None, iter([1]), None, None, None)):
            class Nonsense:
                def __reduce_ex__(self, protocol):
                    return value
            with self.subTest(value), self.assertRaises(NotShareableError):
                copy([Nonsense()])

    def test_errors_that_are_not_about_the_object(self):
        for error in (MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
            def fail():
                raise error
            with self.subTest(error), self.assertRaises(error):
                copy([Acts(fail)])

    def test_objects_made_anew_each_time(self):
        class Endless:
            def __reduce__(self):
                return list, ([Endless()],)
        # Nothing but memory limits that; a limit of its own stops what returns to itself.
        class Circle:
            def __reduce__(self):
                return list, ([self],)
        with self.assertRaises(NotShareableError) as caught:
            copy(Circle())
        self.assertIsInstance(caught.exception.__cause__, RecursionError)

    def test_other_threads_change_it(self):
        rounds = 3000 if is_resource_enabled('cpu') else 300
        rows = [{'a': i, 'b': [i], 'c': {'d': i}} for i in range(50)]
        things = [Attributes() for _ in range(20)]
        stop = threading.Event()

        def disturb():
            n = 0
            while not stop.is_set():
                n += 1
                rows[n % 50]['b'].append(n)
                rows[n % 50]['e'] = n
                rows[n % 50].pop('e')
                rows.append(rows.pop(0))
                setattr(things[n % 20], f'a{n % 40}', [n])
                if n % 50 == 0:
                    things[n % 20] = Attributes()
                    for row in rows:
                        row['b'] = [0]

        interval = sys.getswitchinterval()
        self.addCleanup(sys.setswitchinterval, interval)
        sys.setswitchinterval(1e-6)
        thread = threading.Thread(target=disturb)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)
        done = 0
        for _ in range(rounds):
            try:
                got_rows, got_things = copy((rows, things))
            except RuntimeError:
                continue
            done += 1
            self.assertEqual(len(got_things), 20)
            for row in got_rows:
                self.assertEqual(row['a'], row['c']['d'])
        self.assertGreater(done, 0)


class DecodingTests(TestCase):

    def tearDown(self):
        Acts.then = Key.act = None
        super().tearDown()

    def test_code_that_runs_meanwhile_sees_everything(self):
        def look():
            for obj in gc.get_objects():
                if type(obj) in (list, dict, tuple, set, Attributes):
                    repr(gc.get_referents(obj))
        obj = [[1, 2, [Acts()]], {'a': Acts(), 'b': 1}, (1, Acts()), {1, 2}, Attributes()]
        obj[4].a, obj[4].b = Acts(), 2
        obj.append(obj)
        message = engine.pack(obj, 'obj')
        Acts.then = look
        got = engine.unpack(message)
        self.assertEqual(got[1], {'a': None, 'b': 1})

    def test_kept_containers_change_meanwhile(self):
        for change in ('clear', 'fill', 'shrink'):
            lists, dicts, things = [1, 2, 3], {'a': 1, 'b': 2}, Attributes()
            things.a = 1
            graph = [lists, dicts, dict(dicts), dict(dicts), things]
            lists += [Changer(lists, change), 4, 5]
            dicts['c'] = Changer(dicts, change)
            things.b = Changer(things.__dict__, change)
            things.c = 3
            copied = copy(graph + [lists, dicts])
            self.assertIs(copied[0], copied[-2])
            self.assertIs(copied[1], copied[-1])
            self.assertEqual(copied[0][-2:], [4, 5])
            self.assertEqual(copied[4].c, 3)

    def test_keys_that_change_their_dict(self):
        keys = {}
        for n in range(5):
            keys[Key(n)] = n
        for container in (keys, set(keys), frozenset(keys), collections.OrderedDict(keys)):
            holder = [container]
            message = engine.pack([holder, holder], 'obj')
            calls = []
            def act():
                calls.append(1)
                gc.collect(0)
                for obj in gc.get_objects(0):
                    if type(obj) in (dict, set) and any(type(k) is Key for k in list(obj)):
                        obj.clear()
            Key.act = act
            try:
                engine.unpack(message)
            except RuntimeError:
                pass
            Key.act = None
            self.assertTrue(calls)

    def test_failures_leave_nothing_behind(self):
        class Error(Exception):
            pass
        def fail():
            raise Error
        obj = [{'a': 1, 'b': [Acts()]}, [bytearray(10)] * 100, (1, 2, ['x'])]
        obj.append(obj)
        for _ in range(3):
            message = engine.pack(obj, 'obj')
            Acts.then = fail
            with self.assertRaises(Error):
                engine.unpack(message)


class Changer:
    """Changes a container that it is in, while that is being made."""

    def __init__(self, container, how):
        self.state = container, how

    def __reduce__(self):
        return Changer, ((), ''), {'state': self.state}

    def __setstate__(self, state):
        container, how = state['state']
        if how == 'clear':
            container.clear()
        elif isinstance(container, list):
            container[:] = range(100) if how == 'fill' else container[:1]
        elif how == 'fill':
            container.update((f'k{i}', i) for i in range(50))
        elif container:
            container.popitem()


if __name__ == '__main__':
    unittest.main()
