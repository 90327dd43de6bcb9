"""What the tests of this package share."""

import contextlib
import threading
import unittest

import interpreters
from test.support import threading_helper


def unsendable():
    """Return an object that no interpreter can send."""
    return (_ for _ in ())


class TestCase(unittest.TestCase):
    """Every test leaves no interpreter and no thread behind."""

    def setUp(self):
        self.enterContext(threading_helper.wait_threads_exit())
        before = {interp.id for interp in interpreters.list_all()}
        self.addCleanup(self._check_interpreters, before)

    def _check_interpreters(self, before):
        left = [interp for interp in interpreters.list_all()
                if interp.id not in before]
        for interp in left:
            interp.close()
        self.assertEqual(left, [])

    def create(self, **kwargs):
        """Return a new interpreter that is closed after the test."""
        interp = interpreters.create(**kwargs)
        self.addCleanup(self._close, interp)
        return interp

    def _close(self, interp):
        with contextlib.suppress(interpreters.InterpreterNotFoundError):
            interp.close()          # the test may have done so

    def start(self, func, *args):
        """Run func(*args) in a thread that is joined after the test.

        Return a function that waits for it and returns its result or raises
        its exception.
        """
        outcome = []

        def run():
            try:
                outcome.append((func(*args), None))
            except BaseException as exc:
                outcome.append((None, exc))

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)

        def result():
            thread.join()
            value, exc = outcome[0]
            if exc is not None:
                raise exc
            return value

        return result


def by_code(func):
    """Have func sent by its code, to run in the receiver's __main__.

    Importing this package takes an interpreter longer than many a test does.
    What the function uses it has to import itself.
    """
    func.__module__ = '__main__'
    return func


def wait_until(condition):
    """Block until condition() is true of something another thread does.

    For states that nothing announces, such as a thread having begun to wait.
    """
    from test.support import sleeping_retry, LONG_TIMEOUT
    for _ in sleeping_retry(LONG_TIMEOUT):
        if condition():
            return


@by_code
def send_with_lock(lock, send, obj):
    with lock:
        send.send(obj)


def send_all(send, messages):
    for message in messages:
        send.send(message)


def receive_all(recv):
    return list(recv)


class CopyTestCase(TestCase):
    """What is sent through a channel, and arrives in the same interpreter."""

    def setUp(self):
        super().setUp()
        self.recv, self.send = interpreters.create_channel(None)
        self.interp = self.create()

    def copy(self, obj):
        self.send.send(obj)
        return self.recv.recv()
