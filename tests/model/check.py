#!/usr/bin/env python3
"""Check the model in protocol.pml with SPIN, scenario by scenario.

Every scenario is searched completely: all orders of all steps.  Then every
known mistake is put into the model, and the search has to find it.
"""

import argparse
import functools
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MAX_DEPTH = 10_000
MAX_MEGABYTES = 1900

HOLDS = None

# These have so many states that optimising is worth its time.
LARGE = {'rendezvous', 'close_sending', 'close_sending-1', 'close_receiving', 'close_both',
         'signal', 'signal_breaker', 'waking_close-2'}


@dataclass(frozen=True)
class Check:
    """A scenario, and the property that its search has to find violated."""

    name: str
    scenario: str
    defines: tuple[str, ...] = ()
    must_find: str | None = HOLDS


IN_ORDER = 'FIX_GIVE_BACK_IN_ORDER'


def scenario(name, *defines):
    words = [name] + [define.removeprefix('FIX_GIVE_BACK_').removeprefix('CAPACITY=').lower()
                      for define in defines]
    return Check('-'.join(words), name, defines)


def mutation(bug, scenario, *defines, finds):
    return Check(bug, scenario, (f'BUG={bug}', *defines), finds)


SCENARIOS = [
    scenario('rendezvous'),
    scenario('rendezvous', 'CAPACITY=1'),
    scenario('streams'),
    scenario('streams', 'CAPACITY=1'),
    scenario('streams', 'CAPACITY=1', 'RECEIVES=3'),
    scenario('streams', 'CAPACITY=3'),          # as good as unbounded
    scenario('close_sending'),
    scenario('close_sending', 'CAPACITY=1'),
    scenario('close_receiving'),
    scenario('close_receiving', 'CAPACITY=1'),
    scenario('close_both'),
    scenario('close_both', 'CAPACITY=1'),
    scenario('select_receive'),
    scenario('select_receive', 'CAPACITY=1'),
    scenario('select_facing'),
    scenario('select_facing', 'RECEIVER'),
    scenario('select_one_channel'),
    scenario('select_one_channel', 'CAPACITY=1'),
    scenario('select_close'),
    scenario('breaker'),
    scenario('breaker_select'),
    scenario('signal'),
    scenario('signal_breaker'),
    scenario('waking', 'CAPACITY=1'),
    scenario('waking', 'CAPACITY=3'),
    scenario('waking', 'CAPACITY=3', 'THREE'),
    scenario('waking_close', 'CAPACITY=2'),
    scenario('waking_select'),
    scenario('waking_async'),
    scenario('async_cancel'),
    scenario('async_cancel', 'CAPACITY=1'),
    scenario('async_full'),
    scenario('async_close'),
    scenario('async_close', 'CAPACITY=1'),
    scenario('async_order'),
    scenario('async_order', 'CAPACITY=1'),
    scenario('async_order_two', IN_ORDER),
    scenario('async_last_item'),
]

# What the protocol does not promise.
WEAKNESSES = [
    Check('two-give-backs-swap', 'async_order_two', (), 'out_of_order'),
    Check('give-back-after-others-closed', 'async_last_item_two', (), 'item_after_closed'),
]

# Without this the first thing found would be the state at an unlock.
LATER = 'NOT_AT_UNLOCK'

# Without this it would be a post that came before the return.
FURTHER = 'POST_MAY_BE_LEFT'

