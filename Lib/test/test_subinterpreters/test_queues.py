"""Queues: the interface of queue.Queue, between interpreters."""

import copy
import logging
import logging.handlers
import pickle
import queue
import signal
import sys
import threading
import time
import unittest
import weakref

import interpreters
from interpreters import (
    ItemInterpreterDestroyed, NotShareableError, Queue, QueueEmpty, QueueError,
    QueueFull, QueueNotFoundError, UNBOUND, UNBOUND_ERROR, UNBOUND_REMOVE,
    create_channel, create_queue)
from test.test_subinterpreters.support import TestCase, wait_until


class InterfaceTests(TestCase):

    def test_items_come_in_the_order_in_which_they_were_put(self):
        q = create_queue()
        for i in range(1000):
            q.put(i)
        self.assertEqual([q.get() for _ in range(1000)], list(range(1000)))

    def test_items_are_copies(self):
        q = create_queue()
        obj = ['a', {'b': (1.5, None)}]
        q.put(obj)
        self.assertEqual(q.get(), obj)
        q.put(obj)
        self.assertIsNot(q.get(), obj)

    def test_maxsize(self):
        for maxsize, shown in ((3, 3), (1, 1), (0, 0), (-1, 0), (-10**30, 0)):
            with self.subTest(maxsize):
                self.assertEqual(create_queue(maxsize).maxsize, shown)
        self.assertEqual(create_queue().maxsize, 0)
        self.assertEqual(create_queue(maxsize=2).maxsize, 2)

    def test_maxsize_must_be_a_number(self):
        for bad in ('x', 1.5, None, [1]):
            with self.subTest(bad), self.assertRaises(TypeError):
                create_queue(bad)
        with self.assertRaises(OverflowError):
            create_queue(10**30)

    def test_size_empty_and_full(self):
        q = create_queue(2)
        seen = []
        for step in (lambda: None, lambda: q.put('a'), lambda: q.put('b'), q.get,
                     q.get):
            step()
            seen.append((q.qsize(), q.empty(), q.full()))
        self.assertEqual(seen, [(0, True, False), (1, False, False),
                                (2, False, True), (1, False, False),
                                (0, True, False)])

    def test_without_maxsize_it_is_never_full(self):
        q = create_queue()
        for i in range(10_000):
            q.put_nowait(i)
        self.assertFalse(q.full())
        self.assertEqual(q.qsize(), 10_000)

    def test_size_counts_blocked_puts(self):
        q = create_queue(1)
        q.put('a')
        done = self.start(q.put, 'b')
        wait_until(lambda: q.qsize() == 2)
        self.assertTrue(q.full())
        self.assertEqual([q.get(), q.get()], ['a', 'b'])
        done()

    def test_putting_into_a_full_queue_at_once(self):
        q = create_queue(1)
        q.put_nowait('kept')
        for put in (q.put_nowait, lambda obj: q.put(obj, False),
                    lambda obj: q.put(obj, block=False),
                    lambda obj: q.put(obj, block=False, timeout=100)):
            with self.assertRaises(QueueFull):
                put('dropped')
        self.assertEqual(q.qsize(), 1)
        self.assertEqual(q.get(), 'kept')

    def test_getting_from_an_empty_queue_at_once(self):
        q = create_queue()
        for get in (q.get_nowait, lambda: q.get(False),
                    lambda: q.get(block=False),
                    lambda: q.get(block=False, timeout=100)):
            with self.assertRaises(QueueEmpty):
                get()
        q.put_nowait(1)
        self.assertEqual(q.get_nowait(), 1)

    def test_errors_are_those_of_the_queue_module_too(self):
        self.assertTrue(issubclass(QueueEmpty, queue.Empty))
        self.assertTrue(issubclass(QueueFull, queue.Full))
        for cls in (QueueEmpty, QueueFull, QueueNotFoundError,
                    ItemInterpreterDestroyed):
            with self.subTest(cls):
                self.assertTrue(issubclass(cls, QueueError))
        q = create_queue(1)
        with self.assertRaises(queue.Empty):
            q.get_nowait()
        q.put(obj=1, block=True, timeout=None)
        with self.assertRaises(queue.Full):
            q.put_nowait(obj=2)

    def test_timeouts_leave_the_queue_as_it_was(self):
        q = create_queue(1)
        with self.assertRaises(QueueEmpty):
            q.get(timeout=0.01)
        with self.assertRaises(QueueEmpty):
            q.get(True, 0)
        q.put('kept', timeout=0)
        with self.assertRaises(QueueFull):
            q.put('dropped', timeout=0.01)
        with self.assertRaises(QueueFull):
            q.put('dropped', True, 0)
        self.assertEqual(q.qsize(), 1)
        self.assertEqual(q.get(timeout=100), 'kept')

    def test_timeout_must_be_a_time(self):
        q = create_queue(2)
        q.put('kept')
        for error, bad in ((ValueError, -1), (ValueError, -0.001),
                           (ValueError, float('nan')), (TypeError, 'soon'),
                           (OverflowError, 10**30)):
            with self.subTest(bad):
                with self.assertRaises(error):
                    q.get(timeout=bad)
                with self.assertRaises(error):
                    q.put(1, timeout=bad)
        self.assertEqual(q.qsize(), 1)

    def test_what_cannot_be_sent_is_not_put(self):
        q = create_queue(1)
        data = bytearray(b'x')
        for put in (q.put, q.put_nowait):
            with self.assertRaises(NotShareableError):
                put([memoryview(data), threading.Lock()])
        self.assertTrue(q.empty())
        data.append(1)                  # no longer exported

    def test_what_cannot_be_decoded_is_used_up(self):
        q = create_queue()
        module = sys.modules['only_at_first'] = type(sys)('only_at_first')
        module.C = type('C', (), {'__module__': 'only_at_first'})
        q.put(module.C)
        del sys.modules['only_at_first']
        q.put('next')
        with self.assertRaises(ModuleNotFoundError):
            q.get()
        self.assertEqual(q.get(), 'next')

    def test_repr(self):
        q = create_queue(4)
        q.put(1)
        self.assertEqual(repr(q),
                         f'<interpreters.Queue id={q.id} maxsize=4 len=1>')
        q = create_queue()
        self.assertEqual(repr(q),
                         f'<interpreters.Queue id={q.id} maxsize=0 len=0>')

    def test_attributes_are_read_only(self):
        q = create_queue()
        for name in ('id', 'maxsize', 'other'):
            with self.subTest(name), self.assertRaises(AttributeError):
                setattr(q, name, 1)


