"""One scenario: a package in some interpreters of their own GIL.  run.py starts it.

    python scenario.py JOB FD

JOB is JSON: the module and name of the package's check, its imports, the scenario and a seed.  To FD goes a line
of JSON before each step, {"doing": STEP}, and for each exception {"failed": TRACEBACK, "when":
STEP}.  The last step is 'exiting'; what the process does after that counts, too.
"""

import concurrent.futures
import importlib
import json
import os
import random
import sys
import threading
import traceback

import interpreters


class Run:
    """A job and what becomes of it."""

    def __init__(self, job, report):
        self.job = job
        self.report = report
        self.lock = threading.Lock()
        self.failed = False

    def tell(self, **what):
        with self.lock:
            os.write(self.report, json.dumps(what).encode() + b'\n')

    def attempt(self, doing, function, *args):
        """Call the function; if it raises, tell, and go on."""
        self.tell(doing=doing)
        try:
            function(*args)
        except Exception:
            self.failed = True
            self.tell(failed=traceback.format_exc(), when=doing)

    def check_in_main(self):
        for name in self.job['imports']:
            importlib.import_module(name)
        getattr(importlib.import_module(self.job['module']), self.job['check'])()

    def check(self, interp):
        self.attempt('running', interp.exec,
                     f'import {self.job["module"]} as module; module.{self.job["check"]}()')

    def close(self, interp):
        self.attempt('closing', interp.close)

    def use(self, count, how, order):
        """Run the check in as many interpreters; return those that are not closed yet."""
        if how == 'in turn' and order == 'at once':
            for _ in range(count):
                with interpreters.create() as interp:
                    self.check(interp)
            return []
        interps = [interpreters.create() for _ in range(count)]
        if how == 'in turn':
            for interp in interps:
                self.check(interp)
            return interps
        # All begin together, so that they import at the same time.
        ready = threading.Barrier(count)

        def check(interp):
            ready.wait()
            self.check(interp)
            if order == 'at once':
                self.close(interp)

        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            list(pool.map(check, interps))
        return interps if order != 'at once' else []

    def __call__(self, count, how, order, main):
        if main == 'before':
            self.attempt('running in main', self.check_in_main)
        interps = self.use(count, how, order)
        if main == 'after':
            self.attempt('running in main', self.check_in_main)
        if order == 'reverse':
            interps.reverse()
        elif order == 'random':
            random.Random(self.job['seed']).shuffle(interps)
        if order != 'at exit':
            for interp in interps:
                self.close(interp)
        if main != 'never' and count:
            self.attempt('running in main again', self.check_in_main)
        self.tell(doing='exiting')
        return interps


def main():
    job = json.loads(sys.argv[1])
    run = Run(job, int(sys.argv[2]))
    # Those are not collected, and so not closed, before the process exits.
    global left
    left = run(**job['scenario'])
    sys.exit(1 if run.failed else 0)


if __name__ == '__main__':
    main()
