"""make check fails on each thing that must not be."""

import pytest

from conftest import PATCH


def test_passes_on_a_project_in_order(built):
    assert '3.13.15 and 3.13.5: patches and overlay are in order' in built.make('check')


@pytest.mark.parametrize('field', ['Subject', 'Why', 'Upstream', 'Test', 'Forwarded'])
def test_a_patch_without_a_header_field(built, field):
    text = built.read('patches/0001-hello.patch')
    built.write('patches/0001-hello.patch', ''.join(
        line for line in text.splitlines(keepends=True) if not line.startswith(f'{field}:')))
    assert f'no "{field}:"' in built.fail('make', 'check')


def test_an_unknown_forwarded_value(built):
    built.write('patches/0001-hello.patch', PATCH.replace('not-needed', 'perhaps'))
    assert "not 'perhaps'" in built.fail('make', 'check')


@pytest.mark.parametrize('series, message', [
    ('', '0001-hello.patch is not listed'),
    ('0001-hello.patch\n0001-hello.patch\n', 'lists 0001-hello.patch 2 times'),
    ('0001-hello.patch\n0002-no.patch\n', 'lists 0002-no.patch, which does not exist'),
])
def test_a_series_that_is_not_the_folder(built, series, message):
    built.write('patches/series', series)
    assert message in built.fail('make', 'check')


def test_lines_that_moved_are_no_fuzz(built):
    built.make('BUILD=build/3.13.5', 'RELEASE=3.13.5')
    assert '/* older */' in built.read('build/3.13.5/src/Python/core.c')
    assert 'int hello' in built.read('build/3.13.5/src/Python/core.c')


def test_a_patch_that_would_need_fuzz_on_another_release(built):
    """The first line of the context is not in the older release."""
    path = 'build/src/Lib/os.py'
    built.write(path, 'name = "ours"\n')
    built.commit('Ours\n\nWhy: x\nUpstream: none\nTest: x\nForwarded: no')
    built.make('refresh')
    message = built.fail('make', 'check')
    assert '0002-ours.patch does not apply to CPython 3.13.5' in message
    assert '3.13.15' not in message


def test_a_patch_with_other_context_does_not_apply(built):
    built.write('patches/0001-hello.patch', PATCH.replace(' int two = 2;', ' int two = 3;'))
    message = built.fail('make')
    assert 'patches/0001-hello.patch does not apply to CPython 3.13.15' in message
    assert 'Python/core.c' in message
    built.write('patches/0001-hello.patch', PATCH)
    built.make()
    assert built.compiled() == []


def test_a_patch_that_makes_a_new_file(built):
    built.write('patches/0001-hello.patch', PATCH + '''diff --git a/Lib/new.py b/Lib/new.py
new file mode 100644
--- /dev/null
+++ b/Lib/new.py
@@ -0,0 +1 @@
+x = 1
''')
    assert 'Lib/new.py is not in CPython 3.13.15; new files belong to the overlay' in built.fail(
        'make', 'check')


def test_a_patch_of_a_generated_file(built):
    built.write('patches/0001-hello.patch', PATCH + '''\
diff --git a/Modules/clinic/zlibmodule.c.h b/Modules/clinic/zlibmodule.c.h
--- a/Modules/clinic/zlibmodule.c.h
+++ b/Modules/clinic/zlibmodule.c.h
@@ -1,2 +1,3 @@
 [clinic input]
 zlib
+more
''')
    assert 'clinic/zlibmodule.c.h is a generated file' in built.fail('make', 'check')


def test_an_overlay_file_that_shadows_one_of_another_release(built, older):
    built.write('Lib/os.py', '')
    assert 'Lib/os.py is a file of CPython' in built.fail('make', 'check')


def test_a_patch_that_refresh_would_write_otherwise(built):
    text = built.read('patches/0001-hello.patch')
    built.write('patches/0001-hello.patch', text.replace(
        '--- a/', 'index 1..2 100644\n--- a/'))
    assert 'is not in the form of make refresh' in built.fail('make', 'check')


def test_work_in_the_tree(built):
    built.write('build/src/Lib/os.py', 'name = "ours"\n')
    assert 'has work that is not in patches/' in built.fail('make', 'check')
    built.commit('Ours')
    assert 'has work that is not in patches/' in built.fail('make', 'check')
