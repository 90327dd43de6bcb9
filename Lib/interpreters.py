"""Many interpreters in one process, each with a GIL of its own.

    import interpreters

    def count(words):
        import collections
        return collections.Counter(words)

    with interpreters.create() as interp:
        print(interp.call(count, ['a', 'b', 'a']))

Interpreters share no Python objects.  Data goes from one to another as a copy,
or, for memory that supports the buffer protocol, by handle: the receiver gets
a memoryview of the same memory.  It travels as arguments and results of
calls, or through channels:

    receiver, sender = interpreters.create_channel()
    future = interp.submit(worker, receiver)     # runs in another thread
    sender.send({'answer': 42})
    sender.send_buffer(bytearray(1_000_000))     # constant time

What can be sent: whatever pickle accepts; memoryviews, channel ends, queues,
locks and interpreters, by handle; lambdas, closures, and functions and classes that
cannot be imported, such as those of __main__, with what they need; exceptions
with their causes and tracebacks.  Anything else, and anything that contains
it, raises NotShareableError.
"""

import atexit
import collections
import enum
import sys
import threading
import weakref
from concurrent.futures import Future

import _xxsubinterpreters as _engine
from _xxsubinterpreters import (
    Barrier,
    BoundedSemaphore,
    ChannelClosedError,
    ChannelEmptyError,
    ChannelError,
    ChannelFullError,
    Condition,
    Event,
    InterpreterError,
    InterpreterNotFoundError,
    ItemInterpreterDestroyed,
    Lock,
    MovedError,
    NotShareableError,
    OwnerDiedError,
    Queue,
    QueueEmpty,
    QueueError,
    QueueFull,
    QueueNotFoundError,
    RLock,
    RecvChannel,
    Semaphore,
    SendChannel,
    SharedBlock,
    atomic_add,
    atomic_and,
    atomic_compare_exchange,
    atomic_exchange,
    atomic_load,
    atomic_notify,
    atomic_or,
    atomic_store,
    atomic_sub,
    atomic_wait,
    atomic_xor,
    exclusive,
    from_dlpack,
    is_shareable,
    move,
    register,
    to_dlpack,
)

__all__ = [
    'create', 'list_all', 'get_current', 'get_main', 'is_shareable', 'register',
    'Interpreter',
    'create_channel', 'list_all_channels', 'select', 'RecvChannel',
    'SendChannel',
    'create_queue', 'Queue', 'UNBOUND', 'UNBOUND_ERROR', 'UNBOUND_REMOVE',
    'share', 'move', 'SharedBlock', 'list_shared', 'SharedMemory', 'MovedError',
    'atomic_load', 'atomic_store', 'atomic_exchange', 'atomic_compare_exchange',
    'atomic_add', 'atomic_sub', 'atomic_and', 'atomic_or', 'atomic_xor',
    'atomic_wait', 'atomic_notify',
    'from_dlpack', 'to_dlpack',
    'list_extensions', 'ExtensionCopy',
    'GILStats',
    'Lock', 'RLock', 'Condition', 'Semaphore', 'BoundedSemaphore', 'Event',
    'Barrier',
    'exclusive',
    'InterpreterError', 'InterpreterNotFoundError', 'ExecutionFailed',
    'NotShareableError',
    'ChannelError', 'ChannelClosedError', 'ChannelEmptyError',
    'ChannelFullError',
    'QueueError', 'QueueNotFoundError', 'QueueEmpty', 'QueueFull',
    'ItemInterpreterDestroyed',
    'OwnerDiedError',
]


class ExecutionFailed(InterpreterError):
    """An exception left the code that ran in another interpreter.

    excinfo describes it: a namespace with type (a namespace with __name__,
    __qualname__, __module__), msg (str), formatted (str, one line) and, where
    it could be made, errdisplay (str, the traceback as usually printed).
    exception is a copy of it, with its class, attributes, notes, causes and
    traceback, and is the __cause__, too; None if it could not be copied.
    """

    def __init__(self, excinfo, exception=None):
        super().__init__(excinfo.formatted or excinfo.msg)
        self.excinfo = excinfo
        self.exception = exception

    def __reduce__(self):
        return type(self), (self.excinfo, self.exception)

    def __str__(self):
        errdisplay = getattr(self.excinfo, 'errdisplay', None)
        if errdisplay is None or self.exception is not None:
            return super().__str__()    # the cause is shown anyhow
        # The traceback ends with the whole message.  Of a message that
        # describes an ExecutionFailed in turn, one copy at each level is
        # enough: with two, the text would double.
        first_line = super().__str__().partition('\n')[0]
        return (f'{first_line}\n\n'
                f'Uncaught in the interpreter:\n\n{errdisplay.rstrip()}')


