"""A few packages with compiled code in interpreters of their own GIL, and the tool that tries many.

`make test-packages` tries all in tests/packages/packages.toml, in more scenarios; `make test-suites`
runs packages' own tests.
"""

import ast
import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / 'packages'))

import catalogue  # noqa: E402
import run  # noqa: E402
import suites  # noqa: E402
import table  # noqa: E402

PACKAGES = catalogue.packages()
QUICK = [package for package in PACKAGES.values() if 'quick' in package.tags]


# ---- the packages ----

@pytest.mark.parametrize('scenario', catalogue.few([4]), ids=str)
@pytest.mark.parametrize('package', QUICK, ids=lambda package: package.name)
def test_package(python, package, scenario):
    result = run.run_scenario(python, package, scenario)
    assert result.kind == run.OK, result.output


def test_quick_ones_are_required_in_the_same_version():
    required = (HERE / 'requirements.txt').read_text().splitlines()
    assert not [package.pin for package in QUICK if package.pin not in required]


def test_each_package_has_a_check_and_each_check_a_package():
    for group in {package.group for package in PACKAGES.values()}:
        tree = ast.parse((HERE / f'packages/checks/{group}.py').read_text())
        checks = {node.name for node in tree.body
                  if isinstance(node, ast.FunctionDef) and not node.name.startswith('_')}
        assert checks == {package.check for package in PACKAGES.values() if package.group == group}
    assert all(package.does for package in PACKAGES.values())


def test_checks_import_packages_only_when_they_run():
    for path in (HERE / 'packages/checks').glob('*.py'):
        imports = [alias.name for node in ast.parse(path.read_text()).body
                   if isinstance(node, ast.Import) for alias in node.names]
        assert set(imports) <= sys.stdlib_module_names, path


def test_dependencies_are_pinned_once():
    pinned = [line.partition('==')[0] for line in (HERE / 'packages/dependencies.txt').read_text().splitlines()
              if not line.startswith('#')]
    names = [re.sub('[-_.]+', '-', name).lower() for name in [*pinned, *PACKAGES]]
    assert len(set(names)) == len(names)


# ---- what was recorded ----

def test_recorded_results_are_of_the_versions_that_are_tried():
    recorded = json.loads(run.RECORDED.read_text())['packages']
    assert {name: entry['version'] for name, entry in recorded.items()} == {
        name: package.version for name, package in PACKAGES.items()}
    for name, entry in recorded.items():
        assert entry['reason'] == PACKAGES[name].reason
        assert PACKAGES[name].expects(entry['problems']), name


def test_page_of_the_documentation_is_that_of_the_results():
    assert run.PAGE.read_text() == run.page()


# ---- packages' own tests ----

SUITES, PAIRS, TOOLS = suites.load()


@pytest.fixture
def run_tests(python, tmp_path):
    """run_tests(where, *files): what becomes of tests that run at the same time (list of dicts)."""
    class Folder(suites.Folder):
        def python(self, where):
            return Path(python)

    def run_tests(where, *files):
        chosen = [dataclasses.replace(SUITES['numpy-arrays'], name=str(number), tests=[file])
                  for number, file in enumerate(files)]
        folder = Folder(tmp_path, SUITES, TOOLS, {})
        suites.run_suites(folder, chosen, where, 180)
        found = [suites.read(folder.record(suite, where)) for suite in chosen]
        log, = (tmp_path / 'records' / where).glob('*.log')
        assert [(process.get('status'), process['exit']) for _, process in found] == [(0, 0)] * len(found), (
            log.read_text())
        return [ends for ends, _ in found]

    return run_tests


def test_tests_of_numpy_end_as_in_main(run_tests):
    files = 'numpy/_core/tests/test_indexing.py', 'numpy/random/tests/test_random.py'
    ends = run_tests('interpreters', *files)
    assert ends == run_tests('main', *files)
    assert min(map(len, ends)) > 100


def test_each_suite_is_in_one_pair():
    assert sorted(name for pair in PAIRS for name in pair) == sorted(SUITES)
    assert {len(pair) for pair in PAIRS} == {2}


def test_recorded_suites_are_those_that_are_run():
    recorded = json.loads(suites.RECORDED.read_text())['suites']
    assert list(recorded) == list(SUITES)
    for name, entry in recorded.items():
        suite = SUITES[name]
        assert (entry['version'], entry['tests'], entry['arguments'], entry['left_out']) == (
            suite.package.version, suite.tests, suite.arguments, suite.left_out), name
        assert not suites.problems(suite, entry['differences'], entry['processes']), name
        assert all(item['reason'] == suite.reason(item['test']) for item in entry['differences'])


