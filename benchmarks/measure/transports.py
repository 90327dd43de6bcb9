"""What messages go through, and the threads, interpreters and processes at its ends.

A kind of workers has start(index, function, *args), which runs a function of
loops in worker number `index` and returns a handle at once, results(handles)
and check(handles).  A kind of link is a function of the capacity (int, or None
for no limit) that returns the two ends of a new one, (inbox, outbox).
"""

import concurrent.futures
import importlib
import multiprocessing
import multiprocessing.connection
import os
import queue
import select

from . import loops


class Unavailable(Exception):
    """This python, or this machine, does not have what a flavour needs."""


def _module(name, attribute):
    """Import a module that has the attribute."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        raise Unavailable(f'this python has no {name}') from None
    if not hasattr(module, attribute):
        raise Unavailable(f'this python has no {name}.{attribute}')
    return module


# ---- workers ----

class _Workers:
    """Workers whose handles are futures."""

    # Whether what is sent to a worker is another end, to be closed separately.
    copies_ends = False

    def results(self, futures):
        """Wait; return what the functions returned.  The first exception is raised at once."""
        done, _ = concurrent.futures.wait(
            futures, return_when=concurrent.futures.FIRST_EXCEPTION)
        self.check(done)
        return [future.result() for future in futures]

    def check(self, futures):
        """Raise the exception of one that has failed."""
        for future in futures:
            if future.done():
                future.result()

    def close(self):
        """End the workers, which must be idle."""


class Threads(_Workers):
    """Threads of the main interpreter."""

    def __init__(self):
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=256)

    def start(self, index, function, *args):
        return self._pool.submit(function, *args)

    def close(self):
        self._pool.shutdown()


class Interpreters(_Workers):
    """Interpreters of ours, each visited by one thread of the main interpreter."""

    copies_ends = True

    def __init__(self):
        self._module = _module('interpreters', 'create_channel')
        self._interpreters = []

    def start(self, index, function, *args):
        while index >= len(self._interpreters):
            self._interpreters.append(self._module.create())
        return self._interpreters[index].submit(function, *args)

    def close(self):
        for interp in self._interpreters:
            interp.close()


class StockInterpreters(_Workers):
    """The same with what the stock library has for its own tests."""

    def __init__(self):
        self._module = _module('test.support.interpreters', 'create')
        self._queues = _module('test.support.interpreters.queues', 'create')
        self._interpreters = []
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=256)

    def start(self, index, function, *args):
        while index >= len(self._interpreters):
            interp = self._module.create()
            interp.exec(f'import {self._queues.__name__}')      # to receive queues there
            self._interpreters.append(interp)
        return self._pool.submit(self._run, self._interpreters[index], function, args)

    def _run(self, interp, function, args):
        result = self._queues.create()
        interp.prepare_main(result=result, **{f'arg{i}': arg for i, arg in enumerate(args)})
        names = ', '.join(f'arg{i}' for i in range(len(args)))
        interp.exec(f'from {function.__module__} import {function.__name__} as function\n'
                    f'result.put(function({names}))')
        return result.get()

    def close(self):
        self._pool.shutdown()
        for interp in self._interpreters:
            interp.close()


class Processes:
    """Processes forked from this one; handles are connections."""

    copies_ends = False

    def __init__(self):
        self._context = multiprocessing.get_context('fork')
        self._results = {}

    def start(self, index, function, *args):
        receiver, sender = self._context.Pipe(duplex=False)
        self._context.Process(target=self._run, args=(sender, function, args),
                              daemon=True).start()
        sender.close()
        return receiver

    @staticmethod
    def _run(sender, function, args):
        sender.send(function(*args))

    def results(self, handles):
        waiting = set(handles) - set(self._results)
        while waiting:
            done = multiprocessing.connection.wait(waiting)
            self.check(done)
            waiting.difference_update(done)
        return [self._results.pop(handle) for handle in handles]

    def check(self, handles):
        for handle in handles:
            if handle not in self._results and handle.poll():
                self._results[handle] = handle.recv()   # EOFError: the process is dead

    def close(self):
        for process in multiprocessing.active_children():
            process.join()


class Gate:
    """Lets workers of any kind start at the same time.

    ends is what loops.arrive() needs: two file descriptors, to say that one is
    ready and to wait.
    """

    def __init__(self):
        self._ready, ready = os.pipe()
        go, self._go = os.pipe()
        self.ends = ready, go

    def open(self, workers, handles):
        """Wait until all have arrived, then let them all go."""
        arrived = 0
        while arrived < len(handles):
            if select.select([self._ready], [], [], 0.5)[0]:
                arrived += len(os.read(self._ready, len(handles)))
            else:
                workers.check(handles)
        os.write(self._go, bytes(len(handles)))


# ---- links ----

def channel(capacity):
    """A channel of ours."""
    return _module('interpreters', 'create_channel').create_channel(capacity)


def shared_queue(capacity):
    """A queue of ours."""
    return _both(_module('interpreters', 'create_queue').create_queue(capacity or 0))


def thread_queue(capacity):
    """What threads use: a SimpleQueue, which has no limit, or else a Queue."""
    return _both(queue.SimpleQueue() if capacity is None else queue.Queue(capacity))


def process_queue(capacity):
    """A SimpleQueue of multiprocessing, whose limit is that of a pipe of the kernel."""
    return _both(multiprocessing.get_context('fork').SimpleQueue())


def process_pipe(capacity):
    """A pipe of multiprocessing."""
    return multiprocessing.Pipe(duplex=False)


def stock_queue(capacity):
    """A queue between interpreters of stock, which moves ints without pickling them."""
    queues = _module('test.support.interpreters.queues', 'create')
    return _both(queues.create(capacity or 0, syncobj=True))


def deque(capacity):
    """No link at all, only a place for messages."""
    import collections

    class End(collections.deque):
        put = collections.deque.append
        get = collections.deque.popleft

    return _both(End())


def _both(end):
    return end, end


FLAVOURS = {
    'channel': (Interpreters, channel),
    'queue': (Interpreters, shared_queue),
    'channel_threads': (Threads, channel),
    'queue_threads': (Threads, shared_queue),
    'threads': (Threads, thread_queue),
    'processes': (Processes, process_queue),
    'pipe': (Processes, process_pipe),
    'stock': (StockInterpreters, stock_queue),
    'deque': (Threads, deque),
}


def finish(workers, links, receivers):
    """After all senders are done: make the receivers of each link end."""
    for inbox, outbox in links:
        if not loops.is_channel(inbox):
            for _ in range(receivers):
                loops.sending(outbox)(None)


def hand_over(workers, links):
    """After the workers have got their ends: close our own, where these are others."""
    if workers.copies_ends:
        for ends in links:
            for end in ends:
                if loops.is_channel(end):
                    end.close()
