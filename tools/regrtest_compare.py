"""A run against the baseline: the differences, and how they are told."""

from dataclasses import dataclass, field

from regrtest_baseline import NO_CAUSE, VARIES, find_note
from regrtest_results import (
    BROKEN, DENIED, ENV_CHANGED, FAILED, FILE_SKIPPED, NOT_RUN, PARTLY, PASSED, RAN, SKIPPED,
    WHOLE_FILE, XFAIL, label)

OWN_PACKAGE = 'test_subinterpreters'

_HEADINGS = {'fails': 'failed', 'gone': 'vanished', 'new': 'not in the baseline',
             'skipped': 'skipped', 'runs': 'no longer as in stock', 'note': 'out of date'}


@dataclass
class Difference:
    kind: str           # a kind of `intended`, or `note`
    file: str
    case: tuple
    text: str
    cases: int = 1      # how many cases it stands for

    def line(self):
        name = 'the whole file' if self.case == WHOLE_FILE else label(self.case)
        return f'{_HEADINGS[self.kind]}: {name}' + (f': {self.text}' if self.text else '')


@dataclass
class Comparison:
    differences: list = field(default_factory=list)
    accepted: list = field(default_factory=list)    # (file, case, cause): failed, and may
    passed: int = 0
    skipped: int = 0

    @property
    def failed(self):
        return sum(difference.cases for difference in self.differences)

    def summary(self):
        return f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped'


def is_ours(file):
    return file == OWN_PACKAGE or file.startswith(OWN_PACKAGE + '.')


def selects(selection, file):
    """Is this file one of those asked for? No selection is every file."""
    return not selection or any(file == name or file.startswith(name + '.') for name in selection)


def compare(baseline, results, selection=(), ours=False):
    """selection: names of test files or packages, or () for a run of everything;
    ours: the python that was run has our engine, so our own tests must be there."""
    comparison = Comparison()
    for note in baseline.intended:
        note.used = False
    stock = {name for name in baseline.files if selects(selection, name)}
    for name in sorted(stock | set(results)):
        result, base = results.get(name), baseline.files.get(name)
        if is_ours(name):
            _require_pass(comparison, result)
        elif result is None:
            _differ(comparison, baseline, 'gone', name, WHOLE_FILE, 'it was not run', max(1, len(base.cases)))
        elif base is None:
            _add_new_file(comparison, baseline, result)
        else:
            _compare_file(comparison, baseline, base, result)
    if ours and not selection:
        if not any(is_ours(name) for name in results):
            comparison.differences.append(Difference(
                'gone', OWN_PACKAGE, WHOLE_FILE, 'our own tests were not run'))
        comparison.differences += [
            Difference('note', note.file, ('', note.pattern), f'`intended` says "{note}", and it was not seen')
            for note in baseline.intended if not note.used]
    return comparison


def _differ(comparison, baseline, kind, file, case, text, cases=1):
    """Note a difference. Returns whether it counts as one, that is, nobody intended it."""
    if find_note(baseline.intended, file, case, (kind,)):
        return False
    comparison.differences.append(Difference(kind, file, case, text, cases))
    return True


def _count(comparison, outcomes):
    for outcome in outcomes:
        if outcome.kind in (PASSED, PARTLY, XFAIL):
            comparison.passed += 1
        elif outcome.kind == SKIPPED:
            comparison.skipped += 1


def _require_pass(comparison, result):
    """Our own package is not compared: every case passes or says why it is skipped."""
    if result.state != RAN or not result.cases:
        text = _last_line(result.text) or 'it has no cases'
        comparison.differences.append(Difference('fails', result.name, WHOLE_FILE, text))
    for case in result.failures():
        comparison.differences.append(
            Difference('fails', result.name, case, _first_failure(result.cases[case])))
    for case, outcomes in result.cases.items():
        _count(comparison, outcomes)


def _add_new_file(comparison, baseline, result):
    kind = 'fails' if result.state in (BROKEN, ENV_CHANGED, NOT_RUN) else 'new'
    if _differ(comparison, baseline, kind, result.name, WHOLE_FILE,
               _last_line(result.text) or f'{len(result.cases)} cases', max(1, len(result.cases))):
        return
    for case, outcomes in result.cases.items():
        if _fails(outcomes):
            _differ(comparison, baseline, 'fails', result.name, case, _first_failure(outcomes))
        _count(comparison, outcomes)


