"""What the two ends of a measurement do.

These functions run in threads, in other interpreters and in other processes,
so they take only what can be sent to all of these, and return ints and lists
of ints.  Times are in nanoseconds of one clock for the whole machine.

An end is anything with recv() and send(), such as ends of channels and pipes,
or with get() and put(), such as queues.  A gate is a pair of file descriptors;
see transports.Gate.
"""

import os
import time
from itertools import cycle, islice, repeat

clock = time.perf_counter_ns


def receiving(end):
    """The function that receives a message from the end."""
    return end.recv if hasattr(end, 'recv') else end.get


def sending(end):
    """The function that sends a message through the end."""
    return end.send if hasattr(end, 'send') else end.put


def is_channel(end):
    """Whether the end is one of a channel: receivers see that senders closed theirs."""
    return hasattr(end, 'capacity')


def arrive(gate):
    """Say that this worker is ready; wait until all are."""
    ready, go = gate
    os.write(ready, b'.')
    os.read(go, 1)


# ---- round trips ----

# Where the two ends run: where the kernel wants, on a processor for each, on one for both.
ANYWHERE, APART, TOGETHER = range(3)


def settle(place, which):
    """Keep the calling thread, which is end number `which`, where `place` says.

    The processors are the first two that this thread may use.
    """
    if place != ANYWHERE:
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, [processors[which if place == APART else 0]])


def ping(inbox, outbox, place, warmup, batches, batch):
    """Return the duration of each batch of round trips after the first `warmup` batches."""
    settle(place, 0)
    receive, send = receiving(inbox), sending(outbox)
    durations = []
    for _ in range(warmup + batches):
        start = clock()
        for number in range(batch):
            send(number)
            answer = receive()
        durations.append(clock() - start)
        if answer != batch - 1:
            raise AssertionError(f'sent {batch - 1}, received {answer}')
    return durations[warmup:]


def echo(inbox, outbox, place, count):
    """Answer `count` messages with themselves."""
    settle(place, 1)
    receive, send = receiving(inbox), sending(outbox)
    for _ in repeat(None, count):
        send(receive())


def ping_parked(inbox, outbox, place, count, pause):
    """Return the time from each send to the arrival of its answer.

    One message is in flight, and before each this end sleeps for `pause`
    seconds: its thread is blocked, and so has been that of echo_parked() for
    about as long, in its receive, when the message comes.  That end in turn
    sleeps before it answers, while this one waits in its receive.  Whatever
    spinning an implementation does before it blocks is over by then: both
    ends have to be woken by the kernel.

    What is wanted is the time here minus the time that the message was held
    there, as returned by echo_parked(): two sends, two wake-ups and two
    receives, and none of the sleep.  Each time is the difference of two
    readings of the clock by one thread.
    """
    settle(place, 0)
    receive, send = receiving(inbox), sending(outbox)
    durations = []
    for number in range(count):
        time.sleep(pause)
        start = clock()
        send(number)
        receive()
        durations.append(clock() - start)
    return durations


def echo_parked(inbox, outbox, place, count, hold):
    """Sleep for `hold` seconds before each answer; return how long each message was held.

    With a hold of 0 there is no sleep.  Then only this end was parked, and
    the other one may still be spinning when the answer comes.
    """
    settle(place, 1)
    receive, send = receiving(inbox), sending(outbox)
    held = []
    for _ in repeat(None, count):
        message = receive()
        start = clock()
        if hold:
            time.sleep(hold)
        held.append(clock() - start)
        send(message)
    return held


# ---- one way ----

def send_many(outbox, gate, count):
    """Send `count` small ints; return when this started.  Closes the end of a channel."""
    send = sending(outbox)
    arrive(gate)
    start = clock()
    for number in islice(cycle(range(256)), count):
        send(number)
    if is_channel(outbox):
        outbox.close()
    return start


def receive_many(inbox, gate):
    """Receive until the channel is closed or, from a queue, None comes.

    Return how many messages came and when this ended.
    """
    messages = inbox if is_channel(inbox) else iter(receiving(inbox), None)
    count = 0
    arrive(gate)
    for _ in messages:
        count += 1
    return count, clock()


def receive_drained(inbox, gate):
    """As receive_many(), but take all messages that are there at once."""
    count = 0
    arrive(gate)
    for _ in inbox:             # waits for one
        count += 1 + len(inbox.drain())
    return count, clock()


# ---- waiting ----

def wait_blocked(inbox, gate):
    """Return the CPU time that waiting for a message took, of the thread and of its process."""
    receive = receiving(inbox)
    arrive(gate)
    thread, process = time.thread_time_ns(), time.process_time_ns()
    receive()
    return time.thread_time_ns() - thread, time.process_time_ns() - process
