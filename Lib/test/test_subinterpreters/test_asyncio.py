"""Channels in event loops: arecv(), asend(), async for; by tasks, threads and
interpreters."""

import asyncio
import contextlib
import gc
import os
import sys
import threading
import unittest

import interpreters
from interpreters import ChannelClosedError, NotShareableError, create_channel
from test.test_subinterpreters.async_support import (
    AsyncTestCase, collect, drain, until)
from test.test_subinterpreters.support import (
    TestCase, receive_all, send_all, unsendable)


def tearDownModule():
    asyncio.set_event_loop_policy(None)


class OperationTests(AsyncTestCase):

    async def test_what_is_there_is_received_at_once(self):
        recv, send = create_channel(None)
        for i in range(100):
            send.send(i)
        self.assertEqual([await recv.arecv() for _ in range(100)],
                         list(range(100)))

    async def test_arecv_waits_for_a_message(self):
        recv, send = create_channel(1)
        task, = await self.waiting(recv.arecv())
        send.send_nowait(['late'])
        self.assertEqual(await task, ['late'])

    async def test_asend_is_done_at_once_while_there_is_room(self):
        recv, send = create_channel(2)
        self.assertIsNone(await send.asend('a'))
        await send.asend('b')
        await self.waiting(send.asend('c'))
        self.assertEqual(len(recv), 3)
        self.assertEqual(recv.drain(), ['a', 'b', 'c'])

    async def test_asend_waits_for_room(self):
        recv, send = create_channel(1)
        send.send(0)
        tasks = await self.waiting(*(send.asend(i) for i in range(1, 4)))
        self.assertEqual([recv.recv() for _ in range(4)], list(range(4)))
        self.assertEqual(await asyncio.gather(*tasks), [None] * 3)

    async def test_rendezvous_of_two_tasks(self):
        recv, send = create_channel()
        sender, = await self.waiting(send.asend('x'))
        self.assertEqual(len(recv), 1)
        self.assertEqual(await recv.arecv(), 'x')
        self.assertIsNone(await sender)

        receiver, = await self.waiting(recv.arecv())
        await send.asend('y')
        self.assertEqual(await receiver, 'y')
        self.assertEqual(len(recv), 0)

    async def test_many_rendezvous_of_two_tasks(self):
        recv, send = create_channel()

        async def produce():
            with send:
                for i in range(500):
                    await send.asend(i)

        received, _ = await asyncio.gather(collect(recv), produce())
        self.assertEqual(received, list(range(500)))

    async def test_waiting_tasks_are_served_in_order(self):
        recv, send = create_channel(None)
        tasks = await self.waiting(*(recv.arecv() for _ in range(50)))
        for i in range(50):
            send.send(i)
        self.assertEqual(await asyncio.gather(*tasks), list(range(50)))

    async def test_the_copy_is_made_when_asend_begins(self):
        recv, send = create_channel()
        obj = [1]
        await self.waiting(send.asend(obj))
        obj.append(2)
        self.assertEqual(recv.recv(), [1])

    async def test_what_cannot_be_sent_is_not_sent(self):
        for capacity in (0, 1):
            with self.subTest(capacity):
                recv, send = create_channel(capacity)
                data = bytearray(b'x')
                with self.assertRaisesRegex(NotShareableError, r'^obj\[1\]'):
                    await send.asend([memoryview(data), unsendable()])
                self.assertEqual(len(recv), 0)
                data.append(1)              # no longer exported
        receiver, = await self.waiting(recv.arecv())
        with self.assertRaises(NotShareableError):
            await send.asend(unsendable())
        await send.asend('good')
        self.assertEqual(await receiver, 'good')

    async def test_what_cannot_be_decoded_is_used_up(self):
        module = type(sys)('only_at_first')
        module.C = type('C', (), {'__module__': 'only_at_first'})
        recv, send = create_channel(None)

        def send_class():
            sys.modules['only_at_first'] = module
            send.send(module.C)
            del sys.modules['only_at_first']
            send.send('next')

        send_class()
        with self.assertRaises(ModuleNotFoundError):
            await recv.arecv()
        self.assertEqual(await recv.arecv(), 'next')
        first, second = await self.waiting(recv.arecv(), recv.arecv())
        send_class()
        with self.assertRaises(ModuleNotFoundError):
            await first
        self.assertEqual(await second, 'next')

    async def test_shared_memory(self):
        recv, send = create_channel()
        data = bytearray(b'abc')
        task, = await self.waiting(recv.arecv())
        await send.asend(memoryview(data))
        with await task as view:
            view[0] = ord('x')
        self.assertEqual(data, b'xbc')

    async def test_a_waiting_select_is_served(self):
        recv, send = create_channel()
        result = self.start(interpreters.select, recv)
        await send.asend('x')
        self.assertEqual(result(), (0, 'x'))

    async def test_select_serves_waiting_tasks(self):
        recv, send = create_channel()
        task, = await self.waiting(recv.arecv())
        self.assertEqual(interpreters.select((send, 'x')), (0, None))
        self.assertEqual(await task, 'x')

    def test_outside_of_a_loop(self):
        recv, send = create_channel(1)
        send.send('kept')
        for coro in (recv.arecv(), send.asend(1)):
            with self.assertRaisesRegex(RuntimeError, 'no running event loop'):
                coro.send(None)
        self.assertEqual(recv.drain(), ['kept'])


