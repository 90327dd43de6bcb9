"""A few packages with compiled code in interpreters of their own GIL, and the tool that tries many.

`make test-packages` tries all in tests/packages/packages.toml, in more scenarios.
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
        assert bool(entry['problems']) == bool(PACKAGES[name].known or PACKAGES[name].refused), name


def test_page_of_the_documentation_is_that_of_the_results():
    assert run.PAGE.read_text() == table.table(json.loads(run.RECORDED.read_text()))


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
    page = table.table({'python': '3.13.15', 'packages': entries})
    assert '2 packages were tried; 1 work.' in page
    assert r'Adds \`a\*\`' in page
    assert r'- crashed in 2 of 17: a\|b' in page
    assert page.count('- works in 17\n') == 1
    assert table.summary(entry) == 'works in 17'
    assert table.summary(entries['bad']) == 'crashed in 2 of 17; 2 in turn: SIGSEGV when closing'


@pytest.mark.parametrize('text, line', [
    ('Traceback (most recent call last):\n  File "x"\nValueError: spam\n', 'ValueError: spam'),
    ('T:\n  File "x"\nValueError: spam\na note\n', 'ValueError: spam'),
    ('T:\n  File "x"\ninterpreters.ExecutionFailed: KeyError: 1\n', 'KeyError: 1'),
    ('KeyError', 'KeyError'),
])
def test_line_that_names_the_exception(text, line):
    assert table.last_line(text) == line
