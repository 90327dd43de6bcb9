import pytest

from ensemble import debian

SOURCES = '''Types: deb
# http://old.example/debian/20250520T000000Z
URIs: http://security.example/debian-security
Suites: x-security
Components: main

Types: deb deb-src
# http://old.example/archive/debian/20250520T000000Z
URIs: http://mirror.example/debian/
Suites: x x-updates
Components: main
Signed-By: /usr/share/keyrings/some.gpg
'''


@pytest.fixture
def apt(tmp_path):
    (tmp_path / 'sources.list.d').mkdir()
    return tmp_path


def test_finds_the_entry_in_deb822_form_past_comments_and_security(apt):
    (apt / 'sources.list.d/debian.sources').write_text(SOURCES)
    assert debian.machine_entry(apt) == ('http://mirror.example/debian/',
                                         '/usr/share/keyrings/some.gpg')


def test_ignores_entries_that_are_disabled_or_only_for_sources(apt):
    (apt / 'sources.list.d/a.sources').write_text(
        'Enabled: no\n' + SOURCES.partition('\n\n')[2] +
        '\nTypes: deb-src\nURIs: http://mirror.example/debian\nSuites: x\n')
    assert debian.machine_entry(apt) is None


def test_takes_no_keyring_from_a_key_written_out_in_the_file(apt):
    (apt / 'sources.list.d/a.sources').write_text(
        'Types: deb\nURIs: http://mirror.example/debian\nSuites: x\nSigned-By:\n'
        ' -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc: def\n')
    assert debian.machine_entry(apt) == ('http://mirror.example/debian', '')


@pytest.mark.parametrize('line, expected', [
    ('deb http://mirror.example/debian x main', ('http://mirror.example/debian', '')),
    ('deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian x main',
     ('http://mirror.example/debian', '/k.gpg')),
    ('# deb http://mirror.example/debian x main', None),
    ('deb http://mirror.example/debian-security x main', None),
    ('deb http://vendor.example/tool stable main', None),
    ('deb-src http://mirror.example/debian x main', None),
])
def test_reads_one_line_entries(apt, line, expected):
    (apt / 'sources.list').write_text(line + '\n')
    assert debian.machine_entry(apt) == expected


@pytest.mark.parametrize('text, expected', [
    ('Package: p\nVersion: 3.13.5-2\n\nPackage: p\nVersion: 3.13.5-2+deb13u1\n',
     '3.13.5-2+deb13u1'),
    ('Version: 3.13.50-1\nVersion: 3.13.15-1\n', None),
    ('', None),
])
def test_takes_the_package_version_of_exactly_that_release(text, expected):
    assert debian.source_version(text, '3.13.5') == expected


def test_private_apt_reads_no_list_of_the_machine(tmp_path):
    options = debian._private_apt(tmp_path, 'http://mirror.example/debian', '/k.gpg', 'x')
    assert f'Dir::State::Lists={tmp_path}/lists' in options
    assert 'Dir::Etc::SourceParts=/dev/null' in options
    assert (tmp_path / 'sources.list').read_text() == (
        'deb-src [signed-by=/k.gpg] http://mirror.example/debian x main\n')