class ClosingTests(AsyncTestCase):

    async def test_iteration_ends_when_drained(self):
        recv, send = create_channel(None)
        with send:
            for i in range(5):
                send.send(i)
        self.assertEqual(await collect(recv), list(range(5)))

    async def test_closing_ends_waiting_iterations(self):
        recv, send = create_channel()
        tasks = await self.waiting(*(collect(recv) for _ in range(3)))
        await send.asend('x')
        send.close()
        self.assertEqual(await asyncio.gather(*tasks), [['x'], [], []])

    async def test_closing_wakes_waiting_receivers(self):
        recv, send = create_channel()
        tasks = await self.waiting(*(recv.arecv() for _ in range(3)))
        send.close()
        for task in tasks:
            with self.assertRaisesRegex(ChannelClosedError, 'sending end'):
                await task

    async def test_closing_wakes_waiting_senders(self):
        recv, send = create_channel(1)
        send.send('never received')
        tasks = await self.waiting(*(send.asend(i) for i in range(3)))
        recv.close()
        for task in tasks:
            with self.assertRaisesRegex(ChannelClosedError, 'receiving end'):
                await task
        self.assertEqual(len(send), 0)

    async def test_own_end_is_closed_while_waiting(self):
        recv, send = create_channel()
        receiver, iteration = await self.waiting(recv.arecv(), collect(recv))
        recv.close()
        for task in (receiver, iteration):
            with self.assertRaisesRegex(ChannelClosedError, 'this end'):
                await task
        recv, send = create_channel()
        task, = await self.waiting(send.asend(1))
        send.close()
        with self.assertRaisesRegex(ChannelClosedError, 'this end'):
            await task
        self.assertEqual(len(recv), 0)

    async def test_closed_before(self):
        recv, send = create_channel()
        send.close()
        with self.assertRaisesRegex(ChannelClosedError, 'sending end'):
            await recv.arecv()
        with self.assertRaisesRegex(ChannelClosedError, 'this end'):
            await send.asend(1)
        recv.close()
        for coro in (recv.arecv(), collect(recv)):
            with self.assertRaisesRegex(ChannelClosedError, 'this end'):
                await coro
        recv, send = create_channel(1)
        recv.close()
        with self.assertRaisesRegex(ChannelClosedError, 'receiving end'):
            await send.asend(1)

    async def test_closed_for_everybody_and_for_ever(self):
        recv, send = create_channel()
        send.close()
        for _ in range(3):
            with self.assertRaises(ChannelClosedError):
                await recv.arecv()
            self.assertEqual(await collect(recv), [])
        with self.assertRaises(ChannelClosedError):
            recv.recv()

    async def test_a_thread_closes_the_other_end(self):
        recv, send = create_channel()
        task, = await self.waiting(collect(recv))
        self.start(send.close)
        self.assertEqual(await task, [])

    async def test_an_interpreter_that_has_the_other_end_is_closed(self):
        recv, send = create_channel()
        interp = self.create()
        interp.prepare_main(send=send)
        send.close()
        task, = await self.waiting(collect(recv))
        interp.close()
        self.assertEqual(await task, [])


def _echo(recv, send):
    for message in recv:
        send.send(message)


