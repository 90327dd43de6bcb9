"""What all tests share: where the project is, the built python, extensions for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

ROOT = Path(__file__).resolve().parents[1]
set_hypothesis_home_dir(ROOT / 'build' / 'hypothesis')


@pytest.fixture(scope='session')
def root():
    """The project folder."""
    return ROOT


@pytest.fixture(scope='session')
def python():
    """The built python; tests that need it are skipped when run with another."""
    python = os.environ.get('ENSEMBLE_PYTHON') or sys.executable
    probe = subprocess.run([python, '-c', 'import interpreters'], capture_output=True)
    if probe.returncode:
        pytest.skip(f'{python} is not a python of this project')
    return python


COMPILE = '''
import os, subprocess, sys, sysconfig
compiler, source, library, *flags = sys.argv[1:]
subprocess.run([compiler, '-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-pthread',
                # Of the scheme "venv" these are the headers of an installed python, also
                # where the python of the environment runs in its build folder.
                '-I', sysconfig.get_path('include', 'posix_prefix'),
                # pyconfig.h, which a python that runs in its build folder has there.
                '-I', os.path.dirname(sysconfig.get_config_h_filename()),
                source, '-o', library, *flags], check=True)
'''


@pytest.fixture(scope='session')
def compile_library(python):
    """compile_library(source, library, *flags): make a shared object of a C file."""
    compiler = shutil.which('cc')
    if compiler is None:
        pytest.skip('there is no C compiler')

    def compile_library(*args):
        built = subprocess.run([python, '-c', COMPILE, compiler, *args],
                               text=True, capture_output=True)
        assert built.returncode == 0, built.stderr

    return compile_library


@pytest.fixture(scope='session')
def run_with_extension(root, python, compile_library, tmp_path_factory):
    """run(name, program): run a program that can import the extension tests/capi/NAME.c."""
    folder = tmp_path_factory.mktemp('capi')

    def run(name, program):
        library = folder / f'{name}.so'
        if not library.exists():
            compile_library(root / f'tests/capi/{name}.c', library)
        done = subprocess.run([python, '-X', 'faulthandler', '-c', program],
                              env=dict(os.environ, PYTHONPATH=str(folder)), text=True,
                              capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ''), done.stderr
        return done.stdout

    return run
