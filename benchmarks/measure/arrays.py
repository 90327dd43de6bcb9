"""What is done with small arrays of numpy, in interpreters, threads and processes.

This module imports little, as it is imported while the clock runs.
"""

import os
from itertools import repeat

# ---- the loop ----

LENGTHS = 10, 30, 100, 300, 1000        # of the vectors, in doubles
SIDES = 4, 10, 30                       # of the matrices


def loop(task):
    """Do passes of small operations, kept on one processor; return a number made of all results.

    The task is the processor and the number of passes.
    """
    processor, passes = task
    os.sched_setaffinity(0, [processor])
    import numpy
    vectors = [numpy.linspace(0.1, 1, length) for length in LENGTHS]
    matrices = [numpy.linspace(0, 1, side * side).reshape(side, side) for side in SIDES]
    total = 0.0
    for _ in repeat(None, passes):
        for vector in vectors:
            wave = 0.5 * numpy.sin(vector) + vector
            wave[1:] -= vector[:-1]
            total += wave.sum() + wave.max() - numpy.sqrt(numpy.abs(wave)).mean()
            total += wave @ vector
        for matrix in matrices:
            product = matrix @ matrix
            total += product.trace() - product[0].min()
    return float(total)


# ---- first results ----

EXPECTED = 499_500.0


def first_sum(number):
    """The process, the number that was given, and a sum that is EXPECTED."""
    import numpy
    return os.getpid(), number, float(numpy.arange(1000.0).sum())
