"""fork(): the child has the main interpreter and all channels, and no thread
but one."""

import textwrap
import unittest

from test.support import (
    requires_fork, requires_subprocess, skip_if_sanitizer)
from test.support.script_helper import assert_python_ok

# What all scripts begin with.  A child ends by os._exit() with 0, or else with
# a traceback and another status.  A process that hangs gets SIGALRM, and ends
# with the tracebacks of all threads.
PREAMBLE = '''
import faulthandler, os, random, signal, sys, threading, time, traceback
import interpreters
from interpreters import *

faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
signal.alarm(40)

def fork(func, *args):
    """Call func(*args) in a child; return its status."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(20)
            func(*args)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def start(func, *args, **kwargs):
    thread = threading.Thread(target=func, args=args, **kwargs)
    thread.start()
    return thread

def wait_until(condition):
    while not condition():
        time.sleep(0.001)

def is_asleep(thread):
    """Whether it waits.  Not for the GIL, which is free while the kernel is asked."""
    with open(f'/proc/self/task/{thread.native_id}/stat') as f:
        return f.read().rpartition(')')[2].split()[0] == 'S'

def wait_until_asleep(*threads):
    wait_until(lambda: all(map(is_asleep, threads)))

def exchange(n=20):
    """Use new channels, from another thread too."""
    for capacity in (0, 1, None):
        recv, send = create_channel(capacity)
        def produce():
            with send:
                for i in range(n):
                    send.send(i)
        thread = start(produce)
        assert list(recv) == list(range(n))
        thread.join()
'''


@requires_fork()
@requires_subprocess()
@skip_if_sanitizer('sanitizers hang or die when threads fork',
                   address=True, thread=True)
class ForkTestCase(unittest.TestCase):

    def run_script(self, script, expected='', *, quiet=True):
        script = PREAMBLE + textwrap.dedent(script)
        rc, out, err = assert_python_ok(
            '-W', 'ignore::DeprecationWarning', '-c', script)
        self.assertEqual(out.decode().strip(), expected)
        if quiet:
            self.assertEqual(err, b'')


