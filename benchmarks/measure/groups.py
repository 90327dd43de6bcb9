"""Measurements that one program makes in one process, for sharing.py and extensions.py."""

from dataclasses import dataclass, field

from . import command, report, runner
from .catalogue import Contender


def contenders(labels):
    return tuple(Contender(label, 'python', label) for label in labels)


@dataclass(frozen=True)
class Group:
    """Measurements that one program makes in one process."""

    program: str                # a module of ours
    measurements: tuple
    leading: tuple = ()         # arguments of the program before its numbers

    def arguments(self, quick):
        """The program and its arguments: the numbers of the measurements, each once."""
        numbers = {}
        for measurement in self.measurements:
            for name, value in (measurement.numbers | (measurement.quick if quick else {})).items():
                numbers.setdefault(name, []).append(value)
        values = [value for found in numbers.values() for value in dict.fromkeys(found)]
        return [self.program, *self.leading, *map(str, values)]

    def tables(self, found):
        """The lines of the table of each measurement; found are their outcomes."""
        for measurement, outcomes in zip(self.measurements, found):
            first, *_ = measurement.ours
            yield report.ratio_table(measurement, outcomes, {
                f'{first.label} / it': {peer: (outcomes[first], outcomes[peer])
                                        for peer in measurement.peers}})


@dataclass(frozen=True)
class Pairs(Group):
    """One measurement of some things alone, and two at a time."""

    one_of: dict = field(default_factory=dict)      # {label of two: label of one}

    def tables(self, found):
        measurement, = self.measurements
        outcomes, = found
        by_label = {contender.label: contender for contender in outcomes}
        pairs = {by_label[two]: (outcomes[by_label[two]], outcomes[by_label[one]])
                 for two, one in self.one_of.items() if two in by_label}
        yield report.ratio_table(measurement, outcomes, {'two / one': pairs})


def measured(groups, args):
    """What command.show() shows, of the groups that are asked for."""
    for name in args.names:
        group = groups[name]
        found = runner.measure_together(group.measurements, group.arguments(args.quick),
                                        args.rounds, args.timeout, command.show_progress)
        yield from zip(group.measurements, found, group.tables(found))
