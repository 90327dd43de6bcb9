"""Waiting: time-outs, and what breaks a wait; nothing is lost by either."""

import random
import signal
import textwrap
import threading
import time
import unittest

import interpreters
from interpreters import (
    ChannelClosedError, ChannelFullError, ExecutionFailed, create_channel,
    select)
from test import support
from test.support import LONG_TIMEOUT, requires_subprocess
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import TestCase, by_code, wait_until

needs_setitimer = unittest.skipUnless(hasattr(signal, 'setitimer'),
                                      'needs setitimer()')


def run_script(script, *args):
    """Run a script in a process of its own; return what it wrote.

    A wait that is never broken ends it with the tracebacks of all threads.
    SIGINT is handled there, also if a shell started the tests in the background,
    where it is ignored.
    """
    script = ('import faulthandler, signal\n'
              'faulthandler.dump_traceback_later(120, exit=True)\n'
              'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
              + textwrap.dedent(script))
    rc, out, err = assert_python_ok('-c', script, *args)
    return out.decode().split()


class TimeoutTests(TestCase):

    def assert_lasts(self, seconds, wait):
        start = time.monotonic()
        with self.assertRaises(TimeoutError):
            wait(timeout=seconds)
        self.assertGreaterEqual(time.monotonic() - start, seconds)

    def test_they_last_at_least_as_long(self):
        recv, send = create_channel(1)
        send.send('full')
        empty, keep = create_channel()
        for seconds in (0, 1e-9, 0.001, 0.01, 0.1):
            with self.subTest(seconds=seconds):
                self.assert_lasts(seconds, empty.recv)
                self.assert_lasts(seconds, lambda timeout:
                                  send.send('x', timeout=timeout))
                self.assert_lasts(seconds, lambda timeout:
                                  send.send_buffer(b'x', timeout=timeout))
                self.assert_lasts(seconds, lambda timeout:
                                  select(empty, (send, 1), timeout=timeout))
        self.assertEqual(recv.drain(), ['full'])

    def test_in_another_interpreter(self):
        @by_code
        def wait(recv, seconds):
            import time
            start = time.monotonic()
            try:
                recv.recv(timeout=seconds)
            except TimeoutError:
                return time.monotonic() - start

        recv, send = create_channel()
        self.assertGreaterEqual(self.create().call(wait, recv, 0.05), 0.05)

    def test_very_short_ones_end(self):
        # When time is up between two looks at the clock, too.
        recv, send = create_channel()

        def wait():
            for _ in range(100_000):
                try:
                    recv.recv(timeout=random.random() * 1e-5)
                except TimeoutError:
                    pass

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(LONG_TIMEOUT)
        over = not thread.is_alive()
        send.close()                # breaks a wait without end
        thread.join()
        self.assertTrue(over)

    def test_zero_does_what_can_be_done_at_once(self):
        recv, send = create_channel(1)
        send.send(1, timeout=0)
        with self.assertRaises(TimeoutError):
            send.send(2, timeout=0)
        self.assertEqual(recv.recv(timeout=0), 1)
        with self.assertRaises(TimeoutError):
            recv.recv(timeout=0.0)

    def test_wrong_ones(self):
        recv, send = create_channel(1)
        for timeout, exc in ((-1, ValueError), (-0.001, ValueError),
                             (-10**30, (ValueError, OverflowError)),
                             (10**30, OverflowError), (1e300, OverflowError),
                             (float('inf'), OverflowError),
                             (float('nan'), ValueError),
                             ('1', TypeError), (1j, TypeError)):
            with self.subTest(timeout):
                with self.assertRaises(exc):
                    recv.recv(timeout=timeout)
                with self.assertRaises(exc):
                    send.send(1, timeout=timeout)
                with self.assertRaises(exc):
                    select((send, 1), timeout=timeout)
        self.assertEqual(len(recv), 0)

    def test_huge_ones(self):
        # As long as threading allows, and about as long as can be counted.
        for timeout in (10**6, threading.TIMEOUT_MAX, 2.0**63 / 1e9 - 2048):
            with self.subTest(timeout):
                recv, send = create_channel()
                got = self.start(lambda: recv.recv(timeout=timeout))
                time.sleep(0.001)
                send.send('x', timeout=timeout)
                self.assertEqual(got(), 'x')

    def test_none_has_no_limit(self):
        recv, send = create_channel()
        got = self.start(lambda: recv.recv(timeout=None))
        send.send(1, timeout=None)
        self.assertEqual(got(), 1)

    @needs_setitimer
    def test_handled_signals_do_not_prolong_them(self):
        # It would never end.
        calls = []
        old = signal.signal(signal.SIGALRM, lambda *args: calls.append(1))
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        recv, send = create_channel()
        for wait in (recv.recv, lambda timeout: send.send(1, timeout=timeout),
                     lambda timeout: select(recv, timeout=timeout)):
            signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
            self.assert_lasts(0.05, wait)
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.assertGreater(len(calls), 0)
        self.assertEqual(len(recv), 0)


