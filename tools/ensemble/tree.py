"""build/src: the release with our patches, overlay and generated files.

It is a git repository whose branch is, from the bottom up: the pristine
release (tag `upstream`), one commit for each patch, a commit with the
generated files (tag `applied`), and what a developer has committed on top.

What is recorded, in .git/ensemble.json:

    patches    digest of the patches that were applied
    chain      the commit of the last patch
    head       the commit above it with the generated files: where `applied` is
    overlay    what was copied (see overlay.py)
    generated  what the generators read and wrote (see generated.py)
    target     only while the working tree is being moved: the commit it moves to

While HEAD is `head` and no file was edited, the tools may move the tree. As
soon as there is work of a developer in it they only build it, and stop when
patches/ changes as well.
"""

from . import files, generated, git, overlay, patches, pristine
from .errors import Stop, say


class Tree:
    """The source tree of one build root."""

    def __init__(self, project):
        self.project = project
        self.path = project.src
        self.repo = git.Repository(self.path / '.git', self.path)
        self.state_file = self.path / '.git' / 'ensemble.json'
        self.index = self.path / '.git' / 'ensemble-index'
        self.state = None

    # -- bringing the tree up to date ------------------------------------

    def prepare(self, release, given=None):
        """Bring the tree up to date with patches/ and the overlay."""
        wanted = patches.read(self.project.patches)
        if not self.state_file.is_file():
            pristine.ensure(self.project, release, given)
            self._create(release, wanted)
        self._load()
        if self.state['patches'] != patches.key(wanted):
            if self.has_own_work():
                raise Stop(
                    f'patches/ and {self._name()} both changed since the patches were applied; '
                    'keep one: "git checkout patches" and then "make refresh" keeps what is in '
                    f'{self._name()}, "git -C {self._name()} reset --hard applied" keeps patches/')
            self._apply(wanted)
        self._overlay(release)
        self._generate()

    def _create(self, release, wanted):
        say(f'applying {len(wanted)} patches to CPython {release.version}')
        temporary = self.path.with_name('src.tmp')
        files.remove(temporary)
        files.remove(self.path)
        temporary.mkdir()
        repo = git.create(temporary / '.git', temporary)
        repo.run('fetch', '--quiet', '--no-tags', self.project.upstream / 'releases.git',
                 f'refs/tags/{release.tag}:refs/tags/upstream')
        base = repo.resolve('upstream')
        head = patches.apply(repo, base, wanted, temporary / '.git' / 'ensemble-index')
        repo.run('reset', '--quiet', '--hard', head)
        repo.run('tag', 'applied', head)
        files.write_json(temporary / '.git' / 'ensemble.json', {
            'release': release.version, 'patches': patches.key(wanted), 'chain': head,
            'head': head, 'overlay': {}, 'generated': {}})
        temporary.rename(self.path)

    def _load(self):
        self.state = files.read_json(self.state_file)
        if target := self.state.get('target'):
            # An earlier run was interrupted while git moved the tree, which it
            # only does when there is no work in it that could be lost.
            (self.path / '.git' / 'index.lock').unlink(missing_ok=True)
            self._move(target)

    def _apply(self, wanted):
        """Replay the patches and move the files that come out different, no others."""
        say(f'applying {len(wanted)} patches')
        chain = patches.apply(self.repo, self.repo.resolve('upstream'), wanted, self.index)
        self.adopt(wanted, chain)

    def adopt(self, wanted, chain):
        """Move to a new chain of patches, keeping the generated files as they are.

        Only files that come out different are written. Keeping the generated
        ones spares make what depends on them; the generators run later and
        put right what is wrong.
        """
        head = self._with_generated(chain)
        self.state |= {'patches': patches.key(wanted), 'chain': chain, 'head': head,
                       'target': head}
        self.save()
        self._move(head)

    def _move(self, target):
        # git writes a file whose index entry differs from the target even when
        # the file itself does not, and then make would build for nothing.
        if written := [path for path in self.repo.paths('diff', '-z', '--name-only')
                       if generated.is_generated(path)]:
            self.repo.run('update-index', '--remove', '--', *written)
        self.repo.run('reset', '--quiet', '--hard', target)
        self.repo.run('tag', '--force', 'applied', target)
        del self.state['target']
        self.save()

    def _overlay(self, release):
        names = overlay.listing(self.project.root)
        overlay.check_no_shadow(names, self.upstream_names(), release.version)
        for name in names:
            if generated.is_generated(name):
                raise Stop(f'{name} is a generated file; remove it, the build makes it')

        def save(record):
            self.state['overlay'] = record
            self.save()

        overlay.sync(self.project.root, self.path, names, self.state['overlay'], save)
        self._exclude(names)

    def _exclude(self, names):
        """Hide our files from git status in the tree: they belong to the project."""
        outputs = self.state['generated'].get('clinic outputs', [])
        text = '__pycache__/\n*.pyc\n' + overlay.exclude_lines(
            sorted({*names, *(set(outputs) - self.upstream_names())}))
        path = self.path / '.git' / 'info' / 'exclude'
        if not path.is_file() or path.read_text() != text:
            files.write_bytes(path, text.encode())

    def _generate(self):
        upstream_names = self.upstream_names()

        def upstream(path):
            return self.repo.show('upstream', path) if path in upstream_names else None

        generator = generated.Generator(self.path, self.changed_paths('upstream'),
                                        sorted(self.state['overlay']), upstream,
                                        self.state['generated'])
        for name in generator.run():
            say(f'generated {name}')
        if generator.ran:
            self.save()
            self._exclude(sorted(self.state['overlay']))
            if not self.has_own_work():
                self._commit_generated()

    def _commit_generated(self):
        """Make the generated files part of the head, so that git status shows none."""
        head = self._with_generated(self.state['chain'])
        if head != self.state['head']:
            self.state |= {'head': head, 'target': head}
            self.save()
            self._move(head)

    def _with_generated(self, chain):
        """A commit with the files of chain and the generated files of the working tree."""
        paths = [path for path in self.changed_paths('upstream') if generated.is_generated(path)]
        if not paths:
            return chain
        files.remove(self.index)
        repo = self.repo.with_index(self.index)
        repo.run('read-tree', chain)
        repo.run('update-index', '--', *paths)
        tree = repo.text('write-tree')
        files.remove(self.index)
        return self.repo.commit_tree(tree, [chain], 'Generated files\n')

    # -- looking at it ---------------------------------------------------

    def open(self):
        """Read the record of a tree that is already there."""
        if not self.state_file.is_file():
            raise Stop(f'there is no {self._name()} yet; run make first')
        self._load()

    def upstream_names(self):
        """The paths of all files of the pristine release."""
        if not hasattr(self, '_upstream_names'):
            self._upstream_names = frozenset(
                self.repo.paths('ls-tree', '-r', '-z', '--name-only', 'upstream'))
        return self._upstream_names

    def changed_paths(self, revision):
        """The tracked files in the working tree that differ from a revision."""
        return self.repo.paths('diff', '-z', '--name-only', '--no-renames', '--no-ext-diff',
                               revision)

    def edited_paths(self):
        """The tracked files with uncommitted changes, generated ones aside."""
        return [path for path in self.changed_paths('HEAD')
                if not generated.is_generated(path)]

    def has_own_work(self):
        """Whether a developer committed or edited something in the tree."""
        return self.repo.resolve('HEAD') != self.state['head'] or bool(self.edited_paths())

    def save(self):
        files.write_json(self.state_file, self.state)

    def _name(self):
        return self.project.relative(self.path)
