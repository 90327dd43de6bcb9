"""Let several interpreters work on one numpy array, in place and at the same time.

    python shared_array.py [-n INTERPRETERS] [--rows ROWS] [--steps STEPS]

Each row of the array is a string that was plucked, at both ends of which it is
held.  Every interpreter has a GIL and a numpy of its own, and a part of the rows;
the memory is that of the one array, so nothing is sent back.  The operations are on
single rows, as short ones leave threads little time without the GIL.

The same is timed with one interpreter, with INTERPRETERS of them, and with as many
threads, and every result is checked against the main interpreter's own.
"""

import argparse
import sys
import threading
import time

import interpreters

try:
    import numpy
except ImportError:
    sys.exit('numpy is not installed: python -m pip install numpy')

COLUMNS = 500


def vibrate(rows, steps):
    """Move each row by a wave equation, in place.  Runs in the workers."""
    import numpy
    for row in rows:
        before, now = row.copy(), row.copy()
        for _ in range(steps):
            after = 2 * now - before
            after[1:-1] += 0.25 * (now[2:] - 2 * now[1:-1] + now[:-2])
            after[0] = after[-1] = 0
            before, now = now, after
        numpy.copyto(row, now)


def pluck(rows):
    """An array of strings, each plucked at another place."""
    x = numpy.linspace(0, 1, COLUMNS)
    at = numpy.linspace(0.1, 0.9, rows)[:, numpy.newaxis]
    return numpy.minimum(x / at, (1 - x) / (1 - at))


def parts(array, n):
    size = -(-len(array) // n)
    return [array[start:start + size] for start in range(0, len(array), size)]


def in_interpreters(array, steps, workers):
    futures = [worker.submit(vibrate, interpreters.share(part), steps)
               for worker, part in zip(workers, parts(array, len(workers)))]
    for future in futures:
        future.result()


def in_threads(array, steps, n):
    threads = [threading.Thread(target=vibrate, args=(part, steps)) for part in parts(array, n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0], allow_abbrev=False)
    parser.add_argument('-n', type=int, default=2, metavar='INTERPRETERS')
    parser.add_argument('--rows', type=int, default=200)
    parser.add_argument('--steps', type=int, default=300)
    args = parser.parse_args()
    if args.n < 1 or args.rows < 1 or args.steps < 0:
        parser.error('-n and --rows must be at least 1, and --steps at least 0')

    expected = pluck(args.rows)
    vibrate(expected, args.steps)

    workers = [interpreters.create() for _ in range(args.n)]
    for worker in workers:
        worker.call(vibrate, pluck(1), 1)       # imports numpy
    for what, function, doers in [
            ('1 interpreter', in_interpreters, workers[:1]),
            (f'{args.n} interpreters', in_interpreters, workers),
            (f'{args.n} threads', in_threads, args.n)]:
        array = pluck(args.rows)
        start = time.perf_counter()
        function(array, args.steps, doers)
        seconds = time.perf_counter() - start
        if not numpy.array_equal(array, expected):
            sys.exit(f'{what}: the array is not what numpy makes of it alone')
        print(f'{what:<16} {seconds:7.2f} s')
    for worker in workers:
        worker.close()
    print('each time the very array that one thread makes')


if __name__ == '__main__':
    main()
