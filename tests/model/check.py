#!/usr/bin/env python3
"""Check the models in the .pml files here with SPIN, scenario by scenario.

Every scenario is searched completely: all orders of all steps.  Then every
known mistake is put into the model, and the search has to find it.
"""

import argparse
import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MAX_DEPTH = 10_000
MAX_MEGABYTES = 1900
FEWEST_STATES = 1000            # of a scenario that really does something

HOLDS = None


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


def mutation(bug, scenario, *defines, finds=None, later=None, further=None):
    """A mistake, and what is found: `finds` first, `later` if the state at an unlock
    is not looked at, `further` if posts may be left over."""
    found = {(): finds, ('NOT_AT_UNLOCK',): later, ('POST_MAY_BE_LEFT',): further}
    return [Check(bug, scenario, (f'BUG={bug}', *defines, *more), must_find)
            for more, must_find in found.items() if must_find]


SCENARIOS = [
    scenario('rendezvous'),
    scenario('rendezvous', 'CAPACITY=1'),
    scenario('streams'),
    scenario('streams', 'CAPACITY=1'),
    scenario('streams', 'CAPACITY=1', 'RECEIVES=3'),
    scenario('streams', 'UNBOUNDED'),
    scenario('close_sending'),
    scenario('close_sending', 'CAPACITY=1'),
    scenario('close_receiving'),
    scenario('close_receiving', 'CAPACITY=1'),
    scenario('close_both'),
    scenario('close_both', 'CAPACITY=1'),
    scenario('close_both', 'UNBOUNDED'),
    scenario('select_receive'),
    scenario('select_receive', 'CAPACITY=1'),
    scenario('select_receive', 'UNBOUNDED'),
    scenario('select_facing'),
    scenario('select_facing', 'RECEIVER'),
    scenario('select_facing', 'RECEIVER', 'UNBOUNDED'),
    scenario('select_one_channel'),
    scenario('select_one_channel', 'CAPACITY=1'),
    scenario('select_one_channel', 'UNBOUNDED'),
    scenario('select_close'),
    scenario('select_close', 'UNBOUNDED'),
    scenario('breaker'),
    scenario('breaker', 'UNBOUNDED'),
    scenario('breaker_select'),
    scenario('signal'),
    scenario('signal', 'UNBOUNDED'),
    scenario('signal_breaker'),
    scenario('waking', 'CAPACITY=1'),
    scenario('waking', 'CAPACITY=3'),
    scenario('waking', 'CAPACITY=3', 'THREE'),
    scenario('waking', 'UNBOUNDED'),
    scenario('waking', 'UNBOUNDED', 'THREE'),
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
    scenario('front_close_sending'),
    scenario('front_close_receiving'),
    scenario('front_select'),
    scenario('front_async'),
    scenario('front_async_two'),
    scenario('front_async_close'),
    scenario('drain', 'CAPACITY=1'),
    scenario('drain', 'UNBOUNDED'),
    scenario('lock_timeouts'),
    scenario('lock_timeouts', 'RLOCK'),
    scenario('lock_signal'),
    scenario('lock_owner_dies'),
    scenario('lock_owner_dies', 'RLOCK'),
    scenario('lock_owner_releases'),
    scenario('lock_owner_releases', 'TRY'),
    scenario('lock_owner_releases', 'TWICE'),
    scenario('lock_waiter_closed'),
    scenario('lock_waiter_closed', 'RLOCK'),
    scenario('exclusive_two'),
    scenario('exclusive_timeouts'),
    scenario('exclusive_one_gil'),
    scenario('exclusive_busy'),
    scenario('exclusive_created'),
    scenario('exclusive_three'),
]

# What the protocol does not promise.
WEAKNESSES = [
    Check('two-give-backs-swap', 'async_order_two', (), 'out_of_order'),
    Check('give-back-after-others-closed', 'async_last_item_two', (), 'item_after_closed'),
]

