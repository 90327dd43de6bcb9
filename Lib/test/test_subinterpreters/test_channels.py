"""Channels: order, capacity, blocking, closing; by threads and interpreters."""

import random
import signal
import threading
import unittest

import interpreters
from interpreters import (
    ChannelClosedError, ChannelEmptyError, ChannelFullError, create_channel)
from test.test_subinterpreters.support import TestCase, send_all, wait_until


class BufferTests(TestCase):

    def test_messages_arrive_in_order(self):
        recv, send = create_channel(None)
        for i in range(1000):
            send.send(i)
        self.assertEqual([recv.recv() for _ in range(1000)], list(range(1000)))

    def test_bounded_channel_is_full_at_its_capacity(self):
        recv, send = create_channel(3)
        for i in range(3):
            send.send_nowait(i)
        with self.assertRaises(ChannelFullError):
            send.send_nowait(3)
        self.assertEqual(recv.recv(), 0)
        send.send_nowait(3)
        self.assertEqual([recv.recv() for _ in range(3)], [1, 2, 3])

    def test_unbuffered_channel_is_always_full_without_a_receiver(self):
        recv, send = create_channel()
        with self.assertRaises(ChannelFullError):
            send.send_nowait(1)
        self.assertEqual(len(recv), 0)

    def test_recv_nowait_of_an_empty_channel(self):
        recv, send = create_channel(1)
        with self.assertRaises(ChannelEmptyError):
            recv.recv_nowait()
        self.assertIs(recv.recv_nowait(None), None)
        send.send(1)
        self.assertEqual(recv.recv_nowait(None), 1)

    def test_length_counts_waiting_messages(self):
        recv, send = create_channel(5)
        self.assertEqual((len(recv), len(send)), (0, 0))
        send.send('a')
        send.send('b')
        self.assertEqual((len(recv), len(send)), (2, 2))

    def test_an_end_is_true_even_when_empty(self):
        recv, send = create_channel()
        self.assertTrue(recv)
        self.assertTrue(send)

    def test_length_counts_blocked_senders(self):
        recv, send = create_channel()
        done = self.start(send.send, 'x')
        wait_until(lambda: len(recv) == 1)
        self.assertEqual(recv.recv(), 'x')
        done()
        self.assertEqual(len(recv), 0)

    def test_capacity_must_be_a_natural_number_or_none(self):
        for bad in (-1, -10**30):
            with self.subTest(bad), self.assertRaises((ValueError, OverflowError)):
                create_channel(bad)
        with self.assertRaises(OverflowError):
            create_channel(10**30)
        for bad in (1.5, 'x', [1]):
            with self.subTest(bad), self.assertRaises(TypeError):
                create_channel(bad)

    def test_capacity_is_shown(self):
        for capacity in (0, 7, None):
            with self.subTest(capacity):
                recv, send = create_channel(capacity)
                self.assertEqual(recv.capacity, capacity)
                self.assertEqual(send.capacity, capacity)

    def test_repr_shows_id_capacity_length_and_state(self):
        recv, send = create_channel(4)
        send.send(1)
        self.assertEqual(
            repr(recv),
            f'<interpreters.RecvChannel id={recv.id} capacity=4 len=1 open>')
        send.close()
        self.assertEqual(
            repr(send),
            f'<interpreters.SendChannel id={recv.id} capacity=4 len=1 closed>')

    def test_ids_are_not_reused(self):
        first = create_channel()[0].id
        self.assertGreater(create_channel()[0].id, first)

    def test_ends_of_one_side_are_equal_and_hash_equal(self):
        recv, send = create_channel()
        carrier_recv, carrier_send = create_channel(1)
        carrier_send.send(recv)
        again = carrier_recv.recv()
        self.assertEqual(again, recv)
        self.assertEqual(hash(again), hash(recv))
        self.assertNotEqual(recv, send)
        self.assertNotEqual(recv, create_channel()[0])

    def test_ends_cannot_be_made_directly(self):
        for cls in (interpreters.RecvChannel, interpreters.SendChannel):
            with self.subTest(cls), self.assertRaises(TypeError):
                cls()