async def _aecho(recv, send):
    async for message in recv:
        await send.asend(message)


def _run_echo(recv, send):
    asyncio.run(_aecho(recv, send))


class AcrossInterpretersTests(AsyncTestCase):

    async def test_rendezvous_with_another_interpreter(self):
        interp = self.create()
        for echo in (_echo, _run_echo):
            with self.subTest(echo.__name__):
                there, send = create_channel()
                recv, back = create_channel()
                future = interp.submit(echo, there, back)
                there.close()
                back.close()
                for i in range(200):
                    await send.asend(i)
                    self.assertEqual(await recv.arecv(), i)
                send.close()
                self.assertEqual(await collect(recv), [])
                await asyncio.wrap_future(future)

    async def test_messages_of_another_interpreter_arrive_in_order(self):
        interp = self.create()
        for capacity in (0, 3, None):
            with self.subTest(capacity):
                recv, send = create_channel(capacity)
                future = interp.submit(send_all, send, range(1000))
                send.close()
                self.assertEqual(await collect(recv), list(range(1000)))
                await asyncio.wrap_future(future)

    async def test_messages_to_another_interpreter_arrive_in_order(self):
        recv, send = create_channel(2)
        future = self.create().submit(receive_all, recv)
        recv.close()
        for i in range(1000):
            await send.asend(i)
        send.close()
        self.assertEqual(await asyncio.wrap_future(future), list(range(1000)))

    def test_a_loop_in_exec(self):
        recv, send = create_channel(1)
        back, result = create_channel(1)
        interp = self.create()
        interp.prepare_main(recv=recv, result=result)
        recv.close()
        thread = self.start(interp.exec, '''if True:
            import asyncio

            async def total():
                n = 0
                async for message in recv:
                    n += message
                await result.asend(n)

            asyncio.run(total())
            ''')
        send_all(send, range(100))
        send.close()
        self.assertEqual(back.recv(), 4950)
        thread()

    def test_an_interpreter_is_closed_while_its_loop_waits(self):
        recv, send = create_channel(None)
        full_recv, full_send = create_channel()
        with self.create() as interp:
            interp.prepare_main(recv=recv, send=full_send)
            interp.exec('''if True:
                import asyncio, warnings
                warnings.simplefilter('ignore')     # about the unclosed loop
                loop = asyncio.new_event_loop()
                loop.set_exception_handler(lambda *args: None)
                tasks = [loop.create_task(coro) for coro in (
                    recv.arecv(), recv.arecv(), send.asend('not received'))]
                loop.run_until_complete(asyncio.sleep(0))
                ''')
            self.assertEqual(len(full_recv), 1)
            send.send('handed over')
            self.assertEqual(len(recv), 0)
        self.assertEqual(recv.drain(), ['handed over'])
        self.assertEqual(full_recv.drain(), [])
        send.send('nobody waits for it')
        self.assertEqual(len(recv), 1)


class ManyTasksTests(AsyncTestCase):

    COUNT = 5000

    def os_threads(self):
        try:
            return len(os.listdir('/proc/self/task'))
        except OSError:
            return 0

    async def check_no_threads(self, coroutines):
        """Return the waiting tasks."""
        threads, os_threads = threading.enumerate(), self.os_threads()
        tasks = await self.waiting(*coroutines)
        self.assertEqual(len(tasks), self.COUNT)
        self.assertEqual(threading.enumerate(), threads)
        self.assertLessEqual(self.os_threads(), os_threads)
        return tasks

    async def test_many_receivers(self):
        recv, send = create_channel()
        tasks = await self.check_no_threads(recv.arecv() for _ in range(self.COUNT))
        future = self.create().submit(send_all, send, range(self.COUNT))
        self.assertEqual(await asyncio.gather(*tasks), list(range(self.COUNT)))
        await asyncio.wrap_future(future)
        self.assertEqual(len(recv), 0)

    async def test_many_senders(self):
        recv, send = create_channel()
        tasks = await self.check_no_threads(send.asend(i) for i in range(self.COUNT))
        self.assertEqual(len(recv), self.COUNT)
        future = self.create().submit(receive_all, recv)
        await asyncio.gather(*tasks)
        send.close()
        self.assertEqual(await asyncio.wrap_future(future),
                         list(range(self.COUNT)))

    async def test_many_channels(self):
        channels = [create_channel() for _ in range(self.COUNT)]
        tasks = await self.check_no_threads(recv.arecv() for recv, _ in channels)
        for i, (_, send) in enumerate(channels):
            send.send_nowait(i)
        self.assertEqual(await asyncio.gather(*tasks), list(range(self.COUNT)))


