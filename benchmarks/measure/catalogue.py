"""The table of measurements: who takes part in which, and with what numbers."""

from dataclasses import dataclass, replace

from .loops import ANYWHERE, APART, TOGETHER


@dataclass(frozen=True)
class Contender:
    """One way to move messages, as a program of programs.Programs and its arguments."""

    label: str
    program: str
    flavour: str
    capacity: int | None = None
    leading: tuple = ()         # numbers for the program before those of the measurement
    fewer: int = 1              # counts are divided by this, since it is that slow
    mode: str = ''              # if it is not that of the measurement


@dataclass(frozen=True)
class Measurement:
    """One table.  Numbers are the program's, by name, in order."""

    name: str
    title: str
    unit: str
    mode: str
    numbers: dict               # of a normal run
    quick: dict                 # those that differ with --quick
    ours: tuple                 # of Contender; ratios are between one of these and each peer
    peers: tuple
    better: str = 'lower'
    rate: bool = False          # programs print us for one message, the unit is million/s

    @property
    def contenders(self):
        return self.ours + self.peers

    def arguments(self, contender, quick):
        """The arguments of the contender's program (list of str)."""
        numbers = self.numbers | self.quick if quick else self.numbers
        capacity = 'none' if contender.capacity is None else contender.capacity
        values = [max(1, value // contender.fewer) if name in COUNTS else value
                  for name, value in numbers.items()]
        return [str(word) for word in (contender.flavour, capacity, contender.mode or self.mode,
                                       *contender.leading, *values)]

    def sample(self, printed):
        """A sample in the measurement's unit, from the number that the program printed."""
        return 1 / printed if self.rate else printed


# Numbers that may be divided for slow contenders.
COUNTS = {'batch', 'count', 'held', 'messages'}

BOUND = 1024

UNBUFFERED = Contender('channel(0)', 'python', 'channel', 0)
UNBOUNDED = Contender('channel(None)', 'python', 'channel')
BOUNDED = Contender(f'channel({BOUND})', 'python', 'channel', BOUND)
QUEUE = Contender('Queue', 'python', 'queue')
BOUNDED_QUEUE = Contender(f'Queue({BOUND})', 'python', 'queue', BOUND)
OURS = UNBUFFERED, UNBOUNDED, QUEUE

THREADS = Contender('threads, SimpleQueue', 'python', 'threads')
PROCESSES = Contender('processes, SimpleQueue', 'python', 'processes')
PIPE = Contender('processes, Pipe', 'python', 'pipe')
STOCK = Contender('stock interpreters, queue', 'stock', 'stock')
# Its receivers poll every 10 ms.
STOCK_POLLING = Contender(STOCK.label, 'stock', 'stock', fewer=200)
FUTEX = Contender('C threads, futex', 'c', 'futex')
CONDVAR = Contender('C threads, condition variable', 'c', 'condvar')
SPIN = Contender('C threads, spinning', 'c', 'spin')
NODE = Contender('node, MessagePort', 'node', 'message_port')
RUBY = Contender('ruby, Ractor', 'ruby', 'ractor')
ERLANG = Contender('erlang, processes', 'erlang', 'processes')
GO = Contender('go, goroutines', 'go', 'goroutines', 0)
GO_THREADS = Contender('go, goroutines with threads', 'go', 'threads', 0)
GO_BOUNDED = Contender(f'go, chan of {BOUND}', 'go', 'goroutines', BOUND)

LANGUAGES = NODE, RUBY, ERLANG, GO, GO_THREADS


# What can be told on which processors to run.  A message to the same processor, or to
# another one that is busy, costs much less than waking one that is idle.
PLACES = ((ANYWHERE, '', LANGUAGES), (APART, ', on two processors', ()),
          (TOGETHER, ', on one processor', ()))
SUFFIXES = {ANYWHERE: '', APART: '_apart', TOGETHER: '_together'}


def _round_trips():
    for place, where, languages in PLACES:
        polling = () if place else (STOCK_POLLING,)
        spinning = () if place == TOGETHER else (SPIN,)
        yield Measurement(
            f'hot{SUFFIXES[place]}', f'Round trip of a small int without a pause{where}', 'us',
            'hot', {'warmup': 10, 'batches': 100, 'batch': 200, 'place': place},
            {'warmup': 1, 'batches': 5, 'batch': 20},
            OURS, (THREADS, PROCESSES, PIPE, *polling, *spinning, FUTEX, CONDVAR, *languages))
    for hold_us, name, title in (
            (2000, 'parked', 'both ends woken from a wait of 2 ms'),
            (0, 'parked_peer', 'answered at once after a pause of 2 ms')):
        for place, where, languages in PLACES:
            yield Measurement(
                f'{name}{SUFFIXES[place]}', f'Round trip of a small int, {title}{where}', 'us',
                'parked', {'warmup': 10, 'count': 200, 'pause_us': 2000, 'hold_us': hold_us,
                           'place': place},
                {'warmup': 1, 'count': 10}, OURS,
                (FUTEX, CONDVAR, THREADS, PROCESSES, PIPE, *languages))


def _one_way():
    bounded_threads = Contender(f'threads, Queue({BOUND})', 'python', 'threads', BOUND)
    bounded_stock = Contender(f'stock interpreters, queue({BOUND})', 'stock', 'stock', BOUND)
    for kind, ours, peers in (
            ('unbounded', (UNBOUNDED, _draining(UNBOUNDED), QUEUE), (THREADS, PROCESSES, STOCK)),
            ('bounded', (BOUNDED, _draining(BOUNDED), BOUNDED_QUEUE),
             (bounded_threads, PROCESSES, bounded_stock, GO_BOUNDED))):
        for senders, receivers in ((1, 1), (4, 1), (1, 4), (4, 4)):
            yield Measurement(
                f'one_way_{kind}_{senders}_{receivers}',
                f'Small ints one way, {senders} to {receivers}, {kind}', 'million/s', 'one_way',
                {'senders': senders, 'receivers': receivers, 'messages': 200_000},
                {'messages': 4000}, ours, peers, 'higher', rate=True)


def _draining(contender):
    return replace(contender, label=f'{contender.label}, drain()', mode='drained')


def _scaling():
    for kind, capacity in (('unbounded', None), ('bounded', BOUND)):
        many, few = (Contender(f'{2 * pairs} interpreters', 'python', 'channel', capacity, (pairs,))
                     for pairs in (32, 1))
        yield Measurement(
            f'scaling_{kind}', f'Small ints one way between pairs of interpreters, {kind}, in all',
            'million/s', 'pairs', {'messages': 640_000}, {'messages': 6400},
            (many,), (few,), 'higher', rate=True)


def _waiting():
    for mode, whose in (('blocked', 'a thread'), ('blocked_process', 'a whole process')):
        yield Measurement(
            mode, f'CPU time of {whose} that only waits for a message', 'ms', mode,
            {'ms': 2000}, {'ms': 200}, OURS, (THREADS, PROCESSES, STOCK))


def _memory():
    yield Measurement(
        'memory_channels', 'Resident memory of an open channel with both ends', 'bytes', 'channels',
        {'held': 20_000, 'count': 100_000}, {'count': 5000}, OURS,
        (THREADS, Contender('Queue of threads', 'python', 'threads', BOUND),
         Contender(STOCK.label, 'stock', 'stock', fewer=4)))
    yield Measurement(
        'memory_messages', 'Resident memory of an int that waits in a channel', 'bytes', 'messages',
        {'held': 200_000, 'count': 1_000_000}, {'count': 50_000}, (UNBOUNDED, QUEUE),
        (THREADS, Contender('deque', 'python', 'deque'), STOCK))


def _one_interpreter():
    unbuffered, unbounded, queue = ours = (
        Contender('channel(0)', 'python', 'channel_threads', 0),
        Contender('channel(None)', 'python', 'channel_threads'),
        Contender('Queue', 'python', 'queue_threads'))
    yield Measurement(
        'threads_round_trip', 'Round trip of a small int between threads of one interpreter', 'us',
        'hot', {'warmup': 5, 'batches': 50, 'batch': 200, 'place': ANYWHERE},
        {'warmup': 1, 'batches': 5, 'batch': 20}, ours, (THREADS,))
    yield Measurement(
        'threads_one_way', 'Small ints one way between threads of one interpreter', 'us/message',
        'one_way', {'senders': 1, 'receivers': 1, 'messages': 200_000}, {'messages': 4000},
        (unbounded, queue), (THREADS,))


PARTS = _round_trips, _one_way, _scaling, _waiting, _memory, _one_interpreter
MEASUREMENTS = {measurement.name: measurement for part in PARTS for measurement in part()}
