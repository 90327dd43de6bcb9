"""select(): the first of several sends and receives."""

import itertools
import random
import time
import unittest

import interpreters
from interpreters import (
    ChannelClosedError, ChannelEmptyError, ChannelFullError,
    NotShareableError, create_channel, select)
from test.test_subinterpreters.support import (
    TestCase, by_code, unsendable, wait_until)


def taken(recv):
    """Return a function that tries to receive, and what it got is in a list.

    For wait_until(): that it succeeds means that a sender waited.
    """
    got = []

    def attempt():
        try:
            got.append(recv.recv_nowait())
        except ChannelEmptyError:
            return False
        return True

    return attempt, got


def given(send, obj):
    """Return a function that tries to send to a receiver that waits."""
    def attempt():
        try:
            send.send_nowait(obj)
        except ChannelFullError:
            return False
        return True

    return attempt


class ReadyTests(TestCase):
    """A case can be done at once."""

    def test_a_message_is_there(self):
        recv, send = create_channel(1)
        other, keep = create_channel(1)
        send.send({'a': 1})
        self.assertEqual(select(other, recv), (1, {'a': 1}))
        self.assertEqual(len(recv), 0)

    def test_there_is_room(self):
        full_recv, full = create_channel(1)
        full.send('first')
        recv, send = create_channel(1)
        self.assertEqual(select((full, 'x'), (send, 'y')), (1, None))
        self.assertEqual(recv.recv_nowait(), 'y')
        self.assertEqual(full_recv.drain(), ['first'])

    def test_a_sender_waits(self):
        recv, send = create_channel()
        other, keep = create_channel()
        done = self.start(send.send, 'x')
        wait_until(lambda: len(recv) == 1)
        self.assertEqual(select(recv, other, default=None), (0, 'x'))
        done()

    def test_a_receiver_waits(self):
        recv, send = create_channel()
        other, keep = create_channel()
        got = self.start(recv.recv)
        wait_until(lambda: select(other, (send, 'x'), default=0) == (1, None))
        self.assertEqual(got(), 'x')

    def test_a_sender_waits_behind_a_full_buffer(self):
        recv, send = create_channel(1)
        send.send(1)
        done = self.start(send.send, 2)
        wait_until(lambda: len(recv) == 2)
        self.assertEqual([select(recv), select(recv)], [(0, 1), (0, 2)])
        done()

    def test_all_cases_are_sends_without_limit(self):
        channels = [create_channel(None) for _ in range(3)]
        for i in range(100):
            select(*[(send, i) for _, send in channels])
        got = sorted(itertools.chain.from_iterable(
            recv.drain() for recv, _ in channels))
        self.assertEqual(got, list(range(100)))

    def test_default_is_returned_if_nothing_is_ready(self):
        recv, send = create_channel()
        default = object()
        index, value = select(recv, (send, 1), default=default)
        self.assertIsNone(index)
        self.assertIs(value, default)
        self.assertEqual(select(recv, default=None), (None, None))
        self.assertEqual(len(recv), 0)

    def test_default_is_not_used_if_something_is_ready(self):
        recv, send = create_channel(1)
        self.assertEqual(select((send, 1), default='no'), (0, None))
        self.assertEqual(select(recv, default='no'), (0, 1))

    def test_received_values_are_decoded_as_by_recv(self):
        recv, send = create_channel(1)
        inner_recv, inner_send = create_channel(1)
        data = bytearray(b'abc')
        send.send([inner_recv, memoryview(data)])
        _, (end, view) = select(recv)
        self.assertEqual(end, inner_recv)
        data[0] = ord('x')
        self.assertEqual(bytes(view), b'xbc')

    def test_one_case(self):
        recv, send = create_channel(1)
        self.assertEqual(select((send, 1)), (0, None))
        self.assertEqual(select(recv), (0, 1))

    def test_a_thousand_cases(self):
        channels = [create_channel(1) for _ in range(1000)]
        for i in (0, 617, 999):
            channels[i][1].send(i)
            self.assertEqual(select(*[recv for recv, _ in channels]), (i, i))
        cases = [(send, i) for i, (_, send) in enumerate(channels)]
        # Each fills one, so all of them are full in the end.
        chosen = sorted(select(*cases)[0] for _ in cases)
        self.assertEqual(chosen, list(range(1000)))
        self.assertEqual([recv.recv_nowait() for recv, _ in channels], chosen)