class IdentityTests(TestCase):

    def test_ids_are_not_reused(self):
        first = create_queue().id
        self.assertIsInstance(first, int)
        self.assertGreater(create_queue().id, first)

    def test_an_existing_queue_is_found_by_its_id(self):
        q = create_queue(7)
        again = Queue(q.id)
        self.assertIs(type(again), Queue)
        self.assertEqual((again.id, again.maxsize), (q.id, 7))
        again.put('x')
        self.assertEqual(q.get(), 'x')

    def test_unknown_ids(self):
        gone = create_queue().id
        channel = create_channel()
        for bad in (0, -1, gone, channel[0].id, create_queue().id + 10**6):
            with self.subTest(bad), self.assertRaises(QueueNotFoundError):
                Queue(bad)
        for bad in ('1', 1.0, None):
            with self.subTest(bad), self.assertRaises(TypeError):
                Queue(bad)
        with self.assertRaises(TypeError):
            Queue()

    def test_queues_are_not_listed_as_channels(self):
        q = create_queue()
        self.assertNotIn(q.id,
                         [recv.id for recv, _ in interpreters.list_all_channels()])

    def test_objects_for_one_queue_are_equal(self):
        q = create_queue()
        again = Queue(q.id)
        other = create_queue()
        self.assertEqual(q, again)
        self.assertFalse(q != again)
        self.assertEqual(hash(q), hash(again))
        self.assertNotEqual(q, other)
        self.assertNotEqual(q, q.id)
        self.assertEqual({q: 'found'}[again], 'found')
        with self.assertRaises(TypeError):
            q < other

    def test_weak_references(self):
        q = create_queue()
        gone = []
        ref = weakref.ref(q, gone.append)
        self.assertIs(ref(), q)
        del q
        self.assertIsNone(ref())
        self.assertEqual(gone, [ref])

    def test_pickles_are_references(self):
        q = create_queue(3)
        q.put('there once')
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with self.subTest(protocol):
                again = pickle.loads(pickle.dumps(q, protocol))
                self.assertEqual(again, q)
                self.assertEqual((again.maxsize, again.qsize()), (3, 1))
        self.assertEqual(again.get(), 'there once')
        self.assertTrue(q.empty())

    def test_copies_are_references(self):
        q = create_queue()
        for copied in (copy.copy(q), copy.deepcopy(q), copy.deepcopy([q])[0]):
            self.assertEqual(copied, q)
            copied.put('x')
            self.assertEqual(q.get(), 'x')

    def test_a_pickle_does_not_keep_the_queue(self):
        q = create_queue()
        pickled = pickle.dumps(q)
        del q
        with self.assertRaises(QueueNotFoundError):
            pickle.loads(pickled)


