"""What must be installed to build CPython with all its modules."""

import os
import shutil
import subprocess

from .errors import Stop, say

# Debian's names. Without the first group nothing can be built; without one of
# the second, some extension modules are missing from the result.
MANDATORY = ('gcc', 'libc6-dev', 'make', 'git')
OPTIONAL = ('pkg-config', 'libssl-dev', 'zlib1g-dev', 'libbz2-dev', 'liblzma-dev',
            'libffi-dev', 'libsqlite3-dev', 'libreadline-dev', 'libncurses-dev',
            'libgdbm-dev', 'libgdbm-compat-dev', 'uuid-dev', 'tk-dev', 'xz-utils', 'ccache')

# Elsewhere: (program) and (header, what it belongs to).
PROGRAMS = ('make', 'git')
HEADERS = (('openssl/ssl.h', 'OpenSSL'), ('zlib.h', 'zlib'), ('bzlib.h', 'bzip2'),
           ('lzma.h', 'xz/liblzma'), ('ffi.h', 'libffi'), ('sqlite3.h', 'SQLite'),
           ('readline/readline.h', 'readline'), ('curses.h', 'ncurses'),
           ('gdbm.h', 'gdbm'), ('uuid/uuid.h', 'libuuid'), ('tk.h', 'Tk'))


def ensure():
    """Install what is missing (Debian, as root), or say what it is."""
    if shutil.which('dpkg-query') and shutil.which('apt-get'):
        _ensure_debian()
    else:
        _check_elsewhere()


def _ensure_debian():
    missing = missing_packages(MANDATORY + OPTIONAL)
    if not missing:
        return
    if os.geteuid() != 0:
        report(missing, [name for name in missing if name in MANDATORY
                         and not _has_program(name)],
               f'as root: apt-get install {" ".join(missing)}')
        return
    say(f'installing build dependencies: {" ".join(missing)}')
    env = os.environ | {'DEBIAN_FRONTEND': 'noninteractive'}
    install = ['apt-get', 'install', '--yes', '--no-install-recommends', *missing]
    output = ''
    # The machine's package lists may be missing or old: then, and only then, renew them.
    for command in (install, ['apt-get', 'update'], install):
        done = subprocess.run(command, env=env, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = done.stdout
        if command is install and done.returncode == 0:
            return
    reason = next((line for line in output.splitlines() if line.startswith('E: ')), 'apt failed')
    still = missing_packages(MANDATORY + OPTIONAL)
    report(still, [name for name in still if name in MANDATORY], reason)


def missing_packages(names):
    """Those of the Debian packages that are not installed."""
    done = subprocess.run(
        ['dpkg-query', '--show', '--showformat', '${Package} ${db:Status-Status}\n', *names],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    installed = {line.split()[0] for line in done.stdout.splitlines()
                 if line.endswith(' installed')}
    return [name for name in names if name not in installed]


def _has_program(package):
    """A tool that was installed by other means than dpkg will do as well."""
    return package != 'libc6-dev' and shutil.which(package) is not None


def _check_elsewhere():
    compiler = os.environ.get('CC', '').split()[:1] or ['cc']
    mandatory = [name for name in (*compiler, *PROGRAMS) if shutil.which(name) is None]
    missing = list(mandatory)
    if not mandatory:
        missing += [f'{library} headers ({header})' for header, library in HEADERS
                    if header in missing_headers(compiler[0])]
    if missing:
        report(missing, mandatory, 'install them with your system\'s package manager')


def missing_headers(compiler):
    """Those of HEADERS that the compiler does not find."""
    source = ''.join(f'#if !__has_include(<{header}>)\nmissing {header}\n#endif\n'
                     for header, _ in HEADERS)
    done = subprocess.run([compiler, '-E', '-P', '-x', 'c', '-'], input=source, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith('missing ')}


def report(missing, mandatory, advice):
    """Stop when a mandatory one is missing; otherwise just name them."""
    if mandatory:
        raise Stop(f'missing build dependencies: {", ".join(missing)}; {advice}')
    say(f'some extension modules will not be built, for want of: {", ".join(missing)}; {advice}')
