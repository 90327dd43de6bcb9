"""A tiny CPython release and scratch projects, so that the tools' tests take seconds.

The release has what the tools look at: a version header, a configure that
writes a Makefile, a module list, a generator. Its `python` is a shell script
that answers the one question the tools ask.
"""

import copy
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools'))

from ensemble import git  # noqa: E402

# Writes half an object and waits, when told to, like a compiler that is killed.
CONFIGURE = r'''#!/bin/sh
srcdir=$(dirname "$0")
echo "checking arguments... $*"
if [ -n "$FAKE_HANG_IN_CONFIGURE" ]; then echo half > Makefile; cat "$FAKE_HANG_IN_CONFIGURE"; fi
cat > Makefile <<END
all: python
python: core.o extra.o
	printf '#!/bin/sh\necho @VERSION@\n' > python; chmod +x python
%.o: $srcdir/Python/%.c $srcdir/Include/core.h
	@echo gcc -c -o \$@ \$<
	@echo \$@ >> compiled.txt
	@if [ -n "\$\$FAKE_HANG" ]; then printf half > \$@; cat "\$\$FAKE_HANG"; fi
	@if grep -q syntax.error \$<; then echo "\$<:1:1: error: expected ';'"; exit 1; fi
	@cp \$< \$@
install: all
	mkdir -p \$(DESTDIR)${1#--prefix=}/bin; cp python \$(DESTDIR)${1#--prefix=}/bin/python3
END
'''

# Argument Clinic's contract: an output file and a checksum in the source.
CLINIC = r'''
import hashlib, os, re, sys
path = sys.argv[1]
text = open(path).read()
if 'clinic fails' in text:
    sys.exit('Error in file')
block = text[text.index('[clinic input]'):text.index('[clinic start generated code]')]
digest = hashlib.sha1(block.encode()).hexdigest()
new = re.sub('output=\\w+', 'output=' + digest, text)
if new != text:
    open(path, 'w').write(new)
output = os.path.join(os.path.dirname(path), 'clinic', os.path.basename(path) + '.h')
os.makedirs(os.path.dirname(output), exist_ok=True)
if not os.path.exists(output) or open(output).read() != block:
    open(output, 'w').write(block)
'''

CLINIC_FILE = '''/*[clinic input]
{name}
[clinic start generated code]*/
static int impl(void)
/*[clinic end generated code: output=0 input=0]*/
'''

NAMES = '// Auto-generated.\n\nstatic const char* names[] = {\n"abc",\n"os",\n"zlib",\n};\n'

# Enough lines that no hunk is tied to the beginning or the end of the file.
CORE = '''/* core */
/* a */
/* b */
int one = 1;
int two = 2;
int three = 3;
/* c */
/* d */
/* e */
/* f */
'''

PATCH = '''Subject: Say hello in the core
Why: The tests need a patch.
Upstream: none
Test: tests/tools
Forwarded: not-needed

diff --git a/Python/core.c b/Python/core.c
--- a/Python/core.c
+++ b/Python/core.c
@@ -2,6 +2,7 @@
 /* a */
 /* b */
 int one = 1;
+int hello = 1;
 int two = 2;
 int three = 3;
 /* c */
'''


def release_files(version):
    """The files of the tiny release: {path: text}."""
    return {
        'Include/patchlevel.h': f'#define PY_VERSION      "{version}"\n',
        'Include/core.h': '/* core.h */\n',
        'Python/core.c': CORE,
        'Python/extra.c': '/* extra */\n',
        'Python/stdlib_module_names.h': NAMES,
        'Modules/Setup.stdlib.in': '@MODULE_ZLIB_TRUE@zlib zlibmodule.c\n#xxsubtype x.c\n',
        'Modules/zlibmodule.c': CLINIC_FILE.format(name='zlib'),
        'Modules/clinic/zlibmodule.c.h': '[clinic input]\nzlib\n',
        'Modules/crlf.bat': 'echo one\r\necho two\r\n',
        'Lib/os.py': 'name = "posix"\n',
        'Tools/clinic/clinic.py': CLINIC,
        'Makefile.pre.in': '# the real one is made into a Makefile\n',
        'configure': CONFIGURE.replace('@VERSION@', version),
        '.gitignore': 'Modules/*.bat\n',
        '.gitattributes': '* text=auto\n*.bat text eol=crlf\n',
    }


class FakeRelease:
    """A tiny release: its folder, its tarball and what upstream.toml says of it."""

    def __init__(self, parent, version, **changes):
        self.version = version
        self.folder = parent / f'Python-{version}'
        for path, text in (release_files(version) | changes).items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        (self.folder / 'configure').chmod(0o755)
        self.tarball = parent / f'Python-{version}.tar.xz'
        with tarfile.open(self.tarball, 'w:xz') as tar:
            tar.add(self.folder, self.folder.name)
        self.sha256 = hashlib.sha256(self.tarball.read_bytes()).hexdigest()
        git.create(parent / f'{version}.git')
        repo = git.Repository(parent / f'{version}.git', self.folder, parent / f'{version}.index')
        repo.run('add', '--force', '--all', '.')
        self.tree = repo.text('write-tree')

    def pin(self):
        return (f'[[release]]\nversion = "{self.version}"\nsha256 = "{self.sha256}"\n'
                f'tree = "{self.tree}"\nurl = "http://127.0.0.1:9/Python.tar.xz"\n\n')


