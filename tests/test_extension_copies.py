"""Private copies of an extension module that is compiled here, tests/capi/copyext.c."""

import pytest


@pytest.fixture
def run(run_with_extension):
    """Run a program in which interps are two interpreters; return the lines it prints."""
    def run(program):
        return run_with_extension('copyext', f'''
import interpreters, os, signal, sys, time
signal.alarm(50)
interps = [interpreters.create() for _ in range(2)]
def call(name, *args):
    import copyext
    return getattr(copyext, name)(*args)
{program}''').splitlines()
    return run


def test_variables_are_its_own(run):
    assert run('''
import copyext
print(*[copyext.count_unique() for _ in range(3)])
for interp in interps:
    print(*[interp.call(call, 'count_unique') for _ in range(2)])
print(copyext.count_unique())
''')[:4] == ['1 2 3', '1 2', '1 2', '4']


def test_constructors_and_destructors(run):
    # Constructors get what main() does.
    assert run('''
steps, first, arguments = interps[0].call(call, 'constructed')
print(steps, first, arguments == len(sys.orig_argv), flush=True)
interps[0].close()
print('closed', flush=True)
os._exit(0)
''') == ['1 1 True', 'destructor', 'closed']


def test_exit_functions_run_at_the_end_of_the_interpreter(run):
    assert run('''
for interp in interps:
    assert interp.call(call, 'at_exit')
interps[0].close()
print('closed', flush=True)
''') == ['exit function', 'destructor', 'closed', 'exit function', 'destructor']


def test_it_takes_its_interpreter_for_the_main_one(run):
    assert run('''
import copyext
print(copyext.is_main(), *[interp.call(call, 'is_main') for interp in interps])
''')[0] == 'True True True'


def test_pending_calls_are_its_interpreters(run):
    assert run('''
def pend():
    import copyext, interpreters
    seen = []
    assert copyext.pend(lambda: seen.append(interpreters.get_current().id))
    for _ in range(100):
        if seen:
            break
    return seen
import copyext
assert pend() == [0]
print(*[interp.call(pend) == [interp.id] for interp in interps])
''')[0] == 'True True'


def test_text_is_shared_with_the_file(run):
    assert run('''
import copyext
addresses = [interp.call(call, 'address_of_text') for interp in interps]
with open('/proc/self/maps') as f:
    mappings = [line.split() for line in f]
for address in addresses:
    [path] = [m[-1] for m in mappings
              if int(m[0].split('-')[0], 16) <= address + 32768 < int(m[0].split('-')[1], 16)]
    assert path == copyext.__file__, path
print(len({*addresses, copyext.address_of_text()}))
''')[0] == '3'


def test_it_is_of_a_copy_that_is_listed_with_what_is_not_shared(run):
    assert run('''
import copyext
for interp in interps:
    interp.call(call, 'is_main')
listed = interpreters.list_extensions()
assert [(copy.path, copy.owner) for copy in listed] == [(copyext.__file__, interp)
                                                        for interp in interps]
size = os.path.getsize(copyext.__file__)
assert all(0 < copy.nbytes < size - 49152 for copy in listed), (listed, size)
print('listed')
''')[0] == 'listed'


def test_close_waits_for_a_thread_that_waits_for_a_native_one(run):
    # The native one calls back after close() has begun to wait.
    assert run('''
started, started_send = interpreters.create_channel(None)
going, go = interpreters.create_channel(None)
def start(started, going):
    import copyext, threading
    def work():
        started.send(None)
        try:
            going.recv()                # until the interpreter is closed
        except interpreters.InterpreterError:
            pass
        copyext.pool(lambda: print('called back', flush=True))
        print('thread done', flush=True)
    import interpreters
    threading.Thread(target=work).start()
interps[0].call(start, started_send, going)
started.recv()
interps[0].close()
print('closed', flush=True)
os._exit(0)
''') == ['called back', 'thread done', 'destructor', 'closed']


def test_its_own_thread_calls_it_while_it_ends(run):
    assert run('''
interps[0].call(call, 'keep')
interps[0].close()
print('closed', flush=True)
os._exit(0)
''') == ['destructor', 'capsule', 'closed']


def test_first_loaded_while_the_interpreter_ends(run):
    # A native thread that comes then waits, and does not use the processor.
    assert run('''
def f():
    import atexit
    @atexit.register
    def load():
        import copyext
        copyext.hammer()
interps[0].call(f)
interps[0].close()
def states():
    """Of the process's other threads, as the kernel names them; R is running."""
    tasks = {int(task) for task in os.listdir('/proc/self/task')} - {os.getpid()}
    for task in tasks:
        with open(f'/proc/self/task/{task}/stat') as f:
            yield f.read().rpartition(')')[2].split()[0]
seen = set()
for _ in range(50):
    time.sleep(0.01)
    seen.update(states())
print(seen)
os._exit(0)
''') == ['destructor', "{'S'}"]


def test_a_visitor_may_come_back_while_the_interpreter_is_closed(run):
    # A native thread visits b, from there a, and from there b again.
    assert run('''
a, b = interps
address = a.call(call, 'address_of_through')
recv, send = interpreters.create_channel(None)
never, never_send = interpreters.create_channel(None)
def start(address, send, never):
    import copyext
    def first():
        send.send('there')
        try:
            never.recv()                # until the interpreter is closed
        except BaseException:
            send.send('interrupted')
    copyext.visit(address, first, lambda: send.send('there again'))
b.call(start, address, send, never)
print(recv.recv(), flush=True)
b.close()
print(recv.recv(), recv.recv(), flush=True)
os._exit(0)
''') == ['there', 'destructor', 'interrupted there again']


def test_native_threads_that_keep_their_state_do_not_keep_the_interpreter(run):
    # cffi keeps the state of each thread that calls back, for the next time.
    assert run('''
def stay():
    import copyext
    calls = []
    copyext.pool_that_stays(lambda: calls.append(interpreters.get_current().id))
    return calls
import interpreters
for interp in interps:
    assert interp.call(stay) == [interp.id] * 3
    interp.close()
print('closed', flush=True)
os._exit(0)
''') == ['destructor', 'destructor', 'closed']


def test_a_thread_that_keeps_its_state_returns_to_where_it_was(run):
    assert run('''
import copyext
addresses = [interp.call(call, 'address_of_through_and_keep') for interp in interps]
for address in addresses * 3:
    copyext.go_through(address)
    print(interpreters.get_current().id, end=' ')
for interp in interps:
    interp.close()
print('closed', flush=True)
os._exit(0)
''') == ['0 0 0 0 0 0 destructor', 'destructor', 'closed']


def test_native_threads_come_while_interpreters_are_closed(run):
    assert run('''
for interp in interps:
    for _ in range(4):
        interp.call(call, 'hammer')
    interp.call(time.sleep, 0.1)
    interp.close()
print('closed', flush=True)
os._exit(0)
''') == ['destructor', 'destructor', 'closed']


def test_native_threads_come_while_interpreters_are_collected(run):
    # One that has a visitor then stays, as no thread may wait for it.
    assert run('''
for _ in range(40):
    interp = interpreters.create()
    for _ in range(4):
        interp.call(call, 'hammer')
    del interp
print('alive', flush=True)
os._exit(0)
''')[-1] == 'alive'


def test_fork_while_native_threads_come(run):
    assert run('''
import copyext
interps[0].call(call, 'hammer')
import warnings
warnings.simplefilter('ignore')         # there are threads
for _ in range(200):
    if (pid := os.fork()) == 0:
        copyext.pool(int)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
print('done', flush=True)
os._exit(0)
''') == ['done']
