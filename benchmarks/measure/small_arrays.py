"""Loop over small arrays of numpy, alone or two at a time, and print the samples.

    python -P -m measure.small_arrays PASSES TURNS

1,000 passes a second, of all together, from when the first is asked for PASSES
passes to when the last result is there.  arrays.loop() is a pass: some fifty
calls for vectors of 10 to 1,000 doubles and matrices of 4 to 30 rows, so that
what numpy does for each call is most of the work.

interpreters: each with a numpy and a GIL of its own
threads: of the main interpreter
processes: of multiprocessing, started with spawn or by a forkserver

All have started, and have imported numpy, before a clock does.  The first
one of a pair is kept on the first of two processors, where one alone runs, the
other on the second.

There are TURNS samples for each of CONTENDERS.  They take turns, every other
time in the opposite order, after one that does not count.  Prints what
runner.measure_together() reads.  A wrong result is an error.
"""

import json
import math
import multiprocessing
import os
import sys
import time

from . import arrays, far_ends, processes
from .sums import NO_NUMPY, Worker, interpreter, thread

ONE, TWO = 'one interpreter', 'two interpreters'
ONE_THREAD, TWO_THREADS = 'one thread', 'two threads of one interpreter'
METHODS = 'spawn', 'forkserver'
ONE_PROCESS = {method: f'one process, {method}' for method in METHODS}
TWO_PROCESSES = {method: f'two processes, {method}' for method in METHODS}
PAIRS = {TWO: ONE, TWO_THREADS: ONE_THREAD,
         **{TWO_PROCESSES[method]: ONE_PROCESS[method] for method in METHODS}}
CONTENDERS = [label for two, one in PAIRS.items() for label in (one, two)]
ONE_PROCESSOR = 'needs two processors'


def process(method):
    context = multiprocessing.get_context(method)
    pipe, other = context.Pipe()
    child = context.Process(target=far_ends.serve, args=(other.recv, other.send, arrays.loop),
                            daemon=True)
    child.start()
    other.close()               # so that one that fails closes its pipe
    return Worker(pipe.send, pipe.recv, child.join)


def passes_per_ms(workers, processors, passes, expected):
    start = time.perf_counter_ns()
    for worker, processor in zip(workers, processors):
        worker.give((processor, passes))
    results = [worker.take() for worker in workers]
    duration = time.perf_counter_ns() - start
    for result in results:
        # Each numpy may add in another order, as its arrays lie elsewhere.
        if not math.isclose(result, expected):
            raise AssertionError(f'the result is {result}, not {expected}')
    return len(workers) * passes / duration * 1e6


def samples(passes, turns):
    """Return {contender: samples}."""
    try:
        import numpy            # noqa: F401
    except ImportError:
        return dict.fromkeys(CONTENDERS, NO_NUMPY)
    processors = sorted(os.sched_getaffinity(0))[:2]
    if len(processors) < 2:
        return dict.fromkeys(CONTENDERS, ONE_PROCESSOR)
    pairs = {(TWO, ONE): [interpreter(arrays.loop) for _ in range(2)],
             (TWO_THREADS, ONE_THREAD): [thread(arrays.loop) for _ in range(2)],
             **{(TWO_PROCESSES[method], ONE_PROCESS[method]): [process(method) for _ in range(2)]
                for method in METHODS}}
    contenders = {label: workers[:n] for (two, one), workers in pairs.items()
                  for label, n in ((one, 1), (two, 2))}
    of_main, _ = pairs[TWO_THREADS, ONE_THREAD]
    of_main.give((processors[0], passes))
    expected = of_main.take()
    found = {name: [] for name in contenders}
    order = list(contenders)
    for turn in range(-1, turns):
        for name in order:
            speed = passes_per_ms(contenders[name], processors, passes, expected)
            if turn >= 0:
                found[name].append(speed)
        order.reverse()
    for workers in pairs.values():
        for worker in workers:
            worker.close()
    return found


def main(passes, turns):
    print(json.dumps([samples(int(passes), int(turns))]))


if __name__ == '__main__':
    processes.leave_if_it_fails(main, *sys.argv[1:])
