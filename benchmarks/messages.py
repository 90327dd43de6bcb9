"""What copying an object through a message costs, and what others take for it.

    python messages.py [--rounds R] [--quick] [--only NAME,...] [--output FILE]

The contenders make a copy of the same object in one process and interpreter:

message     send.send(obj); recv.recv() with a channel without a limit: encoding,
            decoding and a channel that nobody else uses
pickle      pickle.loads(pickle.dumps(obj, 5))
marshal     marshal.loads(marshal.dumps(obj)), if it can
deepcopy    copy.deepcopy(obj), which shares what cannot change: for information
build       the Python code that built the object, run again: what the copy costs a
            receiver that makes it instead (for the syntax tree, by parsing)

measure/objects.py has the objects.  For each object and round there is a
fresh process, so that the layout of memory varies.  In it each copy is first
compared with the object.  Then the contenders take turns, 5 times; in its turn
each makes copies for about 20 ms, at least one.  A sample is the mean of a
turn, and what counts in a round is the median of its samples.  Each copy is
freed before the next is made, which is part of the time.

The garbage collector is enabled, as it is in the programs that receive messages:
how often it runs, and what it finds to visit, depends on how a contender makes
its objects.  It collects, outside the time, before each turn, so that none pays
for what another left.

Memory is measured in processes of their own: by how much more the process holds
for each message that nobody receives, against the length of the object's pickle.

Prints the median of the rounds with their range, and ratios taken round by
round.  All samples go to FILE, by default benchmarks/results/messages.json, in
the form that measure/report.py describes; plot.py draws it.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

from measure import copies, figures, processes, report, runner
from measure.catalogue import Contender, Measurement
from measure.objects import OBJECTS
from measure.programs import BENCHMARKS

RESULTS = BENCHMARKS / 'results' / 'messages.json'
CONTENDERS = {label: Contender(label, 'python', label) for label in copies.CONTENDERS}
OURS, *PEERS = CONTENDERS.values()


def measurements(name):
    """The two Measurements of an object: of time and of memory."""
    kind = OBJECTS[name]
    size = {'size': kind.size}
    quick_size = {'size': kind.quick_size or kind.size}
    yield Measurement(name, kind.title, 'us', 'times', size | {'turns': 5, 'ms': 20},
                      quick_size | {'turns': 2, 'ms': 1}, (OURS,), tuple(PEERS))
    yield Measurement(f'{name}_memory', f'{kind.title}, waiting in a channel or pickled', 'bytes',
                      'memory', size | {'bytes': 20_000_000}, quick_size | {'bytes': 2_000_000},
                      (OURS,), (CONTENDERS[copies.PICKLE],))


def measure(measurement, name, rounds, quick, timeout, progress):
    """Return {contender: runner.Outcome}; all of them ran in one process a round."""
    outcomes = {contender: runner.Outcome() for contender in measurement.contenders}
    numbers = measurement.numbers | (measurement.quick if quick else {})
    command = [sys.executable, '-P', '-m', 'measure.copies', measurement.mode, name,
               *map(str, numbers.values())]
    environment = {**os.environ, 'PYTHONPATH': str(BENCHMARKS)}
    for number in range(rounds):
        progress(f'{measurement.name}, round {number + 1} of {rounds}')
        try:
            found = json.loads(processes.run(command, timeout, environment))
        except processes.Failed as exc:
            for outcome in outcomes.values():
                outcome.give_up(runner.FAILED, exc)
            break
        for contender, outcome in outcomes.items():
            samples = found[contender.label]
            if isinstance(samples, str):
                outcome.give_up(runner.NOT_AVAILABLE, samples)
            else:
                outcome.rounds.append(samples)
    progress('')
    return outcomes


def time_table(measurement, outcomes):
    """Return the lines of a table of times: report.table() with the ratios the other way round.

    Above 1, `it / message` says that the message is faster.  The message is
    divided by what building costs, which is the floor, if only a rough one.
    """
    rows = ['', 'median (range)', 'it / message', 'message / it'],
    ours = outcomes[OURS]
    for contender, outcome in outcomes.items():
        if outcome.status != runner.MEASURED:
            rows += [contender.label, f'{outcome.status}: {outcome.reason}', '', ''],
            continue
        result = figures.summary(outcome.rounds)
        single = len(outcome.rounds) == 1
        above, below = '', ''
        if contender is CONTENDERS[copies.BUILD]:
            below = report.spread(*figures.ratios(ours.rounds, outcome.rounds), 'x', single)
        elif contender is not OURS:
            above = report.spread(*figures.ratios(outcome.rounds, ours.rounds), 'x', single)
        rows += [contender.label, report.spread(result.median, result.low, result.high,
                                                single=single), above, below],
    return [f'{measurement.title}: {measurement.unit}, {measurement.better} is better',
            *('{:<10}{:<36}{:<26}{}'.format(*row).rstrip() for row in rows)]


TABLES = {'times': time_table, 'memory': report.table}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--rounds', type=int, help='default: 5, or 1 with --quick')
    parser.add_argument('--quick', action='store_true',
                        help='few copies, and 1 MB for 100, to see that all works')
    parser.add_argument('--only', metavar='NAME,...', help='only these objects: '
                        + ', '.join(OBJECTS))
    parser.add_argument('--output', type=Path, default=RESULTS, metavar='FILE')
    parser.add_argument('--timeout', type=float, default=300, metavar='SECONDS',
                        help='for each process (default: 300)')
    args = parser.parse_args()
    args.rounds = args.rounds if args.rounds is not None else 1 if args.quick else 5
    if args.rounds < 1:
        parser.error('--rounds must be at least 1')
    args.names = list(dict.fromkeys(args.only.split(',') if args.only else OBJECTS))
    for name in args.names:
        if name not in OBJECTS:
            parser.error(f'there is no object {name!r}; --help shows them')
    return args


def show_progress(text):
    """Show what runs now, on a terminal."""
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


def main():
    args = parse_args()
    failed = False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))    # the child goes too
    no_tools = SimpleNamespace(versions=dict)
    content = report.document(no_tools, {'rounds': args.rounds, 'quick': args.quick})
    for name in args.names:
        for measurement in measurements(name):
            outcomes = measure(measurement, name, args.rounds, args.quick, args.timeout,
                               show_progress)
            print(*TABLES[measurement.mode](measurement, outcomes), '', sep='\n', flush=True)
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