class ChannelTests(ForkTestCase):

    def test_child_finds_the_messages(self):
        self.run_script('''
            recv, send = create_channel(None)
            send.send('a')
            send.send([1, 2])
            data = bytearray(b'memory')
            send.send_buffer(data)

            def child():
                assert len(recv) == 3
                assert recv.recv() == 'a'
                assert recv.recv() == [1, 2]
                assert bytes(recv.recv()) == b'memory'
                send.send('child')
                send.close()
                assert list(recv) == ['child']
                exchange()

            assert fork(child) == 0
            # The child had copies.
            assert len(recv) == 3
            assert recv.drain(2) == ['a', [1, 2]]
            recv.recv().release()
            data.append(1)
            exchange()
            ''')

    def test_no_new_channel_has_an_old_number(self):
        self.run_script('''
            recv, send = create_channel()
            assert fork(lambda: create_channel()[0].id > recv.id or 1/0) == 0
            ''')

    def test_threads_that_wait_to_receive(self):
        self.run_script('''
            recv, send = create_channel()
            got = []
            def wait():
                got.append(recv.recv())
            threads = [start(wait) for _ in range(3)]
            wait_until_asleep(*threads)

            def child():
                # Nobody waits here.
                try:
                    send.send_nowait('nobody')
                except ChannelFullError:
                    pass
                else:
                    raise AssertionError('sent')
                thread = start(send.send, 'x')
                assert recv.recv() == 'x'
                thread.join()
                send.close()
                assert list(recv) == []
                exchange()

            for _ in range(5):
                assert fork(child) == 0
            for i in range(3):
                send.send(i)
            for thread in threads:
                thread.join()
            assert sorted(got) == [0, 1, 2], got
            ''')

    def test_threads_that_wait_to_send(self):
        self.run_script('''
            recv, send = create_channel(1)
            send.send('buffered')
            threads = [start(send.send, i) for i in range(3)]
            wait_until(lambda: len(recv) == 4)

            def child():
                assert len(recv) == 1, len(recv)
                assert recv.recv() == 'buffered'
                assert recv.recv_nowait(None) is None
                send.send('child')
                assert recv.drain() == ['child']
                recv.close()
                exchange()

            for _ in range(5):
                assert fork(child) == 0
            assert recv.recv() == 'buffered'
            assert sorted(recv.recv() for _ in range(3)) == [0, 1, 2]
            for thread in threads:
                thread.join()
            ''')

    def test_threads_that_wait_in_selects(self):
        self.run_script('''
            channels = [create_channel() for _ in range(3)]
            recvs = [recv for recv, _ in channels]
            results = []
            def wait(*cases):
                results.append(select(*cases))
            threads = [start(wait, *recvs), start(wait, *recvs)]
            other, other_send = create_channel()
            threads.append(start(wait, other, (other_send, 'x')))
            wait_until_asleep(*threads)

            def child():
                for recv, send in channels + [(other, other_send)]:
                    assert select(recv, (send, 1), default=0) == (None, 0)
                    thread = start(send.send, 'x')
                    assert select(recv) == (0, 'x')
                    thread.join()
                exchange()

            for _ in range(5):
                assert fork(child) == 0
            channels[0][1].send('a')
            channels[2][1].send('b')
            assert other.recv() == 'x'
            for thread in threads:
                thread.join()
            assert sorted(results) == [(0, 'a'), (1, None), (2, 'b')], results
            ''')

    def test_timed_waits_and_event_loops(self):
        self.run_script('''
            import asyncio
            recv, send = create_channel()
            thread = start(lambda: asyncio.run(recv.arecv()))
            other, other_send = create_channel()
            def wait():
                try:
                    other.recv(timeout=0.05)
                except TimeoutError:
                    pass
            def child():
                try:
                    other.recv(timeout=0.001)
                except TimeoutError:
                    pass
                thread = start(send.send, 1)
                assert recv.recv() == 1
                thread.join()
                async def main():
                    task = asyncio.create_task(send.asend(2))
                    assert await recv.arecv() == 2
                    await task
                asyncio.run(main())
                exchange()
            timed = start(wait)
            for _ in range(5):
                assert fork(child) == 0
            timed.join()
            send.send('end')
            thread.join()
            ''')

    def test_signals_in_the_child(self):
        self.run_script('''
            class Broken(Exception):
                pass
            def handler(*args):
                raise Broken
            signal.signal(signal.SIGUSR1, handler)
            recv, send = create_channel()
            def kill():
                wait_until_asleep(threading.main_thread())
                os.kill(os.getpid(), signal.SIGUSR1)
            def broken():
                try:
                    start(kill)
                    recv.recv()
                except Broken:
                    return
                raise AssertionError
            broken()
            assert fork(broken) == 0
            broken()
            # A thread that forks is the main one of the child.
            status = []
            thread = start(lambda: status.append(fork(broken)))
            thread.join()
            assert status == [0], status
            ''')

    def test_fork_in_another_thread_while_the_main_one_waits(self):
        self.run_script('''
            recv, send = create_channel()
            status = []
            def child():
                thread = start(send.send, 'x')
                assert recv.recv() == 'x'
                thread.join()
                exchange()
            def run():
                for _ in range(5):
                    status.append(fork(child))
                send.send('done')
            thread = start(run)
            assert recv.recv() == 'done'
            thread.join()
            assert status == [0] * 5, status
            ''')

    def test_child_of_a_child(self):
        self.run_script('''
            recv, send = create_channel(None)
            send.send(0)
            def child(depth):
                send.send(depth)
                exchange()
                if depth < 3:
                    assert fork(child, depth + 1) == 0
                assert recv.drain() == list(range(depth + 1))
            assert fork(child, 1) == 0
            ''')

    def test_child_that_ends_as_usual(self):
        # Through the interpreter's own finalization.
        self.run_script('''
            recv, send = create_channel()
            kept = create_channel(None)
            kept[1].send(kept)
            interp = interpreters.create()
            thread = start(list, recv)
            wait_until_asleep(thread)
            pid = os.fork()
            if pid != 0:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                send.close()
                thread.join()
                interp.close()
                print('parent', status)
            ''', 'parent 0')

    def test_multiprocessing(self):
        self.run_script('''
            import multiprocessing
            context = multiprocessing.get_context('fork')
            interp = interpreters.create()
            recv, send = create_channel(None)
            send.send('inherited')
            waiting_recv, waiting_send = create_channel()
            thread = start(list, waiting_recv)

            def work(queue):
                exchange()
                with interpreters.create() as interp:
                    interp.exec('x = 1')
                queue.put(recv.recv())

            for _ in range(3):
                queue = context.SimpleQueue()
                process = context.Process(target=work, args=(queue,))
                process.start()
                assert queue.get() == 'inherited'
                process.join()
                assert process.exitcode == 0, process.exitcode
            with context.Pool(2) as pool:
                assert pool.map(abs, range(-5, 0)) == [5, 4, 3, 2, 1]
            waiting_send.close()
            thread.join()
            interp.close()
            ''')


