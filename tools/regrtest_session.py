"""Running the built python's test suite so that the machine cannot change the result.

What is the same in every run, wherever and by whomever it is started:

- the environment: the handful of variables below and no others. Variables such as
  PYTHONUNBUFFERED, PYTHONDONTWRITEBYTECODE, PYTHONPYCACHEPREFIX or SOURCE_DATE_EPOCH reach
  the children of the tests past -E and fail test_cmd_line, test_compileall and test_py_compile;
  so there is no PYTHONPYCACHEPREFIX of our own either.
- the signals: none ignored or blocked. A job in the background of a shell ignores SIGINT,
  and test_subprocess, test_asyncio and others skip or hang.
- one locale, C.UTF-8, whatever the machine has.
- no terminal, nothing on stdin, umask 022, the usual 1024 descriptors and 8 MB of
  stack, no core dumps.
- the home and the temporary folder: fresh, with a path short enough for a unix
  socket, removed at the end.
- as root, no other groups, and the capabilities of an ordinary container without CAP_DAC_OVERRIDE.
  Permission bits then bind, as they do for an ordinary user (test_py_compile), the host
  name of the machine is not set by test_socket, and the chown tests (test_os, test_posix,
  test_tarfile), which believe the user id, still work.
"""

import contextlib
import fcntl
import glob
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

HOOKS = Path(__file__).with_name('regrtest_hooks.py')

# What upstream's `make test` (--fast-ci) uses, spelled out, with a fixed seed, without what
# needs a network, and without upstream's own rerun and random order: tools/regrtest.py does
# the rerunning, so that it is in the report.
PYTHON_OPTIONS = ('-u', '-W', 'error', '-bb', '-E')
RESOURCES = 'all,-cpu,-network,-urlfetch,-largefile,-extralargefile,-audio,-gui,-walltime'
SEED = 31315

ENVIRONMENT = {
    'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'LANG': 'C.UTF-8',
    'TERM': 'xterm',
    'TZ': 'UTC',
}

# The one locale of ENVIRONMENT where glibc has it. Where it is, LOCPATH makes it the only one:
# which others a machine has installed decides the skips of some 30 cases.
SYSTEM_LOCALE = Path('/usr/lib/locale/C.utf8')

CAPABILITIES = {
    'chown': 0, 'fowner': 3, 'fsetid': 4, 'kill': 5, 'setgid': 6, 'setuid': 7, 'net_bind_service': 10,
    'net_raw': 13, 'sys_chroot': 18, 'mknod': 27, 'audit_write': 29, 'setfcap': 31,
}

# A unix socket's path has 108 bytes, and the tests add up to 60 to their temporary folder.
_LONGEST_TMP = 40


class CannotRun(Exception):
    """The message is one line: what is wrong and what to do."""


class Session:
    """A locked build folder with a temporary folder beside the tests of one python.

    A context manager. On the way out, also by an exception, every process that it
    started is ended and its temporary files are removed.
    """

    def __init__(self, python, build_dir):
        self.python = Path(python).absolute()
        self.build_dir = Path(build_dir).absolute()
        self.prefix = _capability_prefix()
        self.child = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            try:
                lock = stack.enter_context(open(self.build_dir / '.regrtest.lock', 'w'))
            except OSError as error:
                raise CannotRun(f'cannot write in {self.build_dir}: {error.strerror}') from None
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CannotRun(f'another run of the stdlib tests is going on in {self.build_dir}') from None
            base = tempfile.gettempdir()
            if len(base) > _LONGEST_TMP:
                base = '/tmp'
            self.tmp = Path(tempfile.mkdtemp(prefix='rt-', dir=base))
            stack.callback(self._clean_up)
            (self.tmp / 'home').mkdir()
            (self.tmp / 'locale').mkdir()
            if SYSTEM_LOCALE.exists():
                (self.tmp / 'locale' / SYSTEM_LOCALE.name).symlink_to(SYSTEM_LOCALE)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc):
        self._stack.close()

    def _clean_up(self):
        if self.child is not None:
            end(self.child)
        leftovers = glob.glob(f'{glob.escape(str(self.build_dir))}/build/test_python_*')
        for path in (self.tmp, *leftovers):
            shutil.rmtree(path, onerror=_open_and_retry)

    def environment(self):
        environment = dict(ENVIRONMENT, HOME=str(self.tmp / 'home'), TMPDIR=str(self.tmp))
        if SYSTEM_LOCALE.exists():
            environment['LOCPATH'] = str(self.tmp / 'locale')
        return environment

    def start(self, *args):
        """Start the python with the hooks; its output is to be read from .stdout."""
        self.child = subprocess.Popen(
            [*self.prefix, str(self.python), *PYTHON_OPTIONS, str(HOOKS), *map(str, args)],
            cwd=self.build_dir, env=self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='backslashreplace',
            start_new_session=True, preexec_fn=_set_limits)
        return self.child

    def run_tests(self, records, args, on_line):
        """Run regrtest with these arguments; on_line is called with every line it prints."""
        Path(records).mkdir(parents=True)
        child = self.start('--run', records, '-u', RESOURCES, '--randseed', SEED, *args)
        for line in child.stdout:
            on_line(line.rstrip('\n'))
        child.wait()
        self.child = None
        return child.returncode

    def facts(self):
        """Everything that decides which tests can run, of the python and of the machine."""
        child = self.start('--facts')
        output, _ = child.communicate()
        self.child = None
        try:
            facts = json.loads(output)
        except ValueError:
            raise CannotRun(f'{self.python} does not run: {output.strip()[-300:]}') from None
        # Paths say where it was built, not what.
        facts['configure'] = re.sub(r"=[^' ]*/[^']*", '=*', facts['configure'])
        facts.update(self._machine_facts())
        return facts

    def _machine_facts(self):
        path = ENVIRONMENT['PATH']
        programs = ('cc', 'c++', 'gdb', 'perf', 'strace', 'lsof', 'csh', 'dtrace', 'systemtap')
        locales = self._output('locale', '-a').split()
        return {
            'kernel': '.'.join(platform.release().split('.')[:2]),
            'processors': str(os.cpu_count()),
            'user': 'root' if os.getuid() == 0 else 'ordinary',
            'capabilities': 'container' if self.prefix else 'as they are',
            'programs': ' '.join(name for name in programs if shutil.which(name, path=path)),
            'gdb': self._output('gdb', '--version').partition('\n')[0] or 'none',
            'locales': ' '.join(locales) if len(locales) < 10 else f'{len(locales)} of them',
            'time zones': 'yes' if Path('/usr/share/zoneinfo/Europe/London').exists() else 'no',
            'temporary files on': _filesystem(self.tmp),
            'ipv6': 'yes' if Path('/proc/net/if_inet6').exists() else 'no',
            'vsock': 'yes' if Path('/dev/vsock').exists() else 'no',
        }

    def _output(self, *command):
        try:
            return subprocess.run(command, env=self.environment(), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  text=True).stdout.strip()
        except OSError:
            return ''


