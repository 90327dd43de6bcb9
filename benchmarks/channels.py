"""What moving messages costs: channels and queues, and what others have for it.

    python channels.py [--rounds R] [--quick] [--only NAME,...] [--output FILE]

Measures, between interpreters unless it says otherwise:

hot                 a round trip of a small int, one after the other
parked              the same when both ends have slept in the kernel and must be woken
parked_peer         the same when the end that answers has slept
..._apart           the same with each end kept on a processor of its own
..._together        the same with both ends kept on one processor
one_way_...         small ints from 1 or 4 senders to 1 or 4 receivers
scaling_...         the sum over 32 pairs of interpreters, and over a single pair
blocked...          the CPU time of waiting for two seconds, of the thread and of its process
memory_...          what channels and the messages in them occupy
threads_...         round trips and one way between two threads of one interpreter

The contenders of a measurement take turns for R rounds; each sample set comes
from a fresh process.  Peers are threads and processes of this python, the
interpreters of the stock library (if `make VARIANT=stock` was run), and
programs in C, JavaScript, Ruby, Erlang and Go, where these are installed.

Prints the median of the rounds' medians with their range, the 99th percentile
of all samples where a process takes many (of means of batches in `hot`, of
single round trips in `parked`), and the ratio of each of ours to each peer,
taken round by round.  All samples go to FILE, by default
benchmarks/results/channels.json; measure/report.py describes it.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from measure import report, runner
from measure.catalogue import MEASUREMENTS
from measure.programs import Programs

RESULTS = Path(__file__).resolve().parent / 'results' / 'channels.json'


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--rounds', type=int, help='default: 5, or 1 with --quick')
    parser.add_argument('--quick', action='store_true',
                        help='few messages, to see that all works; the figures mean little')
    parser.add_argument('--only', metavar='NAME,...', help='only these measurements')
    parser.add_argument('--output', type=Path, default=RESULTS, metavar='FILE')
    parser.add_argument('--stock', metavar='PYTHON', help='the stock python of the same release')
    parser.add_argument('--timeout', type=float, default=300, metavar='SECONDS',
                        help='for each process (default: 300)')
    parser.add_argument('--list', action='store_true', help='print the names and titles')
    args = parser.parse_args()
    args.rounds = args.rounds if args.rounds is not None else 1 if args.quick else 5
    if args.rounds < 1:
        parser.error('--rounds must be at least 1')
    names = args.only.split(',') if args.only else list(MEASUREMENTS)
    for name in names:
        if name not in MEASUREMENTS:
            parser.error(f'there is no measurement {name!r}; --list shows them')
    args.measurements = [MEASUREMENTS[name] for name in dict.fromkeys(names)]
    return args


def show_progress(text):
    """Show what runs now, on a terminal."""
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


def main():
    args = parse_args()
    if args.list:
        for measurement in MEASUREMENTS.values():
            print(f'{measurement.name:<24} {measurement.title}')
        return 0
    failed = False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))    # the child goes too
    with tempfile.TemporaryDirectory() as folder:
        programs = Programs(folder, args.stock)
        content = report.document(programs, {'rounds': args.rounds, 'quick': args.quick})
        for measurement in args.measurements:
            outcomes = runner.measure(measurement, programs, args.rounds, args.quick,
                                      args.timeout, show_progress)
            print(*report.table(measurement, outcomes), '', sep='\n', flush=True)
            content['measurements'][measurement.name] = report.measurement_object(
                measurement, outcomes, args.quick)
            report.write(args.output, content)
            failed |= any(outcome.status == runner.FAILED for outcome in outcomes.values())
    return 1 if failed else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('interrupted; the measurements above are in the file')
