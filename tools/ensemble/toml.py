"""The part of TOML that upstream.toml needs, read strictly.

tomllib came with Python 3.11 and the host python may be a 3.10. What is
accepted here means the same to tomllib; anything else is an error that names
the line, so that nobody comes to believe the whole of TOML is understood.
"""

import re

from .errors import Stop

_ENTRY = re.compile(r'([A-Za-z0-9_-]+)[ \t]*=[ \t]*"([^"\\\x00-\x08\x0a-\x1f\x7f]*)"[ \t]*(?:#.*)?')
_ARRAY = re.compile(r'\[\[[ \t]*([A-Za-z0-9_-]+)[ \t]*\]\][ \t]*(?:#.*)?')


def parse(text, name):
    """Return the dict that tomllib would give for text; name is for errors.

    Known: comments, `key = "string"` without escapes, and arrays of tables,
    `[[key]]`.
    """
    root = {}
    table = root
    for number, line in enumerate(text.split('\n'), 1):
        line = line.removesuffix('\r').strip(' \t')
        if not line or line.startswith('#'):
            continue
        if match := _ARRAY.fullmatch(line):
            tables = root.setdefault(match[1], [])
            if not isinstance(tables, list):
                raise Stop(f'{name}:{number}: {match[1]!r} is already a string')
            table = {}
            tables.append(table)
        elif match := _ENTRY.fullmatch(line):
            if match[1] in table:
                raise Stop(f'{name}:{number}: {match[1]!r} is given twice')
            table[match[1]] = match[2]
        else:
            raise Stop(f'{name}:{number}: expected key = "value" or [[table]], '
                       f'not {line!r}')
    return root
