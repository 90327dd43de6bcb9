"""make refresh: from build/src back to the project, and nothing lost on either side."""

from conftest import CLINIC_FILE, PATCH


def edit(scratch, path, old, new):
    text = scratch.read(path)
    assert old in text
    scratch.write(path, text.replace(old, new))


def test_apply_and_refresh_leave_an_empty_diff(built):
    built.make('refresh')
    assert built.git('status', '--porcelain', cwd='.') == ''
    built.make()
    assert built.compiled() == []


def test_a_name_or_form_of_another_hand_is_made_ours(built):
    before = built.read('patches/0001-hello.patch')
    built.write('patches/0001-hello.patch', before.replace(
        '--- a/', 'index 123..456 100644\n--- a/').replace('\nWhy:', '\n\nWhy:'))
    built.make()
    built.make('refresh')
    assert built.read('patches/0001-hello.patch') == before


def test_uncommitted_edits_are_built_but_not_exported(built):
    edit(built, 'build/src/Python/core.c', 'two = 2', 'two = 22')
    built.make()
    assert built.compiled() == ['core.o']
    assert 'Python/core.c has changes that are not committed' in built.fail('make', 'refresh')
    assert 'two = 22' in built.read('build/src/Python/core.c')


def test_a_commit_becomes_a_patch_and_nothing_is_compiled_for_it(built):
    edit(built, 'build/src/Python/core.c', 'three = 3', 'three = 33')
    built.make()
    built.compiled()
    built.commit('Count further\n\nWhy: To see.\n more\nUpstream: none\nTest: x\nForwarded: no')
    out = built.make('refresh')
    assert 'header' not in out
    assert built.read('patches/series') == (
        '# in this order\n0001-hello.patch\n0002-count-further.patch\n')
    assert built.read('patches/0002-count-further.patch') == '''Subject: Count further
Why: To see.
 more
Upstream: none
Test: x
Forwarded: no

diff --git a/Python/core.c b/Python/core.c
--- a/Python/core.c
+++ b/Python/core.c
@@ -4,7 +4,7 @@
 int one = 1;
 int hello = 1;
 int two = 2;
-int three = 3;
+int three = 33;
 /* c */
 /* d */
 /* e */
'''
    built.make()
    assert built.compiled() == []
    assert built.git('status', '--porcelain') == ''
    built.make('refresh')
    assert built.git('log', '--format=%s').splitlines() == [
        'Generated files', 'Count further', 'Say hello in the core', 'CPython 3.13.15']


def test_missing_header_fields_are_named(built):
    edit(built, 'build/src/Python/core.c', 'three = 3', 'three = 33')
    built.commit('Count further')
    assert 'no "Why:" field' in built.make('refresh')


def test_a_committed_new_file_moves_to_the_overlay(built):
    built.write('build/src/Lib/newmod.py', 'y = 1\n')
    edit(built, 'build/src/Lib/os.py', 'posix', 'ours')
    built.commit('New module')
    copy = built.path / 'build/src/Lib/newmod.py'
    before = copy.stat().st_mtime_ns
    built.make('refresh')
    assert built.read('Lib/newmod.py') == 'y = 1\n'
    assert 'newmod' not in built.read('patches/0002-new-module.patch')
    built.make()
    assert copy.stat().st_mtime_ns == before
    assert built.git('status', '--porcelain') == ''
    assert '"newmod"' in built.read('build/src/Python/stdlib_module_names.h')


def test_a_commit_of_new_files_only_leaves_no_patch(built):
    built.write('build/src/Lib/newmod.py', 'y = 1\n')
    built.commit('New module')
    assert 'no patch for "New module"' in built.make('refresh')
    assert built.read('patches/series') == '# in this order\n0001-hello.patch\n'


def test_a_new_file_that_is_not_committed_is_named(built):
    built.write('build/src/Lib/newmod.py', 'y = 1\n')
    assert 'not taken: Lib/newmod.py' in built.make('refresh')


def test_an_edited_copy_of_an_overlay_file_is_built_and_taken_back(built):
    built.write('build/src/Lib/ours.py', 'x = 2\n')
    built.make()
    assert built.read('build/src/Lib/ours.py') == 'x = 2\n'
    assert built.read('Lib/ours.py') == 'x = 1\n'
    built.make('refresh')
    assert built.read('Lib/ours.py') == 'x = 2\n'
    built.write('Lib/ours.py', 'x = 3\n')
    built.make()
    assert built.read('build/src/Lib/ours.py') == 'x = 3\n'


