"""What runs at the other ends, in interpreters, threads and processes, for sharing.py.

A None ends each.
"""

import pickle
from multiprocessing.shared_memory import SharedMemory


# ---- handles ----

def echo(take, give, moves):
    """Send back what a channel brings, in turn moved, if it was moved; arrays of numpy shared."""
    import interpreters         # here, as processes need none
    move, share = interpreters.move, interpreters.share
    while (obj := take.recv()) is not None:
        give.send(move(obj) if moves else share(obj) if type(obj).__name__ == 'ndarray' else obj)
        del obj                 # not held while it waits


def echo_pickled(pipe):
    """Send back what the pipe brings, unpickled and pickled again."""
    while (obj := pickle.loads(pipe.recv_bytes())) is not None:
        pipe.send_bytes(pickle.dumps(obj, 5))
        del obj


def attach(pipe):
    """Attach the shared memory whose name the pipe brings, close it, and say so."""
    while (name := pipe.recv()) is not None:
        SharedMemory(name, track=False).close()
        pipe.send(True)


# ---- sums ----

VALUE = 1.0                 # of all elements
CHUNK = 1 << 16


def add(view):
    """The sum of the doubles in the memory, by Python."""
    return sum(view.cast('d'))


def read(view):
    """Copy the memory to one small buffer, piece by piece; return how many doubles it has."""
    buffer = memoryview(bytearray(CHUNK))
    done = 0
    for start in range(0, len(view), CHUNK):
        piece = view[start:start + CHUNK]
        buffer[:len(piece)] = piece
        done += len(piece)
    return done / 8


def add_numpy(view):
    """The sum of the doubles in the memory, by numpy."""
    import numpy
    return float(numpy.frombuffer(view).sum())


def serve(take, give, function):
    """Send what the function returns for each memoryview that comes."""
    while (view := take()) is not None:
        give(function(view))
        del view


def serve_channel(take, give, function):
    serve(take.recv, give.send, function)


def serve_own(pipe, function, size):
    """The same with memory of the process, whatever comes."""
    view = memoryview(bytearray(size))
    fill(view)
    while pipe.recv() is not None:
        pipe.send(function(view))


def fill(view):
    """Set all elements to VALUE."""
    from array import array
    values = memoryview(array('d', [VALUE]) * (CHUNK // 8)).cast('B')
    for start in range(0, len(view), CHUNK):
        piece = view[start:start + CHUNK]
        piece[:] = values[:len(piece)]
