"""Measure one thing with one flavour, in this process, and print the samples.

    python -P -m measure.child FLAVOUR CAPACITY MODE NUMBER...

See the package's docstring.  Ends with status UNAVAILABLE and a line on
stderr if this python does not have what the flavour needs.
"""

import itertools
import os
import sys
import time
import traceback
from functools import partial

from . import loops, memory, transports

UNAVAILABLE = 69    # EX_UNAVAILABLE of sysexits.h


def hot(workers, link, warmup, batches, batch, place):
    durations, _ = _round_trips(workers, link, place, (loops.ping, warmup, batches, batch),
                                (loops.echo, (warmup + batches) * batch))
    return [duration / batch / 1e3 for duration in durations]


def parked(workers, link, warmup, count, pause_us, hold_us, place):
    durations, held = _round_trips(workers, link, place,
                                   (loops.ping_parked, warmup + count, pause_us / 1e6),
                                   (loops.echo_parked, warmup + count, hold_us / 1e6))
    return [(there - here) / 1e3 for there, here in zip(durations, held)][warmup:]


def _round_trips(workers, link, place, ping, echo):
    """Run two functions, given as (function, *args), at the ends of two links."""
    if place == loops.APART and len(os.sched_getaffinity(0)) < 2:
        raise transports.Unavailable('needs two processors')
    there, back = link(), link()
    handles = [workers.start(0, ping[0], back[0], there[1], place, *ping[1:]),
               workers.start(1, echo[0], there[0], back[1], place, *echo[1:])]
    return workers.results(handles)


def one_way(workers, link, senders, receivers, messages, receive=loops.receive_many):
    transfer = partial(_transfer, workers, link, senders, receivers, 1, receive=receive)
    transfer(messages // 10)
    return [transfer(messages) / messages / 1e3]


def drained(workers, link, senders, receivers, messages):
    inbox, _ = link()
    if not hasattr(inbox, 'drain'):
        raise transports.Unavailable(f'{type(inbox).__name__} has no drain()')
    return one_way(workers, link, senders, receivers, messages, loops.receive_drained)


def pairs(workers, link, pairs, messages):
    transfer = partial(_transfer, workers, link, 1, 1, pairs)
    transfer(messages // 10)
    return [transfer(messages) / messages / 1e3]


def _transfer(workers, link, senders, receivers, n_links, messages, receive=loops.receive_many):
    """Return the nanoseconds from the first send to the end of the last receiver.

    Each of the links has its own senders and receivers; the messages are
    divided between all senders.
    """
    links = [link() for _ in range(n_links)]
    share = messages // (senders * n_links)
    gate, index = transports.Gate(), itertools.count()
    receiving = [workers.start(next(index), receive, inbox, gate.ends)
                 for inbox, _ in links for _ in range(receivers)]
    sending = [workers.start(next(index), loops.send_many, outbox, gate.ends, share)
               for _, outbox in links for _ in range(senders)]
    transports.hand_over(workers, links)
    gate.open(workers, receiving + sending)
    started = workers.results(sending)
    transports.finish(workers, links, receivers)
    counts, ended = zip(*workers.results(receiving))
    if sum(counts) != share * senders * n_links:
        raise AssertionError(f'{share * senders * n_links} sent, {sum(counts)} received')
    return max(ended) - min(started)


def blocked(workers, link, ms):
    return [_wait_blocked(workers, link, ms)[0]]


def blocked_process(workers, link, ms):
    return [_wait_blocked(workers, link, ms)[1]]


def _wait_blocked(workers, link, ms):
    """Let a worker wait for a message; return ms of CPU time of its thread and its process."""
    inbox, outbox = link()
    gate = transports.Gate()
    handles = [workers.start(0, loops.wait_blocked, inbox, gate.ends)]
    gate.open(workers, handles)
    time.sleep(ms / 1e3)
    loops.sending(outbox)(1)
    return [nanoseconds / 1e6 for nanoseconds in workers.results(handles)[0]]


def channels(workers, link, held, count):
    kept = [link() for _ in range(held)]
    inboxes, outboxes = [None] * count, [None] * count
    before = memory.held()
    for i in range(count):
        inboxes[i], outboxes[i] = link()
    size = (memory.held() - before) / count
    del kept                    # not earlier
    return [size]


def messages(workers, link, held, count):
    kept, filled = link(), link()
    _fill(kept, held)
    before = memory.held()
    _fill(filled, count)
    return [(memory.held() - before) / count]


def _fill(ends, count):
    """Send `count` different ints that nobody receives."""
    send = loops.sending(ends[1])
    for number in range(count):
        send(number)


MODES = {function.__name__: function for function in (
    hot, parked, one_way, pairs, drained, blocked, blocked_process, channels, messages)}


def main(flavour, capacity, mode, *numbers):
    make_workers, make_link = transports.FLAVOURS[flavour]
    link = partial(make_link, None if capacity == 'none' else int(capacity))
    try:
        workers = make_workers()
        samples = MODES[mode](workers, link, *map(int, numbers))
    except transports.Unavailable as reason:
        print(reason, file=sys.stderr)
        return UNAVAILABLE
    except BaseException:
        # Other workers may wait forever: leave without them.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    workers.close()
    print(*samples, sep='\n')


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