class ClosingTests(TestCase):

    def waits(self, recv, send):
        yield recv, lambda: recv.recv()
        yield recv, lambda: recv.recv(timeout=10**6)
        yield recv, lambda: next(recv)
        yield recv, lambda: select(recv)
        yield send, lambda: send.send(1)
        yield send, lambda: send.send_buffer(b'x')
        yield send, lambda: select((send, 1))

    def count_waits(self):
        return len(list(self.waits(*create_channel())))

    def test_own_end(self):
        for i in range(self.count_waits()):
            recv, send = create_channel()
            end, wait = list(self.waits(recv, send))[i]
            result = self.start(wait)
            time.sleep(0.005)
            end.close()
            with self.assertRaisesRegex(ChannelClosedError, 'this end'):
                result()

    def test_last_end_of_the_other_side(self):
        for i in range(self.count_waits()):
            recv, send = create_channel()
            carrier_recv, carrier = create_channel(1)
            end, wait = list(self.waits(recv, send))[i]
            other = send if end is recv else recv
            carrier.send(other)
            clone = carrier_recv.recv()
            result = self.start(wait)
            time.sleep(0.005)
            other.close()               # not the last one
            clone.close()
            with self.assertRaises((ChannelClosedError, StopIteration)):
                result()

    def test_last_end_in_another_interpreter(self):
        recv, send = create_channel()
        interp = self.create()
        interp.prepare_main(send=send)
        send.close()
        result = self.start(recv.recv)
        interp.close()
        with self.assertRaises(ChannelClosedError):
            result()

    def test_at_any_moment(self):
        for i in range(300):
            recv, send = create_channel()
            end, wait = list(self.waits(recv, send))[i % self.count_waits()]
            result = self.start(wait)
            for _ in range(random.randrange(300)):
                pass
            random.choice((recv, send)).close()
            with self.assertRaises((ChannelClosedError, StopIteration)):
                result()


