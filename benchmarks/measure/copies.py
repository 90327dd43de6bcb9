"""Copy one object in several ways, in this process, and print the samples.

    python -P -m measure.copies times NAME SIZE TURNS MS
    python -P -m measure.copies memory NAME SIZE BYTES

times: us for one copy, TURNS samples for each of CONTENDERS.  They take turns,
every other time in the opposite order.  In its turn each copies the object as
often as takes about MS ms, at least once, and the sample is the mean.

memory: bytes of memory that the process holds for each message that waits in a
channel, and the length of the object's pickle.  As many messages wait as have
BYTES bytes when pickled, at least three.  As many again are sent before and
kept, to use up what is free in pages that are in use.

NAME is one of objects.OBJECTS.  Prints what runner.measure_together() reads.  A
copy that differs from the object is an error.
"""

import copy
import gc
import json
import marshal
import pickle
import sys
import time
from itertools import repeat

from .memory import held
from .objects import OBJECTS

MESSAGE, PICKLE, MARSHAL, DEEPCOPY, BUILD = CONTENDERS = (
    'message', 'pickle', 'marshal', 'deepcopy', 'build')
PROTOCOL = 5


def unbounded_channel():
    import interpreters         # here, as others need only the names above
    return interpreters.create_channel(None)


def copiers(kind, size, original):
    """{contender: a function of no arguments that makes a copy, or why there is none}."""
    recv, send = unbounded_channel()

    def through_channel():
        send.send(original)
        return recv.recv()

    found = {
        MESSAGE: through_channel,
        PICKLE: lambda: pickle.loads(pickle.dumps(original, PROTOCOL)),
        MARSHAL: lambda: marshal.loads(marshal.dumps(original)),
        DEEPCOPY: lambda: copy.deepcopy(original),
        BUILD: lambda: kind.build(size),
    }
    try:
        marshal.dumps(original)
    except ValueError as exc:
        found[MARSHAL] = str(exc)
    if kind.opaque:
        found[DEEPCOPY] = 'returns what cannot change as it is'
    return found


def times(kind, size, turns, ms):
    original = kind.build(size)
    found = copiers(kind, size, original)
    functions = {name: function for name, function in found.items() if callable(function)}
    expected = kind.key(original)
    for name, function in functions.items():
        if kind.key(function()) != expected:
            raise AssertionError(f'{name}: the copy differs')
    del expected
    repetitions = {name: max(1, round(ms * 1e3 / mean_us(function, 1)))
                   for name, function in functions.items()}
    samples = {name: [] for name in functions}
    order = list(functions)
    for _ in range(turns):
        for name in order:
            gc.collect()
            samples[name].append(mean_us(functions[name], repetitions[name]))
        order.reverse()
    return found | samples


def mean_us(function, repetitions):
    start = time.perf_counter_ns()
    for _ in repeat(None, repetitions):
        function()
    return (time.perf_counter_ns() - start) / repetitions / 1e3


def memory(kind, size, total):
    original = kind.build(size)
    pickled = len(pickle.dumps(original, PROTOCOL))
    count = max(3, total // pickled)
    recv, send = unbounded_channel()        # both stay open
    for _ in range(count):
        send.send(original)
    before = held()
    for _ in range(count):
        send.send(original)
    return {MESSAGE: [(held() - before) / count], PICKLE: [pickled]}


def main(mode, name, *numbers):
    function = {'times': times, 'memory': memory}[mode]
    print(json.dumps([function(OBJECTS[name], *map(int, numbers))]))


if __name__ == '__main__':
    main(*sys.argv[1:])
