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

from pathlib import Path

from measure import command, copies, report, runner
from measure.catalogue import Contender, Measurement
from measure.objects import OBJECTS

RESULTS = Path(__file__).resolve().parent / 'results' / 'messages.json'
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
    numbers = measurement.numbers | (measurement.quick if quick else {})
    outcomes, = runner.measure_together(
        [measurement], ['measure.copies', measurement.mode, name, *map(str, numbers.values())],
        rounds, timeout, progress)
    return outcomes


def time_table(measurement, outcomes):
    """Return the lines of a table of times: report.table() with the ratios the other way round.

    Above 1, `it / message` says that the message is faster.  The message is
    divided by what building costs, which is the floor, if only a rough one.
    """
    ours, floor = outcomes[OURS], CONTENDERS[copies.BUILD]
    return report.ratio_table(measurement, outcomes, {
        'it / message': {peer: (outcomes[peer], ours) for peer in PEERS if peer != floor},
        'message / it': {floor: (ours, outcomes[floor])},
    })


TABLES = {'times': time_table, 'memory': report.table}


def measured(args):
    for name in args.names:
        for measurement in measurements(name):
            outcomes = measure(measurement, name, args.rounds, args.quick, args.timeout,
                               command.show_progress)
            yield measurement, outcomes, TABLES[measurement.mode](measurement, outcomes)


def main():
    parser = command.parser(
        __doc__, RESULTS, 'few copies, and 1 MB for 100, to see that all works',
        'only these objects: ' + ', '.join(OBJECTS))
    args = command.parse(parser, OBJECTS, 'object')
    return command.show(args, {}, measured(args))


if __name__ == '__main__':
    command.run(main)
