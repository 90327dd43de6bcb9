"""The checked-in picture of a run of stock CPython: tests/regrtest/.

    facts           what the run was made with; written by --renew
    cases-*.txt     every file, class and case; written by --renew
    expected        written by hand: cases of *stock* that fail or vary, each with its cause
    intended        written by hand: what *our* patches change, each with its reason

A cases file reads like this:

    [test_os] ran
    FileTests
        test_access test_closerange test_rename
      ~ skipped: requires 64-bit
        test_large_read
    [test_winreg] skipped: No module named 'winreg'

A file with its state; its classes (`.` for cases outside of a class); the names
of the cases that pass; behind `~`, the names that do something else. `name*2` are
two cases of one name. Blanks, `%` and `*` inside a name are written as %20, %25
and %2a. Everything is sorted, so that a renewal shows only what changed.

A line of the two files written by hand is

    KIND FILE PATTERN -- REASON

where PATTERN is a shell pattern for CLASS.METHOD, or `-` for the state of the file.
In `expected` KIND is `fails`, or `varies` when the outcome depends on the machine,
its load or the time and any outcome will do. In `intended` it is what happens to the
case: `new`, `gone`, `skipped` (or skipped for another reason), `runs` (no longer
skipped, or no longer failing) or `fails`.
"""

import os
import re
import signal
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path

from regrtest_results import (
    BROKEN, ENV_CHANGED, FAILED, FileResult, NOT_RUN, Outcome, PASSED, RAN, WHOLE_FILE, label)

VARIES = 'varies'
NO_CAUSE = 'the cause is not known yet'
EXPECTED_KINDS = ('fails', VARIES)
INTENDED_KINDS = ('new', 'gone', 'skipped', 'runs', 'fails')

_WIDTH = 110
_HEADER = '# Written by `make regrtest VARIANT=stock`; the format is described in tools/regrtest_baseline.py.\n'

# Which cases file a test file is in, by the first letter of its name.
_SHARDS = ('ab', 'c', 'de', 'fgh', 'ijkl', 'mno', 'pqr', 's', 't', 'uvwxyz')


class BadBaseline(Exception):
    """The message is one line: where, what, and what to do."""


@dataclass
class Note:
    """A line of `expected` or `intended`."""
    kind: str
    file: str
    pattern: str
    reason: str
    used: bool = False

    def covers(self, file, case):
        return file == self.file and fnmatchcase(label(case), self.pattern)

    def __str__(self):
        return f'{self.kind} {self.file} {self.pattern} -- {self.reason}'


@dataclass
class Baseline:
    facts: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)       # name -> FileResult
    expected: list = field(default_factory=list)    # Note
    intended: list = field(default_factory=list)    # Note

    def count(self):
        return sum(len(outcomes) for result in self.files.values()
                   for outcomes in result.cases.values())


def read_notes(path, kinds):
    notes = []
    try:
        text = Path(path).read_text(encoding='utf-8')
    except FileNotFoundError:
        return notes
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        head, dashes, reason = line.partition(' -- ')
        words = head.split()
        if len(words) != 3 or words[0] not in kinds or not reason.strip():
            raise BadBaseline(f'{path}:{number}: want KIND FILE PATTERN -- REASON, '
                              f'with KIND one of {", ".join(kinds)}')
        notes.append(Note(*words, reason.strip()))
    return notes


def find_note(notes, file, case, kinds=None):
    """The first note for this case, marked as used; None if there is none."""
    for note in notes:
        if (kinds is None or note.kind in kinds) and note.covers(file, case):
            note.used = True
            return note
    return None


def load(folder):
    """Read a baseline. Without one, the result has no facts and no files."""
    folder = Path(folder)
    baseline = Baseline(expected=read_notes(folder / 'expected', EXPECTED_KINDS),
                        intended=read_notes(folder / 'intended', INTENDED_KINDS))
    try:
        facts = (folder / 'facts').read_text(encoding='utf-8')
    except FileNotFoundError:
        return baseline
    for line in facts.splitlines():
        if line and not line.startswith('#'):
            key, _, value = line.partition(': ')
            baseline.facts[key.rstrip(':')] = value
    for path in sorted(folder.glob('cases-*.txt')):
        _parse_cases(path, baseline.files)
    written = baseline.facts.get('files'), baseline.facts.get('cases')
    if written != (str(len(baseline.files)), str(baseline.count())):
        raise BadBaseline(f'{folder}: the facts speak of {written[0]} files and {written[1]} cases, '
                          f'there are {len(baseline.files)} and {baseline.count()}: '
                          'restore the folder, or renew it with make regrtest VARIANT=stock')
    return baseline


