"""Each bad input: a clear line, a non-zero exit, nothing half-done trusted afterwards."""

import os
import shutil

import pytest


def test_wrong_hash_in_the_cache_is_removed_and_said(scratch, release):
    cached = scratch.cache / release.tarball.name
    cached.write_bytes(cached.read_bytes()[:-100])
    status, out, err = scratch.run('make')
    assert status != 0
    assert f'removed {cached}: its sha256 was wrong' in out
    assert not cached.exists()
    shutil.copy(release.tarball, cached)
    scratch.make()


def test_wrong_hash_of_a_given_tarball(scratch, release, tmp_path):
    given = tmp_path / 'given.tar.xz'
    shutil.copytree(release.folder, tmp_path / 'x' / release.folder.name)
    (tmp_path / 'x' / release.folder.name / 'Lib/os.py').write_text('evil = 1\n')
    scratch.run('tar', 'cJf', str(given), '-C', str(tmp_path / 'x'), release.folder.name)
    assert 'wrong sha256' in scratch.fail('./configure', f'--with-cpython={given}')
    assert not list((scratch.path / 'build/upstream').glob('Python*'))


def test_a_given_tarball_that_is_cut_off(scratch, release, tmp_path):
    given = tmp_path / 'cut.tar.xz'
    given.write_bytes(release.tarball.read_bytes()[:300])
    assert 'is not a CPython release tarball' in scratch.fail(
        './configure', f'--with-cpython={given}')


def test_neither_network_nor_cache(scratch, release):
    shutil.rmtree(scratch.cache)
    message = scratch.fail('make', ENSEMBLE_OFFLINE='')
    assert 'no source for CPython 3.13.15' in message
    assert '--with-cpython=FILE' in message
    assert os.listdir(scratch.cache) == []
    shutil.copy(release.tarball, scratch.cache)
    scratch.make()


def test_offline_is_said(scratch):
    shutil.rmtree(scratch.cache)
    assert 'ENSEMBLE_OFFLINE' in scratch.fail('make')


@pytest.mark.parametrize('kind', ['folder', 'file', 'missing'])
def test_what_is_not_cpython(scratch, tmp_path, kind):
    given = tmp_path / 'given'
    if kind == 'folder':
        given.mkdir()
    elif kind == 'file':
        given.write_text('hello')
    message = scratch.fail('./configure', f'--with-cpython={given}')
    assert {'folder': 'is not an unpacked CPython release',
            'file': 'is not a CPython release tarball',
            'missing': 'does not exist'}[kind] in message
    scratch.run('./configure', f'--with-cpython={scratch.cache / "Python-3.13.15.tar.xz"}')
    scratch.make()


@pytest.mark.parametrize('kind', ['tarball', 'folder'])
def test_an_unsupported_version(scratch, unsupported, kind):
    message = scratch.fail('./configure', f'--with-cpython={getattr(unsupported, kind)}')
    assert 'CPython 3.12.1 is not supported; upstream.toml knows 3.13.15 and 3.13.5' in message
    assert '3.12.1 is not supported' in scratch.fail('./configure', '--with-release=3.12.1')


def test_an_unpacked_release_that_was_changed(scratch, release, tmp_path):
    given = tmp_path / 'given'
    shutil.copytree(release.folder, given)
    (given / 'Lib/extra.py').write_text('')
    assert 'differs from the release' in scratch.fail('./configure', f'--with-cpython={given}')
    assert not (scratch.path / 'build/src').exists()


def test_an_unpacked_release_is_as_good_as_the_tarball(scratch, release, tmp_path):
    given = tmp_path / 'given'
    shutil.copytree(release.folder, given)
    (given / 'Lib/__pycache__').mkdir()
    (given / 'Lib/__pycache__/os.pyc').write_text('')
    shutil.rmtree(scratch.cache)
    status, out, err = scratch.run('./configure', f'--with-cpython={given}')
    assert status == 0, err
    scratch.make()


def test_the_release_of_a_given_folder_needs_no_option(scratch, older):
    status, out, err = scratch.run('./configure', f'--with-cpython={older.folder}')
    assert status == 0, err
    assert '3.13.5' in scratch.make()


def test_a_read_only_build_folder(scratch):
    """Root may write anywhere unless it gives up that capability."""
    folder = scratch.path / 'build'
    folder.mkdir(mode=0o555)
    prefix = []
    if os.geteuid() == 0:
        prefix = ['setpriv', '--bounding-set=-all', '--inh-caps=-all',
                  '--securebits=+noroot,+noroot_locked']
    assert 'cannot write in the build folder' in scratch.fail(*prefix, 'make')
    assert os.listdir(folder) == []


def test_a_build_folder_that_cannot_be(scratch):
    (scratch.path / 'file').write_text('')
    assert 'cannot write in the build folder' in scratch.fail('make', 'BUILD=file/build')


def test_a_path_with_spaces_is_refused_before_anything_is_done(scratch, tmp_path):
    message = scratch.fail('make', f'BUILD={tmp_path}/with space')
    assert "contains ' '" in message
    assert not (tmp_path / 'with space').exists()
    scratch.path = scratch.path.rename(tmp_path / 'my project')
    assert "contains ' '" in scratch.fail('make')
    assert "contains ' '" in scratch.fail('./configure')
    assert not (scratch.path / 'build').exists()


def test_a_release_tarball_may_lie_in_a_path_with_spaces(scratch, release, tmp_path):
    (tmp_path / 'a b').mkdir()
    given = shutil.copy(release.tarball, tmp_path / 'a b')
    status, out, err = scratch.run('./configure', f'--with-cpython={given}')
    assert status == 0, err


def test_an_unknown_variant_names_the_known_ones(scratch):
    assert 'release, debug, asan' in scratch.fail('make', 'VARIANT=bogus')
    assert 'release, debug, asan' in scratch.fail('./configure', '--variant=bogus')


def test_another_release_needs_another_build_folder(scratch):
    scratch.make()
    assert 'make BUILD=build/3.13.5 RELEASE=3.13.5' in scratch.fail('make', 'RELEASE=3.13.5')
    assert '(CPython 3.13.5)' in scratch.make('BUILD=build/3.13.5', 'RELEASE=3.13.5')
    assert '(CPython 3.13.15)' in scratch.make()


def test_a_python_that_is_too_old(scratch, tmp_path):
    bin = tmp_path / 'bin'
    bin.mkdir()
    (bin / 'python3').write_text('#!/bin/sh\ncase "$2" in *exit*) exit 1;; *) echo 3.9.2;; esac\n')
    (bin / 'python3').chmod(0o755)
    message = scratch.fail('./configure', PATH=f'{bin}:{os.environ["PATH"]}')
    assert message == 'ensemble: python3 is 3.9.2; 3.10 or newer is needed to build'