SUITE = suites.Suite('spam', PACKAGES['numpy'], ('spam',), differs={'x::eggs': 'it forks'})


def lines(*ends, **process):
    """A record of tests."""
    return '\n'.join(json.dumps(line) for line in [
        *({'id': test, 'when': when, 'outcome': outcome, 'text': ''} for test, when, outcome in ends),
        process])


def test_record(tmp_path):
    record = tmp_path / 'record'
    record.write_text(lines(
        ('a', 'setup', 'passed'), ('a', 'call', 'passed'), ('a', 'teardown', 'failed'),
        ('b', 'setup', 'skipped'), ('b', 'teardown', 'passed'),
        ('c', 'call', 'failed'), ('c', 'teardown', 'failed'), ('d', 'collect', 'failed'),
        ('e', 'call', 'xfailed'), ('f', 'call', 'passed'), status=1) + '\n{"exit": 0}\n{"begins": "g')
    assert suites.read(record) == (
        {'a': 'error', 'b': 'skipped', 'c': 'failed', 'd': 'error', 'e': 'xfailed', 'f': 'passed'},
        {'status': 1, 'exit': 0})
    assert suites.read(tmp_path / 'none') == ({}, {})


def test_differences_need_a_reason():
    good = dict.fromkeys(suites.WHERE, {'status': 0, 'exit': 0})
    stock = {'x::spam': 'passed', 'x::eggs[1]': 'passed', 'x::ham': 'failed'}
    other = {'x::spam': 'passed', 'x::eggs[1]': 'failed', 'x::ham': 'failed'}
    differences = suites.compare(SUITE, {'stock': stock, 'main': stock, 'interpreters': other})
    assert differences == [{'test': 'x::eggs[1]', 'reason': 'it forks', 'ends': {
        'stock': 'passed', 'main': 'passed', 'interpreters': 'failed'}}]
    assert suites.problems(SUITE, differences, good) == []

    del other['x::spam']
    differences = suites.compare(SUITE, {'stock': stock, 'main': stock, 'interpreters': other})
    assert [item['ends']['interpreters'] for item in differences] == ['failed', 'not run']
    problem, = suites.problems(SUITE, differences, good)
    assert 'x::spam' in problem


@pytest.mark.parametrize('process', [{'status': 0, 'exit': -11}, {'exit': 0}, {'status': 2, 'exit': 0}, {}])
def test_process_must_end_well(process):
    good = dict.fromkeys(suites.WHERE, {'status': 1, 'exit': 0})
    suite = dataclasses.replace(SUITE, differs={})
    assert suites.problems(suite, [], good) == []
    assert len(suites.problems(suite, [], good | {'main': process})) == 1


def test_reason_for_what_does_not_differ_is_a_problem():
    good = dict.fromkeys(suites.WHERE, {'status': 0, 'exit': 0})
    assert suites.problems(SUITE, [], good) == ['nothing differs that is x::eggs']


# ---- the scenarios ----

def test_pairs_hold_each_pair_of_choices():
    def pairs_of(scenarios):
        fields = [field.name for field in dataclasses.fields(catalogue.Scenario)]
        return {(first, getattr(scenario, first), second, getattr(scenario, second))
                for scenario in scenarios for first in fields for second in fields}

    chosen, every = catalogue.pairs([1, 2, 8]), catalogue.all_scenarios([1, 2, 8])
    assert pairs_of(chosen) == pairs_of(every)
    assert len(chosen) < len(every) / 3
    assert chosen[0] == catalogue.MAIN_ONLY


# ---- what becomes of a scenario ----

MISBEHAVING = '''
import atexit, os, signal, sys, threading
import interpreters

elsewhere = interpreters.get_current() != interpreters.get_main()

def good():
    pass

def bad():
    if elsewhere:
        raise ValueError('spam')

def bad_in_main():
    if not elsewhere:
        raise ValueError('eggs')

def crash():
    if elsewhere:
        os.kill(os.getpid(), signal.SIGSEGV)

def crash_at_exit():
    atexit.register(os.kill, os.getpid(), signal.SIGSEGV)

def bad_exit():
    if not elsewhere:
        atexit.register(os._exit, 3)

def leave_early():
    os._exit(0)

def hang():
    if elsewhere:
        threading.Event().wait()
'''