class InterpreterClosingTests(TestCase):
    """Closing an interpreter breaks the waits of the threads it started."""

    def assert_broken(self, wait, times=1):
        recv, send = create_channel()
        full_recv, full = create_channel(1)
        full.send('full')
        log, log_send = create_channel(None)
        interp = self.create()
        interp.prepare_main(recv=recv, send=send, full=full, log=log_send)
        interp.exec(textwrap.dedent(f'''
            import interpreters, threading
            def run():
                for _ in range({times}):
                    log.send('waits')
                    try:
                        {wait}
                    except interpreters.InterpreterError as exc:
                        log.send(str(exc))
            threading.Thread(target=run).start()
            '''))
        log_send.close()
        self.assertEqual(log.recv(), 'waits')
        time.sleep(0.005)
        interp.close()
        self.assertEqual(list(log), (['the interpreter is being closed', 'waits']
                                     * times)[:-1])
        self.assertEqual((len(recv), full_recv.drain()), (0, ['full']))

    def test_recv(self):
        self.assert_broken('recv.recv()')

    def test_recv_with_timeout(self):
        self.assert_broken('recv.recv(timeout=100_000)')

    def test_iteration(self):
        self.assert_broken('list(recv)')

    def test_rendezvous_send(self):
        self.assert_broken('send.send(1)')

    def test_send_into_a_full_buffer(self):
        self.assert_broken('full.send(1)')

    def test_select(self):
        self.assert_broken('interpreters.select(recv, (send, 1), (full, 2))')

    def test_again_and_again(self):
        self.assert_broken('recv.recv()', times=20)

    def test_at_any_moment(self):
        for _ in range(20):
            recv, send = create_channel()
            interp = self.create()
            interp.prepare_main(recv=recv)
            interp.exec(textwrap.dedent(f'''
                import interpreters, threading
                def run():
                    try:
                        while True:
                            try:
                                recv.recv(timeout={random.random() / 10_000})
                            except TimeoutError:
                                pass
                    except interpreters.InterpreterError:
                        pass
                for _ in range(3):
                    threading.Thread(target=run).start()
                '''))
            interp.close()

    def test_only_that_interpreter(self):
        recv, send = create_channel()
        @by_code
        def wait(recv):
            return recv.recv()
        other = self.create().submit(wait, recv)
        mine = self.start(recv.recv)
        interp = self.create()
        interp.prepare_main(recv=recv)
        interp.exec('import threading\n'
                    'def run():\n'
                    '    try: recv.recv()\n'
                    '    except Exception: pass\n'
                    'threading.Thread(target=run).start()')
        interp.close()
        send.send(1)
        send.send(1)
        self.assertEqual((mine(), other.result()), (1, 1))


@by_code
def _wait_for(recv, how, ready):
    """Wait for what never comes."""
    import interpreters
    ready.send(None)
    if how == 'recv':
        recv.recv()
    elif how == 'iteration':
        list(recv)
    elif how == 'select':
        interpreters.select(recv)
    elif how == 'code':
        while True:
            pass


@by_code
def _send_to(send, how, ready):
    import interpreters
    ready.send(None)
    if how == 'send':
        send.send(1)
    else:
        interpreters.select((send, 1))


@by_code
def _pass():
    pass


def _call_at_home(recv, ready):
    import interpreters

    def wait(recv, ready):
        try:
            ready.send(None)
            recv.recv()
        except KeyboardInterrupt:
            return 'interrupted'

    if interpreters.get_current().call(wait, recv, ready) == 'interrupted':
        raise KeyboardInterrupt


