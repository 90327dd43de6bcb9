"""Go through one memory alone, or half of it each with another, and print the samples.

    python -P -m measure.sums add|read SIZE TURNS

GB/s (1e9 bytes a second) for SIZE bytes of doubles, from when the first part is
asked for to when the last result is there.  add is sum() over the doubles,
which is bound by Python; read copies the memory to one buffer of 64 KiB, piece
by piece, which is bound by the bandwidth of the memory.  Both hold the GIL.

interpreters: each gets a memoryview of its part of one SharedBlock, through a channel
processes: each has as much memory of its own, as its part is large
threads: of the main interpreter, with memoryviews of the SharedBlock
numpy.sum(): the same interpreters and threads with numpy, which releases the GIL (only with read)

There are TURNS samples for each of ADD or READ.  They take turns, every other
time in the opposite order, after one that does not count.  Prints what
runner.measure_together() reads.  A wrong sum is an error.
"""

import json
import multiprocessing
import queue
import sys
import threading
import time

from . import far_ends, processes

ONE, TWO = 'one interpreter', 'two interpreters'
ONE_PROCESS, TWO_PROCESSES = 'one process', 'two processes, memory of their own'
ONE_THREAD, TWO_THREADS = 'one thread', 'two threads'
ONE_NUMPY, TWO_NUMPY = 'numpy.sum(), one interpreter', 'numpy.sum(), two interpreters'
ONE_NUMPY_THREAD, TWO_NUMPY_THREADS = 'numpy.sum(), one thread', 'numpy.sum(), two threads'
PAIRS = {TWO: ONE, TWO_PROCESSES: ONE_PROCESS, TWO_THREADS: ONE_THREAD, TWO_NUMPY: ONE_NUMPY,
         TWO_NUMPY_THREADS: ONE_NUMPY_THREAD}
NUMPY = ONE_NUMPY, TWO_NUMPY, ONE_NUMPY_THREAD, TWO_NUMPY_THREADS
ADD = ONE, TWO, ONE_PROCESS, TWO_PROCESSES, ONE_THREAD, TWO_THREADS
READ = *ADD, *NUMPY
NO_NUMPY = 'numpy cannot be imported'


class Worker:
    """Somebody who is given parts of the memory, and gives results back."""

    def __init__(self, give, take, finish):
        self.give, self.take, self._finish = give, take, finish

    def close(self):
        self.give(None)
        self._finish()


def process(function, size):
    context = multiprocessing.get_context('fork')
    pipe, other = context.Pipe()
    child = context.Process(target=far_ends.serve_own, args=(other, function, size), daemon=True)
    child.start()
    # It does not need to know where the part is.
    return Worker(lambda part: pipe.send(part and True), pipe.recv, child.join)


def interpreter(function):
    import interpreters
    interp = interpreters.create()
    (there, outbox), (inbox, back) = (interpreters.create_channel(None) for _ in range(2))
    future = interp.submit(far_ends.serve_channel, there, back, function)
    there.close()               # so that one that fails closes its channels
    back.close()

    def finish():
        future.result()
        interp.close()

    return Worker(outbox.send, inbox.recv, finish)


def thread(function):
    outbox, inbox = queue.SimpleQueue(), queue.SimpleQueue()
    worker = threading.Thread(target=far_ends.serve, args=(outbox.get, inbox.put, function),
                              daemon=True)
    worker.start()
    return Worker(outbox.put, inbox.get, worker.join)


def gigabytes_per_second(workers, parts, expected):
    start = time.perf_counter_ns()
    for worker, part in zip(workers, parts, strict=True):
        worker.give(part)
    total = sum([worker.take() for worker in workers])
    duration = time.perf_counter_ns() - start
    if total != expected:
        raise AssertionError(f'the sum is {total}, not {expected}')
    return sum(part.nbytes for part in parts) / duration


def samples(mode, size, turns):
    """Return {contender: samples}."""
    function = {'add': far_ends.add, 'read': far_ends.read}[mode]
    # The processes first, before there is a second thread.
    one_process = [process(function, size)]
    two_processes = [process(function, size // 2) for _ in range(2)]
    import interpreters
    two = [interpreter(function) for _ in range(2)]
    threads = [thread(function) for _ in range(2)]
    contenders = {ONE: two[:1], TWO: two, ONE_PROCESS: one_process, TWO_PROCESSES: two_processes,
                  ONE_THREAD: threads[:1], TWO_THREADS: threads}
    found = {}
    if mode == 'read':
        try:
            import numpy        # noqa: F401
        except ImportError:
            found = dict.fromkeys(NUMPY, NO_NUMPY)
        else:
            two = [interpreter(far_ends.add_numpy) for _ in range(2)]
            threads = [thread(far_ends.add_numpy) for _ in range(2)]
            contenders |= {ONE_NUMPY: two[:1], TWO_NUMPY: two,
                           ONE_NUMPY_THREAD: threads[:1], TWO_NUMPY_THREADS: threads}
    memory = memoryview(interpreters.SharedBlock(size))
    far_ends.fill(memory)
    half = size // 2
    parts = {1: [memory], 2: [memory[:half], memory[half:]]}
    found |= {name: [] for name in contenders}
    order = list(contenders)
    for turn in range(-1, turns):
        for name in order:
            workers = contenders[name]
            speed = gigabytes_per_second(workers, parts[len(workers)], far_ends.VALUE * size / 8)
            if turn >= 0:
                found[name].append(speed)
        order.reverse()
    for worker in {worker for workers in contenders.values() for worker in workers}:
        worker.close()
    return found


def main(mode, size, turns):
    print(json.dumps([samples(mode, int(size), int(turns))]))


if __name__ == '__main__':
    processes.leave_if_it_fails(main, *sys.argv[1:])