@pytest.fixture
def try_function(python, tmp_path, monkeypatch):
    """Run a function of the module above as the check of a package."""
    (tmp_path / 'misbehaving.py').write_text(MISBEHAVING)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))

    class Misbehaving(catalogue.Package):
        module = 'misbehaving'

    def try_function(name, count=1, how='in turn', order='creation', main='before', **kwargs):
        package = Misbehaving(name, '', '', ('json',))
        scenario = catalogue.Scenario(count, how, order, main)
        return run.run_scenario(python, package, scenario, **kwargs)

    return try_function


@pytest.mark.parametrize('scenario', catalogue.pairs([1, 3]), ids=str)
def test_good_in_each_scenario(try_function, scenario):
    result = try_function('good', **dataclasses.asdict(scenario))
    assert (result.kind, result.doing, result.output) == (run.OK, 'exiting', '')


@pytest.mark.parametrize('name, kind, doing, text', [
    ('bad', run.FAILED, 'running', 'ValueError: spam'),
    ('bad_in_main', run.FAILED, 'running in main', 'ValueError: eggs'),
    ('crash', run.CRASHED, 'running', 'SIGSEGV'),
    ('bad_exit', run.BAD_EXIT, 'exiting', 'exit status 3'),
    ('leave_early', run.BAD_EXIT, 'running in main', 'exit status 0'),
])
def test_what_is_told(try_function, name, kind, doing, text):
    result = try_function(name)
    assert (result.kind, result.doing, result.text) == (kind, doing, text), result.output


def test_crash_at_exit(try_function):
    result = try_function('crash_at_exit', main='before', count=0)
    assert (result.kind, result.doing, result.text) == (run.CRASHED, 'exiting', 'SIGSEGV')


def test_process_that_hangs_is_ended_and_shows_its_stacks(try_function):
    result = try_function('hang', timeout=3)
    assert result.kind == run.TIMEOUT
    assert 'most recent call first' in result.output


def test_one_of_several_fails(try_function):
    result = try_function('bad', count=3, how='in parallel', order='at once')
    assert result.output.count('ValueError: spam') >= 3
    assert result.kind == run.FAILED


# ---- the table ----

def test_table_and_summary():
    entry = {'version': '1', 'group': 'arrays', 'does': 'Adds `a*`', 'reason': '', 'scenarios': 17,
             'problems': []}
    problem = {'kind': 'crashed', 'doing': 'closing', 'text': 'SIGSEGV', 'scenario': '2 in turn'}
    entries = {'good': entry,
               'bad': {**entry, 'reason': 'a|b', 'problems': [problem, problem]}}
    page = table.table({'python': '3.13.15', 'packages': entries}, {'suites': {}})
    assert '2 packages were tried; 1 work.' in page
    assert r'Adds \`a\*\`' in page
    assert r'- crashed in 2 of 17: a\|b' in page
    assert page.count('- works in 17\n') == 1
    assert table.summary(entry) == 'works in 17'
    assert table.summary(entries['bad']) == 'crashed in 2 of 17; 2 in turn: SIGSEGV when closing'


def test_table_of_suites():
    entry = {'version': '1', 'beside': 'eggs', 'ends': {'stock': {'failed': 1, 'passed': 1234}}, 'differences': []}
    other = {**entry, 'differences': [{'test': 'a/b.py::c[1/2]', 'reason': 'it *forks*'}]}
    text = table.suites_table({'suites': {'spam': entry, 'eggs': other}})
    assert text.count('- 1 failed, 1,234 passed\n') == 2
    assert '- the same\n' in text and '- 1 differs\n' in text
    assert '- it \\*forks\\*: ``b.py::c[1/2]``\n' in text


@pytest.mark.parametrize('text, line', [
    ('Traceback (most recent call last):\n  File "x"\nValueError: spam\n', 'ValueError: spam'),
    ('T:\n  File "x"\nValueError: spam\na note\n', 'ValueError: spam'),
    ('T:\n  File "x"\ninterpreters.ExecutionFailed: KeyError: 1\n', 'KeyError: 1'),
    ('KeyError', 'KeyError'),
])
def test_line_that_names_the_exception(text, line):
    assert table.last_line(text) == line
