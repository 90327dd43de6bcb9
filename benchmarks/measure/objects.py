"""The objects that messages.py copies."""

import ast
import dataclasses
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """How an object is made, and how a copy of it is compared with it.

    build(size) makes the object.  key(obj) is a value that is equal for equal
    objects only, with equal types; repr() is, for what is made of the built-in
    types.  opaque: not a container; deepcopy returns it as it is.
    """

    title: str
    build: object               # int -> object
    size: int
    quick_size: int | None = None       # with --quick; None: the same
    key: object = repr          # object -> object
    opaque: bool = False


WORDS = 'red orange yellow green blue indigo violet black grey white'.split()


def records(size):
    return [{'number': i, 'name': f'record {i}', 'weight': i / 8, 'valid': i % 3 == 0,
             'colour': WORDS[i % 10]} for i in range(size)]


@dataclass
class Order:
    number: int
    customer: str
    price: float
    items: list


def orders(size):
    return [Order(i, f'customer {i}', i / 8, [i, i + 1, i + 2]) for i in range(size)]


def nested(size):
    """`size` dicts, tuples and lists, a third of each."""
    return [{'id': i, 'place': (i / 2, f'place {i}', [i, None, WORDS[i % 10]])}
            for i in range(size // 3)]


def ints(size):
    return list(range(size))


def floats(size):
    return [i / 8 for i in range(size)]


def strings(size):
    return [f'string {i}' for i in range(size)]


COLUMNS = ints, floats, strings


def table(size):
    """50 columns of `size` values; the columns are of ints, floats and strings by turns."""
    return {f'column {i}': COLUMNS[i % 3](size) for i in range(50)}


class Node:
    def __init__(self, left, right):
        self.left = left
        self.right = right


def tree(size):
    """A complete tree, `size` nodes deep."""
    return Node(tree(size - 1), tree(size - 1)) if size else None


def node_key(node):
    return node and (type(node), node_key(node.left), node_key(node.right))


def deep(size):
    obj = ()
    for _ in range(size):
        obj = (obj,)
    return obj


SOURCE = Path(dataclasses.__file__).read_text(encoding='utf-8')


def syntax_tree(size):
    """That of a module with `size` times the source of dataclasses."""
    return ast.parse(SOURCE * size)


def large_bytes(size):
    return b'0123456789' * (size // 10)


def large_str(size):
    return '0123456789' * (size // 10)


def itself(obj):
    return type(obj), obj


OBJECTS = {
    'records': Kind('1,000 dicts of 5 fields', records, 1000),
    'dataclasses': Kind('1,000 instances of a dataclass of 4 fields', orders, 1000),
    'nested': Kind('300 dicts, tuples and lists in each other', nested, 300),
    'ints': Kind('A list of 100,000 ints', ints, 100_000),
    'floats': Kind('A list of 100,000 floats', floats, 100_000),
    'strings': Kind('A list of 100,000 different strings', strings, 100_000),
    'table': Kind('A dict of 50 lists of 1,000 values', table, 1000),
    'tree': Kind('A tree of instances, 10 deep', tree, 10, key=node_key),
    'deep': Kind('400 tuples, each in the next', deep, 400),
    'syntax_tree': Kind('The syntax tree of the module dataclasses', syntax_tree, 1, key=ast.dump),
    'bytes': Kind('Bytes, 100 MB (--quick: 1 MB)', large_bytes,
                  100_000_000, 1_000_000, itself, opaque=True),
    'str': Kind('A str of ASCII, 100 MB (--quick: 1 MB)', large_str,
                100_000_000, 1_000_000, itself, opaque=True),
}
