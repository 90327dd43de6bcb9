"""tools/regrtest.py: what it finds in a run, and what it does to the run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'
sys.path.insert(0, str(TOOLS))

import regrtest
import regrtest_baseline
import regrtest_session
from regrtest_baseline import BadBaseline, Note
from regrtest_results import BROKEN, FAILED, PARTLY, RAN, Normaliser, read_run, split_id

FACTS = {'release': '3.13.15', 'build': 'release', 'configure': '', 'gdb': 'none', 'ours': False,
         'source': '/somewhere/source', 'builddir': '/somewhere/build'}
TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\nAssertionError: 1 != 2\n'


def passed(*names):
    return [[['start', name], ['passed', name]] for name in names]


def skipped(name, reason):
    return [[['start', name], ['skipped', name, reason]]]


def failed(name, text=TRACEBACK):
    return [[['start', name], ['failed', name, text]]]


# A run in miniature: test file -> (state, its cases).
STOCK = {
    'test_alpha': ('PASSED', passed('test.test_alpha.A.test_one', 'test.test_alpha.A.test_two')
                   + skipped('test.test_alpha.B.test_big', 'needs 12345678 bytes')),
    'test_beta': ('PASSED', passed('test.test_beta.A.test_one')),
    'test_win': ('SKIPPED', [[['file skipped', 'Windows only']]]),
}


def write_records(folder, run):
    folder.mkdir(parents=True)
    for name, (state, cases) in run.items():
        (folder / f'{name}.cases').write_text(
            ''.join(json.dumps(event) + '\n' for case in cases for event in case))
        with open(folder / 'files.jsonl', 'a') as file:
            file.write(json.dumps([{'name': name, 'state': state, 'duration': 1, 'message': None,
                                    'output': 'what it printed'}]) + '\n')


class FakeSession:
    """Takes the place of the built python: gives the runs it was made with, one after the other."""

    tmp = Path('/somewhere/tmp')

    def __init__(self, runs, facts):
        self.runs = list(runs)
        self.asked = []
        self._facts = facts

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def facts(self):
        return dict(self._facts)

    def run_tests(self, records, args, on_line):
        self.asked.append(args)
        on_line('0:00:01 load avg: 1.00 [1/3/1] test_alpha passed -- running (1): test_beta (31 sec)')
        write_records(Path(records), self.runs.pop(0))
        return 2


class House:
    """A folder with a baseline, and a way to run the tool on synthetic results."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder = folder
        self.baseline = folder / 'baseline'
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        self.python = folder / 'build' / 'python'
        self.python.parent.mkdir()
        self.python.touch()
        self.run(STOCK, options=['--renew'])

    def run(self, *runs, options=(), facts=FACTS):
        """Returns (exit code, the lines printed)."""
        self.session = FakeSession(runs, facts)
        self.monkeypatch.setattr(regrtest, 'Session', lambda *args: self.session)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.monkeypatch.setattr(regrtest.signal, 'signal', lambda *args: None)
        self.capsys.readouterr()
        code = regrtest.main(['--python', str(self.python), '--baseline', str(self.baseline), *options])
        out, err = self.capsys.readouterr()
        return code, out.splitlines() + err.splitlines()

    @property
    def report(self):
        return self.python.parent / 'regrtest'


@pytest.fixture
def house(tmp_path, monkeypatch, capsys):
    return House(tmp_path, monkeypatch, capsys)


def changed(name, state=None, cases=None, run=STOCK):
    old = run.get(name, ('PASSED', []))
    return dict(run, **{name: (state or old[0], old[1] if cases is None else cases)})


def test_an_equal_run_passes_and_ends_with_the_counts(house):
    code, lines = house.run(STOCK)
    assert code == 0
    assert lines[-1] == '3 passed, 0 failed, 2 skipped'
    assert '0:00:01 [1/3] test_alpha passed' in lines


def test_a_new_failure_fails_when_it_fails_again_alone(house):
    bad = changed('test_beta', 'FAILED', failed('test.test_beta.A.test_one'))
    again = {'test_beta': bad['test_beta']}
    code, lines = house.run(bad, again)
    assert code == 1
    assert 'test_beta' in lines
    assert '  failed: A.test_one: AssertionError: 1 != 2' in lines
    assert lines[-1] == '2 passed, 1 failed, 2 skipped'
    assert TRACEBACK in (house.report / 'failures.txt').read_text()