class LifeTests(TestCase):

    def assertGone(self, id):
        with self.assertRaises(QueueNotFoundError):
            Queue(id)

    def test_gone_after_the_last_object(self):
        q = create_queue()
        id = q.id
        again = Queue(id)
        again.put('kept')
        del q
        self.assertEqual(Queue(id).get(), 'kept')
        del again
        self.assertGone(id)

    def test_items_of_a_queue_that_is_gone_are_released(self):
        data = bytearray(b'x')
        q = create_queue()
        q.put([memoryview(data)])
        with self.assertRaises(BufferError):
            data.append(1)
        del q
        data.append(1)

    def test_kept_by_a_message(self):
        recv, send = create_channel(1)
        q = create_queue()
        id = q.id
        q.put('kept')
        send.send([q])
        del q
        self.assertEqual(Queue(id).qsize(), 1)
        self.assertEqual(recv.recv()[0].get(), 'kept')
        self.assertGone(id)

    def test_gone_with_the_message_that_kept_it(self):
        recv, send = create_channel(1)
        q = create_queue()
        id = q.id
        send.send(q)
        del q
        recv.close()
        self.assertGone(id)

    def test_kept_by_another_interpreter(self):
        q = create_queue()
        id = q.id
        with self.create() as interp:
            interp.prepare_main(q=q)
            del q
            Queue(id).put('kept')
            self.assertEqual(Queue(id).get(), 'kept')
        self.assertGone(id)

    def test_holding_itself_it_is_gone_nevertheless(self):
        for unbounditems in (None, UNBOUND_ERROR):
            for wrap in (lambda q: q, lambda q: [{'q': (q, q)}]):
                with self.subTest(unbounditems=unbounditems):
                    q = create_queue()
                    id = q.id
                    q.put('other')
                    q.put(wrap(q), unbounditems=unbounditems)
                    q.put(wrap(q), unbounditems=unbounditems)
                    self.assertEqual(Queue(id), q)
                    del q
                    self.assertGone(id)

    def test_holding_itself_it_can_be_used(self):
        q = create_queue()
        q.put(q)
        q.put('after')
        inner = q.get()
        self.assertEqual(inner, q)
        del q
        self.assertEqual(inner.get(), 'after')

    def test_a_long_chain_of_queues_is_collected(self):
        q = first = create_queue()
        id = first.id
        del first
        for _ in range(50_000):
            outer = create_queue()
            outer.put(q)
            q = outer
        self.assertEqual(Queue(id).qsize(), 0)
        del q, outer                    # each holds the one before
        self.assertGone(id)


