"""Try packages with compiled code in interpreters of their own GIL, and tell what works.

    python run.py [PACKAGE ...] [--group GROUP ...] [--scenarios pairs] [--record]

Each group of packages.toml gets a virtual environment of its own, below --venvs, which is kept.
Every scenario runs in a process of its own.  The exit status is 0 if all is well, or if what is
not has a reason in packages.toml; and 1 otherwise.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import catalogue
import table

HERE = Path(__file__).resolve().parent
RECORDED = HERE / 'results.json'
PAGE = HERE.parents[1] / 'Doc' / 'library' / 'packages.rst'

OK, FAILED, CRASHED, BAD_EXIT, TIMEOUT = 'ok', 'failed', 'crashed', 'wrong exit status', 'timeout'


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a scenario."""

    kind: str           # one of the above
    doing: str          # the last step that began
    text: str           # the last line of an exception, the signal, or the exit status
    seconds: float
    output: str         # all that was printed, for a log

    def record(self):
        """What goes into the JSON."""
        fields = dataclasses.asdict(self)
        del fields['output']
        return fields


def wait(process, timeout):
    """Wait for a process with a session of its own and end what is left of it; return if it was late."""
    late = False
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        late = True
        process.send_signal(signal.SIGABRT)     # faulthandler shows the stacks
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    return late


def run_scenario(python, package, scenario, *, seed=1, timeout=180):
    """Run a scenario of a package with the python; return its Result."""
    job = {'module': package.module, 'check': package.check, 'imports': package.imports,
           'scenario': dataclasses.asdict(scenario), 'seed': seed}
    with tempfile.TemporaryDirectory(prefix='packages-') as folder:
        # What it tells goes to a file, so that no process it leaves behind keeps a pipe open.
        with open(f'{folder}/told', 'w+b') as told, open(f'{folder}/output', 'w+b') as output:
            start = time.monotonic()
            process = subprocess.Popen(
                [python, '-X', 'faulthandler', HERE / 'scenario.py', json.dumps(job), str(told.fileno())],
                cwd=folder, env=dict(os.environ, TMPDIR=folder, **package.environment),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[told.fileno()], start_new_session=True)
            late = wait(process, timeout)
            seconds = round(time.monotonic() - start, 2)
            told.seek(0)
            output.seek(0)
            # A line that a crash cut off is not read.
            lines = [json.loads(line) for line in told if line.endswith(b'\n')]
            printed = output.read().decode(errors='replace')
    doing = [line['doing'] for line in lines if 'doing' in line]
    failures = [line for line in lines if 'failed' in line]
    step = doing[-1] if doing else 'starting'
    status = process.returncode
    if late:
        kind, text = TIMEOUT, f'not done in {timeout} s'
    elif status < 0:
        kind, text = CRASHED, signal.Signals(-status).name
    elif failures:
        kind, step, text = FAILED, failures[0]['when'], table.last_line(failures[0]['failed'])
    elif status or step != 'exiting':
        kind, text = BAD_EXIT, f'exit status {status}'
    else:
        kind, text = OK, ''
    # Where the package is installed is of no interest.
    text = text.replace(f'{Path(python).parents[1]}/', '')
    return Result(kind, step, text, seconds,
                  '\n'.join([*(failure['failed'] for failure in failures), printed]))


class Venvs:
    """The virtual environments of the groups, in one folder."""

    def __init__(self, folder, packages):
        self.folder = folder
        self.packages = packages

    def python(self, group):
        """The python of the group's environment, which is made if need be."""
        folder = self.folder / group
        required = [requirement for package in self.packages.values() if package.group == group
                    for requirement in (package.pin, *package.needs)]
        # The versions are the same in all groups.
        pins = [package.pin for package in self.packages.values()]
        make_venv(sys.executable, folder, required, pins)
        return folder / 'bin' / 'python'