MUTATIONS = [
    mutation('NO_CLAIM_WHEN_GIVING_UP', 'rendezvous', finds='post_left_over',
             further='fate_differs_from_report'),
    mutation('LOST_CLAIM_IGNORED', 'rendezvous', finds='post_left_over',
             further='fate_differs_from_report'),
    mutation('REPORTS_TIMEOUT_WHEN_FIRED', 'async_full', finds='fate_differs_from_report'),
    mutation('RETURNS_WHEN_FIRED', 'rendezvous', finds='post_left_over',
             further='touched_after_return'),
    mutation('RETURNS_WHEN_POSTED', 'rendezvous', finds='post_left_over',
             further='touched_after_return'),
    mutation('NOT_TAKEN_OFF', 'rendezvous', finds='left_queued'),
    mutation('SELECT_NOT_TAKEN_OFF', 'select_receive', finds='left_queued'),
    mutation('UNLOCKS_BEFORE_ENQUEUE', 'rendezvous', finds='unlocked_in_disorder',
             later='lost_wake_up'),
    mutation('DEAD_OPERATIONS_USED', 'rendezvous', finds='post_left_over',
             further='fate_differs_from_report'),
    mutation('FIRED_BEFORE_HANDOVER', 'rendezvous', finds='not_fired'),
    mutation('SEMAPHORE_READ_LATE', 'signal', finds='touched_after_return'),
    mutation('EVERY_POST_IS_OURS', 'signal', finds='not_fired'),
    mutation('NO_REFILL', 'streams', 'CAPACITY=1', finds='unlocked_in_disorder',
             later='lost_wake_up'),
    mutation('SENDER_BEFORE_BUFFER', 'streams', 'CAPACITY=1', later='out_of_order'),
    mutation('OTHER_SIDE_NOT_WOKEN', 'close_sending', finds='unlocked_in_disorder',
             later='lost_wake_up'),
    mutation('OWN_SIDE_NOT_WOKEN', 'close_receiving', later='lost_wake_up'),
    mutation('CLOSED_END_NOT_CHECKED', 'close_sending', later='lost_wake_up'),
    mutation('STOP_NOT_CHECKED_AGAIN', 'breaker', finds='lost_wake_up'),
    mutation('STOP_SET_AFTER_WALK', 'breaker', finds='lost_wake_up'),
    mutation('BREAKER_DOES_NOT_CLAIM', 'breaker', finds='fired_twice'),
    mutation('STAYS_IN_PARKED_LIST', 'breaker', finds='touched_after_return'),
    mutation('SIGNAL_NOT_LOOKED_FOR', 'signal', finds='lost_wake_up'),
    mutation('LOCKS_UNSORTED', 'select_facing', finds='lock_kept'),
    mutation('LATE_GIVE_BACK', 'async_order', 'CAPACITY=1', finds='out_of_order'),
    mutation('LATE_GIVE_BACK', 'async_last_item', finds='item_after_closed'),
    mutation('GIVEN_BACK_TO_TAIL', 'async_order', 'CAPACITY=1', finds='out_of_order'),
    mutation('GIVEN_BACK_PAST_WAITERS', 'async_cancel', finds='unlocked_in_disorder',
             later='lost_wake_up'),
    mutation('NO_SLOT_RESERVED', 'async_full', finds='no_slot'),
    mutation('CANCEL_FORGETS_ITEM', 'async_cancel', finds='fate_differs_from_report'),
    mutation('CANCEL_DOES_NOT_CLAIM', 'async_cancel', finds='touched_after_return'),
    mutation('BACK_WITHOUT_HANDING_OVER', 'waking', 'CAPACITY=3', finds='unlocked_in_disorder',
             later='lost_wake_up'),
    mutation('BACK_NOT_COUNTED', 'waking', 'CAPACITY=3', finds='unlocked_in_disorder',
             later='lost_wake_up'),
    mutation('SELECT_NOT_BACK', 'waking_select', later='lost_wake_up'),
    mutation('WAKING_WHEN_AWAKE', 'waking', 'CAPACITY=3', later='touched_after_return'),
    mutation('ASYNC_WAKING', 'waking_async', later='lost_wake_up'),
    mutation('LEFT_ASLEEP_WITHOUT_WAKING', 'waking', 'CAPACITY=3', later='lost_wake_up'),
    mutation('LEFT_ASLEEP_WHEN_FULL', 'rendezvous', finds='unlocked_in_disorder',
             later='lost_wake_up'),
    mutation('PREFERRED_UNCLAIMED', 'waking', 'CAPACITY=3', finds='touched_after_return'),
    mutation('NEW_ITEM_FIRST', 'waking', 'CAPACITY=1', finds='out_of_order'),
    mutation('CLOSED_WITHOUT_HANDING_OVER', 'waking_close', 'CAPACITY=2',
             finds='item_after_closed'),
    mutation('CLOSED_BUT_FEW_WOKEN', 'waking_close', 'CAPACITY=2', finds='item_after_closed'),
    mutation('NOT_TRIED_AGAIN', 'waking', 'CAPACITY=3', finds='timed_out_beside_item'),
    mutation('NOT_TRIED_AGAIN', 'waking_select', finds='timed_out_beside_item'),
    mutation('SELECT_TRIES_ONE_AGAIN', 'waking_select', finds='timed_out_beside_item'),
    mutation('BATCH_PAST_WAITERS', 'waking', 'UNBOUNDED', 'THREE',
             finds='unlocked_in_disorder', later='lost_wake_up'),
    mutation('BATCH_WHEN_RESERVED', 'front_async_two', finds='no_slot'),
    mutation('GIVEN_BACK_BEHIND_FRONT', 'front_async', finds='out_of_order'),
    mutation('FRONT_NOT_DESTROYED', 'front_close_receiving', finds='unlocked_in_disorder'),
    mutation('CLOSED_UNDER_BACK_LOCK', 'front_close_receiving', finds='lock_kept'),
    mutation('FRONT_SEEN_UNLOCKED', 'waking', 'UNBOUNDED', finds='lock_kept'),
    mutation('CLOSED_SEEN_UNLOCKED', 'front_close_receiving', finds='through_closed_end'),
    mutation('FRONT_LOOKED_AT_ONCE', 'waking', 'UNBOUNDED', 'THREE',
             finds='unlocked_in_disorder', later='lost_wake_up'),
    mutation('SELECT_PAST_FRONT', 'front_select', finds='unlocked_in_disorder',
             later='timed_out_beside_item'),
    mutation('FRONT_LOCKED_LAST', 'front_close_receiving', finds='lock_kept'),
    mutation('TRIED_AGAIN_PAST_FRONT', 'waking', 'UNBOUNDED', finds='timed_out_beside_item'),
    mutation('HANDED_OVER_UNSEEN', 'lock_timeouts', finds='lock_waits'),
    mutation('CLAIMED_BEFORE_TAKEN_OFF', 'lock_timeouts', finds='lock_waits'),
    mutation('GRANTED_WITHOUT_CLAIM', 'lock_timeouts', finds='fired_in_vain'),
    mutation('QUEUED_WITHOUT_CONTENDED', 'lock_timeouts', finds='lock_waits'),
    mutation('CONTENDED_FORGOTTEN', 'lock_timeouts', finds='lock_waits'),
    mutation('PAST_THE_QUEUE', 'lock_timeouts', finds='lock_waits'),
    mutation('TAKEN_UNTOLD', 'lock_owner_dies', finds='not_told_once'),
    mutation('TOLD_AGAIN', 'lock_owner_dies', finds='not_told_once'),
    mutation('OWNER_SET_AFTER_GRANT', 'lock_timeouts', 'RLOCK', finds='owner_wiped'),
    mutation('OWNER_CLEARED_LATE', 'lock_timeouts', 'RLOCK', finds='owner_wiped'),
    mutation('OWNER_CLEARED_BLINDLY', 'lock_owner_releases', finds='released_anothers'),
    mutation('RELEASED_BLINDLY', 'lock_owner_releases', finds='released_anothers'),
    mutation('ABANDONED_UNLOCKED', 'lock_owner_releases', 'TRY', finds='owner_wiped'),
    mutation('ABANDONED_LOCKS_KEPT', 'lock_waiter_closed', finds='lock_left'),
    mutation('OWNER_SET_LATE', 'exclusive_two', finds='not_alone'),
    mutation('OWNER_SEEN_UNLOCKED', 'exclusive_two', finds='not_alone'),
    mutation('GILS_SEEN_UNLOCKED', 'exclusive_two', finds='someone_waits'),
    mutation('CREATED_UNSEEN', 'exclusive_created', finds='not_alone'),
    mutation('NOT_ASKED', 'exclusive_busy', finds='someone_waits'),
    mutation('STILL_AWAITED', 'exclusive_timeouts', finds='miscounted'),
    mutation('TIMED_OUT_BUT_OWNER', 'exclusive_timeouts', finds='not_alone'),
    mutation('LETS_GO_UNWOKEN', 'exclusive_two', finds='someone_waits'),
    mutation('RELEASED_UNWOKEN', 'exclusive_two', finds='someone_waits'),
    mutation('HELD_OFF_BEHIND_ANOTHER', 'exclusive_one_gil', finds='someone_waits'),
    mutation('NOT_PHASE_FAIR', 'exclusive_one_gil', finds='overtaken'),
    mutation('HOLDS_OFF_ITSELF', 'exclusive_two', finds='someone_waits'),
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


MUTATIONS = unique(itertools.chain(*MUTATIONS))
CHECKS = SCENARIOS + WEAKNESSES + MUTATIONS

# What `make test` runs: a few that are quick.
SAMPLE = [
    'streams-1',
    'select_facing-receiver',
    'waking-unbounded',
    'front_async',
    'UNLOCKS_BEFORE_ENQUEUE-2',
    'CLOSED_WITHOUT_HANDING_OVER',
    'GIVEN_BACK_BEHIND_FRONT',
    'lock_owner_releases',
    'HANDED_OVER_UNSEEN',
    'OWNER_CLEARED_LATE',
    'TOLD_AGAIN',
    'exclusive_two',
    'NOT_PHASE_FAIR',
]


@dataclass
class Result:
    states: int
    depth: int
    megabytes: float
    seconds: float                  # of processors
    found: str                      # '' if the search found nothing
    incomplete: str                 # why, or ''
    lines: frozenset[int]           # of the protocol: those that are steps here,
    reached: frozenset[int]         # and those that the search came to
    story: str = ''

    def verdict(self, check):
        """'' if it is as it must be, else what is wrong."""
        if self.found != (check.must_find or ''):
            return f'found {self.found or "nothing"} instead of {check.must_find or "nothing"}'
        if check.must_find is not HOLDS:
            return ''
        few = f'only {self.states} states' if self.states < FEWEST_STATES else ''
        return self.incomplete or few


def protocol(scenario):
    """The name of the file that the scenario includes."""
    text = (HERE / 'scenarios' / f'{scenario}.pml').read_text()
    return re.search(r'^#include "../(\w+\.pml)"$', text, re.MULTILINE)[1]


PROTOCOLS = sorted({protocol(check.scenario) for check in SCENARIOS})


def mistakes():
    """The names of those that the protocols can make."""
    names = set()
    for path in PROTOCOLS:
        text = (HERE / path).read_text()
        part = text.partition('---- Mistakes')[2].partition('#ifndef')[0]
        names.update(re.findall(r'^#define (\w+)', part, re.MULTILINE))
    return names


def missing_tools():
    return [tool for tool in ('spin', 'cc') if shutil.which(tool) is None]


def call(command, folder, **kwargs):
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **kwargs)
    if done.returncode != 0:
        raise RuntimeError(f'{" ".join(command)}:\n{done.stdout}')
    return done.stdout


