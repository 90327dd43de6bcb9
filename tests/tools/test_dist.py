"""make dist: a patch and a tarball that stand alone."""

import subprocess
import tarfile

import pytest

NAME = 'ensemble-1.2.3+3.13.15'


@pytest.fixture
def dist(built):
    built.make('dist')
    return built.path / 'build/dist'


@pytest.mark.parametrize('command', [['git', 'apply'], ['patch', '-p1', '-i']])
def test_the_patch_turns_the_release_into_the_tarball(dist, release, tmp_path, command):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
    subprocess.run(['tar', 'xf', release.tarball, '-C', tmp_path / 'a'], check=True)
    subprocess.run(['tar', 'xf', dist / f'{NAME}.tar.xz', '-C', tmp_path / 'b'], check=True)
    patched = tmp_path / 'a' / release.folder.name
    subprocess.run([*command, dist / f'{NAME}.patch'], cwd=patched, check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(['diff', '-r', patched, tmp_path / 'b' / NAME], check=True)


def test_generated_files_and_overlay_are_in_the_tarball(dist):
    with tarfile.open(dist / f'{NAME}.tar.xz') as tar:
        names = tar.getnames()
        assert f'{NAME}/Lib/ours.py' in names
        assert f'{NAME}/Modules/_ours/clinic/module.c.h' in names
        text = tar.extractfile(f'{NAME}/Python/stdlib_module_names.h').read()
        assert b'"ours"' in text
        assert {member.mtime for member in tar} != {0}
        assert {(member.uid, member.uname) for member in tar} == {(0, '')}
        assert tar.getmember(f'{NAME}/configure').mode == 0o755
        assert not [name for name in names if '/.git/' in name]


def test_the_same_project_gives_the_same_bytes(built, dist):
    before = [(path.name, path.read_bytes()) for path in sorted(dist.iterdir())]
    (built.path / 'build/src/Lib/__pycache__').mkdir()
    built.make('distclean')
    built.make('dist')
    assert [(path.name, path.read_bytes()) for path in sorted(dist.iterdir())] == before


def test_refuses_work_that_is_not_in_patches(built):
    built.write('build/src/Lib/os.py', 'name = "ours"\n')
    assert 'make refresh' in built.fail('make', 'dist')