def make_venv(executable, folder, required, pins):
    """Have an environment of the python with what is required; pins are versions of whatever else."""
    dependencies = (HERE / 'dependencies.txt').read_text()
    stamp = hashlib.sha256(repr((str(executable), required, pins, dependencies)).encode()).hexdigest()
    done = folder / '.ensemble'
    if done.is_file() and done.read_text() == stamp:
        return
    print(f'installing the packages of {folder.name}', flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([executable, '-m', 'venv', folder], check=True)
    constraints = folder / 'constraints.txt'
    constraints.write_text('\n'.join(pins) + '\n')
    subprocess.run([folder / 'bin' / 'python', '-m', 'pip', 'install', '-qq',
                    '--disable-pip-version-check', '--only-binary', ':all:',
                    '--constraint', constraints, '--constraint', HERE / 'dependencies.txt',
                    *required], check=True)
    done.write_text(stamp)


def page():
    """The page of the documentation (str), of what was recorded."""
    return table.table(*(json.loads(path.read_text()) for path in (RECORDED, HERE / 'suites.json')))


def try_package(python, package, scenarios, args, logs):
    """Run all scenarios; return the package's entry of the JSON."""
    results = []
    logs = logs / package.name
    shutil.rmtree(logs, ignore_errors=True)
    for scenario in scenarios:
        for seed in range(args.seed, args.seed + args.repeat):
            result = run_scenario(python, package, scenario, seed=seed, timeout=args.timeout)
            if result.kind != OK:
                logs.mkdir(parents=True, exist_ok=True)
                (logs / f'{len(results)}.txt').write_text(
                    f'{package.pin}\n{scenario}\nseed {seed}\n'
                    f'{result.kind} when {result.doing}: {result.text}\n{result.output}')
            results.append((scenario, seed, result))
            if args.verbose:
                print(f'  {scenario}: {result.kind} {result.text} ({result.seconds} s)', flush=True)
        if scenario == catalogue.MAIN_ONLY and result.kind != OK:
            break
    entry = {'version': package.version, 'group': package.group, 'does': package.does,
             'reason': package.reason, 'scenarios': len(results),
             'problems': [{'scenario': str(scenario), 'seed': seed, **result.record()}
                          for scenario, seed, result in results if result.kind != OK]}
    seconds = sum(result.seconds for *_, result in results)
    print(f'{package.pin}: {table.summary(entry)} ({seconds:.0f} s)', flush=True)
    return entry


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0], allow_abbrev=False)
    parser.add_argument('packages', nargs='*', metavar='PACKAGE', help='all if none is given')
    parser.add_argument('--group', action='append', default=[], dest='groups')
    parser.add_argument('--tag', action='append', default=[], dest='tags')
    parser.add_argument('--scenarios', choices=catalogue.SELECTIONS, default='pairs')
    parser.add_argument('--interpreters', default='1,2,8', help='how many, e.g. 1,2,8')
    parser.add_argument('--repeat', type=int, default=1, help='how often, each with another seed')
    parser.add_argument('--seed', type=int, default=1, help='of the random orders')
    parser.add_argument('--timeout', type=float, default=300, help='of one scenario, in seconds')
    parser.add_argument('--venvs', type=Path, default=Path('build/packages'))
    parser.add_argument('--python', help='one that has all packages; no environments are made')
    parser.add_argument('--json', type=Path, help='results; those of other packages in it are kept')
    parser.add_argument('--record', action='store_true',
                        help='keep the results as those of the project, and write the documentation')
    parser.add_argument('--verbose', action='store_true')
    args = parser.parse_args(arguments)
    args.counts = sorted({int(count) for count in args.interpreters.split(',')})
    args.venvs = args.venvs.absolute()
    if args.record:
        args.json = RECORDED
    return parser, args


def chosen(packages, parser, args):
    """The packages that the arguments ask for."""
    for name in args.packages:
        if name not in packages:
            parser.error(f'there is no package {name} in packages.toml')
    return [package for package in packages.values()
            if (not args.packages or package.name in args.packages)
            and (not args.groups or package.group in args.groups)
            and (not args.tags or set(args.tags) & set(package.tags))]


def main(arguments=None):
    parser, args = parse(arguments)
    packages = catalogue.packages()
    scenarios = catalogue.SELECTIONS[args.scenarios](args.counts)
    # A crash is one of the results; it need not leave a core.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    venvs = Venvs(args.venvs, packages)
    logs = args.venvs / 'logs'
    found = {}
    if args.json and args.json.exists():
        found = json.loads(args.json.read_text())['packages']
    bad = []
    for package in chosen(packages, parser, args):
        python = args.python or venvs.python(package.group)
        entry = try_package(python, package, scenarios, args, logs)
        found[package.name] = entry
        if not package.expects(entry['problems']):
            bad.append(package.name)
        if args.json:
            # After each package, so that a run that is broken off is worth something.
            in_order = {name: found[name] for name in packages if name in found}
            args.json.write_text(json.dumps({'python': sys.version.split()[0],
                                             'packages': in_order}, indent=1) + '\n')
    if args.record:
        PAGE.write_text(page())
    if bad:
        print(f'other than packages.toml says: {", ".join(bad)}; logs are in {logs}')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
