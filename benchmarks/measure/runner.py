"""Run measurements in rounds, each contender in turn, in processes of their own."""

import math
from dataclasses import dataclass, field

from . import processes
from .child import UNAVAILABLE
from .transports import Unavailable

MEASURED, NOT_AVAILABLE, FAILED = 'measured', 'not available', 'failed'


@dataclass
class Outcome:
    """What became of a contender: its samples of each round, or why there are none."""

    rounds: list = field(default_factory=list)
    status: str = MEASURED
    reason: str = ''

    def give_up(self, status, reason):
        self.rounds, self.status, self.reason = [], status, str(reason)


def measure(measurement, programs, rounds, quick=False, timeout=300, progress=lambda text: None):
    """Return {contender: Outcome}.  Every other round is in the opposite order."""
    outcomes = {contender: Outcome() for contender in measurement.contenders}
    for number in range(rounds):
        order = list(outcomes) if number % 2 == 0 else list(reversed(outcomes))
        for contender in order:
            outcome = outcomes[contender]
            if outcome.status != MEASURED:
                continue
            progress(f'{measurement.name}, round {number + 1} of {rounds}: {contender.label}')
            try:
                outcome.rounds.append(_samples(measurement, contender, programs, quick, timeout))
            except Unavailable as exc:
                outcome.give_up(NOT_AVAILABLE, exc)
            except processes.Failed as exc:
                outcome.give_up(NOT_AVAILABLE if exc.status == UNAVAILABLE else FAILED, exc)
    progress('')
    return outcomes


def _samples(measurement, contender, programs, quick, timeout):
    """Run the contender's program once; return its samples in the measurement's unit."""
    output = processes.run([*programs.command(contender.program),
                            *measurement.arguments(contender, quick)],
                           timeout, programs.environment)
    try:
        printed = [float(line) for line in output.split()]
    except ValueError:
        raise processes.Failed('printed something else than numbers') from None
    if not printed or not all(math.isfinite(value) and value > 0 for value in printed):
        raise processes.Failed('printed something else than positive numbers')
    return [measurement.sample(value) for value in printed]
