"""Find a release's tarball: the user's, the cache, python.org, Debian.

The sha256 is what makes a tarball the release, wherever it came from: a file
with another one is never used, and never left in the cache.
"""

import os
import socket
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from . import debian, files
from .errors import Stop, say
from .progress import Progress
from .project import cache

CONNECT_TIMEOUT = 5.0  # seconds; Debian is asked next


def find(release, releases, given=None):
    """Return the path of the verified tarball of the release.

    given: a tarball named by the user (Path), which is then the only source.
    """
    if given is not None:
        return check_given(given, release, releases)
    target = cache() / release.filename
    if target.is_file():
        if files.sha256(target) == release.sha256:
            return target
        target.unlink()
        say(f'removed {target}: its sha256 was wrong')
    target.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    with tempfile.TemporaryDirectory(prefix='.fetch-', dir=target.parent) as scratch:
        for name, fetch in _sources(release):
            fetched = Path(scratch) / release.filename
            reason = fetch(release, fetched, Path(scratch))
            if not reason and files.sha256(fetched) != release.sha256:
                reason = 'what came has the wrong sha256'
                fetched.unlink()
            if not reason:
                os.replace(fetched, target)
                return target
            say(f'{name}: {reason}')
            reasons.append(name)
    tried = ' or '.join(reasons) or 'nowhere else, as ENSEMBLE_OFFLINE is set'
    raise Stop(f'no source for CPython {release.version}: not in {target.parent}, '
               f'not from {tried}; put {release.filename} there yourself, or give it with '
               './configure --with-cpython=FILE')


def check_given(path, release, releases):
    """Return path if it is the release's tarball; otherwise say what it is."""
    if files.sha256(path) == release.sha256:
        return path
    version = _version_in_tarball(path)
    if version is None:
        raise Stop(f'{path} is not a CPython release tarball')
    if version != release.version:
        releases.get(version)
        raise Stop(f'{path} is CPython {version}, not {release.version}; '
                   f'use it with --with-release={version}')
    raise Stop(f'{path} has the wrong sha256 for CPython {version}: get the .tar.xz of '
               'the release again')


def patchlevel(text):
    """The version that Include/patchlevel.h states, or None."""
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ['#define', 'PY_VERSION'] and len(words) > 2:
            return words[2].strip('"')
    return None


def _version_in_tarball(path):
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith('/Include/patchlevel.h') and member.isfile():
                    return patchlevel(tar.extractfile(member).read().decode(errors='replace'))
    except (tarfile.TarError, EOFError):
        return None
    return None


def _sources(release):
    if os.environ.get('ENSEMBLE_OFFLINE'):
        return
    yield 'python.org', _download
    if release.debian_source and debian.available():
        yield 'Debian', debian.fetch


def _download(release, target, scratch):
    say(f'fetching {release.url}')
    try:
        with (urllib.request.urlopen(release.url, timeout=CONNECT_TIMEOUT) as response,
              open(target, 'wb') as file):
            total = int(response.headers.get('Content-Length') or 0) >> 16
            progress = Progress('download', total or None)
            while block := response.read(1 << 16):
                file.write(block)
                progress.step()
            progress.close()
    except urllib.error.HTTPError as error:
        return f'answered {error.code} {error.reason}'
    except urllib.error.URLError as error:
        return f'cannot be reached ({error.reason})'
    except (socket.timeout, ConnectionError) as error:
        return f'the connection broke ({error})'
    return ''
