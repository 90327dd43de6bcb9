"""What is said, and what is done, when something to build with is missing."""

import shutil

import pytest

from ensemble import dependencies
from ensemble.errors import Stop


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A system without dpkg: only what is linked into a folder of its own is there."""
    there = {program: shutil.which(program) for program in ('cc', 'make', 'git')}

    def link(*programs):
        for program in programs:
            (tmp_path / program).symlink_to(there[program])
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.setattr('os.environ', {'PATH': str(tmp_path)})
    return link


def test_a_missing_compiler_or_make_stops_with_its_name(elsewhere):
    elsewhere('git')
    with pytest.raises(Stop, match='missing build dependencies: cc, make; install'):
        dependencies.ensure()


def test_missing_headers_are_named_and_the_build_goes_on(elsewhere, monkeypatch, capsys):
    elsewhere('cc', 'make', 'git')
    monkeypatch.setattr(dependencies, 'HEADERS', (('stdio.h', 'C'), ('no/such.h', 'libnone')))
    monkeypatch.setattr(dependencies, 'missing_headers', lambda compiler: {'no/such.h'})
    dependencies.ensure()
    out = capsys.readouterr().out
    assert 'libnone headers (no/such.h)' in out and 'stdio' not in out


def test_the_compiler_is_asked_for_headers(monkeypatch):
    monkeypatch.setattr(dependencies, 'HEADERS', (('stdio.h', 'C'), ('no/such.h', 'libnone')))
    assert dependencies.missing_headers('cc') == {'no/such.h'}


@pytest.fixture
def debian(monkeypatch):
    """A Debian where these packages are missing; records what is run as root."""
    def pretend(missing, root, returncodes=()):
        commands = []
        codes = iter(returncodes)

        class Done:
            def __init__(self):
                self.returncode = next(codes)
                self.stdout = 'Reading\nE: Unable to locate package\n'

        monkeypatch.setattr(dependencies.shutil, 'which', lambda name: None if name in missing
                            else f'/usr/bin/{name}')
        monkeypatch.setattr(dependencies, 'missing_packages', lambda names: list(missing))
        monkeypatch.setattr(dependencies.os, 'geteuid', lambda: 0 if root else 1000)
        monkeypatch.setattr(dependencies.subprocess, 'run',
                            lambda command, **options: commands.append(command[:2]) or Done())
        return commands
    return pretend


def test_root_on_debian_installs_only_what_is_missing(debian):
    commands = debian(['libffi-dev'], root=True, returncodes=[0])
    dependencies.ensure()
    assert commands == [['apt-get', 'install']]


def test_nothing_is_run_when_nothing_is_missing(debian):
    commands = debian([], root=True)
    dependencies.ensure()
    assert commands == []


def test_package_lists_are_renewed_only_when_installing_fails(debian):
    commands = debian(['libffi-dev'], root=True, returncodes=[100, 0, 0])
    dependencies.ensure()
    assert commands == [['apt-get', 'install'], ['apt-get', 'update'], ['apt-get', 'install']]


def test_apt_s_reason_is_passed_on(debian):
    debian(['make', 'libffi-dev'], root=True, returncodes=[100, 100, 100])
    with pytest.raises(Stop, match='make, libffi-dev; E: Unable to locate package'):
        dependencies.ensure()


def test_others_than_root_are_told_the_command(debian):
    debian(['make', 'libffi-dev'], root=False)
    with pytest.raises(Stop, match='apt-get install make libffi-dev'):
        dependencies.ensure()


def test_others_than_root_go_on_without_optional_ones(debian, capsys):
    debian(['libffi-dev'], root=False)
    dependencies.ensure()
    assert 'apt-get install libffi-dev' in capsys.readouterr().out
