"""Run measurements in rounds: each contender, or all together, in processes of their own."""

import json
import math
import os
import sys
from dataclasses import dataclass, field

from . import processes
from .child import UNAVAILABLE
from .programs import BENCHMARKS
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


def measure_together(measurements, arguments, rounds, timeout=300, progress=lambda text: None):
    """Return {contender: Outcome} for each of the measurements, which one program makes.

    arguments is the program, a module of ours, and its arguments (list of str).
    All contenders take turns in one process a round, which prints a JSON list:
    for each measurement an object that has, by the label of the contender, a
    list of samples or a str that says why there are none.
    """
    found = [{contender: Outcome() for contender in measurement.contenders}
             for measurement in measurements]
    names = ', '.join(measurement.name for measurement in measurements)
    environment = {**os.environ, 'PYTHONPATH': str(BENCHMARKS)}
    for number in range(rounds):
        progress(f'{names}, round {number + 1} of {rounds}')
        try:
            printed = json.loads(processes.run([sys.executable, '-P', '-m', *arguments],
                                               timeout, environment))
        except processes.Failed as exc:
            for outcomes in found:
                for outcome in outcomes.values():
                    outcome.give_up(FAILED, exc)
            break
        for outcomes, samples in zip(found, printed, strict=True):
            for contender, outcome in outcomes.items():
                _add(outcome, samples[contender.label])
    progress('')
    return found


def _add(outcome, samples):
    if isinstance(samples, str):
        outcome.give_up(NOT_AVAILABLE, samples)
    else:
        outcome.rounds.append(samples)


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
