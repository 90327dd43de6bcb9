"""Every allocation of the engine fails once, in one thread; nothing is lost by it."""

import pytest

SWEEP = '''
import gc
import faultinject                  # before there are other interpreters
import interpreters
from interpreters import create_channel, create_queue, select, ChannelFullError

def sweep(prepare, act, check, errors=MemoryError):
    """Let act(*state) fail at each allocation in turn, until none is left to fail.

    check(done, *state) finds out that all of it happened, or nothing.
    """
    for mode in faultinject.fail_after, faultinject.fail_once:
        n = 0
        while True:
            state = prepare()
            result, exc, failed = mode(n, lambda: act(*state))
            assert exc is None or isinstance(exc, errors), repr(exc)
            assert failed or exc is None, repr(exc)
            del result
            check(exc is None, *state)
            if not failed:
                break
            n += 1
        assert n > 0                # something was made to fail
    print('ok')

PAYLOAD = {'key': ['text', 2.5, 10**30, b'bytes']}

def one_message(recv, done, expected):
    assert recv.drain() == ([expected] if done else []), done
'''

CASES = {
    'create a channel': '''
        known = len(interpreters.list_all_channels())
        def check(done):
            assert len(interpreters.list_all_channels()) == known
        sweep(lambda: (), lambda: create_channel(3), check)
        ''',
    'create a queue': '''
        sweep(lambda: (), lambda: create_queue(), lambda done: None)
        ''',
    'send': '''
        for capacity in 4, None:
            sweep(lambda: create_channel(capacity), lambda recv, send: send.send(PAYLOAD),
                  lambda done, recv, send: one_message(recv, done, PAYLOAD))
        ''',
    'send and receive a graph': '''
        import ast, collections, datetime, fractions
        cycle = [{'a': 1, 'b': 2.5} for _ in range(3)]
        cycle += [cycle, {1, 'x'}, frozenset([(1, 2)]), slice(1, 2), bytearray(b'y'), range(5),
                  list(range(100)), [0.5] * 10, 'é' * 5, 'z' * 100_000, 2**70, 1j,
                  collections.OrderedDict(k=[1]), collections.deque([1]),
                  datetime.date(2020, 1, 1), fractions.Fraction(1, 3), ast.parse('f(1)'),
                  fractions.Fraction, ast]
        recv, send = create_channel(None)
        def check(done):
            if done:
                assert len(recv.recv()) == len(cycle)
            assert len(recv) == 0
        sweep(lambda: (), lambda: send.send(cycle), check)
        def prepare():
            send.send(cycle)
            return ()
        # The base may lose a MemoryError when it calls Python code: ast.__getattr__().
        sweep(prepare, recv.recv, lambda done: None, (MemoryError, SystemError))
        ''',
    'send and receive what has no name': '''
        def make(n):
            class Local:
                value = n
                def method(self):
                    return super().__repr__(), n
            obj = Local()
            obj.function = lambda: (make, n)
            obj.error = ValueError(n)
            return obj
        local = make(3)
        make = None
        recv, send = create_channel(None)
        send.send(local)
        recv.recv()                     # what is imported, is imported
        def check(done):
            if done:
                assert recv.recv().value == 3
            assert len(recv) == 0
        # marshal, and the base elsewhere, take no memory for something else at times.
        errors = MemoryError, ValueError, SystemError
        sweep(lambda: (), lambda: send.send(local), check, errors)
        def prepare():
            send.send(local)
            return ()
        sweep(prepare, recv.recv, lambda done: None, errors)
        ''',
    'send a small value': '''
        sweep(lambda: create_channel(None), lambda recv, send: send.send(1),
              lambda done, recv, send: one_message(recv, done, 1))
        ''',
    'send when the buffer has to grow': '''
        def prepare():
            recv, send = create_channel(None)
            for i in range(8):
                send.send(i)
            return recv, send
        def check(done, recv, send):
            assert recv.drain() == list(range(9 if done else 8))
        sweep(prepare, lambda recv, send: send.send(8), check)
        ''',
    'send ends': '''
        def prepare():
            return create_channel(None) + create_channel()
        def check(done, recv, send, other_recv, other_send):
            if done:
                recv.drain()
            other_recv.close()
            try:
                other_send.send_nowait(1)
            except interpreters.ChannelClosedError:
                return              # no copy of the receiving end was left open
            raise AssertionError('a receiving end is left')
        sweep(prepare, lambda recv, send, *other: send.send(other), check)
        ''',
    'share memory': '''
        def prepare():
            return create_channel(None) + (bytearray(1000),)
        def check(done, recv, send, memory):
            if done:
                recv.drain()
            memory.append(1)        # BufferError if it is still exported
        sweep(prepare, lambda recv, send, memory: send.send_buffer(memory), check)
        ''',
    'share': '''
        import array
        from interpreters import SharedBlock, list_shared, share
        share(bytearray())                  # imports
        def prepare():
            return create_channel(None) + (bytearray(10), array.array('d', [1.5]))
        def check(done, recv, send, *objects):
            if done:
                assert len(recv.drain()) == 1
            for obj in objects:
                obj.append(1)
        sweep(prepare, lambda recv, send, *objects: send.send([share(obj) for obj in objects]),
              check)
        def prepare():
            recv, send = create_channel(None)
            send.send([memoryview(b'abc'), SharedBlock(10)])
            return recv, send
        def check(done, recv, send):
            recv.close()
            gc.collect()
            assert list_shared() == []
        sweep(prepare, lambda recv, send: recv.recv(), check)
        sweep(lambda: (SharedBlock(10),), lambda block: list_shared(), lambda done, block: None)
        sweep(lambda: (), lambda: SharedBlock(10), lambda done: None)
        sweep(lambda: (), lambda: SharedBlock(3 << 20, huge=True), lambda done: None)
        gc.collect()
        assert list_shared() == []
        ''',
    'share through Arrow': '''
        import _xxsubinterpreters as engine
        from interpreters import list_shared, share
        class Exporter:
            def __init__(self, memory):
                self.memory = memory
            def __arrow_c_array__(self):
                return engine.to_arrow(self.memory, 'C', 4).__arrow_c_array__()
        share(Exporter(bytearray(8)))       # imports
        def prepare():
            return create_channel(None) + (bytearray(8),)
        def check(done, recv, send, memory):
            if done:
                assert recv.recv().shape == (2, 4)
            assert list_shared() == []
            memory.append(1)
        sweep(prepare, lambda recv, send, memory: send.send(share(Exporter(memory))), check)
        def prepare():
            memory = bytearray(8)
            return memory, engine.to_arrow(memory, 'C', 4)
        def check(done, memory, exported):
            assert len(list_shared()) == 1
        sweep(prepare, lambda memory, exported: exported.__arrow_c_schema__(), check)
        sweep(prepare, lambda memory, exported: engine.from_arrow(exported, (1, 2), 'b').shape,
              check)
        ''',
    'move': '''
        import array
        from interpreters import MovedError, SharedBlock, move
        def prepare():
            return create_channel(None) + (bytearray(b'abc' * 300), array.array('i', range(300)),
                                           SharedBlock(300))
        def act(recv, send, *objects):
            send.send([move(obj) for obj in objects])
        def check(done, recv, send, *objects):
            if done:
                assert [len(obj) for obj in recv.recv()] == [900, 300, 300]
            else:
                assert [len(obj) for obj in objects] == [900, 300, 300]
                assert objects[0] == b'abc' * 300
                objects[1].append(1)
        sweep(prepare, act, check)
        def prepare():
            recv, send, *objects = prepare_objects()
            act(recv, send, *objects)
            return recv, send, *objects
        prepare_objects = lambda: create_channel(None) + (bytearray(b'abc' * 300),)
        def check(done, recv, send, obj):
            try:
                len(obj)
            except MovedError:
                pass
        sweep(prepare, lambda recv, send, obj: recv.recv(), check)
        def prepare_lost():
            recv, send, obj = prepare()
            recv.close()
            return obj,
        def check(done, obj):
            assert obj == b'abc' * 300
        sweep(prepare_lost, len, check)
        ''',
    'select': '''
        def prepare():
            return create_channel() + create_channel(None)
        def check(done, recv, send, recv2, send2):
            one_message(recv2, done, PAYLOAD)
        sweep(prepare, lambda recv, send, recv2, send2: select(recv, (send2, PAYLOAD)), check)
        ''',
    'put': '''
        from interpreters import UNBOUND, QueueEmpty
        def check(done, queue):
            try:
                assert queue.get_nowait() == PAYLOAD and done
            except QueueEmpty:
                assert not done
        for policy in None, UNBOUND:
            sweep(lambda: (create_queue(),),
                  lambda queue: queue.put(PAYLOAD, unbounditems=policy), check)
        ''',
    'begin operations of an event loop': '''
        import _xxsubinterpreters as engine
        def prepare():
            return create_channel(None) + (engine.Port(),)
        def check_send(done, recv, send, port):
            one_message(recv, done, PAYLOAD)
        sweep(prepare, lambda recv, send, port: port.send(send, PAYLOAD).result(), check_send)
        def check_recv(done, recv, send, port):
            gc.collect()
            send.send(1)
            assert recv.drain() == [1]  # an operation left behind would have taken it
        sweep(prepare, lambda recv, send, port: port.recv(recv).cancel(), check_recv)
        ''',
    'list the channels': '''
        keep = create_channel()
        known = len(interpreters.list_all_channels())
        sweep(lambda: (), interpreters.list_all_channels,
              lambda done: len(interpreters.list_all_channels()) == known)
        ''',
}