# ---- interpreters ----

# How an interpreter came about, by the number the runtime keeps.
_WHENCE = ('unknown', 'runtime init', 'legacy C-API', 'C-API',
           'cross-interpreter C-API', '_interpreters module')


_path_of_new_ones = None        # what sys.path is in an interpreter when it begins


def _copy_path(id):
    """Give a new interpreter the sys.path of this one."""
    global _path_of_new_ones
    if _path_of_new_ones is None:
        get = _engine.pack((eval, ('__import__("sys").path', {}), {}), 'call')
        _path_of_new_ones, *_ = _engine.call(id, get)
    # As strings: others are ignored by imports, and those of a class of their own
    # would have to be sent with it.
    path = [str.__str__(entry) for entry in sys.path if isinstance(entry, str)]
    if path != _path_of_new_ones:
        _, excinfo, exception = _engine.call(id, _engine.pack(
            (exec, ('__import__("sys").path[:] = path', {'path': path}), {}), 'call'))
        if excinfo is not None:
            raise ExecutionFailed(excinfo, exception) from exception


def create(*, gil='own', extensions='private', name=None):
    """Return a new, idle Interpreter.

    gil says which global interpreter lock it has: 'own', so that it runs in
    parallel to all others; an Interpreter, whose GIL it uses from then on, and
    takes turns with it; 'shared', that of the main interpreter.  Modules,
    classes and objects are its own in any case.

    extensions says what happens when it imports an extension module that is
    not in the standard library: 'private' loads a copy of the module's file
    for this interpreter only, so that modules work which know nothing of
    such interpreters; 'strict' loads the file itself, and raises ImportError
    if the module does not declare support.  Where the GIL is the main
    interpreter's, 'private' loads no copies, but the modules that the main
    interpreter has, and memory comes from the main interpreter's allocator.

    name is any str, for people; it need not be unique.  The interpreter is
    closed when it is collected, or by Interpreter.close().  It finds modules
    where the current one does: its sys.path is a copy.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f'name must be a str or None, not {name!r}')
    if extensions not in ('private', 'strict'):
        raise ValueError(f"extensions must be 'private' or 'strict', not {extensions!r}")
    if isinstance(gil, Interpreter):
        with_gil_of = gil._id
    elif gil in ('own', 'shared'):
        with_gil_of = -1 if gil == 'own' else _engine.get_main()
    else:
        raise ValueError(f"gil must be 'own', 'shared' or an Interpreter, not {gil!r}")
    id = _engine.create(gil=with_gil_of, private_extensions=extensions == 'private')
    try:
        _copy_path(id)
        interp = Interpreter(id)
    finally:
        _engine.decref(id)      # the object holds its own reference
    interp._name = name
    return interp


def list_all():
    """Return an Interpreter for each interpreter of the process, oldest first.

    Closed ones whose memory is still viewed elsewhere are among them.
    """
    found = []
    for listed in _engine.list_all():
        try:
            found.append(Interpreter(listed[0], _listed=listed))
        except InterpreterNotFoundError:
            pass                # it ended meanwhile
    return found


def get_current():
    """Return the Interpreter that runs the caller."""
    return Interpreter(_engine.get_current())


def get_main():
    """Return the main Interpreter."""
    return Interpreter(_engine.get_main())


def _pack_call(callable, args, kwargs):
    return _engine.pack((callable, args, kwargs), '(callable, args, kwargs)')


def _give_back(held):
    """Give back the references to the interpreters in the list."""
    while held:
        _engine.decref(held.pop())


def _original(exc):
    """The copy of what ExecutionFailed is about, with that as its first cause."""
    if not isinstance(exc, ExecutionFailed) or exc.exception is None:
        return exc
    original = first = exc.exception
    exc.__cause__ = None
    seen = set()
    while first.__cause__ is not None and id(first) not in seen:
        seen.add(id(first))
        first = first.__cause__
    if first.__cause__ is None and (first.__context__ is None
                                    or first.__suppress_context__):
        first.__cause__ = exc
    return original


GILStats = collections.namedtuple('GILStats', 'acquisitions waits waiting holding')
GILStats.__doc__ = """What happened at a GIL, as Interpreter.gil_stats() tells.