class InterruptTests(TestCase):

    def assert_interrupted(self, future):
        with self.assertRaises(KeyboardInterrupt) as caught:
            future.result()
        self.assertIsInstance(caught.exception.__cause__, ExecutionFailed)

    def create_warm(self):
        """Return an interpreter that has described a KeyboardInterrupt.

        An import that is interrupted may leave its lock behind, and is noisy;
        so let everything be imported that is needed for this.
        """
        interp = self.create()
        with self.assertRaises(ExecutionFailed):
            interp.exec('raise KeyboardInterrupt')
        return interp

    def test_each_wait(self):
        recv, send = create_channel()
        ready, ready_send = create_channel()
        interp = self.create()
        for func, end, how in ((_wait_for, recv, 'recv'),
                               (_wait_for, recv, 'iteration'),
                               (_wait_for, recv, 'select'),
                               (_wait_for, recv, 'code'),
                               (_send_to, send, 'send'),
                               (_send_to, send, 'select')):
            with self.subTest(func.__name__, how=how):
                future = interp.submit(func, end, how, ready_send)
                ready.recv()
                time.sleep(0.005)
                self.assertEqual(interp.interrupt(), 1)
                self.assert_interrupted(future)
                self.assertEqual(len(recv), 0)
        interp.call(_pass)

    def test_wait_in_a_call_at_home(self):
        # The call at home is no call of its own to be interrupted.
        recv, send = create_channel()
        ready, ready_send = create_channel()
        interp = self.create_warm()
        future = interp.submit(_call_at_home, recv, ready_send)
        ready.recv()
        time.sleep(0.005)
        self.assertEqual(interp.interrupt(), 1)
        self.assert_interrupted(future)

    def test_nobody_inside(self):
        interp = self.create()
        self.assertEqual(interp.interrupt(), 0)
        interp.call(_pass)
        self.assertEqual(interp.interrupt(), 0)
        self.assertEqual(interpreters.get_main().interrupt(), 0)

    def test_closed(self):
        interp = interpreters.create()
        interp.close()
        try:
            self.assertEqual(interp.interrupt(), 0)
        except interpreters.InterpreterNotFoundError:
            pass

    def test_several_calls(self):
        recv, send = create_channel()
        ready, ready_send = create_channel()
        interp, other = self.create(), self.create()
        futures = [interp.submit(_wait_for, recv, how, ready_send)
                   for how in ('recv', 'select', 'iteration')]
        spared = other.submit(_wait_for, recv, 'recv', ready_send)
        for _ in range(4):
            ready.recv()
        self.assertEqual(interp.interrupt(), 3)
        for future in futures:
            self.assert_interrupted(future)
        self.assertFalse(spared.done())
        send.send(None)
        self.assertIsNone(spared.result())

    def test_from_another_interpreter(self):
        @by_code
        def interrupt(interp):
            return interp.interrupt()

        recv, send = create_channel()
        ready, ready_send = create_channel()
        interp = self.create()
        future = interp.submit(_wait_for, recv, 'recv', ready_send)
        ready.recv()
        self.assertEqual(self.create().call(interrupt, interp), 1)
        self.assert_interrupted(future)

    def test_at_any_moment(self):
        # However far the call has come when it is interrupted, it does not
        # fall asleep.
        recv, send = create_channel()
        ready, ready_send = create_channel(None)
        interp = self.create_warm()
        interp.exec('import interpreters')
        for i in range(300):
            how = ('recv', 'select', 'iteration')[i % 3]
            future = interp.submit(_wait_for, recv, how, ready_send)
            if i % 2:
                ready.recv()
            for _ in range(random.randrange(1000)):
                pass
            wait_until(interp.interrupt)
            self.assert_interrupted(future)
        with self.assertRaises(ChannelFullError):
            send.send_nowait(1)             # nobody waits any more

    def test_a_late_one_does_not_hit_the_next_call(self):
        recv, send = create_channel()
        interp = self.create_warm()
        stop = threading.Event()

        def hammer():
            while not stop.is_set():
                interp.interrupt()

        hammering = self.start(hammer)
        for _ in range(300):
            try:
                interp.call(_pass)
            except ExecutionFailed as exc:
                self.assertEqual(exc.excinfo.type.__name__, 'KeyboardInterrupt')
        stop.set()
        hammering()
        for _ in range(50):
            interp.call(_pass)

        @by_code
        def wait(recv):
            try:
                recv.recv(timeout=0.001)
            except TimeoutError:
                return 'timeout'

        self.assertEqual(interp.call(wait, recv), 'timeout')

    def test_waiting_again_after_a_handled_one(self):
        @by_code
        def wait(recv, ready, how):
            import interpreters
            log = []
            for _ in range(2):
                try:
                    ready.send(None)
                    if how == 'recv':
                        recv.recv()
                    elif how == 'select':
                        interpreters.select(recv)
                    else:
                        while True:
                            pass
                except KeyboardInterrupt:
                    log.append('interrupted')
            ready.send(None)
            log.append(recv.recv())
            return log

        recv, send = create_channel()
        ready, ready_send = create_channel()
        interp = self.create()
        for how in ('recv', 'select', 'code'):
            with self.subTest(how):
                future = interp.submit(wait, recv, ready_send, how)
                for _ in range(2):
                    ready.recv()
                    time.sleep(0.001)
                    self.assertEqual(interp.interrupt(), 1)
                ready.recv()
                time.sleep(0.001)
                send.send('message')
                self.assertEqual(future.result(),
                                 ['interrupted', 'interrupted', 'message'])

    def test_code_that_waits_again_and_again(self):
        # One interrupt, one KeyboardInterrupt: no wait that comes later is
        # broken.
        @by_code
        def count(recv, ready, rounds):
            n = 0
            for _ in range(rounds):
                try:
                    ready.send(None)
                    recv.recv()
                except KeyboardInterrupt:
                    n += 1
            for _ in range(10):
                try:
                    recv.recv(timeout=0.0005)
                except TimeoutError:
                    pass
            return n

        recv, send = create_channel()
        ready, ready_send = create_channel()
        interp = self.create()
        future = interp.submit(count, recv, ready_send, 300)
        for _ in range(300):
            ready.recv()
            for _ in range(random.randrange(1000)):
                pass
            self.assertEqual(interp.interrupt(), 1)
        self.assertEqual(future.result(), 300)

    def test_threads_of_the_interpreter_are_spared(self):
        recv, send = create_channel()
        log, log_send = create_channel(None)
        interp = self.create()
        interp.prepare_main(recv=recv, log=log_send)
        interp.exec(textwrap.dedent('''
            import threading
            thread = threading.Thread(target=lambda: log.send(recv.recv()))
            thread.start()
            '''))
        self.assertEqual(interp.interrupt(), 0)
        send.send('x')
        self.assertEqual(log.recv(), 'x')

    def test_nothing_is_lost(self):
        # The iterations run in C, where no exception comes in between: what
        # was received is in the list, and what was sent is counted.
        # Between two interrupts a call must get as far as its channel.
        longest_pause = 1/25 if support.check_sanitizer(thread=True) else 1/2000
        for capacity in (0, 1, 8):
            with self.subTest(capacity=capacity):
                recv, send = create_channel(capacity)
                receiver, sender = self.create_warm(), self.create_warm()
                receiver.prepare_main(recv=recv)
                receiver.exec('got = []')
                sender.prepare_main(send=send)
                sender.exec('numbers = iter(range(20_000)); done = []\n'
                            'sending = map(send.send, numbers)')
                recv.close()
                send.close()
                over = threading.Event()

                def repeat(interp, code):
                    n = 0
                    while True:
                        try:
                            interp.exec(code)
                            return n
                        except ExecutionFailed as exc:
                            if exc.excinfo.type.__name__ != 'KeyboardInterrupt':
                                raise
                            n += 1

                def disturb():
                    n = 0
                    while not over.is_set():
                        n += sender.interrupt() + receiver.interrupt()
                        time.sleep(random.random() * longest_pause)
                    return n

                disturbing = self.start(disturb)
                sending = self.start(repeat, sender, 'done.extend(sending)')
                receiving = self.start(repeat, receiver, 'got.extend(recv)')
                broken = sending()
                repeat(sender, 'del sending, send')
                broken += receiving()
                over.set()
                disturbed = disturbing()
                self.assertLessEqual(broken, disturbed)

                @by_code
                def results():
                    import __main__
                    names = vars(__main__)
                    return names.get('got'), len(names.get('done', ()))

                _, sent = sender.call(results)
                got, _ = receiver.call(results)
                self.assertEqual(len(got), sent)
                self.assertEqual(got, sorted(set(got)))
                self.assertGreater(sent, 0)


