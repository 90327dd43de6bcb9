"""The engine's sources keep the rules of Doc/internals/layers.rst."""

import re
import subprocess
from pathlib import Path

import pytest

ENGINE = 'Modules/_xxsubinterpreters'

# Lowest first; a file includes only files of its own or a lower rank. The
# formats and states that several files share count with the lowest user.
RANKS = [
    {'block', 'port', 'mainthread', 'item'},
    {'waiter', 'ring'},
    {'shared', 'sync', 'channel', 'channel_ends', 'channel_private', 'atomics'},
    {'state', 'interp', 'interp_ending', 'interp_private'},
    {'signals'},
    {'blocking'},
    {'objectmap'},
    {'message', 'message_format', 'encoder', 'message_encode', 'message_encode_object',
     'message_encode_function', 'decoder', 'message_decode', 'message_decode_object',
     'message_decode_function', 'message_large', 'objectlayout', 'rawmemory', 'export', 'moved',
     'bufferview', 'sharedblock', 'channelobject', 'queueobject', 'syncobject', 'semaphoreobject',
     'conditionobject', 'barrierobject', 'messageobject', 'exclusiveobject'},
    {'select', 'asyncobject', 'call', 'capi', 'atomicview', 'dlpack', 'arrow'},
    {'module', 'interpfunctions'},
]
RAW = {'block', 'port', 'mainthread', 'item', 'waiter', 'ring', 'shared', 'channel', 'channel_ends',
       'channel_private', 'atomics', 'sync'}


@pytest.fixture(scope='module')
def sources(root):
    return {path: path.read_text() for path in sorted((root / ENGINE).glob('*.[ch]'))}


def rank(stem):
    found = [number for number, stems in enumerate(RANKS) if stem in stems]
    assert len(found) == 1, f'{stem} has no place in the layers, or several'
    return found[0]


def test_no_layer_includes_a_higher_one(sources):
    ours = {path.name for path in sources}
    wrong = []
    for path, text in sources.items():
        for name in re.findall(r'^#include "([^"]+)"', text, re.MULTILINE):
            if name in ours and rank(name.removesuffix('.h')) > rank(path.stem):
                wrong.append(f'{path.name} includes {name}')
    assert wrong == []


def test_raw_layers_touch_no_python_object(sources):
    without_comments = {
        path: re.sub(r'/\*.*?\*/|//[^\n]*', '', text, flags=re.DOTALL)
        for path, text in sources.items() if path.stem in RAW}
    assert {path.stem for path in without_comments} == RAW
    # Functions that need no thread state, and types that hold no object.
    allowed = (r'Py_ssize_t|Py_buffer|PyTime_\w+|PyMutex\w*|PyMem_Raw\w+|Py_MAX|Py_MIN|Py_UNREACHABLE|'
               r'Py_XXSUBINTERPRETERS_\w+|Py_PARK_\w+|PyBUF_MAX_NDIM')
    wrong = [f'{path.name}: {name}' for path, text in without_comments.items()
             for name in re.findall(r'\bPy[A-Z_a-z]\w*', text)
             if not re.fullmatch(allowed, name) and name != 'Python']
    assert wrong == []


def test_every_source_is_built_and_every_header_tracked(root, sources):
    patch = next((root / 'patches').glob('0001-*.patch')).read_text()
    built = set(re.findall(r'_xxsubinterpreters/(\w+\.c)\b', patch))
    assert built == {path.name for path in sources if path.suffix == '.c'}
    tracked = set(re.findall(r'_xxsubinterpreters/((?:clinic/)?[\w.]+\.h)', patch))
    assert tracked == {path.name for path in sources if path.suffix == '.h'} | {
        f'clinic/{path.name}.h' for path, text in sources.items()
        if '[clinic input]' in text}


def test_what_counts_blocks_compiles_without_pymalloc(root, python, compile_library, tmp_path):
    # As in the build for AddressSanitizer.
    config, include = subprocess.run(
        [python, '-c', 'import sysconfig\n'
                       'print(sysconfig.get_config_h_filename())\n'
                       'print(sysconfig.get_path("include", "posix_prefix"))'],
        text=True, capture_output=True, check=True).stdout.splitlines()
    with_pymalloc = Path(config).read_text()
    without = re.sub(r'^#define WITH_PYMALLOC\b.*$', '', with_pymalloc, flags=re.MULTILINE)
    (tmp_path / 'pyconfig.h').write_text(without)
    # Headers in quotes are looked for there first.
    compile_library(root / ENGINE / 'rawmemory.c', tmp_path / 'rawmemory.so',
                    '-iquote', tmp_path, '-I', f'{include}/internal', '-std=c11', '-DPy_BUILD_CORE',
                    '-fsyntax-only')
