"""What make builds, and what it leaves alone."""

import os
import signal
import subprocess

from ensemble import overlay

from conftest import PATCH


def test_make_alone_builds_a_python(scratch):
    assert '(CPython 3.13.15)' in scratch.make()
    assert scratch.compiled() == ['core.o', 'extra.o']
    assert 'int hello' in scratch.read('build/src/Python/core.c')
    assert scratch.read('build/src/Lib/ours.py') == 'x = 1\n'


def test_a_second_make_does_nothing(built):
    before = built.git('rev-parse', 'HEAD')
    out = built.make()
    assert 'generated' not in out and 'applying' not in out and 'configure' not in out
    assert built.compiled() == []
    assert built.git('rev-parse', 'HEAD') == before


def test_the_same_project_gives_the_same_commits_everywhere(built, tmp_path):
    again = tmp_path / 'again'
    built.run('git', 'clone', '-q', '.', str(again))
    subprocess.run(['make'], cwd=again, env=built.env, check=True, stdout=subprocess.DEVNULL)
    assert (built.git('rev-parse', 'HEAD')
            == built.git('rev-parse', 'HEAD', cwd=str(again / 'build/src')))


def test_upstream_files_keep_their_bytes_whatever_its_gitattributes_say(built):
    assert (built.path / 'build/src/Modules/crlf.bat').read_bytes() == b'echo one\r\necho two\r\n'
    assert built.git('status', '--porcelain') == ''


def test_touching_a_patch_rebuilds_what_depends_on_it(built):
    built.write('patches/0001-hello.patch', PATCH.replace('hello = 1', 'hello = 2'))
    built.make()
    assert built.compiled() == ['core.o']
    assert 'hello = 2' in built.read('build/src/Python/core.c')


def test_removing_a_patch_restores_upstream(built):
    built.write('patches/series', '')
    (built.path / 'patches/0001-hello.patch').unlink()
    built.make()
    assert built.compiled() == ['core.o']
    assert 'hello' not in built.read('build/src/Python/core.c')


def test_changing_only_a_header_compiles_nothing(built):
    built.write('patches/0001-hello.patch', PATCH.replace('need a patch', 'need one'))
    built.make()
    assert built.compiled() == []
    assert 'need one' in built.git('log')


def test_an_overlay_file_is_copied_when_it_changes_and_removed_with_it(built):
    ours = built.path / 'build/src/Lib/ours.py'
    before = ours.stat().st_mtime_ns
    os.utime(built.path / 'Lib/ours.py')
    built.make()
    assert ours.stat().st_mtime_ns == before
    built.write('Lib/ours.py', 'x = 2\n')
    built.make()
    assert ours.read_text() == 'x = 2\n'
    (built.path / 'Lib/ours.py').unlink()
    built.make()
    assert not ours.exists()
    assert '"ours"' not in built.read('build/src/Python/stdlib_module_names.h')


def test_an_overlay_file_may_not_shadow_upstream(built):
    built.write('Lib/os.py', '')
    assert 'Lib/os.py is a file of CPython 3.13.15' in built.fail('make')


def test_ignored_files_are_not_overlaid(built):
    built.write('Lib/__pycache__/ours.pyc', '')
    assert overlay.listing(built.path) == ['Lib/ours.py', 'Modules/_ours/module.c']


def test_without_git_the_overlay_is_every_file_but_bytecode(scratch):
    scratch.write('Lib/__pycache__/ours.pyc', '')
    assert overlay.listing(scratch.path) == ['Lib/ours.py', 'Modules/_ours/module.c']


def test_variants_lie_side_by_side(built):
    built.make('VARIANT=debug')
    assert built.compiled('debug') == ['core.o', 'extra.o']
    assert built.compiled() == []


def test_stock_has_nothing_of_ours(scratch):
    scratch.make('VARIANT=stock')
    assert not (scratch.path / 'build/src').exists()
    assert 'hello' not in scratch.read('build/stock/core.o')


def test_a_compiler_error_is_shown_with_the_log(built):
    built.write('patches/0001-hello.patch', PATCH.replace('hello = 1', 'syntax error'))
    message = built.fail('make')
    assert "core.c:1:1: error: expected ';'" in message
    assert 'build/release/build.log' in message
    built.write('patches/0001-hello.patch', PATCH)
    built.make()


def test_clean_removes_one_variant_only(built):
    built.make('VARIANT=debug')
    built.make('clean', 'VARIANT=debug')
    assert not (built.path / 'build/debug').exists()
    assert (built.path / 'build/release/python').exists()


