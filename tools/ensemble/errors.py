"""One way to stop: a single clear line on stderr and a non-zero exit."""

import sys


class Stop(Exception):
    """The user has to do something; the message says what is wrong and what to do."""


def run(main):
    """Call main() and exit with its result, turning expected failures into one line.

    An OSError is expected here as well: a full disk or a folder that cannot be
    written is the user's to mend, and the system's text already names the path.
    """
    try:
        sys.exit(main())
    except Stop as stop:
        print(f'ensemble: {stop}', file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        where = f'{error.filename}: ' if error.filename else ''
        print(f'ensemble: {where}{error.strerror or error}', file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print('ensemble: interrupted; the next run goes on from here', file=sys.stderr)
        sys.exit(130)


def say(text):
    """Tell the user what is going on. Progress is not silent, nor is it an error."""
    print(f'ensemble: {text}', flush=True)
