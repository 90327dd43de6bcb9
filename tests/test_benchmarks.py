"""The benchmarks run to their end, and their statistics and reports are right."""

import json
import math
import mmap
import os
import re
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'benchmarks'))

import extensions  # noqa: E402
import messages  # noqa: E402
import sharing  # noqa: E402
from measure import arrays, copies, figures, handles, locks  # noqa: E402
from measure import memory, new_workers, processes, programs, report  # noqa: E402
from measure import runner, small_arrays, sums, unused  # noqa: E402
from measure.catalogue import MEASUREMENTS, Contender, Measurement  # noqa: E402
from measure.objects import OBJECTS  # noqa: E402
from measure.transports import Unavailable  # noqa: E402


@pytest.fixture(scope='module')
def run(root):
    """Run a program of benchmarks/ with the built python."""
    python = os.environ.get('ENSEMBLE_PYTHON') or sys.executable
    probe = subprocess.run([python, '-c', 'import interpreters'], capture_output=True)
    if probe.returncode:
        pytest.skip(f'{python} is not a python of this project')

    def run(name, *args, **environment):
        return subprocess.run([python, root / 'benchmarks' / name, *map(str, args)],
                              env=os.environ | environment, text=True, capture_output=True)

    return run


# ---- all measurements ----

@pytest.fixture(scope='module')
def quick(run, tmp_path_factory):
    """What `channels.py --quick` printed, and its file."""
    path = tmp_path_factory.mktemp('results') / 'new' / 'channels.json'
    done = run('channels.py', '--quick', '--timeout', 120, '--output', path)
    assert (done.returncode, done.stderr) == (0, ''), done.stdout
    return done.stdout, path


@pytest.fixture(scope='module')
def content(quick):
    return json.loads(quick[1].read_text())


def test_file_describes_the_run(quick, content, root):
    assert content['format'] == 1
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00', content['date'])
    assert content['options'] == {'rounds': 1, 'quick': True}
    assert {name: type(value) for name, value in content['python'].items()} == {
        'version': str, 'optimized': bool, 'debug': bool}
    assert set(content['machine']) == {
        'system', 'release', 'architecture', 'libc', 'processor', 'processors',
        'usable_processors', 'memory_bytes', 'virtual', 'load'}
    assert set(content['peers']) <= set(programs.TOOLS)
    assert [path.name for path in quick[1].parent.iterdir()] == ['channels.json']
    assert str(root) not in quick[1].read_text()


def test_every_measurement_is_in_the_file(content):
    assert list(content['measurements']) == list(MEASUREMENTS)
    for name, found in content['measurements'].items():
        expected = MEASUREMENTS[name]
        assert list(found['contenders']) == [each.label for each in expected.contenders]
        assert found['ours'] == [each.label for each in expected.ours]
        assert (found['title'], found['unit'], found['better']) == (
            expected.title, expected.unit, expected.better)
        assert set(found['numbers']) == set(expected.numbers)


def test_every_sample_is_a_positive_number(content):
    for name, measurement in content['measurements'].items():
        for label, contender in measurement['contenders'].items():
            if contender['status'] == 'measured':
                samples, = contender['rounds']
                assert samples, (name, label)
                assert all(math.isfinite(each) and each > 0 for each in samples), (name, label)
            else:
                assert contender['status'] == 'not available', (name, label)
                assert contender['reason']
                assert contender['rounds'] == []


def test_everything_of_this_python_is_measured(content):
    for name, measurement in content['measurements'].items():
        found = [measurement['contenders'][contender.label]
                 for contender in MEASUREMENTS[name].contenders if contender.program == 'python']
        missing = {contender['reason'] for contender in found if contender['status'] != 'measured'}
        assert found
        assert missing <= ({'needs two processors'} if name.endswith('_apart') else set()), name