class WokenTests(TestCase):
    """Nothing is ready at first."""

    def test_by_a_sender(self):
        channels = [create_channel() for _ in range(3)]
        for i, (_, send) in enumerate(channels):
            result = self.start(select, *[recv for recv, _ in channels])
            wait_until(given(send, 'x'))
            self.assertEqual(result(), (i, 'x'))

    def test_by_a_blocking_sender(self):
        recv, send = create_channel()
        other, keep = create_channel()
        result = self.start(select, other, recv)
        send.send('x')                  # returns: it was received
        self.assertEqual(result(), (1, 'x'))

    def test_by_a_receiver(self):
        channels = [create_channel() for _ in range(3)]
        for i, (recv, _) in enumerate(channels):
            result = self.start(select, *[(send, n) for n, (_, send)
                                          in enumerate(channels)])
            attempt, got = taken(recv)
            wait_until(attempt)
            self.assertEqual(result(), (i, None))
            self.assertEqual(got, [i])
            self.assertEqual([r.drain() for r, _ in channels], [[], [], []])

    def test_by_room(self):
        recv, send = create_channel(1)
        send.send('old')
        other, keep = create_channel()
        result = self.start(select, other, (send, 'new'))
        time.sleep(0.01)                # likely to wait now
        self.assertEqual(recv.recv(), 'old')
        self.assertEqual(result(), (1, None))
        self.assertEqual(recv.recv_nowait(), 'new')

    def test_by_another_select(self):
        recv, send = create_channel()
        other, keep = create_channel()
        received = self.start(select, other, recv)
        self.assertEqual(select((send, 'x'), other), (0, None))
        self.assertEqual(received(), (1, 'x'))

    def test_by_the_last_sending_end(self):
        recv, send = create_channel()
        other, keep = create_channel()
        result = self.start(select, other, recv)
        time.sleep(0.01)
        send.close()
        with self.assertRaises(ChannelClosedError) as caught:
            result()
        self.assertEqual(caught.exception.index, 1)
        self.assertIs(caught.exception.case, recv)

    def test_by_the_last_receiving_end(self):
        recv, send = create_channel()
        other, keep = create_channel()
        case = (send, ['x'])
        result = self.start(select, other, case)
        time.sleep(0.01)
        del recv                        # collected
        with self.assertRaises(ChannelClosedError) as caught:
            result()
        self.assertEqual(caught.exception.index, 1)
        self.assertIs(caught.exception.case, case)

    def test_by_closing_an_end_it_waits_through(self):
        other, keep = create_channel()
        for side in range(2):
            ends = create_channel()
            end = ends[side]
            case = (end, 1) if side == 1 else end
            result = self.start(select, other, case)
            time.sleep(0.01)
            end.close()
            with self.assertRaisesRegex(ChannelClosedError, 'this end') as caught:
                result()
            self.assertIs(caught.exception.case, case)

    def test_one_of_a_thousand(self):
        channels = [create_channel() for _ in range(1000)]
        result = self.start(select, *[recv for recv, _ in channels])
        wait_until(given(channels[617][1], 'x'))
        self.assertEqual(result(), (617, 'x'))
        # Nothing is left waiting.
        for _, send in channels:
            with self.assertRaises(ChannelFullError):
                send.send_nowait(1)

    def test_a_waiting_select_sends_to_one_of_many(self):
        # Each of the receivers could have it; one does.
        channels = [create_channel() for _ in range(8)]
        for i in range(100):
            result = self.start(select, *[(send, i) for _, send in channels])
            receiving = [self.start(recv.recv_nowait, None)
                         for recv, _ in channels]
            got = [value for value in [r() for r in receiving]
                   if value is not None]
            if not got:
                recv, _ = random.choice(channels)
                got = [recv.recv()]
            self.assertEqual(got, [i])
            self.assertEqual(result()[1], None)

    def test_waiting_selects_are_not_messages(self):
        # The length counts messages that wait; a case may never become one.
        recv, send = create_channel()
        other, other_send = create_channel()
        result = self.start(select, other, (send, 1))
        wait_until(given(other_send, 'x'))
        self.assertEqual(len(recv), 0)
        self.assertEqual(result(), (0, 'x'))


