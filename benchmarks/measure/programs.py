"""The programs that measure: this python, that of stock, and the peers in other languages."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .transports import Unavailable

BENCHMARKS = Path(__file__).resolve().parents[1]
PEERS = BENCHMARKS / 'peers'


@dataclass(frozen=True)
class Tool:
    """What compiles or interprets a peer.  In commands, {source} and {program} stand for paths."""

    names: tuple                # of the executable; the first one that is installed is used
    source: str                 # in the folder of peers
    run: tuple                  # arguments of the tool, or a command if there is something to build
    build: tuple = ()           # arguments of the tool
    version: tuple = ('--version',)     # another tool's name may come first

    def find(self):
        for name in self.names:
            path = shutil.which(name)
            if path is not None:
                return path
        raise Unavailable('not installed')


TOOLS = {
    'c': Tool(('cc', 'gcc', 'clang'), 'ping_pong.c', ('{program}',),
              build=('-O2', '-pthread', '-o', '{program}', '{source}')),
    'node': Tool(('node', 'nodejs'), 'node_ping_pong.js', ('{source}',)),
    'ruby': Tool(('ruby',), 'ruby_ping_pong.rb', ('-W0', '{source}')),
    'erlang': Tool(('escript',), 'erlang_ping_pong.erl', ('{source}',), version=('erl', '+V')),
    'go': Tool(('go',), 'go_channels.go', ('{program}',),
               build=('build', '-o', '{program}', '{source}'), version=('version',)),
}


class Programs:
    """Commands for the programs, prepared when they are first asked for.

    stock: path of the python without ours, or None for the one that is built
    beside this python.  folder: where to compile.
    """

    def __init__(self, folder, stock=None, build_timeout=300):
        self._folder = Path(folder)
        self._stock = stock
        self._build_timeout = build_timeout
        self._commands = {}
        self.environment = {**os.environ, 'PYTHONPATH': str(BENCHMARKS)}

    def command(self, name):
        """The command (list of str) of a program; Unavailable or processes.Failed if none."""
        if name not in self._commands:
            try:
                self._commands[name] = self._prepare(name)
            except (Unavailable, processes.Failed) as exc:
                self._commands[name] = exc
        if isinstance(self._commands[name], Exception):
            raise self._commands[name]
        return self._commands[name]

    def versions(self):
        """{name: version (str)} of the tools that are installed."""
        versions = {}
        for name, tool in TOOLS.items():
            try:
                versions[name] = _version(tool)
            except (Unavailable, OSError, subprocess.SubprocessError):
                pass
        return versions

    def _prepare(self, name):
        if name == 'python':
            return [sys.executable, '-P', '-m', 'measure.child']
        if name == 'stock':
            return [str(stock_python(self._stock)), '-B', '-P', '-m', 'measure.child']
        tool = TOOLS[name]
        path = tool.find()
        words = {'source': str(PEERS / tool.source), 'program': str(self._folder / name)}
        if not tool.build:
            return [path, *(word.format(**words) for word in tool.run)]
        environment = {'GOCACHE': str(self._folder / 'cache'), **os.environ}
        try:
            processes.run([path, *(word.format(**words) for word in tool.build)],
                          self._build_timeout, environment)
        except processes.Failed as exc:
            raise processes.Failed(f'{tool.source} could not be compiled: {exc}') from None
        return [word.format(**words) for word in tool.run]


def stock_python(path=None):
    """The path of stock's python, by default of the one that is built beside this python.

    Unavailable if there is none of the same release.
    """
    path = Path(path) if path else _stock_beside_this()
    if not path.is_file():
        raise Unavailable('not built (make VARIANT=stock)')
    version = processes.run([str(path), '-c', 'import platform; '
                             'print(platform.python_version())'], 60).strip()
    if version != platform.python_version():
        raise Unavailable(f'is {version}, not the same release')
    return path


def _stock_beside_this():
    """Where `make VARIANT=stock` has its python, if the running one lies in such a folder."""
    return base_python().parent.parent / 'stock' / 'python'


def base_python():
    """The path of this python, not of a virtual environment of it."""
    return Path(getattr(sys, '_base_executable', None) or sys.executable).resolve()


def _version(tool):
    path = tool.find()
    first, *rest = tool.version
    command = [shutil.which(first) or first, *rest] if rest else [path, first]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=True)
    return done.stdout.strip().partition('\n')[0]
