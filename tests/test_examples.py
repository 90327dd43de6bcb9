"""The examples and benchmarks run with the built python; examples say what is true."""

import os
import re
import subprocess

import pytest


@pytest.fixture(scope='module')
def run(root, python):
    def run(name, *args, folder='examples'):
        return subprocess.run([python, root / folder / name, *map(str, args)],
                              text=True, capture_output=True)

    return run


@pytest.fixture
def tree(tmp_path):
    """Three files whose index is known."""
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'a.py').write_text('spam = eggs(spam)\n')
    (tmp_path / 'sub' / 'b.c').write_text('int spam; /* ham */\n')
    (tmp_path / 'sub' / 'c.h').write_text('')
    (tmp_path / 'ignored.txt').write_text('ham ham ham\n')
    return tmp_path


@pytest.mark.parametrize('n', [1, 2, 5])
def test_index_of_a_known_tree(run, tree, n):
    done = run('index_identifiers.py', tree, '-n', n, '--rounds', 1)
    assert (done.returncode, done.stderr) == (0, '')
    assert '3 files' in done.stdout
    assert '4 different identifiers' in done.stdout
    rows = re.findall(r'^(\w+) +(\d+) +(\d+)  (\S+)$', done.stdout, re.MULTILINE)
    assert ('spam', '3', '2', 'a.py') in rows
    assert sorted(rows)[1] == ('ham', '1', '1', os.path.join('sub', 'b.c'))


def test_index_of_real_source_is_that_of_a_plain_loop(run, root):
    done = run('index_identifiers.py', root / 'tools', '--rounds', 1)
    assert (done.returncode, done.stderr) == (0, '')
    assert 'the same index as that of a plain loop' in done.stdout
    assert re.search(r'speed-up +\d', done.stdout)


def test_index_refuses_bad_input(run, tmp_path):
    for args, message in (([tmp_path / 'absent'], 'is not a folder'),
                          ([tmp_path], 'no .py, .c or .h files'),
                          ([tmp_path, '-n', '0'], 'at least 1')):
        done = run('index_identifiers.py', *args)
        assert done.returncode != 0
        assert message in done.stderr
        assert 'Traceback' not in done.stderr


def test_benchmark_of_creating_measures_both(run):
    done = run('create_close.py', '--rounds', 1, '--cycles', 2, folder='benchmarks')
    assert (done.returncode, done.stderr) == (0, '')
    number = r'\d+\.\d+'
    for name in ('interpreters', '_interpreters'):
        assert re.search(rf'^{name} +{number} \({number} to {number}\) +{number} ', done.stdout,
                         re.MULTILINE)


@pytest.mark.parametrize('args', [['-n', 3, '--rows', 7], ['-n', 5, '--rows', 2, '--steps', 0]])
def test_shared_array_is_that_of_one_thread(run, args):
    pytest.importorskip('numpy')
    done = run('shared_array.py', '--steps', 3, *args)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.endswith('each time the very array that one thread makes\n')
    assert re.search(rf'^{args[1]} interpreters +\d', done.stdout, re.MULTILINE)