class TimeoutTests(TestCase):

    def test_nothing_happened_in_time(self):
        recv, send = create_channel()
        full_recv, full = create_channel(1)
        full.send(1)
        start = time.monotonic()
        with self.assertRaises(TimeoutError):
            select(recv, (full, 2), timeout=0.05)
        self.assertGreaterEqual(time.monotonic() - start, 0.05)
        self.assertEqual(full_recv.drain(), [1])
        with self.assertRaises(ChannelFullError):
            send.send_nowait(1)         # nobody waits any more

    def test_zero(self):
        recv, send = create_channel(1)
        with self.assertRaises(TimeoutError):
            select(recv, timeout=0)
        self.assertEqual(select((send, 1), timeout=0), (0, None))
        self.assertEqual(select(recv, timeout=0), (0, 1))

    def test_wrong_timeouts(self):
        recv, send = create_channel(1)
        for timeout, exc in ((-1, ValueError), (-1e-9, ValueError),
                             (float('nan'), ValueError), ('1', TypeError),
                             (float('inf'), OverflowError)):
            with self.subTest(timeout), self.assertRaises(exc):
                select((send, 1), timeout=timeout)
        self.assertEqual(len(recv), 0)


class WrongCasesTests(TestCase):

    def test_no_case(self):
        for kwargs in ({}, {'timeout': 0}, {'default': 1}):
            with self.subTest(kwargs), self.assertRaises(ValueError):
                select(**kwargs)

    def test_wrong_types(self):
        recv, send = create_channel(None)
        for bad in (None, 1, 'x', send, (send,), (send, 1, 2), [send, 1],
                    (recv, 1), (1, send), (), object()):
            with self.subTest(bad), self.assertRaises(TypeError):
                select((send, 'not sent'), bad)
            with self.subTest(bad), self.assertRaises(TypeError):
                select(bad, (send, 'not sent'))
        self.assertEqual(len(recv), 0)

    def test_error_names_the_case(self):
        recv, send = create_channel()
        with self.assertRaisesRegex(TypeError, '^case 2 must be'):
            select(recv, (send, 1), send)

    def test_unshareable_object(self):
        recv, send = create_channel(None)
        other, other_send = create_channel(None)
        data = bytearray(3)
        with memoryview(data) as view:
            with self.assertRaises(NotShareableError):
                select((send, view), (other_send, unsendable()), recv)
        self.assertEqual((len(recv), len(other)), (0, 0))
        data.append(1)                  # no longer exported

    def test_a_closed_end_in_a_message(self):
        recv, send = create_channel(None)
        dead, _ = create_channel()
        dead.close()
        with self.assertRaises(ChannelClosedError):
            select((send, dead))
        self.assertEqual(len(recv), 0)