def _parse_cases(path, files):
    result = owner = outcome = None
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        try:
            if not line or line.startswith('#'):
                continue
            elif line.startswith('['):
                name, text = re.fullmatch(r'\[(\S+)\] (.+)', line).groups()
                result = files[name] = FileResult(name, *_split_outcome(text))
            elif line.startswith('  ~ '):
                outcome = Outcome(*_split_outcome(line[4:]))
            elif line.startswith('    '):
                for word in line.split():
                    word, star, times = word.partition('*')
                    outcomes = result.cases.setdefault((owner, _unquote(word)), [])
                    outcomes.extend([outcome] * (int(times) if star else 1))
            else:
                owner, outcome = '' if line == '.' else _unquote(line), Outcome(PASSED)
        except (AttributeError, ValueError):
            raise BadBaseline(f'{path}:{number}: not a line of a baseline: {line}') from None
    for result in files.values():
        for outcomes in result.cases.values():
            outcomes.sort()


def _split_outcome(text):
    kind, _, reason = text.partition(': ')
    return kind, reason


def _join_outcome(kind, reason):
    return f'{kind}: {reason}' if reason else kind


def _quote(name):
    return re.sub(r'[\s%*]', lambda match: f'%{ord(match[0]):02x}', name)


def _unquote(name):
    return re.sub(r'%([0-9a-f]{2})', lambda match: chr(int(match[1], 16)), name)


def format_file(result):
    """One test file as the lines of a cases file."""
    lines = [f'[{result.name}] {_join_outcome(result.state, result.text)}']
    for owner, cases in groupby(sorted(result.cases), key=lambda case: case[0]):
        lines.append(_quote(owner) or '.')
        by_outcome = {}
        for case in cases:
            for outcome, times in Counter(result.cases[case]).items():
                word = _quote(case[1]) + (f'*{times}' if times > 1 else '')
                by_outcome.setdefault(outcome, []).append(word)
        passed = by_outcome.pop(Outcome(PASSED), [])
        lines += _wrap(passed)
        for outcome in sorted(by_outcome):
            lines.append(f'  ~ {_join_outcome(outcome.kind, outcome.text)}')
            lines += _wrap(by_outcome[outcome])
    return '\n'.join(lines) + '\n'


def _wrap(words):
    return textwrap.wrap(' '.join(words), _WIDTH, initial_indent='    ', subsequent_indent='    ',
                         break_long_words=False, break_on_hyphens=False)


def shard(name):
    """The cases file that the test file belongs in."""
    letter = name.removeprefix('test').lstrip('_')[:1].lower()
    for letters in _SHARDS:
        if letter in letters:
            break
    return f'cases-{letters[0]}-{letters[-1]}.txt' if letters[1:] else f'cases-{letters}.txt'


def store(baseline, folder):
    """Write facts and cases. A run that is interrupted here leaves the old or the new files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    facts = dict(baseline.facts, files=len(baseline.files), cases=baseline.count())
    texts = {'facts': _HEADER + ''.join(f'{key}: {value}'.rstrip() + '\n'
                                        for key, value in sorted(facts.items()))}
    for name in sorted(baseline.files):
        text = texts.setdefault(shard(name), _HEADER)
        texts[shard(name)] = text + '\n' + format_file(baseline.files[name])

    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        for name, text in texts.items():
            (folder / f'.{name}.new').write_text(text, encoding='utf-8')
        for path in folder.glob('cases-*.txt'):
            if path.name not in texts:
                path.unlink()
        for name in texts:
            os.replace(folder / f'.{name}.new', folder / name)
    finally:
        for path in folder.glob('.*.new'):
            path.unlink()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def from_results(results, facts, notes):
    """A baseline of these results, with the causes that the notes give.

    Returns it with a list of what has to be explained or corrected by hand.
    """
    baseline = Baseline(facts=facts, expected=notes)
    problems = []

    def cause(file, case):
        note = find_note(notes, file, case, ('fails',))
        if note is None:
            problems.append(f'{file} {label(case)} fails, and `expected` gives no cause')
        return note.reason if note else NO_CAUSE

    for name, result in results.items():
        copy = FileResult(name, result.state, result.text)
        varies = find_note(notes, name, WHOLE_FILE, (VARIES,))
        if varies:
            copy.state, copy.text = VARIES, varies.reason
        elif result.state in (BROKEN, ENV_CHANGED):
            copy.text = cause(name, WHOLE_FILE)
        elif result.state == RAN:
            copy.text = ''
        for case, outcomes in result.cases.items():
            if varies := find_note(notes, name, case, (VARIES,)):
                copy.cases[case] = [Outcome(VARIES, varies.reason)]
            elif any(outcome.kind == FAILED for outcome in outcomes):
                reason = cause(name, case)
                copy.cases[case] = sorted(Outcome(FAILED, reason) if outcome.kind == FAILED else outcome
                                          for outcome in outcomes)
            else:
                copy.cases[case] = list(outcomes)
        baseline.files[name] = copy
    return baseline, problems
