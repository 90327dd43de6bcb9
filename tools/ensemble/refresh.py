"""make refresh: bring what was done in build/src back into the project.

Each commit since the release becomes a patch; files that upstream does not
have move to the overlay; generated files stay behind. Afterwards build/src is
what a fresh `make` would have made of the project, with no file touched, so
that nothing is compiled again.
"""

import dataclasses

from . import files, generated, overlay, patches
from .errors import Stop, say

# configure is made from configure.ac by one certain version of autoconf.
UNPATCHABLE = {
    path: 'use Modules/Setup.stdlib.in or Makefile.pre.in instead of changing configure'
    for path in ('configure', 'configure.ac', 'aclocal.m4', 'pyconfig.h.in')}


@dataclasses.dataclass
class Export:
    """What the commits of a tree amount to."""

    patches: list
    new_files: list  # paths of files that upstream does not have
    dropped: list    # subjects of the commits that leave no patch


def export(repo, head, upstream_names, existing):
    """The Export of the commits after `upstream` up to head. Touches nothing.

    existing: the patches there are now, whose names are kept.
    """
    slugs = patches.slugs(existing)
    found, new_files, dropped = [], set(), []
    commits = repo.text('rev-list', '--reverse', '--topo-order', f'upstream..{head}').split()
    previous = repo.resolve('upstream')
    for commit in commits:
        parents = repo.text('log', '-1', '--format=%P', commit).split()
        if parents != [previous]:
            raise Stop(f'{commit[:12]} is a merge; patches are exported from one straight line '
                       'of commits: rebase it onto upstream')
        message = repo.run('log', '-1', '--format=%B', commit).decode('utf-8', 'surrogateescape')
        paths = [path for path in repo.paths('diff-tree', '-r', '-z', '--name-only',
                                             '--no-renames', previous, commit)
                 if not generated.is_generated(path)]
        ours = [path for path in paths if path in upstream_names]
        new_files.update(path for path in paths if path not in upstream_names)
        for path in ours:
            if path in UNPATCHABLE:
                raise Stop(f'{commit[:12]} changes {path}, which no patch may: '
                           f'{UNPATCHABLE[path]}')
        if ours:
            found.append(patches.from_message(len(found) + 1, message,
                                              patches.diff(repo, previous, commit, ours),
                                              slugs))
        elif paths or message.strip() != 'Generated files':
            dropped.append(message.partition('\n')[0])
        previous = commit
    return Export(found, sorted(new_files), dropped)


def refresh(tree):
    """Export the tree's commits and edited overlay files to the project."""
    project = tree.project
    tree.open()
    _check(tree)
    recorded = tree.state['overlay']
    result = export(tree.repo, 'HEAD', tree.upstream_names(), patches.read(project.patches))
    new_files = [path for path in result.new_files if (tree.path / path).is_file()]
    for path in new_files:
        if not path.startswith(tuple(f'{folder}/' for folder in overlay.FOLDERS)):
            raise Stop(f'{path} is a new file outside of {", ".join(overlay.FOLDERS)}; '
                       'the overlay has no place for it')
    for path in _edited(tree, recorded) + [path for path in new_files if path not in recorded]:
        source = tree.path / path
        files.write_bytes(project.root / path, source.read_bytes(), source.stat().st_mode & 0o777)
        say(f'took back {path}')
    patches.write(project.patches, result.patches)
    for subject in result.dropped:
        say(f'no patch for "{subject}": it changes no file of upstream')
    for patch in result.patches:
        for problem in patch.problems():
            say(problem)
    _adopt(tree, result, new_files)
    for path in tree.repo.paths('ls-files', '-z', '--others', '--exclude-standard'):
        say(f'not taken: {path} (git add and commit it in {project.relative(tree.path)})')


def _check(tree):
    """Stop unless the tree and the project can be brought together without a loss."""
    project = tree.project
    release = tree.state['release']
    if release != project.releases[0].version:
        raise Stop(f'refresh from the build of {project.releases[0].version}; {project.build} '
                   f'holds {release}, where the line numbers differ')
    if tree.state['patches'] != patches.key(patches.read(project.patches)):
        raise Stop('patches/ changed since the patches were applied; run make first, or '
                   '"git checkout patches" to lose these changes')
    if edited := tree.edited_paths():
        raise Stop(f'{edited[0]} has changes that are not committed; commit them in '
                   f'{project.relative(tree.path)} first')


def _edited(tree, recorded):
    """The overlay files to take back; stops when one changed on both sides."""
    root = tree.project.root
    names = [name for name in overlay.listing(root) if name in recorded]
    edited = overlay.edited(root, tree.path, names)
    for name in edited:
        if overlay.fingerprint((root / name).read_bytes()) != recorded[name]:
            if overlay.fingerprint((tree.path / name).read_bytes()) == recorded[name]:
                raise Stop(f'{name} changed here and is not yet in the build; run make first')
            raise Stop(f'{name} was edited both here and in {tree.path}; merge the two by hand')
    return edited


def _adopt(tree, result, new_files):
    """Make the tree what applying the exported patches gives, without touching a file."""
    chain = patches.apply(tree.repo, tree.repo.resolve('upstream'), result.patches, tree.index)
    if new_files:
        tree.repo.run('rm', '--quiet', '--cached', '--', *new_files)
        tree.state['overlay'] |= {
            path: overlay.fingerprint((tree.path / path).read_bytes()) for path in new_files}
    for path in tree.state['overlay']:
        copy = tree.path / path
        if copy.is_file():
            tree.state['overlay'][path] = overlay.fingerprint(copy.read_bytes())
    tree.adopt(result.patches, chain)