def test_as_many_samples_as_asked_for(content):
    def n_samples(name, label):
        return len(content['measurements'][name]['contenders'][label]['rounds'][0])

    assert n_samples('hot', 'channel(0)') == MEASUREMENTS['hot'].quick['batches']
    assert n_samples('parked', 'channel(0)') == MEASUREMENTS['parked'].quick['count']
    assert n_samples('blocked', 'channel(0)') == 1


def test_every_measurement_has_a_table(quick):
    tables = quick[0].strip('\n').split('\n\n')
    assert len(tables) == len(MEASUREMENTS)
    for text, measurement in zip(tables, MEASUREMENTS.values()):
        title, head, *rows = text.split('\n')
        assert title.startswith(f'{measurement.title}: {measurement.unit}, ')
        assert 'median (range)' in head
        for row, contender in zip(rows, measurement.contenders, strict=True):
            assert re.match(rf'{re.escape(contender.label)} +(\d|not available: )', row)


def test_only_some_measurements_in_rounds(run, tmp_path):
    path = tmp_path / 'some.json'
    done = run('channels.py', '--quick', '--rounds', 2, '--only', 'threads_one_way,blocked',
               '--stock', tmp_path / 'absent', '--output', path)
    assert (done.returncode, done.stderr) == (0, '')
    measurements = json.loads(path.read_text())['measurements']
    assert list(measurements) == ['threads_one_way', 'blocked']
    contenders = measurements['blocked']['contenders']
    assert len(contenders['channel(0)']['rounds']) == 2
    assert contenders['stock interpreters, queue'] == {
        'status': 'not available', 'reason': 'not built (make VARIANT=stock)', 'rounds': []}
    assert re.search(r'^threads, SimpleQueue +\S+ \(\S+ to \S+\) +\S+x \(\S+ to \S+\)',
                     done.stdout, re.MULTILINE)


def test_bad_options_are_refused(run, tmp_path):
    for args, message in ((['--only', 'spam'], "no measurement 'spam'"),
                          (['--rounds', '0'], 'at least 1')):
        done = run('channels.py', *args, '--output', tmp_path / 'file')
        assert done.returncode == 2
        assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_plot_draws_or_says_what_it_needs(run, quick, tmp_path):
    for name in ('chart.svg', 'chart.png'):
        done = run('plot.py', quick[1], '--output', tmp_path / name)
        if done.returncode:
            assert done.stderr == 'plot.py needs matplotlib, which this python does not have\n'
        else:
            assert (tmp_path / name).stat().st_size
    done = run('plot.py', tmp_path / 'absent.json')
    assert done.returncode == 2
    assert 'absent.json cannot be read' in done.stderr


# ---- messages ----

def test_messages_are_measured(run, root, tmp_path):
    path = tmp_path / 'new' / 'messages.json'
    done = run('messages.py', '--quick', '--rounds', 1, '--only', 'tree,bytes,records',
               '--timeout', 60, '--output', path)
    assert (done.returncode, done.stderr) == (0, ''), done.stdout
    content = json.loads(path.read_text())
    assert content['format'] == report.FORMAT
    assert content['options'] == {'rounds': 1, 'quick': True}
    assert content['peers'] == {}
    assert str(root) not in path.read_text()
    expected = [each for name in ('tree', 'bytes', 'records')
                for each in messages.measurements(name)]
    assert list(content['measurements']) == [each.name for each in expected]

    tables = done.stdout.strip('\n').split('\n\n')
    for measurement, text in zip(expected, tables, strict=True):
        found = content['measurements'][measurement.name]
        assert (found['title'], found['unit'], found['ours']) == (
            measurement.title, measurement.unit, ['message'])
        title, head, *rows = text.split('\n')
        assert title == f'{measurement.title}: {measurement.unit}, lower is better'
        assert re.search(r'median \(range\) .* message / it$', head)
        for row, (label, contender) in zip(rows, found['contenders'].items(), strict=True):
            if contender['status'] == 'measured':
                samples, = contender['rounds']
                assert len(samples) == found['numbers'].get('turns', 1)
                assert all(math.isfinite(each) and each > 0 for each in samples)
                assert re.fullmatch(rf'{label} +[\d.,]+' + ('' if label == 'message' else
                                                           r' +[\d.,]+x'), row)
            else:
                assert (contender['status'], contender['rounds']) == ('not available', [])
                assert re.match(rf'{label} +not available: {contender["reason"]}$', row)
    missing = {(name, label) for name, found in content['measurements'].items()
               for label, contender in found['contenders'].items() if not contender['rounds']}
    assert missing == {('tree', 'marshal'), ('bytes', 'deepcopy')}


