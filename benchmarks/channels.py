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

import tempfile
from pathlib import Path

from measure import command, report, runner
from measure.catalogue import MEASUREMENTS
from measure.programs import Programs

RESULTS = Path(__file__).resolve().parent / 'results' / 'channels.json'


def parse_args():
    parser = command.parser(
        __doc__, RESULTS, 'few messages, to see that all works; the figures mean little',
        'only these measurements')
    parser.add_argument('--stock', metavar='PYTHON', help='the stock python of the same release')
    parser.add_argument('--list', action='store_true', help='print the names and titles')
    return command.parse(parser, MEASUREMENTS, 'measurement', '--list')


def measured(args, programs):
    for name in args.names:
        measurement = MEASUREMENTS[name]
        outcomes = runner.measure(measurement, programs, args.rounds, args.quick, args.timeout,
                                  command.show_progress)
        yield measurement, outcomes, report.table(measurement, outcomes)


def main():
    args = parse_args()
    if args.list:
        for measurement in MEASUREMENTS.values():
            print(f'{measurement.name:<24} {measurement.title}')
        return 0
    with tempfile.TemporaryDirectory() as folder:
        programs = Programs(folder, args.stock)
        return command.show(args, programs.versions(), measured(args, programs))


if __name__ == '__main__':
    command.run(main)
