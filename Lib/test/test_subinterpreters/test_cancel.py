"""Operations of event loops that are given up: cancelled, timed out, interrupted."""

import asyncio
import gc
import random
import unittest

import interpreters
from interpreters import ChannelClosedError, create_channel
from test.support import LONG_TIMEOUT
from test.test_subinterpreters.async_support import (
    AsyncTestCase, collect, drain)
from test.test_subinterpreters.support import receive_all, send_all

def tearDownModule():
    asyncio.set_event_loop_policy(None)


class CancelTests(AsyncTestCase):

    async def test_cancelled_while_waiting(self):
        recv, send = create_channel(None)
        tasks = await self.waiting(*(recv.arecv() for _ in range(3)))
        tasks[0].cancel()
        tasks[2].cancel()
        await self.cancelled(tasks[0], tasks[2])
        for i in range(3):
            send.send(i)
        self.assertEqual(await tasks[1], 0)
        self.assertEqual(recv.drain(), [1, 2])

    async def test_nobody_else_holds_the_task(self):
        recv, send = create_channel(None)
        received = []

        async def receive():
            received.append(await recv.arecv())

        asyncio.create_task(receive())
        await asyncio.sleep(0)
        gc.collect()
        send.send('kept alive by the loop')
        while not received:
            await asyncio.sleep(0.001)
        self.assertEqual(received, ['kept alive by the loop'])

    async def test_given_back_to_a_channel_that_nobody_else_has(self):
        recv, send = create_channel(4)
        id = recv.id
        task, = await self.waiting(recv.arecv())
        send.send(recv)         # handed over; the message holds an end
        send.close()
        recv.close()            # all that is left is in the message
        task.cancel()
        await self.cancelled(task)
        self.tasks.clear()
        del task, recv, send
        gc.collect()
        self.assertNotIn(id, [r.id for r, _ in interpreters.list_all_channels()])

    async def test_cancelled_before_it_began(self):
        recv, send = create_channel(1)
        send.send('kept')
        tasks = [asyncio.create_task(coro) for coro in (
            recv.arecv(), send.asend('not sent'))]
        for task in tasks:
            task.cancel()
        await self.cancelled(*tasks)
        self.assertEqual(recv.drain(), ['kept'])

    async def test_cancelled_after_a_message_was_handed_over(self):
        for capacity in (0, 1, None):
            with self.subTest(capacity):
                recv, send = create_channel(capacity)
                task, = await self.waiting(recv.arecv())
                send.send_nowait('kept')
                self.assertEqual(len(recv), 0)
                task.cancel()
                await self.cancelled(task)
                self.assertEqual(await drain(recv), ['kept'])

    async def test_cancelled_at_every_later_step_of_the_loop(self):
        outcomes = set()
        for steps in range(5):
            recv, send = create_channel()
            task, = await self.waiting(recv.arecv())
            send.send_nowait('kept')
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            outcome, = await asyncio.gather(task, return_exceptions=True)
            outcomes.add(type(outcome))
            if outcome != 'kept':
                self.assertIsInstance(outcome, asyncio.CancelledError)
                self.assertEqual(await drain(recv), ['kept'])
            self.assertEqual(await drain(recv), [])
        self.assertEqual(outcomes, {str, asyncio.CancelledError})

    async def test_a_message_given_back_is_the_first_again(self):
        recv, send = create_channel(1)
        task, = await self.waiting(recv.arecv())
        send.send_nowait(0)
        await send.asend(1)
        senders = await self.waiting(send.asend(2), send.asend(3))
        task.cancel()
        await self.cancelled(task)
        await asyncio.sleep(0)
        self.assertEqual(len(recv), 4)
        self.assertEqual([await recv.arecv() for _ in range(4)], list(range(4)))
        await asyncio.gather(*senders)

    async def test_a_receiver_that_goes_on_gets_them_in_order(self):
        recv, send = create_channel(None)

        async def receive():
            try:
                await recv.arecv()
            except asyncio.CancelledError:
                pass
            return [await recv.arecv(), await recv.arecv()]

        task, = await self.waiting(receive())
        send.send_nowait(1)
        send.send_nowait(2)
        task.cancel()
        self.assertEqual(await task, [1, 2])

    async def test_a_receiver_that_goes_on_gets_it_before_the_end(self):
        recv, send = create_channel(None)

        async def receive():
            try:
                await recv.arecv()
            except asyncio.CancelledError:
                pass
            return await collect(recv)

        task, = await self.waiting(receive())
        send.send_nowait('last')
        send.close()
        task.cancel()
        self.assertEqual(await task, ['last'])

    async def test_several_messages_are_given_back(self):
        recv, send = create_channel(2)
        tasks = await self.waiting(*(recv.arecv() for _ in range(5)))
        for i in range(5):
            send.send_nowait(i)
        send.send_nowait('after')
        for task in tasks:
            task.cancel()
        await self.cancelled(*tasks)
        *given_back, last = await drain(recv)
        self.assertEqual(sorted(given_back), list(range(5)))
        self.assertEqual(last, 'after')

    async def test_giving_back_wakes_another_task(self):
        recv, send = create_channel()
        first, second = await self.waiting(recv.arecv(), recv.arecv())
        send.send_nowait('x')
        first.cancel()
        await self.cancelled(first)
        self.assertEqual(await second, 'x')

    async def test_giving_back_wakes_a_thread(self):
        for receive, expected in (
                (lambda recv: recv.recv(), 'x'),
                (lambda recv: interpreters.select(recv), (0, 'x')),
                (lambda recv: next(recv), 'x')):
            recv, send = create_channel()
            task, = await self.waiting(recv.arecv())
            send.send_nowait('x')
            result = self.start(receive, recv)
            task.cancel()
            await self.cancelled(task)
            await asyncio.sleep(0)
            self.assertEqual(result(), expected)

    async def test_giving_back_wakes_another_interpreter(self):
        recv, send = create_channel()
        ready, announce = create_channel(1)
        task, = await self.waiting(recv.arecv())
        future = self.create().submit(_announce_and_recv, announce, recv)
        await ready.arecv()
        send.send_nowait('x')               # to the task, which came first
        task.cancel()
        await self.cancelled(task)
        self.assertEqual(await asyncio.wrap_future(future), 'x')

    async def test_a_message_nobody_is_left_for_is_released(self):
        recv, send = create_channel()
        data = bytearray(b'x')
        task, = await self.waiting(recv.arecv())
        send.send_nowait(memoryview(data))
        recv.close()
        task.cancel()
        await self.cancelled(task)
        await asyncio.sleep(0)
        data.append(1)                      # no longer exported

    async def test_cancelled_asend_is_not_sent(self):
        recv, send = create_channel(1)
        send.send(0)
        tasks = await self.waiting(*(send.asend(i) for i in range(1, 4)))
        tasks[1].cancel()
        await self.cancelled(tasks[1])
        self.assertEqual(len(recv), 3)
        self.assertEqual(recv.drain(), [0, 1, 3])
        await asyncio.gather(tasks[0], tasks[2])

    async def test_asend_cancelled_after_it_was_received(self):
        for capacity in (0, 1):
            with self.subTest(capacity):
                recv, send = create_channel(capacity)
                for i in range(capacity):
                    send.send('before')
                task, = await self.waiting(send.asend('once'))
                self.assertEqual(recv.drain(), ['before'] * capacity + ['once'])
                task.cancel()
                await self.cancelled(task)
                self.assertEqual(await drain(recv), [])

    async def test_memory_of_a_cancelled_asend_is_released(self):
        recv, send = create_channel()
        data = bytearray(b'x')
        task, = await self.waiting(send.asend(memoryview(data)))
        with self.assertRaises(BufferError):
            data.append(1)
        task.cancel()
        await self.cancelled(task)
        data.append(1)

    async def test_timeouts(self):
        recv, send = create_channel()
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(recv.arecv(), 0.01)
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(0.01):
                await send.asend('not sent')
        self.assertEqual(len(recv), 0)
        task, = await self.waiting(asyncio.wait_for(recv.arecv(), LONG_TIMEOUT))
        await send.asend('x')
        self.assertEqual(await task, 'x')