class ClosedTests(TestCase):

    def assert_closed(self, index, *cases, **kwargs):
        with self.assertRaises(ChannelClosedError) as caught:
            select(*cases, **kwargs)
        self.assertEqual(caught.exception.index, index)
        self.assertIs(caught.exception.case, cases[index])

    def test_no_sending_end(self):
        recv, send = create_channel(1)
        other, keep = create_channel()
        send.send('last')
        send.close()
        self.assertEqual(select(other, recv), (1, 'last'))
        self.assert_closed(1, other, recv)

    def test_no_receiving_end(self):
        recv, send = create_channel(1)
        other, keep = create_channel()
        recv.close()
        self.assert_closed(0, (send, 1), other)

    def test_own_end(self):
        recv, send = create_channel(1)
        other, keep = create_channel()
        recv.close()
        send.close()
        self.assert_closed(2, other, other, recv)
        self.assert_closed(1, other, (send, 1))

    def test_with_a_default_or_a_timeout(self):
        recv, send = create_channel(1)
        send.close()
        self.assert_closed(0, recv, default=None)
        self.assert_closed(0, recv, timeout=0)

    def test_a_closed_case_is_ready_like_others(self):
        # Of several that are ready one is chosen at random; 200 times the same
        # one has a probability of 2**-200.
        closed, send = create_channel()
        send.close()
        recv, send = create_channel(None)
        for i in range(200):
            send.send(i)
        seen = set()
        for _ in range(200):
            try:
                seen.add(select(closed, recv)[0])
            except ChannelClosedError as exc:
                seen.add(exc.case)
        self.assertEqual(seen, {1, closed})

    def test_merging_until_all_are_closed(self):
        # The usual loop: a channel that is done is taken out.
        channels = [create_channel(i) for i in range(5)]
        for i, (_, send) in enumerate(channels):
            def produce(send=send, i=i):
                with send:
                    for n in range(100):
                        send.send((i, n))
            self.start(produce)
        left = [recv for recv, _ in channels]
        got = []
        while left:
            try:
                got.append(select(*left)[1])
            except ChannelClosedError as exc:
                self.assertIs(left[exc.index], exc.case)
                del left[exc.index]
        for i in range(5):              # each in order
            self.assertEqual([n for k, n in got if k == i], list(range(100)))
        self.assertEqual(len(got), 500)


class ChoiceTests(TestCase):

    ROUNDS = 1000
    # With equal chances the probability of fewer than 300 of 1000 is below
    # 10**-36.
    AT_LEAST = 300

    def assert_both_chosen(self, choose):
        counts = [0, 0]
        for _ in range(self.ROUNDS):
            counts[choose()] += 1
        self.assertGreater(min(counts), self.AT_LEAST)

    def test_two_receives(self):
        channels = [create_channel(None) for _ in range(2)]
        for _, send in channels:
            for i in range(self.ROUNDS):
                send.send(i)
        a, b = [recv for recv, _ in channels]
        self.assert_both_chosen(lambda: select(a, b)[0])

    def test_two_sends(self):
        channels = [create_channel(None) for _ in range(2)]
        a, b = [send for _, send in channels]
        self.assert_both_chosen(lambda: select((a, 1), (b, 1))[0])
        self.assertEqual(sum(len(recv) for recv, _ in channels), self.ROUNDS)

    def test_a_send_and_a_receive_on_one_channel(self):
        recv, send = create_channel(None)
        for i in range(self.ROUNDS):
            send.send(i)
        self.assert_both_chosen(lambda: select((send, 1), recv)[0])

    def test_with_a_default(self):
        channels = [create_channel(None) for _ in range(2)]
        a, b = [send for _, send in channels]
        self.assert_both_chosen(lambda: select((a, 1), (b, 1), default=0)[0])

    def test_behind_cases_that_are_not_ready(self):
        never = [create_channel() for _ in range(6)]
        ready = [create_channel(None) for _ in range(2)]
        cases = [recv for recv, _ in never] + [(send, 1) for _, send in ready]
        self.assert_both_chosen(lambda: select(*cases)[0] - len(never))

    def test_none_of_many_starves(self):
        # Some are never ready.  That one of the others is never chosen has a
        # probability below 10 * 0.9**1000.
        never = [create_channel() for _ in range(10)]
        channels = [create_channel(None) for _ in range(10)]
        cases = [recv for recv, _ in never] + [(send, 1) for _, send in channels]
        random.Random(1).shuffle(cases)
        for _ in range(self.ROUNDS):
            select(*cases)
        self.assertNotIn(0, [len(recv) for recv, _ in channels])

    def test_a_busy_channel_does_not_starve_another(self):
        # A producer keeps one channel full; the other has a message at times.
        busy, busy_send = create_channel(4)
        rare, rare_send = create_channel()

        def produce():
            try:
                while True:
                    busy_send.send(0)
            except ChannelClosedError:
                pass

        producing = self.start(produce)
        sending = self.start(lambda: [rare_send.send(i) for i in range(50)])
        got = []
        while len(got) < 50:
            index, value = select(busy, rare)
            if index == 1:
                got.append(value)
        busy.close()
        producing()
        sending()
        self.assertEqual(got, list(range(50)))


