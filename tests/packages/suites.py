"""Run packages' own tests in interpreters of their own GIL, and compare with main and with stock.

    python suites.py [SUITE ...] --stock PYTHON [--where interpreters ...] [--alone] [--record]

Each suite of suites.toml runs three times, in a process of its own in stock and in main, and in an
interpreter while another interpreter of the same process runs another suite.  What each test ends in must be
the same, but for what suites.toml gives a reason for, and the processes must exit with 0.
Earlier runs are kept below --folder: with --where only what is named runs anew, and all is compared.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections import Counter
from pathlib import Path

import catalogue
import run
import table

HERE = Path(__file__).resolve().parent
RECORDED = HERE / 'suites.json'
WHERE = ('stock', 'main', 'interpreters')
MOST_LINES = 30


@dataclasses.dataclass(frozen=True)
class Suite:
    """One entry of suites.toml, which says what the fields are."""

    name: str
    package: catalogue.Package
    tests: list
    source: list = dataclasses.field(default_factory=list)
    modules: list = dataclasses.field(default_factory=list)
    arguments: list = dataclasses.field(default_factory=list)
    left_out: dict = dataclasses.field(default_factory=dict)
    differs: dict = dataclasses.field(default_factory=dict)

    def reason(self, test):
        """Why the test (an id) may end differently, or None."""
        return next((reason for begin, reason in self.differs.items() if test.startswith(begin)), None)


def load(path=HERE / 'suites.toml'):
    """The suites by name, the pairs of names, and the pins of what runs them."""
    data = tomllib.loads(path.read_text())
    packages = catalogue.packages()
    suites = {}
    for name, entry in data['suites'].items():
        package = packages[entry.pop('package')]
        suites[name] = Suite(name, package, **{'modules': package.imports, **entry})
    return suites, data['pairs'], data['tools']


class Folder:
    """Environments, unpacked sources and records of runs."""

    def __init__(self, path, suites, tools, pythons):
        self.path = path
        self.suites = suites
        self.pythons = pythons      # of stock and of this project
        self.pins = sorted({suite.package.pin for suite in suites.values()}) + tools

    def python(self, where):
        """The python of an environment with all packages, which is made if need be."""
        name = 'stock' if where == 'stock' else 'ours'
        folder = self.path / name
        run.make_venv(self.pythons[name], folder, self.pins, self.pins)
        return folder / 'bin' / 'python'

    def tests(self, suite, python):
        """The folder in which the suite's tests are."""
        if not suite.source:
            return next(python.parents[1].glob('lib/python*/site-packages'))
        folder = self.path / 'sources' / f'{suite.name}-{suite.package.version}'
        stamp = repr((suite.package.pin, suite.source))
        done = folder / '.ensemble'
        if not (done.is_file() and done.read_text() == stamp):
            self._unpack(suite, python, folder)
            done.write_text(stamp)
        return folder

    def _unpack(self, suite, python, folder):
        """Download the source distribution and unpack what the suite needs."""
        archive = self.path / 'downloads' / f'{suite.package.name.lower()}-{suite.package.version}.tar.gz'
        if not archive.is_file():
            subprocess.run([python, '-m', 'pip', 'download', '-qq', '--disable-pip-version-check',
                            '--no-deps', '--no-binary', suite.package.name, '--dest', archive.parent,
                            suite.package.pin], check=True)
        shutil.rmtree(folder, ignore_errors=True)
        with tarfile.open(archive) as members:
            for member in members.getmembers():
                member.name = member.name.partition('/')[2]
                if any(Path(member.name).is_relative_to(path) for path in suite.source):
                    members.extract(member, folder, filter='data')

    def record(self, suite, where):
        """The file for what becomes of the suite's tests."""
        return self.path / 'records' / where / f'{suite.name}.jsonl'


def session(folder, suite, where, python, temporary):
    """What sessions.py needs to run the suite."""
    tests = folder.tests(suite, python)
    arguments = ['-q', '-p', 'no:cacheprovider', '-p', 'no:faulthandler', '--capture=sys',
                 # Two interpreters would write the same file of rewritten assertions.
                 '--assert=plain', '--tb=short', '--rootdir', str(tests),
                 '--basetemp', f'{temporary}/{suite.name}',
                 *([] if suite.source else ['-c', os.devnull]), *suite.arguments,
                 *(f'--deselect={test}' for test in suite.left_out),
                 *(str(tests / path) for path in suite.tests)]
    return arguments, str(folder.record(suite, where)), suite.modules


