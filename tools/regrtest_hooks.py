"""Runs inside the *built* python: upstream's regrtest, with a record of every test case.

    python regrtest_hooks.py --facts
    python regrtest_hooks.py --run RECORDS <arguments of regrtest>
    python regrtest_hooks.py --worker RECORDS -m test.libregrtest.worker JSON    (started by --run)

Why not regrtest's own --junit-xml: it has no element for a class or module that
is skipped in its set-up, no name for a case whose subtests failed, one skip at
most per case, no file names, and nothing at all for a worker that crashed; and
asking for it makes unittest capture the output of the tests, which is not how
upstream runs them. So upstream's coordinator and workers run unchanged but for
three observers: the class that unittest reports to, the function that loads a
test file, and the method that receives a worker's result. (One thing is changed
and not only observed: see settle_descriptor.)

What is written into RECORDS, as JSON lines:

    files.jsonl     one line per finished test file: name, state, reason, output
    FILE.cases      the events of one file's worker, in order. The start of each
                    case is written before it runs, so a crash has a name.
"""

import json
import os
import signal
import sys

# Tests replace functions of these modules; the records must not notice.
_open, _write, _close, _getpid = os.open, os.write, os.close, os.getpid
_dumps = json.dumps

MAX_TEXT = 20_000


class EventFile:
    """Appends events. It keeps no descriptor open: tests count and close descriptors."""

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.pid = _getpid()
        self.pending = []

    def add(self, *values):
        self.pending.append(values)

    def flush(self):
        if not self.pending or _getpid() != self.pid:   # a test's forked child
            return
        data = ''.join(_dumps(value) + '\n' for value in self.pending).encode('ascii')
        try:
            fd = _open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:     # a test has used up the descriptors: the next flush writes it
            return
        try:
            while data:
                data = data[_write(fd, data):]
        finally:
            _close(fd)
        self.pending.clear()


def make_recorder(base, events):
    """A subclass of regrtest's result class that tells every outcome to events."""

    def identify(test):
        try:
            return str(test.id())
        except Exception:
            return str(test)

    class Recorder(base):
        def startTest(self, test):
            super().startTest(test)
            events.add('start', identify(test))
            events.flush()

        def addSuccess(self, test):
            super().addSuccess(test)
            events.add('passed', identify(test))

        def addSkip(self, test, reason):
            super().addSkip(test, reason)
            # A skipped subtest is reported with the subtest in place of the case.
            case = getattr(test, 'test_case', None)
            if case is None:
                events.add('skipped', identify(test), str(reason))
            else:
                events.add('subtest skipped', identify(case), str(reason))

        def addExpectedFailure(self, test, err):
            super().addExpectedFailure(test, err)
            events.add('expected failure', identify(test))

        def addUnexpectedSuccess(self, test):
            super().addUnexpectedSuccess(test)
            events.add('failed', identify(test), 'unexpected success')

        def addError(self, test, err):
            self.record_failure(test, err)
            super().addError(test, err)

        def addFailure(self, test, err):
            self.record_failure(test, err)
            super().addFailure(test, err)

        def addSubTest(self, test, subtest, err):
            if err is not None:
                self.record_failure(test, err, f'in the subtest {subtest._subDescription()}\n')
            super().addSubTest(test, subtest, err)

        def record_failure(self, test, err, where=''):
            text = where + self._exc_info_to_string(err, test)
            if len(text) > MAX_TEXT:
                text = text[:MAX_TEXT // 2] + '\n[...]\n' + text[-MAX_TEXT // 2:]
            events.add('failed', identify(test), text)

    return Recorder


def settle_descriptor(job):
    """Move the descriptor of the worker's answer to the lowest free number.

    Which number it has depends on what the coordinator's other worker thread
    has open at that moment; as a hole among the low numbers it makes the
    closerange tests of test_os skip themselves in some runs and not in others.
    """
    import dataclasses

    fd = job.json_file.file
    lowest = os.dup(fd)
    if lowest > fd:
        os.close(lowest)
        return job
    os.close(fd)
    os.set_inheritable(lowest, True)    # as it was: pass_fds makes it so
    return dataclasses.replace(job, json_file=dataclasses.replace(job.json_file, file=lowest))


def work(records, argv):
    """One worker: what `python -m test.libregrtest.worker JSON` does, observed."""
    import runpy
    from test.libregrtest import single, testresult
    from test.libregrtest.runtests import WorkerRunTests
    from test.support import ResourceDenied
    from unittest import SkipTest

    module, text = argv[1:]
    job = settle_descriptor(WorkerRunTests.from_json(text))
    [name] = job.tests
    events = EventFile(os.path.join(records, name + '.cases'))
    testresult.RegressionTestResult = make_recorder(testresult.RegressionTestResult, events)

    load_and_run = single._load_run_test

    def observed(result, runtests):
        try:
            load_and_run(result, runtests)
        except SkipTest as skip:
            kind = 'resource denied' if isinstance(skip, ResourceDenied) else 'skipped'
            events.add('file ' + kind, str(skip))
            raise
        finally:
            events.flush()

    single._load_run_test = observed
    sys.argv = [module, job.as_json()]
    runpy.run_module(module, run_name='__main__', alter_sys=True)


def coordinate(records, args):
    """The coordinator: what `python -m test ARGS` does, observed."""
    from test.libregrtest import main, run_workers, runtests

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    # A KeyboardInterrupt is what makes regrtest end its workers' process groups.
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)

    files = EventFile(os.path.join(records, 'files.jsonl'))
    hooks = os.path.abspath(__file__)
    create_python_cmd = runtests.RunTests.create_python_cmd
    process_result = run_workers.RunWorkers._process_result

    def observed_cmd(self):
        return [*create_python_cmd(self), hooks, '--worker', records]

    def observed_result(self, item):
        if not item[0]:
            outcome = item[1]
            state = outcome.result.state
            files.add({
                'name': outcome.result.test_name,
                'state': state,
                'duration': round(outcome.result.duration or 0, 2),
                'message': outcome.err_msg,
                'output': '' if state == 'PASSED' else (outcome.worker_stdout or '')[-MAX_TEXT:],
            })
            files.flush()
        return process_result(self, item)

    runtests.RunTests.create_python_cmd = observed_cmd
    run_workers.RunWorkers._process_result = observed_result
    sys.argv = ['regrtest', *args]
    main.main()