@by_code
def _send_with_timeouts(send, name, count, seed, longest):
    """Try to send the numbers; return those that were sent."""
    import random
    from interpreters import select
    rng = random.Random(seed)
    sent = []
    for i in range(count):
        timeout = rng.random() * longest
        try:
            if rng.random() < 0.5:
                send.send((name, i), timeout=timeout)
            else:
                select((send, (name, i)), timeout=timeout)
            sent.append((name, i))
        except TimeoutError:
            pass
    return sent


@by_code
def _receive_with_timeouts(recv, seed, longest):
    """Return what comes until the channel is closed."""
    import random
    from interpreters import ChannelClosedError, select
    rng = random.Random(seed)
    got = []
    timeouts = 0
    while True:
        timeout = rng.random() * longest
        try:
            if rng.random() < 0.5:
                got.append(recv.recv(timeout=timeout))
            else:
                got.append(select(recv, timeout=timeout)[1])
        except TimeoutError:
            timeouts += 1
        except ChannelClosedError:
            return got, timeouts


class AccountingTests(TestCase):
    """Time-outs of both sides, in any order with the messages."""

    def check(self, run, capacity, parties, count, longest):
        recv, send = create_channel(capacity)
        sending = [run(_send_with_timeouts, send, i, count, i, longest)
                   for i in range(parties)]
        receiving = [run(_receive_with_timeouts, recv, i, longest)
                     for i in range(parties)]
        if run != self.start:           # else these are the only ends
            recv.close()
        sent = sum([result() for result in sending], [])
        send.close()
        got = sum([result()[0] for result in receiving], [])
        self.assertEqual(sorted(got), sorted(sent))
        self.assertEqual(len(send), 0)

    def in_interpreter(self, *args):
        return self.create().submit(*args).result

    def test_rendezvous_in_interpreters(self):
        for longest in (0.0001, 0.001):
            self.check(self.in_interpreter, 0, 1, 2000, longest)
        self.check(self.in_interpreter, 0, 2, 1000, 0.0002)

    def test_buffered_in_interpreters(self):
        self.check(self.in_interpreter, 1, 1, 3000, 0.0002)
        self.check(self.in_interpreter, 4, 2, 2000, 0.0002)

    def test_in_threads(self):
        for capacity in (0, 1):
            self.check(self.start, capacity, 2, 500, 0.0005)

    def test_a_timeout_of_the_receiver_only(self):
        # send() returned: then somebody received it.
        recv, send = create_channel()
        future = self.create().submit(_receive_with_timeouts, recv, 1, 0.0001)
        recv.close()
        for i in range(3000):
            send.send(i)
        send.close()
        self.assertEqual(future.result()[0], list(range(3000)))


