"""The decoder of messages, given what the encoder never writes, fails cleanly."""

import collections
import datetime
import fractions
import functools
import random
import unittest
import _xxsubinterpreters as engine

from test.support import is_resource_enabled
from test.test_subinterpreters.support import TestCase


class Record:

    def __init__(self, a, b):
        self.a = a
        self.b = b


class Slots:
    __slots__ = ('a',)


def corpus():
    cycle = [(1, 'a', 2.5), {'key': 1, 'other': 'é'}]
    cycle += [cycle, {'key': cycle, 'other': None}, {'key': [], 'other': ()}]
    slots = Slots()
    slots.a = frozenset('abc')
    x = 3
    return [
        [None, True, 1, -300, 70000, 2**40, 2**70, 1.5, 2j, 'a', 'é', '€' * 3, '\U0001f600',
         b'bytes', bytearray(b'array'), ..., NotImplemented],
        [list(range(n)) for n in (3, 5, 300, 70_000)][:3] + [[2**40, 1, 2, 3, 4], [0.5] * 6],
        cycle, {1: {2: {3: [4]}}}, {(1, 2): {'x'}, 'y': frozenset([1])}, slice(1, [2], None),
        [Record(1, [2]), Record('x', Record(3, 4)), Record(None, None)], [slots, slots],
        collections.OrderedDict(a=1, b=2), collections.deque([1, 2], 3),
        collections.defaultdict(list, {'k': [1]}), fractions.Fraction(3, 4),
        datetime.datetime(2020, 1, 2), functools.partial(sorted, key=len),
        [Record, len, collections, 'x'.join], lambda y: x + y, ValueError('x', 1),
        memoryview(b'shared'), 'large' * 20_000,
    ]


class CorruptedMessageTests(TestCase):

    def decode(self, message):
        try:
            return engine.unpack(message)
        except (Exception, SystemExit):
            return None

    def rounds(self):
        return 200 if is_resource_enabled('cpu') else 20

    def spoil(self, change):
        rng = random.Random(1)
        for number, obj in enumerate(corpus()):
            with self.subTest(number):
                for _ in range(self.rounds()):
                    message = engine.pack(obj, 'obj')
                    with memoryview(message) as records:
                        change(rng, records)
                    self.decode(message)

    def test_bits_are_flipped(self):
        def change(rng, records):
            records[rng.randrange(len(records))] ^= 1 << rng.randrange(8)
        self.spoil(change)

    def test_bytes_are_replaced(self):
        def change(rng, records):
            for _ in range(rng.randint(1, 5)):
                records[rng.randrange(len(records))] = rng.randrange(256)
        self.spoil(change)

    def test_tags_are_everywhere(self):
        def change(rng, records):
            for i in range(len(records)):
                if rng.random() < 0.2:
                    records[i] = rng.randrange(64) | rng.choice([0, 0x40, 0x80])
        self.spoil(change)

    def test_parts_change_places(self):
        def change(rng, records):
            n = rng.randint(1, max(len(records) // 2, 1))
            i, k = (rng.randrange(len(records) - n + 1) for _ in range(2))
            part = bytes(records[i:i + n])
            records[k:k + n] = part
        self.spoil(change)

    def test_each_byte_has_each_value(self):
        for obj in ([1, 'a', (2,)], {'k': {'k': 1}}, Record(1, 2), slice(1)):
            size = len(memoryview(engine.pack(obj, 'obj')))
            for i in range(size):
                for value in range(256):
                    message = engine.pack(obj, 'obj')
                    with memoryview(message) as records:
                        records[i] = value
                    self.decode(message)

    def test_what_is_looked_at_cannot_be_used(self):
        message = engine.pack([1], 'obj')
        with memoryview(message):
            with self.assertRaises(BufferError):
                engine.unpack(message)
        self.assertEqual(engine.unpack(message), [1])
        with self.assertRaises(ValueError):
            engine.unpack(message)
        with self.assertRaises(BufferError):
            memoryview(message)


if __name__ == '__main__':
    unittest.main()
