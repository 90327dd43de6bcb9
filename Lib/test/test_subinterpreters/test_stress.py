"""Many parties at once; every message is accounted for."""

import collections
import itertools
import random
import threading
import time
import unittest

import interpreters
from interpreters import (
    ChannelClosedError, ChannelFullError, create_channel, list_all_channels,
    select)
from test import support
from test.test_subinterpreters.support import (
    TestCase, by_code, unsendable, wait_until)


def messages(default):
    """How many messages to send where it is `default` in a release build."""
    if support.use_resources is not None and support.is_resource_enabled('cpu'):
        default *= 350      # ten million in each of the largest tests
    if support.Py_DEBUG:
        default //= 10
    if support.check_sanitizer(address=True, memory=True, ub=True, thread=True):
        default //= 20
    return max(default, 100)


@by_code
def _send_numbers(send, sender, count):
    """Send sender * 2**40 + 0, 1, 2..."""
    base = sender << 40
    for i in range(base, base + count):
        send.send(i)


@by_code
def _receive_numbers(recv, senders):
    """Receive until the channel is closed.

    Return how many came from each sender, and their sum, the sum of their
    squares, and whether each sender's came in order.
    """
    counts = [0] * senders
    last = [-1] * senders
    total = squares = 0
    in_order = True
    mask = (1 << 40) - 1
    for number in recv:
        sender = number >> 40
        i = number & mask
        counts[sender] += 1
        total += i
        squares += i * i
        if i <= last[sender]:
            in_order = False
        last[sender] = i
    return counts, total, squares, in_order