class SendingTests(TestCase):

    def test_shareable(self):
        self.assertTrue(interpreters.is_shareable(create_queue()))

    def test_through_every_way(self):
        q = create_queue(5)
        interp = self.create()
        recv, send = create_channel(1)

        send.send(q)
        self.assertEqual(recv.recv(), q)
        carrier = create_queue()
        carrier.put({'key': [(q,)]})
        self.assertEqual(carrier.get(), {'key': [(q,)]})
        interp.call(_put_all, q, ['as an argument'])
        self.assertEqual(q.get(), 'as an argument')
        interp.prepare_main(q=q)
        interp.exec('q.put("in main")')
        self.assertEqual(q.get(), 'in main')
        self.assertEqual(interp.call(_return, {'result': q}), {'result': q})

        def with_default(q=q):
            q.put('as a default')

        interp.call(with_default)
        self.assertEqual(q.get(), 'as a default')

    def test_properties_are_the_same_in_every_interpreter(self):
        q = create_queue(2)
        q.put(1)
        q.put(2)
        self.assertEqual(self.create().call(_look, q),
                         (q.id, 2, 2, False, True, hash(q)))

    def test_found_by_id_in_another_interpreter(self):
        q = create_queue()
        self.create().call(_put_by_id, q.id)
        self.assertEqual(q.get(), 'by id')

    def test_created_in_another_interpreter(self):
        with self.create() as interp:
            q = interp.call(_create_and_put, 1, 'from its creator')
        self.assertEqual(q.maxsize, 1)
        self.assertEqual(q.get(), 'from its creator')

    def test_one_object_in_a_message_stays_one(self):
        carrier = create_queue()
        q = create_queue()
        carrier.put([q, q])
        first, second = carrier.get()
        self.assertIs(first, second)


def _return(obj):
    return obj


def _put_all(q, items):
    for item in items:
        q.put(item)


def _look(q):
    return q.id, q.maxsize, q.qsize(), q.empty(), q.full(), hash(q)


def _put_by_id(id):
    Queue(id).put('by id')


def _create_and_put(maxsize, item):
    q = create_queue(maxsize)
    q.put(item)
    return q