acquisitions (int) is how often a thread acquired it; waits (int), how often one had to
wait for that; waiting (float), how long these waits took altogether, in seconds; holding
(float), how long it was held since gil_stats() was first called for it, in seconds.
"""


class Interpreter:
    """An interpreter of this process.

    There is at most one such object for an interpreter in each interpreter.
    One that was made by create() is closed when no interpreter holds an
    object for it any more and no thread runs in it.  Interpreter(id) finds an
    existing one or raises InterpreterNotFoundError.
    """

    _known = weakref.WeakValueDictionary()
    _lock = threading.RLock()   # a finalizer may come here in between

    def __new__(cls, id, /, *, _listed=None):
        if not isinstance(id, int) or isinstance(id, bool):
            raise TypeError(f'id must be an int, not {id!r}')
        with cls._lock:
            self = cls._known.get(id)
            if self is not None:
                return self
            if _listed is None:
                _listed = next((listed for listed in _engine.list_all()
                                if listed[0] == id), None)
                if _listed is None:
                    raise InterpreterNotFoundError(
                        f'unrecognized interpreter ID {id}')
            _, whence, owned = _listed
            self = super().__new__(cls)
            self._id = id
            self._whence = _WHENCE[whence]
            self._name = None
            # An exception from a signal handler may come between any two of
            # these: then a reference may be kept, but none is given back twice.
            held = []
            weakref.finalize(self, _give_back, held).atexit = False
            try:
                _engine.incref(id)
                held.append(id)
            except InterpreterNotFoundError:
                # Those that were created by other means, and never imported
                # the engine, are only shown; nothing is to be kept alive.
                if owned:
                    raise
            # A finalizer or signal handler that ran meanwhile in this thread
            # may have come here first.
            return cls._known.setdefault(id, self)

    def __repr__(self):
        name = f' {self._name!r}' if self._name is not None else ''
        return f'<interpreters.Interpreter {self._id}{name}>'

    def __hash__(self):
        return hash(self._id)

    def __reduce__(self):
        return type(self), (self._id,)

    @property
    def id(self):
        """The interpreter's number (int), never reused in this process."""
        return self._id

    @property
    def name(self):
        """The name given to create() in this interpreter, or None."""
        return self._name

    @property
    def whence(self):
        """How the interpreter came about (str)."""
        return self._whence

    @property
    def gil(self):
        """Which GIL it has: 'own', 'shared', or an Interpreter.

        'shared' is the main interpreter's, and an Interpreter the oldest of
        those that use the same one; for that one itself it is 'own'.
        """
        oldest = _engine.oldest_of_gil(self._id)
        if oldest == self._id:
            return 'own'
        return 'shared' if oldest == _engine.get_main() else Interpreter(oldest)

    def gil_stats(self):
        """Return GILStats of the GIL that it has, since that began.

        Members of a group have one GIL.  The first call for a GIL begins to
        measure the time that it is held, which takes the clock twice each
        time it is acquired and released; nothing else is measured only then.
        """
        acquisitions, waits, waiting, holding = _engine.gil_stats(self._id)
        return GILStats(acquisitions, waits, waiting / 1e9, holding / 1e9)

    def is_running(self):
        """Return True if a thread runs code in the interpreter.

        Always true of the main interpreter.
        """
        return _engine.is_running(self._id)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        try:
            self.close()
        except InterpreterNotFoundError:
            pass                # closed inside the block

    def close(self):
        """End the interpreter, waiting for the threads that it started.

        InterpreterError if it is running, is the current one, was not made by
        create(), or if threads are in it that cannot be waited for, such as
        the calling one; InterpreterNotFoundError if it has ended.  If its memory
        is still viewed by others it stays listed, but nothing can run in it
        any more, and it ends when the last view is released.
        """
        _engine.close(self._id)

    def _run(self, what, message):
        result, excinfo, exception = what(self._id, message)
        if excinfo is not None:
            raise ExecutionFailed(excinfo, exception) from exception
        return result

    def interrupt(self):
        """Raise KeyboardInterrupt in every call that is in progress.

        It is raised when the call runs Python code next; a wait for a channel
        is broken, code that waits for something else is not.  Nothing happens
        to calls that begin later.  Returns how many calls there were.
        """
        return _engine.interrupt(self._id)

    def prepare_main(self, ns=None, /, **kwargs):
        """Set names in the interpreter's __main__ module.

        ns is a dict of names and values; kwargs are added to it.  The values
        are sent as a channel would.
        """
        names = dict(ns, **kwargs) if ns is not None else kwargs
        self._run(_engine.update_main, _engine.pack(names, 'ns'))

    def exec(self, code, /):
        """Run source text (str) in the interpreter's __main__ module.

        Blocks until it is done.  ExecutionFailed if an exception leaves it.
        """
        if not isinstance(code, str):
            raise TypeError(f'code must be a str, not {code!r}')
        self._run(_engine.exec, _engine.pack(code, 'code'))

    def call(self, callable, /, *args, **kwargs):
        """Return callable(*args, **kwargs), called in the interpreter.

        Blocks until it is done.  The callable, its arguments and the result
        are sent as a channel would.  ExecutionFailed if an exception leaves
        the callable.
        """
        return self._run(_engine.call, _pack_call(callable, args, kwargs))

    def call_in_thread(self, callable, /, *args, **kwargs):
        """Start a thread that does call(); return the threading.Thread."""
        message = _pack_call(callable, args, kwargs)
        thread = threading.Thread(target=self._run,
                                  args=(_engine.call, message))
        thread.start()
        return thread

    def submit(self, fn, /, *args, **kwargs):
        """Start a thread that does call(); return a concurrent.futures.Future.

        An exception that leaves the callable arrives as a copy of itself, with
        ExecutionFailed as its first cause; if it could not be copied, as that.
        The arguments are copied before this returns.  Calls submitted to one
        interpreter run at the same time, taking turns with its GIL.
        """
        future = Future()
        message = _pack_call(fn, args, kwargs)

        def run():
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = self._run(_engine.call, message)
            except BaseException as exc:
                future.set_exception(_original(exc))
            else:
                future.set_result(result)

        threading.Thread(target=run).start()
        return future


