"""What the tests that run in event loops share."""

import asyncio
import unittest

from test.support import LONG_TIMEOUT
from test.test_subinterpreters.support import TestCase


class AsyncTestCase(TestCase, unittest.IsolatedAsyncioTestCase):
    """Tests that are coroutines, in a loop that stays the same."""

    async def asyncSetUp(self):
        # Debug mode would report whatever blocks the loop.
        asyncio.get_running_loop().set_debug(False)
        self.tasks = []
        self.addAsyncCleanup(self._finish_tasks)

    async def _finish_tasks(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def waiting(self, *coroutines):
        """Return a task for each, run up to where it has to wait."""
        tasks = [asyncio.create_task(coro) for coro in coroutines]
        self.tasks += tasks
        await asyncio.sleep(0)
        for task in tasks:
            self.assertFalse(task.done())
        return tasks

    async def cancelled(self, *tasks):
        """Wait for tasks whose cancellation was asked for."""
        for task in tasks:
            with self.assertRaises(asyncio.CancelledError):
                await task


async def until(condition):
    """Like wait_until(), but lets the loop run."""
    async with asyncio.timeout(LONG_TIMEOUT):
        while not condition():
            await asyncio.sleep(0.001)


async def drain(recv):
    """What is left in the channel, when the loop has seen to everything."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return recv.drain()


async def collect(recv):
    return [message async for message in recv]