class ExactlyOnceTests(TestCase):

    SENDERS = RECEIVERS = 4

    def check(self, capacity):
        count = messages(30_000) // self.SENDERS
        recv, send = create_channel(capacity)
        receiving = [self.create().submit(_receive_numbers, recv, self.SENDERS)
                     for _ in range(self.RECEIVERS)]
        sending = [self.create().submit(_send_numbers, send, i, count)
                   for i in range(self.SENDERS)]
        recv.close()
        send.close()
        for future in sending:
            future.result()
        results = [future.result() for future in receiving]
        for sender in range(self.SENDERS):
            self.assertEqual(sum(counts[sender] for counts, *_ in results), count)
        self.assertEqual(sum(total for _, total, _, _ in results),
                         self.SENDERS * sum(range(count)))
        self.assertEqual(sum(squares for _, _, squares, _ in results),
                         self.SENDERS * (count - 1) * count * (2 * count - 1) // 6)
        self.assertEqual([in_order for *_, in_order in results],
                         [True] * self.RECEIVERS)

    def test_rendezvous(self):
        self.check(0)

    def test_one_place(self):
        self.check(1)

    def test_some_places(self):
        self.check(16)

    def test_without_limit(self):
        self.check(None)

    def test_each_of_a_thousand_receivers_that_sleep_gets_one(self):
        # Most are woken by those that were woken before them.
        n = messages(1000) if support.check_sanitizer(thread=True) else 1000
        for capacity in (0, 5, None):
            recv, send = create_channel(capacity)
            got = collections.Counter()
            waiting = threading.Semaphore(0)

            def receive():
                waiting.release()
                got[recv.recv()] += 1

            threads = [threading.Thread(target=receive) for _ in range(n)]
            for thread in threads:
                thread.start()
            for _ in threads:
                waiting.acquire()
            for i in range(n):
                send.send(i)
            for thread in threads:
                thread.join()
            self.assertEqual(got, collections.Counter(range(n)))
            self.assertEqual(len(recv), 0)

    def test_one_receiver_sees_all_in_order(self):
        for capacity in (0, 3, None):
            count = messages(5000)
            recv, send = create_channel(capacity)
            receiving = self.create().submit(_receive_numbers, recv, 3)
            sending = [self.create().submit(_send_numbers, send, i, count)
                       for i in range(3)]
            recv.close()
            send.close()
            for future in sending:
                future.result()
            counts, total, _, in_order = receiving.result()
            self.assertEqual(counts, [count] * 3)
            self.assertEqual(total, 3 * sum(range(count)))
            self.assertTrue(in_order)

    def test_large_messages(self):
        # Checksums, and all of it by value.
        @by_code
        def produce(send, count):
            import random, zlib
            rng = random.Random(count)
            for i in range(count):
                data = rng.randbytes(rng.randrange(20_000))
                send.send((i, [data, {'crc': zlib.crc32(data)}]))

        @by_code
        def consume(recv):
            import zlib
            seen = []
            for i, (data, described) in recv:
                if zlib.crc32(data) != described['crc']:
                    raise ValueError(i)
                seen.append(i)
            return seen

        count = messages(500)
        recv, send = create_channel(4)
        consuming = [self.create().submit(consume, recv) for _ in range(2)]
        producing = [self.create().submit(produce, send, count)
                     for _ in range(2)]
        recv.close()
        send.close()
        for future in producing:
            future.result()
        seen = sum([future.result() for future in consuming], [])
        self.assertEqual(sorted(seen), sorted([*range(count)] * 2))

    def test_drain_against_senders(self):
        for capacity in (0, 2, None):
            with self.subTest(capacity=capacity):
                count = messages(5000)
                recv, send = create_channel(capacity)
                sending = [self.create().submit(_send_numbers, send, i, count)
                           for i in range(2)]
                send.close()
                got = []
                while not all(future.done() for future in sending):
                    got += recv.drain(random.choice((1, 7, None)))
                got += recv.drain()
                self.assertEqual([n for n in got if n >> 40 == 0],
                                 list(range(count)))
                self.assertEqual([n for n in got if n >> 40 == 1],
                                 list(range(1 << 40, (1 << 40) + count)))
                self.assertEqual(len(got), 2 * count)
                with self.assertRaises(ChannelClosedError):
                    recv.recv()

    def test_many_threads(self):
        threads = 100
        recv, send = create_channel()
        got = []

        def receive():
            for value in recv:
                got.append(value)

        receiving = [self.start(receive) for _ in range(threads)]
        sending = [self.start(lambda i=i: [send.send((i, n)) for n in range(10)])
                   for i in range(threads)]
        for result in sending:
            result()
        send.close()
        for result in receiving:
            result()
        self.assertEqual(sorted(got), [(i, n) for i in range(threads)
                                       for n in range(10)])

    def test_a_ring_of_interpreters(self):
        # One message goes round; each passes it on.
        @by_code
        def pass_on(recv, send):
            for n in recv:
                send.send(n + 1)

        size, rounds = 8, 300
        channels = [create_channel(i % 2) for i in range(size + 1)]
        futures = [self.create().submit(pass_on, channels[i][0],
                                        channels[i + 1][1])
                   for i in range(size)]
        first, last = channels[0][1], channels[-1][0]
        for recv, send in channels:
            if send is not first:
                send.close()
            if recv is not last:
                recv.close()
        n = 0
        for _ in range(rounds):
            first.send(n)
            n = last.recv()
        self.assertEqual(n, size * rounds)
        first.close()
        self.assertEqual(list(last), [])
        for future in futures:
            future.result()


class RendezvousTests(TestCase):

    def test_send_returns_only_when_the_message_was_taken(self):
        # The receiver takes one when it is told so, and not before.
        @by_code
        def produce(send, done):
            for i in range(200):
                send.send(i)
                done.send(i)

        recv, send = create_channel()
        done_recv, done = create_channel(None)
        future = self.create().submit(produce, send, done)
        for i in range(200):
            wait_until(lambda: len(recv) == 1)
            self.assertEqual(done_recv.drain(), [])
            self.assertEqual(recv.recv(), i)
            self.assertEqual(done_recv.recv(), i)
        future.result()

    def test_length_counts_blocked_senders(self):
        recv, send = create_channel()
        results = []
        for i in range(20):
            self.assertEqual(len(recv), i)
            results.append(self.start(send.send, i))
            wait_until(lambda: len(recv) == i + 1)
        for i in range(20):
            self.assertEqual(recv.recv(), i)
            self.assertEqual(len(recv), 19 - i)
        for result in results:
            result()

    def test_ping_pong(self):
        @by_code
        def echo(recv, send):
            for value in recv:
                send.send(value)

        there, send = create_channel()
        recv, back = create_channel()
        future = self.create().submit(echo, there, back)
        there.close()
        back.close()
        for i in range(messages(20_000)):
            send.send(i)
            self.assertEqual(recv.recv(), i)
        send.close()
        self.assertEqual(list(recv), [])
        future.result()


class CloseRaceTests(TestCase):

    def test_senders_are_stopped_by_the_last_receiver(self):
        # What was sent is what was received, but for what the buffer held.
        @by_code
        def send_until_closed(send):
            from interpreters import ChannelClosedError
            n = 0
            try:
                while True:
                    send.send(n)
                    n += 1
            except ChannelClosedError:
                return n

        interps = [self.create() for _ in range(3)]
        for capacity, rounds in ((0, 50), (3, 50)):
            for _ in range(rounds):
                recv, send = create_channel(capacity)
                futures = [interp.submit(send_until_closed, send)
                           for interp in interps]
                received = random.randrange(50)
                for _ in range(received):
                    recv.recv()
                recv.close()
                sent = sum(future.result() for future in futures)
                self.assertGreaterEqual(sent, received)
                self.assertLessEqual(sent, received + capacity)
                self.assertEqual(len(send), 0)

    def test_receivers_get_what_was_sent_before_the_close(self):
        @by_code
        def receive(recv):
            return list(recv)

        interps = [self.create() for _ in range(3)]
        for i in range(60):
            capacity = (0, 2, None)[i % 3]
            recv, send = create_channel(capacity)
            futures = [interp.submit(receive, recv) for interp in interps]
            recv.close()
            sent = random.randrange(50)
            for n in range(sent):
                send.send(n)
            send.close()
            got = sum([future.result() for future in futures], [])
            self.assertEqual(sorted(got), list(range(sent)))

    def test_everything_at_once(self):
        # Senders, receivers and selects, each with an end of its own which
        # somebody else closes.
        for seed in range(60):
            rng = random.Random(seed)
            recv, send = create_channel(rng.choice((0, 1, 4)))
            carrier_recv, carrier = create_channel(1)

            def clone(end):
                carrier.send(end)
                return carrier_recv.recv()

            sent, got = [], []

            def sender(end, name):
                try:
                    for i in itertools.count():
                        if i % 3:
                            end.send((name, i))
                        else:
                            select((end, (name, i)))
                        sent.append((name, i))
                except ChannelClosedError:
                    pass

            def receiver(end):
                try:
                    for i in itertools.count():
                        got.append(end.recv() if i % 3 else select(end)[1])
                except ChannelClosedError:
                    pass

            ends = [clone(rng.choice((recv, send))) for _ in range(5)]
            results = [self.start(receiver, end)
                       if isinstance(end, interpreters.RecvChannel)
                       else self.start(sender, end, i)
                       for i, end in enumerate(ends)]
            time.sleep(rng.random() / 1000)
            for end in ends:
                end.close()
            for result in results:
                result()
            got += recv.drain()
            self.assertEqual(sorted(got), sorted(sent))

    def test_clone_and_close(self):
        # Ends are sent to and fro, and closed; the channel stays open as long
        # as there is one, and not longer.
        @by_code
        def churn(carriers, recv, seed):
            import random
            rng = random.Random(seed)
            n = 0
            for end in carriers:
                with end:
                    if rng.random() < 0.5:
                        recv.send(end)
                n += 1
            return n

        carrier_recv, carrier = create_channel(4)
        back_recv, back = create_channel(None)
        recv, send = create_channel(None)
        futures = [self.create().submit(churn, carrier_recv, back, i)
                   for i in range(2)]
        carrier_recv.close()
        back.close()
        count = messages(4000)
        for i in range(count):
            carrier.send(send if i % 2 else recv)
        carrier.close()
        self.assertEqual(sum(future.result() for future in futures), count)
        returned = list(back_recv)
        self.assertEqual({end.id for end in returned}, {recv.id})
        send.send('still open')
        for end in returned + [send]:
            if isinstance(end, interpreters.SendChannel):
                end.close()
        self.assertEqual(list(recv), ['still open'])


class InFlightTests(TestCase):
    """Messages outlive those who sent them."""

    def test_messages_of_interpreters_that_are_gone(self):
        @by_code
        def leave(send, count):
            import interpreters
            for i in range(count):
                inner_recv, inner_send = interpreters.create_channel(None)
                inner_send.send(('inner', i))
                view = memoryview(bytearray(b'%d' % i))
                send.send((i, inner_recv, view))

        recv, send = create_channel(None)
        interps = [self.create() for _ in range(3)]
        for interp in interps:
            interp.submit(leave, send, 50).result()
            interp.close()              # stays while its memory is viewed
        send.close()
        got = []
        for i, inner, view in recv:
            got.append(i)
            self.assertEqual(list(inner), [('inner', i)])
            self.assertEqual(bytes(view), b'%d' % i)
            view.release()
        self.assertEqual(sorted(got), sorted([*range(50)] * 3))
        listed = interpreters.list_all()
        for interp in interps:
            self.assertNotIn(interp, listed)

    def test_discarded_messages_release_what_they_hold(self):
        data = bytearray(10)
        watch, watched = create_channel(1)
        for capacity in (1, None):
            recv, send = create_channel(capacity)
            with memoryview(data) as view:
                send.send([view, watched])
            with self.assertRaises(BufferError):
                data.append(1)
            with self.subTest('by the last receiver'):
                recv.close()
                data.append(1)
        watched.close()
        self.assertEqual(list(watch), [])

    def test_interpreters_die_while_messages_travel(self):
        # Threads in them send, receive and forget, and are stopped in the
        # middle by closing the interpreter.
        recv, send = create_channel(8)
        stop = threading.Event()

        def consume():
            n = 0
            while not stop.is_set():
                try:
                    message = recv.recv(timeout=0.01)
                except TimeoutError:
                    continue
                view, end = message
                if bytes(view) != b'memory':
                    raise ValueError(bytes(view))
                view.release()
                end.close()
                n += 1
            return n

        consuming = self.start(consume)
        self.addCleanup(stop.set)
        for _ in range(15):
            with interpreters.create() as interp:
                interp.prepare_main(recv=recv, send=send)
                interp.exec('''if True:
                    import interpreters, threading
                    def produce():
                        inner, keep = interpreters.create_channel()
                        data = bytearray(b'memory')
                        try:
                            while True:
                                send.send((memoryview(data), inner))
                        except interpreters.InterpreterError:
                            pass
                    def forget():
                        try:
                            while True:
                                recv.recv()
                        except interpreters.InterpreterError:
                            pass
                    for run in (produce, produce, forget):
                        threading.Thread(target=run).start()
                    ''')
                time.sleep(random.random() / 200)
        stop.set()
        consuming()
        recv.drain()
        recv.close()
        self.assertEqual(len(send), 0)

    def test_closing_while_others_release_its_memory(self):
        # Who releases the last view visits the owner for a moment; that must
        # not keep it from being closed.
        @by_code
        def leave(send):
            for _ in range(2000):
                send.send(memoryview(bytearray(1)))

        @by_code
        def release(recv):
            for view in recv:
                view.release()

        other = self.create()
        for _ in range(10):
            recv, send = create_channel(None)
            interp = self.create()
            interp.call(leave, send)
            releasing = other.submit(release, recv)
            while len(recv) > 1900:
                pass
            try:
                interp.close()
            finally:
                send.close()
                releasing.result()
            self.assertNotIn(interp, interpreters.list_all())

    def test_blocked_messages_of_a_closed_interpreter_are_not_sent(self):
        recv, send = create_channel()
        interp = self.create()
        interp.prepare_main(send=send)
        interp.exec('''if True:
            import interpreters, threading
            def run():
                data = bytearray(3)
                try:
                    send.send(memoryview(data))
                except interpreters.InterpreterError:
                    pass
                data.append(1)
            threading.Thread(target=run).start()
            ''')
        wait_until(lambda: len(recv) == 1)
        interp.close()
        self.assertEqual(recv.drain(), [])
        self.assertNotIn(interp, interpreters.list_all())

    def test_create_and_close_with_traffic(self):
        @by_code
        def relay(recv, send):
            for value in recv:
                send.send(value + 1)

        for i in range(20):
            there, send = create_channel(i % 3)
            recv, back = create_channel(i % 2)
            with interpreters.create() as interp:
                future = interp.submit(relay, there, back)
                there.close()
                back.close()
                sending = self.start(
                    lambda: ([send.send(n) for n in range(50)], send.close()))
                self.assertEqual(list(recv), list(range(1, 51)))
                sending()
                future.result()


def _ids():
    return {recv.id for recv, _ in list_all_channels()}


class LeakTests(TestCase):

    def test_dropped_channels_are_gone(self):
        before = _ids()
        for capacity in (0, 1, None):
            for _ in range(100):
                recv, send = create_channel(capacity)
                if capacity != 0:
                    send.send([1])
        self.assertEqual(_ids() - before, {recv.id})
        del recv, send
        self.assertEqual(_ids(), before)

    def test_a_channel_that_contains_its_own_ends(self):
        before = _ids()
        for which in ('recv', 'send', 'both', 'several'):
            with self.subTest(which):
                recv, send = create_channel(None)
                id = recv.id
                if which in ('recv', 'both'):
                    send.send([recv])
                if which in ('send', 'both'):
                    send.send({'send': send})
                if which == 'several':
                    for _ in range(10):
                        send.send((recv, send, recv))
                self.assertIn(id, _ids())
                del recv
                if which != 'send':     # else nobody could receive it
                    self.assertIn(id, _ids())
                del send
                self.assertNotIn(id, _ids())
        self.assertEqual(_ids(), before)

    def test_own_ends_are_received_as_others(self):
        before = _ids()
        recv, send = create_channel(None)
        send.send((recv, send))
        send.send('after')
        send.close()
        other_recv, other_send = recv.recv()
        recv.close()
        other_send.send('more')
        self.assertEqual(other_recv.drain(), ['after', 'more'])
        other_send.close()
        self.assertEqual(list(other_recv), [])
        del recv, send, other_recv, other_send
        self.assertEqual(_ids(), before)

    def test_own_ends_with_memory(self):
        data = bytearray(1)
        recv, send = create_channel(None)
        with memoryview(data) as view:
            send.send((recv, send, view))
        recv.close()
        with self.assertRaises(BufferError):
            data.append(1)
        send.close()
        data.append(1)

    def test_channels_of_closed_interpreters(self):
        before = _ids()
        recv, send = create_channel(None)
        with self.create() as interp:
            interp.prepare_main(send=send, recv=recv)
            interp.exec('''if True:
                import interpreters
                kept = [interpreters.create_channel(None) for _ in range(10)]
                for r, s in kept:
                    s.send((r, kept[0][0]))
                mine, _ = interpreters.create_channel(1)
                ''')
            self.assertEqual(len(_ids() - before), 12)
        self.assertEqual(_ids() - before, {recv.id})

    def test_channels_of_failed_sends(self):
        before = _ids()
        recv, send = create_channel()
        for _ in range(50):
            inner, inner_send = create_channel()
            with self.assertRaises(ChannelFullError):
                send.send_nowait((inner, inner_send))
            with self.assertRaises(interpreters.NotShareableError):
                send.send((inner, inner_send, unsendable()))
            with self.assertRaises(TimeoutError):
                send.send((inner, inner_send), timeout=0)
        del inner, inner_send
        self.assertEqual(_ids() - before, {recv.id})

    def test_listing_while_channels_come_and_go(self):
        stop = threading.Event()

        @by_code
        def churn(count):
            import interpreters
            for _ in range(count):
                recv, send = interpreters.create_channel(1)
                send.send(recv)

        def look():
            n = 0
            while not stop.is_set():
                for recv, send in list_all_channels():
                    n += len(recv)
            return n

        before = _ids()
        looking = self.start(look)
        futures = [self.create().submit(churn, messages(5000))
                   for _ in range(2)]
        for future in futures:
            future.result()
        stop.set()
        looking()
        self.assertEqual(_ids(), before)


if __name__ == '__main__':
    unittest.main()