class SameChannelTests(TestCase):

    def test_several_receives(self):
        recv, send = create_channel()
        result = self.start(select, recv, recv, recv)
        wait_until(given(send, 'x'))
        index, value = result()
        self.assertIn(index, range(3))
        self.assertEqual(value, 'x')
        with self.assertRaises(ChannelFullError):
            send.send_nowait('y')       # none of the three is left

    def test_several_sends(self):
        recv, send = create_channel()
        result = self.start(select, (send, 0), (send, 1), (send, 2))
        attempt, got = taken(recv)
        wait_until(attempt)
        self.assertEqual(result(), (got[0], None))
        self.assertEqual(recv.drain(), [])

    def test_several_sends_into_a_buffer(self):
        recv, send = create_channel(2)
        index, _ = select((send, 'a'), (send, 'b'), (send, 'c'))
        self.assertEqual(recv.drain(), ['abc'[index]])

    def test_never_with_itself(self):
        recv, send = create_channel()
        self.assertEqual(select(recv, (send, 1), default='none'), (None, 'none'))
        with self.assertRaises(TimeoutError):
            select((send, 1), recv, recv, (send, 2), timeout=0.01)

    def test_closing_with_several_cases_of_one_channel(self):
        recv, send = create_channel()
        other, _ = create_channel()
        result = self.start(select, recv, other, (send, 1), recv)
        time.sleep(0.01)
        recv.close()
        with self.assertRaises(ChannelClosedError) as caught:
            result()
        # Closing the only receiving end ends a wait to send, too.
        self.assertIn(caught.exception.index, (0, 2, 3))

    def test_send_or_receive_meets_its_like(self):
        # Two parties that would do either: one sends, and the other receives
        # just that.
        recv, send = create_channel()
        rounds = 2000

        def party(name):
            return [select(recv, (send, (name, i))) for i in range(rounds)]

        a, b = self.start(party, 'a'), self.start(party, 'b')
        for i, (x, y) in enumerate(zip(a(), b(), strict=True)):
            if x[0] == 1:
                self.assertEqual((x, y), ((1, None), (0, ('a', i))))
            else:
                self.assertEqual((x, y), ((0, ('b', i)), (1, None)))

    def test_send_or_receive_with_more_parties(self):
        # An even number of rounds in all, so nobody is left over but at the
        # end, when those who are left may all be one party: a time-out then.
        for capacity in (0, 1):
            with self.subTest(capacity=capacity):
                recv, send = create_channel(capacity)
                sent, received = [], []

                def party(name):
                    for i in range(500):
                        message = (name, i)
                        try:
                            index, value = select(recv, (send, message),
                                                  timeout=0.2)
                        except TimeoutError:
                            break
                        if index == 1:
                            sent.append(message)
                        else:
                            received.append(value)

                for result in [self.start(party, i) for i in range(5)]:
                    result()
                received += recv.drain()
                self.assertEqual(sorted(received), sorted(sent))


