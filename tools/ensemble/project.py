"""Where everything lies: the project's folders and those of one build root."""

import errno
import fcntl
import os
import re
from pathlib import Path

from . import files, releases
from .errors import Stop, say

ROOT = Path(__file__).resolve().parents[2]

# What GNU make, the shell recipes of upstream's Makefile or its configure
# would take apart in the name of a folder.
_UNSAFE = re.compile(r'''[\s"'`$#:;%&*?()<>|\\\[\]{}~!]''')


def check_path(path, what):
    """Stop unless upstream's build can work in a folder of this name."""
    if match := _UNSAFE.search(str(path)):
        raise Stop(f'{what} {str(path)!r} contains {match[0]!r}, which CPython\'s own build '
                   'cannot cope with; choose a path without blanks and special characters')


class Project:
    """The checked-out project and one build root (`build` unless told otherwise)."""

    def __init__(self, build='build', root=ROOT):
        self.root = root
        self.build = Path(os.path.abspath(root / build))
        self.patches = root / 'patches'
        self.upstream = self.build / 'upstream'
        self.src = self.build / 'src'
        self.settings_file = self.build / 'config.json'
        self.version, self.releases = releases.read(root / 'upstream.toml')
        self._lock = None

    def open(self):
        """Make the build root and hold its lock until this process and its children end."""
        check_path(self.root, 'the project folder')
        check_path(self.build, 'the build folder')
        try:
            self.build.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.build / '.lock', os.O_RDWR | os.O_CREAT, 0o666)
            if not os.access(self.build, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise Stop(f'cannot write in the build folder {self.build} ({error.strerror}); '
                       'choose another one with BUILD=FOLDER') from None
        # Compilers started by a run that was killed may still be writing: they
        # inherit the lock, so that waiting for it is waiting for them too.
        os.set_inheritable(self._lock, True)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'waiting for another make in {self.build}')
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    @property
    def lock(self):
        """The descriptor to pass on to children that write in the build root."""
        return self._lock

    def settings(self, **changes):
        """The recorded settings of this build root, after recording the changes.

        Keys: release (a version), prefix (where `make install` goes) and
        cpython (a tarball or folder to take the release from, or None). A
        change that is None leaves what was recorded.
        """
        recorded = files.read_json(self.settings_file) or {}
        settings = {'release': self.releases[0].version, 'prefix': '/usr/local',
                    'cpython': None} | recorded
        changes = {key: value for key, value in changes.items() if value is not None}
        version = changes.get('release', settings['release'])
        self.releases.get(version)
        if recorded and version != settings['release'] and self.src.exists():
            raise Stop(f'{self.build} holds CPython {settings["release"]}; build {version} '
                       f'beside it: make BUILD={self.relative(self.build / version)} '
                       f'RELEASE={version}')
        settings |= changes
        if settings != recorded:
            files.write_json(self.settings_file, settings)
        return settings

    def relative(self, path):
        """path as the user would type it in the project folder."""
        return os.path.relpath(path, self.root)


def cache():
    """The user's folder of downloaded releases."""
    if given := os.environ.get('ENSEMBLE_CACHE'):
        return Path(given)
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'ensemble'
