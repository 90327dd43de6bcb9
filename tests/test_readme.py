"""What the README says can be done can be done."""

import os
import re
import subprocess
import sys

import pytest


@pytest.fixture(scope='module')
def readme(root):
    return (root / 'README.md').read_text()


def test_its_program_runs(readme, root):
    python = os.environ.get('ENSEMBLE_PYTHON') or sys.executable
    if subprocess.run([python, '-c', 'import interpreters'], capture_output=True).returncode:
        pytest.skip(f'{python} is not a python of this project')
    program, = re.findall(r'```python\n(.*?)```', readme, re.DOTALL)
    done = subprocess.run([python, '-c', program], cwd=root, text=True, capture_output=True)
    lines = sum((root / name).read_bytes().count(b'\n') for name in ('README.md', 'Makefile'))
    assert (done.stdout, done.stderr) == (f'{lines}\n', '')


def test_its_verbs_exist(readme, root):
    verbs = set(re.findall(r'`make ([a-z-]+)`|^\$ make ([a-z-]+) ', readme, re.MULTILINE))
    verbs = {a or b for a, b in verbs}
    targets = set(re.findall(r'^([a-z-]+):', (root / 'Makefile').read_text(), re.MULTILINE))
    assert verbs
    assert verbs <= targets


def test_its_links_lead_somewhere(readme, root):
    links = [link for link in re.findall(r'\]\(([^)]+)\)', readme) if '://' not in link]
    assert links
    assert [link for link in links if not (root / link).exists()] == []