class NotChosenTests(TestCase):

    def test_one_of_two_sends_is_done(self):
        a_recv, a = create_channel(1)
        b_recv, b = create_channel(1)
        for i in range(100):
            index, _ = select((a, i), (b, i))
            self.assertEqual([a_recv.drain(), b_recv.drain()],
                             [[i], []] if index == 0 else [[], [i]])

    def test_memory_is_released(self):
        data = bytearray(10)
        recv, send = create_channel()
        ready, ready_send = create_channel(1)
        ready_send.send('x')
        with memoryview(data) as view:
            with self.subTest('not chosen'):
                self.assertEqual(select((send, view), ready), (1, 'x'))
            with self.subTest('default'):
                select((send, [view]), default=None)
            with self.subTest('timeout'), self.assertRaises(TimeoutError):
                select((send, view), recv, timeout=0.001)
            with self.subTest('closed'):
                recv.close()
                with self.assertRaises(ChannelClosedError):
                    select((send, view))
        data.append(1)                  # BufferError if it were exported

    def test_memory_is_released_after_a_wait(self):
        data = bytearray(10)
        recv, send = create_channel()
        other, other_send = create_channel()

        def wait():
            with memoryview(data) as view:
                return select((send, view), other)

        result = self.start(wait)
        wait_until(given(other_send, 'x'))
        self.assertEqual(result(), (1, 'x'))
        data.append(1)

    def test_chosen_memory_stays_exported(self):
        data = bytearray(10)
        recv, send = create_channel(1)
        with memoryview(data) as view:
            select((send, view))
        with self.assertRaises(BufferError):
            data.append(1)
        recv.recv().release()
        data.append(1)

    def test_ends_are_released(self):
        carrier_recv, carrier = create_channel()
        recv, send = create_channel(1)
        select((carrier, send), default=None)
        send.close()                    # no other end was left in a message
        self.assertEqual(list(recv), [])


@by_code
def _face(sending, receiving, rounds):
    """Send or receive, whichever comes first; return what was sent and got."""
    from interpreters import select
    sent, got = [], []
    for i in range(rounds):
        index, value = select((sending, i), receiving)
        if index == 0:
            sent.append(i)
        else:
            got.append(value)
    return sent, got


@by_code
def _produce(sends, first, count, seed):
    """Send the numbers, each through whichever channel takes it first."""
    import random
    from interpreters import select
    rng = random.Random(seed)
    for i in range(first, first + count):
        rng.shuffle(sends)
        select(*[(send, i) for send in sends])


@by_code
def _relay(recvs, sends, seed):
    """Pass on what comes, by one select for both; return how many."""
    import random
    from interpreters import ChannelClosedError, select
    rng = random.Random(seed)
    pending = []
    n = 0
    while recvs or pending:
        cases = recvs if len(pending) < 3 else []
        if pending:
            cases = cases + [(send, pending[0]) for send in sends]
        rng.shuffle(cases)
        try:
            index, value = select(*cases)
        except ChannelClosedError as exc:
            recvs.remove(exc.case)
            continue
        if type(cases[index]) is tuple:
            del pending[0]
            n += 1
        else:
            pending.append(value)
    return n


@by_code
def _consume(recvs, seed):
    """Return what comes."""
    import random
    from interpreters import ChannelClosedError, select
    rng = random.Random(seed)
    got = []
    while recvs:
        rng.shuffle(recvs)
        try:
            got.append(select(*recvs)[1])
        except ChannelClosedError as exc:
            recvs.remove(exc.case)
    return got


@by_code
def _mingle(name, recvs, sends, rounds, seed):
    """Send or receive through any channel; return what was sent and got."""
    import random
    from interpreters import select
    rng = random.Random(seed)
    sent, got = [], []
    for i in range(rounds):
        message = (name, i)
        cases = recvs + [(send, message) for send in sends]
        rng.shuffle(cases)
        del cases[rng.randint(1, len(cases)):]
        try:
            index, value = select(*cases, timeout=rng.choice((0, 1e-5, 1e-3)))
        except TimeoutError:
            continue
        if type(cases[index]) is tuple:
            sent.append(message)
        else:
            got.append(value)
    return sent, got


