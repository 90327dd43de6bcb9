"""What the programs of benchmarks/ have in common: options, progress, tables and the file."""

import argparse
import signal
import sys
from pathlib import Path

from . import report, runner


def parser(doc, results, quick, only):
    """The options of all programs; quick and only are help for these."""
    parser = argparse.ArgumentParser(description=doc.partition('\n')[0])
    parser.add_argument('--rounds', type=int, help='default: 5, or 1 with --quick')
    parser.add_argument('--quick', action='store_true', help=quick)
    parser.add_argument('--only', metavar='NAME,...', help=only)
    parser.add_argument('--output', type=Path, default=results, metavar='FILE')
    parser.add_argument('--timeout', type=float, default=300, metavar='SECONDS',
                        help='for each process (default: 300)')
    return parser


def parse(parser, known, kind, where='--help'):
    """Return the options; their names is a list of those of the `known` that are asked for."""
    args = parser.parse_args()
    args.rounds = args.rounds if args.rounds is not None else 1 if args.quick else 5
    if args.rounds < 1:
        parser.error('--rounds must be at least 1')
    args.names = list(dict.fromkeys(args.only.split(',') if args.only else known))
    for name in args.names:
        if name not in known:
            parser.error(f'there is no {kind} {name!r}; {where} shows them')
    return args


def show_progress(text):
    """Show what runs now, on a terminal."""
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


def show(args, versions, measured):
    """Print and write what is measured, as it comes; return the exit status.

    versions is of the tools that are used, {name: str}; measured an iterable of
    (Measurement, {Contender: runner.Outcome}, list of the lines of its table).
    """
    failed = False
    content = report.document(versions, {'rounds': args.rounds, 'quick': args.quick})
    for measurement, outcomes, lines in measured:
        print(*lines, '', sep='\n', flush=True)
        content['measurements'][measurement.name] = report.measurement_object(
            measurement, outcomes, args.quick)
        report.write(args.output, content)
        failed |= any(outcome.status == runner.FAILED for outcome in outcomes.values())
    return 1 if failed else 0


def run(main):
    """Exit with what main() returns."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))    # the child goes too
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('interrupted; the measurements above are in the file')