MUTATIONS = [
    mutation('NO_CLAIM_WHEN_GIVING_UP', 'rendezvous', finds='post_left_over'),
    mutation('NO_CLAIM_WHEN_GIVING_UP', 'rendezvous', FURTHER,
             finds='fate_differs_from_report'),
    mutation('LOST_CLAIM_IGNORED', 'rendezvous', finds='post_left_over'),
    mutation('LOST_CLAIM_IGNORED', 'rendezvous', FURTHER, finds='fate_differs_from_report'),
    mutation('REPORTS_TIMEOUT_WHEN_FIRED', 'async_full', finds='fate_differs_from_report'),
    mutation('RETURNS_WHEN_FIRED', 'rendezvous', finds='post_left_over'),
    mutation('RETURNS_WHEN_FIRED', 'rendezvous', FURTHER, finds='touched_after_return'),
    mutation('RETURNS_WHEN_POSTED', 'rendezvous', finds='post_left_over'),
    mutation('RETURNS_WHEN_POSTED', 'rendezvous', FURTHER, finds='touched_after_return'),
    mutation('NOT_TAKEN_OFF', 'rendezvous', finds='left_queued'),
    mutation('SELECT_NOT_TAKEN_OFF', 'select_receive', finds='left_queued'),
    mutation('UNLOCKS_BEFORE_ENQUEUE', 'rendezvous', finds='unlocked_in_disorder'),
    mutation('UNLOCKS_BEFORE_ENQUEUE', 'rendezvous', LATER, finds='lost_wake_up'),
    mutation('DEAD_OPERATIONS_USED', 'rendezvous', finds='post_left_over'),
    mutation('DEAD_OPERATIONS_USED', 'rendezvous', FURTHER, finds='fate_differs_from_report'),
    mutation('FIRED_BEFORE_HANDOVER', 'rendezvous', finds='not_fired'),
    mutation('SEMAPHORE_READ_LATE', 'signal', finds='touched_after_return'),
    mutation('EVERY_POST_IS_OURS', 'signal', finds='not_fired'),
    mutation('NO_REFILL', 'streams', 'CAPACITY=1', finds='unlocked_in_disorder'),
    mutation('NO_REFILL', 'streams', 'CAPACITY=1', LATER, finds='lost_wake_up'),
    mutation('SENDER_BEFORE_BUFFER', 'streams', 'CAPACITY=1', LATER, finds='out_of_order'),
    mutation('OTHER_SIDE_NOT_WOKEN', 'close_sending', finds='unlocked_in_disorder'),
    mutation('OTHER_SIDE_NOT_WOKEN', 'close_sending', LATER, finds='lost_wake_up'),
    mutation('OWN_SIDE_NOT_WOKEN', 'close_receiving', LATER, finds='lost_wake_up'),
    mutation('CLOSED_END_NOT_CHECKED', 'close_sending', LATER, finds='lost_wake_up'),
    mutation('STOP_NOT_CHECKED_AGAIN', 'breaker', finds='lost_wake_up'),
    mutation('STOP_SET_AFTER_WALK', 'breaker', finds='lost_wake_up'),
    mutation('BREAKER_DOES_NOT_CLAIM', 'breaker', finds='fired_twice'),
    mutation('STAYS_IN_PARKED_LIST', 'breaker', finds='touched_after_return'),
    mutation('SIGNAL_NOT_LOOKED_FOR', 'signal', finds='lost_wake_up'),
    mutation('LOCKS_UNSORTED', 'select_facing', finds='lock_kept'),
    mutation('LATE_GIVE_BACK', 'async_order', 'CAPACITY=1', finds='out_of_order'),
    mutation('LATE_GIVE_BACK', 'async_last_item', finds='item_after_closed'),
    mutation('GIVEN_BACK_TO_TAIL', 'async_order', 'CAPACITY=1', finds='out_of_order'),
    mutation('GIVEN_BACK_PAST_WAITERS', 'async_cancel', finds='unlocked_in_disorder'),
    mutation('GIVEN_BACK_PAST_WAITERS', 'async_cancel', LATER, finds='lost_wake_up'),
    mutation('NO_SLOT_RESERVED', 'async_full', finds='no_slot'),
    mutation('CANCEL_FORGETS_ITEM', 'async_cancel', finds='fate_differs_from_report'),
    mutation('CANCEL_DOES_NOT_CLAIM', 'async_cancel', finds='touched_after_return'),
    mutation('BACK_WITHOUT_HANDING_OVER', 'waking', 'CAPACITY=3', finds='unlocked_in_disorder'),
    mutation('BACK_WITHOUT_HANDING_OVER', 'waking', 'CAPACITY=3', LATER, finds='lost_wake_up'),
    mutation('BACK_NOT_COUNTED', 'waking', 'CAPACITY=3', finds='unlocked_in_disorder'),
    mutation('BACK_NOT_COUNTED', 'waking', 'CAPACITY=3', LATER, finds='lost_wake_up'),
    mutation('SELECT_NOT_BACK', 'waking_select', LATER, finds='lost_wake_up'),
    mutation('WAKING_WHEN_AWAKE', 'waking', 'CAPACITY=3', LATER, finds='touched_after_return'),
    mutation('ASYNC_WAKING', 'waking_async', LATER, finds='lost_wake_up'),
    mutation('LEFT_ASLEEP_WITHOUT_WAKING', 'waking', 'CAPACITY=3', LATER,
             finds='lost_wake_up'),
    mutation('LEFT_ASLEEP_WHEN_FULL', 'rendezvous', finds='unlocked_in_disorder'),
    mutation('LEFT_ASLEEP_WHEN_FULL', 'rendezvous', LATER, finds='lost_wake_up'),
    mutation('PREFERRED_UNCLAIMED', 'waking', 'CAPACITY=3', finds='touched_after_return'),
    mutation('NEW_ITEM_FIRST', 'waking', 'CAPACITY=1', finds='out_of_order'),
    mutation('CLOSED_WITHOUT_HANDING_OVER', 'waking_close', 'CAPACITY=2',
             finds='item_after_closed'),
    mutation('CLOSED_BUT_FEW_WOKEN', 'waking_close', 'CAPACITY=2', finds='item_after_closed'),
    mutation('NOT_TRIED_AGAIN', 'waking', 'CAPACITY=3', finds='timed_out_beside_item'),
    mutation('NOT_TRIED_AGAIN', 'waking_select', finds='timed_out_beside_item'),
    mutation('SELECT_TRIES_ONE_AGAIN', 'waking_select', finds='timed_out_beside_item'),
]


