"""One process that runs suites with pytest, in main or in interpreters.  suites.py starts it.

    python sessions.py JOB FD

JOB is JSON: a list of sessions, and whether these run in interpreters of their own GIL, in parallel.
A session has the arguments of pytest and the name of a file.  To this go lines of JSON,
{"id": ID, "phase": PHASE, "outcome": OUTCOME, "text": TEXT} for each report, and at the end
{"status": STATUS}.  To FD goes {"doing": STEP} before each step, as in scenario.py.
"""

import json
import sys
import threading

from pathlib import Path


class Recorder:
    """A plugin that writes what becomes of each test."""

    def __init__(self, file):
        self.file = file

    def write(self, **line):
        self.file.write(json.dumps(line) + '\n')
        # What was running when the process crashed is the last thing in the file.
        self.file.flush()

    def pytest_runtest_logstart(self, nodeid, location):
        self.write(begins=nodeid)

    def pytest_runtest_logreport(self, report):
        outcome = report.outcome
        if hasattr(report, 'wasxfail'):
            outcome = 'xfailed' if report.skipped else 'xpassed'
        self.write(id=report.nodeid, phase=report.when, outcome=outcome, text=_text(report))

    def pytest_collectreport(self, report):
        if not report.passed:
            self.write(id=report.nodeid, phase='collect', outcome=report.outcome, text=_text(report))


def _text(report):
    """Why it failed or was skipped."""
    if report.passed:
        return ''
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    return report.longreprtext


def run(arguments, path, imported):
    """Run pytest in the current interpreter; the records go to the path."""
    import pytest
    with open(path, 'w') as file:
        recorder = Recorder(file)
        status = pytest.main(arguments, plugins=[recorder])
        # That it is the installed and compiled package which was tested.
        for name, attribute in imported:
            assert getattr(sys.modules[name], attribute), name
        recorder.write(status=int(status))


def run_in_interpreters(sessions, tell):
    """Run each session in an interpreter of its own, all at the same time."""
    import interpreters
    interps = [interpreters.create() for _ in sessions]
    threads = [interp.call_in_thread(run, *session) for interp, session in zip(interps, sessions)]
    for thread in threads:
        thread.join()
    for interp in interps:
        interp.close()


def main():
    job = json.loads(sys.argv[1])
    run(*job)


if __name__ == '__main__':
    main()