def test_an_overlay_file_edited_on_both_sides_is_an_error_that_names_it(built):
    built.write('build/src/Lib/ours.py', 'x = 2\n')
    built.write('Lib/ours.py', 'x = 3\n')
    assert 'Lib/ours.py was edited both here and in' in built.fail('make')
    assert 'Lib/ours.py was edited both here and in' in built.fail('make', 'refresh')
    assert built.read('build/src/Lib/ours.py') == 'x = 2\n'
    (built.path / 'build/src/Lib/ours.py').unlink()
    built.make()
    assert built.read('build/src/Lib/ours.py') == 'x = 3\n'


def test_refresh_never_undoes_an_edit_here_that_is_not_built_yet(built):
    built.write('Lib/ours.py', 'x = 3\n')
    assert 'run make first' in built.fail('make', 'refresh')
    assert built.read('Lib/ours.py') == 'x = 3\n'


def test_work_in_the_tree_and_changed_patches_is_refused_until_one_is_given_up(built):
    edit(built, 'build/src/Python/core.c', 'two = 2', 'two = 22')
    built.commit('Count')
    built.write('patches/0001-hello.patch', PATCH.replace('hello = 1', 'hello = 2'))
    assert 'patches/ and build/src both changed' in built.fail('make')
    assert 'patches/ changed since' in built.fail('make', 'refresh')
    assert 'two = 22' in built.read('build/src/Python/core.c')
    built.git('reset', '-q', '--hard', 'applied')
    built.make()
    assert 'hello = 2' in built.read('build/src/Python/core.c')
    assert 'two = 2;' in built.read('build/src/Python/core.c')


def test_generated_files_are_never_exported(built):
    path = 'build/src/Modules/zlibmodule.c'
    built.write(path, CLINIC_FILE.format(name='zlib.more'))
    built.make()
    assert 'zlib.more' in built.read('build/src/Modules/clinic/zlibmodule.c.h')
    built.commit('More zlib')
    built.make('refresh')
    patch = built.read('patches/0002-more-zlib.patch')
    assert 'zlib.more' in patch and 'clinic/' not in patch
    built.make()
    assert 'zlib.more' in built.read('build/src/Modules/clinic/zlibmodule.c.h')
    assert built.git('status', '--porcelain') == ''


def test_a_generated_file_whose_reason_is_gone_is_upstreams_again(built):
    built.write('build/src/Modules/zlibmodule.c', CLINIC_FILE.format(name='zlib.more'))
    built.make()
    built.commit('More zlib')
    built.make('refresh')
    built.write('patches/series', '0001-hello.patch\n')
    (built.path / 'patches/0002-more-zlib.patch').unlink()
    built.make()
    assert built.read('build/src/Modules/clinic/zlibmodule.c.h') == '[clinic input]\nzlib\n'
    assert built.git('status', '--porcelain') == ''


def test_clinic_updates_in_the_copy_are_no_edit(built):
    built.write('Modules/_ours/module.c', CLINIC_FILE.format(name='ours.two'))
    built.make()
    built.write('Modules/_ours/module.c', CLINIC_FILE.format(name='ours.three'))
    built.make()
    assert 'ours.three' in built.read('build/src/Modules/_ours/clinic/module.c.h')
    built.make('refresh')
    assert 'output=0' not in built.read('Modules/_ours/module.c')
    assert not (built.path / 'Modules/_ours/clinic').exists()


def test_a_failing_generator_is_one_message_and_runs_again(built):
    built.write('Modules/_ours/module.c', CLINIC_FILE.format(name='clinic fails'))
    assert 'clinic.py failed for clinic Modules/_ours/module.c' in built.fail('make')
    assert 'clinic.py failed' in built.fail('make')
    built.write('Modules/_ours/module.c', CLINIC_FILE.format(name='ours'))
    built.make()


def test_configure_is_not_patched(built):
    edit(built, 'build/src/configure', '#!/bin/sh\n', '#!/bin/sh\n# ours\n')
    built.commit('Own configure')
    assert 'which no patch may' in built.fail('make', 'refresh')


def test_merges_are_refused(built):
    built.git('checkout', '-q', '-b', 'side')
    edit(built, 'build/src/Lib/os.py', 'posix', 'ours')
    built.commit('Side')
    built.git('checkout', '-q', 'ensemble')
    built.git('merge', '-q', '--no-ff', '-m', 'Merge', 'side')
    assert 'is a merge' in built.fail('make', 'refresh')


def test_only_the_default_release_is_refreshed(built):
    built.make('BUILD=build/3.13.5', 'RELEASE=3.13.5')
    assert 'refresh from the build of 3.13.15' in built.fail(
        'make', 'refresh', 'BUILD=build/3.13.5')


def test_refresh_before_the_first_make_says_so(scratch):
    assert 'run make first' in scratch.fail('make', 'refresh')
