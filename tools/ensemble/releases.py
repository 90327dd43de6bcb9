"""The pinned CPython releases of upstream.toml."""

import dataclasses
import re

from . import toml
from .errors import Stop

_FIELDS = {'version', 'sha256', 'tree', 'url', 'debian-source', 'debian-suite'}
_REQUIRED = {'version', 'sha256', 'tree', 'url'}


@dataclasses.dataclass(frozen=True)
class Release:
    """One pinned release: how to recognise it and where it may come from."""

    version: str
    sha256: str
    tree: str
    url: str
    debian_source: str = ''
    debian_suite: str = ''

    @property
    def folder(self):
        """The name of the only folder in the tarball."""
        return f'Python-{self.version}'

    @property
    def tag(self):
        """The git tag of the pristine release."""
        return f'v{self.version}'

    @property
    def filename(self):
        return f'Python-{self.version}.tar.xz'


class Releases(tuple):
    """All pinned releases, the default first."""

    def get(self, version):
        for release in self:
            if release.version == version:
                return release
        raise Stop(f'CPython {version} is not supported; '
                   f'upstream.toml knows {self.names()}')

    def names(self):
        return ' and '.join(release.version for release in self)


def read(path):
    """Return (our own version, Releases) as pinned in the upstream.toml at path."""
    data = toml.parse(path.read_text(encoding='utf-8'), path.name)
    releases = []
    for table in data.get('release', []):
        missing = _REQUIRED - table.keys()
        unknown = table.keys() - _FIELDS
        if missing or unknown:
            raise Stop(f'{path.name}: a [[release]] has '
                       + (f'no {min(missing)!r}' if missing else f'an unknown {min(unknown)!r}'))
        if not re.fullmatch('[0-9a-f]{64}', table['sha256']):
            raise Stop(f'{path.name}: the sha256 of {table["version"]} is not 64 hex digits')
        if not re.fullmatch('[0-9a-f]{40}', table['tree']):
            raise Stop(f'{path.name}: the tree of {table["version"]} is not 40 hex digits')
        releases.append(Release(**{key.replace('-', '_'): value
                                   for key, value in table.items()}))
    if not releases or 'ensemble' not in data:
        raise Stop(f'{path.name}: needs ensemble = "VERSION" and at least one [[release]]')
    return data['ensemble'], Releases(releases)
