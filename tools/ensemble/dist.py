"""make dist: one combined patch and a full source tarball.

Both hold the release with our patches, the overlay and the generated files:
the source tree as it is built, but nothing that a build leaves in it. The
same project always gives the same bytes.
"""

import io
import lzma
import os
import subprocess
import tarfile

from . import files, generated, patches
from .errors import Stop, say


def dist(tree):
    """Make both files in <build>/dist; return their paths."""
    project = tree.project
    if tree.has_own_work():
        raise Stop(f'{project.relative(tree.path)} has work that is not in patches/; '
                   'run make refresh before make dist')
    name = f'ensemble-{project.version}+{tree.state["release"]}'
    folder = project.build / 'dist'
    revision = _tree(tree)
    patch = folder / f'{name}.patch'
    files.write_bytes(patch, patches.diff(tree.repo, 'upstream', revision))
    tarball = folder / f'{name}.tar.xz'
    say(f'packing {tarball.name}')
    _pack(tree.repo, revision, name, tarball, timestamp(project.root))
    return [patch, tarball]


def _tree(tree):
    """The id of a git tree with everything that belongs in the source."""
    files.remove(tree.index)
    repo = tree.repo.with_index(tree.index)
    repo.run('read-tree', 'HEAD')
    outputs = tree.state['generated'].get('clinic outputs', [])
    ours = sorted({*tree.state['overlay'], *outputs,
                   *(path for path in tree.changed_paths('HEAD') if generated.is_generated(path))})
    if ours:
        repo.run('update-index', '--add', '--', *ours)
    revision = repo.text('write-tree')
    files.remove(tree.index)
    return revision


def timestamp(root):
    """Seconds since the epoch for every file: of the project's newest commit, if it has one."""
    if given := os.environ.get('SOURCE_DATE_EPOCH'):
        return int(given)
    done = subprocess.run(['git', '-c', 'safe.directory=*', 'log', '-1', '--format=%ct'],
                          cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 946684800


def _pack(repo, revision, name, path, mtime):
    """Write the tree as path, every file below a folder called name."""
    source = tarfile.open(fileobj=io.BytesIO(repo.run('archive', '--format=tar', revision)))
    temporary = path.with_name(f'.{path.name}.tmp')
    with lzma.open(temporary, 'wb', preset=6) as stream, \
            tarfile.open(fileobj=stream, mode='w', format=tarfile.PAX_FORMAT) as target:
        for member in sorted(source.getmembers(), key=lambda member: member.name):
            member.name = f'{name}/{member.name}'.rstrip('/')
            member.mtime = mtime
            member.uid = member.gid = 0
            member.uname = member.gname = ''
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
    os.replace(temporary, path)
