"""Sphinx configuration; `make docs` builds with warnings as errors."""

import re
from pathlib import Path

project = 'Ensemble'
copyright = '2026, the Ensemble developers'
version = release = re.search(
    r'^ensemble = "(.+)"', (Path(__file__).parents[1] / 'upstream.toml').read_text(),
    re.MULTILINE)[1]

extensions = ['sphinx.ext.doctest']
# As at the prompt: functions defined in an example belong to __main__.
doctest_global_setup = "__name__ = '__main__'"
exclude_patterns = ['requirements.txt']
html_theme = 'alabaster'
nitpicky = True
# Documented by CPython, whose pages this build does not include.
nitpick_ignore_regex = [
    ('py:(mod|class|func|meth|exc|data|attr|term)',
     r'(threading|concurrent|queue|queue\..*|types\..*|pickle|int|str|float|dict|bool|None'
     r'|memoryview|bytes|bytearray|TimeoutError|ValueError|TypeError|MemoryError|RecursionError'
     r'|Exception|KeyboardInterrupt|array\.array|concurrent\.futures\..*|threading\..*)'),
]
