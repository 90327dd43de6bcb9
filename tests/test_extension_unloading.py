"""Private copies go with their interpreter: tests/capi/plainext.c, and numpy."""

import subprocess
from pathlib import Path

import pytest

# Bytes that a cycle may leave behind: what modules get from malloc() themselves and never free.
LEFT = 32 * 1024

PROGRAM = Path(__file__).with_name('growth.py').read_text() + '''
import interpreters, sys

def call(module, *names):
    module = __import__(module)
    return [getattr(module, name)() for name in names]

def cycle(module, *names):
    with interpreters.create() as interp:
        return interp.call(call, module, *names)
'''


@pytest.fixture
def run(run_with_extension):
    """Run a program with one of the two extensions; return the lines it prints."""
    def run(program, name='plainext'):
        return run_with_extension(name, PROGRAM + program).splitlines()
    return run


def test_it_goes_with_its_interpreter(run):
    assert run('''
with interpreters.create() as interp:
    [address] = interp.call(call, 'plainext', 'address')
    print([(copy.owner == interp, copy.kept_for) for copy in interpreters.list_extensions()])
print(interpreters.list_extensions())
with open('/proc/self/maps') as f:
    ranges = [[int(end, 16) for end in line.split()[0].split('-')] for line in f]
print(any(start <= address < end for start, end in ranges))
''') == ['[(True, None)]', '[]', 'False']


def test_what_it_kept_goes_as_well(run):
    # A megabyte, among others, of which the interpreter knows nothing when it ends.
    [line] = run('print(*growth(50, cycle, "plainext", "keep"))')
    nbytes, mappings = map(float, line.split())
    assert nbytes < LEFT and mappings < 0.1


def test_blocks_are_not_counted_any_more(run):
    assert run('''
cycle('plainext', 'keep')
before = sys.getallocatedblocks()
for _ in range(10):
    cycle('plainext', 'keep')
print(sys.getallocatedblocks() - before < 10)
''') == ['True']


def test_variables_of_a_thread_are_new_for_the_next_interpreter(run):
    assert run('''
for _ in range(3):
    print(cycle('plainext', 'count_calls', 'count_calls'))
''') == ['[1, 2]'] * 3


def test_its_place_in_the_lists_of_modules_is_used_again(run):
    assert run('''
print(len({cycle('plainext', 'module_index')[0] for _ in range(5)}))
first, second = interpreters.create(), interpreters.create()
print(len({interp.call(call, 'plainext', 'module_index')[0] for interp in (first, second)}))
''') == ['1', '2']


def test_one_that_may_be_called_later_is_kept(run):
    assert run('''
print(*cycle('keptext', 'count_calls'))
[copy] = interpreters.list_extensions()
print(copy.owner, copy.kept_for)
''', 'keptext') == ['1', 'None it can start threads']


def test_one_that_is_kept_keeps_the_others_of_its_interpreter(run, run_with_extension):
    run_with_extension('keptext', '')
    assert run('''
import threading
kept = interpreters.create()
kept.call(call, 'keptext')
kept.call(call, 'plainext', 'keep')
cycle('plainext', 'keep')
kept.close()
print(sorted((copy.owner, copy.kept_for) for copy in interpreters.list_extensions()
             if 'plain' in copy.path))
print(len(interpreters.list_extensions()))
''') == ['[(None, None)]', '2']


def test_many_threads_at_once(run):
    # Loading, looking an address up, and unloading.
    assert run('''
import threading
failed = []
def work():
    try:
        for _ in range(30):
            assert cycle('plainext', 'keep', 'count_calls') == [None, 1]
    except BaseException as exc:
        failed.append(exc)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failed, interpreters.list_extensions())
''') == ['[] []']


def test_numpy_leaves_nothing(python):
    done = subprocess.run([python, '-c', PROGRAM + 'print(*growth(20, cycle, "numpy"))'], text=True,
                          capture_output=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, '')
    nbytes, mappings = map(float, done.stdout.split())
    assert nbytes < LEFT and mappings < 0.1


def test_numpy_arrays_that_outlive_their_interpreter(python):
    done = subprocess.run([python, '-c', PROGRAM + '''
def work(n):
    import interpreters, numpy
    return interpreters.share(numpy.arange(n, dtype=float))

def cycle(n):
    with interpreters.create() as interp:
        array = interp.call(work, n)
    assert interp in interpreters.list_all()        # until the array goes
    assert array.sum() == n * (n - 1) / 2
    array[0] = 1

print(*growth(20, cycle, 100_000))
print(len(interpreters.list_all()), interpreters.list_extensions(), interpreters.list_shared())
'''], text=True, capture_output=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, '')
    growth, rest = done.stdout.splitlines()
    nbytes, mappings = map(float, growth.split())
    assert nbytes < LEFT and mappings < 0.1
    assert rest == '1 [] []'
