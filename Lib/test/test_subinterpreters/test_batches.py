"""The front of unbounded channels: what a receive took out of the buffer for those
that come after it.  It shows in nothing but the speed."""

import unittest

import _xxsubinterpreters
import interpreters
from interpreters import (
    ChannelClosedError, UNBOUND_REMOVE, create_channel, create_queue, select)
from test.support import requires_fork, requires_subprocess, skip_if_sanitizer
from test.support.script_helper import assert_python_ok
from test.test_subinterpreters.support import TestCase


class BatchTests(TestCase):

    def filled(self, n=10):
        """Return the ends of a channel with a front of 1 to n - 1."""
        recv, send = create_channel(None)
        for i in range(n):
            send.send(i)
        self.assertEqual(recv.recv(), 0)
        return recv, send

    def test_order(self):
        recv, send = self.filled()
        for i in range(10, 15):
            send.send(i)
        self.assertEqual([recv.recv() for _ in range(4)], [1, 2, 3, 4])
        self.assertEqual(recv.recv_nowait(), 5)
        self.assertEqual(select(recv), (0, 6))
        self.assertEqual(recv.drain(2), [7, 8])
        self.assertEqual(recv.drain(3), [9, 10, 11])
        send.close()
        self.assertEqual(list(recv), [12, 13, 14])

    def test_length(self):
        recv, send = self.filled()
        send.send(10)
        self.assertEqual((len(recv), len(send)), (10, 10))
        self.assertIn(' len=10 ', repr(recv))
        q = create_queue()
        for i in range(5):
            q.put(i)
        q.get()
        self.assertEqual((q.qsize(), q.empty(), q.full()), (4, False, False))

    def test_any_receiver_may_have_it(self):
        recv, send = self.filled()
        interp = self.create()
        interp.prepare_main(recv=recv)
        interp.exec('assert [recv.recv() for _ in range(5)] == [1, 2, 3, 4, 5]')
        self.assertEqual(recv.drain(), [6, 7, 8, 9])

    def test_closing_the_last_receiving_end_destroys_it(self):
        recv, send = create_channel(None)
        data = [bytearray(1) for _ in range(4)]
        for each in data:
            send.send_buffer(each)
        recv.recv().release()
        data[0].append(1)
        with self.assertRaises(BufferError):
            data[1].append(1)
        recv.close()
        for each in data:
            each.append(1)
        with self.assertRaises(ChannelClosedError):
            send.send(1)

    def test_a_closed_end_gets_nothing(self):
        recv, send = self.filled()
        keep, = [r for r, _ in interpreters.list_all_channels() if r.id == recv.id]
        recv.close()
        for receive in (recv.recv, recv.recv_nowait, recv.drain):
            with self.assertRaises(ChannelClosedError):
                receive()
        self.assertEqual(keep.drain(), list(range(1, 10)))

    def test_what_is_given_back_is_the_next_again(self):
        recv, send = self.filled()
        port = _xxsubinterpreters.Port()
        first, second = port.recv(recv), port.recv(recv)
        self.assertTrue(first.done and second.done)
        self.assertEqual(len(recv), 7)
        send.send(10)
        second.cancel()
        first.cancel()
        self.assertEqual(recv.drain(), list(range(1, 11)))

    def test_the_last_of_it_is_given_back(self):
        recv, send = self.filled(2)
        operation = _xxsubinterpreters.Port().recv(recv)
        for i in range(2, 5):
            send.send(i)
        self.assertEqual(recv.recv(), 2)
        operation.cancel()
        self.assertEqual(recv.drain(), [1, 3, 4])

    def test_the_channel_goes_while_some_of_it_is_out(self):
        recv, send = self.filled()
        operation = _xxsubinterpreters.Port().recv(recv)
        recv.close()
        send.close()
        operation.cancel()
        id = recv.id
        del recv, send, operation
        self.assertNotIn(id, [r.id for r, _ in interpreters.list_all_channels()])

    def test_ends_of_the_channel_itself_behind_it(self):
        recv, send = self.filled()
        id = recv.id
        send.send((recv, send))
        send.send('last')
        self.assertEqual([recv.recv() for _ in range(9)], list(range(1, 10)))
        ends = recv.recv()
        self.assertEqual([end.id for end in ends], [id, id])
        self.assertEqual(recv.recv(), 'last')

        recv, send = self.filled()
        id = recv.id
        send.send((recv, send))
        del recv, send
        self.assertNotIn(id, [r.id for r, _ in interpreters.list_all_channels()])

    def test_items_in_it_are_removed_when_their_interpreter_ends(self):
        q = create_queue()
        ending, staying = self.create(), self.create()
        for interp in (ending, staying):
            interp.prepare_main(q=q)
        for i in range(4):
            for name, interp in ('ending', ending), ('staying', staying):
                interp.exec(f'import interpreters\n'
                            f'q.put(({name!r}, {i}),\n'
                            f'      unbounditems=interpreters.UNBOUND_REMOVE)')
        self.assertEqual(q.get(), ('ending', 0))
        ending.exec('q.put("last", unbounditems=interpreters.UNBOUND_REMOVE)')
        q.put('main', unbounditems=UNBOUND_REMOVE)
        ending.close()
        self.assertEqual(q.qsize(), 5)
        self.assertEqual([q.get_nowait() for _ in range(5)],
                         [('staying', i) for i in range(4)] + ['main'])

    @requires_fork()
    @requires_subprocess()
    def test_a_forked_child_finds_it(self):
        rc, out, err = assert_python_ok('-c', '''if True:
            import os
            from interpreters import create_channel
            recv, send = create_channel(None)
            for i in range(10):
                send.send(i)
            recv.recv()
            pid = os.fork()
            assert recv.drain(5) == [1, 2, 3, 4, 5]
            send.send('last')
            assert recv.drain() == [6, 7, 8, 9, 'last']
            if pid == 0:
                os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            ''')
        self.assertEqual(out.strip(), b'0')

    @requires_subprocess()
    @skip_if_sanitizer('sanitizers keep what is freed', address=True, thread=True)
    def test_its_memory_is_given_up_when_it_is_empty(self):
        for receive in 'recv.recv()', 'select(recv)', 'recv.drain(1)':
            with self.subTest(receive):
                # In a process of its own, whose malloc() maps large arrays.
                assert_python_ok('-c', f'''if True:
                    import os
                    from interpreters import create_channel, select
                    def resident():
                        with open('/proc/self/statm') as file:
                            return int(file.read().split()[1])
                    recv, send = create_channel(None)
                    n = 250_000                 # 4 MB
                    for _ in range(n):
                        send.send(None)
                    full = resident()
                    for _ in range(n):
                        {receive}
                    given_up = full - resident()
                    assert given_up * os.sysconf('SC_PAGE_SIZE') > 8 * n
                    ''')


if __name__ == '__main__':
    unittest.main()
