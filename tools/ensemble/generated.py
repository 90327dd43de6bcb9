"""Files that CPython generates from others and keeps in its source tree.

They are never in a patch nor in the overlay: whatever of ours changes their
inputs, they are made again in build/src by upstream's own generators, run with
the host python. A generated file whose reason is gone gets upstream's content
back.

Every step leaves a digest of what it read and wrote, and is skipped while that
still holds. No output is rewritten with the same content, so that make has
nothing to do after a step that changed nothing.
"""

import hashlib
import os
import re
import subprocess
import sys

from . import files
from .errors import Stop

_CLINIC_NAME = re.compile(r'(.*/)?clinic/[^/]+\.(?:c|cpp|h)\.h')
_CLINIC_SOURCE = ('.c', '.cpp', '.h')

_GLOBAL_OBJECTS = tuple('Include/internal/' + name for name in (
    'pycore_global_strings.h', 'pycore_runtime_init_generated.h',
    'pycore_unicodeobject_generated.h', 'pycore_global_objects_fini_generated.h'))
_GLOBAL_OBJECTS_FOLDERS = ('Modules/', 'Objects/', 'Parser/', 'PC/', 'Programs/', 'Python/')
_GLOBAL_NAME = re.compile(rb'\b_Py_ID\(\w+\)|\b_Py_DECLARE_STR\(\w+, ".*?"\)')

_STDLIB_NAMES = 'Python/stdlib_module_names.h'
_SETUP_FILES = ('Modules/Setup', 'Modules/Setup.bootstrap.in', 'Modules/Setup.stdlib.in')

_CASES = 'Tools/cases_generator/'
_BYTECODES = 'Python/bytecodes.c'
_OPTIMIZER = 'Python/optimizer_bytecodes.c'

# (inputs, command, outputs). In a command {0} stands for the first output, and
# so on; paths are relative to the source tree. The same commands are in
# upstream's Makefile.pre.in, as regen-pegen, -keyword, -token, -ast and -cases.
_GRAMMAR = ('Grammar/python.gram', 'Grammar/Tokens')
_TOKENS = ('Grammar/Tokens',)
_TABLE = (
    (_GRAMMAR, ('-m', 'pegen', '-q', 'c', *_GRAMMAR, '-o', '{0}'), ('Parser/parser.c',)),
    (_GRAMMAR, ('-m', 'pegen.keywordgen', *_GRAMMAR, '{0}'), ('Lib/keyword.py',)),
    *((_TOKENS, ('Tools/build/generate_token.py', kind, *_TOKENS, '{0}'), (output,))
      for kind, output in (('h', 'Include/internal/pycore_token.h'),
                           ('c', 'Parser/token.c'), ('py', 'Lib/token.py'))),
    (('Parser/Python.asdl', 'Parser/asdl_c.py'),
     ('Parser/asdl_c.py', 'Parser/Python.asdl', '-H', '{0}', '-I', '{1}', '-C', '{2}'),
     ('Include/internal/pycore_ast.h', 'Include/internal/pycore_ast_state.h',
      'Python/Python-ast.c')),
    *(((_BYTECODES,), (_CASES + script, '-o', '{0}', _BYTECODES), (output,))
      for script, output in (
          ('opcode_id_generator.py', 'Include/opcode_ids.h'),
          ('target_generator.py', 'Python/opcode_targets.h'),
          ('uop_id_generator.py', 'Include/internal/pycore_uop_ids.h'),
          ('py_metadata_generator.py', 'Lib/_opcode_metadata.py'),
          ('tier1_generator.py', 'Python/generated_cases.c.h'),
          ('tier2_generator.py', 'Python/executor_cases.c.h'),
          ('opcode_metadata_generator.py', 'Include/internal/pycore_opcode_metadata.h'),
          ('uop_metadata_generator.py', 'Include/internal/pycore_uop_metadata.h'))),
    ((_OPTIMIZER, _BYTECODES),
     (_CASES + 'optimizer_generator.py', '-o', '{0}', _OPTIMIZER, _BYTECODES),
     ('Python/optimizer_cases.c.h',)),
)

_FIXED = frozenset((*_GLOBAL_OBJECTS, _STDLIB_NAMES,
                    *(output for _, _, outputs in _TABLE for output in outputs)))


def is_generated(path):
    """Whether the file at this path of the source tree is made by a generator."""
    return path in _FIXED or _CLINIC_NAME.fullmatch(path) is not None


