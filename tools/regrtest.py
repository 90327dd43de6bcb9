#!/usr/bin/env python3
"""Run the stdlib's test suite on a built python and compare it with stock's, case by case.

    tools/regrtest.py --python build/release/python --build-dir build/release
    tools/regrtest.py --python ... --build-dir ... test_os test_json    only these files
    tools/regrtest.py --python ... --build-dir ... --renew              write a new baseline
    tools/regrtest.py --compare-only build/release/regrtest             compare an earlier run
    tools/regrtest.py --compare-only build/stock/regrtest --renew       make the baseline of it

The baseline (tools/regrtest_baseline.py says what it looks like) is a run of the
stock build of the same release. Anything else than the baseline is a failure: a
case that fails, vanishes, is new, is skipped, is no longer skipped or gives another
reason, unless tests/regrtest/intended says why.

A file with a failure that the baseline does not have is run once more, alone, in a
fresh process. A case that passes then is listed as "failed under load, passed alone" and does
not fail the run; what it said first is kept in the report folder.

The report folder (BUILD/regrtest) holds the records of the run, its whole output
(log.txt) and the report. Exit codes: 0 as the baseline, 1 different, 2 could not compare,
130 interrupted.
"""

import argparse
import json
import re
import shutil
import signal
import sys
from pathlib import Path

import regrtest_baseline
from regrtest_baseline import BadBaseline, VARIES
from regrtest_compare import compare, grouped, is_ours, selects
from regrtest_results import (
    BROKEN, ENV_CHANGED, FAILED, NOT_RUN, WHOLE_FILE, file_name, is_setup, label, read_run)
from regrtest_session import PRIVATE_FACTS, CannotRun, Session

DEFAULT_BASELINE = Path(__file__).resolve().parent.parent / 'tests' / 'regrtest'

# More failing files than this are not noise: running them again would only cost time.
MOST_RERUNS = 20
MOST_LINES = 60

# regrtest's exit codes for a run that got to its end: passed, failed, environment changed,
# no tests.
REGRTEST_FINISHED = (0, 2, 3, 4)

_PROGRESS = re.compile(r'(\d+:\d\d:\d\d) load avg: \S+ (\[[ \d]+/\d+)(?:/\d+)?(\] .*)')
_RUNNING = re.compile(r'(\d+:\d\d:\d\d) load avg: \S+ (running \(.*)')


def parse_arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('tests', nargs='*', help='test files or packages; without any, the whole suite')
    parser.add_argument('--python', type=Path, help='the built python')
    parser.add_argument('--build-dir', type=Path, help='its build folder (default: where it is)')
    parser.add_argument('--baseline', type=Path, default=DEFAULT_BASELINE, metavar='DIR')
    parser.add_argument('--report', type=Path, metavar='DIR', help='default: BUILD/regrtest')
    parser.add_argument('--renew', action='store_true',
                        help='write what this python does as the baseline (only of the tests named, if any)')
    parser.add_argument('--compare-only', type=Path, metavar='DIR',
                        help='run nothing: compare the report folder of an earlier run')
    parser.add_argument('-j', '--jobs', type=int, default=2, help='processes (default: 2)')
    parser.add_argument('--timeout', type=float, default=900,
                        help='seconds after which a test file is ended (default: 900)')
    args = parser.parse_intermixed_args(argv)
    if args.compare_only:
        args.report = args.compare_only
    elif not args.python:
        parser.error('--python is needed')
    else:
        args.build_dir = args.build_dir or args.python.parent
        args.report = (args.report or args.build_dir / 'regrtest').absolute()
    args.tests = [file_name(name.removesuffix('.py')) for name in args.tests]
    return args


def say(text=''):
    print(text, flush=True)