def test_memory_of_messages_does_not_depend_on_what_was_compiled(run, tmp_path):
    def measured(dont_write):
        path = tmp_path / 'messages.json'
        done = run('messages.py', '--quick', '--only', 'records', '--output', path,
                   PYTHONPYCACHEPREFIX=str(tmp_path / 'cache'),
                   PYTHONDONTWRITEBYTECODE=dont_write)
        assert (done.returncode, done.stderr) == (0, '')
        (message,), = json.loads(path.read_text())[
            'measurements']['records_memory']['contenders']['message']['rounds']
        return message

    compiled, _, cached = measured('1'), measured(''), measured('')
    assert 0 < compiled == pytest.approx(cached, rel=.1)


def test_messages_refuses_bad_options(run, tmp_path):
    for args, message in ((['--only', 'spam'], "no object 'spam'"),
                          (['--rounds', '0'], 'at least 1')):
        done = run('messages.py', *args, '--output', tmp_path / 'file')
        assert done.returncode == 2
        assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_message_that_differs_is_a_failure(monkeypatch):
    kind = OBJECTS['records']
    monkeypatch.setattr(copies, 'copiers', lambda *args: {'spam': lambda: kind.build(9)})
    with pytest.raises(AssertionError, match='spam: the copy differs'):
        copies.times(kind, 10, turns=1, ms=1)


@pytest.mark.parametrize('name', OBJECTS)
def test_keys_of_message_objects_tell_them_apart(name):
    kind = OBJECTS[name]
    keys = [kind.key(kind.build(size)) for size in (5, 5, 10)]
    assert keys[0] == keys[1] != keys[2]


def test_message_ratios():
    measurement, _ = messages.measurements('records')
    samples = {'message': [[2, 2, 9], [4]], 'pickle': [[3], [8]], 'deepcopy': [[20], [80]],
               'build': [[1], [1]]}
    outcomes = {contender: runner.Outcome(samples[contender.label])
                if contender.label in samples else
                runner.Outcome(status='not available', reason='spam')
                for contender in measurement.contenders}
    title, *rows = messages.time_table(measurement, outcomes)
    assert title == '1,000 dicts of 5 fields: us, lower is better'
    assert [re.split('  +', row) for row in rows] == [
        ['', 'median (range)', 'it / message', 'message / it'],
        ['message', '3.00 (2.00 to 4.00)'],
        ['pickle', '5.50 (3.00 to 8.00)', '1.75x (1.50 to 2.00)'],
        ['marshal', 'not available: spam'],
        ['deepcopy', '50.0 (20.0 to 80.0)', '15.0x (10.0 to 20.0)'],
        ['build', '1.00 (1.00 to 1.00)', '3.00x (2.00 to 4.00)']]
    assert rows[-1].index('3.00x') == rows[0].index('message / it')


def test_message_process_that_fails(monkeypatch):
    def fail(*args):
        raise processes.Failed('spam')

    monkeypatch.setattr(processes, 'run', fail)
    for measurement in messages.measurements('records'):
        outcomes = messages.measure(measurement, 'records', 2, True, 1, lambda text: None)
        assert {(each.status, each.reason) for each in outcomes.values()} == {('failed', 'spam')}