def test_install_goes_to_the_prefix_and_the_next_make_keeps_it(built, tmp_path):
    built.make('install', f'PREFIX={tmp_path}/inst', f'DESTDIR={tmp_path}/stage')
    assert (tmp_path / f'stage{tmp_path}/inst/bin/python3').exists()
    assert 'configure' not in built.make()


def test_run_gives_a_command_the_variant_s_python_and_environment(built):
    status, out, err = built.run(
        'python3', 'tools/make.py', 'run', '--build', 'build', '--variant', 'debug', '--',
        'sh', '-c', 'echo $PYTHONPYCACHEPREFIX "$@"', '-', '{python}', '{pristine}', '--build')
    assert status == 0, err
    build = built.path / 'build'
    assert out.split() == [f'{build}/debug/pycache', f'{build}/debug/python',
                           f'{build}/upstream/Python-3.13.15', '--build']


def test_every_verb_has_a_help_line(built):
    verbs = {line.split()[1] for line in built.make('help').splitlines()
             if line.startswith('make ')}
    makefile = built.read('Makefile')
    assert verbs == {line.split(': ')[1] for line in makefile.splitlines()
                     if line.startswith('.PHONY: ')}


# -- interrupted runs ----------------------------------------------------

def killed(scratch, variable, *command):
    """Start a command, wait until it hangs at the place that variable names, kill -9 it all."""
    fifo = scratch.path / 'fifo'
    os.mkfifo(fifo)
    process = subprocess.Popen(command, cwd=scratch.path, start_new_session=True,
                               env=scratch.env | {variable: str(fifo)},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(fifo, 'w'):  # returns when the other side reads, that is, hangs
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    fifo.unlink()


def test_make_killed_while_compiling(scratch):
    killed(scratch, 'FAKE_HANG', 'make', 'JOBS=1')
    assert scratch.read('build/release/core.o') == 'half'
    assert 'an earlier run was killed' in scratch.make()
    assert 'int hello' in scratch.read('build/release/core.o')


def test_make_killed_while_rebuilding_compiles_nothing_else_again(built):
    built.write('patches/0001-hello.patch', PATCH.replace('hello = 1', 'hello = 2'))
    killed(built, 'FAKE_HANG', 'make', 'JOBS=1')
    built.compiled()
    built.make()
    assert built.compiled() == ['core.o']
    assert 'hello = 2' in built.read('build/release/core.o')


def test_make_killed_while_configuring(scratch):
    killed(scratch, 'FAKE_HANG_IN_CONFIGURE', 'make')
    assert scratch.read('build/release/Makefile') == 'half\n'
    scratch.make()


def test_a_half_unpacked_release_is_unpacked_again(scratch):
    for leftover in ('unpack-3.13.15/Python-3.13.15/half', 'Python-3.13.15/half',
                     'releases.git.tmp/half'):
        scratch.write(f'build/upstream/{leftover}', '')
    scratch.write('build/src.tmp/half', '')
    scratch.write('build/src/half', '')
    scratch.make()
    assert not (scratch.path / 'build/upstream/Python-3.13.15/half').exists()
    assert not (scratch.path / 'build/src/half').exists()


def test_a_tree_that_was_being_moved_is_moved_on(built):
    """As after a kill within git reset: the target is recorded, files are a mixture."""
    target = built.git('rev-parse', 'HEAD').strip()
    state = built.path / 'build/src/.git/ensemble.json'
    state.write_text(state.read_text().replace('"target"', '').replace(
        '{\n', '{\n "target": "%s",\n' % target, 1))
    built.write('build/src/Python/core.c', 'half')
    built.write('build/src/.git/index.lock', '')
    built.make()
    assert 'int hello' in built.read('build/src/Python/core.c')
    assert '"target"' not in state.read_text()


def test_a_second_make_waits_for_the_first(scratch):
    scratch.make()
    scratch.compiled()
    fifo = scratch.path / 'fifo'
    os.mkfifo(fifo)
    scratch.write('patches/0001-hello.patch', PATCH.replace('hello = 1', 'hello = 2'))
    first = subprocess.Popen(['make'], cwd=scratch.path, env=scratch.env | {'FAKE_HANG': str(fifo)},
                             stdout=subprocess.DEVNULL)
    with open(fifo, 'w'):
        second = subprocess.Popen(['make'], cwd=scratch.path, env=scratch.env, text=True,
                                  stdout=subprocess.PIPE)
        assert 'waiting for another make' in second.stdout.readline()
    assert first.wait() == 0
    second.communicate()
    assert second.returncode == 0
    assert scratch.compiled() == ['core.o']
