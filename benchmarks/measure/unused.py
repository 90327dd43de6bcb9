"""Run programs that use nothing of ours with this python and with stock's, and print the samples.

    python -P -m measure.unused TURNS

The programs are WORKLOADS.  TURNS samples each of

* millions of instructions that valgrind counts, in user space; performance
  counters of the processor would do, but few virtual machines have them
* lines of /proc/self/maps, threads, and modules in sys.modules at the end

Other modules in sys.modules than in stock are an error.  Both pythons have the
same numpy, and their libraries, by links, at paths of the same length.  Where
strings lie in memory, and how they are hashed, can be worth more instructions
than what is looked for: so each turn has another seed for hashes and another
size of the environment, the same for both.  Mappings are counted without random
addresses, as neighbours may become one.  The pythons take turns, every other
time in the opposite order, after one that does not count, as it compiles
modules.  Prints what runner.measure_together() reads.
"""

import functools
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import programs
from .transports import Unavailable

PASS, NUMPY = 'pass', 'import numpy, small arrays'
WORKLOADS = {
    PASS: 'pass',
    NUMPY: 'import numpy\n'
           'for _ in range(100):\n'
           '    for n in 10, 100, 1000:\n'
           '        x = numpy.linspace(0.0, 1.0, n)\n'
           '        (numpy.sin(x) + x).sum()',
}
OURS = tuple(WORKLOADS)
STOCK = {label: f'{label}, stock' for label in OURS}
CONTENDERS = *OURS, *STOCK.values()
STATE = ('import os, sys\n'
         'with open("/proc/self/maps") as file:\n'
         '    print(len(file.readlines()), len(os.listdir("/proc/self/task")), *sys.modules)')
CONFIGURED = 'import sysconfig; print(sysconfig.get_config_var("CONFIG_ARGS"))'
COUNT = ('valgrind', '--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null',
         '--log-fd=1')
FIXED_ADDRESSES = 'setarch', platform.machine(), '--addr-no-randomize'
RANDOM = 'addresses are random here'


class Python:
    """A python whose library is at a path that is as long as those of others."""

    def __init__(self, path, folder, env):
        """The path of a python, of an empty folder for this, and the environment."""
        self._command = folder / 'python'
        self._command.symlink_to(path)
        library = run(path, '-B', '-c', 'import os; print(os.path.dirname(os.__file__))', env=env)
        (folder / 'lib').mkdir()
        (folder / 'lib' / 'python{}.{}'.format(*sys.version_info)).symlink_to(library.strip())
        self._env = env | {'PYTHONHOME': str(folder), 'PYTHONPYCACHEPREFIX': str(folder / 'cache')}

    def state(self, program, env):
        """How many mappings and threads there are at the end of a program, and its modules."""
        printed = run(*(FIXED_ADDRESSES if may_fix_addresses() else ()), self._command, '-c',
                      f'{program}\n{STATE}', env=self._env | env)
        mappings, threads, *modules = printed.split()
        return int(mappings), int(threads), sorted(modules)

    def instructions(self, program, env):
        """Millions of instructions that are executed for a program."""
        printed = run(*COUNT, self._command, '-c', program, env=self._env | env)
        return int(re.search(r'I +refs: +([\d,]+)', printed)[1].replace(',', '')) / 1e6


def run(*command, env=None):
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout


@functools.cache
def may_fix_addresses():
    """Whether a process may have addresses that are not random (in containers often not)."""
    try:
        done = subprocess.run([*FIXED_ADDRESSES, 'true'], stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def pythons(folder):
    """This python, which is ours, and stock's, in the folder; Unavailable if there is none."""
    found = programs.base_python(), programs.stock_python()
    ours, stock = (run(path, '-B', '-c', CONFIGURED) for path in found)
    if ours != stock:
        raise Unavailable('stock is configured in another way')
    env = {name: value for name, value in os.environ.items() if not name.startswith('PYTHON')}
    env |= {'PYTHONNOUSERSITE': '1', 'OPENBLAS_NUM_THREADS': '1'}
    try:
        import numpy
    except ImportError:
        pass
    else:
        env['PYTHONPATH'] = str(Path(numpy.__file__).parents[1])
    folders = [Path(folder, name) for name in ('ours', 'them')]
    for path in folders:
        path.mkdir()
    return [Python(path, own, env) for path, own in zip(found, folders)]


def samples(turns):
    """{contender: samples} of instructions, mappings, threads and modules."""
    found = [{} for _ in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            both = pythons(folder)
        except Unavailable as exc:
            return [dict.fromkeys(CONTENDERS, str(exc))] * 4
        for label in WORKLOADS:
            for kind, values in zip(found, compared(label, both, turns)):
                kind |= values
    return found


def compared(label, both, turns):
    """The same for one program and both pythons."""
    by_name = dict(zip((label, STOCK[label]), both))
    if label == NUMPY and 'numpy' not in sys.modules:
        return [dict.fromkeys(by_name, 'numpy cannot be imported')] * 4
    counted, mappings, threads, n_modules = ({name: [] for name in by_name} for _ in range(4))
    program = WORKLOADS[label]
    order = list(by_name)
    for turn in range(-1, turns):
        env = {'PYTHONHASHSEED': str(random.randrange(2**32)),
               'PADDING': 'x' * random.randrange(4096)}
        modules = {}
        for name in order:
            python = by_name[name]
            state = python.state(program, env)
            modules[name] = state[2]
            if turn >= 0:
                mappings[name].append(state[0])
                threads[name].append(state[1])
                n_modules[name].append(len(state[2]))
                if shutil.which(COUNT[0]):
                    counted[name].append(python.instructions(program, env))
        ours, stock = (set(names) for names in modules.values())
        if ours != stock:
            raise AssertionError(f'only one of the two has {", ".join(sorted(ours ^ stock))}')
        order.reverse()
    if shutil.which(COUNT[0]) is None:
        counted = dict.fromkeys(by_name, f'{COUNT[0]} is not installed')
    if not may_fix_addresses():
        mappings = dict.fromkeys(by_name, RANDOM)
    return counted, mappings, threads, n_modules


def main(turns):
    print(json.dumps(samples(int(turns))))


if __name__ == '__main__':
    main(*sys.argv[1:])