# ---- sharing ----

NOT_HERE = {'numpy cannot be imported', 'interpreters has no Lock'}


def tables_of(run, root, path, program, group, *args, missing):
    """Run one group of a program; return its tables when these and its file are right."""
    done = run(f'{program}.py', '--quick', '--rounds', 2, '--timeout', 120, '--output', path, *args)
    assert (done.returncode, done.stderr) == (0, ''), done.stdout
    content = json.loads(path.read_text())
    assert content['format'] == report.FORMAT
    assert content['options'] == {'rounds': 2, 'quick': True}
    assert content['peers'] == {}
    assert str(root) not in path.read_text()
    expected = group.measurements
    assert list(content['measurements']) == [each.name for each in expected]

    tables = done.stdout.strip('\n').split('\n\n')
    for measurement, text in zip(expected, tables, strict=True):
        found = content['measurements'][measurement.name]
        assert (found['title'], found['unit'], found['better']) == (
            measurement.title, measurement.unit, measurement.better)
        assert found['ours'] == [each.label for each in measurement.ours]
        title, head, *rows = text.split('\n')
        assert title == f'{measurement.title}: {measurement.unit}, {measurement.better} is better'
        assert 'median (range)' in head
        for row, (label, contender) in zip(rows, found['contenders'].items(), strict=True):
            if contender['status'] == 'measured':
                assert [len(samples) for samples in contender['rounds']] == [
                    found['numbers']['turns']] * 2
                assert all(math.isfinite(each) and each > 0
                           for samples in contender['rounds'] for each in samples)
                assert re.match(rf'{re.escape(label)} +\S+ \(\S+ to \S+\)', row)
            else:
                assert (contender['status'], contender['rounds']) == ('not available', [])
                assert contender['reason'] in missing
                assert row.endswith(f'not available: {contender["reason"]}')
    return tables


@pytest.mark.parametrize('name', sharing.GROUPS)
def test_sharing_is_measured(run, root, tmp_path, name):
    tables = tables_of(run, root, tmp_path / 'new' / 'sharing.json', 'sharing',
                       sharing.GROUPS[name], '--only', name, missing=NOT_HERE)
    if name in ('handle', 'round_trip'):
        assert 'it / share(bytearray)' in tables[0] and '1 GiB / 1 KiB' not in tables[0]
        assert re.search(r'^move\(bytearray\) +\S+ \(\S+ to \S+\) +\S+x \(', tables[1],
                         re.MULTILINE)
    elif name in ('sum', 'read'):
        assert re.search(r'^two interpreters +\S+ \(\S+ to \S+\) +\S+x \(', tables[0],
                         re.MULTILINE)


def test_sharing_refuses_bad_options(run, tmp_path):
    for args, message in ((['--only', 'spam'], "no measurement 'spam'"),
                          (['--rounds', '0'], 'at least 1')):
        done = run('sharing.py', *args, '--output', tmp_path / 'file')
        assert done.returncode == 2
        assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('quick, sizes', [(False, [1024, 2**30]), (True, [1024, 2**20])])
def test_programs_of_sharing_get_each_number_once(quick, sizes):
    group = sharing.GROUPS['handle']
    numbers = group.measurements[1].numbers | (group.measurements[1].quick if quick else {})
    assert group.arguments(quick) == ['measure.handles', 'here', *map(str, sizes),
                                      str(numbers['turns']), str(numbers['ms'])]


