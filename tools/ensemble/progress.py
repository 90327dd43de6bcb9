"""Progress that suits where it goes: one updating line on a terminal, a line
every ten seconds in a log."""

import sys
import time


class Progress:
    """Counts steps towards a total (None when it is not known)."""

    INTERVAL = 10.0  # seconds between lines when stdout is not a terminal

    def __init__(self, label, total=None):
        self.label = label
        self.total = total
        self.done = 0
        self.detail = ''
        self.terminal = sys.stdout.isatty()
        self.start = time.monotonic()
        self.last = self.start

    def step(self, detail=''):
        self.done += 1
        self.tick(detail)

    def tick(self, detail=''):
        """Show where we are without having advanced."""
        self.detail = detail or self.detail
        now = time.monotonic()
        if self.terminal:
            # Ten redraws a second are as good as a thousand.
            if now - self.last >= 0.1:
                self.last = now
                print(f'\r\033[K{self._text()} {self.detail}'[:100], end='', flush=True)
        elif now - self.last >= self.INTERVAL:
            self.last = now
            print(self._text(), flush=True)

    def close(self, result='done'):
        seconds = time.monotonic() - self.start
        if self.terminal:
            print('\r\033[K', end='')
        print(f'ensemble: {self.label}: {result} in {seconds:.0f} s', flush=True)

    def _text(self):
        if self.total:
            percent = min(99, 100 * self.done // self.total)
            return f'[{percent:3d}%] {self.label}'
        return f'[{self.done}] {self.label}'
