"""The C API of channels, used by a small extension that is compiled here."""

import pytest


@pytest.fixture
def run(run_with_extension):
    """Run a program in which `ext` is the extension."""
    def run(program):
        return run_with_extension('channelext',
                                  'import interpreters\nimport channelext as ext\n' + program)
    return run


def test_raw_memory_arrives_as_a_memoryview_and_is_destroyed_once(run):
    assert run('''
recv, send = ext.new(1)
assert ext.send(send, 5, 65, 0) == ext.OK
view = recv.recv()
assert isinstance(view, memoryview) and view.format == 'B' and not view.readonly
print(bytes(view), ext.destroyed())
part = view[1:3]
del view
print(bytes(part), ext.destroyed())
del part
print(ext.destroyed())
''') == "b'AAAAA' 0\nb'AA' 0\n1\n"


def test_statuses(run):
    run('''
recv, send = ext.new(1)
assert ext.recv(recv, 0) == ext.WOULD_BLOCK
assert ext.recv(recv, 1_000_000) == ext.TIMEOUT
assert ext.send(send, 3, 0, 0) == ext.OK
assert ext.send(send, 3, 0, 0) == ext.WOULD_BLOCK
assert ext.send(send, 3, 0, 1_000_000) == ext.TIMEOUT
assert ext.destroyed() == 0
assert ext.recv(recv, -1) == bytes(3)
assert ext.destroyed() == 1
send.close()
assert ext.recv(recv, -1) == ext.CLOSED
recv, send = ext.new(0)
recv.close()
assert ext.send(send, 3, 0, -1) == ext.CLOSED
assert ext.destroyed() == 1
for wrong in None, 1, 'x':
    try:
        ext.recv(wrong, 0)
    except TypeError:
        pass
    else:
        raise AssertionError(wrong)
''')


def test_python_objects_arrive_as_objects(run):
    run('''
recv, send = interpreters.create_channel(None)
for obj in 1, None, 'text', [1, {'a': (2.5,)}], recv:
    send.send(obj)
    assert ext.recv(recv, 0) == (obj,)
send.send_buffer(b'abc')
(view,) = ext.recv(recv, 0)
assert bytes(view) == b'abc'
''')


def test_what_nobody_receives_is_destroyed(run):
    run('''
recv, send = ext.new(10)
for i in range(10):
    assert ext.send(send, i, i, 0) == ext.OK
assert ext.destroyed() == 0
recv.close()
assert ext.destroyed() == 10
''')


def test_native_threads_send_to_several_interpreters(run):
    assert run('''
recv, send = ext.new(4)
def count(recv):
    n = total = 0
    for view in recv:
        assert bytes(view) == bytes([len(view) & 0xff]) * len(view)
        n += 1
        total += len(view)
    return n, total
interps = [interpreters.create() for _ in range(2)]
futures = [interp.submit(count, recv) for interp in interps]
for _ in range(3):
    ext.send_from_native_thread(send, 1000)
send.close()
results = [future.result() for future in futures]
for interp in interps:
    interp.close()
print(sum(n for n, _ in results), sum(total for _, total in results), ext.destroyed())
''') == f'3000 {3 * sum(range(1000))} 3000\n'


def test_a_signal_breaks_a_wait_in_the_main_thread(run):
    run('''
import signal
recv, send = ext.new(0)
signal.signal(signal.SIGALRM, lambda *args: None)
signal.setitimer(signal.ITIMER_REAL, 0.05)
assert ext.recv(recv, -1) == ext.INTERRUPTED
''')


def test_another_interpreter_has_the_same_channels(run):
    run('''
recv, send = ext.new(1)
interp = interpreters.create()
def use(send):
    import channelext
    return channelext.send(send, 2, 66, 0)
assert interp.call(use, send) == ext.OK
interp.close()
assert ext.recv(recv, 0) == b'BB'
''')