class Scratch:
    """A project in a temporary folder, with the real tools and tiny releases."""

    def __init__(self, path, releases, cache):
        self.path = path
        self.cache = cache
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith(('MAKE', 'GIT_', 'MFLAGS', 'ENSEMBLE'))}
        self.env |= {'ENSEMBLE_CACHE': str(cache), 'ENSEMBLE_OFFLINE': '1'}
        path.mkdir(parents=True)
        for name in ('configure', 'Makefile'):
            shutil.copy(ROOT / name, path / name)
        shutil.copytree(ROOT / 'tools', path / 'tools',
                        ignore=shutil.ignore_patterns('__pycache__'))
        self.write('upstream.toml',
                   'ensemble = "1.2.3"\n' + ''.join(release.pin() for release in releases))
        self.write('patches/series', '# in this order\n0001-hello.patch\n')
        self.write('patches/0001-hello.patch', PATCH)
        self.write('.gitignore', '/build/\n__pycache__/\n')
        self.write('Lib/ours.py', 'x = 1\n')
        self.write('Modules/_ours/module.c', CLINIC_FILE.format(name='ours'))

    def write(self, path, text):
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self, path):
        return (self.path / path).read_text()

    def run(self, *command, **env):
        """Run a command in the project; return (exit status, stdout, stderr)."""
        done = subprocess.run(command, cwd=self.path, env=self.env | env, text=True,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.returncode, done.stdout, done.stderr

    def make(self, *arguments, **env):
        """Run make, which must succeed; return its stdout."""
        status, out, err = self.run('make', *arguments, **env)
        assert status == 0, out + err
        return out

    def fail(self, *command, **env):
        """Run a command that must fail; return the tools' lines on stderr."""
        status, out, err = self.run(*command, **env)
        assert status != 0, out + err
        assert 'Traceback' not in err, err
        return '\n'.join(line for line in err.splitlines() if not line.startswith('make'))

    def git(self, *arguments, cwd='build/src'):
        status, out, err = self.run('git', '-C', cwd, *arguments)
        assert status == 0, err
        return out

    def commit(self, message, cwd='build/src'):
        self.git('add', '-A', cwd=cwd)
        self.git('-c', 'user.name=x', '-c', 'user.email=x@x', 'commit', '-qm', message, cwd=cwd)

    def compiled(self, variant='release'):
        """The objects that were compiled since the last call."""
        path = self.path / 'build' / variant / 'compiled.txt'
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(names)


@pytest.fixture(scope='session')
def release(tmp_path_factory):
    return FakeRelease(tmp_path_factory.mktemp('release'), '3.13.15')


@pytest.fixture(scope='session')
def older(tmp_path_factory):
    """A second pinned release: two more lines on top of core.c, another context in os.py."""
    core = '/* old */\n/* older */\n' + CORE
    return FakeRelease(tmp_path_factory.mktemp('older'), '3.13.5', **{'Python/core.c': core,
                       'Lib/os.py': '# old\nname = "posix"\n'})


@pytest.fixture(scope='session')
def unsupported(tmp_path_factory):
    return FakeRelease(tmp_path_factory.mktemp('unsupported'), '3.12.1')


def _scratch(parent, release, older):
    cache = parent / 'cache'
    cache.mkdir()
    for each in (release, older):
        shutil.copy(each.tarball, cache)
    return Scratch(parent / 'project', [release, older], cache)


@pytest.fixture
def scratch(tmp_path, release, older):
    """A project with both releases in its cache."""
    return _scratch(tmp_path, release, older)


@pytest.fixture(scope='session')
def _built(tmp_path_factory, release, older):
    scratch = _scratch(tmp_path_factory.mktemp('built'), release, older)
    scratch.git('init', '-q', cwd='.')
    scratch.make()
    scratch.make('refresh')
    scratch.commit('start', cwd='.')
    scratch.make()
    scratch.compiled()
    return scratch


@pytest.fixture
def built(_built, tmp_path):
    """A project under git, after its first make."""
    scratch = copy.copy(_built)
    scratch.path = tmp_path / 'project'
    scratch.cache = tmp_path / 'cache'
    scratch.env = _built.env | {'ENSEMBLE_CACHE': str(scratch.cache)}
    shutil.copytree(_built.path, scratch.path, symlinks=True)
    shutil.copytree(_built.cache, scratch.cache)
    return scratch
