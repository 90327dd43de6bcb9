"""./configure: record the settings, get the release ready, run upstream's configure."""

import argparse
import os
import sys
from pathlib import Path

from ensemble import errors, variants
from ensemble.project import Project
from ensemble.compile import Build
from make import source


def main():
    parser = argparse.ArgumentParser(
        prog='./configure', allow_abbrev=False,
        description='Find, verify and unpack CPython, apply Ensemble to it and configure the '
                    'build. `make` does all of this by itself with the default settings.')
    parser.add_argument('--with-cpython', metavar='FILE|DIR',
                        help='take CPython from this release tarball or unpacked release')
    parser.add_argument('--with-release', metavar='VERSION',
                        help='a version of upstream.toml (default: its first)')
    parser.add_argument('--prefix', metavar='DIR',
                        help='where `make install` goes (default: /usr/local)')
    parser.add_argument('--variant', default='release', metavar='NAME',
                        help=f'one of {", ".join(variants.VARIANTS)} (default: release)')
    parser.add_argument('--build', default='build', metavar='DIR',
                        help='the build folder (default: build)')
    args = parser.parse_args()
    variant = variants.get(args.variant)
    project = Project(args.build)
    project.open()
    settings = project.settings(
        release=args.with_release or _release_of(project, args.with_cpython),
        prefix=args.prefix and os.path.abspath(args.prefix),
        cpython=args.with_cpython and os.path.abspath(args.with_cpython))
    build = Build(project, variant, source(project, variant, settings), jobs=1)
    build.configure(settings['prefix'])
    errors.say(f'configured; now run make{_make_arguments(args)}')


def _release_of(project, given):
    """The pinned version of an unpacked release given without --with-release, if it is one."""
    from ensemble import sources
    header = Path(given or '') / 'Include' / 'patchlevel.h'
    if given and header.is_file():
        version = sources.patchlevel(header.read_text(errors='replace'))
        return project.releases.get(version).version
    return None


def _make_arguments(args):
    words = [f'{name}={value}' for name, value, default in (
        ('VARIANT', args.variant, 'release'), ('BUILD', args.build, 'build'))
        if value != default]
    return ''.join(f' {word}' for word in words)


if __name__ == '__main__':
    errors.run(main)
