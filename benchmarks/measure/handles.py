"""Hand objects over by handle, and by what others have for it, and print the samples.

    python -P -m measure.handles here|round_trip SMALL LARGE TURNS MS

us for each time that an object of SMALL bytes, and one of LARGE bytes, is

here: sent and received by one thread, through a channel without a limit
round_trip: sent to another interpreter, received there, sent back and received

There are TURNS samples for each of HERE or ROUND_TRIP.  They take turns, every
other time in the opposite order, with the small object right before the large
one.  In its turn each makes a new object, all of whose memory was written to,
hands it over as often as takes about MS ms, at least once, and the sample is
the mean.  A moved object is handed on each time: what was received is what is
sent next.  A shared one stays, and what is received is dropped; calling
share() is part of the time.

Prints what runner.measure_together() reads, for the two sizes.  What arrives
with another type, size or content is an error.
"""

import gc
import json
import multiprocessing
import pickle
import sys
import time
from array import array
from contextlib import contextmanager
from itertools import repeat
from multiprocessing.shared_memory import SharedMemory

from . import far_ends, processes

SHARE, SHARE_NUMPY, MEMORYVIEW = 'share(bytearray)', 'share(ndarray)', 'memoryview'
MOVE, MOVE_ARRAY, MOVE_BLOCK = 'move(bytearray)', 'move(array)', 'move(SharedBlock)'
OURS = SHARE, SHARE_NUMPY, MEMORYVIEW, MOVE, MOVE_ARRAY, MOVE_BLOCK
COPY, PICKLE = 'message, a copy', 'pickle'
PIPE, NEW, EXISTING = ('processes, pickled in a Pipe', 'processes, new shared_memory',
                       'processes, existing shared_memory')
HERE = *OURS, COPY, PICKLE
ROUND_TRIP = *OURS, COPY, PIPE, NEW, EXISTING
BYTE = b'\1'


class Unavailable(Exception):
    """There is no such contender here, for the reason that it says."""


# ---- objects ----

def make_bytearray(size):
    return bytearray(BYTE) * size


def make_array(size):
    return array('B', BYTE) * size


def make_block(size):
    import interpreters
    block = interpreters.SharedBlock(size)
    view = memoryview(block)
    for start in range(0, size, far_ends.CHUNK):
        piece = view[start:start + far_ends.CHUNK]
        piece[:] = BYTE * len(piece)
    return block


def make_ndarray(size):
    try:
        import numpy
    except ImportError:
        raise Unavailable('numpy cannot be imported') from None
    return numpy.full(size, BYTE[0], numpy.uint8)


