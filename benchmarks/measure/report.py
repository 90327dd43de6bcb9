"""Show outcomes as text, and keep them as JSON.

The file is one object:

format          1
date            of the start, in UTC, ISO 8601
options         rounds (int), quick (bool)
python          version (str), optimized (bool, built with --enable-optimizations),
                debug (bool, built with --with-pydebug)
machine         system, release, architecture, libc, processor (str or null), processors
                (int), usable_processors (int), memory_bytes (int or null), virtual (bool or
                null), load (list of three numbers, the load averages before the start)
peers           version (str) of each tool that is installed, by name
measurements    by name: title, unit, better ('lower' or 'higher'), numbers (what the
                programs were asked for, by name), ours (list of labels) and contenders
                (by label): status ('measured', 'not available', 'failed'), reason (str,
                if not available) and rounds (a list of samples for each round, in the unit)
"""

import datetime
import json
import os
import platform
import re
import sys
import sysconfig
from pathlib import Path

from . import figures
from .runner import MEASURED, NOT_AVAILABLE

FORMAT = 1


# ---- text ----

def table(measurement, outcomes):
    """Return the lines of a measurement's table."""
    ours = {contender.label: outcomes[contender] for contender in measurement.ours
            if outcomes[contender].status == MEASURED}
    tails = any(len(samples) > 1 for outcome in outcomes.values() for samples in outcome.rounds)
    rows = [['', 'median (range)', *(['p99'] if tails else []),
             *(f'{label} / it' for label in ours)]]
    for contender, outcome in outcomes.items():
        compared = [] if contender in measurement.ours else ours.values()
        rows.append([contender.label, *_cells(outcome, compared, tails)])
    return [f'{measurement.title}: {measurement.unit}, {measurement.better} is better',
            *_aligned(rows)]


def ratio_table(measurement, outcomes, columns):
    """Return the lines of a table with columns of other ratios.

    columns: {heading: {contender: (Outcome, Outcome to divide it by)}}.
    """
    rows = [['', 'median (range)', *columns]]
    for contender, outcome in outcomes.items():
        row = [contender.label, *_cells(outcome, (), tails=False)]
        if outcome.status == MEASURED:
            for pairs in columns.values():
                above, below = pairs.get(contender, (outcome, None))
                row.append(_ratio(above, below) if below is not None else '')
        rows.append(row)
    return [f'{measurement.title}: {measurement.unit}, {measurement.better} is better',
            *_aligned(rows)]


def difference_table(measurement, outcomes, heading, pairs):
    """Return the lines of a table with a column of differences in percent.

    pairs: {contender: (Outcome, Outcome that is 100 %)}.
    """
    rows = [['', 'median (range)', heading]]
    for contender, outcome in outcomes.items():
        row = [contender.label, *_cells(outcome, (), tails=False)]
        if contender in pairs and {each.status for each in pairs[contender]} == {MEASURED}:
            median, low, high = (f'{(ratio - 1) * 100:+.3f}' for ratio in figures.ratios(
                *(each.rounds for each in pairs[contender])))
            row.append(f'{median} %' + (f' ({low} to {high})' if len(outcome.rounds) > 1 else ''))
        rows.append(row)
    return [f'{measurement.title}: {measurement.unit}, {measurement.better} is better',
            *_aligned(rows)]


def _ratio(above, below):
    """The ratio of two outcomes, if both were measured."""
    if MEASURED != above.status or MEASURED != below.status:
        return ''
    return spread(*figures.ratios(above.rounds, below.rounds), 'x', len(above.rounds) == 1)


def _cells(outcome, compared, tails):
    """What was measured, and the ratios of the `compared` outcomes to it."""
    if outcome.status != MEASURED:
        return [f'{outcome.status}: {outcome.reason}']
    result = figures.summary(outcome.rounds)
    single = len(outcome.rounds) == 1
    return [spread(result.median, result.low, result.high, single=single),
            *([figures.short(result.p99)] if tails else []),
            *(spread(*figures.ratios(other.rounds, outcome.rounds), 'x', single)
              for other in compared)]


def spread(median, low, high, unit='', single=False):
    """A median and its range, for people; of a single value, that value."""
    text = f'{figures.short(median)}{unit}'
    return text if single else f'{text} ({figures.short(low)} to {figures.short(high)})'


def _aligned(rows):
    """Lines with all cells of a column as wide as the widest; the last cell of a row is free."""
    widths = {}
    for row in rows:
        for column, cell in enumerate(row[:-1]):
            widths[column] = max(widths.get(column, 0), len(cell))
    return ['  '.join(cell.ljust(widths.get(column, 0)) for column, cell in enumerate(row)).rstrip()
            for row in rows]


# ---- JSON ----

def document(versions, options):
    """What describes a run, without its measurements."""
    return {
        'format': FORMAT,
        'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'options': options,
        'python': {
            'version': sys.version,
            'optimized': '--enable-optimizations' in str(sysconfig.get_config_var('CONFIG_ARGS')),
            'debug': hasattr(sys, 'gettotalrefcount'),
        },
        'machine': machine(),
        'peers': versions,
        'measurements': {},
    }


def measurement_object(measurement, outcomes, quick):
    return {
        'title': measurement.title,
        'unit': measurement.unit,
        'better': measurement.better,
        'numbers': measurement.numbers | (measurement.quick if quick else {}),
        'ours': [contender.label for contender in measurement.ours],
        'contenders': {contender.label: _outcome_object(outcome)
                       for contender, outcome in outcomes.items()},
    }


def _outcome_object(outcome):
    result = {'status': outcome.status}
    if outcome.status == NOT_AVAILABLE:
        result['reason'] = outcome.reason
    result['rounds'] = [[float(f'{sample:.6g}') for sample in samples]
                        for samples in outcome.rounds]
    return result


def write(path, content):
    """Write the file, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + '.new')
    # The samples of a round on one line.
    text = re.sub(r'\[\s+([^][{}"]*)\s+\]',
                  lambda match: f'[{" ".join(match[1].split())}]', json.dumps(content, indent=1))
    new.write_text(text + '\n')
    os.replace(new, path)


def machine():
    """Describe the machine without naming it."""
    cpu = _fields('/proc/cpuinfo')
    memory = _fields('/proc/meminfo').get('MemTotal')
    return {
        'system': platform.system(),
        'release': platform.release(),
        'architecture': platform.machine(),
        'libc': ' '.join(platform.libc_ver()),
        'processor': cpu.get('model name'),
        'processors': os.cpu_count(),
        'usable_processors': os.process_cpu_count(),
        'memory_bytes': int(memory.split()[0]) * 1024 if memory else None,
        'virtual': 'hypervisor' in cpu['flags'].split() if 'flags' in cpu else None,
        'load': list(os.getloadavg()),
    }


def _fields(path):
    """The first value of each `name: value` line of a file of the kernel."""
    fields = {}
    try:
        with open(path, errors='replace') as file:
            for line in file:
                name, _, value = line.partition(':')
                fields.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    return fields
