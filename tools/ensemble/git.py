"""Calls to git that give the same answer on every machine.

A user's configuration (autocrlf, diff drivers, hooks, signing) must not
change what is applied or exported, so none of it is read.
"""

import os
import subprocess

from .errors import Stop

# The settings that decide how bytes go in and out. They outrank the
# .gitattributes files that upstream ships.
ATTRIBUTES = '* -text !eol -ident !filter !working-tree-encoding !diff !merge\n'

# Commits that the tools make have a fixed author and date, so that the same
# patches on the same release always give the same commit ids.
_IDENTITY = {
    'GIT_AUTHOR_NAME': 'Ensemble', 'GIT_AUTHOR_EMAIL': 'ensemble@localhost',
    'GIT_COMMITTER_NAME': 'Ensemble', 'GIT_COMMITTER_EMAIL': 'ensemble@localhost',
    'GIT_AUTHOR_DATE': '2000-01-01T00:00:00Z', 'GIT_COMMITTER_DATE': '2000-01-01T00:00:00Z',
}


class GitError(Exception):
    """git said no; the text is what it said."""


class Repository:
    """A git repository, with an index and a working tree that may be elsewhere."""

    def __init__(self, git_dir, work_tree=None, index=None):
        self.git_dir = git_dir
        self.work_tree = work_tree
        self.index = index

    def with_index(self, index):
        """The same repository seen through another index: the files stay untouched."""
        return Repository(self.git_dir, self.work_tree, index)

    def run(self, *args, input=None):
        """Return git's stdout as bytes. Raises GitError when git fails."""
        env = {key: value for key, value in os.environ.items()
               if not key.startswith('GIT_')}
        env |= _IDENTITY
        env |= {'GIT_CONFIG_GLOBAL': os.devnull, 'GIT_CONFIG_NOSYSTEM': '1',
                'GIT_ATTR_NOSYSTEM': '1', 'LC_ALL': 'C', 'GIT_DIR': str(self.git_dir)}
        if self.work_tree is not None:
            env['GIT_WORK_TREE'] = str(self.work_tree)
        if self.index is not None:
            env['GIT_INDEX_FILE'] = str(self.index)
        command = ['git', '-c', 'safe.directory=*', '-c', 'core.attributesFile=/dev/null',
                   '-c', 'core.quotePath=false', '-c', 'gc.auto=0',
                   '-c', 'advice.detachedHead=false', *map(str, args)]
        try:
            done = subprocess.run(command, input=input, env=env, cwd=self.work_tree,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError:
            raise Stop('git is not installed; install it and try again') from None
        if done.returncode:
            message = done.stderr.decode(errors='replace').strip()
            raise GitError(message or f'git {args[0]} failed with {done.returncode}')
        return done.stdout

    def text(self, *args, input=None):
        """git's stdout as one stripped string."""
        return os.fsdecode(self.run(*args, input=input)).strip()

    def paths(self, *args):
        """The paths that a git command run with -z names, in git's order."""
        return [os.fsdecode(path) for path in self.run(*args).split(b'\0') if path]

    def resolve(self, name):
        """The commit id of name, or None when there is no such thing."""
        try:
            return self.text('rev-parse', '--verify', '--quiet', f'{name}^{{commit}}')
        except GitError:
            return None

    def commit_tree(self, tree, parents, message):
        args = [argument for parent in parents for argument in ('-p', parent)]
        return self.text('commit-tree', tree, *args, input=message.encode(
            'utf-8', 'surrogateescape'))

    def show(self, revision, path):
        """The bytes of a file in a revision."""
        return self.run('cat-file', 'blob', f'{revision}:{path}')


def create(git_dir, work_tree=None):
    """Make an empty repository that stores every file byte for byte."""
    repo = Repository(git_dir, work_tree)
    repo.run('init', '--quiet', '--template=', '--initial-branch=ensemble',
             *([] if work_tree else ['--bare']))
    for key, value in {
            'core.autocrlf': 'false', 'core.fileMode': 'true',
            'core.hooksPath': '/dev/null', 'core.logAllRefUpdates': 'true',
            # Upstream's Makefile asks for the state of the tree from the object folder.
            **({'core.worktree': '..'} if work_tree else {}),
            'commit.gpgSign': 'false',
            # Only the message of a developer's commit is exported.
            'user.name': 'Ensemble', 'user.email': 'ensemble@localhost'}.items():
        repo.run('config', key, value)
    info = git_dir / 'info'
    info.mkdir(exist_ok=True)
    (info / 'attributes').write_text(ATTRIBUTES)
    return repo