def main(argv=None):
    args = parse_arguments(argv)
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        signal.signal(signal.SIGINT, _interrupt)
        baseline = regrtest_baseline.load(args.baseline)
        if args.compare_only:
            run = load_report(args.report)
            require_comparable(args, baseline, run[0])
        else:
            run = make_run(args, baseline)
        if args.renew:
            return renew(args, baseline, *run)
        return report(args, baseline, *run)
    except (BadBaseline, CannotRun) as error:
        print(f'regrtest: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('regrtest: interrupted; nothing was compared and no baseline was written', file=sys.stderr)
        return 130


def _interrupt(signum, frame):
    # Once is enough: a second signal must not cut the cleaning up short.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


# --- Running -----------------------------------------------------------------------------


def make_run(args, baseline):
    """Run the tests. Returns facts, results, what passed only alone, and the selection."""
    if not args.python.is_file():
        raise CannotRun(f'there is no {args.python}: build it first')
    with Session(args.python, args.build_dir) as session:
        facts = session.facts()
        require_comparable(args, baseline, facts)
        shutil.rmtree(args.report, ignore_errors=True)
        args.report.mkdir(parents=True)
        folders = {'tmp': [str(session.tmp)], 'build': [facts['builddir']],
                   'source': [facts['source'], str(Path(facts['source']).resolve())]}
        with open(args.report / 'log.txt', 'w', encoding='utf-8') as log:
            def on_line(line):
                print(line, file=log, flush=True)
                show_progress(line)

            options = [f'-j{args.jobs}', f'--timeout={args.timeout:g}']
            code = session.run_tests(args.report / 'records', [*options, *args.tests], on_line)
            if code not in REGRTEST_FINISHED:
                raise CannotRun(f'regrtest did not finish (exit code {code}); see {args.report}/log.txt')
            results = read_run(args.report / 'records', folders)
            if not results:
                raise CannotRun(f'regrtest ran no test file; see {args.report}/log.txt')
            alone = rerun(args, session, baseline, facts, results, folders, on_line)
    (args.report / 'run.json').write_text(json.dumps(
        {'facts': facts, 'tests': args.tests, 'folders': folders, 'alone': alone}, indent=1))
    return facts, results, alone, args.tests


def require_comparable(args, baseline, facts):
    if args.renew:
        if facts['ours']:
            raise CannotRun('this python is not the stock build, which alone makes a baseline: '
                            'make regrtest VARIANT=stock')
        if args.tests and baseline.files and baseline.facts['release'] != facts['release']:
            raise CannotRun('a part of the baseline can be renewed only with the release of the rest')
        return
    if not baseline.files:
        raise CannotRun(f'there is no baseline in {args.baseline}: make one with make regrtest VARIANT=stock')
    release = baseline.facts.get('release')
    if release != facts['release']:
        raise CannotRun(f'the baseline is for {release}, this python is {facts["release"]}: nothing to compare')
    for key in sorted(set(baseline.facts) & set(facts)):
        if baseline.facts[key] != facts[key]:
            say(f'unlike the baseline: {key} is "{facts[key]}", there it was "{baseline.facts[key]}"')


def show_progress(line):
    """One short line per test file, and a sign of life during the long ones."""
    if match := _PROGRESS.fullmatch(line):
        say(''.join(match.groups()).partition(' -- running')[0].replace('[', ' [', 1))
    elif match := _RUNNING.fullmatch(line):
        say('  '.join(match.groups()))


def rerun(args, session, baseline, facts, results, folders, on_line):
    """Run each file with an unexpected failure once more, alone, and take that outcome.

    Changes results. Returns the cases that passed this time: [file, label, text of the failure].
    """
    if args.renew:
        suspects = {name: [case for case in result.failures() if not _explained(baseline, name, case)]
                    for name, result in results.items()}
        whole = {name for name, result in results.items()
                 if result.state in (BROKEN, ENV_CHANGED) and not _explained(baseline, name, WHOLE_FILE)}
    else:
        suspects, whole = {}, set()
        for difference in compare(baseline, results, args.tests, facts['ours']).differences:
            if difference.kind != 'fails' or difference.file not in results:
                continue
            suspects.setdefault(difference.file, []).append(difference.case)
            if difference.case == WHOLE_FILE:
                whole.add(difference.file)
    # A set-up is not a case that can be run by itself.
    whole |= {name for name, cases in suspects.items() if any(map(is_setup, cases))}
    names = sorted(whole | {name for name, cases in suspects.items() if cases})
    if not names:
        return []
    if len(names) > MOST_RERUNS:
        say(f'{len(names)} files failed: too many to be noise, none is run again')
        return []
    alone = []
    for name in names:
        say(f'failed: {name}; once more, alone')
        records = args.report / 'rerun' / name
        options = ['-j1', f'--timeout={args.timeout:g}']
        cases = [] if name in whole else [case for case in suspects[name] if case in results[name].ids]
        if cases:
            chosen = args.report / 'rerun' / f'{name}.match'
            chosen.parent.mkdir(exist_ok=True)
            chosen.write_text(''.join(results[name].ids[case] + '\n' for case in cases), encoding='utf-8')
            options.append(f'--matchfile={chosen}')
        session.run_tests(records, [*options, f'test.{name}' if '.' in name else name], on_line)
        again = read_run(records, folders).get(name)
        if again is not None:
            alone += adopt(results, again, cases)
    return alone


def _explained(baseline, name, case):
    return regrtest_baseline.find_note(baseline.expected, name, case) is not None


def adopt(results, again, cases):
    """Take the outcomes of a second run: of these cases, or of the whole file if there are none."""
    first = results[again.name]
    alone = []
    if not cases and again.state not in (BROKEN, ENV_CHANGED) and first.state in (BROKEN, ENV_CHANGED):
        alone.append([again.name, label(WHOLE_FILE), first.text])
    for case in cases or first.failures():
        before = next(outcome.text for outcome in first.cases[case] if outcome.kind == FAILED)
        after = again.cases.get(case)
        if after and all(outcome.kind != FAILED for outcome in after):
            alone.append([again.name, label(case), before])
        elif not after and is_setup(case):
            alone.append([again.name, label(case), before])     # a set-up that works is not reported
    if not cases:
        results[again.name] = again
    else:
        first.cases.update({case: again.cases[case] for case in cases if case in again.cases})
    return alone


def load_report(folder):
    """An earlier run, as make_run returned it."""
    try:
        run = json.loads((folder / 'run.json').read_text())
    except (OSError, ValueError):
        raise CannotRun(f'{folder} is not the report folder of a finished run') from None
    results = read_run(folder / 'records', run['folders'])
    for records in sorted(folder.glob('rerun/*/')):
        again = read_run(records, run['folders']).get(records.name)
        chosen = records.with_name(records.name + '.match')
        if again is not None:
            ids = chosen.read_text(encoding='utf-8').splitlines() if chosen.exists() else []
            adopt(results, again, [case for case, test_id in results[again.name].ids.items() if test_id in ids])
    return run['facts'], results, run['alone'], run['tests']


# --- Telling -----------------------------------------------------------------------------


def report(args, baseline, facts, results, alone, selection):
    """Compare, write the report, and print it. Returns the exit code."""
    if args.compare_only:
        selection = args.tests or selection
        results = {name: result for name, result in results.items() if selects(selection, name)}
    comparison = compare(baseline, results, selection, facts['ours'])
    differences = grouped(comparison.differences)
    (args.report / 'report.txt').write_text(
        '\n'.join([*differences, '', *_tell_alone(alone), '', comparison.summary()]) + '\n', encoding='utf-8')
    if alone:
        (args.report / 'failed-under-load.txt').write_text(
            '\n'.join(f'{file} {case}\n\n{text}\n' for file, case, text in alone), encoding='utf-8')
    _write_failures(args.report / 'failures.txt', comparison, results)

    say()
    for file, case, cause in comparison.accepted:
        say(f'fails, as expected: {file} {label(case)}: {cause}')
    for line in _tell_alone(alone):
        say(line)
    for line in differences[:MOST_LINES]:
        say(line)
    if len(differences) > MOST_LINES:
        say(f'... and {len(differences) - MOST_LINES} lines more')
    if differences:
        say(f'The full report: {args.report / "report.txt"}')
        if any(difference.kind == 'fails' for difference in comparison.differences):
            say(f'What the failing tests said: {args.report / "failures.txt"}')
    else:
        say('Every case and every skip is as in the baseline.' if not any(map(is_ours, results))
            else 'Every case and every skip is as in the baseline; our own tests pass.')
    say(comparison.summary())
    return 1 if comparison.differences else 0


def _tell_alone(alone):
    return [f'failed under load, passed alone: {file} {case}' for file, case, _ in alone]


def _write_failures(path, comparison, results):
    parts = []
    for difference in comparison.differences:
        result = results.get(difference.file)
        if difference.kind != 'fails' or result is None:
            continue
        outcomes = result.cases.get(difference.case, ())
        texts = [outcome.text for outcome in outcomes if outcome.kind == FAILED] or [result.text]
        parts.append('\n'.join([f'=== {difference.file} {label(difference.case)}', *texts, '']))
    path.write_text('\n'.join(parts), encoding='utf-8')


def renew(args, baseline, facts, results, alone, selection):
    """Write the baseline, of the selected files or of all. Returns the exit code."""
    unfinished = [name for name, result in results.items() if result.state == NOT_RUN]
    if unfinished:
        raise CannotRun(f'the run did not finish {", ".join(unfinished[:5])}: no baseline was written')
    facts = {key: value for key, value in facts.items() if key not in PRIVATE_FACTS}
    renewed, problems = regrtest_baseline.from_results(results, facts, baseline.expected)
    if selection:
        kept = {name: result for name, result in baseline.files.items() if not selects(selection, name)}
        renewed.files = kept | renewed.files
        renewed.facts = baseline.facts or facts
    else:
        problems += [f'`expected` says "{note}", and there is nothing like it'
                     for note in baseline.expected if not note.used]
    regrtest_baseline.store(renewed, args.baseline)

    say()
    for line in _tell_alone(alone):
        say(line)
    for problem in problems:
        say(problem)
    say(f'{args.baseline}: {len(renewed.files)} files, {renewed.count()} cases')
    counted = compare(renewed, {name: result for name, result in results.items()}, selection)
    say(f'{counted.passed} passed, {len(problems)} failed, {counted.skipped} skipped')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