def test_a_failure_that_passes_alone_is_listed_and_does_not_fail_the_run(house):
    bad = changed('test_beta', 'FAILED', failed('test.test_beta.A.test_one'))
    code, lines = house.run(bad, {'test_beta': STOCK['test_beta']})
    assert code == 0
    assert 'failed under load, passed alone: test_beta A.test_one' in lines
    assert lines[-1] == '3 passed, 0 failed, 2 skipped'
    assert TRACEBACK in (house.report / 'failed-under-load.txt').read_text()
    # Alone: one process, one file, only that case.
    _, again = house.session.asked
    assert again[0] == '-j1' and again[-1] == 'test_beta'
    [match] = [arg.partition('=')[2] for arg in again if arg.startswith('--matchfile')]
    assert Path(match).read_text() == 'test.test_beta.A.test_one\n'


def test_comparing_a_finished_run_again_gives_the_same_answer(house):
    bad = changed('test_beta', 'FAILED', failed('test.test_beta.A.test_one'))
    first = house.run(bad, {'test_beta': STOCK['test_beta']})
    second = house.run(options=['--compare-only', str(house.report)])
    assert second[0] == first[0] == 0
    assert second[1][-1] == first[1][-1]
    assert 'failed under load, passed alone: test_beta A.test_one' in second[1]


def test_a_crash_is_run_again_whole_and_names_the_case(house):
    crash = changed('test_alpha', 'WORKER_FAILED', passed('test.test_alpha.A.test_one')
                    + [[['start', 'test.test_alpha.A.test_two']]])
    code, lines = house.run(crash, {'test_alpha': crash['test_alpha']})
    assert code == 1
    assert any('the whole file' in line and 'test.test_alpha.A.test_two' in line for line in lines)
    assert lines[-1] == '2 passed, 2 failed, 1 skipped'     # the crashed case and the one behind it
    code, lines = house.run(crash, {'test_alpha': STOCK['test_alpha']})
    assert code == 0
    assert 'failed under load, passed alone: test_alpha -' in lines


def test_when_everything_fails_nothing_is_run_again(house, monkeypatch):
    monkeypatch.setattr(regrtest, 'MOST_RERUNS', 1)
    bad = {name: ('FAILED', failed(f'test.{name}.A.test_one')) for name in ('test_alpha', 'test_beta')}
    code, lines = house.run(dict(STOCK, **bad))
    assert code == 1
    assert len(house.session.asked) == 1


@pytest.mark.parametrize('run, wanted', [
    (changed('test_alpha', cases=passed('test.test_alpha.A.test_one')
             + skipped('test.test_alpha.B.test_big', 'needs 12345678 bytes')),
     '  vanished: A.test_two: it was: passed'),
    (changed('test_beta', cases=skipped('test.test_beta.A.test_one', 'no zlib')),
     '  skipped: A.test_one: passed -> skipped (no zlib)'),
    (changed('test_alpha', cases=STOCK['test_alpha'][1][:2] + skipped('test.test_alpha.B.test_big', 'no zlib')),
     '  skipped: B.test_big: skipped (needs * bytes) -> skipped (no zlib)'),
    (changed('test_alpha', cases=STOCK['test_alpha'][1][:2] + passed('test.test_alpha.B.test_big')),
     '  no longer as in stock: B.test_big: skipped (needs * bytes) -> passed'),
    (changed('test_beta', cases=passed('test.test_beta.A.test_one', 'test.test_beta.A.test_two')),
     '  not in the baseline: A.test_two: passed'),
    (changed('test_beta', cases=passed('test.test_beta.A.test_one') * 2),
     '  not in the baseline: A.test_one: 1 cases of this name -> 2'),
    (changed('test_beta', 'SKIPPED', [[['file skipped', 'no zlib']]]),
     '  skipped: the whole file: ran -> skipped: no zlib'),
    (changed('test_win', 'SKIPPED', [[['file skipped', 'no zlib']]]),
     '  skipped: the whole file: Windows only -> no zlib'),
    (changed('test_win', 'PASSED', passed('test.test_win.A.test_one')),
     '  no longer as in stock: the whole file: skipped -> ran'),
    (changed('test_new', 'PASSED', passed('test.test_new.A.test_one')),
     '  not in the baseline: the whole file: 1 cases'),
    ({name: STOCK[name] for name in ('test_alpha', 'test_win')},
     '  vanished: the whole file: it was not run'),
])
def test_anything_else_than_the_baseline_fails(house, run, wanted):
    code, lines = house.run(run)
    assert code == 1
    assert wanted in lines
    assert ' 1 failed, ' in lines[-1]


