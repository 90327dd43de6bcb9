"""The walk-through Doc/howto/prototype-a-pep.rst does what it says.

All its commands are run in the order of the page, in a scratch copy of the
project, and print what the page shows. The tests then look at what each
command left behind. The edits lie in tests/prototype, where the page includes
them from.
"""

import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass

import pytest

SOURCE = 'Modules/mathmodule.c'
DOC = 'Doc/library/math.rst'
TEST = 'Lib/test/test_math_clamp.py'
GENERATED = 'Modules/clinic/mathmodule.c.h'


@dataclass(frozen=True)
class Step:
    """One command of the page and what came of it."""

    command: str
    output: str
    built: set      # objects, libraries and programs that were written
    changes: dict   # files of the project that differ from its commit: {path: bytes}


class Project:
    """A copy of the project, under git, with nothing built."""

    def __init__(self, root, path):
        self.path = path
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith(('GIT_', 'MAKE', 'MFLAGS', 'GNUMAKEFLAGS', 'PYTHON'))}
        # No git configuration but that of each repository, and no repository
        # around pytest's temporary folders.
        self.env |= {'GIT_CONFIG_GLOBAL': os.devnull, 'GIT_CONFIG_NOSYSTEM': '1',
                     'GIT_CEILING_DIRECTORIES': str(path.parents[1])}
        for name in self.files(root):
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target, follow_symlinks=False)
        self.git('init', '--quiet')
        self.git('add', '--all')
        self.git('-c', 'user.name=x', '-c', 'user.email=x@x', 'commit', '--quiet', '-m', 'start')

    def files(self, root):
        """What a clone of the folder would hold once all in it was committed."""
        if not (root / '.git').exists():
            names = (path.relative_to(root) for path in root.rglob('*') if path.is_file())
            return [name for name in names if '__pycache__' not in name.parts
                    and name.parts[0] not in ('build', 'dist', '.pytest_cache')]
        return [name for name in self.git('ls-files', '-z', '--cached', '--others',
                                          '--exclude-standard', cwd=root).split('\0')
                if name and (root / name).is_file()]

    def git(self, *arguments, cwd=None):
        return self.shell(['git', '-c', 'safe.directory=*', *arguments], cwd)

    def shell(self, command, cwd=None):
        """Run a command, which must succeed; return what it printed."""
        done = subprocess.run(command, shell=isinstance(command, str), cwd=cwd or self.path,
                              env=self.env, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, f'{command}\n{done.stdout}'
        return done.stdout

    def products(self):
        """The time stamp of everything compiled or linked."""
        folder = self.path / 'build' / 'release'
        return {str(path.relative_to(folder)): path.stat().st_mtime_ns
                for path in (*folder.rglob('*.o'), *folder.rglob('*.so'), folder / 'python')
                if path.is_file()}

    def changes(self):
        """{path: bytes} of the files that differ from the commit; None for a removed one."""
        status = self.git('status', '--porcelain', '-z', '--untracked-files=all', '--no-renames')
        paths = [self.path / entry[3:] for entry in status.split('\0') if entry]
        return {str(path.relative_to(self.path)): path.read_bytes() if path.exists() else None
                for path in paths}


class Walk:
    """The project after the last command of the page, and all steps on the way."""

    def __init__(self, project):
        self.project = project
        self.steps = []

    def take(self, command):
        before = self.project.products()
        output = self.project.shell(command)
        built = {path for path, time in self.project.products().items()
                 if before.get(path) != time}
        self.steps.append(Step(command, output, built, self.project.changes()))

    def step(self, command, number=0):
        """The number-th time that this command was run."""
        return [step for step in self.steps if step.command == command][number]

    def file(self, path):
        return (self.project.path / path).read_bytes()

    @property
    def patch(self):
        """The name and the bytes of the patch that make refresh added."""
        changes = self.step('make refresh').changes
        [name] = (path for path in changes if path.endswith('.patch'))
        return name, changes[name]


def commands(page):
    """[(command, lines shown below it)] of the console blocks in a page."""
    found = []
    for block in re.findall(r'^\.\. code-block:: console\n((?:   .*\n|\n)+)', page, re.MULTILINE):
        for line in block.strip('\n').splitlines():
            line = line.removeprefix('   ')
            if line.startswith('$ '):
                found.append((line.removeprefix('$ '), []))
            elif line:
                found[-1][1].append(line)
    return found


def absent(shown, output):
    """The first of the lines shown that is not in the output, in this order; '...' is any text."""
    printed = iter(output.splitlines())
    for line in shown:
        pattern = '.*'.join(map(re.escape, line.split('...')))
        if not any(re.fullmatch(pattern, text) for text in printed):
            return line
    return None


@pytest.fixture(scope='session')
def page(root):
    return commands((root / 'Doc' / 'howto' / 'prototype-a-pep.rst').read_text(encoding='utf-8'))


@pytest.fixture(scope='session')
def walk(root, page, tmp_path_factory):
    folder = tmp_path_factory.mktemp('prototype')
    walk = Walk(Project(root, folder / 'project'))
    for command, _ in page:
        walk.take(command)
    yield walk
    # pytest keeps the last temporary folders, and a build is large.
    shutil.rmtree(folder)


def test_every_command_prints_what_the_page_shows(page, walk):
    assert [step.command for step in walk.steps] == [command for command, _ in page]
    for step, (command, shown) in zip(walk.steps, page):
        assert absent(shown, step.output) is None, f'{command}\n{step.output}'


def test_an_edit_compiles_what_it_changed_and_no_more(walk):
    assert 'python' in walk.step('make').built
    built = walk.step('make', 1).built
    assert 'Modules/mathmodule.o' in built
    assert {path.rpartition('/')[2].partition('.')[0] for path in built} == {'mathmodule', 'math'}


def test_the_new_test_was_run_by_the_new_python(walk):
    [output] = [step.output for step in walk.steps if '-m test ' in step.command]
    assert 'test_math_clamp' in output
    assert 'Result: SUCCESS' in output


def test_refresh_adds_a_patch_and_an_overlay_file_to_the_project(walk, root):
    name, _ = walk.patch
    changes = walk.step('make refresh').changes
    assert set(changes) == {'patches/series', name, TEST}
    assert changes[TEST] == (root / 'tests' / 'prototype' / TEST).read_bytes()
    assert changes['patches/series'].decode().splitlines()[-1] == name.removeprefix('patches/')


def test_the_patch_has_a_full_header(walk, root):
    _, data = walk.patch
    header = data.decode().partition('\ndiff --git ')[0]
    message = (root / 'tests' / 'prototype' / 'message.txt').read_text(encoding='utf-8')
    subject, _, fields = message.partition('\n\n')
    assert header == f'Subject: {subject}\n{fields}'
    for field in ('Why', 'Upstream', 'Test', 'Forwarded'):
        assert re.search(rf'^{field}: \S', header, re.MULTILINE)


def test_the_patch_holds_the_source_and_nothing_generated_or_new(walk):
    _, data = walk.patch
    assert re.findall(r'^diff --git a/(\S+)', data.decode(), re.MULTILINE) == [DOC, SOURCE]
    # Clinic completes the source it was written in; that much belongs there.
    assert b'+math_clamp_impl(PyObject *module, PyObject *value, PyObject *low,' in data
    assert b'+/*[clinic end generated code: output=' in data


def test_nothing_is_built_between_the_edit_and_its_undoing(walk):
    makes = [index for index, step in enumerate(walk.steps) if step.command == 'make']
    assert len(makes) == 4
    between = walk.steps[makes[1] + 1:makes[3]]
    assert {step.command: step.built for step in between if step.built} == {}


@pytest.fixture(scope='session')
def release(walk, tmp_path_factory):
    """A pristine release to which somebody else applied the combined patch."""
    path = tmp_path_factory.mktemp('receiver') / 'release'
    shutil.copytree(walk.project.path / 'build' / 'upstream' / f'Python-{_version(walk)}', path,
                    symlinks=True)
    [patch] = (walk.project.path / 'build' / 'dist').glob('*.patch')
    # Were this inside a repository, git would skip the files without a word.
    walk.project.git('apply', '--check', str(patch), cwd=path)
    walk.project.git('apply', str(patch), cwd=path)
    yield path
    shutil.rmtree(path)


def test_the_combined_patch_brings_the_change_to_a_pristine_release(release, root):
    assert b'math_clamp_impl(' in (release / SOURCE).read_bytes()
    assert b'.. function:: clamp(' in (release / DOC).read_bytes()
    assert (release / TEST).read_bytes() == (root / 'tests' / 'prototype' / TEST).read_bytes()
    assert b'#define MATH_CLAMP_METHODDEF' in (release / GENERATED).read_bytes()


def test_the_tarball_is_the_release_with_the_patch(walk, release):
    [tarball] = (walk.project.path / 'build' / 'dist').glob('*.tar.xz')
    found = {}
    with tarfile.open(tarball) as tar:
        for member in tar:
            name = member.name.partition('/')[2]
            if name in (SOURCE, DOC, TEST, GENERATED):
                found[name] = tar.extractfile(member).read()
    assert found == {name: (release / name).read_bytes()
                     for name in (SOURCE, DOC, TEST, GENERATED)}


def test_undoing_leaves_the_project_and_the_source_as_they_were(walk):
    assert walk.steps[-1].changes == {}
    assert walk.project.git('status', '--short', cwd=walk.project.path / 'build' / 'src') == ''
    for name in (SOURCE, DOC, GENERATED):
        assert walk.file(f'build/src/{name}') == walk.file(
            f'build/upstream/Python-{_version(walk)}/{name}')
    assert not (walk.project.path / 'build' / 'src' / TEST).exists()


def test_a_line_that_is_not_printed_is_noticed():
    assert absent(['a', 'c ... e'], 'a\nb\nc d e\n') is None
    assert absent(['c', 'a'], 'a\nb\nc\n') == 'a'
    assert absent(['a.c'], 'abc\n') == 'a.c'


def _version(walk):
    """The release that was built."""
    return re.search(r'is ready \(CPython ([\d.]+)\)', walk.step('make').output)[1]