def run_suites(folder, suites, where, timeout):
    """Run suites in one process; what becomes of them goes to their records."""
    python = folder.python(where)
    log = folder.path / 'records' / where / f'{"+".join(suite.name for suite in suites)}.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.path / 'temporary'
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    for suite in suites:
        folder.record(suite, where).unlink(missing_ok=True)
    job = {'interpreters': where == 'interpreters',
           'sessions': [session(folder, suite, where, python, temporary) for suite in suites]}
    # Ids are not to depend on the order of sets, nor sums on the number of BLAS's threads.
    # SQLAlchemy's tests take -s as a sign that the installed package is meant.
    with open(log, 'wb') as output:
        process = subprocess.Popen(
            [python, '-s', '-X', 'faulthandler', HERE / 'sessions.py', json.dumps(job)], cwd=temporary,
            env=dict(os.environ, PYTHONHASHSEED='0', OPENBLAS_NUM_THREADS='1',
                     TMPDIR=str(temporary)),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        run.wait(process, timeout)
    shutil.rmtree(temporary, ignore_errors=True)
    for suite in suites:
        with open(folder.record(suite, where), 'a') as file:
            # A crash may have cut off the line before.
            file.write(f'\n{json.dumps({"exit": process.returncode})}\n')


def read(path):
    """What became of each test (dict of id to outcome), and of the process (dict), by a record."""
    found, process = {}, {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            line = json.loads(line)
        except ValueError:      # cut off by a crash
            continue
        if 'id' not in line:
            process |= line
            continue
        outcome = line['outcome']
        if outcome == 'failed' and line['when'] != 'call':
            outcome = 'error'
        # Of a test that is no success the first phase counts that says so.
        if found.get(line['id'], 'passed') == 'passed':
            found[line['id']] = outcome
    if 'status' in process:
        process.pop('begins', None)
    return found, process


def overlap(*processes):
    """For how long sessions ran at the same time (float, seconds)."""
    begins, ends = zip(*(process.get('seconds', (0, 0)) for process in processes))
    return max(0, min(ends) - max(begins))


def compare(suite, ends):
    """The tests that do not end the same everywhere (list of dicts); ends has the ends by place."""
    found = []
    for test in sorted(set().union(*ends.values())):
        end = {where: ends[where].get(test, 'not run') for where in ends}
        if len(set(end.values())) > 1:
            found.append({'test': test, 'ends': end, 'reason': suite.reason(test)})
    return found


def problems(suite, differences, processes):
    """What is not as it should be (list of str)."""
    found = []
    for where, process in processes.items():
        if process.get('status') not in (0, 1) or process.get('exit') != 0:
            found.append(f'in {where}: {process or "not run"}')
    found += [f'no reason is given for {item}' for item in differences if not item['reason']]
    found += [f'nothing differs that is {begin}' for begin in suite.differs
              if not any(item['test'].startswith(begin) for item in differences)]
    return found


def entry_of(folder, suite, beside):
    """The suite's entry of the JSON, and its problems; beside is a Suite or None."""
    ends, processes = {}, {}
    for where in WHERE:
        ends[where], processes[where] = read(folder.record(suite, where))
    differences = compare(suite, {where: found for where, found in ends.items() if found})
    wrong = problems(suite, differences, processes)
    reference = ends['stock']
    other = read(folder.record(beside, 'interpreters'))[1] if beside else {}
    parallel = overlap(processes['interpreters'], other)
    for process in processes.values():
        begin, end = process.get('seconds', (0, 0))
        process['seconds'] = round(end - begin, 1)
    entry = {'package': suite.package.name, 'version': suite.package.version,
             'beside': beside and beside.name, 'seconds_beside': round(parallel, 1),
             'tests': suite.tests, 'arguments': suite.arguments,
             'ends': {where: dict(sorted(Counter(ends[where].values()).items())) for where in WHERE},
             'failing': sorted(test for test, end in reference.items() if end in ('failed', 'error')),
             'processes': processes, 'left_out': suite.left_out, 'differences': differences}
    return entry, wrong


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0], allow_abbrev=False)
    parser.add_argument('suites', nargs='*', metavar='SUITE', help='all if none is given')
    parser.add_argument('--where', choices=WHERE, action='append', help='run there only')
    parser.add_argument('--compare-only', action='store_true', help='run nothing')
    parser.add_argument('--alone', action='store_true', help='with nothing in another interpreter')
    parser.add_argument('--stock', type=Path, required=True, help='the python of the stock release')
    parser.add_argument('--folder', type=Path, default=Path('build/suites'))
    parser.add_argument('--timeout', type=float, default=3600, help='of one process, in seconds')
    parser.add_argument('--record', action='store_true',
                        help='keep the results as those of the project, and write the documentation')
    args = parser.parse_args(arguments)
    args.where = () if args.compare_only else tuple(args.where or WHERE)
    return parser, args


def main(arguments=None):
    parser, args = parse(arguments)
    suites, pairs, tools = load()
    for name in args.suites:
        if name not in suites:
            parser.error(f'there is no suite {name} in suites.toml')
    folder = Folder(args.folder.absolute(), suites, tools,
                    {'stock': args.stock.absolute(), 'ours': Path(sys.executable)})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    recorded = json.loads(RECORDED.read_text())['suites'] if RECORDED.exists() else {}
    bad = False
    for pair in pairs:
        chosen = [suites[name] for name in pair if not args.suites or name in args.suites]
        for where in args.where if chosen else ():
            if where == 'interpreters' and not args.alone:
                run_suites(folder, [suites[name] for name in pair], where, args.timeout)
            else:
                for suite in chosen:
                    run_suites(folder, [suite], where, args.timeout)
        for suite in chosen:
            beside = [suites[name] for name in pair if name != suite.name and not args.alone]
            entry, wrong = entry_of(folder, suite, *beside or [None])
            recorded[suite.name] = entry
            print(f'{suite.name}: {entry["ends"]}, {len(entry["differences"])} differ', flush=True)
            print(*(f'    {line}\n' for line in wrong[:MOST_LINES]), sep='', end='', flush=True)
            bad = bad or bool(wrong)
    if args.record:
        RECORDED.write_text(json.dumps(
            {'python': sys.version.split()[0],
             'suites': {name: recorded[name] for name in suites if name in recorded}}, indent=1) + '\n')
        run.PAGE.write_text(run.page())
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