def test_numbers_and_paths_in_a_reason_do_not_count(house):
    run = changed('test_alpha', cases=STOCK['test_alpha'][1][:2]
                  + skipped('test.test_alpha.B.test_big', 'needs 87654321 bytes'))
    assert house.run(run)[0] == 0
    normal = Normaliser({'tmp': ['/tmp/rt-abc'], 'build': ['/home/me/build']})
    assert normal.text('no /home/me/build/python in\n /tmp/rt-abc/tmpq_3x91ab (0x7f001122aa)') == \
        'no <build>/python in <tmp>/tmp* (0x*)'
    assert normal.text('requires Linux 2.6.32') == 'requires Linux 2.6.32'


def test_an_intended_difference_is_accepted_and_a_stale_one_is_not(house):
    (house.baseline / 'intended').write_text(
        '# comment\ngone test_beta A.test_one -- our patch removes it\n')
    ours = dict(FACTS, ours=True)
    run = dict(STOCK, test_beta=('PASSED', passed('test.test_beta.A.test_two')),
               test_subinterpreters=('PASSED', passed('test.test_subinterpreters.test_x.A.test_one')))
    code, lines = house.run(run, facts=ours)
    assert code == 1 and '  not in the baseline: A.test_two: passed' in lines
    with open(house.baseline / 'intended', 'a') as file:
        file.write('new test_beta A.test_t* -- and adds this\n')
    assert house.run(run, facts=ours)[0] == 0
    code, lines = house.run(dict(STOCK, test_subinterpreters=run['test_subinterpreters']), facts=ours)
    assert code == 1 and any('out of date' in line for line in lines)
    # A run of some files cannot know what the others do.
    assert house.run({'test_alpha': STOCK['test_alpha']}, facts=ours, options=['test_alpha'])[0] == 0


def test_an_intended_difference_needs_a_reason(house):
    (house.baseline / 'intended').write_text('gone test_beta A.test_one\n')
    code, lines = house.run(STOCK)
    assert code == 2 and 'intended:1' in lines[-1]


def test_our_own_package_must_be_there_and_pass(house):
    ours = dict(FACTS, ours=True)
    code, lines = house.run(STOCK, facts=ours)
    assert code == 1 and '  vanished: the whole file: our own tests were not run' in lines
    name = 'test.test_subinterpreters.test_channel.A.test_send'
    good = dict(STOCK, test_subinterpreters=('PASSED', passed(name)))
    code, lines = house.run(good, facts=ours)
    assert code == 0 and lines[-1] == '4 passed, 0 failed, 2 skipped'
    bad = dict(STOCK, test_subinterpreters=('FAILED', failed(name)))
    code, lines = house.run(bad, {'test_subinterpreters': bad['test_subinterpreters']}, facts=ours)
    assert code == 1 and '  failed: test_channel.A.test_send: AssertionError: 1 != 2' in lines
    all_skipped = dict(STOCK, test_subinterpreters=('SKIPPED', [[['file skipped', 'no engine']]]))
    again = {'test_subinterpreters': all_skipped['test_subinterpreters']}
    assert house.run(all_skipped, again, facts=ours)[0] == 1


def test_another_release_is_refused_before_anything_runs(house):
    code, lines = house.run(facts=dict(FACTS, release='3.13.5'))
    assert code == 2
    assert lines == ['regrtest: the baseline is for 3.13.15, this python is 3.13.5: nothing to compare']


def test_another_machine_is_announced(house):
    code, lines = house.run(STOCK, facts=dict(FACTS, gdb='GNU gdb 13.1'))
    assert code == 0
    assert 'unlike the baseline: gdb is "GNU gdb 13.1", there it was "none"' in lines


def test_without_a_baseline_it_says_how_to_make_one(house):
    for path in house.baseline.iterdir():
        path.unlink()
    code, lines = house.run()
    assert code == 2 and 'VARIANT=stock' in lines[-1]


def test_a_damaged_baseline_is_not_trusted(house):
    path = house.baseline / 'cases-a-b.txt'
    path.write_text(path.read_text().replace(' test_two', ''))
    code, lines = house.run()
    assert code == 2 and 'there are 3 and 3' in lines[-1]


