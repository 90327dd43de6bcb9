"""Statistics of samples.  Rounds are lists of lists of numbers, the samples of each round."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """The median, lowest and highest of the rounds' medians; the p99 of all samples."""

    median: float
    low: float
    high: float
    p99: float


def percentile(values, percent):
    """The percentile of a non-empty list, interpolated linearly between the two nearest values."""
    values = sorted(values)
    position = (len(values) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (position - below)


def summary(rounds):
    medians = [statistics.median(samples) for samples in rounds]
    return Summary(statistics.median(medians), min(medians), max(medians),
                   percentile([sample for samples in rounds for sample in samples], 99))


def ratios(rounds, other_rounds):
    """The ratio of the medians in each round: (median, lowest, highest)."""
    values = [statistics.median(samples) / statistics.median(others)
              for samples, others in zip(rounds, other_rounds)]
    return statistics.median(values), min(values), max(values)


def short(value):
    """A positive number with three digits that count, for people."""
    rounded = float(f'{value:.3g}')
    if rounded >= 100:
        return f'{rounded:,.0f}'
    return f'{rounded:#.3g}'
