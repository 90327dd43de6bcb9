"""The overlay: new files of ours that are copied into build/src.

Each file lies in the project at the path it has in CPython. The copies can be
edited in build/src as well; what was recorded when a file was copied tells
which side has changed since.
"""

import hashlib
import os
import re
import subprocess

from . import files
from .errors import Stop

# Upstream's folders that may have new files in them. Doc is ours alone.
FOLDERS = ('Grammar', 'Include', 'Lib', 'Misc', 'Modules', 'Objects', 'Parser',
           'Programs', 'Python', 'Tools')

# What Argument Clinic writes into a C file, up to and with its checksum.
_CLINIC_OUTPUT = re.compile(rb'\[clinic start generated code\]\*/.*?'
                            rb'/\*\[clinic end generated code:[^\]]*\]\*/', re.DOTALL)


def listing(root):
    """The paths of all overlay files of the project, sorted.

    With git, what it knows or would offer to add; else every file that is not
    a by-product of running Python.
    """
    folders = [folder for folder in FOLDERS if (root / folder).is_dir()]
    if not folders:
        return []
    if (root / '.git').exists():
        command = ['git', '-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others',
                   '--exclude-standard', '--', *folders]
        env = {key: value for key, value in os.environ.items() if not key.startswith('GIT_')}
        done = subprocess.run(command, cwd=root, env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        if done.returncode:
            raise Stop(f'git ls-files failed in {root}: '
                       f'{done.stderr.decode(errors="replace").strip()}')
        names = {os.fsdecode(name) for name in done.stdout.split(b'\0') if name}
    else:
        names = {str(path.relative_to(root)) for folder in folders
                 for path in (root / folder).rglob('*')
                 if path.suffix != '.pyc' and '__pycache__' not in path.parts}
    # A file removed from the working tree is still in git's index.
    return sorted(name for name in names if (root / name).is_file())


def check_no_shadow(names, upstream_names, version):
    """Stop when a file of the overlay is one that upstream has."""
    for name in names:
        if name in upstream_names:
            raise Stop(f'{name} is a file of CPython {version}, which the overlay may not '
                       'replace; edit it in build/src, commit it there and run make refresh')


def fingerprint(data):
    """A digest of what people write in a file, whatever Argument Clinic makes of it.

    Clinic updates the copy in build/src; that is no edit.
    """
    return hashlib.sha256(_CLINIC_OUTPUT.sub(b'', data)).hexdigest()


def sync(root, src, names, recorded, save):
    """Bring the copies in src up to date and return the new record.

    recorded: {path: fingerprint of the file when last copied}. save(record) is
    called before a copy is changed, so that an interruption is not taken for
    an edit.

    A copy edited in src is kept as long as the file in the project is the one
    it was made from; when both changed, nobody but the user can tell.
    """
    changed = []
    for name in names:
        ours = fingerprint((root / name).read_bytes())
        copy = _read(src / name)
        theirs = fingerprint(copy) if copy is not None else None
        if theirs == ours or (theirs is not None and recorded.get(name) == ours):
            continue
        if theirs is not None and theirs != recorded.get(name):
            raise Stop(f'{name} was edited both here and in {src}; copy what you want to '
                       'keep into the one and delete the other\'s copy '
                       f'(rm {src / name} takes this one)')
        changed.append(name)
    removed = [name for name in recorded if name not in names]
    for name in removed:
        copy = _read(src / name)
        if copy is not None and fingerprint(copy) != recorded[name]:
            raise Stop(f'{name} was removed here but edited in {src}; move it back here, '
                       'or delete it there as well')
    fresh = {name: fingerprint((root / name).read_bytes()) for name in names}
    for name in changed:
        # Without a copy nothing can be mistaken for an edit of one.
        (src / name).unlink(missing_ok=True)
    if fresh != recorded:
        save(fresh)
    for name in changed:
        path = root / name
        files.write_bytes(src / name, path.read_bytes(), path.stat().st_mode & 0o777)
    for name in removed:
        (src / name).unlink(missing_ok=True)
    return fresh


def edited(root, src, names):
    """The overlay files whose copy in src differs from the project's, clinic output included."""
    return [name for name in names if (src / name).is_file()
            and (src / name).read_bytes() != (root / name).read_bytes()]


def exclude_lines(names):
    """Lines for .git/info/exclude that hide exactly these paths from git status."""
    return ''.join('/' + re.sub(r'([\\*?\[\]!#])', r'\\\1', name) + '\n' for name in names)


def _read(path):
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
