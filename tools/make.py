"""The verbs of the Makefile that need more than a line of shell."""

import argparse
import hashlib
import os
import subprocess
import sys

from ensemble import check, dist, errors, files, pristine, refresh, variants
from ensemble.compile import Build, ready
from ensemble.project import Project
from ensemble.tree import Tree


def source(project, variant, settings):
    """The up-to-date source folder that a variant is built from."""
    release = project.releases.get(settings['release'])
    if variant.pristine:
        return pristine.ensure(project, release, settings['cpython'])
    Tree(project).prepare(release, settings['cpython'])
    return project.src


def build(project, args):
    """Build a variant; return its Build."""
    variant = variants.get(args.variant)
    prefix = args.prefix and os.path.abspath(args.prefix)
    settings = project.settings(release=args.release, prefix=prefix)
    result = Build(project, variant, source(project, variant, settings), args.jobs)
    result.configure(settings['prefix'])
    result.make()
    ready(result)
    return result


def run(project, args):
    """Run a command with the variant's environment; {python} and {pristine} stand for paths."""
    variant = variants.get(args.variant)
    release = project.releases.get(project.settings()['release'])
    result = Build(project, variant, pristine.folder(project, release)
                   if variant.pristine else project.src, args.jobs)
    names = {'python': str(result.python), 'pristine': str(pristine.folder(project, release)),
             'venv': str(_venv(project, variant, 'tests')),
             'docs_venv': str(_venv(project, variant, 'docs'))}
    command = [*result.variant.wrapper(), *(word.format(**names) for word in args.command)]
    sys.stdout.flush()
    os.execvpe(command[0], command, result.environment())


def venv(project, args):
    """Have a virtual environment of the built python, with what the purpose requires in it."""
    result = build(project, args)
    folder = _venv(project, result.variant, args.purpose)
    requirements = project.root / PURPOSES[args.purpose] / 'requirements.txt'
    name = requirements.relative_to(project.root)
    # A venv holds a link to the python, and what is in site-packages suits its ABI.
    stamp = hashlib.sha256(requirements.read_bytes() + str(result.python).encode()).hexdigest()
    done = folder / '.ensemble'
    if done.is_file() and done.read_text() == stamp:
        return
    errors.say(f'installing {name} in {project.relative(folder)}')
    files.remove(folder)
    for command in ([*result.variant.wrapper(), result.python, '-m', 'venv', folder],
                    [*result.variant.wrapper(), folder / 'bin' / 'python', '-m', 'pip', 'install',
                     '--quiet', '--disable-pip-version-check', '--requirement', requirements]):
        if subprocess.run(command, env=result.environment()).returncode:
            raise errors.Stop(f'the packages in {name} could not be installed; '
                              'is a package index set up for pip and within reach?')
    files.write_bytes(done, stamp.encode())


def do_refresh(project, args):
    refresh.refresh(Tree(project))


def do_check(project, args):
    settings = project.settings(release=args.release)
    tree = Tree(project)
    check.series_problems(project.patches)
    tree.prepare(project.releases.get(settings['release']), settings['cpython'])
    problems = check.check(tree)
    for problem in problems:
        print(f'ensemble: {problem}', file=sys.stderr)
    if problems:
        return 1
    errors.say(f'{project.releases.names()}: patches and overlay are in order')
    return 0


def do_dist(project, args):
    settings = project.settings(release=args.release)
    tree = Tree(project)
    tree.prepare(project.releases.get(settings['release']), settings['cpython'])
    for path in dist.dist(tree):
        errors.say(f'{project.relative(path)}')


def install(project, args):
    """Build for the prefix, and let upstream's Makefile install it."""
    result = build(project, args)
    destdir = os.path.abspath(args.destdir) if args.destdir else ''
    result.make('install', *([f'DESTDIR={destdir}'] if destdir else []),
                log='install.log', label='install')
    errors.say(f'installed in {destdir}{project.settings()["prefix"]}')


def releases(project, args):
    """Print the version of every release but the default one, for the Makefile."""
    print(*(release.version for release in project.releases[1:]))


def list_variants(project, args):
    """Print a help line for each variant."""
    for variant in variants.VARIANTS.values():
        print(f'{"VARIANT=" + variant.name:<20} {variant.summary}')


# What virtual environments are for, and whose requirements.txt they get.
PURPOSES = {'tests': 'tests', 'docs': 'Doc'}


def _venv(project, variant, purpose):
    name = 'venv' if purpose == 'tests' else f'venv-{purpose}'
    return project.build / (name if variant.name == 'release' else f'{name}-{variant.name}')


VERBS = {'build': build, 'run': run, 'venv': venv, 'refresh': do_refresh, 'check': do_check,
         'dist': do_dist, 'install': install, 'releases': releases, 'variants': list_variants}


def main():
    parser = argparse.ArgumentParser(prog='tools/make.py', description=__doc__, allow_abbrev=False,
                                     usage='%(prog)s VERB [options] [-- command for run]')
    parser.add_argument('verb', choices=VERBS)
    parser.add_argument('--build', default='build')
    parser.add_argument('--variant', default='release')
    parser.add_argument('--release')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    parser.add_argument('--prefix')
    parser.add_argument('--destdir')
    parser.add_argument('--for', dest='purpose', choices=PURPOSES, default='tests')
    # argparse gives up on options that belong to a command of ours.
    arguments = sys.argv[1:]
    split = arguments.index('--') if '--' in arguments else len(arguments)
    args = parser.parse_args(arguments[:split])
    args.command = arguments[split + 1:]
    variants.get(args.variant)
    project = Project(args.build)
    if args.verb not in ('run', 'releases', 'variants'):  # these only read
        project.open()
    return 1 if VERBS[args.verb](project, args) == 1 else 0


if __name__ == '__main__':
    errors.run(main)