class BlockingTests(TestCase):

    def test_rendezvous_send_waits_for_its_receiver(self):
        recv, send = create_channel()
        received = threading.Event()
        sent = self.start(lambda: (send.send(1), received.is_set()))
        wait_until(lambda: len(recv) == 1)
        received.set()
        self.assertEqual(recv.recv(), 1)
        self.assertEqual(sent(), (None, True))

    def test_recv_waits_for_a_message(self):
        recv, send = create_channel(1)
        got = self.start(recv.recv)
        send.send('late')
        self.assertEqual(got(), 'late')

    def test_blocked_senders_are_served_in_order(self):
        recv, send = create_channel(1)
        send.send(0)
        for i in range(1, 6):
            self.start(send.send, i)
            wait_until(lambda: len(recv) == i + 1)
        self.assertEqual([recv.recv() for _ in range(6)], list(range(6)))

    def test_waiting_receiver_gets_a_nowait_message(self):
        recv, send = create_channel()
        got = self.start(recv.recv)

        def sent():
            try:
                send.send_nowait('x')
            except ChannelFullError:
                return False
            return True

        wait_until(sent)
        self.assertEqual(got(), 'x')

    def test_timeouts_raise_and_leave_the_channel_as_it_was(self):
        recv, send = create_channel(1)
        with self.assertRaises(TimeoutError):
            recv.recv(timeout=0.01)
        send.send('kept')
        with self.assertRaises(TimeoutError):
            send.send('dropped', timeout=0.01)
        self.assertEqual(len(recv), 1)
        self.assertEqual(recv.recv(timeout=0), 'kept')
        with self.assertRaises(TimeoutError):
            recv.recv(timeout=0)

    def test_timeout_must_be_a_time(self):
        recv, send = create_channel(1)
        with self.assertRaises(ValueError):
            recv.recv(timeout=-1)
        with self.assertRaises(TypeError):
            send.send(1, timeout='soon')
        with self.assertRaises(ValueError):
            send.send(1, timeout=float('nan'))
        self.assertEqual(len(recv), 0)

    @unittest.skipUnless(hasattr(signal, 'setitimer'), 'needs setitimer()')
    def test_signal_handler_runs_while_waiting_and_wait_goes_on(self):
        recv, send = create_channel()
        calls = []

        def handler(*args):
            calls.append(args)
            self.start(send.send, 'after the signal')

        old = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        self.assertEqual(recv.recv(), 'after the signal')
        self.assertEqual(len(calls), 1)

    @unittest.skipUnless(hasattr(signal, 'setitimer'), 'needs setitimer()')
    def test_exception_in_a_signal_handler_breaks_the_wait(self):
        class Broken(Exception):
            pass

        def handler(*args):
            raise Broken

        old = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        recv, send = create_channel()
        for wait in (recv.recv, lambda: send.send(1)):
            with self.assertRaises(Broken):
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                wait()
            self.assertEqual(len(recv), 0)
        done = self.start(send.send, 'still works')
        self.assertEqual(recv.recv(), 'still works')
        done()


class CloseTests(TestCase):

    def test_receivers_drain_after_the_last_sender_closed(self):
        recv, send = create_channel(None)
        send.send(1)
        send.send(2)
        send.close()
        self.assertEqual(recv.recv(), 1)
        self.assertEqual(recv.recv_nowait(), 2)
        with self.assertRaises(ChannelClosedError):
            recv.recv()
        with self.assertRaises(ChannelClosedError):
            recv.recv_nowait('default')

    def test_iteration_ends_when_drained(self):
        recv, send = create_channel(None)
        with send:
            for i in range(5):
                send.send(i)
        self.assertEqual(list(recv), [0, 1, 2, 3, 4])

    def test_senders_see_at_once_that_no_receiver_is_left(self):
        recv, send = create_channel(5)
        send.send(1)
        recv.close()
        with self.assertRaises(ChannelClosedError):
            send.send(2)
        self.assertEqual(len(send), 0)      # nobody will ever get them

    def test_closing_wakes_waiting_receivers(self):
        recv, send = create_channel()
        waiting = [self.start(list, recv) for _ in range(3)]
        send.close()
        for result in waiting:
            self.assertEqual(result(), [])

    def test_closing_wakes_waiting_senders(self):
        recv, send = create_channel()
        waiting = [self.start(send.send, i) for i in range(3)]
        wait_until(lambda: len(recv) == 3)
        recv.close()
        for result in waiting:
            with self.assertRaises(ChannelClosedError):
                result()

    def test_closing_full_channel_with_waiting_senders(self):
        recv, send = create_channel(2)
        send.send(0)
        send.send(0)
        waiting = [self.start(send.send, i) for i in range(3)]
        wait_until(lambda: len(recv) == 5)
        recv.close()
        for result in waiting:
            with self.assertRaises(ChannelClosedError):
                result()
        self.assertEqual(len(send), 0)

    def test_closing_an_end_wakes_only_those_that_wait_through_it(self):
        recv, send = create_channel()
        carrier_recv, carrier_send = create_channel(1)
        carrier_send.send(recv)
        other = carrier_recv.recv()
        mine = self.start(recv.recv)
        theirs = self.start(other.recv)
        recv.close()
        with self.assertRaisesRegex(ChannelClosedError, 'this end'):
            mine()
        send.send('x')
        self.assertEqual(theirs(), 'x')

    def test_a_closed_end_cannot_be_used(self):
        recv, send = create_channel(1)
        recv.close()
        send.close()
        self.assertTrue(recv.closed)
        self.assertTrue(send.closed)
        for use in (recv.recv, recv.recv_nowait, lambda: next(recv),
                    lambda: send.send(1), lambda: send.send_nowait(1),
                    lambda: send.send_buffer(b'')):
            with self.assertRaisesRegex(ChannelClosedError, 'this end'):
                use()

    def test_closing_twice_does_nothing(self):
        recv, send = create_channel(1)
        send.close()
        send.close()
        with recv:
            pass
        recv.close()

    def test_collected_ends_count_as_closed(self):
        recv, send = create_channel(1)
        send.send(1)
        del send
        self.assertEqual(list(recv), [1])
        recv, send = create_channel(1)
        del recv
        with self.assertRaises(ChannelClosedError):
            send.send(1)

    def test_an_end_inside_a_message_counts_as_open(self):
        carrier_recv, carrier_send = create_channel(1)
        recv, send = create_channel(1)
        carrier_send.send(send)
        del send
        with self.assertRaises(ChannelEmptyError):
            recv.recv_nowait()              # not closed
        carrier_recv.recv().send('through the carried end')
        self.assertEqual(list(recv), ['through the carried end'])

    def test_an_end_in_a_discarded_message_is_closed(self):
        carrier_recv, carrier_send = create_channel(1)
        recv, send = create_channel(1)
        carrier_send.send([send])
        del send
        carrier_recv.close()
        self.assertEqual(list(recv), [])

    def test_a_long_chain_of_channels_is_collected(self):
        recv, send = create_channel(1)
        for _ in range(50_000):
            outer_recv, outer_send = create_channel(1)
            outer_send.send(recv)
            recv = outer_recv
        del recv, outer_recv        # each holds the end of the one before
        with self.assertRaises(ChannelClosedError):
            send.send(1)

    def test_a_closed_end_cannot_be_sent(self):
        carrier_recv, carrier_send = create_channel(1)
        recv, send = create_channel(1)
        recv.close()
        with self.assertRaises(ChannelClosedError):
            carrier_send.send(recv)
        self.assertEqual(len(carrier_recv), 0)