def test_a_part_of_the_suite_is_compared_with_its_part_of_the_baseline(house):
    code, lines = house.run({'test_alpha': STOCK['test_alpha']}, options=['test_alpha'])
    assert code == 0 and lines[-1] == '2 passed, 0 failed, 1 skipped'
    code, lines = house.run({'test_alpha': STOCK['test_alpha']}, options=['test_alpha', 'test.test_beta'])
    assert code == 1 and '  vanished: the whole file: it was not run' in lines


def test_a_long_report_is_cut_and_kept_in_full(house):
    many = passed(*(f'test.test_beta.A.test_{number}' for number in range(100)))
    code, lines = house.run(changed('test_beta', cases=STOCK['test_beta'][1] + many))
    assert code == 1
    assert len(lines) < 70
    assert '... and 41 lines more' in lines
    assert len((house.report / 'report.txt').read_text().splitlines()) > 100
    assert lines[-1].startswith('3 passed, 100 failed')


def test_renewing_asks_for_the_cause_of_a_failure_and_keeps_it(house):
    bad = changed('test_beta', 'FAILED', failed('test.test_beta.A.test_one'))
    again = {'test_beta': bad['test_beta']}
    code, lines = house.run(bad, again, options=['--renew'])
    assert code == 1 and any('gives no cause' in line for line in lines)
    code, lines = house.run(bad)
    assert code == 1 and any('nobody wrote down why' in line for line in lines)

    (house.baseline / 'expected').write_text('fails test_beta A.test_one -- there is no network\n')
    assert house.run(options=['--compare-only', str(house.report), '--renew'])[0] == 0
    assert '  ~ failed: there is no network\n    test_one\n' in (house.baseline / 'cases-a-b.txt').read_text()
    code, lines = house.run(bad)
    assert code == 0
    assert 'fails, as expected: test_beta A.test_one: there is no network' in lines
    assert lines[-1] == '2 passed, 0 failed, 2 skipped'
    code, lines = house.run(STOCK)
    assert code == 1 and '  no longer as in stock: A.test_one: failed -> passed' in lines


@pytest.mark.parametrize('cases', [
    passed('test.test_beta.A.test_one'), failed('test.test_beta.A.test_one'),
    skipped('test.test_beta.A.test_one', 'no vsock'), []])
def test_a_case_that_varies_may_do_anything(house, cases):
    (house.baseline / 'expected').write_text('varies test_beta A.test_* -- it depends on the kernel\n')
    assert house.run(STOCK, options=['--renew'])[0] == 0
    state = 'FAILED' if cases and cases[0][1][0] == 'failed' else 'PASSED'
    assert house.run(changed('test_beta', state, cases))[0] == 0


def test_only_stock_makes_a_baseline(house):
    before = {path: path.read_bytes() for path in house.baseline.iterdir()}
    code, lines = house.run(options=['--renew'], facts=dict(FACTS, ours=True))
    assert code == 2 and 'not the stock build' in lines[-1]
    assert before == {path: path.read_bytes() for path in house.baseline.iterdir()}


def test_a_part_can_be_renewed_and_the_rest_stays(house):
    beta = {'test_beta': ('PASSED', passed('test.test_beta.A.test_two'))}
    assert house.run(beta, options=['--renew', 'test_beta'])[0] == 0
    assert house.run(dict(STOCK, **beta))[0] == 0


def test_an_unfinished_run_renews_nothing(house):
    before = {path: path.read_bytes() for path in house.baseline.iterdir()}
    run = changed('test_beta', 'INTERRUPTED')
    code, lines = house.run(run, options=['--renew'])
    assert code == 2 and 'test_beta' in lines[-1]
    assert before == {path: path.read_bytes() for path in house.baseline.iterdir()}


def test_a_run_that_regrtest_did_not_finish_is_not_compared(house, monkeypatch):
    monkeypatch.setattr(FakeSession, 'run_tests', lambda *args: 1)
    code, lines = house.run()
    assert code == 2 and 'did not finish (exit code 1)' in lines[-1]


