"""Import a package once more, in another interpreter or process, and print the samples.

    python -P -m measure.imports turns TURNS
    python -P -m measure.imports interpreter PACKAGE
    python -P -m measure.imports process PACKAGE

interpreter: create an interpreter in a process whose main interpreter has
imported the package, and import it there.  Prints a JSON object: the ms that
this took and how many bytes of private memory it added (both without creating
the interpreter), and the sum of the ms and bytes that list_extensions() has for
the copies that were made.

process: the bytes that the import adds to the private memory of this process.

turns: these of fresh processes for each of PACKAGES, and the ms that
`python -c 'import PACKAGE'` takes longer than `python -c pass`, TURNS samples of
each, after one that does not count.  Prints what runner.measure_together()
reads, for each package the time (ms) and the memory (MB).

Private memory is what no other process maps.  This program has imported the
packages itself, too, so that what can be shared of their files is shared with
it, before and after.
"""

import sys
import time

from . import memory

PACKAGES = 'numpy', 'pandas'
INTERPRETER, COPIES, PROCESS = CONTENDERS = (
    'another interpreter', 'of that, by list_extensions()', 'a fresh process')


def in_interpreter(package):
    __import__(package)
    import interpreters
    interp = interpreters.create()
    before, start = memory.private(), time.perf_counter_ns()
    interp.exec(f'import {package}')
    duration, after = time.perf_counter_ns() - start, memory.private()
    copies = [copy for copy in interpreters.list_extensions() if copy.owner == interp]
    return {'ms': duration / 1e6, 'bytes': after - before,
            'copies_ms': sum(copy.seconds for copy in copies) * 1e3,
            'copies_bytes': sum(copy.nbytes for copy in copies)}


def in_process(package):
    before = memory.private()
    __import__(package)
    return memory.private() - before


def ms_of(code):
    """How long a process takes that runs the code."""
    import subprocess
    start = time.perf_counter_ns()
    subprocess.run([sys.executable, '-P', '-c', code], check=True)
    return (time.perf_counter_ns() - start) / 1e6


def child(mode, package):
    """What this program prints in that mode."""
    import json
    import subprocess
    return json.loads(subprocess.run([sys.executable, '-P', '-m', __spec__.name, mode, package],
                                     stdout=subprocess.PIPE, check=True).stdout)


def samples(package, turns):
    """Return {contender: samples} for the time, and for the memory."""
    try:
        __import__(package)
    except ImportError:
        return [dict.fromkeys(CONTENDERS, f'{package} cannot be imported')] * 2
    times, sizes = ({name: [] for name in CONTENDERS} for _ in range(2))
    for turn in range(-1, turns):
        found = child('interpreter', package)
        ms = ms_of(f'import {package}') - ms_of('pass')
        size = child('process', package)
        if turn >= 0:
            for name, time_ms, n_bytes in (
                    (INTERPRETER, found['ms'], found['bytes']),
                    (COPIES, found['copies_ms'], found['copies_bytes']), (PROCESS, ms, size)):
                times[name].append(time_ms)
                sizes[name].append(n_bytes / 1e6)
    return times, sizes


def all_samples(turns):
    """The samples of each package, after all were imported."""
    for package in PACKAGES:
        try:
            __import__(package)
        except ImportError:
            pass                # samples() says so
    return [kind for package in PACKAGES for kind in samples(package, int(turns))]


def main(mode, argument):
    result = {'turns': all_samples, 'interpreter': in_interpreter,
              'process': in_process}[mode](argument)
    import json                 # not earlier
    print(json.dumps(result))


if __name__ == '__main__':
    main(*sys.argv[1:])