class Generator:
    """One pass over a source tree.

    src: its folder. changed: the paths of upstream's files that differ from
    the release. overlay: the paths of our new files. upstream(path): the
    release's content of a file, or None. record: what the last pass left,
    brought up to date by run().
    """

    def __init__(self, src, changed, overlay, upstream, record):
        self.src = src
        self.changed = changed
        self.sources = sorted({path for path in (*changed, *overlay) if not is_generated(path)})
        self.upstream = upstream
        self.record = record
        self.claimed = set()
        self.ran = []

    def run(self):
        """Bring every generated file up to date; return the names of the steps that ran."""
        self._clinic()
        self._table()
        self._global_objects()
        self._stdlib_names()
        self._restore()
        return self.ran

    def _clinic(self):
        outputs = {}
        for path in self.sources:
            data = self._read(path)
            if path.endswith(_CLINIC_SOURCE) and data and b'[clinic input]' in data:
                folder, _, name = path.rpartition('/')
                output = f'{folder}/clinic/{name}.h'
                outputs[path] = output
                self._step(f'clinic {path}', (path,), (output,),
                           ('Tools/clinic/clinic.py', path))
        # Only we know of clinic output beside files that upstream does not have.
        for output in set(self.record.get('clinic outputs', [])) - set(outputs.values()):
            if self.upstream(output) is None:
                (self.src / output).unlink(missing_ok=True)
        self.record['clinic outputs'] = sorted(outputs.values())

    def _table(self):
        for inputs, command, outputs in _TABLE:
            if set(inputs) & set(self.sources):
                self._step(outputs[0], inputs, outputs, command)

    def _global_objects(self):
        """The interned strings that C code names are collected in four headers."""
        scanned = [path for path in (*self.sources, *self.record['clinic outputs'])
                   if path.startswith(_GLOBAL_OBJECTS_FOLDERS) and path.endswith(('.c', '.h'))]
        names = []
        for path in sorted(set(scanned)):
            names += [path, *sorted(set(_GLOBAL_NAME.findall(self._read(path) or b'')))]
        if not any(isinstance(name, bytes) for name in names):
            return
        self._step('global objects', (), _GLOBAL_OBJECTS,
                   ('Tools/build/generate_global_objects.py',), extra=repr(names).encode())

    def _stdlib_names(self):
        """sys.stdlib_module_names, without the built python upstream's generator needs."""
        old = self.upstream(_STDLIB_NAMES)
        if old is None:
            return
        names = set(re.findall(rb'^"(\w+)",$', old, re.MULTILINE))
        added, removed = self._module_changes()
        new = (names | added) - removed
        if new == names:
            return
        self.claimed.add(_STDLIB_NAMES)
        head, _, rest = old.partition(b'= {\n')
        tail = rest[rest.index(b'};'):]
        text = head + b'= {\n' + b''.join(b'"%s",\n' % name for name in sorted(new)) + tail
        if self._read(_STDLIB_NAMES) != text:
            files.write_bytes(self.src / _STDLIB_NAMES, text)
            self.ran.append('stdlib module names')

    def _module_changes(self):
        """The importable names (bytes) that we add to and take from upstream's list."""
        added = set()
        for path in self.sources:
            match = re.fullmatch(r'Lib/(\w+)(?:\.py|/[^/]+\.py)', path)
            if match and self.upstream(path) is None:
                added.add(match[1].encode())
        removed = set()
        for path in _SETUP_FILES:
            if path in self.sources:
                old = _setup_modules(self.upstream(path) or b'')
                new = _setup_modules(self._read(path) or b'')
                added |= new - old
                removed |= old - new
        # Upstream's generator does not list test modules, and takes those names for such.
        return {name for name in added if b'test' not in name and b'xx' not in name}, removed

    def _restore(self):
        for path in self.changed:
            if is_generated(path) and path not in self.claimed:
                data = self.upstream(path)
                if data is not None and data != self._read(path):
                    files.write_bytes(self.src / path, data)
                    self.ran.append(f'upstream\'s {path}')

    def _step(self, name, inputs, outputs, command, extra=b''):
        """Run the command unless the inputs and outputs are those of the last time."""
        self.claimed.update(outputs)
        if self.record.get(name) == self._digest(inputs, outputs, extra):
            return
        temporaries = [f'{output}.new' for output in outputs]
        done = subprocess.run(
            [sys.executable, *(_fill(word, temporaries) for word in command)],
            cwd=self.src, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {'PYTHONDONTWRITEBYTECODE': '1',
                              'PYTHONPATH': 'Tools/peg_generator'})
        if done.returncode:
            raise Stop(f'{command[0]} failed for {name}:\n{done.stdout.strip()}')
        for output, temporary in zip(outputs, temporaries):
            data = self._read(temporary)
            if data is not None:
                (self.src / temporary).unlink()
                if data != self._read(output):
                    files.write_bytes(self.src / output, data)
        self.record[name] = self._digest(inputs, outputs, extra)
        self.ran.append(name)

    def _digest(self, inputs, outputs, extra):
        digest = hashlib.sha256(extra)
        for path in (*inputs, *outputs):
            data = self._read(path)
            digest.update(b'%s %d\n' % (path.encode(), -1 if data is None else len(data)))
            digest.update(data or b'')
        return digest.hexdigest()

    def _read(self, path):
        try:
            return (self.src / path).read_bytes()
        except FileNotFoundError:
            return None


def _fill(word, outputs):
    """word, or the output that it stands for."""
    match = re.fullmatch(r'\{(\d)\}', word)
    return outputs[int(match[1])] if match else word


def _setup_modules(text):
    """The names of the modules in a Modules/Setup file, whichever way they are built."""
    names = set()
    for line in text.splitlines():
        line = re.sub(rb'^@MODULE_\w+_(?:TRUE|FALSE)@', b'', line).strip()
        words = line.split()
        if len(words) > 1 and re.fullmatch(rb'[A-Za-z_]\w*', words[0]) and b'=' not in words[0]:
            names.add(words[0])
    return names