def unique(checks):
    """Give each check a name of its own: a mistake may have several."""
    seen = {}
    result = []
    for check in checks:
        count = seen[check.name] = seen.get(check.name, 0) + 1
        name = check.name if count == 1 else f'{check.name}-{count}'
        result.append(Check(name, check.scenario, check.defines, check.must_find))
    return result


MUTATIONS = unique(MUTATIONS)
CHECKS = SCENARIOS + WEAKNESSES + MUTATIONS


@dataclass
class Result:
    states: int
    depth: int
    megabytes: float
    seconds: float
    found: str                      # '' if the search found nothing
    incomplete: str                 # why, or ''
    lines: frozenset[int]           # of protocol.pml: those that are steps here,
    reached: frozenset[int]         # and those that the search came to
    story: str = ''

    def verdict(self, check):
        """'' if it is as it must be, else what is wrong."""
        if self.found != (check.must_find or ''):
            return f'found {self.found or "nothing"} instead of {check.must_find or "nothing"}'
        return self.incomplete if check.must_find is HOLDS else ''


def mistakes():
    """The names of those that protocol.pml can make."""
    text = (HERE / 'protocol.pml').read_text()
    part = text.partition('---- Mistakes')[2].partition('#ifndef')[0]
    return set(re.findall(r'^#define (\w+)', part, re.MULTILINE))


def missing_tools():
    return [tool for tool in ('spin', 'cc') if shutil.which(tool) is None]


def call(command, folder, **kwargs):
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **kwargs)
    if done.returncode != 0:
        raise RuntimeError(f'{" ".join(command)}:\n{done.stdout}')
    return done.stdout


@functools.cache
def run(check, tell_story=False):
    start = time.monotonic()
    path = HERE / 'scenarios' / f'{check.scenario}.pml'
    spin = ['spin', '-Pcc -E -x c', *(f'-D{define}' for define in check.defines)]
    with tempfile.TemporaryDirectory() as folder:
        call([*spin, '-a', str(path)], folder)
        # Most searches are over before -O1 is.
        optimise = '-O1' if check.name in LARGE else '-O0'
        call(['cc', optimise, '-w', '-DSAFETY', '-DCOLLAPSE', f'-DMEMLIM={MAX_MEGABYTES}',
              '-o', 'pan', 'pan.c'], folder)
        # -E: threads may be asleep in the end; check_rest() says which.
        output = call(['./pan', '-E', f'-m{MAX_DEPTH}'], folder)
        source = ''.join((Path(folder) / name).read_text() for name in ('pan.h', 'pan.c'))
        story = ''
        if tell_story:
            trail = next(Path(folder).glob('*.trail'), None)
            if trail:
                text = call([*spin, '-t', '-k', trail.name, str(path)], folder)
                story = text.partition('spin: text of failed')[0]
    return parse(output, source, path, time.monotonic() - start, story)


