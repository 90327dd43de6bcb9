"""Index every identifier in a source tree, with all cores, in one process.

    python index_identifiers.py [TREE] [-n INTERPRETERS] [--rounds R]

TREE is a folder; without it, the standard library of the running python is
indexed.  Every .py, .c and .h file below it is read into memory once.  The
files then go by handle, not by copy, over one channel to the workers, each in
an interpreter with a GIL of its own; every worker builds an index of what it
was given and sends it back, and the indexes are merged.

The same work is timed with one worker and with INTERPRETERS of them, in turn,
for R rounds, and the merged index is checked against a plain loop.
"""

import argparse
import os
import statistics
import sys
import sysconfig
import time
from pathlib import Path

import interpreters

# An index maps a name (bytes) to [file, count, file, count, ...], where a file
# is a number and the count says how often the name occurs in it.


def build_index(files):
    """Index an iterable of (number, text); text supports the buffer protocol.

    Runs in the workers, so it brings what it needs.
    """
    import re
    from collections import Counter

    identifier = re.compile(rb'[A-Za-z_][A-Za-z0-9_]*')
    index = {}
    for number, text in files:
        for name, count in Counter(identifier.findall(text)).items():
            index.setdefault(name, []).extend((number, count))
    return index


def work(build_index, files, results):
    index = build_index(files)      # ends when the channel is closed
    results.send('indexed')
    results.send(index)


def merge(indexes):
    merged = indexes[0]
    for index in indexes[1:]:
        for name, places in index.items():
            if name in merged:
                merged[name] += places
            else:
                merged[name] = places
    return merged


def in_order(index):
    """The same index whoever built it: its places sorted by file."""
    return {name: sorted(zip(places[::2], places[1::2]))
            for name, places in index.items()}


def index_in_interpreters(texts, n, progress):
    """Return the merged index, and the seconds that the workers took.

    The time is that of the parallel part: from the first file handed out to
    the last worker having indexed its last one.
    """
    receiver, sender = interpreters.create_channel(2 * n)
    from_workers, results = interpreters.create_channel(None)
    workers = [interpreters.create(name=f'worker {i}') for i in range(n)]
    try:
        for worker in workers:
            worker.exec('import re, collections')
        calls = [worker.submit(work, build_index, receiver, results)
                 for worker in workers]
        receiver.close()            # the workers have ends of their own
        results.close()

        start = time.perf_counter()
        with sender:
            for done, (number, text) in enumerate(texts, 1):
                sender.send((number, memoryview(text)))
                progress(done, len(texts))
        indexes = []
        for message in from_workers:
            if message == 'indexed':
                elapsed = time.perf_counter() - start
            else:
                indexes.append(message)
        for call in calls:
            call.result()           # raises what went wrong in the worker
    finally:
        for worker in workers:
            worker.close()
    return merge(indexes), elapsed


# ---- reading and reporting ----

def read_tree(tree):
    """Return the file names and [(number, bytes)], the largest file first.

    Large files go first so that no worker is left with one at the end.
    """
    paths = sorted(path for path in tree.rglob('*')
                   if path.suffix in ('.py', '.c', '.h') and path.is_file())
    texts = [(number, path.read_bytes()) for number, path in enumerate(paths)]
    texts.sort(key=lambda item: len(item[1]), reverse=True)
    return [str(path.relative_to(tree)) for path in paths], texts


def bar(label):
    """Return progress(done, total), which draws a bar if stderr is a terminal."""
    shown = -1

    def progress(done, total):
        nonlocal shown
        percent = 100 * done // total
        if percent == shown or not sys.stderr.isatty():
            return
        shown = percent
        filled = '#' * (percent * 40 // 100)
        end = '\n' if done == total else ''
        print(f'\r{label:>16} [{filled:<40}] {percent:3}%', end=end,
              file=sys.stderr, flush=True)

    return progress


def spread(values, unit=''):
    return (f'{statistics.median(values):.2f}{unit} '
            f'({min(values):.2f} to {max(values):.2f})')


def parse_args():
    parser = argparse.ArgumentParser(
        description='Index every identifier in a source tree in parallel.')
    parser.add_argument('tree', nargs='?', type=Path,
                        default=Path(sysconfig.get_path('stdlib')))
    parser.add_argument('-n', type=int, default=os.process_cpu_count() or 1,
                        help='number of interpreters (default: of processors)')
    parser.add_argument('--rounds', type=int, default=5,
                        help='how often each is timed (default: 5)')
    args = parser.parse_args()
    if not args.tree.is_dir():
        parser.error(f'{args.tree} is not a folder')
    if args.n < 1 or args.rounds < 1:
        parser.error('-n and --rounds must be at least 1')
    return args


def main():
    args = parse_args()
    names, texts = read_tree(args.tree)
    if not texts:
        sys.exit(f'no .py, .c or .h files below {args.tree}')
    size = sum(len(text) for _, text in texts)
    print(f'{len(texts):,} files, {size / 1e6:.1f} MB of source')

    expected = in_order(build_index(texts))
    times = {1: [], args.n: []}
    ratios = []
    for _ in range(args.rounds):
        for n in times:
            plural = 's' if n > 1 else ''
            index, seconds = index_in_interpreters(
                texts, n, bar(f'{n} interpreter{plural}'))
            times[n].append(seconds)
            if in_order(index) != expected:
                sys.exit(f'the index of {n} interpreters is wrong')
        ratios.append(times[1][-1] / times[args.n][-1])

    print(f'{len(expected):,} different identifiers; the same index as that '
          f'of a plain loop\n')
    print(f'{"identifier":<20} {"occurrences":>11} {"files":>6}  most in')
    total = {name: sum(count for _, count in places)
             for name, places in expected.items()}
    for name in sorted(total, key=total.get, reverse=True)[:8]:
        places = expected[name]
        where, _ = max(places, key=lambda place: place[1])
        print(f'{name.decode():<20} {total[name]:>11,} {len(places):>6,}  '
              f'{names[where]}')

    print(f'\nparallel part, median (and range) of {args.rounds} rounds:')
    for n, seconds in times.items():
        print(f'  {n:>3} interpreter{"s" if n > 1 else " "}  '
              f'{spread(seconds, " s")}')
    print(f'  speed-up         {spread(ratios, "x")}')


if __name__ == '__main__':
    main()