class InterpreterTests(ForkTestCase):

    def test_child_creates_interpreters(self):
        self.run_script('''
            def double(recv, send):
                for value in recv:
                    send.send(2 * value)

            def child():
                there, send = create_channel()
                recv, back = create_channel(1)
                with interpreters.create() as interp:
                    future = interp.submit(double, there, back)
                    there.close()
                    back.close()
                    for i in range(100):
                        send.send(i)
                        assert recv.recv() == 2 * i
                    send.close()
                    assert list(recv) == []
                    future.result()
                assert len(interpreters.list_all()) == 1

            child()
            assert fork(child) == 0
            ''')

    def test_others_are_gone_in_the_child(self):
        self.run_script('''
            interps = [interpreters.create() for _ in range(3)]
            gate_recv, gate = create_channel()
            recv, send = create_channel(None)
            interps[0].prepare_main(send=send)
            def wait(gate):
                return gate.recv()
            future = interps[1].submit(wait, gate_recv)
            interps[2].exec('import threading; e = threading.Event();'
                            'threading.Thread(target=e.wait).start()')

            def child():
                assert [i.id for i in interpreters.list_all()] == [0]
                for interp in interps:
                    for use in (interp.close, lambda: interp.exec('')):
                        try:
                            use()
                        except InterpreterNotFoundError:
                            pass
                        else:
                            raise AssertionError(interp)
                    assert interp.interrupt() == 0
                with interpreters.create() as new:
                    assert new.id > interps[-1].id
                    new.prepare_main(send=send)
                    new.exec('send.send("from the new one")')
                assert recv.recv() == 'from the new one'
                exchange()

            for _ in range(3):
                assert fork(child) == 0
            interps[0].exec('send.send("alive")')
            assert recv.recv() == 'alive'
            gate.send('x')
            assert future.result() == 'x'
            interps[2].exec('e.set()')
            for interp in interps:
                interp.close()
            ''')

    def test_memory_of_others(self):
        # Its owner does not exist in the child, but the memory does.
        self.run_script('''
            def leave(send):
                send.send(memoryview(bytearray(b'theirs')))
            recv, send = create_channel(None)
            interp = interpreters.create()
            interp.call(leave, send)
            interp.call(leave, send)
            view = recv.recv()

            def child():
                assert bytes(view) == b'theirs'
                view.release()
                other = recv.recv()
                assert bytes(other) == b'theirs'
                del other
                exchange()

            assert fork(child) == 0
            assert bytes(view) == b'theirs'
            view.release()
            recv.drain()
            interp.close()
            ''')

    def test_no_fork_in_other_interpreters(self):
        self.run_script('''
            interp = interpreters.create()
            interp.exec("""if True:
                import os
                try:
                    os.fork()
                except RuntimeError:
                    pass
                else:
                    raise AssertionError
                """)
            interp.close()
            ''')


class BusyTests(ForkTestCase):
    """fork() at any moment, with others in the midst of something."""

    def test_while_interpreters_send_and_receive(self):
        self.run_script('''
            def produce(send):
                import interpreters
                n = 0
                try:
                    while True:
                        send.send(n)
                        n += 1
                except interpreters.ChannelClosedError:
                    return n
            def consume(recv):
                from interpreters import ChannelClosedError, select
                n = 0
                try:
                    while True:
                        if n % 3:
                            recv.recv()
                        else:
                            select(recv)
                        n += 1
                except ChannelClosedError:
                    return n

            busy = []
            for capacity in (0, 2):
                recv, send = create_channel(capacity)
                interps = [interpreters.create() for _ in range(2)]
                busy.append((recv, send, interps,
                             interps[0].submit(produce, send),
                             interps[1].submit(consume, recv)))

            def child():
                for recv, send, *_ in busy:
                    recv.drain()
                    assert len(recv) == 0
                    thread = start(send.send, 'child')
                    assert recv.recv() == 'child'
                    thread.join()
                exchange(3)

            statuses = [fork(child) for _ in range(60)]
            assert statuses == [0] * 60, statuses
            for recv, send, interps, producing, consuming in busy:
                interps[1].interrupt()
                try:
                    consuming.result()
                except KeyboardInterrupt:
                    pass
                recv.close()
                assert producing.result() > 0
                for interp in interps:
                    interp.close()
            ''')

    def test_while_channels_come_and_go(self):
        self.run_script('''
            def churn(recv):
                import interpreters
                while recv.recv_nowait(None) is None:
                    r, s = interpreters.create_channel(1)
                    s.send((r, s))
                    interpreters.list_all_channels()
            recv, send = create_channel(2)
            interps = [interpreters.create() for _ in range(2)]
            futures = [interp.submit(churn, recv) for interp in interps]

            def child():
                for r, s in list_all_channels():
                    len(r)
                exchange(3)

            statuses = [fork(child) for _ in range(60)]
            assert statuses == [0] * 60, statuses
            for future in futures:
                send.send('stop')
            for future in futures:
                future.result()
            for interp in interps:
                interp.close()
            ''')

    def test_while_interpreters_come_and_go(self):
        self.run_script('''
            stop = threading.Event()
            def churn():
                while not stop.is_set():
                    with interpreters.create() as interp:
                        interp.exec('x = 1')
            threads = [start(churn) for _ in range(2)]
            statuses = [fork(exchange, 3) for _ in range(30)]
            # Also while an import switches to the main interpreter and back.
            statuses += [fork(len, ()) for _ in range(150)]
            stop.set()
            for thread in threads:
                thread.join()
            assert not any(statuses), statuses
            ''')

    def test_while_waits_are_interrupted(self):
        # Both take several locks of the engine.
        self.run_script('''
            def wait(recv):
                recv.recv()
            recv, send = create_channel()
            interp = interpreters.create()
            over = threading.Event()
            broken = 0
            def call():
                global broken
                while not over.is_set():
                    try:
                        interp.call(wait, recv)
                    except ExecutionFailed:
                        broken += 1
            def interrupt(interp, over):
                while over.recv_nowait(None) is None:
                    interp.interrupt()
            # With a GIL of its own, or it would never be inside at a fork.
            other = interpreters.create()
            over_recv, tell_over = create_channel(1)
            interrupting = other.submit(interrupt, interp, over_recv)
            calling = start(call)
            statuses = []
            while len(statuses) < 100 or broken < 100:
                statuses.append(fork(exchange, 1))
            over.set()
            tell_over.send(True)
            interrupting.result()
            send.close()
            calling.join()
            assert not any(statuses), statuses
            interp.close()
            other.close()
            ''')