def _close_remaining():
    """At exit of the process, close what create() made; wait for its threads.

    What cannot be closed, since a daemon thread runs in it, does what it has to
    do at exit, and is left to the runtime.
    """
    for id, _, owned in _engine.list_all():
        if owned:
            try:
                _engine.close(id)
            except InterpreterError:
                try:
                    Interpreter(id).exec(_AT_EXIT)
                except InterpreterError:
                    pass


_AT_EXIT = """
import atexit, sys
atexit._run_exitfuncs()
for file in sys.stdout, sys.stderr:
    if file is not None:
        file.flush()
"""


if _engine.get_current() == _engine.get_main():
    atexit.register(_close_remaining)


# ---- channels ----

def create_channel(capacity=0):
    """Return the two ends of a new channel, (RecvChannel, SendChannel).

    capacity (int) is how many messages it holds: 0 makes every send wait for
    its receiver, None means no limit.  Both ends can be sent to other
    interpreters; any number of them may send and receive, each message is
    received once, and messages arrive in the order in which they were sent.
    """
    return _engine.create_channel(capacity)


def list_all_channels():
    """Return (RecvChannel, SendChannel) for each channel, oldest first.

    The ends are new ones, so while they are open the other side does not see
    the channel closed.  A side of which no end is open is shown by an end that
    is closed.
    """
    return _engine.list_all_channels()


_MISSING = object()


def select(*cases, timeout=None, default=_MISSING):
    """Do the first of the cases that can be done; return (index, value).

    Each case is a RecvChannel, to receive from, or a tuple (SendChannel, obj),
    to send to; value is what was received, or None.  Blocks until one of them
    is ready; of several that are, one is chosen at random.  timeout is in
    seconds, None for no limit; TimeoutError means that nothing was sent or
    received.  With a default it does not block, and returns (None, default) if
    no case is ready.

    A case whose channel is closed is ready: it raises ChannelClosedError, whose
    attributes case and index tell which it was.
    """
    block = default is _MISSING
    done = _engine.select(cases, block, timeout)
    return done if done is not None else (None, default)


# ---- queues ----

class _Unbound(enum.IntEnum):
    """What becomes of an item in a queue when its interpreter has ended."""

    UNBOUND_REMOVE = 1
    UNBOUND_ERROR = 2
    UNBOUND = 3

    def __repr__(self):
        return f'interpreters.{self.name}'


UNBOUND = _Unbound.UNBOUND                  # get() returns this instead
UNBOUND_ERROR = _Unbound.UNBOUND_ERROR      # get() raises
UNBOUND_REMOVE = _Unbound.UNBOUND_REMOVE    # get() passes it over


def create_queue(maxsize=0, *, unbounditems=None):
    """Return a new Queue for maxsize items; zero or less means no limit.

    unbounditems is what becomes of an item whose interpreter ends before it is
    taken, unless put() says otherwise: UNBOUND, UNBOUND_ERROR or
    UNBOUND_REMOVE.  By default it stays what it is: items outlive the
    interpreter that put them.
    """
    unbound = 0 if unbounditems is None else _Unbound(unbounditems)
    return _engine.create_queue(maxsize if maxsize > 0 else None, unbound)


# ---- shared memory ----

