"""What extension modules in interpreters bring and cost: numpy and pandas.

    python extensions.py [--rounds R] [--quick] [--only NAME,...] [--output FILE]

loop    small arrays of numpy, in one interpreter or in two, each with a GIL of its own.  Peers
        are two threads of one interpreter, and two processes
first   from nothing to the first results of two workers that need numpy.  Peers are pools of
        processes, started with spawn or by a forkserver
import  the time and the private memory that numpy, or pandas with its numpy, takes in an
        interpreter when the main one has it already.  The peer is a process
unused  what programs in the main interpreter pay for all this.  The peer is stock's python

Each round has a fresh process, in which all contenders of a measurement take
turns; what counts in a round is the median of its samples.  In loop they are
kept on one processor each.  first, import and unused run each contender in a
process of its own, in its turn.  measure/small_arrays.py,
measure/new_workers.py, measure/imports.py and measure/unused.py have the details.

OpenBLAS has one thread only.  Needs numpy and pandas, as in the environment of
`make test`; unused needs `make VARIANT=stock`, with the same flags as this python,
and valgrind to count instructions.

Prints the median of the rounds with their range, and ratios taken round by
round.  All samples go to FILE, by default benchmarks/results/extensions.json, in
the form that measure/report.py describes; plot.py draws it.
"""

import os
from pathlib import Path

from measure import command, groups, imports, new_workers, report, small_arrays, unused
from measure.catalogue import Measurement
from measure.groups import Group, Pairs, contenders

RESULTS = Path(__file__).resolve().parent / 'results' / 'extensions.json'
TURNS, QUICK_TURNS = {'turns': 3}, {'turns': 1}


class ToOurs(Group):
    """Ratios of each peer to each of ours."""

    def tables(self, found):
        for measurement, outcomes in zip(self.measurements, found):
            yield report.ratio_table(measurement, outcomes, {
                f'it / {ours.label}': {peer: (outcomes[peer], outcomes[ours])
                                       for peer in measurement.peers}
                for ours in measurement.ours})


class ToStock(Group):
    """How much more each program takes than with stock's python."""

    def tables(self, found):
        for measurement, outcomes in zip(self.measurements, found):
            yield report.difference_table(measurement, outcomes, 'more than stock', {
                ours: (outcomes[ours], outcomes[stock])
                for ours, stock in zip(measurement.ours, measurement.peers)})


def _loop():
    first, second, *peers = contenders(small_arrays.CONTENDERS)
    return Pairs('measure.small_arrays', (
        Measurement('loop', 'Small arrays of numpy, passes', '1,000/s', 'loop',
                    {'passes': 1000, 'turns': 5}, {'passes': 20, 'turns': 2},
                    (first, second), tuple(peers), 'higher'),), one_of=small_arrays.PAIRS)


def _first():
    n_ours = len(new_workers.OURS)
    ours, peers = (contenders(labels) for labels in (new_workers.CONTENDERS[:n_ours],
                                                     new_workers.CONTENDERS[n_ours:]))
    return ToOurs('measure.new_workers', tuple(
        Measurement(name, f'From nothing to {what} two workers with numpy', 'ms', 'turns',
                    TURNS, QUICK_TURNS, ours, peers)
        for name, what in (('first', 'the first result of'), ('both', 'a result of each of'))),
        ('turns',))


def _import():
    *ours, peer = contenders(imports.CONTENDERS)
    return Group('measure.imports', tuple(
        Measurement(f'import_{package}_{name}', f'import {package} once more, {what}', unit,
                    'turns', TURNS, QUICK_TURNS, tuple(ours), (peer,))
        for package in imports.PACKAGES
        for name, what, unit in (('time', 'time', 'ms'), ('memory', 'private memory', 'MB'))),
        ('turns',))


def _unused():
    ours, stock = contenders(unused.OURS), contenders(unused.STOCK.values())
    return ToStock('measure.unused', tuple(
        Measurement(f'unused_{name}', f'{title} of a program in the main interpreter', unit,
                    'unused', {'turns': 1}, {}, ours, stock)
        for name, title, unit in (
            ('instructions', 'Instructions', 'millions'), ('mappings', 'Mappings', 'lines'),
            ('threads', 'Threads', 'threads'), ('modules', 'sys.modules', 'modules'))))


GROUPS = {'loop': _loop(), 'first': _first(), 'import': _import(), 'unused': _unused()}


def main():
    parser = command.parser(__doc__, RESULTS, 'few times, to see that all works',
                            'only these: ' + ', '.join(GROUPS))
    args = command.parse(parser, GROUPS, 'measurement')
    # Before the processes start that import numpy.
    os.environ['OPENBLAS_NUM_THREADS'] = '1'
    return command.show(args, {}, groups.measured(GROUPS, args))


if __name__ == '__main__':
    command.run(main)