# Facts that are for the tool only, or that two runs may differ in without a word.
PRIVATE_FACTS = ('ours', 'source', 'builddir')


def _set_limits():
    """In the child, before it becomes the python."""
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    for name, wanted in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 1024),
                         (resource.RLIMIT_STACK, 8 << 20)):
        _, hard = resource.getrlimit(name)
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(name, (soft, hard))


def _capability_prefix():
    """The command in front of the python that drops capabilities and groups; empty when not root."""
    if os.getuid() != 0 or not shutil.which('setpriv'):
        return []
    status = Path('/proc/self/status').read_text()
    bounding = int(re.search(r'^CapBnd:\s*(\w+)', status, re.M)[1], 16)
    drop = [number for number in range(bounding.bit_length())
            if bounding >> number & 1 and number not in CAPABILITIES.values()]
    prefix = ['setpriv', '--groups=0']
    if drop:
        prefix.append('--bounding-set=' + ','.join(f'-cap_{number}' for number in drop))
    tried = subprocess.run([*prefix, 'true'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return prefix if tried.returncode == 0 else []


def _filesystem(folder):
    """The type of the file system that the folder is on; '' where there is no /proc."""
    best, kind = '', ''
    with contextlib.suppress(OSError):
        for line in Path('/proc/mounts').read_text().splitlines():
            _, mount, found, *_ = line.split()
            if f'{folder}/'.startswith(mount.rstrip('/') + '/') and len(mount) >= len(best):
                best, kind = mount, found
    return kind


def _open_and_retry(function, path, _):
    """For shutil.rmtree: a test took the permissions away from what it left behind."""
    with contextlib.suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)
        os.chmod(path, 0o700)
        function(path)


def end(child, patience=20):
    """End a coordinator with all its workers: ask it, wait, then end what is left."""
    family = _descendants(child.pid)
    with contextlib.suppress(OSError):
        child.send_signal(signal.SIGINT)
    deadline = time.monotonic() + patience
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        family |= _descendants(child.pid)
    for pid, started in family:
        if _start_time(pid) == started:     # still the same process
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    child.stdout.close()
    child.wait()


def _stat(pid):
    """(parent, start time) of a process; None when it is gone."""
    try:
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        return int(fields[1]), fields[19]
    except (OSError, IndexError, ValueError):
        return None


def _start_time(pid):
    stat = _stat(pid)
    return stat and stat[1]


def _descendants(root):
    """The process and everything below it, as a set of (pid, start time)."""
    processes = {int(name): stat for name in os.listdir('/proc')
                 if name.isdigit() and (stat := _stat(name))} if os.path.isdir('/proc') else {}
    found, fresh = set(), {root}
    while fresh:
        found |= fresh
        fresh = {pid for pid, (parent, _) in processes.items() if parent in fresh} - found
    return {(pid, processes[pid][1]) for pid in found if pid in processes}