class ExitTests(ForkTestCase):
    """The end of a process, forked or not, with threads that wait."""

    def test_daemon_threads_of_the_main_interpreter(self):
        self.run_script('''
            recv, send = create_channel()
            full_recv, full = create_channel(1)
            full.send(1)
            wait_until_asleep(*[
                start(func, *args, daemon=True)
                for func, *args in ((recv.recv,), (list, recv), (full.send, 2),
                                    (select, recv, (full, 1)),
                                    (lambda: recv.recv(timeout=100),))])
            print('end')
            ''', 'end')

    def test_daemon_threads_whose_channels_are_closed_at_exit(self):
        self.run_script('''
            import atexit
            channels = [create_channel() for _ in range(10)]
            wait_until_asleep(*[start(list, recv, daemon=True)
                                for recv, send in channels])
            atexit.register(lambda: [send.close() for _, send in channels])
            print('end')
            ''', 'end')

    def test_threads_of_other_interpreters(self):
        # Their waits are broken.
        self.run_script('''
            recv, send = create_channel()
            interp = interpreters.create()
            interp.prepare_main(recv=recv, send=send)
            interp.exec("""if True:
                import interpreters, threading
                def run(wait, *args):
                    try:
                        wait(*args)
                    except interpreters.InterpreterError as exc:
                        print(exc, flush=True)
                other, keep = interpreters.create_channel()
                threading.Thread(target=run, args=(other.recv,)).start()
                threading.Thread(target=run,
                    args=(interpreters.select, other)).start()
                """)
            ''', 'the interpreter is being closed\nthe interpreter is being closed')

    def test_threads_of_the_main_interpreter_go_on(self):
        # Exit waits for them, so they may wait as before.
        self.run_script('''
            recv, send = create_channel()
            def produce():
                threading.main_thread().join()
                for i in range(10):
                    send.send(i)
                    time.sleep(0.001)
                send.close()
            def consume():
                threading.main_thread().join()
                print(len(list(recv)))
            start(produce)
            start(consume)
            ''', '10')

    def test_calls_are_ended_by_closing_the_channel(self):
        # Exit waits for the threads of submit(), which end so.
        self.run_script('''
            def consume(recv):
                n = len(list(recv))
                print('consumed', n, flush=True)
            recv, send = create_channel()
            interp = interpreters.create()
            future = interp.submit(consume, recv)
            recv.close()
            def run(send):
                for i in range(10):
                    time.sleep(0.001)
                    send.send(i)
                send.close()
            start(run, send)
            ''', 'consumed 10')

    def test_calls_are_ended_by_an_interrupt(self):
        self.run_script('''
            def wait(recv):
                return recv.recv()
            recv, send = create_channel()
            interp = interpreters.create()
            futures = [interp.submit(wait, recv) for _ in range(2)]
            wait_until(interp.is_running)
            def done(future):
                print(type(future.exception()).__name__)
            for future in futures:
                future.add_done_callback(done)
            def interrupt():
                threading.main_thread().join()
                while not all(future.done() for future in futures):
                    interp.interrupt()
                    time.sleep(0.01)
            start(interrupt)
            ''', 'KeyboardInterrupt\nKeyboardInterrupt', quiet=False)

    def test_child_exits_with_waiting_daemon_threads(self):
        self.run_script('''
            recv, send = create_channel()
            wait_until_asleep(start(recv.recv, daemon=True))
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                wait_until_asleep(start(recv.recv, daemon=True))
                sys.exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            ''', '7')


if __name__ == '__main__':
    unittest.main()