def test_ratios_of_sizes():
    group = sharing.GROUPS['handle']
    small, large = ({contender: runner.Outcome([[factor * place]])
                     for place, contender in enumerate(measurement.contenders, 1)}
                    for factor, measurement in zip((1, 3), group.measurements))
    absent = group.measurements[0].contenders[1]
    for outcomes in small, large:
        outcomes[absent] = runner.Outcome(status='not available', reason='spam')
    lines = [[re.split('  +', row) for row in table] for table in group.tables([small, large])]
    assert lines[0][1] == ['', 'median (range)', 'it / share(bytearray)']
    assert lines[0][-1] == [handles.PICKLE, '8.00', '8.00x']
    assert lines[1][1] == ['', 'median (range)', 'it / share(bytearray)', '1 GiB / 1 KiB']
    assert lines[1][2] == [handles.SHARE, '3.00', '3.00x']
    assert lines[1][3] == [absent.label, 'not available: spam']
    assert lines[1][-1] == [handles.PICKLE, '24.0', '8.00x', '3.00x']


def test_speed_of_two_over_one():
    group = sharing.GROUPS['sum']
    outcomes = {contender: runner.Outcome([[place], [2 * place]])
                for place, contender in enumerate(group.measurements[0].contenders, 1)}
    table, = group.tables([outcomes])
    cells = {line[0]: line[1:] for line in (re.split('  +', row) for row in table)}
    assert cells[sums.ONE] == ['1.50 (1.00 to 2.00)']
    assert cells[sums.TWO] == ['3.00 (2.00 to 4.00)', '2.00x (2.00 to 2.00)']
    assert cells[sums.TWO_PROCESSES][1] == '1.33x (1.33 to 1.33)'


def test_memory_that_differs_is_a_failure():
    def never_shared(obj):
        return bytes(obj)

    with pytest.raises(AssertionError, match='something else has arrived'):
        handles.by_handle(8, lambda obj: None, lambda: bytearray(8), handles.make_bytearray,
                          never_shared, bytearray)
    with pytest.raises(AssertionError, match='not shared'):
        handles.by_handle(8, lambda obj: None, lambda: handles.make_bytearray(8),
                          handles.make_bytearray, never_shared, bytearray)


def test_sum_that_is_wrong_is_a_failure():
    worker = sums.Worker(lambda part: None, lambda: 7, None)
    with pytest.raises(AssertionError, match='the sum is 7, not 8'):
        sums.gigabytes_per_second([worker], [memoryview(bytes(8))], 8)


def test_loops_of_locks_are_unrolled():
    taken = []

    class Lock:
        def __enter__(self):
            taken.append(self)

        def __exit__(self, *exc_info):
            pass

    locks.compiled(locks.WITH)(Lock(), 3)
    assert len(taken) == 3 * locks.UNROLLED


def test_program_that_fails_ends_with_what_it_started():
    code = ('import multiprocessing, threading, time\n'
            'from measure import processes\n'
            'def fail():\n'
            '    context = multiprocessing.get_context("fork")\n'
            '    context.Process(target=time.sleep, args=(600,)).start()\n'
            '    threading.Thread(target=time.sleep, args=(600,)).start()\n'
            '    raise ValueError("spam")\n'
            'processes.leave_if_it_fails(fail)')
    with pytest.raises(processes.Failed, match='^ValueError: spam$'):
        processes.run([sys.executable, '-c', code], 60,
                      os.environ | {'PYTHONPATH': str(programs.BENCHMARKS)})


# ---- extensions ----

NO_EXTENSIONS = {
    'numpy cannot be imported', 'pandas cannot be imported', small_arrays.ONE_PROCESSOR,
    'not built (make VARIANT=stock)', 'stock is configured in another way',
    'valgrind is not installed', unused.RANDOM}


@pytest.mark.parametrize('name, column', [
    ('loop', 'two / one'), ('first', 'it / two interpreters'),
    ('import', 'another interpreter / it'), ('unused', 'more than stock')])
def test_extensions_are_measured(run, root, tmp_path, name, column):
    tables = tables_of(run, root, tmp_path / 'new' / 'extensions.json', 'extensions',
                       extensions.GROUPS[name], '--only', name, missing=NO_EXTENSIONS)
    assert all(column in table for table in tables)


