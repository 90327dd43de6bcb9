"""What a run of the stdlib suite gave, test case by test case.

A `FileResult` is one test file of regrtest: its state and its cases. A case is
named by the pair (class, method), relative to the file's own module, so that
`test.test_os.FileTests.test_access` in the file test_os is
("FileTests", "test_access"). Two cases of one file may have the same name (a
class factory called twice); then the name has several outcomes.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

# Outcomes of a case. `partly` is a case that passed but for subtests that were skipped.
PASSED, SKIPPED, PARTLY, FAILED, XFAIL = (
    'passed', 'skipped', 'partly skipped', 'failed', 'expected failure')

# States of a file. A file in the state RAN is as good as its cases are; in the
# state BROKEN it crashed, hung or failed outside of every case.
RAN, FILE_SKIPPED, DENIED, NO_TESTS, ENV_CHANGED, BROKEN, NOT_RUN = (
    'ran', 'skipped', 'resource denied', 'no tests', 'env changed', 'broken', 'not run')

_STATES = {
    'PASSED': RAN, 'FAILED': RAN, 'SKIPPED': FILE_SKIPPED, 'RESOURCE_DENIED': DENIED,
    'DID_NOT_RUN': NO_TESTS, 'ENV_CHANGED': ENV_CHANGED, 'INTERRUPTED': NOT_RUN,
}

# The pseudo case that stands for the file itself in lists and in patterns.
WHOLE_FILE = ('', '-')


@dataclass(frozen=True, order=True)
class Outcome:
    kind: str
    text: str = ''      # why skipped, or the traceback of a failure


@dataclass
class FileResult:
    name: str
    state: str
    text: str = ''                              # why skipped, or how it broke
    cases: dict = field(default_factory=dict)   # (class, method) -> sorted list of Outcome
    ids: dict = field(default_factory=dict)     # (class, method) -> unittest's own id
    seconds: float = 0.0
    failed: bool = False                        # regrtest says so

    def failures(self):
        return [case for case, outcomes in self.cases.items()
                if any(outcome.kind == FAILED for outcome in outcomes)]


class Normaliser:
    """Takes out of a text what differs between two runs of the same test.

    The rules, in this order; everything else is kept as it is:

    1. the folders of this build, of its sources and of the temporary files
       become <build>, <source> and <tmp>;
    2. names made by tempfile and by regrtest lose their random or process-bound
       part: tmpk3v_x2a9 -> tmp*, test_python_4711 -> test_python_*,
       @test_4711_tmp -> @test_*_tmp;
    3. addresses (0x7f11...) become 0x*;
    4. decimal numbers of five digits and more (process ids, inodes, ports,
       times) become *.

    Names of cases and classes go through rules 2 to 4, and only when they are
    more than an identifier.
    """

    RULES = (
        (re.compile(r'\btmp[a-z0-9_]{8}\b'), 'tmp*'),
        (re.compile(r'\b(test_python_(?:worker_)?)(?:\d+|[a-z0-9_]{8}\b)'), r'\1*'),
        (re.compile(r'@test_\d+_tmp'), '@test_*_tmp'),
        (re.compile(r'\b0x[0-9a-fA-F]{6,}\b'), '0x*'),
        (re.compile(r'\d{5,}'), '*'),
    )

    def __init__(self, folders=None):
        """folders: a dict of a placeholder and a list of the absolute paths that it stands for."""
        pairs = [(path, f'<{name}>') for name, paths in (folders or {}).items() for path in paths]
        self.folders = sorted(pairs, key=lambda pair: -len(pair[0]))

    def text(self, text):
        text = ' '.join(text.split()).encode('utf-8', 'backslashreplace').decode('utf-8')
        for path, placeholder in self.folders:
            text = text.replace(path, placeholder)
        for pattern, replacement in self.RULES:
            text = pattern.sub(replacement, text)
        return text

    def name(self, name):
        if name.replace('.', '').isidentifier():
            return name
        name = name.encode('utf-8', 'backslashreplace').decode('utf-8')
        for pattern, replacement in self.RULES:
            name = pattern.sub(replacement, name)
        return name


def file_name(name):
    """The one name of a test file: regrtest says test.test_json or test_json by turns."""
    return name.removeprefix('test.')


def label(case):
    """A case as it is written in lists and matched by patterns."""
    return '.'.join(filter(None, case))


def is_setup(case):
    """Does this stand for a set-up or tear-down, which cannot be run by itself?"""
    return case[1] in ('setUpClass', 'tearDownClass', 'setUpModule', 'tearDownModule')


_SETUP = re.compile(r'(setUpClass|tearDownClass|setUpModule|tearDownModule) \((.*)\)$')


def split_id(test_id, file_name):
    """The (class, method) of one of unittest's ids. The class may be ''."""
    prefix = 'test.' + file_name
    if setup := _SETUP.match(test_id):
        # What is reported of a set-up is not a case; its name takes the place of one.
        owner, method = setup.group(2), setup.group(1)
    else:
        # Dots behind a blank or a bracket are a description, not a name.
        cut = min((test_id.find(mark) for mark in ' ([' if mark in test_id), default=len(test_id))
        dot = test_id.rfind('.', 0, cut)
        owner, method = test_id[:max(dot, 0)], test_id[dot + 1:]
    if owner == prefix:
        owner = ''
    elif owner.startswith(prefix + '.'):
        owner = owner[len(prefix) + 1:]
    return owner, method


