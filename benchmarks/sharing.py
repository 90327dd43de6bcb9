"""What memory that is shared or moved between interpreters costs, and what it brings.

    python sharing.py [--rounds R] [--quick] [--only NAME,...] [--output FILE]

handle      send.send(x); recv.recv() by one thread, with a channel without a limit.  x is
            what share() or move() makes of an object, or a memoryview
round_trip  the same objects sent to another interpreter and back, each way through a
            channel without a limit.  A moved object is moved back
sum         one interpreter sums the doubles of a SharedBlock in Python, or two do, each half
            of it: what two are worth if Python is the limit
read        the same for reading the block piece by piece in C: the limit is the memory
lock        acquiring and releasing a lock that nobody else wants

handle and round_trip are measured with 1 KiB and 1 GiB; the constant time of a
handle shows in the ratio of these.  Each round has a fresh process, in which all
contenders of a measurement take turns, 3 or 5 times; a sample is the mean of a
turn, and what counts in a round is the median of its samples.  measure/handles.py,
measure/sums.py and measure/locks.py have the details.

Peers in handle are a message with a copy of the bytearray, and pickle without a
channel; in round_trip a message with a copy, the bytearray pickled and sent to
another process through a Pipe, and back the same way, and the shared_memory of
multiprocessing: the name of a block goes to another process, which attaches the
block, closes it and answers.  A new block is created before and unlinked after
that; nothing is written to it.

In sum and read the speed of one is that of the whole memory, alone.  Two
processes, each with memory of its own, show what two processors of this machine
are worth, and two threads what the GIL leaves of them.

Arrays of numpy take part where numpy can be imported, as in the environment of
`make test`.  In round_trip they are arrays in the other interpreter, too, which has
imported a numpy of its own before the clock starts.

Prints the median of the rounds with their range, and ratios taken round by
round.  All samples go to FILE, by default benchmarks/results/sharing.json, in
the form that measure/report.py describes; plot.py draws it.
"""

from pathlib import Path

from measure import command, groups, handles, locks, report, sums
from measure.catalogue import Measurement
from measure.groups import Group, Pairs, contenders

RESULTS = Path(__file__).resolve().parent / 'results' / 'sharing.json'
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = {'small': ('1 KiB', KIB, KIB), 'large': ('1 GiB (--quick: 1 MiB)', GIB, MIB)}


class Handles(Group):
    def tables(self, found):
        small, large = found
        for measurement, outcomes in zip(self.measurements, found):
            first, *_ = measurement.ours
            columns = {f'it / {first.label}': {peer: (outcomes[peer], outcomes[first])
                                               for peer in measurement.peers}}
            if outcomes is large:
                columns['1 GiB / 1 KiB'] = {contender: (large[contender], small[contender])
                                            for contender in large}
            yield report.ratio_table(measurement, outcomes, columns)


def _handles(mode, labels, title):
    n_ours = len(handles.OURS)
    return Handles('measure.handles', tuple(
        Measurement(f'{mode}_{name}', f'{title}, {size_title}', 'us', mode,
                    {'size': size, 'turns': 3, 'ms': 20},
                    {'size': quick_size, 'turns': 2, 'ms': 1},
                    contenders(labels[:n_ours]), contenders(labels[n_ours:]))
        for name, (size_title, size, quick_size) in SIZES.items()), (mode,))


def _sums(name, mode, labels, title, size, quick_size, turns):
    return Pairs('measure.sums', (
        Measurement(name, title, 'GB/s', mode, {'size': size, 'turns': turns},
                    {'size': quick_size, 'turns': 2},
                    contenders(labels[:2]), contenders(labels[2:]), 'higher'),),
        (mode,), sums.PAIRS)


def _locks():
    ours, *peers = contenders(locks.CONTENDERS)
    return Group('measure.locks', tuple(
        Measurement(name, f'A lock that nobody else wants: {statement}', 'ns', 'locks',
                    {'turns': 5, 'count': 200_000}, {'turns': 2, 'count': 1000},
                    (ours,), tuple(peers))
        for name, statement in (('lock_calls', locks.CALLS), ('lock_with', locks.WITH))))


GROUPS = {
    'handle': _handles('here', handles.HERE, 'Sent and received by one thread'),
    'round_trip': _handles('round_trip', handles.ROUND_TRIP,
                           'To another interpreter or process and back'),
    'sum': _sums('sum', 'add', sums.ADD, 'sum() over 8 MiB of doubles', 8 * MIB, 8 * MIB, 5),
    'read': _sums('read', 'read', sums.READ, 'Reading 1 GiB (--quick: 8 MiB) piece by piece',
                  GIB, 8 * MIB, 5),
    'lock': _locks(),
}


def main():
    parser = command.parser(__doc__, RESULTS, 'less memory, and few times, to see that all works',
                            'only these: ' + ', '.join(GROUPS))
    args = command.parse(parser, GROUPS, 'measurement')
    return command.show(args, {}, groups.measured(GROUPS, args))


if __name__ == '__main__':
    command.run(main)
