"""The models of how threads wait, in channels and for locks, have their properties.

This is a sample; `make model` checks everything.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).resolve().parent / 'model'

spec = importlib.util.spec_from_file_location('model_check', MODEL / 'check.py')
check = sys.modules['model_check'] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)

missing = check.missing_tools()
needs_tools = pytest.mark.skipif(bool(missing), reason=f'not installed: {", ".join(missing)}')
by_name = {case.name: case for case in check.CHECKS}


def test_every_mistake_is_tried():
    tried = {case.defines[0].removeprefix('BUG=') for case in check.MUTATIONS}
    assert tried == check.mistakes()


@needs_tools
@pytest.mark.parametrize('name', check.SAMPLE)
def test_sample_is_as_it_must_be(name):
    assert check.run(by_name[name]).verdict(by_name[name]) == ''


@needs_tools
@pytest.mark.parametrize('limit', ['MAX_DEPTH', 'MAX_MEGABYTES'])
def test_search_cut_short_does_not_hold(monkeypatch, limit):
    monkeypatch.setattr(check, limit, 100)
    case = by_name['select_facing']
    result = check.run.__wrapped__(case)
    assert result.found == ''
    assert result.incomplete
    assert result.verdict(case)


def test_without_tools_the_check_fails(tmp_path):
    done = subprocess.run([sys.executable, MODEL / 'check.py'], env={'PATH': str(tmp_path)},
                          text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr.startswith('not installed: spin, cc')
