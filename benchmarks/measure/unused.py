"""Run programs that use nothing of ours with this python and with stock's, and print the samples.

    python -P -m measure.unused TURNS

The programs are WORKLOADS.  TURNS samples each of

* millions of instructions that valgrind counts, in user space; performance
  counters of the processor would do, but few virtual machines have them
* lines of /proc/self/maps, threads, and modules in sys.modules at the end

Other modules in sys.modules than in stock are an error.  Both pythons run a
program once before, so that its modules are compiled, without randomised
hashes, and in turn, every other time in the opposite order.  numpy comes from
the virtual environments of the tests.  Prints what runner.measure_together() reads.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import programs
from .transports import Unavailable

PASS, NUMPY = 'pass', 'import numpy, 100 passes of a loop'
WORKLOADS = {
    PASS: 'pass',
    NUMPY: 'import numpy\n'
           'for _ in range(100):\n'
           '    for n in 10, 100, 1000:\n'
           '        x = numpy.linspace(0.0, 1.0, n)\n'
           '        (numpy.sin(x) + x).sum()\n',
}
OURS = tuple(WORKLOADS)
STOCK = {label: f'{label}, stock' for label in OURS}
CONTENDERS = *OURS, *STOCK.values()
STATE = ('import os, sys\n'
         'with open("/proc/self/maps") as file:\n'
         '    print(len(file.readlines()), len(os.listdir("/proc/self/task")), *sys.modules)\n')
COUNT = ('valgrind', '--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null',
         '--log-fd=1')


def pythons(label):
    """The paths of this python and of stock's for a program; Unavailable if one is missing."""
    stock = programs.stock_python()
    if label == PASS:
        return programs.base_python(), stock
    found = Path(sys.executable), stock.parent.parent / 'venv-stock' / 'bin' / 'python'
    versions = [numpy_version(python) for python in found]
    if versions[0] != versions[1]:
        raise Unavailable(f'numpy is {versions[0]}, and {versions[1]} for stock')
    return found


def numpy_version(python):
    if not python.is_file():
        raise Unavailable('stock has no numpy (python3 tools/make.py venv --variant stock)')
    done = subprocess.run([python, '-c', 'import numpy; print(numpy.__version__)'],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if done.returncode:
        raise Unavailable('numpy cannot be imported')
    return done.stdout.strip()


def environment(folder):
    """The same for both pythons, with a folder for what they compile."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith('PYTHON')}
    return kept | {'PYTHONPYCACHEPREFIX': folder, 'PYTHONHASHSEED': '0',
                   'OPENBLAS_NUM_THREADS': '1'}


def run(*command, env):
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout


def state(python, program, env):
    """How many mappings and threads there are at the end of a program, and its modules."""
    mappings, threads, *modules = run(python, '-c', program + STATE, env=env).split()
    return int(mappings), int(threads), sorted(modules)


def instructions(python, program, env):
    """Millions of instructions that the python executes for a program."""
    printed = run(*COUNT, python, '-c', program, env=env)
    return int(re.search(r'I +refs: +([\d,]+)', printed)[1].replace(',', '')) / 1e6


def samples(turns):
    """{contender: samples} of instructions, mappings, threads and modules."""
    found = [{} for _ in range(4)]
    for label, program in WORKLOADS.items():
        try:
            both = dict(zip((label, STOCK[label]), pythons(label)))
        except Unavailable as exc:
            for kind in found:
                kind |= dict.fromkeys((label, STOCK[label]), str(exc))
            continue
        with tempfile.TemporaryDirectory() as folder:
            for kind, values in zip(found, compared(both, program, turns, environment(folder))):
                kind |= values
    return found


def compared(both, program, turns, env):
    """The same for one program; both are {contender: python}."""
    counted, mappings, threads, modules = ({name: [] for name in both} for _ in range(4))
    if shutil.which(COUNT[0]) is None:
        counted = dict.fromkeys(both, f'{COUNT[0]} is not installed')
    for turn in range(-1, turns):
        names = {}
        for name, python in both.items() if turn % 2 else reversed(both.items()):
            n_mappings, n_threads, names[name] = state(python, program, env)
            if turn < 0:
                continue
            mappings[name].append(n_mappings)
            threads[name].append(n_threads)
            modules[name].append(len(names[name]))
            if isinstance(counted[name], list):
                counted[name].append(instructions(python, program, env))
        ours, stock = names.values()
        if ours != stock:
            raise AssertionError(f'only one has {set(ours) ^ set(stock)}')
    return counted, mappings, threads, modules


def main(turns):
    print(json.dumps(samples(int(turns))))


if __name__ == '__main__':
    main(*sys.argv[1:])