def parse(output, source, path, seconds, story):
    def number(pattern):
        return float(re.search(pattern, output, re.MULTILINE)[1])

    found = ''
    if error := re.search(r'^pan:\d+: (.*?)(?: \(at depth \d+\))?$', output, re.MULTILINE):
        name = re.search(r'\|\| ?(\w+)\)*$', error[1])
        found = name[1] if name else error[1]
    complaints = [line for line in output.splitlines()
                  if re.search(r'too small|not completed|out of memory|MEMLIM|aborting|'
                               r'truncated', line)]
    lines, reached = coverage(output, source, len(path.read_text().splitlines()))
    return Result(
        states=int(number(r'^ *([\d.e+]+) states, stored')),
        depth=int(number(r'depth reached (\d+)')),
        megabytes=number(r'^ *([\d.]+)\ttotal actual memory usage'),
        seconds=seconds, found=found, incomplete='; '.join(complaints),
        lines=lines, reached=reached, story=story)


def coverage(output, source, own_lines):
    """The lines of protocol.pml that are steps, and those that were reached.

    An inline is there once for each use; one that was reached is enough.
    """
    unreached = set()
    name = None
    for line in output.splitlines():
        if heading := re.match(r'unreached in (?:proctype )?(\S+)', line):
            name = heading[1].strip(':')
        elif entry := re.match(r'\t\S+\.pml:\d+, state (\d+), ', line):
            unreached.add((name, int(entry[1])))
    lines = set()
    reached = set()
    for number, name in re.findall(r'#define _nstates(\d+)\t\d+\t/\* :?(\w+):? \*/', source):
        line_of, silent = (
            [int(word) for word in re.search(rf'{array}{number} \[\] = {{([^}}]*)}}', source)[1]
             .replace(',', ' ').split()] for array in ('short src_ln', 'uchar reached'))
        for state, line in enumerate(line_of):
            # SPIN says that the lines of inlines are in the scenario's file.
            if line > own_lines and not silent[state]:
                lines.add(line)
                if (name, state) not in unreached:
                    reached.add(line)
    return frozenset(lines), frozenset(reached)


def never_reached():
    """What no scenario reaches, though some could, mistakes apart."""
    results = [run(check) for check in SCENARIOS]
    never = (frozenset().union(*(result.lines for result in results)) -
             frozenset().union(*(result.reached for result in results)))
    text = (HERE / 'protocol.pml').read_text().splitlines()
    return [f'{line}: {text[line - 1].strip()}' for line in sorted(never)
            if re.search(r'\w', text[line - 1]) and 'BUG' not in text[line - 1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n\n')[0])
    parser.add_argument('name', nargs='*', help='a scenario or a mistake; all of them if none')
    parser.add_argument('--list', action='store_true', help='print the names')
    parser.add_argument('--story', action='store_true',
                        help='print what leads to a violation, step by step')
    options = parser.parse_args()
    if options.list:
        print('\n'.join(check.name for check in CHECKS))
        return 0
    unknown = set(options.name) - {check.name for check in CHECKS}
    if unknown:
        parser.error(f'no such scenario: {", ".join(sorted(unknown))}')
    if missing := missing_tools():
        parser.error(f'not installed: {", ".join(missing)}')

    failures = 0
    print(f'{"":44} {"states":>11} {"depth":>6} {"MB":>6} {"s":>6}  result')
    for check in CHECKS:
        if options.name and check.name not in options.name:
            continue
        result = run(check, tell_story=True) if options.story else run(check)
        wrong = result.verdict(check)
        failures += bool(wrong)
        right = f'found: {result.found}' if result.found else 'holds'
        print(f'{check.name:44} {result.states:11,} {result.depth:6} {result.megabytes:6.0f} '
              f'{result.seconds:6.1f}  {"WRONG: " + wrong if wrong else right}', flush=True)
        if options.story:
            print(result.story)
    if not options.name:
        for line in never_reached():
            failures += 1
            print(f'WRONG: never reached: protocol.pml:{line}')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