def test_extensions_refuses_bad_options(run, tmp_path):
    for args, message in ((['--only', 'spam'], "no measurement 'spam'"),
                          (['--rounds', '0'], 'at least 1')):
        done = run('extensions.py', *args, '--output', tmp_path / 'file')
        assert done.returncode == 2
        assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_speed_of_two_over_one_with_small_arrays():
    group = extensions.GROUPS['loop']
    outcomes = {contender: runner.Outcome([[place], [2 * place]])
                for place, contender in enumerate(group.measurements[0].contenders, 1)}
    table, = group.tables([outcomes])
    cells = {line[0]: line[1:] for line in (re.split('  +', row) for row in table)}
    assert cells[small_arrays.ONE] == ['1.50 (1.00 to 2.00)']
    assert cells[small_arrays.TWO] == ['3.00 (2.00 to 4.00)', '2.00x (2.00 to 2.00)']
    assert cells[small_arrays.TWO_THREADS][1] == '1.33x (1.33 to 1.33)'


def test_first_results_are_compared_with_both_of_ours():
    group = extensions.GROUPS['first']
    found = [{contender: runner.Outcome([[2.0 ** place]])
              for place, contender in enumerate(measurement.contenders)}
             for measurement in group.measurements]
    for title, head, *rows in group.tables(found):
        assert re.split('  +', head)[2:] == [f'it / {label}' for label in new_workers.OURS]
        assert [re.split('  +', row)[2:] for row in rows] == [
            [], [], ['4.00x', '2.00x'], ['8.00x', '4.00x'], ['16.0x', '8.00x']]


def test_differences_from_stock():
    group = extensions.GROUPS['unused']
    measurement, *_ = group.measurements
    samples = {unused.PASS: [[1001], [999], [1002]], unused.STOCK[unused.PASS]: [[1000]] * 3}
    outcomes = {contender: runner.Outcome(samples[contender.label])
                if contender.label in samples else
                runner.Outcome(status='not available', reason='spam')
                for contender in measurement.contenders}
    (_, head, *rows), *_ = group.tables([outcomes])
    assert [re.split('  +', row) for row in (head, *rows)] == [
        ['', 'median (range)', 'more than stock'],
        [unused.PASS, '1,000 (999 to 1,000)', '+0.100 % (-0.100 to +0.200)'],
        [unused.NUMPY, 'not available: spam'],
        [unused.STOCK[unused.PASS], '1,000 (1,000 to 1,000)'],
        [unused.STOCK[unused.NUMPY], 'not available: spam']]


def test_result_of_the_loop_that_is_wrong_is_a_failure():
    worker = sums.Worker(lambda task: None, lambda: 7.0, None)
    with pytest.raises(AssertionError, match='the result is 7.0, not 8.0'):
        small_arrays.passes_per_ms([worker], [0], 1, 8.0)


def test_result_of_a_worker_that_is_wrong_is_a_failure(monkeypatch):
    def workers():
        for number in range(2):
            done = Future()
            done.set_result((1, number, 7.0))
            yield lambda: done

    monkeypatch.setitem(new_workers.WORKERS, new_workers.COLD, workers)
    with pytest.raises(AssertionError, match=f'the sum is 7.0, not {arrays.EXPECTED}'):
        new_workers.once(new_workers.COLD)


