"""Wait for the first results of two workers that need numpy, and print the samples.

    python -P -m measure.new_workers turns TURNS
    python -P -m measure.new_workers once CONTENDER

once: milliseconds from nothing to the first result, and to the first of the
slower worker, in this process, which has imported nothing for it before.
Importing what makes the workers is part of the time, as are creating them,
importing numpy in each, and one sum, which is checked.  Ending them is not.

turns: these of a fresh process for each of CONTENDERS, TURNS samples each.
They take turns, every other time in the opposite order, after one that does not
count: it compiles modules and brings their files into memory.  Prints what
runner.measure_together() reads.

interpreters: two that interpreters.create() makes, given work with submit()
...main has numpy: the main interpreter has imported numpy before the clock starts
processes: ProcessPoolExecutor(2) with spawn or a forkserver, which is started, too
...preloaded: the forkserver imports numpy, by set_forkserver_preload()
"""

import os
import sys
import time
from functools import partial

from . import arrays

COLD, WARM = OURS = 'two interpreters', 'two interpreters, main has numpy'
SPAWN, FORKSERVER, PRELOADED = ('processes, spawn', 'processes, forkserver',
                                'processes, forkserver with numpy preloaded')
CONTENDERS = *OURS, SPAWN, FORKSERVER, PRELOADED


def in_interpreters():
    """Yield, for each worker, a function that submits work to it; they are created in between."""
    import interpreters
    for number in range(2):
        yield partial(interpreters.create().submit, arrays.first_sum, number)


def in_processes(method, preload=()):
    """The same for a pool, which chooses the worker."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    context = multiprocessing.get_context(method)
    if preload:
        context.set_forkserver_preload(list(preload))
    pool = ProcessPoolExecutor(2, context)
    for _ in range(2):
        yield partial(pool.submit, arrays.first_sum, 0)


WORKERS = {COLD: in_interpreters, WARM: in_interpreters, SPAWN: partial(in_processes, 'spawn'),
           FORKSERVER: partial(in_processes, 'forkserver'),
           PRELOADED: partial(in_processes, 'forkserver', ['numpy'])}


def once(contender):
    """Return the milliseconds until the first result, and until each worker gave one."""
    if contender == WARM:
        import numpy            # noqa: F401
    start = time.perf_counter_ns()
    submits = {submit(): submit for submit in WORKERS[contender]()}
    from concurrent.futures import FIRST_COMPLETED, wait
    seen = {}
    while len(seen) < 2:
        done, _ = wait(submits, return_when=FIRST_COMPLETED)
        for future in done:
            *worker, result = future.result()
            if result != arrays.EXPECTED:
                raise AssertionError(f'the sum is {result}, not {arrays.EXPECTED}')
            seen.setdefault(tuple(worker), (time.perf_counter_ns() - start) / 1e6)
            submit = submits.pop(future)
            if len(seen) < 2 and not submits:
                submits[submit()] = submit      # the same process of a pool was faster twice
    return sorted(seen.values())


def samples(turns):
    """Return {contender: samples} for the first result, and for that of the slower worker."""
    import json
    import subprocess
    from .sums import NO_NUMPY
    try:
        import numpy            # noqa: F401
    except ImportError:
        return [dict.fromkeys(CONTENDERS, NO_NUMPY)] * 2
    found = [{name: [] for name in CONTENDERS} for _ in range(2)]
    order = list(CONTENDERS)
    for turn in range(-1, turns):
        for name in order:
            done = subprocess.run([sys.executable, '-P', '-m', __spec__.name, 'once', name],
                                  stdout=subprocess.PIPE, check=True)
            if turn >= 0:
                for kind, sample in zip(found, json.loads(done.stdout)):
                    kind[name].append(sample)
        order.reverse()
    return found


def main(mode, argument):
    function = {'once': once, 'turns': lambda turns: samples(int(turns))}[mode]
    result = function(argument)
    import json                 # not earlier
    print(json.dumps(result))


if __name__ == '__main__':
    main(*sys.argv[1:])
