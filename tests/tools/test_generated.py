"""Which files are generated, and that ours come out as upstream's generators make them."""

import subprocess

import pytest

from conftest import NAMES
from ensemble import generated


@pytest.mark.parametrize('path, expected', [
    ('Modules/clinic/_queuemodule.c.h', True),
    ('Modules/_ours/clinic/module.c.h', True),
    ('Include/internal/pycore_global_strings.h', True),
    ('Python/stdlib_module_names.h', True),
    ('Parser/parser.c', True),
    ('Modules/_ours/module.c', False),
    ('Lib/test/clinic.test.c', False),
    ('Tools/clinic/clinic.py', False),
    ('Python/bytecodes.c', False),
])
def test_knows_what_is_generated(path, expected):
    assert generated.is_generated(path) is expected


class Source:
    """A source folder and what upstream has at the same paths."""

    def __init__(self, path):
        self.path = path
        self.upstream = {}
        self.record = {}

    def write(self, path, text):
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_text(text)

    def generate(self, changed=(), overlay=()):
        upstream = {path: text.encode() for path, text in self.upstream.items()}
        return generated.Generator(self.path, changed, overlay, upstream.get, self.record).run()


@pytest.fixture
def source(tmp_path):
    source = Source(tmp_path)
    source.upstream['Python/stdlib_module_names.h'] = NAMES
    source.write('Python/stdlib_module_names.h', NAMES)
    return source


def names(source):
    text = (source.path / 'Python/stdlib_module_names.h').read_text()
    return [line.strip('",') for line in text.splitlines() if line.startswith('"')]


def test_new_modules_and_packages_are_listed_in_their_place(source):
    source.generate(overlay=['Lib/beta.py', 'Lib/alpha/__init__.py', 'Lib/alpha/sub/x.py',
                             'Modules/x.c'])
    assert names(source) == ['abc', 'alpha', 'beta', 'os', 'zlib']


def test_test_modules_are_not_listed(source):
    source.generate(overlay=['Lib/_xxours.py', 'Lib/test/test_ours/__init__.py', 'Lib/_testours.py'])
    assert names(source) == ['abc', 'os', 'zlib']


def test_modules_of_the_setup_files_come_and_go(source):
    setup = 'Modules/Setup.stdlib.in'
    source.upstream[setup] = '@MODULE_ZLIB_TRUE@zlib zlibmodule.c\n'
    source.write(setup, '@MODULE__OURS_TRUE@_ours ours.c\n_xxours x.c\n#_no no.c\n*shared*\n')
    source.generate(changed=[setup])
    assert names(source) == ['_ours', 'abc', 'os']


def test_an_unchanged_list_is_not_written(source):
    before = (source.path / 'Python/stdlib_module_names.h').stat().st_mtime_ns
    assert source.generate() == []
    assert (source.path / 'Python/stdlib_module_names.h').stat().st_mtime_ns == before


SCRIPT = 'import sys; open("ran", "a").write("x"); '


def test_global_objects_run_when_the_names_change_and_only_then(source):
    source.write('Tools/build/generate_global_objects.py', SCRIPT)
    source.write('Modules/ours.c', 'x = _Py_ID(one);')
    source.generate(overlay=['Modules/ours.c'])
    source.write('Modules/ours.c', 'y = _Py_ID(one); /* more code */')
    source.generate(overlay=['Modules/ours.c'])
    assert (source.path / 'ran').read_text() == 'x'
    source.write('Modules/ours.c', 'y = _Py_ID(two);')
    source.generate(overlay=['Modules/ours.c'])
    assert (source.path / 'ran').read_text() == 'xx'


def test_the_parser_is_made_when_the_grammar_changed(source):
    for path in ('Grammar/python.gram', 'Grammar/Tokens'):
        source.write(path, 'text\n')
    source.write('Tools/peg_generator/pegen/__init__.py', '')
    copy = 'import sys; open(sys.argv[-1], "w").write(open("Grammar/python.gram").read())'
    source.write('Tools/peg_generator/pegen/__main__.py', copy)
    source.write('Tools/peg_generator/pegen/keywordgen.py', copy)
    (source.path / 'Parser').mkdir()
    (source.path / 'Lib').mkdir()
    assert source.generate(changed=['Grammar/python.gram']) == ['Parser/parser.c',
                                                                'Lib/keyword.py']
    assert (source.path / 'Parser/parser.c').read_text() == 'text\n'
    assert source.generate(changed=['Grammar/python.gram', 'Parser/parser.c']) == []
    assert not list(source.path.rglob('*.new'))


# -- with the real release, where it has been built -----------------------

@pytest.fixture
def src(root):
    if not (root / 'build/src/.git/ensemble.json').exists():
        pytest.skip('needs build/src: run make first')
    return root / 'build/src'


def test_the_module_list_is_what_upstreams_generator_writes(root, src):
    python = root / 'build/release/python'
    if not python.exists():
        pytest.skip('needs build/release/python: run make first')
    done = subprocess.run([python, src / 'Tools/build/generate_stdlib_module_names.py'],
                          cwd=python.parent, capture_output=True, text=True, check=True)
    assert done.stdout == (src / 'Python/stdlib_module_names.h').read_text()


def test_generators_leave_the_pristine_release_as_it_is(root, src, tmp_path):
    """The host python makes the same of upstream's inputs as the release manager's did."""
    [*folders] = (root / 'build/upstream').glob('Python-*')
    for folder in folders:
        copy = tmp_path / folder.name
        subprocess.run(['cp', '-r', folder, copy], check=True)
        subprocess.run(['find', copy, '-name', '__pycache__', '-prune', '-exec', 'rm', '-r',
                        '{}', '+'], check=True)
        inputs = {path for paths, _, _ in generated._TABLE for path in paths}
        sources = [*sorted(inputs), 'Modules/_queuemodule.c', 'Objects/longobject.c']

        def upstream(path):
            return (folder / path).read_bytes() if (folder / path).is_file() else None

        ran = generated.Generator(copy, sources, [], upstream, {}).run()
        assert 'clinic Modules/_queuemodule.c' in ran and 'global objects' in ran
        done = subprocess.run(['diff', '-r', '-q', '-x', '__pycache__', folder, copy],
                              capture_output=True, text=True)
        assert done.stdout == ''