def test_each_worker_of_a_pool_gives_a_result(monkeypatch):
    given = []

    def submit():
        given.append(Future())
        given[-1].set_result((len(given) // 4, 0, arrays.EXPECTED))
        return given[-1]

    monkeypatch.setitem(new_workers.WORKERS, new_workers.SPAWN, lambda: [submit] * 2)
    first, both = new_workers.once(new_workers.SPAWN)
    assert 0 < first < both
    assert len(given) == 4      # the first worker gave three


def test_private_memory_grows_with_what_is_written():
    before = memory.private()
    with mmap.mmap(-1, 1 << 24) as block:
        assert memory.private() - before < 1 << 23
        block.write(b'x' * len(block))
        assert memory.private() - before >= 1 << 23


def test_private_memory_is_not_that_of_the_parent():
    # Nobody else has the pages that this writes to, and then its child has them, too.
    code = ('import mmap, os\n'
            'from measure import memory\n'
            'block = mmap.mmap(-1, 1 << 24, mmap.MAP_PRIVATE)\n'
            'block.write(b"x" * len(block))\n'
            'alone = memory.private()\n'
            'here, there = os.pipe()\n'
            'if os.fork() == 0:\n'
            '    os.close(there)\n'
            '    os.read(here, 1)\n'
            '    os._exit(0)\n'
            'print(alone - memory.private() >= 1 << 23)\n'
            'os.close(there)\n'
            'os.wait()')
    assert processes.run([sys.executable, '-c', code], 60, os.environ | {
        'PYTHONPATH': str(programs.BENCHMARKS)}) == 'True\n'


@pytest.mark.parametrize('label', unused.WORKLOADS)
def test_what_is_not_used_leaves_no_trace(tmp_path, label):
    """A program that uses nothing of ours has the mappings, threads and modules it has in stock."""
    pytest.importorskip('interpreters')
    if label == unused.NUMPY:
        pytest.importorskip('numpy')
    try:
        ours, stock = unused.pythons(tmp_path)
    except Unavailable as exc:
        pytest.skip(f'stock: {exc}')
    if not unused.may_fix_addresses():
        pytest.skip(unused.RANDOM)
    program, env = unused.WORKLOADS[label], {'PYTHONHASHSEED': '0'}
    for python in ours, stock:
        python.state(program, env)      # compiles modules, for which memory is mapped, too
    assert ours.state(program, env) == stock.state(program, env)


def test_modules_that_stock_does_not_have_are_a_failure(monkeypatch):
    class Python:
        def __init__(self, *modules):
            self.modules = modules

        def state(self, program, env):
            return 1, 1, sorted(self.modules)

    monkeypatch.setattr(unused.shutil, 'which', lambda name: None)
    with pytest.raises(AssertionError, match='only one of the two has spam$'):
        unused.compared(unused.PASS, (Python('os', 'spam'), Python('os')), 1)


def test_stock_that_is_configured_in_another_way(monkeypatch, tmp_path):
    other = tmp_path / 'python'
    other.write_text('#!/bin/sh\necho spam\n')
    other.chmod(0o755)
    monkeypatch.setattr(programs, 'stock_python', lambda: other)
    with pytest.raises(Unavailable, match='stock is configured in another way'):
        unused.pythons(tmp_path)


# ---- statistics ----

@pytest.mark.parametrize('values, percent, expected', [
    ([7], 99, 7),
    ([1, 2, 3, 4, 5], 50, 3),
    ([5, 4, 3, 2, 1], 0, 1),
    ([1, 2, 3, 4, 5], 100, 5),
    ([1, 2], 50, 1.5),
    (list(range(101)), 99, 99),
    ([10, 20, 30, 40], 90, 37),
])
def test_percentile(values, percent, expected):
    assert figures.percentile(values, percent) == pytest.approx(expected)


def test_summary_is_of_the_medians_of_rounds():
    result = figures.summary([[1, 2, 90], [4, 4], [3, 100]])
    assert (result.median, result.low, result.high) == (4, 2, 51.5)
    assert result.p99 == pytest.approx(figures.percentile([1, 2, 3, 4, 4, 90, 100], 99))


def test_ratios_are_of_the_same_round():
    assert figures.ratios([[2], [9], [8, 8, 50]], [[1], [3], [2]]) == (3, 2, 4)


@pytest.mark.parametrize('value, text', [
    (0.01234, '0.0123'), (1, '1.00'), (9.999, '10.0'), (12.34, '12.3'), (99.96, '100'),
    (123.4, '123'), (1234.5, '1,230'), (1_999_999, '2,000,000'),
])
def test_numbers_have_three_digits(value, text):
    assert figures.short(value) == text


# ---- outcomes ----

OURS, PEER, ABSENT = (Contender(label, 'python', 'none') for label in ('ours', 'a peer', 'absent'))
MADE_UP = Measurement('made_up', 'Made up', 'us', 'mode', {'count': 100, 'ms': 7}, {'ms': 1},
                      (OURS,), (PEER, ABSENT))


def test_table():
    outcomes = {OURS: runner.Outcome([[2, 2, 4], [3, 3, 3]]),
                PEER: runner.Outcome([[1, 1, 1], [1, 1, 1]]),
                ABSENT: runner.Outcome(status='not available', reason='not installed')}
    assert report.table(MADE_UP, outcomes) == [
        'Made up: us, lower is better',
        '        median (range)       p99   ours / it',
        'ours    2.50 (2.00 to 3.00)  3.95',
        'a peer  1.00 (1.00 to 1.00)  1.00  2.50x (2.00 to 3.00)',
        'absent  not available: not installed']


def test_arguments_of_programs():
    slow = Contender('slow', 'python', 'flavour', 5, leading=(3,), fewer=1000, mode='other')
    assert MADE_UP.arguments(OURS, quick=False) == ['none', 'none', 'mode', '100', '7']
    assert MADE_UP.arguments(slow, quick=True) == ['flavour', '5', 'other', '3', '1', '1']


class Scripts:
    """Stands for programs.Programs: what a contender's program prints."""

    environment = None

    def __init__(self, code):
        self.code = code
        self.runs = 0

    def command(self, name):
        self.runs += 1
        return [sys.executable, '-c', self.code]


@pytest.mark.parametrize('code, status', [
    ('print(1.5, 2, sep="\\n")', 'measured'),
    ('print(0)', 'failed'),
    ('print("nan")', 'failed'),
    ('print("spam")', 'failed'),
    ('', 'failed'),
    ('raise SystemExit("spam")', 'failed'),
    ('raise SystemExit(69)', 'not available'),
])
def test_outcome_of_a_program(code, status):
    scripts = Scripts(code)
    outcomes = runner.measure(MADE_UP, scripts, rounds=2)
    assert [outcome.status for outcome in outcomes.values()] == [status] * 3
    if status == 'measured':
        assert [outcome.rounds for outcome in outcomes.values()] == [[[1.5, 2], [1.5, 2]]] * 3
    else:
        assert [outcome.rounds for outcome in outcomes.values()] == [[]] * 3
        assert scripts.runs == 3        # not tried again


# ---- programs and processes ----

def test_peers_that_are_not_installed(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    there = programs.Programs(tmp_path, stock=tmp_path / 'python')
    for name in programs.TOOLS:
        with pytest.raises(Unavailable, match='not installed'):
            there.command(name)
    with pytest.raises(Unavailable, match='not built'):
        there.command('stock')
    assert there.versions() == {}


def test_peer_that_cannot_be_compiled(monkeypatch, tmp_path):
    compiler = tmp_path / 'cc'
    compiler.write_text('#!/bin/sh\necho no such option >&2\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(processes.Failed, match='ping_pong.c could not be compiled: no such option'):
        programs.Programs(tmp_path).command('c')


def test_failing_process():
    with pytest.raises(processes.Failed, match='^spam$') as caught:
        processes.run([sys.executable, '-c', 'raise SystemExit("eggs\\nspam")'], 60)
    assert caught.value.status == 1


def test_process_that_hangs_is_killed_with_its_children():
    # The child of the child holds the same pipe: this returns when both are gone.
    code = ('import subprocess, sys, time\n'
            'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])\n'
            'time.sleep(600)')
    with pytest.raises(processes.Failed, match='did not end within 2 seconds'):
        processes.run([sys.executable, '-c', code], 2)
