"""What interpreters.share() makes of objects that are more than their memory.

Each is sent as a function of this module with its arguments, among which are
memoryviews, the memory itself.
"""

import io
import pickle
import sys

import _xxsubinterpreters as _engine


class Shared:
    """Stands for an object in messages; the receiver gets one over the same memory."""

    __slots__ = ('_obj', '_rebuild', '_args')

    def __init__(self, obj, rebuild, *args):
        self._obj = obj
        self._rebuild = rebuild
        self._args = args

    def __repr__(self):
        return f'<interpreters.share() of a {type(self._obj).__name__}>'

    def __reduce__(self):
        return self._rebuild, self._args


def share(obj):
    numpy = sys.modules.get('numpy')
    if numpy is not None and isinstance(obj, numpy.ndarray):
        return Shared(obj, make_array, *_describe_array(numpy, obj))
    try:
        return _engine.view(obj)
    except TypeError:           # no buffer, but perhaps made of some
        pass
    return Shared(obj, load, *_split(obj))


# ---- arrays of numpy ----

def _describe_array(numpy, array):
    """A memoryview of the array, and what its dtype is if that does not say it."""
    dtype = array.dtype
    if dtype.hasobject:
        raise BufferError('memory that holds Python objects cannot be shared')
    masked = sys.modules.get('numpy.ma')        # numpy imports it when it is first used
    if masked is not None and isinstance(array, masked.MaskedArray):
        raise TypeError('a masked array cannot be shared: share its data and its mask')
    array = array.view(numpy.ndarray)
    view = _view_with_format(numpy, array)
    if view is None:
        kind = numpy.dtype('i8').newbyteorder(dtype.byteorder) if dtype.kind in 'mM' \
            else numpy.dtype((numpy.void, dtype.itemsize))
        view = _engine.view(array.view(kind))
    if numpy.dtype(dtype.str) == dtype and dtype.metadata is None:
        return view, dtype.str
    return view, pickle.dumps(dtype, 5)


def _view_with_format(numpy, array):
    """A memoryview of the array; None if no format says what its dtype is."""
    try:
        view = _engine.view(array)
        # numpy does not read all that it writes about dtypes with fields.
        if array.dtype.names is None or numpy.asarray(view).dtype == array.dtype:
            return view
    except (ValueError, RuntimeError):
        pass
    return None


_numpy = None               # False: it cannot be imported


def _find_numpy():
    global _numpy
    if _numpy is None:
        try:
            import numpy
        except ImportError:
            numpy = False
        _numpy = numpy
    return _numpy


def make_array(view, dtype):
    """An array over the memory, or the memoryview if numpy cannot be imported here."""
    numpy = _find_numpy()
    if not numpy:
        return view
    dtype = numpy.dtype(dtype) if isinstance(dtype, str) else pickle.loads(dtype)
    array = numpy.asarray(view)
    return array if array.dtype is dtype else array.view(dtype)


# ---- objects that give pickle their memory out of band (PEP 574) ----

class _Pickler(pickle.Pickler):
    """Writes arrays as make_array() wants them: pickle would copy those of dates."""

    def reducer_override(self, obj):
        numpy = sys.modules.get('numpy')
        if (numpy is None or type(obj) is not numpy.ndarray or obj.dtype.hasobject
                or not obj.nbytes):
            return NotImplemented
        view, dtype = _describe_array(numpy, obj)
        return make_array, (pickle.PickleBuffer(view), dtype)


def _split(obj):
    """What pickle writes about the object, and memoryviews of the memory it is made of."""
    written = io.BytesIO()
    buffers = []
    try:
        _Pickler(written, 5, buffer_callback=buffers.append).dump(obj)
        views = [_engine.view(buffer) for buffer in buffers]
    except (pickle.PicklingError, AttributeError, TypeError) as exc:
        raise TypeError(f'{type(obj).__name__!r} object has no memory to share') from exc
    if not views:
        raise TypeError(f'{type(obj).__name__!r} object has no memory to share')
    return written.getbuffer(), views


def load(written, views):
    return pickle.loads(written, buffers=views)
