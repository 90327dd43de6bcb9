"""Unpacked, verified releases: build/upstream/Python-X.Y.Z, and the same as
commits in one bare repository, build/upstream/releases.git.

A release counts as there when its tag is: the tag is made last, after the
folder got its final name. Everything else is the rest of an interrupted run
and is done again.
"""

import os
import shutil
import tarfile
from pathlib import Path

from . import files, git, sources
from .errors import Stop, say


def repository(project):
    """The bare repository with one tagged commit for each release unpacked so far."""
    path = project.upstream / 'releases.git'
    if not path.is_dir():
        temporary = project.upstream / 'releases.git.tmp'
        files.remove(temporary)
        temporary.mkdir(parents=True)
        git.create(temporary)
        temporary.rename(path)
    return git.Repository(path)


def folder(project, release):
    return project.upstream / release.folder


def ensure(project, release, given=None):
    """Have the pristine release unpacked; return its folder.

    given: a tarball or an unpacked release named by the user (str or None).
    """
    repo = repository(project)
    target = folder(project, release)
    if target.is_dir() and repo.resolve(release.tag):
        return target
    given = Path(given) if given else None
    if given is not None and not given.exists():
        raise Stop(f'{given} does not exist; give --with-cpython the release tarball or '
                   'an unpacked release')
    temporary = project.upstream / f'unpack-{release.version}'
    files.remove(temporary)
    files.remove(target)
    temporary.mkdir(parents=True)
    if given is not None and given.is_dir():
        _check_folder(given, release, project.releases)
        say(f'copying {given}')
        unpacked = temporary / release.folder
        shutil.copytree(given, unpacked, symlinks=True,
                        ignore=shutil.ignore_patterns('__pycache__', '*.pyc', '.git'))
    else:
        tarball = sources.find(release, project.releases, given)
        say(f'unpacking {tarball.name}')
        unpacked = _unpack(tarball, temporary, release)
    commit = _commit(project, unpacked, release, given)
    os.rename(unpacked, target)
    temporary.rmdir()
    repo.run('tag', '--force', release.tag, commit)
    return target


def _check_folder(path, release, releases):
    header = path / 'Include' / 'patchlevel.h'
    if not (header.is_file() and (path / 'configure').is_file()
            and (path / 'Makefile.pre.in').is_file()):
        raise Stop(f'{path} is not an unpacked CPython release')
    version = sources.patchlevel(header.read_text(errors='replace'))
    if version != release.version:
        releases.get(version)
        raise Stop(f'{path} is CPython {version}, not {release.version}; '
                   f'use it with --with-release={version}')


def _unpack(tarball, into, release):
    # A tarball with the pinned sha256 is trusted; the filter silences Python's
    # warning that there is none.
    options = {'filter': 'tar'} if hasattr(tarfile, 'tar_filter') else {}
    try:
        with tarfile.open(tarball) as tar:
            tar.extractall(into, **options)
    except tarfile.CompressionError as error:
        raise Stop(f'cannot unpack {tarball}: this python3 lacks a module ({error}); '
                   'use one with lzma') from None
    if [entry.name for entry in into.iterdir()] != [release.folder]:
        raise Stop(f'{tarball} does not unpack to {release.folder}')
    return into / release.folder


def _commit(project, unpacked, release, given):
    index = project.upstream / f'index-{release.version}'
    files.remove(index)
    repo = git.Repository(project.upstream / 'releases.git', unpacked, index)
    repo.run('add', '--force', '--all', '.')
    tree = repo.text('write-tree')
    files.remove(index)
    if tree != release.tree:
        raise Stop(f'{given or unpacked} differs from the release of CPython '
                   f'{release.version} (tree {tree}, expected {release.tree}); '
                   'take it from the tarball instead')
    return repo.commit_tree(tree, [], f'CPython {release.version}\n')
