"""Fetch a release from Debian: the .orig.tar.xz of its source package is the
release tarball, unchanged.

The suite that carries a release is rarely the one the machine runs, so apt is
given a source list and state of its own in a temporary folder; the machine's
apt set-up is only read, to learn where it gets Debian from and with which keys.
"""

import re
import shutil
import subprocess
from pathlib import Path

from .errors import say

APT = Path('/etc/apt')


def available():
    return shutil.which('apt-get') is not None


def fetch(release, target, scratch):
    """Put the release's tarball at target. Return '' or why it could not be done.

    scratch is an empty folder for apt's private lists and the download.
    """
    entry = machine_entry(APT)
    if entry is None:
        return 'apt has no Debian entry to learn an address from'
    uri, signed_by = entry
    options = _private_apt(scratch, uri, signed_by, release.debian_suite)
    say(f'asking Debian {release.debian_suite} for {release.debian_source}')
    for command in (['apt-get', *options, 'update'],
                    ['apt-cache', *options, 'showsrc', release.debian_source]):
        done = subprocess.run(command, cwd=scratch, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            return _last_line(done.stderr)
    version = source_version(done.stdout, release.version)
    if version is None:
        return f'Debian {release.debian_suite} has no {release.version} (any more)'
    done = subprocess.run(
        ['apt-get', *options, 'source', '--download-only', '--tar-only',
         f'{release.debian_source}={version}'],
        cwd=scratch, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        return _last_line(done.stderr)
    [tarball] = scratch.glob('*.orig.tar.xz')
    tarball.rename(target)
    return ''


def machine_entry(apt):
    """The address and keyring of the machine's own Debian entry, or None.

    Returns (uri, path of the keyring or ''). Of the entries under the folder
    apt, that is the first whose address ends in /debian: neither the security
    archive, nor a vendor's.
    """
    for path in sorted(apt.glob('sources.list.d/*.sources')):
        for uri, signed_by in _deb822_entries(path.read_text()):
            if _is_debian(uri):
                return uri, signed_by
    for path in [apt / 'sources.list', *sorted(apt.glob('sources.list.d/*.list'))]:
        if path.is_file():
            for uri, signed_by in _one_line_entries(path.read_text()):
                if _is_debian(uri):
                    return uri, signed_by
    return None


def source_version(showsrc, upstream_version):
    """The newest package version of that upstream version in apt-cache's output."""
    found = re.findall(rf'^Version: ((?:\d+:)?{re.escape(upstream_version)}-\S+)$',
                       showsrc, re.MULTILINE)
    return found[-1] if found else None


def _is_debian(uri):
    return uri.rstrip('/').endswith('/debian')


def _deb822_entries(text):
    for stanza in re.split(r'\n\s*\n', text):
        lines = [line for line in stanza.splitlines() if not line.startswith('#')]
        fields = {}
        name = ''
        for line in lines:
            if line[:1] in (' ', '\t'):
                fields[name] = f'{fields.get(name, "")} {line.strip()}'
            elif ':' in line:
                name, _, value = line.partition(':')
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields.get('enabled', 'yes') == 'no' or 'deb' not in fields.get('types', '').split():
            continue
        signed_by = fields.get('signed-by', '')
        for uri in fields.get('uris', '').split():
            yield uri, signed_by if signed_by.startswith('/') else ''


def _one_line_entries(text):
    for line in text.splitlines():
        match = re.match(r'\s*deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+\S+', line)
        if match:
            options = dict(option.split('=', 1) for option in (match[1] or '').split()
                           if '=' in option)
            yield match[2], options.get('signed-by', '')


def _private_apt(scratch, uri, signed_by, suite):
    """Options that keep apt away from the machine's lists, cache and settings of sources."""
    for folder in ('lists/partial', 'cache/archives/partial'):
        (scratch / folder).mkdir(parents=True)
    options = f'[signed-by={signed_by}] ' if signed_by else ''
    source_list = scratch / 'sources.list'
    source_list.write_text(f'deb-src {options}{uri} {suite} main\n')
    settings = {
        'Dir::Etc::SourceList': source_list,
        'Dir::Etc::SourceParts': '/dev/null',
        'Dir::State::Lists': scratch / 'lists',
        'Dir::Cache': scratch / 'cache',
        # As root apt would download as another user, who cannot write here.
        'APT::Sandbox::User': 'root',
        # Hooks of the machine are for its own updates.
        'APT::Update::Post-Invoke-Success': '',
        'Acquire::Languages': 'none',
        'Acquire::Retries': '1',
        'Acquire::http::Timeout': '20',
        'Acquire::https::Timeout': '20',
    }
    return [argument for key, value in settings.items() for argument in ('-o', f'{key}={value}')]


def _last_line(stderr):
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else 'apt failed without saying why'