def test_the_baseline_is_read_as_it_was_written(tmp_path):
    names = ['plain', 'with blank', '50%', 'a*b', 'caf\xe9']
    cases = [case for name in names for case in passed(f'test.test_x.C.{name}')] * 2
    cases += [[['start', 'doctest.thing'], ['passed', 'doctest.thing']],
              [['skipped', 'setUpClass (test.test_x.D)', 'no: colon']],
              [['start', 'test.test_x.C.sub'], ['subtest skipped', 'test.test_x.C.sub', 'b'],
               ['subtest skipped', 'test.test_x.C.sub', 'a']],
              [['start', 'test.test_x.C.x'], ['expected failure', 'test.test_x.C.x']]]
    write_records(tmp_path / 'records', {'test.test_x': ('PASSED', cases)})
    results = read_run(tmp_path / 'records', {})
    assert results['test_x'].cases[('C', 'sub')][0].kind == PARTLY
    assert results['test_x'].cases[('C', 'sub')][0].text == 'a | b'
    baseline, problems = regrtest_baseline.from_results(results, {'release': '3.13.15'}, [])
    assert not problems
    regrtest_baseline.store(baseline, tmp_path / 'baseline')
    again = regrtest_baseline.load(tmp_path / 'baseline')
    assert again.files == baseline.files
    first = {path.name: path.read_bytes() for path in (tmp_path / 'baseline').iterdir()}
    regrtest_baseline.store(again, tmp_path / 'second')
    assert first == {path.name: path.read_bytes() for path in (tmp_path / 'second').iterdir()}
    assert '* ' not in first['cases-u-z.txt'].decode() and 'plain*2' in first['cases-u-z.txt'].decode()


@pytest.mark.parametrize('test_id, file, case', [
    ('test.test_os.FileTests.test_access', 'test_os', ('FileTests', 'test_access')),
    ('test.test_json.test_dump.TestC.test_x', 'test_json', ('test_dump.TestC', 'test_x')),
    ('setUpClass (test.test_os.FileTests)', 'test_os', ('FileTests', 'setUpClass')),
    ('setUpModule (test.test_os)', 'test_os', ('', 'setUpModule')),
    ('doctest.__test__.blank lines', 'test_doctest', ('doctest.__test__', 'blank lines')),
    ('test.test_x.C.test_c14n [a.b.c]', 'test_x', ('C', 'test_c14n [a.b.c]')),
])
def test_how_a_case_is_named(test_id, file, case):
    assert split_id(test_id, file) == case


def test_a_line_that_is_not_understood_is_named(tmp_path):
    (tmp_path / 'facts').write_text('files: 1\ncases: 0\n')
    (tmp_path / 'cases-c.txt').write_text('[test_c\n')
    with pytest.raises(BadBaseline, match='cases-c.txt:1'):
        regrtest_baseline.load(tmp_path)


def test_a_note_covers_cases_by_pattern():
    note = Note('fails', 'test_a', 'A.*', 'why')
    assert note.covers('test_a', ('A', 'test_x'))
    assert not note.covers('test_a', ('B', 'test_x'))
    assert not note.covers('test_b', ('A', 'test_x'))


# --- Real processes ----------------------------------------------------------------------

STAND_IN = '''#!{python}
import json, os, subprocess, sys, time
if '--facts' in sys.argv:
    print(json.dumps({facts}))
else:
    child = subprocess.Popen(['sleep', '1000'], start_new_session=True)
    with open({pids!r} + '.new', 'w') as file:
        file.write(f'{{os.getpid()}} {{child.pid}}')
    os.rename({pids!r} + '.new', {pids!r})
    time.sleep(1000)
'''


