"""The model of how threads wait in channels has the properties it must have."""

import importlib.util
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).resolve().parent / 'model'

spec = importlib.util.spec_from_file_location('model_check', MODEL / 'check.py')
check = sys.modules['model_check'] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)

missing = check.missing_tools()
pytestmark = pytest.mark.skipif(bool(missing), reason=f'not installed: {", ".join(missing)}')


def by_name(checks):
    return pytest.mark.parametrize('case', checks, ids=[case.name for case in checks])


@by_name(check.SCENARIOS)
def test_scenario_holds(case):
    result = check.run(case)
    assert result.verdict(case) == ''
    assert result.states > 1000


@by_name(check.WEAKNESSES)
def test_weakness_is_as_described(case):
    assert check.run(case).verdict(case) == ''


@by_name(check.MUTATIONS)
def test_mistake_is_found(case):
    assert check.run(case).verdict(case) == ''


def test_every_mistake_is_tried():
    tried = {case.defines[0].removeprefix('BUG=') for case in check.MUTATIONS}
    assert tried == check.mistakes()


def test_every_step_is_reached_in_some_scenario():
    assert check.never_reached() == []


@pytest.mark.parametrize('limit', ['MAX_DEPTH', 'MAX_MEGABYTES'])
def test_search_cut_short_does_not_hold(monkeypatch, limit):
    monkeypatch.setattr(check, limit, 100)
    case = next(case for case in check.SCENARIOS if case.name == 'select_facing')
    result = check.run.__wrapped__(case)
    assert result.found == ''
    assert result.incomplete
    assert result.verdict(case)