@pytest.mark.parametrize('name', CASES)
def test_every_allocation_fails_once(run_with_extension, name):
    import textwrap
    program = SWEEP + textwrap.dedent(CASES[name])
    out = run_with_extension('faultinject', program)
    assert out.split() and set(out.split()) == {'ok'}



def test_memory_is_unpinned_later_when_there_is_none_to_attach(run_with_extension):
    out = run_with_extension('faultinject', '''
import faultinject
import interpreters

interp = interpreters.create()
interp.exec("memory = [bytearray(b'spam') for _ in range(2)]")
def view(i):
    import __main__
    return memoryview(__main__.memory[i])
def is_exported(i):
    import __main__
    try:
        __main__.memory[i].append(1)
    except BufferError:
        return True
    return False
def wait(recv):
    recv.recv()

# The runtime has memory for one thread state ready; somebody inside takes it.
recv, send = interpreters.create_channel()
inside = interp.submit(wait, recv)
while not interp.is_running():
    pass
views, other = [interp.call(view, 0)], interp.call(view, 1)
assert faultinject.fail_after(0, views.clear)[2]
print(interp.call(is_exported, 0), interp.call(is_exported, 1))
del other
print(interp.call(is_exported, 0), interp.call(is_exported, 1))

# Closing does it as well.
views.append(interp.call(view, 0))
assert faultinject.fail_after(0, views.clear)[2]
send.send(None)
inside.result()
interp.close()
print(interp in interpreters.list_all())
''')
    assert out == 'True True\nFalse False\nFalse\n'
