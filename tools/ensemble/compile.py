"""Run upstream's configure and make in build/<variant>.

The object folder cannot be made under another name (it holds its own paths),
so it is marked instead: `configured` is written when configure succeeded, and
`compiling` lies there as long as make runs. A run that finds `compiling` from
an earlier one knows that this was killed, and that the files written since may
be cut off.
"""

import os
import re
import shlex
import shutil
import subprocess

from . import dependencies, files
from .errors import Stop, say
from .progress import Progress

CCACHE_LINKS = '/usr/lib/ccache'

# A line of make's output that compiles something.
_COMPILES = re.compile(r'^\S*(?:gcc|cc|clang|g\+\+)\S* .*(?:^| )-c ')
_OBJECT = re.compile(r' -o (\S+\.o)\b')
_ERROR = re.compile(r'\berror: |undefined reference|multiple definition|: No such file|'
                    r'\*\*\* |^ERROR|^Traceback|Error: ')
_PRODUCTS = ('.o', '.a', '.so', '.gcda', '.gcno')


class Build:
    """The folder of one variant in a build root."""

    def __init__(self, project, variant, source, jobs):
        self.project = project
        self.variant = variant
        self.source = source
        self.jobs = jobs
        self.path = project.build / variant.name
        self.python = self.path / 'python'
        self.configured = self.path / '.ensemble-configured.json'
        self.compiling = self.path / '.ensemble-compiling'

    def configure(self, prefix):
        """Run upstream's configure unless that was done with the same arguments."""
        if re.search(r'\s', prefix) or not prefix.startswith('/'):
            raise Stop(f'the prefix {prefix!r} must be an absolute path without blanks')
        arguments = [f'--prefix={prefix}', *self.variant.flags]
        if files.read_json(self.configured) == arguments and (self.path / 'Makefile').is_file():
            return
        dependencies.ensure()
        self.path.mkdir(parents=True, exist_ok=True)
        self.configured.unlink(missing_ok=True)
        # By a relative path, the same in every checkout: ccache can then answer for all.
        command = [os.path.relpath(self.source / 'configure', self.path), *arguments]
        self._run(command, 'configure.log', Progress(f'configure {self.variant.name}'),
                  lambda line: line if line.startswith('checking ') else None)
        files.write_json(self.configured, arguments)

    def make(self, *targets, log='build.log', label='compile'):
        """Run upstream's make with progress; the default target builds everything."""
        self._clean_interrupted()
        command = [*self.variant.wrapper(), 'make', f'-j{self.jobs}', *targets]
        # A profile-guided build compiles everything three times, which no dry run shows.
        total = None if targets or '--enable-optimizations' in self.variant.flags else self._count()
        progress = Progress(f'{label} {self.variant.name}', total)
        if total:
            say(f'{total} {"file" if total == 1 else "files"} to compile with {self.jobs} jobs, '
                f'log in {self.project.relative(self.path / log)}')
        self.compiling.touch()
        self._run(command, log, progress, _object_in)
        self.compiling.unlink()

    def environment(self):
        """The environment in which upstream's make and the built python run."""
        # What our make was told is not for upstream's.
        env = {key: value for key, value in os.environ.items()
               if key not in ('MAKEFLAGS', 'MFLAGS', 'MAKEOVERRIDES', 'MAKELEVEL', 'MAKEFILES',
                              'PYTHONPATH', 'PYTHONHOME', 'PREFIX', 'VARIANT', 'BUILD', 'RELEASE')}
        env['PYTHONPYCACHEPREFIX'] = str(self.path / 'pycache')
        # A module that cannot be imported is an error, not a remark in the log.
        env['PYTHONSTRICTEXTENSIONBUILD'] = '1'
        for key, value in self.variant.env:
            env.setdefault(key, value.format(src=self.source))
        if shutil.which('ccache') and os.path.isdir(CCACHE_LINKS):
            env['PATH'] = CCACHE_LINKS + os.pathsep + env.get('PATH', os.defpath)
            env['CCACHE_BASEDIR'] = str(self.project.build)
            env['CCACHE_NOHASHDIR'] = '1'
        return env

    def _count(self):
        """How many files make would compile, and nothing else."""
        done = subprocess.run(['make', '--dry-run', '--keep-going'], cwd=self.path, env=self.environment(),
                              text=True, errors='replace', stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return sum(_object_in(line) is not None for line in done.stdout.splitlines())

    def _run(self, command, log, progress, step):
        """Run a command, keep its output, show progress, and explain a failure.

        step(line) is what to show for a line that is a step, or None.
        """
        log = self.path / log
        with open(log, 'w', encoding='utf-8', errors='replace') as file:
            file.write(f'$ {shlex.join(command)}\n')
            process = subprocess.Popen(
                command, cwd=self.path, env=self.environment(), text=True, errors='replace',
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                pass_fds=[self.project.lock])
            try:
                for line in process.stdout:
                    file.write(line)
                    detail = step(line)
                    if detail is not None:
                        progress.step(detail.strip())
                    else:
                        progress.tick()
            except KeyboardInterrupt:
                # make got the signal too, and removes what it was making.
                process.wait()
                self.compiling.unlink(missing_ok=True)
                raise
            process.wait()
        if process.returncode:
            progress.close('failed')
            self.compiling.unlink(missing_ok=True)
            raise Stop(f'{command[0]} failed:\n{_explanation(log)}\n'
                       f'the whole log is in {self.project.relative(log)}')
        progress.close()

    def _clean_interrupted(self):
        """After a killed run, remove what it may have left half written."""
        if not self.compiling.exists():
            return
        since = self.compiling.stat().st_mtime
        say('an earlier run was killed; compiling again what it was at')
        for path in self.path.rglob('*'):
            if (path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since
                    and (path.suffix in _PRODUCTS or _is_program(path)
                         or 'frozen_modules' in path.parts)):
                path.unlink()


def _object_in(line):
    """The object file that a line of make's output compiles, or None."""
    if _COMPILES.search(line):
        match = _OBJECT.search(line)
        return match[1] if match else line.split()[-1]
    return None


def _is_program(path):
    """Whether this is an executable that make builds; config.status is not."""
    with open(path, 'rb') as file:
        return file.read(4) == b'\x7fELF'


def _explanation(log):
    """The lines that say why a build failed, at most fifteen."""
    lines = log.read_text(encoding='utf-8', errors='replace').splitlines()
    errors = [line for line in lines if _ERROR.search(line)]
    return '\n'.join(f'  {line}' for line in (errors or lines)[-15:])


def ready(build):
    """Tell what was built, by asking it."""
    done = subprocess.run(
        [*build.variant.wrapper(), build.python, '-c', 'import sys; print(sys.version.split()[0])'],
        env=build.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise Stop(f'{build.python} does not run: {done.stderr.strip()}')
    say(f'{build.project.relative(build.python)} is ready (CPython {done.stdout.strip()})')

