"""Signals that arrive while the main thread runs code in another interpreter."""

import signal
import textwrap
import unittest

from test.support import requires_subprocess
from test.support.script_helper import assert_python_ok

PREAMBLE = '''
import faulthandler, signal, sys
import interpreters
from interpreters import create_channel

# Code that is never broken ends with the tracebacks of all threads.
faulthandler.dump_traceback_later(120, exit=True)

class Broken(Exception):
    pass

def raise_broken(*args):
    raise Broken

# Any interpreter can set the timer, so that it goes off where it is to.
ALARM = signal.ITIMER_REAL, 0.01

interp = interpreters.create()
recv, send = create_channel()
log_recv, log = create_channel(None)

def wait_and_log(recv, log, alarm):
    import signal
    try:
        signal.setitimer(*alarm)
        recv.recv()
    except BaseException as exc:
        log.send(type(exc).__name__)
        raise
    finally:
        log.send('finally')
'''


@requires_subprocess()
@unittest.skipUnless(hasattr(signal, 'setitimer'), 'needs setitimer()')
class VisitTests(unittest.TestCase):

    def run_script(self, script, *expected):
        rc, out, err = assert_python_ok('-c', PREAMBLE + textwrap.dedent(script))
        self.assertEqual(out.decode().splitlines(), list(expected))

    def test_ctrl_c(self):
        # Whether the code waits in the engine, runs, or blocks elsewhere.
        self.run_script('''
            armed = False
            def interrupt(*args):
                global armed
                signal.setitimer(signal.ITIMER_REAL, 0)
                if armed:
                    armed = False
                    raise KeyboardInterrupt
            signal.signal(signal.SIGALRM, interrupt)
            # What is imported is imported before: an exception in the middle
            # of an import may leave a lock held.
            interp.exec("""if True:
                import asyncio, os, queue, signal, threading, time
                from interpreters import select
                def wait():
                    recv.recv()
                def wait_for_one():
                    select(recv, timeout=10**6)
                def run():
                    while True:
                        pass
                def sleep():
                    time.sleep(10**6)
                def read():
                    os.read(os.pipe()[0], 1)
                def acquire():
                    lock = threading.Lock()
                    lock.acquire()
                    lock.acquire()
                def wait_for_condition():
                    condition = threading.Condition()
                    with condition:
                        condition.wait()
                def get():
                    queue.SimpleQueue().get()
                async def arm_and_sleep():
                    # Not before: a loop that is only half set up cannot be
                    # closed.
                    signal.setitimer(*alarm)
                    await asyncio.sleep(10**6)
                """)
            # CPython does not notice a signal that comes right before one of its
            # own calls blocks, only the next one.
            REPEATED = *ALARM, 0.01
            interp.prepare_main(recv=recv, alarm=REPEATED)
            def call(name, alarm):
                import __main__, signal
                func = getattr(__main__, name)
                signal.setitimer(*alarm)
                func()
            for name in ('wait', 'wait_for_one', 'run', 'sleep', 'read',
                         'acquire', 'wait_for_condition', 'get'):
                ours = name in ('wait', 'wait_for_one', 'run')
                try:
                    armed = True
                    interp.call(call, name, ALARM if ours else REPEATED)
                except KeyboardInterrupt:
                    print('broken')
            for code in ('signal.setitimer(*alarm); time.sleep(10**6)',
                         'asyncio.run(arm_and_sleep())'):
                try:
                    armed = True
                    interp.exec(code)
                except KeyboardInterrupt:
                    print('broken')
            print(interp.call(sum, [1, 2]))
            interp.close()
            ''', *['broken'] * 10, '3')

    def test_the_real_thing(self):
        self.run_script('''
            import os, threading
            entered_recv, entered = create_channel()
            def interrupt(entered):
                entered.recv()
                os.kill(os.getpid(), signal.SIGINT)
            def wait(entered, recv):
                entered.send(None)
                recv.recv()
            # It is ignored where a shell started the tests in the background.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            thread = threading.Thread(target=interrupt, args=[entered_recv])
            thread.start()
            try:
                interp.call(wait, entered, recv)
            except KeyboardInterrupt:
                print('broken')
            thread.join()
            ''', 'broken')

    def test_the_handlers_exception_arrives_at_home(self):
        self.run_script('''
            signal.signal(signal.SIGALRM, raise_broken)
            try:
                interp.call(wait_and_log, recv, log, ALARM)
            except Broken as exc:
                print(*log_recv.drain(), exc.__context__)
                tb = exc.__traceback__
                while tb.tb_next:
                    tb = tb.tb_next
                print(tb.tb_frame.f_code.co_name)
            ''', 'KeyboardInterrupt finally None', 'raise_broken')

    def test_the_handler_runs_in_the_main_interpreter(self):
        self.run_script('''
            seen = []
            recv, send = create_channel(1)
            def handler(number, frame):
                seen.append(interpreters.get_current() == interpreters.get_main())
                seen.append(frame.f_back is not None)
                seen.append(interp.is_running())
                send.send_nowait('from the handler')
            def wait(recv, alarm):
                import signal
                signal.setitimer(*alarm)
                return recv.recv(), 'went on'
            signal.signal(signal.SIGALRM, handler)
            print(*interp.call(wait, recv, ALARM))
            print(*seen)
            ''', 'from the handler went on', 'True True True')

    def test_what_the_code_deals_with_goes_no_further(self):
        self.run_script('''
            signal.signal(signal.SIGALRM, raise_broken)
            def wait(recv, alarm):
                import signal
                try:
                    signal.setitimer(*alarm)
                    recv.recv()
                except KeyboardInterrupt:
                    return 'caught'
            def fail(recv, alarm):
                import signal
                try:
                    signal.setitimer(*alarm)
                    recv.recv()
                except KeyboardInterrupt:
                    1 / 0
            print(interp.call(wait, recv, ALARM))
            try:
                interp.call(fail, recv, ALARM)
            except interpreters.ExecutionFailed as exc:
                print(exc.excinfo.type.__name__)
            # One of its own is none of ours.
            try:
                interp.exec('raise KeyboardInterrupt')
            except interpreters.ExecutionFailed as exc:
                print(exc.excinfo.type.__name__)
            ''', 'caught', 'ZeroDivisionError', 'KeyboardInterrupt')

    def test_through_several_interpreters(self):
        self.run_script('''
            other = interpreters.create()
            def call(interp, func, recv, log, alarm):
                try:
                    interp.call(func, recv, log, alarm)
                except BaseException as exc:
                    log.send(type(exc).__name__)
                    raise
            signal.signal(signal.SIGALRM, raise_broken)
            try:
                interp.call(call, other, wait_and_log, recv, log, ALARM)
            except Broken:
                print(*log_recv.drain())
            # The way back leads through the main interpreter.
            try:
                interp.call(call, interpreters.get_main(), wait_and_log, recv,
                            log, ALARM)
            except interpreters.ExecutionFailed as exc:
                print(*log_recv.drain(), exc.excinfo.type.__name__)
            ''', 'KeyboardInterrupt finally KeyboardInterrupt',
            'Broken finally ExecutionFailed ExecutionFailed')

    def test_a_signal_after_one_that_raised(self):
        # It is handled too, though the first one breaks the code.
        self.run_script('''
            import os
            calls = []
            def handler(number, frame):
                calls.append(number)
                raise Broken
            signal.signal(signal.SIGUSR1, handler)
            signal.signal(signal.SIGUSR2, handler)
            def wait(recv):
                import os, signal
                signal.pthread_sigmask(signal.SIG_BLOCK,
                                       {signal.SIGUSR1, signal.SIGUSR2})
                os.kill(os.getpid(), signal.SIGUSR1)
                os.kill(os.getpid(), signal.SIGUSR2)
                caught = 0
                try:
                    try:
                        signal.pthread_sigmask(signal.SIG_UNBLOCK,
                                            {signal.SIGUSR1, signal.SIGUSR2})
                        recv.recv()
                    except KeyboardInterrupt:
                        caught += 1
                        recv.recv()
                except KeyboardInterrupt:
                    caught += 1
                return caught
            print(interp.call(wait, recv), len(calls))
            ''', '2 2')

    def test_a_signal_after_one_that_ended_the_code(self):
        self.run_script('''
            import os
            calls = []
            def raise_it(number, frame):
                calls.append(number)
                raise Broken
            both = [int(signal.SIGUSR1), int(signal.SIGUSR2)]
            signal.signal(signal.SIGUSR1, raise_it)
            signal.signal(signal.SIGUSR2,
                          lambda number, frame: calls.append(number))
            def run(both):
                import os, signal
                signal.pthread_sigmask(signal.SIG_BLOCK, both)
                for number in both:
                    os.kill(os.getpid(), number)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
                while True:
                    pass
            try:
                interp.call(run, both)
            except Broken:
                for _ in range(1000):   # Python code handles what is pending
                    pass
                print(calls == both)
            ''', 'True')

    def test_while_the_engine_describes_an_exception(self):
        # The signal waits until that is done; the code that runs then gets it.
        self.run_script('''
            source = """if True:
                import interpreters, signal
                class Error(Exception):
                    def __str__(self):
                        global armed
                        if not armed:
                            armed = True
                            signal.setitimer(*alarm)
                            while signal.getitimer(alarm[0])[0]:
                                pass
                        return 'described'
                armed = False
                def fail():
                    raise Error
                def call(interp):
                    try:
                        interp.exec('fail()')
                    except interpreters.ExecutionFailed as exc:
                        return str(exc)
                """
            signal.signal(signal.SIGALRM, raise_broken)
            interp.prepare_main(alarm=ALARM, interp=interp)
            interp.exec(source)
            try:
                interp.exec('call(interp)')
            except Broken:
                print('broken')
            ''', 'broken')

    def test_calls_while_the_engine_describes_an_exception(self):
        # The thread state of the outer call goes next: no signal handler may
        # know it any more.  Only ASan would see that.
        self.run_script('''
            import random
            other = interpreters.create()
            interp.prepare_main(other=other)
            interp.exec("""if True:
                class Error(Exception):
                    def __str__(self):
                        other.exec('1')
                        return 'described'
                """)
            calls = 0
            over = False
            def count(*args):
                global calls
                calls += 1
                # Not periodic: the process could do nothing but be signalled.
                if not over:
                    signal.setitimer(signal.ITIMER_REAL,
                                     1e-5 + random.random() / 2000)
            signal.signal(signal.SIGALRM, count)
            signal.setitimer(signal.ITIMER_REAL, 1e-5)
            failed = 0
            for _ in range(200):
                try:
                    interp.exec('raise Error')
                except interpreters.ExecutionFailed as exc:
                    failed += 'Error: described' in str(exc)
            over = True
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(failed, calls > 0)
            ''', '200 True')

    def test_an_event_loop_is_woken(self):
        # As one that blocks where no handler breaks it off: the file tells.
        self.run_script('''
            signal.signal(signal.SIGALRM, raise_broken)
            def set_fd():
                import signal, socket
                awake, wake = socket.socketpair()
                wake.setblocking(False)
                return signal.set_wakeup_fd(wake.fileno()), awake, wake
            def wait(recv, log, alarm):
                import signal
                before, awake, wake = set_fd()
                try:
                    signal.setitimer(*alarm)
                    while True:
                        pass
                finally:
                    number, = awake.recv(10)
                    assert signal.set_wakeup_fd(before) == wake.fileno()
                    log.send([before, number == signal.SIGALRM])
            try:
                interp.prepare_main(set_fd=set_fd)
                interp.call(wait, recv, log, ALARM)
            except Broken:
                print(log_recv.recv())
            # Not where no signals are handled.
            try:
                interp.submit(set_fd).result()
            except ValueError as exc:
                print(exc)
            assert signal.set_wakeup_fd(-1) == -1
            ''', '[-1, True]',
            'set_wakeup_fd only works in main thread of the main interpreter')

    def test_other_threads_are_left_alone(self):
        self.run_script('''
            entered_recv, entered = create_channel()
            def wait(entered, recv):
                entered.send(None)
                return recv.recv()
            future = interp.submit(wait, entered, recv)
            entered_recv.recv()
            signal.signal(signal.SIGALRM, raise_broken)
            try:
                signal.setitimer(*ALARM)
                entered_recv.recv()
            except Broken:
                print('broken')
            send.send('not broken')
            print(future.result())
            ''', 'broken', 'not broken')

    def test_at_any_moment(self):
        # Each signal breaks a call that would never end: while it is begun,
        # runs, falls asleep or sleeps.
        self.run_script('''
            import random
            def wait(recv):
                recv.recv()
            def run(recv):
                while True:
                    pass
            def nested(recv, interp, func):
                interp.call(func, recv)
            other = interpreters.create()
            calls = [(wait, recv), (run, recv), (nested, recv, other, wait)]
            signal.signal(signal.SIGALRM, raise_broken)
            noticed = 0
            for i in range(600):
                try:
                    signal.setitimer(signal.ITIMER_REAL,
                                     1e-6 + random.random() / 1000)
                    interp.call(*calls[i % 3])
                except Broken:
                    noticed += 1
            print(noticed)
            print(interp.call(sum, [1, 2]), other.call(sum, [1, 2]))
            interp.close()
            other.close()
            ''', '600', '3 3')

    def test_handled_by_another_thread(self):
        # The process's signals go to a thread that sleeps.
        self.run_script('''
            import random, threading
            over = threading.Event()
            thread = threading.Thread(target=over.wait)
            thread.start()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            def wait(recv):
                recv.recv()
            def run(recv):
                while True:
                    pass
            signal.signal(signal.SIGALRM, raise_broken)
            noticed = 0
            for i in range(400):
                try:
                    signal.setitimer(signal.ITIMER_REAL,
                                     1e-6 + random.random() / 1000)
                    interp.call((wait, run)[i % 2], recv)
                except Broken:
                    noticed += 1
            over.set()
            thread.join()
            print(noticed)
            ''', '400')


if __name__ == '__main__':
    unittest.main()