# Modules that upstream builds only when a library is there. What they are named
# here decides which tests can run, so it belongs to the description of the run.
OPTIONAL_MODULES = ('_bz2', '_ctypes', '_curses', '_dbm', '_gdbm', '_hashlib', '_lzma', '_sqlite3',
                    '_ssl', '_testcapi', '_tkinter', '_uuid', 'ossaudiodev', 'readline', 'zlib')


def facts():
    """What this python says of itself, as far as it decides which tests run."""
    import importlib.util
    import platform
    import sysconfig

    def version(module, attribute):
        try:
            return str(getattr(__import__(module), attribute))
        except ImportError:
            return 'none'

    def present(name):
        return importlib.util.find_spec(name) is not None

    build = ['debug' if sysconfig.get_config_var('Py_DEBUG') else 'release']
    if sysconfig.get_config_var('Py_GIL_DISABLED'):
        build.append('free-threaded')
    return {
        'release': platform.python_version(),
        'build': ' '.join(build),
        'configure': sysconfig.get_config_var('CONFIG_ARGS') or '',
        'machine': f'{platform.system()} {platform.machine()}',
        'libc': ' '.join(platform.libc_ver()),
        'openssl': version('ssl', 'OPENSSL_VERSION'),
        'sqlite': version('sqlite3', 'sqlite_version'),
        'modules not built': ' '.join(name for name in OPTIONAL_MODULES if not present(name)),
        # Not compared: for the tool itself.
        'ours': present('_xxsubinterpreters'),
        'source': sysconfig.get_config_var('abs_srcdir'),
        'builddir': sysconfig.get_config_var('abs_builddir'),
    }


def main():
    # `python -m` has the current folder where `python FILE` has the folder of FILE.
    sys.path[0] = os.getcwd()
    verb = sys.argv[1]
    if verb == '--facts':
        print(json.dumps(facts()))
    elif verb == '--worker':
        work(sys.argv[2], sys.argv[3:])
    elif verb == '--run':
        coordinate(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(f'{__file__}: unknown verb {verb}')


if __name__ == '__main__':
    main()