def _announce_and_recv(announce, recv):
    announce.send(True)
    return recv.recv()


def _send_slowly(send, sender, count):
    # So that receivers have to wait, and as often give up.
    rng = random.Random(sender)
    for i in range(count):
        for _ in range(rng.randrange(2000)):
            pass
        send.send((sender, i))


async def _impatient(recv, rng, received):
    """Receive until the channel is closed, giving up again and again."""
    while True:
        try:
            async with asyncio.timeout(rng.random() * 4e-4):
                received.append(await recv.arecv())
        except TimeoutError:
            # Let others run, sometimes.
            if rng.random() < 0.5:
                await asyncio.sleep(0)
        except ChannelClosedError:
            return


def _run_impatient(recv, seed, tasks):
    received = []

    async def main():
        async with asyncio.TaskGroup() as group:
            for i in range(tasks):
                group.create_task(_impatient(recv, random.Random(seed + i), received))

    asyncio.run(main())
    return received


class StormTests(AsyncTestCase):
    """Operations given up at every possible moment."""

    async def test_receivers_that_give_up(self):
        senders, count = 2, 400
        interps = [self.create() for _ in range(senders)]
        for capacity in (0, 4, None):
            with self.subTest(capacity):
                recv, send = create_channel(capacity)
                futures = [interp.submit(_send_slowly, send, i, count)
                           for i, interp in enumerate(interps)]
                send.close()
                received = []
                await asyncio.gather(*(
                    _impatient(recv, random.Random(i), received)
                    for i in range(10)))
                for future in futures:
                    future.result()
                received += await drain(recv)
                self.assertEqual(
                    sorted(received),
                    [(s, i) for s in range(senders) for i in range(count)])

    async def test_a_single_receiver_that_gives_up_keeps_the_order(self):
        count = 1000
        interp = self.create()
        for capacity in (0, None):
            with self.subTest(capacity):
                recv, send = create_channel(capacity)
                future = interp.submit(_send_slowly, send, 0, count)
                send.close()
                received = []
                await _impatient(recv, random.Random(0), received)
                future.result()
                self.assertEqual(received, [(0, i) for i in range(count)])
                self.assertEqual(await drain(recv), [])

    async def test_senders_that_give_up(self):
        count = 1000
        recv, send = create_channel()
        future = self.create().submit(receive_all, recv)
        recv.close()
        rng = random.Random(0)
        sent, unsure = [], []

        async def sender(messages):
            for message in messages:
                try:
                    async with asyncio.timeout(rng.random() * 2e-4):
                        await send.asend(message)
                except TimeoutError:
                    unsure.append(message)
                else:
                    sent.append(message)

        parties = 4
        await asyncio.gather(*(sender(range(i, count, parties))
                               for i in range(parties)))
        send.close()
        received = await asyncio.wrap_future(future)
        self.assertEqual(len(received), len(set(received)))
        self.assertLessEqual(set(sent), set(received))
        self.assertLessEqual(set(received), set(sent) | set(unsure))
        self.assertEqual(sorted(sent + unsure), list(range(count)))

    def test_loops_in_several_threads(self):
        count = 1000
        recv, send = create_channel()
        loops = [self.start(_run_impatient, recv, seed, 5) for seed in (0, 100)]
        send_all(send, range(count))
        send.close()
        received = sum((loop() for loop in loops), [])
        self.assertEqual(sorted(received + recv.drain()), list(range(count)))


if __name__ == '__main__':
    unittest.main()