def share(obj):
    """Return an object that stands for obj in messages: its memory is not copied.

    The receiver gets a memoryview of the same memory, in constant time.  obj may be
    anything with the buffer protocol; its shape, strides and format, and whether it
    can be written, are kept.  An array of numpy arrives as such, with its dtype,
    where numpy can be imported, and an image of Pillow where Pillow can.  Of other
    objects that give pickle their memory out of band, such as data frames, a copy
    arrives that is made of the same memory, and of what has Arrow's C data interface
    a read-only memoryview.  TypeError if there is no memory to share, BufferError if
    it holds Python objects or Arrow has it in another layout than one span of items,
    NotShareableError for an image that is in several blocks of memory.

    While the memory is in use elsewhere obj cannot be resized or closed.
    """
    if isinstance(obj, (memoryview, SharedBlock)):
        return obj
    from _interpreters_share import share
    return share(obj)


SharedMemory = collections.namedtuple('SharedMemory',
                                      'type nbytes owner views in_messages')
SharedMemory.__doc__ = """Memory that several interpreters may use, as list_shared() tells.

type (str) is the name of the type of the object that it is of; nbytes (int) how
large it is; owner the Interpreter of that object, or None if the memory belongs
to no interpreter; views (dict) how many views of it each Interpreter has, where a
SharedBlock counts as one; in_messages (int) how many messages hold it.
"""


def list_shared():
    """Return a SharedMemory for all memory that is shared now, oldest first."""
    by_id = {interp.id: interp for interp in list_all()}
    found = {}
    for block, type, owner, nbytes, holder in _engine.list_shared():
        if block not in found:
            found[block] = [type, nbytes, by_id.get(owner), collections.Counter(), 0]
        if holder < 0:
            found[block][-1] += 1
        elif holder in by_id:           # else it has ended meanwhile
            found[block][-2][by_id[holder]] += 1
    return [SharedMemory(type, nbytes, owner, dict(views), waiting)
            for type, nbytes, owner, views, waiting in found.values()]


# ---- extension modules ----

ExtensionCopy = collections.namedtuple('ExtensionCopy', 'path owner nbytes seconds kept_for')
ExtensionCopy.__doc__ = """A private copy of an extension module, as list_extensions() tells.

path (str) is the file it is a copy of; owner the Interpreter that loaded it, or
None once that has ended; nbytes (int) how much of the copy is not shared with the
file's other users; seconds (float) how long it took to load it, and what it needs,
not counting what the module does when it is initialised.  kept_for (str) is why it is not unloaded when its interpreter
ends, as "it can start threads"; None if it is, provided that no other copy of the
same interpreter has to be kept.
"""


def list_extensions():
    """Return an ExtensionCopy for each copy that interpreters loaded, oldest first.

    Libraries that came with a module and were copied with it are among them.
    """
    by_id = {interp.id: interp for interp in list_all()}
    return [ExtensionCopy(path, by_id.get(owner), nbytes, seconds, kept_for)
            for path, owner, nbytes, seconds, kept_for in _engine.list_extensions()]


# ---- asyncio ----

# RecvChannel.arecv(), SendChannel.asend() and asynchronous iteration come here.
# An operation that has to wait is posted to the port of its event loop, which
# watches the port's file descriptor: no thread waits for it.

class _LoopPort:
    """The port of one event loop, which keeps it alive as long as it is open."""

    _of_loop = weakref.WeakKeyDictionary()  # of weak references

    def __init__(self, loop):
        self.port = _engine.Port()
        self.waiting = set()            # the operations, which nobody else may hold
        loop.add_reader(self.port.fileno(), self._collect)

    def _collect(self):
        for operation in self.port.collect():
            future = operation.future
            if not future.done():       # else its task was cancelled
                future.set_result(None)

    @classmethod
    def get(cls, loop):
        ref = cls._of_loop.get(loop)
        self = ref() if ref is not None else None
        if self is None:
            self = cls(loop)
            cls._of_loop[loop] = weakref.ref(self)
        return self

    async def finish(self, operation, loop):
        if not operation.done:
            operation.future = loop.create_future()
            self.waiting.add(operation)
            try:
                await operation.future
            except BaseException:
                operation.cancel()      # a message received goes back
                raise
            finally:
                self.waiting.discard(operation)
        return operation.result()


async def _arecv(channel):
    import asyncio
    loop = asyncio.get_running_loop()
    port = _LoopPort.get(loop)
    return await port.finish(port.port.recv(channel), loop)


async def _asend(channel, obj):
    import asyncio
    loop = asyncio.get_running_loop()
    port = _LoopPort.get(loop)
    return await port.finish(port.port.send(channel, obj), loop)


async def _anext(channel):
    try:
        return await _arecv(channel)
    except ChannelClosedError:
        if channel.closed:
            raise
    raise StopAsyncIteration