class StormTests(TestCase):
    """Selects in several interpreters, which meet in every order."""

    def assert_face(self, run, rounds, capacity):
        a_recv, a_send = create_channel(capacity)
        b_recv, b_send = create_channel(capacity)
        one = run(_face, a_send, b_recv, rounds)
        two = run(_face, b_send, a_recv, rounds)
        (one_sent, one_got), (two_sent, two_got) = one(), two()
        self.assertEqual(one_sent, two_got + a_recv.drain())
        self.assertEqual(two_sent, one_got + b_recv.drain())
        self.assertEqual(len(one_sent) + len(one_got), rounds)
        self.assertEqual(len(two_sent) + len(two_got), rounds)

    def test_two_selects_face_each_other_in_threads(self):
        self.assert_face(self.start, 3000, 0)

    def test_two_selects_face_each_other_in_interpreters(self):
        def run(*args):
            return self.create().submit(*args).result

        # In a rendezvous each round of one is a round of the other.
        self.assert_face(run, 10_000, 0)

    def test_through_relays(self):
        for seed, capacities in enumerate([(0, 0, 0), (0, 1, 4), (1, None, 0)]):
            with self.subTest(capacities=capacities):
                first = [create_channel(n) for n in capacities]
                second = [create_channel(n) for n in reversed(capacities)]
                count = 1000
                futures = [
                    self.create().submit(_produce, [s for _, s in first],
                                         i * count, count, seed + i)
                    for i in range(2)]
                relays = [
                    self.create().submit(_relay, [r for r, _ in first],
                                         [s for _, s in second], seed + i)
                    for i in range(2)]
                consumers = [
                    self.create().submit(_consume, [r for r, _ in second],
                                         seed + i)
                    for i in range(2)]
                for end in itertools.chain(*first, *second):
                    end.close()
                for future in futures:
                    future.result()
                self.assertEqual(sum(f.result() for f in relays), 2 * count)
                got = sum([f.result() for f in consumers], [])
                self.assertEqual(sorted(got), list(range(2 * count)))

    def test_everybody_with_everybody(self):
        channels = [create_channel(n) for n in (0, 0, 1, 3, None)]
        recvs = [recv for recv, _ in channels]
        sends = [send for _, send in channels]
        futures = [self.create().submit(_mingle, name, recvs, sends, 2000, name)
                   for name in range(4)]
        sent, got = [], []
        for future in futures:
            results = future.result()
            sent += results[0]
            got += results[1]
        for recv in recvs:
            got += recv.drain()
        self.assertEqual(sorted(got), sorted(sent))
        self.assertGreater(len(got), 0)

    def test_close_while_selects_wait(self):
        # Ends go while selects come and go: everybody ends, nothing is lost
        # but what nobody could receive.
        for seed in range(20):
            rng = random.Random(seed)
            channels = [create_channel(rng.choice((0, 1, 4)))
                        for _ in range(3)]
            sent, got = [], []

            def sender(name):
                left = [send for _, send in channels]
                for i in itertools.count():
                    try:
                        select(*[(send, (name, i)) for send in left])
                        sent.append((name, i))
                    except ChannelClosedError as exc:
                        left.remove(exc.case[0])
                        if not left:
                            break

            def receiver():
                left = [recv for recv, _ in channels]
                while left:
                    try:
                        got.append(select(*left)[1])
                    except ChannelClosedError as exc:
                        left.remove(exc.case)

            results = [self.start(sender, i) for i in range(2)]
            results += [self.start(receiver) for _ in range(2)]
            for _, send in rng.sample(channels, 3):
                time.sleep(rng.random() / 1000)
                send.close()
            for result in results:
                result()
            self.assertEqual(sorted(got), sorted(sent))


if __name__ == '__main__':
    unittest.main()
