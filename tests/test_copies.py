"""A copy through a message is what a pickle round trip makes, type for type."""

import collections
import dataclasses
import enum
import pathlib
import pickle

import interpreters
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


class Plain:
    pass


class Slots:
    __slots__ = ('a', '__dict__')


@dataclasses.dataclass(eq=False)
class Data:
    a: object = None
    b: object = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    a: object = None


class WithState:

    def __getstate__(self):
        return [self.a] if hasattr(self, 'a') else None

    def __setstate__(self, state):
        [self.a] = state


class Reduced:

    def __init__(self, n):
        self.n = n

    def __reduce__(self):
        return Reduced, (self.n,), self.__dict__


class NewArgs(tuple):

    def __new__(cls, *args):
        return super().__new__(cls, args)

    def __getnewargs__(self):
        return tuple(self)


class ListOf(list):
    pass


class DictOf(dict):
    pass


class SetOf(set):
    pass


class Int(int):
    pass


class Text(str):
    pass


class Colour(enum.Enum):
    RED = 1
    BLUE = 'blue'


class Bits(enum.IntFlag):
    ONE = 1
    TWO = 2


Point = collections.namedtuple('Point', 'x y')


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-300, 300),
    st.integers().map(lambda n: n << 200), st.floats(), st.complex_numbers(),
    st.text(st.characters(), max_size=20), st.binary(max_size=20),
    st.binary(max_size=9).map(bytearray), st.sampled_from(Colour), st.sampled_from(Bits),
    st.just(Bits.ONE | Bits.TWO), st.integers().map(Int), st.text(max_size=9).map(Text),
    st.builds(range, st.integers(), st.integers(), st.integers(1)),
    st.builds(slice, st.none() | st.integers(), st.integers()),
    st.datetimes(), st.dates(), st.times(), st.timedeltas(), st.decimals(), st.fractions(),
    st.uuids(), st.just(pathlib.Path('a') / 'b'), st.sampled_from([..., NotImplemented]),
    st.sampled_from([int, Plain, Colour, len, ''.join, isinstance, type(None), dict.get]),
)
HASHABLE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.binary(max_size=5),
    st.tuples(st.integers(), st.text(max_size=3)), st.frozensets(st.integers(), max_size=4),
    st.builds(Point, st.integers(), st.text(max_size=2)), st.sampled_from(Colour),
)
NAMES = st.sampled_from(['a', 'b', 'c', 'n', 'name', 'é', 'x1'])
EMPTY = [list, dict, ListOf, DictOf, Plain, Slots, Data, WithState, collections.deque,
         collections.OrderedDict, collections.Counter, lambda: Reduced(0),
         lambda: collections.defaultdict(list)]


@st.composite
def graphs(draw):
    """An object of containers that refer to each other in any way, in circles too."""
    nodes = [make() for make in draw(st.lists(st.sampled_from(EMPTY), min_size=1,
                                              max_size=8))]
    leaves = draw(st.lists(LEAVES, max_size=8))

    def anything():
        return draw(st.sampled_from(nodes + leaves))

    for _ in range(draw(st.integers(0, 4))):
        make = draw(st.sampled_from([tuple, NewArgs, Point, Frozen]))
        n = 2 if make is Point else 1 if make is Frozen else draw(st.integers(0, 3))
        items = [anything() for _ in range(n)]
        nodes.append(make(items) if make is tuple else make(*items))
    for node in nodes:
        for _ in range(draw(st.integers(0, 3))):
            if isinstance(node, (list, collections.deque)):
                node.append(anything())
            elif isinstance(node, dict):
                node[draw(NAMES | HASHABLE)] = anything()
            elif type(node) in (Slots, WithState):
                node.a = anything()
            elif not isinstance(node, (tuple, Frozen)):
                setattr(node, draw(NAMES), anything())
    if draw(st.booleans()):
        nodes[0] = SetOf(draw(st.lists(HASHABLE, max_size=5)))
    return draw(st.sampled_from(nodes)) if draw(st.booleans()) else nodes


def parts(obj):
    """What an object consists of, as an iterable of pairs, or None for a leaf."""
    kind = type(obj)
    if kind in (Plain, Data, WithState, Reduced):
        return vars(obj).items()
    if kind is Slots:
        return [(name, getattr(obj, name)) for name in ('a', '__dict__')
                if hasattr(obj, name)]
    if kind is Frozen:
        return [('a', obj.a)]
    if isinstance(obj, dict):
        return [*obj.items(), *getattr(obj, '__dict__', {}).items()]
    if isinstance(obj, (list, tuple, collections.deque)):
        return [*enumerate(obj), *getattr(obj, '__dict__', {}).items()]
    return None


def differences(a, b):
    """Yield how two graphs differ, in values, types, order or in what is one object."""
    partner = {}
    todo = [(a, b, 'obj')]
    keep = []
    while todo:
        a, b, path = todo.pop()
        if type(a) is not type(b):
            yield f'{path}: {type(a)} is not {type(b)}'
            continue
        a_parts, b_parts = parts(a), parts(b)
        if a_parts is None:
            if not (repr(a) == repr(b) or a == b):      # a NaN is not equal
                yield f'{path}: {a!r} is not {b!r}'
            continue
        a_parts, b_parts = list(a_parts), list(b_parts)
        keep.append((a, b))
        if a_parts or not isinstance(a, tuple):         # () exists once
            seen = partner.setdefault(('a', id(a)), id(b)), partner.setdefault(
                ('b', id(b)), id(a))
            if seen != (id(b), id(a)):
                yield f'{path}: is not the same object as where it was met before'
                continue
        if ('done', id(a)) in partner:
            continue
        partner['done', id(a)] = True
        if [key for key, _ in a_parts] != [key for key, _ in b_parts]:
            yield f'{path}: {a_parts} is not {b_parts}'
            continue
        for (a_key, a_value), (b_key, b_value) in zip(a_parts, b_parts):
            todo.append((a_key, b_key, f'{path} key {a_key!r}'))
            todo.append((a_value, b_value, f'{path}[{a_key!r}]'))


@pytest.fixture(scope='module')
def copy():
    recv, send = interpreters.create_channel(None)

    def copy(obj):
        send.send(obj)
        return recv.recv()

    with recv, send:
        yield copy


# The same examples each time, since CI must not fail for what a change did not do.
SETTINGS = settings(deadline=None, derandomize=True, database=None,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@settings(SETTINGS, max_examples=1000)
@given(graph=graphs())
def test_copy_is_as_a_pickle_round_trip(copy, graph):
    try:
        expected = pickle.loads(pickle.dumps(graph, 5))
    except RecursionError:
        with pytest.raises(interpreters.NotShareableError):
            copy(graph)
        return
    assert list(differences(copy(graph), expected)) == []


def test_differences_are_found():
    shared = [1]
    for a, b in (([1], [2]), ([1], (1,)), ([1], [1.0]), ({'a': 1, 'b': 2}, {'b': 2, 'a': 1}),
                 ([shared, shared], [[1], [1]]), ([[1], [1]], [shared, shared]),
                 (Data(1), Data(2)), (Text('a'), 'a'), ([True], [1])):
        assert list(differences(a, b)) != []
    assert list(differences([shared, shared], [shared, shared])) == []


@given(leaf=LEAVES | HASHABLE)
@settings(SETTINGS)
def test_leaves(copy, leaf):
    assert list(differences(copy([leaf]), pickle.loads(pickle.dumps([leaf], 5)))) == []