def check(obj, size, kind):
    """Raise AssertionError if what has arrived is not what make_...() makes."""
    view = memoryview(obj)
    if (type(obj) is not kind or view.nbytes != size
            or {view[0], view[size // 2], view[-1]} != {BYTE[0]}):
        raise AssertionError(f'{kind.__name__} of {size} bytes: something else has arrived')


# ---- contenders: (size, ...) -> a function of no arguments that hands an object over once ----

def by_handle(size, give, take, make, wrap, back):
    """wrap(object) is sent each time, and arrives as an object of the type `back`.

    None stands for the type of the object.
    """
    obj = make(size)

    def hand_over():
        give(wrap(obj))
        return take()

    received = hand_over()
    check(received, size, back or type(obj))
    view = memoryview(received)
    view[0] += 1                # in all of them
    if memoryview(obj)[0] != BYTE[0] + 1:
        raise AssertionError('this memory is not shared')
    return hand_over


def moved(size, give, take, make):
    from interpreters import move
    obj = make(size)
    kind = type(obj)

    def hand_over():
        nonlocal obj
        give(move(obj))
        obj = take()

    hand_over()
    check(obj, size, kind)
    return hand_over


def copied(size, give, take):
    obj = make_bytearray(size)

    def hand_over():
        give(obj)
        return take()

    check(hand_over(), size, bytearray)
    return hand_over


def pickled(size):
    obj = make_bytearray(size)
    return lambda: pickle.loads(pickle.dumps(obj, 5))


def piped(size, pipe):
    obj = make_bytearray(size)

    def hand_over():
        pipe.send_bytes(pickle.dumps(obj, 5))
        return pickle.loads(pipe.recv_bytes())

    return hand_over


# Nothing is written to these blocks: there may be no room for them.

def new_block(size, pipe):
    def hand_over():
        block = SharedMemory(create=True, size=size, track=False)
        try:
            pipe.send(block.name)
            pipe.recv()
        finally:
            block.close()
            block.unlink()

    return hand_over


class ExistingBlock:
    """A block that goes with this object."""

    def __init__(self, size, pipe):
        self._pipe = pipe
        self._block = SharedMemory(create=True, size=size, track=False)

    def __call__(self):
        self._pipe.send(self._block.name)
        self._pipe.recv()

    def __del__(self):
        self._block.close()
        self._block.unlink()


def handle_makers(ends):
    """{contender: size -> function}; ends(moves) are (give, take)."""
    from interpreters import share

    def as_it_is(obj):
        return obj

    def make_view(size):
        return memoryview(make_bytearray(size))

    def numpy_maker(size):
        make_ndarray(1)         # or there is none
        return by_handle(size, *ends(False), make_ndarray, share, None)

    return {
        SHARE: lambda size: by_handle(size, *ends(False), make_bytearray, share, memoryview),
        SHARE_NUMPY: numpy_maker,
        MEMORYVIEW: lambda size: by_handle(size, *ends(False), make_view, as_it_is, memoryview),
        MOVE: lambda size: moved(size, *ends(True), make_bytearray),
        MOVE_ARRAY: lambda size: moved(size, *ends(True), make_array),
        MOVE_BLOCK: lambda size: moved(size, *ends(True), make_block),
        COPY: lambda size: copied(size, *ends(False)),
    }


@contextmanager
def here():
    """{contender: size -> function} for a channel of one interpreter."""
    import interpreters
    recv, send = interpreters.create_channel(None)
    yield {**handle_makers(lambda moves: (send.send, recv.recv)), PICKLE: pickled}


@contextmanager
def round_trip():
    """{contender: size -> function} for two interpreters, or two processes."""
    context = multiprocessing.get_context('fork')
    pipes = []
    for function in far_ends.echo_pickled, far_ends.attach:     # before there is a second thread
        pipe, other = context.Pipe()
        context.Process(target=function, args=(other,), daemon=True).start()
        pipes.append(pipe)
    import interpreters
    echoes = {}
    interp = interpreters.create()
    for moves in False, True:
        (there, outbox), (inbox, back) = (interpreters.create_channel(None) for _ in range(2))
        future = interp.submit(far_ends.echo, there, back, moves)
        there.close()           # so that an echo that fails closes its channels
        back.close()
        echoes[moves] = outbox, inbox, future
    yield {
        **handle_makers(lambda moves: (echoes[moves][0].send, echoes[moves][1].recv)),
        PIPE: lambda size: piped(size, pipes[0]),
        NEW: lambda size: new_block(size, pipes[1]),
        EXISTING: lambda size: ExistingBlock(size, pipes[1]),
    }
    for outbox, _, future in echoes.values():
        outbox.send(None)
        future.result()
    interp.close()
    pipes[0].send_bytes(pickle.dumps(None))
    pipes[1].send(None)


# ---- times ----

def times(makers, sizes, turns, ms):
    """Return {contender: samples} for each of the sizes."""
    found = [{name: [] for name in makers} for _ in sizes]
    repetitions = {}
    order = list(makers)
    for _ in range(turns):
        for name in order:
            for size, samples in zip(sizes, found):
                if isinstance(samples[name], str):
                    continue
                gc.collect()
                try:
                    function = makers[name](size)
                except Unavailable as exc:
                    samples[name] = str(exc)
                    continue
                if (name, size) not in repetitions:
                    repetitions[name, size] = max(1, round(ms * 1e3 / fastest_us(function, ms)))
                samples[name].append(mean_us(function, repetitions[name, size]))
                del function    # with its object
        order.reverse()
    return found


def fastest_us(function, ms):
    """The shortest time of up to 5 calls, while they take less than about `ms` ms."""
    times = []
    while len(times) < 5 and sum(times) < ms * 1e3:
        times.append(mean_us(function, 1))
    return min(times)


def mean_us(function, repetitions):
    start = time.perf_counter_ns()
    for _ in repeat(None, repetitions):
        function()
    return (time.perf_counter_ns() - start) / repetitions / 1e3


def main(mode, small, large, turns, ms):
    with {'here': here, 'round_trip': round_trip}[mode]() as makers:
        print(json.dumps(times(makers, (int(small), int(large)), int(turns), int(ms))))


if __name__ == '__main__':
    processes.leave_if_it_fails(main, *sys.argv[1:])