def _compare_file(comparison, baseline, base, result):
    name = result.name
    missing = [case for case in base.cases if case not in result.cases]
    if base.state == VARIES:
        pass
    elif result.state != base.state:
        kind = {RAN: 'runs', FILE_SKIPPED: 'skipped', DENIED: 'skipped'}.get(result.state, 'fails')
        text = f'{base.state} -> {result.state}'
        if result.text:
            text += f': {_last_line(result.text)}'
        _differ(comparison, baseline, kind, name, WHOLE_FILE, text, max(1, len(missing)))
    elif result.state in (FILE_SKIPPED, DENIED) and result.text != base.text:
        _differ(comparison, baseline, 'skipped', name, WHOLE_FILE, f'{base.text} -> {result.text}')
    elif result.state in (BROKEN, ENV_CHANGED):
        _accept(comparison, name, WHOLE_FILE, base.text)
    if result.state in (FILE_SKIPPED, DENIED) and not _differs_as_a_whole(comparison, name):
        comparison.skipped += 1

    # When the file as a whole went another way, what that did to its cases is one difference.
    as_before = VARIES not in base.state and base.state in (RAN, ENV_CHANGED)
    complete = result.state in (RAN, ENV_CHANGED)
    if as_before and complete:
        for case in missing:
            if base.cases[case][0].kind != VARIES:
                was = base.cases[case][0]
                _differ(comparison, baseline, 'gone', name, case, f'it was: {_tell(was)}',
                        len(base.cases[case]))
    for case, outcomes in sorted(result.cases.items()):
        if case in base.cases:
            _compare_case(comparison, baseline, name, case, base.cases[case], outcomes)
        elif _fails(outcomes):
            _differ(comparison, baseline, 'fails', name, case, _first_failure(outcomes))
        elif not as_before or not _differ(comparison, baseline, 'new', name, case,
                                          _tell(outcomes[0]), len(outcomes)):
            _count(comparison, outcomes)


def _differs_as_a_whole(comparison, file):
    """Is there a difference for the state of this file already?"""
    last = comparison.differences[-1:]
    return bool(last) and last[0].file == file and last[0].case == WHOLE_FILE


def _compare_case(comparison, baseline, name, case, before, after):
    if before[0].kind == VARIES:
        if _fails(after):
            _accept(comparison, name, case, before[0].text)
        _count(comparison, after)
        return
    if _signature(before) == _signature(after):
        for outcome in before:
            if outcome.kind == FAILED and outcome.text == NO_CAUSE:
                comparison.differences.append(Difference(
                    'note', name, case, 'it fails in the baseline too, but nobody wrote down why'))
            elif outcome.kind == FAILED:
                _accept(comparison, name, case, outcome.text)
        _count(comparison, after)
        return
    if _fails(after) and not _fails(before):
        kind, text = 'fails', _first_failure(after)
    elif any(outcome.kind in (SKIPPED, PARTLY) and outcome not in before for outcome in after):
        kind = 'skipped'
        text = f'{_tell_all(before)} -> {_tell_all(after)}'
    elif len(after) != len(before):
        kind = 'new' if len(after) > len(before) else 'gone'
        text = f'{len(before)} cases of this name -> {len(after)}'
    else:
        kind, text = 'runs', f'{_tell_all(before)} -> {_tell_all(after)}'
    if not _differ(comparison, baseline, kind, name, case, text):
        if _fails(after):
            _accept(comparison, name, case, 'intended')
        _count(comparison, after)


def _accept(comparison, file, case, cause):
    comparison.accepted.append((file, case, cause))


def _fails(outcomes):
    return any(outcome.kind == FAILED for outcome in outcomes)


def _signature(outcomes):
    """What has to be equal: how a case failed is told, and not compared."""
    return sorted((outcome.kind, '' if outcome.kind == FAILED else outcome.text)
                  for outcome in outcomes)


def _tell(outcome):
    if outcome.kind in (SKIPPED, PARTLY):
        return f'{outcome.kind} ({outcome.text})'
    return outcome.kind


def _tell_all(outcomes):
    return ', '.join(sorted(set(map(_tell, outcomes))))


def _first_failure(outcomes):
    return _last_line(next(outcome.text for outcome in outcomes if outcome.kind == FAILED))


def _last_line(text):
    """The line of a traceback or of an output that says most: the exception, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ''
    for line in reversed(lines):
        head = line.partition(':')[0]
        if head.replace('.', '').isidentifier() and head.endswith(('Error', 'Exception', 'Exit', 'Warning')):
            return line[:200]
    return lines[0][:200] if text.startswith('while running') else lines[-1][:200]


def grouped(differences):
    """The differences as lines, under one heading per file."""
    lines = []
    previous = None
    for difference in sorted(differences, key=lambda d: (d.file, d.case != WHOLE_FILE, d.case, d.kind)):
        if difference.file != previous:
            lines.append(difference.file)
            previous = difference.file
        lines.append('  ' + difference.line())
    return lines
