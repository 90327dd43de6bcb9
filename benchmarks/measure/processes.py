"""Run a child process that is never left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import traceback


class Failed(Exception):
    """The child process failed, or did not end in time."""

    def __init__(self, reason, status=None):
        super().__init__(reason)
        self.status = status


def run(command, timeout, env=None):
    """Return what a command prints; raise Failed if it fails or takes longer than `timeout` s.

    It runs in a session of its own, so that it can be killed with all
    processes that it started, and nothing else.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, errors='replace', env=env,
                               start_new_session=True)
    try:
        output, errors = process.communicate(timeout=timeout)
    except BaseException as exc:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass                # communicate() waits for it a moment after an interrupt
        process.communicate()
        if isinstance(exc, subprocess.TimeoutExpired):
            raise Failed(f'did not end within {timeout} seconds') from None
        raise
    if process.returncode:
        lines = errors.strip().splitlines() or [f'ended with status {process.returncode}']
        raise Failed(lines[-1], process.returncode)
    return output


def leave_if_it_fails(function, *args):
    """Call the function; if it fails, end this process and those that it started, at once.

    Threads and interpreters may wait forever for what failed: leave without them.
    """
    try:
        function(*args)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(1)