class FairnessTests(AsyncTestCase):

    async def test_each_message_is_received_exactly_once(self):
        # By tasks of this loop, of a loop in another thread and of one in
        # another interpreter, by threads, and by another interpreter.
        senders, count = 2, 1000
        interps = [self.create() for _ in range(2 + senders)]
        for capacity in (0, 8, None):
            with self.subTest(capacity):
                recv, send = create_channel(capacity)
                threads = [self.start(receive_all, recv),
                           self.start(_run_collect, recv)]
                futures = [interps[0].submit(receive_all, recv),
                           interps[1].submit(_run_collect, recv)]
                tasks = [asyncio.create_task(collect(recv)) for _ in range(3)]
                sending = [interps[2 + i].submit(send_all, send,
                                                 range(i, count, senders))
                           for i in range(senders)]
                send.close()
                received = await asyncio.gather(
                    *tasks, *map(asyncio.wrap_future, futures))
                received += [result() for result in threads]
                for future in sending:
                    future.result()
                self.assertEqual(sorted(sum(received, [])), list(range(count)))
                for got in received:        # those of one sender in their order
                    for i in range(senders):
                        mine = [n for n in got if n % senders == i]
                        self.assertEqual(mine, sorted(mine))

    async def test_tasks_and_threads_are_served_in_the_order_in_which_they_wait(self):
        recv, send = create_channel()
        first, = await self.waiting(send.asend('task'))
        done = self.start(send.send, 'thread')
        await until(lambda: len(recv) == 2)
        last, = await self.waiting(send.asend('last'))
        self.assertEqual(recv.drain(), ['task', 'thread', 'last'])
        done()
        await asyncio.gather(first, last)


def _run_collect(recv):
    return asyncio.run(collect(recv))


class FreeListTests(unittest.TestCase):

    def test_of_iterators_holds_no_reference_to_the_module(self):
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            future = loop.create_future()
            first = iter(future)
            before = sys.getrefcount(type(first))
            iterators = [iter(future) for _ in range(10)]
            self.assertEqual(sys.getrefcount(type(first)), before + 10)
            del iterators
            self.assertEqual(sys.getrefcount(type(first)), before)
            iterators = [iter(future) for _ in range(10)]
            self.assertEqual(sys.getrefcount(type(first)), before + 10)


def fds():
    return len(os.listdir('/proc/self/fd'))