def _echo(recv, send):
    for message in recv:
        send.send(message)


class AcrossInterpretersTests(TestCase):

    def test_both_ends_work_in_another_interpreter(self):
        there, send = create_channel()
        recv, back = create_channel()
        future = self.create().submit(_echo, there, back)
        there.close()
        back.close()
        for message in (1, 'two', [3.0, None]):
            send.send(message)
            self.assertEqual(recv.recv(), message)
        send.close()
        self.assertEqual(list(recv), [])
        self.assertIsNone(future.result())

    def test_messages_outlive_the_interpreter_that_sent_them(self):
        recv, send = create_channel(None)
        with self.create() as interp:
            interp.call(send_all, send, ['a', {'b': 1}])
        send.close()
        self.assertEqual(list(recv), ['a', {'b': 1}])

    def test_ends_left_in_a_closed_interpreter_are_closed(self):
        recv, send = create_channel(1)
        with self.create() as interp:
            interp.prepare_main(send=send)
            send.close()
            with self.assertRaises(ChannelEmptyError):
                recv.recv_nowait()
        self.assertEqual(list(recv), [])

    def test_each_message_is_received_exactly_once(self):
        # Senders and receivers in interpreters of their own, and threads of
        # this one; every message is unique, so sums and counts tell.
        parties, count = 4, 2000
        for capacity in (0, 1, 64, None):
            with self.subTest(capacity=capacity):
                recv, send = create_channel(capacity)
                done_recv, done_send = create_channel(None)
                futures = []
                for i in range(parties):
                    base = i * count
                    futures.append(self.create().submit(
                        _receive_and_sum, recv, done_send))
                    futures.append(self.create().submit(
                        send_all, send, range(base, base + count)))
                recv.close()
                send.close()
                done_send.close()
                sums = list(done_recv)
                for future in futures:
                    future.result()
                total = parties * count
                self.assertEqual(sum(n for n, _ in sums), total)
                self.assertEqual(sum(s for _, s in sums),
                                 total * (total - 1) // 2)

    def test_close_race(self):
        # Whatever was sent before the close is received, and nobody hangs.
        for seed in range(50):
            rng = random.Random(seed)
            recv, send = create_channel(rng.choice([0, 1, 3]))
            got = self.start(list, recv)
            sent = []

            def sender(end):
                try:
                    for i in range(1000):
                        end.send(i)
                        sent.append(i)
                except ChannelClosedError:
                    pass

            running = self.start(sender, send)
            stop = rng.randrange(200)
            wait_until(lambda: len(sent) >= stop)
            send.close()
            running()
            self.assertEqual(got(), sent)


def _receive_and_sum(recv, done):
    count = total = 0
    for message in recv:
        count += 1
        total += message
    done.send((count, total))


if __name__ == '__main__':
    unittest.main()
