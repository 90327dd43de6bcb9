"""The results as words, and as a page of the documentation."""

from collections import Counter

HEAD = '''\
Extension packages
==================

.. Written by tests/packages/run.py and suites.py --record; edits are lost.

Packages with compiled code, as they are on the package index, in interpreters of their own GIL.
Each was tried with Python {python} in several scenarios: they differ in how many interpreters there
are, whether these work in turn or in parallel threads, in which order they are closed, and when
the main interpreter uses the package.  Every scenario ran in a process of its own.  *Works*
means that in all of them everything worked, the exit of the process included.

{total} packages were tried; {good} work.
'''

GROUP = '''
{title}
{line}

.. list-table::
   :header-rows: 1
   :widths: 16 10 44 30

   * - package
     - version
     - what was tried
     - result, of how many scenarios
'''

ROW = '''\
   * - {name}
     - {version}
     - {does}
     - {result}
'''


SUITES = '''
The packages' own tests
-----------------------

Each line is a run of pytest in an interpreter of its own GIL, at the same time as another one, of the
suite that is named, in another interpreter of the process.  The same tests ran in the main
interpreter, and with the stock release.  *The same* means that each of them ended in the same way in
all three, and that the process exited with status 0.

.. list-table::
   :header-rows: 1
   :widths: 16 10 16 38 20

   * - suite
     - version
     - beside
     - with the stock release
     - in interpreters
'''

SUITE = '''\
   * - {name}
     - {version}
     - {beside}
     - {ends}
     - {result}
'''

DIFFERENCES = '''
What differs in interpreters, and why:

'''

REASON = '''\
- {reason}: {tests}
'''


def last_line(text):
    """The line of a traceback that names the exception; one from elsewhere is what it was there."""
    lines = [line for line in text.splitlines() if line.strip()]
    first = next((n for n in range(len(lines) - 1, -1, -1) if lines[n].startswith(' ')), -1) + 1
    line = lines[first] if first < len(lines) else lines[-1]
    return line.removeprefix('interpreters.ExecutionFailed: ')


def summary(entry):
    """What became of a package in how many scenarios, in one line."""
    text = _counts(entry)
    if entry['problems']:
        first = entry['problems'][0]
        text += f'; {first["scenario"]}: {first["text"]} when {first["doing"]}'
    return text


def _counts(entry):
    """How many scenarios ended in what."""
    kinds = Counter(problem['kind'] for problem in entry['problems'])
    return (', '.join(f'{kind} in {count} of {entry["scenarios"]}' for kind, count in kinds.items())
            or f'works in {entry["scenarios"]}')


def _result(entry):
    text = _counts(entry)
    return _escape(f'{text}: {entry["reason"]}' if entry['reason'] else text)


def _escape(text):
    """The text with what means something to reStructuredText disarmed."""
    return ''.join('\\' + char if char in '\\*`_|' else char for char in text)


def _ends(ends):
    return ', '.join(f'{count:,} {end}' for end, count in ends.items())


def suites_table(results):
    """The part about the packages' own tests (str), of what suites.py found."""
    parts = [SUITES]
    reasons = {}
    for name, entry in results['suites'].items():
        count = len(entry['differences'])
        result = f'{count} {"differs" if count == 1 else "differ"}' if count else 'the same'
        parts.append(SUITE.format(name=name, version=entry['version'], beside=entry['beside'] or '',
                                  ends=_ends(entry['ends']['stock']), result=result))
        for difference in entry['differences']:
            path, *names = difference['test'].split('::')
            test = '::'.join([path.rpartition('/')[2], *names])
            reasons.setdefault(difference['reason'], []).append(f'``{test}``')
    if reasons:
        parts.append(DIFFERENCES)
        parts += [REASON.format(reason=_escape(reason), tests=', '.join(tests))
                  for reason, tests in reasons.items()]
    return ''.join(parts)


def table(results, suites):
    """The page of the documentation (str), of what run.py and suites.py found."""
    packages = results['packages']
    good = sum(not entry['problems'] for entry in packages.values())
    parts = [HEAD.format(python=results['python'], total=len(packages), good=good)]
    for group in dict.fromkeys(entry['group'] for entry in packages.values()):
        title = group.capitalize()
        parts.append(GROUP.format(title=title, line='-' * len(title)))
        parts += [ROW.format(name=_escape(name), version=entry['version'],
                             does=_escape(entry['does']), result=_result(entry))
                  for name, entry in packages.items() if entry['group'] == group]
    return ''.join(parts) + suites_table(suites)