class BlockingTests(TestCase):

    def test_put_waits_for_room(self):
        q = create_queue(1)
        q.put(0)
        made_room = threading.Event()
        done = self.start(lambda: (q.put(1), made_room.is_set()))
        wait_until(lambda: q.qsize() == 2)
        made_room.set()
        self.assertEqual(q.get(), 0)
        self.assertEqual(done(), (None, True))
        self.assertEqual(q.get(), 1)

    def test_get_waits_for_an_item(self):
        q = create_queue()
        got = self.start(q.get)
        q.put('late')
        self.assertEqual(got(), 'late')

    def test_put_waits_for_room_that_another_interpreter_makes(self):
        q = create_queue(1)
        future = self.create().submit(_put_all, q, range(100))
        wait_until(lambda: q.qsize() == 2)      # one of them blocked
        self.assertFalse(future.done())
        self.assertEqual([q.get() for _ in range(100)], list(range(100)))
        future.result()
        self.assertTrue(q.empty())

    def test_get_waits_for_an_item_of_another_interpreter(self):
        requests, replies = create_queue(), create_queue()
        future = self.create().submit(_serve, requests, replies)
        for i in range(100):
            requests.put(i)
            self.assertEqual(replies.get(), i + 1)
        requests.put(None)
        future.result()

    def test_blocked_puts_are_served_in_order(self):
        q = create_queue(1)
        q.put(0)
        for i in range(1, 6):
            self.start(q.put, i)
            wait_until(lambda: q.qsize() == i + 1)
        self.assertEqual([q.get() for _ in range(6)], list(range(6)))

    def test_an_item_that_comes_within_the_timeout(self):
        q = create_queue(1)
        got = self.start(lambda: q.get(timeout=1000))
        q.put('x')
        self.assertEqual(got(), 'x')
        q.put('first')
        done = self.start(lambda: q.put('second', timeout=1000))
        wait_until(lambda: q.qsize() == 2)
        self.assertEqual([q.get(), q.get()], ['first', 'second'])
        done()

    @unittest.skipUnless(hasattr(signal, 'setitimer'), 'needs setitimer()')
    def test_keyboard_interrupt_breaks_a_wait(self):
        old = signal.signal(signal.SIGALRM, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        empty = create_queue()
        full = create_queue(1)
        full.put('kept')
        for wait in (empty.get, lambda: full.put('dropped')):
            with self.assertRaises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                wait()
        self.assertEqual((empty.qsize(), full.qsize()), (0, 1))
        empty.put('nobody waits for it')
        self.assertEqual(empty.get(), 'nobody waits for it')
        self.assertEqual(full.get(), 'kept')

    def test_interrupt_breaks_a_wait_in_another_interpreter(self):
        ready, empty, full = create_queue(), create_queue(), create_queue(1)
        full.put('kept')
        for func, args in ((_announce_and_get, (ready, empty)),
                           (_announce_and_put, (ready, full))):
            with self.subTest(func.__name__):
                interp = self.create()
                future = interp.submit(func, *args)
                ready.get()
                self.assertEqual(interp.interrupt(), 1)
                with self.assertRaises(KeyboardInterrupt):
                    future.result()
        empty.put('nobody waits for it')
        self.assertEqual(empty.qsize(), 1)
        self.assertEqual(full.qsize(), 1)

    def test_closing_an_interpreter_ends_the_waits_of_its_threads(self):
        ready, q = create_queue(), create_queue()
        with self.create() as interp:
            interp.call(_get_in_a_thread, ready, q)
            ready.get()
        q.put('nobody waits for it')
        self.assertEqual(q.qsize(), 1)
        # The thread told why it did not get anything.
        self.assertEqual(ready.get(), 'InterpreterError')


def _serve(requests, replies):
    while (n := requests.get()) is not None:
        replies.put(n + 1)


def _announce_and_get(ready, q):
    ready.put(True)
    q.get()


def _announce_and_put(ready, q):
    ready.put(True)
    q.put('dropped')


def _get_in_a_thread(ready, q):
    def run():
        ready.put(True)
        try:
            q.get()
        except BaseException as exc:
            ready.put(type(exc).__name__)
    threading.Thread(target=run).start()


class UnboundTests(TestCase):
    """What becomes of the items of an interpreter that has ended."""

    def put_and_end(self, q, items, unbounditems='None'):
        """Put the items in an interpreter that is closed then."""
        with self.create() as interp:
            self.put(interp, q, items, unbounditems)
            self.assertEqual(q.qsize(), len(items))

    def put(self, interp, q, items, unbounditems):
        interp.prepare_main(q=q, items=items)
        interp.exec(f'from interpreters import *\n'
                    f'for item in items:\n'
                    f'    q.put(item, unbounditems={unbounditems})\n'
                    f'del q')

    def test_items_outlive_their_interpreter(self):
        q = create_queue()
        items = ['a', {'b': [1, 2.5]}, (), b'bytes' * 1000]
        self.put_and_end(q, items)
        self.assertEqual([q.get() for _ in items], items)

    def test_shared_memory_outlives_its_interpreter(self):
        q = create_queue()
        with self.create() as interp:
            interp.prepare_main(q=q)
            interp.exec('q.put(memoryview(b"abc" * 1000))')
        self.assertEqual(q.get(), b'abc' * 1000)

    def test_unbound_replaces_the_item(self):
        q = create_queue()
        self.put_and_end(q, ['a', 'b'], 'UNBOUND')
        self.assertEqual(q.qsize(), 2)
        self.assertIs(q.get(), UNBOUND)
        self.assertIs(q.get_nowait(), UNBOUND)
        self.assertTrue(q.empty())

    def test_unbound_error_raises_once_for_each(self):
        q = create_queue()
        self.put_and_end(q, ['a', 'b'], 'UNBOUND_ERROR')
        q.put('of this interpreter', unbounditems=UNBOUND_ERROR)
        for get in (q.get, q.get_nowait):
            with self.assertRaises(ItemInterpreterDestroyed):
                get()
        self.assertEqual(q.get(), 'of this interpreter')

    def test_unbound_remove_passes_over_the_items(self):
        q = create_queue()
        self.put_and_end(q, ['a', 'b'], 'UNBOUND_REMOVE')
        with self.assertRaises(QueueEmpty):
            q.get_nowait()
        self.put_and_end(q, ['a', 'b'], 'UNBOUND_REMOVE')
        with self.assertRaises(QueueEmpty):
            q.get(timeout=0.01)
        self.put_and_end(q, ['a', 'b'], 'UNBOUND_REMOVE')
        q.put('of this interpreter', unbounditems=UNBOUND_REMOVE)
        self.assertEqual(q.get(), 'of this interpreter')
        self.assertTrue(q.empty())

    def test_removed_items_do_not_count(self):
        q = create_queue(1)
        self.put_and_end(q, ['removed'], 'UNBOUND_REMOVE')
        self.assertEqual((q.qsize(), q.empty(), q.full()), (0, True, False))

    def test_removed_items_take_no_room(self):
        q = create_queue(1)
        self.put_and_end(q, ['removed'], 'UNBOUND_REMOVE')
        q.put_nowait('next')
        self.assertEqual(q.get(), 'next')

    def test_each_item_has_its_own_way(self):
        q = create_queue()
        with self.create() as interp:
            for way in ('UNBOUND_ERROR', 'UNBOUND', 'UNBOUND_REMOVE', 'None'):
                self.put(interp, q, [f'put with {way}'], way)
        with self.assertRaises(ItemInterpreterDestroyed):
            q.get()
        self.assertIs(q.get(), UNBOUND)
        self.assertEqual(q.get(), 'put with None')
        self.assertTrue(q.empty())

    def test_items_are_themselves_while_their_interpreter_lives(self):
        q = create_queue()
        interp = self.create()
        for way in ('UNBOUND', 'UNBOUND_ERROR', 'UNBOUND_REMOVE'):
            self.put(interp, q, [way], way)
            self.assertEqual(q.get(), way)

    def test_what_was_got_before_the_end_stays(self):
        q = create_queue()
        with self.create() as interp:
            self.put(interp, q, [['list']], 'UNBOUND')
            item = q.get()
        self.assertEqual(item, ['list'])

    def create_put_and_end(self, unbounditems, puts):
        """Return a queue whose creator has put into it, and has ended."""
        recv, send = create_channel(1)
        with self.create() as interp:
            interp.prepare_main(send=send)
            interp.exec(f'from interpreters import *\n'
                        f'q = create_queue(unbounditems={unbounditems})\n'
                        f'{puts}\n'
                        f'send.send(q)')
            return recv.recv()

    def test_given_when_the_queue_was_created(self):
        q = self.create_put_and_end('None', 'q.put("item")')
        self.assertEqual(q.get_nowait(), 'item')
        q = self.create_put_and_end('UNBOUND', 'q.put("item")')
        self.assertIs(q.get_nowait(), UNBOUND)
        q = self.create_put_and_end('UNBOUND_ERROR', 'q.put("item")')
        with self.assertRaises(ItemInterpreterDestroyed):
            q.get_nowait()
        q = self.create_put_and_end('UNBOUND_REMOVE', 'q.put("item")')
        with self.assertRaises(QueueEmpty):
            q.get_nowait()

    def test_put_overrides_what_the_queue_was_created_with(self):
        q = self.create_put_and_end('UNBOUND',
                                    'q.put(1, unbounditems=UNBOUND_ERROR)\n'
                                    'q.put_nowait(2, unbounditems=None)\n'
                                    'q.put_nowait(3, unbounditems=UNBOUND_REMOVE)')
        with self.assertRaises(ItemInterpreterDestroyed):
            q.get()
        self.assertIs(q.get(), UNBOUND)         # None: as created
        with self.assertRaises(QueueEmpty):
            q.get_nowait()

    def test_wrong_values(self):
        q = create_queue()
        for bad in (0, 4, -1, 10**30, 'UNBOUND', object(), ()):
            with self.subTest(bad):
                with self.assertRaises(ValueError):
                    q.put(1, unbounditems=bad)
                with self.assertRaises(ValueError):
                    q.put_nowait(1, unbounditems=bad)
                with self.assertRaises(ValueError):
                    create_queue(unbounditems=bad)
        for call in (lambda: q.put(1, True, None, UNBOUND),
                     lambda: create_queue(0, UNBOUND)):
            with self.assertRaises(TypeError):      # keyword only
                call()
        self.assertTrue(q.empty())

    def test_ways_are_shown_by_name(self):
        self.assertEqual(repr([UNBOUND, UNBOUND_ERROR, UNBOUND_REMOVE]),
                         '[interpreters.UNBOUND, interpreters.UNBOUND_ERROR, '
                         'interpreters.UNBOUND_REMOVE]')

    def test_an_interpreter_that_is_kept_for_its_memory_counts_as_ended(self):
        for way in (UNBOUND, UNBOUND_ERROR, UNBOUND_REMOVE):
            with self.subTest(way):
                q = create_queue()
                interp = self.create()
                interp.prepare_main(q=q)
                interp.exec(f'import interpreters, array\n'
                            f'q.put([memoryview(array.array("d", [1.5]))],\n'
                            f'      unbounditems=interpreters.{way.name})')
                interp.close()
                if way is UNBOUND:
                    self.assertIs(q.get_nowait(), UNBOUND)
                elif way is UNBOUND_ERROR:
                    with self.assertRaises(ItemInterpreterDestroyed):
                        q.get_nowait()
                else:
                    with self.assertRaises(QueueEmpty):
                        q.get_nowait()
                self.assertNotIn(interp.id,
                                 [i.id for i in interpreters.list_all()])


def _produce(q, producer, count):
    for i in range(count):
        q.put((producer, i))


def _consume(q):
    got = []
    while (item := q.get()) is not None:
        got.append(item)
    return got


class ManyTests(TestCase):

    def check(self, received, producers, count):
        """Each item was got once, those of one producer in their order."""
        for got in received:
            last = [-1] * producers
            for producer, i in got:
                self.assertGreater(i, last[producer])
                last[producer] = i
        self.assertEqual(sorted(item for got in received for item in got),
                         [(p, i) for p in range(producers) for i in range(count)])

    def test_by_interpreters(self):
        parties, count = 3, 500
        producers = [self.create() for _ in range(parties)]
        consumers = [self.create() for _ in range(parties)]
        for maxsize in (1, 16, 0):
            with self.subTest(maxsize=maxsize):
                q = create_queue(maxsize)
                received = [interp.submit(_consume, q) for interp in consumers]
                sent = [interp.submit(_produce, q, i, count)
                        for i, interp in enumerate(producers)]
                for future in sent:
                    future.result()
                _put_all(q, [None] * parties)
                self.check([future.result() for future in received],
                           parties, count)
                self.assertTrue(q.empty())

    def test_by_threads_of_one_interpreter(self):
        parties, count = 4, 500
        for maxsize in (1, 16, 0):
            with self.subTest(maxsize=maxsize):
                q = create_queue(maxsize)
                received = [self.start(_consume, q) for _ in range(parties)]
                sent = [self.start(_produce, q, i, count) for i in range(parties)]
                for result in sent:
                    result()
                _put_all(q, [None] * parties)
                self.check([result() for result in received], parties, count)

    def test_by_threads_and_interpreters_with_timeouts(self):
        # Those that give up lose nothing and put nothing.
        count = 300
        q = create_queue(2)
        received = [self.create().submit(_consume_impatiently, q),
                    self.start(_consume_impatiently, q)]
        sent = [self.create().submit(_produce_impatiently, q, 0, count),
                self.start(_produce_impatiently, q, 1, count)]
        sent[0].result()
        sent[1]()
        _put_all(q, [None, None])
        self.check([received[0].result(), received[1]()], 2, count)
        self.assertTrue(q.empty())


def _produce_impatiently(q, producer, count):
    for i in range(count):
        while True:
            try:
                q.put((producer, i), timeout=(i % 7) * 1e-5)
                break
            except QueueFull:
                time.sleep(0)


def _consume_impatiently(q):
    got = []
    while True:
        try:
            item = q.get(timeout=(len(got) % 5) * 1e-5)
        except QueueEmpty:
            time.sleep(0)
            continue
        if item is None:
            return got
        got.append(item)


class _AttributesHandler(logging.handlers.QueueHandler):
    """Puts the attributes of a record, for those who cannot get the record."""

    def prepare(self, record):
        return vars(super().prepare(record))


class _AttributesListener(logging.handlers.QueueListener):

    def prepare(self, attributes):
        return logging.makeLogRecord(attributes)


class _Collector(logging.Handler):

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


def _log(q, name, count):
    logger = logging.getLogger(name)
    logger.setLevel('INFO')
    logger.addHandler(_AttributesHandler(q))
    logger.debug('not wanted')
    for i in range(count):
        logger.info('%s %d', name, i)
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception('failed', extra={'more': ['extra', 1]})


class LoggingTests(TestCase):

    def listen(self, q):
        collector = _Collector()
        listener = _AttributesListener(q, collector)
        listener.start()
        self.addCleanup(listener.stop)
        return listener, collector.records

    def test_records_of_other_interpreters_reach_a_handler(self):
        q = create_queue()
        listener, records = self.listen(q)
        names = ['first', 'second']
        futures = [self.create().submit(_log, q, name, 20) for name in names]
        for future in futures:
            future.result()
        listener.stop()
        for name in names:
            *infos, error = [r for r in records if r.name == name]
            self.assertEqual([r.getMessage() for r in infos],
                             [f'{name} {i}' for i in range(20)])
            self.assertEqual({r.levelno for r in infos}, {logging.INFO})
            self.assertEqual({r.funcName for r in infos}, {'_log'})
            self.assertEqual(error.levelname, 'ERROR')
            self.assertEqual(error.more, ['extra', 1])
            self.assertRegex(error.getMessage(),
                             r'(?s)^failed\nTraceback .*\nZeroDivisionError')

    def test_records_of_threads_of_this_interpreter_reach_a_handler(self):
        q = create_queue()
        listener, records = self.listen(q)
        handler = _AttributesHandler(q)

        def log(n):
            for i in range(50):
                handler.handle(logging.makeLogRecord({'msg': f'{n} {i}'}))

        for result in [self.start(log, n) for n in range(3)]:
            result()
        listener.stop()
        self.assertEqual(sorted(r.getMessage() for r in records),
                         sorted(f'{n} {i}' for n in range(3) for i in range(50)))

    def test_a_full_queue_is_reported_by_the_handler(self):
        q = create_queue(1)
        handler = _AttributesHandler(q)
        failed = []
        handler.handleError = lambda record: failed.append(record.msg)
        for msg in ('fits', 'does not'):
            handler.handle(logging.makeLogRecord({'msg': msg}))
        self.assertEqual(failed, ['does not'])
        self.assertEqual(q.get()['msg'], 'fits')


if __name__ == '__main__':
    unittest.main()