def is_running(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='looks at /proc')
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_children_and_leaves_the_baseline(tmp_path, number):
    pids = tmp_path / 'pids'
    python = tmp_path / 'python'
    python.write_text(STAND_IN.format(python=sys.executable, facts=FACTS, pids=str(pids)))
    python.chmod(0o755)
    baseline = tmp_path / 'baseline'
    tool = subprocess.Popen(
        [sys.executable, TOOLS / 'regrtest.py', '--python', python, '--baseline', baseline, '--renew'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, TMPDIR=str(tmp_path)),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        deadline = time.monotonic() + 30
        while not pids.exists() and time.monotonic() < deadline and tool.poll() is None:
            time.sleep(0.02)
        children = [int(pid) for pid in pids.read_text().split()]
        tool.send_signal(number)
        out, err = tool.communicate(timeout=60)
    finally:
        tool.kill()
    assert tool.returncode == 130
    assert 'interrupted' in err and 'Traceback' not in err
    assert not any(map(is_running, children))
    assert not baseline.exists()
    assert not list(tmp_path.glob('rt-*'))


def test_one_run_at_a_time_in_a_build_folder(tmp_path):
    with regrtest_session.Session(tmp_path / 'python', tmp_path):
        with pytest.raises(regrtest_session.CannotRun, match='another run'):
            with regrtest_session.Session(tmp_path / 'python', tmp_path):
                pass


SAMPLE = '''
import unittest
class A(unittest.TestCase):
    def test_pass(self): pass
    def test_skip(self): self.skipTest("not here")
    def test_fail(self): self.fail("as it should")
    def test_subtests(self):
        for number in range(3):
            with self.subTest(number=number):
                if number == 1: self.skipTest("no one")
    def test_bad_subtest(self):
        for number in range(3):
            with self.subTest(number=number): self.assertNotEqual(number, 1)
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.expectedFailure
    def test_unexpected(self): pass
class B(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("no class")
    def test_never(self): pass
'''
CRASH = '''
import os, unittest
class A(unittest.TestCase):
    def test_a(self): pass
    def test_b(self): os.abort()
'''


@pytest.fixture(scope='module')
def built_python():
    path = Path(os.environ.get('ENSEMBLE_PYTHON') or ROOT / 'build' / 'release' / 'python').absolute()
    if not path.is_file():
        pytest.skip(f'needs a built python: there is no {path}')
    return path


def test_what_the_built_python_tells_of_its_cases(built_python, tmp_path):
    (tmp_path / 'test_sample.py').write_text(SAMPLE)
    (tmp_path / 'test_crash.py').write_text(CRASH)
    (tmp_path / 'test_nowhere.py').write_text('import unittest; raise unittest.SkipTest("not on Mars")')
    with regrtest_session.Session(built_python, tmp_path) as session:
        session.run_tests(tmp_path / 'records', ['-j2', '--testdir', str(tmp_path), 'test_sample', 'test_crash',
                                                 'test_nowhere'], lambda line: None)
        assert session.facts()['release'].startswith('3.')
    results = read_run(tmp_path / 'records', {})
    sample = results['test_sample']
    assert sample.state == RAN
    kinds = {case: [outcome.kind for outcome in outcomes] for case, outcomes in sample.cases.items()}
    assert kinds == {
        ('test_sample.A', 'test_pass'): ['passed'],
        ('test_sample.A', 'test_skip'): ['skipped'],
        ('test_sample.A', 'test_fail'): [FAILED],
        ('test_sample.A', 'test_subtests'): [PARTLY],
        ('test_sample.A', 'test_bad_subtest'): [FAILED],
        ('test_sample.A', 'test_expected'): ['expected failure'],
        ('test_sample.A', 'test_unexpected'): [FAILED],
        ('test_sample.B', 'setUpClass'): ['skipped'],
    }
    assert 'number=1' in sample.cases[('test_sample.A', 'test_bad_subtest')][0].text
    crash = results['test_crash']
    assert crash.state == BROKEN
    assert crash.text.startswith('while running test_crash.A.test_b')
    assert list(crash.cases) == [('test_crash.A', 'test_a')]
    assert (results['test_nowhere'].state, results['test_nowhere'].text) == ('skipped', 'not on Mars')


def test_a_real_run_of_two_files(built_python, tmp_path):
    command = [sys.executable, TOOLS / 'regrtest.py', '--python', built_python, '--build-dir', tmp_path,
               '--baseline', tmp_path / 'baseline', '--report', tmp_path / 'report',
               'test_colorsys', 'test_winreg']
    # A baseline needs stock; the release is all that is taken from this python here.
    with regrtest_session.Session(built_python, tmp_path) as session:
        release = session.facts()['release']
    listed = subprocess.run([built_python, '-m', 'test', '--list-cases', 'test_colorsys'],
                            stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    assert 'test.test_colorsys.ColorsysTest.test_hsv_values' in listed
    write_records(tmp_path / 'records', {
        'test_winreg': ('SKIPPED', [[['file skipped', "No module named 'winreg'"]]]),
        'test_colorsys': ('PASSED', passed(*listed)),
    })
    stock, _ = regrtest_baseline.from_results(read_run(tmp_path / 'records', {}), {'release': release}, [])
    regrtest_baseline.store(stock, tmp_path / 'baseline')
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == f'{len(listed)} passed, 0 failed, 1 skipped'
