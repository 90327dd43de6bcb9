"""Take and release locks that nobody else wants, and print the samples.

    python -P -m measure.locks TURNS COUNT

ns for each time, the mean of COUNT times, with acquire() and release(), and
then in a with statement.  The loop is unrolled 10 times, so that it hardly
counts.  There are TURNS samples for each of CONTENDERS.  They take turns, every
other time in the opposite order, after one that does not count.  Prints what
runner.measure_together() reads, for the two ways.
"""

import json
import sys
import threading
import time
from itertools import repeat

OURS, THREADING, PROCESSES = CONTENDERS = (
    'interpreters.Lock', 'threading.Lock', 'multiprocessing.Lock')
UNROLLED = 10
CALLS = 'lock.acquire(); lock.release()'
WITH = 'with lock: pass'


def compiled(statement):
    """A function of (lock, count) that runs the statement count * UNROLLED times."""
    lines = ['def loop(lock, count):', ' for _ in repeat(None, count):',
             *[f'  {statement}'] * UNROLLED]
    namespace = {'repeat': repeat}
    exec('\n'.join(lines), namespace)
    return namespace['loop']


def make_locks():
    """{contender: lock, or why there is none}."""
    import interpreters
    import multiprocessing
    return {
        OURS: interpreters.Lock() if hasattr(interpreters, 'Lock')
        else 'interpreters has no Lock',
        THREADING: threading.Lock(),
        PROCESSES: multiprocessing.Lock(),
    }


def samples(statement, turns, count):
    """Return {contender: samples}."""
    loop = compiled(statement)
    found = make_locks()
    locks = {name: lock for name, lock in found.items() if not isinstance(lock, str)}
    found |= {name: [] for name in locks}
    count = max(1, count // UNROLLED)
    order = list(locks)
    for turn in range(-1, turns):
        for name in order:
            start = time.perf_counter_ns()
            loop(locks[name], count)
            duration = time.perf_counter_ns() - start
            if turn >= 0:
                found[name].append(duration / count / UNROLLED)
        order.reverse()
    return found


def main(turns, count):
    print(json.dumps([samples(statement, int(turns), int(count)) for statement in (CALLS, WITH)]))


if __name__ == '__main__':
    main(*sys.argv[1:])
