"""One process in which pytest runs packages' own tests.  suites.py starts it.

    python sessions.py JOB

JOB is JSON: {"interpreters": BOOL, "sessions": [[ARGUMENTS, RECORD, MODULES], ...]}.  The sessions
run in interpreters of their own GIL, all at the same time, or one after the other in main.
MODULES must come from the environment of the python, not from sources beside the tests.

What becomes of the tests goes to the file RECORD, in lines of JSON: {"begins": ID}, {"id": ID,
"when": PHASE, "outcome": OUTCOME, "text": WHY}, and at last {"status": STATUS, "seconds": [FROM,
TO]}.
"""

import importlib
import json
import sys
import time


class Recorder:
    """A plugin of pytest that writes what becomes of each test."""

    def __init__(self, file):
        self.file = file

    def write(self, **line):
        # At once, so that after a crash the last line tells what ran.
        print(json.dumps(line), file=self.file, flush=True)

    def pytest_runtest_logstart(self, nodeid):
        self.write(begins=nodeid)

    def pytest_runtest_logreport(self, report):
        outcome = report.outcome
        if hasattr(report, 'wasxfail'):
            outcome = 'xfailed' if report.skipped else 'xpassed'
        self.report(report, report.when, outcome)

    def pytest_collectreport(self, report):
        if not report.passed:
            self.report(report, 'collect', report.outcome)

    def report(self, report, when, outcome):
        if report.passed:
            text = ''
        elif report.skipped and isinstance(report.longrepr, tuple):
            text = report.longrepr[2]
        else:
            text = report.longreprtext
        self.write(id=report.nodeid, when=when, outcome=outcome, text=text)


def run(arguments, record, modules):
    """Run pytest in this interpreter."""
    import pytest
    # The clock of the process, so that sessions can be compared.
    begin = time.monotonic()
    with open(record, 'w') as file:
        recorder = Recorder(file)
        status = pytest.main(arguments, [recorder])
        for name in modules:
            path = importlib.import_module(name).__file__
            assert path.startswith(sys.prefix), path
        recorder.write(status=int(status), seconds=[begin, time.monotonic()])


def run_in_interpreters(sessions):
    """Run each session in an interpreter of its own GIL, all at the same time."""
    import interpreters
    interps = [interpreters.create() for _ in sessions]
    futures = [interp.submit(run, *session) for interp, session in zip(interps, sessions)]
    try:
        for future in futures:
            future.result()
    finally:
        for interp in interps:
            interp.close()


def main():
    job = json.loads(sys.argv[1])
    if job['interpreters']:
        run_in_interpreters(job['sessions'])
    else:
        for session in job['sessions']:
            run(*session)


if __name__ == '__main__':
    main()