@requires_subprocess()
class SignalTests(unittest.TestCase):
    """Signals break waits of the main thread if their handler raises."""

    def test_ctrl_c(self):
        out = run_script('''
            import os, signal, threading, time
            from interpreters import create_channel, select
            recv, send = create_channel()
            full_recv, full = create_channel(1)
            full.send(1)
            waits = [recv.recv, lambda: list(recv), lambda: send.send(1),
                     lambda: full.send(1), lambda: full.send_buffer(b''),
                     lambda: select(recv), lambda: select((full, 1), recv),
                     lambda: recv.recv(timeout=10**6)]
            def interrupt():
                time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGINT)
            for wait in waits:
                thread = threading.Thread(target=interrupt)
                try:
                    thread.start()
                    wait()
                except KeyboardInterrupt:
                    print('broken')
                thread.join()
            print(len(recv), full_recv.drain())
            ''')
        self.assertEqual(out, ['broken'] * 8 + ['0', '[1]'])

    SCRIPT = '''
        import random, signal, sys, threading, time
        from interpreters import create_channel, select

        class Broken(Exception):
            pass

        def handler(*args):
            raise Broken

        rounds, who = int(sys.argv[1]), sys.argv[2]
        signal.signal(signal.SIGALRM, handler)
        recv, send = create_channel()
        stop_recv, stop = create_channel()
        over = threading.Event()

        if who == 'sleeping thread':
            other = threading.Thread(target=over.wait)
        elif who == 'waiting thread':
            other = threading.Thread(target=lambda: list(stop_recv))
        elif who == 'running thread':
            def run():
                while not over.is_set():
                    pass
            other = threading.Thread(target=run)
        elif who == 'killed thread':
            def run():
                while not over.is_set():
                    if due.acquire(timeout=0.1):
                        time.sleep(delay)
                        signal.pthread_kill(target.ident, signal.SIGALRM)
            due = threading.Semaphore(0)
            target = threading.Thread(target=over.wait)
            target.start()
            other = threading.Thread(target=run)
        else:
            other = None
        if other is not None:
            other.start()
            # From here on the process's signals go to the other thread.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})

        waits = [recv.recv, lambda: send.send(1), lambda: select(recv, (send, 1)),
                 lambda: next(recv), lambda: recv.recv(timeout=10**6)]
        longest = [20e-6, 100e-6, 400e-6]
        noticed = 0
        for i in range(rounds):
            wait = waits[i % len(waits)]
            delay = 1e-6 + random.random() * random.choice(longest)
            try:
                if who == 'killed thread':
                    due.release()
                else:
                    signal.setitimer(signal.ITIMER_REAL, delay)
                wait()
            except Broken:
                noticed += 1
        over.set()
        stop.close()
        if other is not None:
            other.join()
        print(noticed, len(recv))
        '''

    @needs_setitimer
    def test_at_any_moment(self):
        # Also while the thread is falling asleep: there is no gap in which a
        # signal goes unnoticed.
        self.assertEqual(run_script(self.SCRIPT, '1500', 'main'), ['1500', '0'])

    @needs_setitimer
    @unittest.skipUnless(hasattr(signal, 'pthread_sigmask'),
                         'needs pthread_sigmask()')
    def test_another_thread_gets_the_signal(self):
        for who in ('sleeping thread', 'waiting thread'):
            with self.subTest(who):
                self.assertEqual(run_script(self.SCRIPT, '700', who),
                                 ['700', '0'])
        with self.subTest('running thread'):
            # It holds the GIL most of the time.
            self.assertEqual(run_script(self.SCRIPT, '40', 'running thread'),
                             ['40', '0'])

    @unittest.skipUnless(hasattr(signal, 'pthread_kill'),
                         'needs pthread_kill()')
    def test_signal_for_another_thread(self):
        self.assertEqual(run_script(self.SCRIPT, '500', 'killed thread'),
                         ['500', '0'])

    @needs_setitimer
    def test_handlers_that_return_do_not_break_waits(self):
        out = run_script('''
            import signal
            import interpreters
            from interpreters import create_channel
            calls = 0
            def handler(*args):
                global calls
                calls += 1
            signal.signal(signal.SIGALRM, handler)
            recv, send = create_channel()
            def produce(send):
                import time
                for i in range(300):
                    time.sleep(0.0003)
                    send.send(i)
            interp = interpreters.create()
            future = interp.submit(produce, send)
            send.close()
            signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
            got = list(recv)
            signal.setitimer(signal.ITIMER_REAL, 0)
            future.result()
            interp.close()
            print(got == list(range(300)), calls > 0)
            ''')
        self.assertEqual(out, ['True', 'True'])

    @needs_setitimer
    def test_nothing_is_lost(self):
        # As with interrupt(), both sides are counted in C.
        for capacity in (0, 1):
            for main_sends in (False, True):
                with self.subTest(capacity=capacity, main_sends=main_sends):
                    out = run_script('''
                        import random, signal, sys
                        import interpreters
                        from interpreters import create_channel
                        class Broken(Exception):
                            pass
                        armed = False
                        def handler(*args):
                            global armed
                            signal.setitimer(signal.ITIMER_REAL,
                                             1e-5 + random.random() / 2000)
                            if armed:
                                armed = False
                                raise Broken
                        def repeat(func, *args):
                            global armed
                            while True:
                                try:
                                    armed = True
                                    func(*args)
                                    armed = False
                                    return
                                except Broken:
                                    pass
                        def receive(recv):
                            return list(recv)
                        def send_all(send, n):
                            for i in range(n):
                                send.send(i)
                        n = 20_000
                        recv, send = create_channel(int(sys.argv[1]))
                        interp = interpreters.create()
                        signal.signal(signal.SIGALRM, handler)
                        if sys.argv[2] == 'True':
                            future = interp.submit(receive, recv)
                            recv.close()
                            done = []
                            sending = map(send.send, iter(range(n)))
                            signal.setitimer(signal.ITIMER_REAL, 0.0001)
                            repeat(done.extend, sending)
                        else:
                            future = interp.submit(send_all, send, n)
                            send.close()
                            done = []
                            signal.setitimer(signal.ITIMER_REAL, 0.0001)
                            repeat(done.extend, recv)
                        signal.signal(signal.SIGALRM, signal.SIG_IGN)
                        if sys.argv[2] == 'True':
                            del sending
                            send.close()
                            got = future.result()
                            print(len(got) == len(done),
                                  got == sorted(set(got)))
                        else:
                            future.result()
                            print(done == list(range(n)), True)
                        interp.close()
                        ''', str(capacity), str(main_sends))
                    self.assertEqual(out, ['True', 'True'])


if __name__ == '__main__':
    unittest.main()
