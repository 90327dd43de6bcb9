"""make check: what must hold of patches/ and the overlay, for every release."""

from . import generated, overlay, patches, pristine
from .errors import Stop, say
from .refresh import UNPATCHABLE, export


def check(tree):
    """Return a list of problems, each one line. The tree has just been prepared."""
    project = tree.project
    problems = series_problems(project.patches)
    found = patches.read(project.patches)
    for patch in found:
        problems += patch.problems()
    names = overlay.listing(project.root)
    for release in project.releases:
        say(f'checking against CPython {release.version}')
        problems += _release_problems(project, release, found, names)
    return problems + _refresh_problems(tree, found, names)


def series_problems(folder):
    """Every patch file is listed exactly once, and what is listed exists."""
    listed = patches.listed(folder)
    there = {path.name for path in folder.glob('*.patch')}
    problems = [f'patches/{name} is not listed in patches/series'
                for name in sorted(there - set(listed))]
    problems += [f'patches/series lists {name}, which does not exist'
                 for name in listed if not (folder / name).is_file()]
    problems += [f'patches/series lists {name} {listed.count(name)} times'
                 for name in sorted(set(listed)) if listed.count(name) > 1]
    if problems:
        raise Stop('\n'.join(problems))
    return problems


def _release_problems(project, release, found, names):
    pristine.ensure(project, release)
    repo = pristine.repository(project)
    upstream = set(repo.paths('ls-tree', '-r', '-z', '--name-only', release.tag))
    problems = [f'{name} would shadow a file of CPython {release.version}'
                for name in names if name in upstream]
    problems += [f'{name} is a generated file' for name in names if generated.is_generated(name)]
    for patch in found:
        for path in patch.paths():
            if path not in upstream:
                problems.append(f'patches/{patch.name}: {path} is not in CPython '
                                f'{release.version}; new files belong to the overlay')
            elif generated.is_generated(path):
                problems.append(f'patches/{patch.name}: {path} is a generated file')
            elif path in UNPATCHABLE:
                problems.append(f'patches/{patch.name}: {path}: {UNPATCHABLE[path]}')
    try:
        patches.apply(repo, repo.resolve(release.tag), found, project.upstream / 'check-index')
    except Stop as stop:
        problems.append(str(stop))
    return problems


def _refresh_problems(tree, found, names):
    """What make refresh would change if the tree held nothing but the project."""
    exported = export(tree.repo, tree.state['chain'], tree.upstream_names(), found).patches
    problems = []
    ours = {patch.name: patch.text() for patch in exported}
    for patch in found:
        raw = (tree.project.patches / patch.name).read_bytes()
        if ours.pop(patch.name, None) != raw:
            problems.append(f'patches/{patch.name} is not in the form of make refresh; run it')
    problems += [f'make refresh would make patches/{name}' for name in ours]
    problems += [f'{name} differs from its copy in the build; run make refresh'
                 for name in overlay.edited(tree.project.root, tree.path, names)]
    if tree.has_own_work():
        problems.append(f'{tree.project.relative(tree.path)} has work that is not in patches/; '
                        'run make refresh')
    return problems
