"""The patch files: reading, checking and writing them, and making them commits.

A patch file is a header and a diff. The header is the commit message, with
`Subject: ` before its first line; the fields below follow, each on a line of
its own that may go on in indented lines.
"""

import dataclasses
import hashlib
import re

from . import files
from .errors import Stop
from .git import GitError

FIELDS = ('Why', 'Upstream', 'Test', 'Forwarded')
_FORWARDED = re.compile(r'no|not-needed|https://\S+')


@dataclasses.dataclass(frozen=True)
class Patch:
    """One patch: its file name, the commit message and the diff (bytes)."""

    name: str
    subject: str
    body: str
    diff: bytes

    def message(self):
        return f'{self.subject}\n\n{self.body}\n' if self.body else f'{self.subject}\n'

    def text(self):
        """The bytes of the patch file."""
        header = f'Subject: {self.subject}\n' + (f'{self.body}\n' if self.body else '')
        return header.encode('utf-8', 'surrogateescape') + b'\n' + self.diff

    def paths(self):
        """The files the diff touches, in its order."""
        found = re.findall(rb'^diff --git a/(.+) b/\1$', self.diff, re.MULTILINE)
        return [path.decode('utf-8', 'surrogateescape') for path in found]

    def problems(self):
        """What is wrong with the header, as a list of lines."""
        fields = dict(re.findall(r'^([A-Z][A-Za-z-]*):[ \t]*(.*(?:\n[ \t].*)*)',
                                 self.body, re.MULTILINE))
        problems = []
        if not self.subject:
            problems.append(f'patches/{self.name}: no "Subject:" line')
        for field in FIELDS:
            if not fields.get(field, '').strip():
                problems.append(f'patches/{self.name}: no "{field}:" field in the header')
        forwarded = fields.get('Forwarded', '').strip()
        if forwarded and not _FORWARDED.fullmatch(forwarded):
            problems.append(f'patches/{self.name}: "Forwarded:" is no, not-needed or an '
                            f'https address, not {forwarded!r}')
        return problems


def parse(name, data):
    """The Patch in the bytes of a patch file."""
    start = re.search(rb'^diff --git ', data, re.MULTILINE)
    if start is None:
        raise Stop(f'patches/{name}: no "diff --git" line; make patches with make refresh')
    header = data[:start.start()].decode('utf-8', 'surrogateescape').strip('\n')
    first, _, body = header.partition('\n')
    subject = first.removeprefix('Subject:').strip() if first.startswith('Subject:') else ''
    return Patch(name, subject, body.strip('\n'), data[start.start():])


def from_message(number, message, diff, slugs):
    """The Patch for the number-th commit with this message and diff.

    slugs: {subject: name without the number} of the patches there are; a patch
    keeps its name when its place changes.
    """
    subject, _, body = message.strip('\n').partition('\n')
    subject = subject.strip()
    slug = re.sub('[^a-z0-9]+', '-', subject.lower()).strip('-')
    if len(slug) > 60:
        slug = slug[:60].rpartition('-')[0] or slug[:60]
    slug = slugs.get(subject, f'{slug}.patch')
    return Patch(f'{number:04d}-{slug}', subject, body.strip('\n'), diff)


def slugs(patches):
    """The names without their numbers, by subject."""
    return {patch.subject: re.sub(r'^\d+-', '', patch.name) for patch in patches}


def listed(folder):
    """The names in patches/series, in order. A '#' starts a comment."""
    series = folder / 'series'
    if not series.is_file():
        raise Stop(f'{series} is missing')
    lines = (line.partition('#')[0].strip() for line in
             series.read_text(encoding='utf-8').splitlines())
    return [line for line in lines if line]


def read(folder):
    """All patches of the series, in order."""
    found = []
    for name in listed(folder):
        path = folder / name
        if not path.is_file():
            raise Stop(f'patches/series lists {name}, which does not exist')
        found.append(parse(name, path.read_bytes()))
    return found


def write(folder, patches):
    """Make the folder hold exactly these patches; files that are the same stay untouched."""
    for patch in patches:
        path = folder / patch.name
        if not path.is_file() or path.read_bytes() != patch.text():
            files.write_bytes(path, patch.text())
    names = [patch.name for patch in patches]
    series = folder / 'series'
    old = series.read_text(encoding='utf-8') if series.is_file() else ''
    comment = ''.join(line for line in old.splitlines(keepends=True) if line.startswith('#'))
    new = comment + ''.join(f'{name}\n' for name in names)
    if new != old:
        files.write_bytes(series, new.encode())
    for path in folder.glob('*.patch'):
        if path.name not in names:
            path.unlink()


def key(patches):
    """A digest that changes whenever what the patches do or say changes."""
    digest = hashlib.sha256()
    for patch in patches:
        text = patch.text()
        digest.update(b'%d\n' % len(text) + text)
    return digest.hexdigest()


def apply(repo, base, patches, index):
    """Commit the patches one after the other onto base; return the last commit.

    No file is touched but the index, a path for a temporary one. A context
    that does not match exactly is an error (no fuzz); lines may have moved.
    """
    files.remove(index)
    repo = repo.with_index(index)
    repo.run('read-tree', base)
    head = base
    for patch in patches:
        try:
            repo.run('apply', '--cached', '--whitespace=nowarn', '-', input=patch.diff)
        except GitError as error:
            first = str(error).splitlines()[0].removeprefix('error: ')
            version = repo.text('log', '-1', '--format=%s', base)
            raise Stop(f'patches/{patch.name} does not apply to {version}: {first}') from None
        head = repo.commit_tree(repo.text('write-tree'), [head], patch.message())
    files.remove(index)
    return head


# The form of every exported diff. Nothing in it may depend on the user, the
# machine, the date or the ids of git objects.
DIFF_OPTIONS = ('--patch', '--no-color', '--no-ext-diff', '--no-textconv', '--no-renames',
                '--unified=3', '--inter-hunk-context=0', '--diff-algorithm=myers',
                '--src-prefix=a/', '--dst-prefix=b/', '--full-index', '--binary', '--no-indent-heuristic')


def diff(repo, old, new, paths=()):
    """The stable diff between two commits or trees, of the given paths only if any."""
    selection = ('--', *(f':(literal){path}' for path in paths)) if paths else ()
    data = repo.run('diff-tree', '-r', *DIFF_OPTIONS, old, new, *selection)
    return strip_index_lines(data)


def strip_index_lines(data):
    """Remove git's "index" lines: blob ids say nothing to a reader and change often.

    Only between "diff --git" and the first hunk, where they are not content; a
    binary patch cannot be applied without its ids and keeps them.
    """
    kept = []
    header = []  # lines of a file's header, until its end is seen
    for line in data.split(b'\n'):
        if line.startswith(b'diff --git '):
            kept += header
            header = [line]
        elif not header:
            kept.append(line)
        else:
            header.append(line)
            if line.startswith(b'--- '):
                header = [text for text in header if not text.startswith(b'index ')]
            if line.startswith((b'--- ', b'GIT binary patch')):
                kept += header
                header = []
    return b'\n'.join(kept + header)
