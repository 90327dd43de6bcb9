"""What creating and closing an interpreter costs, in time and in lost memory.

    python create_close.py [--rounds R] [--cycles C]

Ours and, as the peer, the low-level module of the stock library do the same
number of cycles in processes of their own, in turn, for R rounds.  Prints the
median and range of milliseconds and of megabytes of resident memory for each
cycle.
"""

import argparse
import statistics
import subprocess
import sys

CYCLES = {
    'interpreters': 'import interpreters\ndef cycle(): interpreters.create().close()',
    '_interpreters': 'import _interpreters\n'
                     'def cycle(): _interpreters.destroy(_interpreters.create())',
}

MEASURE = '''
import os, time

def resident():
    with open('/proc/self/statm') as f:
        return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6

for _ in range(5):
    cycle()
memory, start = resident(), time.perf_counter()
for _ in range({cycles}):
    cycle()
seconds = time.perf_counter() - start
print(seconds / {cycles} * 1e3, (resident() - memory) / {cycles})
'''


def measure(program, cycles):
    """Return (milliseconds, megabytes) for each cycle."""
    done = subprocess.run([sys.executable, '-c', program + MEASURE.format(cycles=cycles)],
                          text=True, capture_output=True, check=True)
    return tuple(map(float, done.stdout.split()))


def spread(values):
    return f'{statistics.median(values):6.2f} ({min(values):.2f} to {max(values):.2f})'


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--cycles', type=int, default=40)
    args = parser.parse_args()
    results = {name: [] for name in CYCLES}
    for _ in range(args.rounds):
        for name, program in CYCLES.items():
            results[name].append(measure(program, args.cycles))
    print(f'{"create and close":<16} {"ms":<24} MB lost')
    for name, pairs in results.items():
        times, memory = zip(*pairs)
        print(f'{name:<16} {spread(times):<24} {spread(memory)}')


if __name__ == '__main__':
    main()