class LoopTests(TestCase):
    """Loops that end, one way or another, while operations wait."""

    def waiting_loop(self, *coroutines):
        """Return a new loop, not running, with tasks that wait."""
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *args: None)
        tasks = [loop.create_task(coro) for coro in coroutines]
        loop.run_until_complete(asyncio.sleep(0))
        return loop, tasks

    def test_two_loops_in_two_threads(self):
        there, send = create_channel()
        recv, back = create_channel()

        async def ask():
            replies = []
            for i in range(300):
                await send.asend(i)
                replies.append(await recv.arecv())
            send.close()
            return replies

        echo = self.start(_run_echo, there, back)
        self.assertEqual(asyncio.run(ask()), list(range(300)))
        echo()

    def test_one_loop_after_another(self):
        recv, send = create_channel()

        async def main(i):
            received, _ = await asyncio.gather(recv.arecv(), send.asend(i))
            return received

        for i in range(10):
            self.assertEqual(asyncio.run(main(i)), i)

    def test_run_ends_with_tasks_pending(self):
        recv, send = create_channel(None)
        full_recv, full_send = create_channel()

        async def main():
            tasks = [asyncio.create_task(coro) for coro in (
                recv.arecv(), recv.arecv(), full_send.asend('not sent'))]
            await asyncio.sleep(0)
            send.send('kept')
            main.tasks = tasks

        asyncio.run(main())
        self.assertEqual([task.cancelled() for task in main.tasks], [True] * 3)
        self.assertEqual(recv.drain(), ['kept'])
        self.assertEqual(len(full_recv), 0)
        send.send('nobody waits for it')
        self.assertEqual(len(recv), 1)

    def test_closed_with_tasks_pending(self):
        recv, send = create_channel(None)
        loop, tasks = self.waiting_loop(recv.arecv(), recv.arecv())
        send.send('before')
        loop.close()
        send.send('after')
        send.send('nobody waits for it')
        self.assertEqual(len(recv), 1)
        del loop, tasks
        gc.collect()
        self.assertEqual(sorted(recv.drain()),
                         ['after', 'before', 'nobody waits for it'])

    def test_closed_and_kept_while_its_tasks_are_gone(self):
        recv, send = create_channel(None)
        loop, tasks = self.waiting_loop(recv.arecv())
        send.send('handed over')
        loop.close()
        del tasks
        gc.collect()
        self.assertEqual(recv.drain(), ['handed over'])

    def test_dropped_without_being_closed(self):
        recv, send = create_channel(None)
        full_recv, full_send = create_channel()
        loop, tasks = self.waiting_loop(recv.arecv(), recv.arecv(),
                                        full_send.asend('not sent'))
        send.send('kept')
        self.assertEqual((len(recv), len(full_recv)), (0, 1))
        with self.assertWarns(ResourceWarning):
            del loop, tasks
            gc.collect()
        self.assertEqual(recv.drain(), ['kept'])
        self.assertEqual(len(full_recv), 0)

    def test_a_coroutine_is_never_awaited(self):
        recv, send = create_channel(1)
        send.send('kept')
        with self.assertWarnsRegex(RuntimeWarning, 'never awaited'):
            recv.arecv()
        with self.assertWarnsRegex(RuntimeWarning, 'never awaited'):
            send.asend('not sent')
        self.assertEqual(recv.drain(), ['kept'])

    def test_a_waiting_coroutine_is_closed(self):
        recv, send = create_channel(None)
        full_recv, full_send = create_channel()

        async def main():
            coroutines = recv.arecv(), recv.arecv(), full_send.asend('not sent')
            for coro in coroutines:
                coro.send(None)
            send.send('kept')
            self.assertEqual((len(recv), len(full_recv)), (0, 1))
            coroutines[0].close()
            del coro, coroutines            # which closes the others
            return await drain(recv)

        self.assertEqual(asyncio.run(main()), ['kept'])
        self.assertEqual(len(full_recv), 0)
        send.send('nobody waits for it')
        self.assertEqual(len(recv), 1)

    def test_an_exception_is_thrown_in(self):
        recv, send = create_channel(None)

        async def main():
            coro = recv.arecv()
            coro.send(None)
            send.send('kept')
            with self.assertRaises(ZeroDivisionError):
                coro.throw(ZeroDivisionError)
            return await drain(recv)

        self.assertEqual(asyncio.run(main()), ['kept'])

    @unittest.skipUnless(os.path.exists('/proc/self/fd'), 'needs /proc')
    def test_no_descriptor_is_left(self):
        recv, send = create_channel()

        async def use():
            tasks = [asyncio.create_task(recv.arecv()) for _ in range(10)]
            await asyncio.sleep(0)
            send.send_nowait('x')
            await tasks[0]
            send.send_nowait('handed over')

        def close_only():
            loop, tasks = self.waiting_loop(recv.arecv())
            loop.close()

        for end_a_loop in (lambda: asyncio.run(use()), close_only):
            end_a_loop()
            gc.collect()
            recv.drain()
            before = fds()
            for _ in range(10):
                end_a_loop()
                gc.collect()
                recv.drain()
            self.assertEqual(fds(), before)

    @unittest.skipUnless(os.path.exists('/proc/self/fd'), 'needs /proc')
    def test_a_loop_has_one_descriptor_for_all_its_channels(self):
        channels = [create_channel() for _ in range(100)]
        loop, _ = self.waiting_loop(channels[0][0].arecv())
        self.addCleanup(loop.close)
        before = fds()
        tasks = [loop.create_task(recv.arecv()) for recv, _ in channels]
        loop.run_until_complete(asyncio.sleep(0))
        self.assertEqual(fds(), before)
        for i, (_, send) in enumerate(channels[1:], 1):
            send.send(i)
        self.assertEqual(loop.run_until_complete(asyncio.gather(*tasks[1:])),
                         list(range(1, 100)))


if __name__ == '__main__':
    unittest.main()
