"""What interpreters leave behind in memory when they are closed: nothing that adds up."""

import os
import subprocess
from pathlib import Path

import pytest

# As many as one has time for: 10,000 take some minutes for each test.
CYCLES = int(os.environ.get('ENSEMBLE_CYCLES', 50))

# Bytes that a cycle may leave behind; with stock it is 1.7 MB.
LEFT = 32 * 1024

GROWTH = Path(__file__).with_name('growth.py').read_text()

PROGRAMS = {
    'nothing': '''
def cycle():
    interpreters.create().close()
''',
    'threads': '''
def work():
    import threading
    threads = [threading.Thread(target=sum, args=([1, 2],)) for _ in range(3)]
    for thread in threads:
        thread.start()
    return threads[0].join()

def cycle():
    with interpreters.create() as interp:
        interp.call(work)
''',
    'channels': '''
def echo(recv, send):
    for obj in recv:
        send.send(obj)

def cycle():
    here, there_send = interpreters.create_channel(2)
    there, here_send = interpreters.create_channel()
    with interpreters.create() as interp:
        thread = interp.call_in_thread(echo, there, there_send)
        for obj in 'spam', [1, {2: 3}], bytes(10_000):
            here_send.send(obj)
            assert here.recv() == obj
        here_send.close()
        thread.join()
''',
    'modules': '''
def work():
    import json, sqlite3, xml.etree.ElementTree
    with sqlite3.connect(':memory:') as connection:
        [row] = connection.execute('select 1 + 2')
    connection.close()
    return json.dumps(row), xml.etree.ElementTree.fromstring('<a><b/></a>')[0].tag

def cycle():
    with interpreters.create() as interp:
        assert interp.call(work) == ('[3]', 'b')
''',
    'groups': '''
def cycle():
    first = interpreters.create()
    rest = [interpreters.create(gil=first) for _ in range(2)]
    first.close()
    for interp in rest:
        assert interp.call(sum, [1, 2]) == 3
        interp.close()
''',
    'errors': '''
def cycle():
    with interpreters.create() as interp:
        try:
            interp.call(divmod, 1, 0)
        except interpreters.ExecutionFailed:
            pass
''',
}


@pytest.mark.parametrize('program', PROGRAMS.values(), ids=PROGRAMS)
def test_cycles(python, program):
    done = subprocess.run(
        [python, '-c', f'{GROWTH}\nimport interpreters\n{program}\nprint(*growth({CYCLES}, cycle))'],
        text=True, capture_output=True, timeout=60 + CYCLES)
    assert (done.returncode, done.stderr) == (0, '')
    nbytes, mappings = map(float, done.stdout.split())
    assert nbytes < LEFT and mappings < 0.1