def read_json_lines(path):
    """The values in a file of JSON lines; a last line that is cut off is left out."""
    values = []
    try:
        lines = Path(path).read_text(encoding='ascii').splitlines()
    except FileNotFoundError:
        return values
    for line in lines:
        try:
            values.append(json.loads(line))
        except ValueError:
            break
    return values


def read_run(records, folders):
    """The results in a folder of records, as a dict of FileResult by file name.

    A file that regrtest started but never finished (an interrupted run) is NOT_RUN.
    """
    normaliser = Normaliser(folders)
    results = {}
    for path in sorted(Path(records).glob('*.cases')):
        name = file_name(path.name.removesuffix('.cases'))
        results[name] = FileResult(name, NOT_RUN, 'the run ended before this file did')
    for [entry] in read_json_lines(Path(records) / 'files.jsonl'):
        result = FileResult(file_name(entry['name']), _STATES.get(entry['state'], BROKEN))
        result.seconds = entry['duration']
        result.failed = entry['state'] == 'FAILED'
        result.text = _what_broke(entry)
        results[result.name] = result
    for path in Path(records).glob('*.cases'):
        result = results[file_name(path.name.removesuffix('.cases'))]
        _add_cases(result, read_json_lines(path), normaliser)
        if result.failed and not result.failures():
            result.state = BROKEN
        elif result.state in (RAN, NO_TESTS):
            result.text = ''
    return results


def _what_broke(entry):
    words = entry['state'].lower().replace('_', ' ')
    return ': '.join(part for part in (words, entry['message'], entry['output'].strip()) if part)


def _add_cases(result, events, normaliser):
    """Fill in result.cases from the events of the worker that ran this file."""
    test_id, seen = None, []    # the case that is running, and what was said of it

    def finish():
        outcome = _outcome(seen)
        if outcome is not None:
            case = tuple(map(normaliser.name, split_id(test_id, result.name)))
            result.ids.setdefault(case, test_id)
            result.cases.setdefault(case, []).append(outcome)
        return outcome

    for kind, subject, *rest in events:
        if kind.startswith('file '):
            result.text = normaliser.text(subject)
            continue
        # An event of another case than the one that was started is of a set-up
        # or tear-down, which is never started.
        if kind == 'start' or subject != test_id:
            finish()
            test_id, seen = subject, []
        if kind != 'start':
            text = rest[0] if rest else ''
            seen.append(Outcome(kind, text if kind == FAILED else normaliser.text(text)))
    if finish() is None and test_id is not None and result.state in (BROKEN, NOT_RUN):
        result.text = f'while running {test_id}: {result.text}'
    for outcomes in result.cases.values():
        outcomes.sort()


def _outcome(seen):
    """What the events of one case amount to; None when it was started and never ended."""
    if failures := [event.text for event in seen if event.kind == FAILED]:
        return Outcome(FAILED, '\n'.join(failures))
    for event in seen:
        if event.kind in (SKIPPED, XFAIL):
            return event
    # unittest reports no success for a case of which a subtest was skipped.
    if reasons := {event.text for event in seen if event.kind == 'subtest skipped'}:
        return Outcome(PARTLY, ' | '.join(sorted(reasons)))
    return Outcome(PASSED) if seen else None