def processor_time():
    """Of the commands called so far: how busy others keep the machine has no part in it."""
    times = os.times()
    return times.children_user + times.children_system


@functools.cache
def run(check, tell_story=False):
    start = processor_time()
    path = HERE / 'scenarios' / f'{check.scenario}.pml'
    spin = ['spin', '-Pcc -E -x c', *(f'-D{define}' for define in check.defines)]
    with tempfile.TemporaryDirectory() as folder:
        call([*spin, '-a', str(path)], folder)
        # Most searches are over before the optimiser would be.
        call(['cc', '-O0', '-w', '-DSAFETY', '-DCOLLAPSE', f'-DMEMLIM={MAX_MEGABYTES}',
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
    return parse(output, source, path, processor_time() - start, story)


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
    """The lines of the protocol that are steps, and those that were reached.

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
    return [f'{path}:{line}' for path in PROTOCOLS for line in never_reached_in(path)]


def never_reached_in(path):
    results = [run(check) for check in SCENARIOS if protocol(check.scenario) == path]
    never = (frozenset().union(*(result.lines for result in results)) -
             frozenset().union(*(result.reached for result in results)))
    text = (HERE / path).read_text().splitlines()
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
        print(f'not installed: {", ".join(missing)}; see tests/model/README.md',
              file=sys.stderr)
        return 1

    failures = 0
    seconds = 0.0
    chosen = [check for check in CHECKS if not options.name or check.name in options.name]
    print(f'{"":44} {"states":>11} {"depth":>6} {"MB":>6} {"s":>6}  result')
    for check in chosen:
        result = run(check, tell_story=True) if options.story else run(check)
        wrong = result.verdict(check)
        failures += bool(wrong)
        seconds += result.seconds
        right = f'found: {result.found}' if result.found else 'holds'
        print(f'{check.name:44} {result.states:11,} {result.depth:6} {result.megabytes:6.0f} '
              f'{result.seconds:6.1f}  {"WRONG: " + wrong if wrong else right}', flush=True)
        if options.story:
            print(result.story)
    if not options.name:
        for line in never_reached():
            failures += 1
            print(f'WRONG: never reached: {line}')
    print(f'{len(chosen)} searches, {seconds:.0f} s of processor time, {failures} wrong')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
