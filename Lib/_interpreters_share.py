"""What interpreters.share() makes of objects that are more than their memory.

Each is sent as a function of this module with its arguments, among which are
memoryviews, the memory itself.
"""

import importlib
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
    pillow = sys.modules.get('PIL.Image')
    if (pillow is not None and isinstance(obj, pillow.Image)
            and hasattr(obj, '__arrow_c_array__')):
        return Shared(obj, make_image, *_describe_image(obj))
    try:
        return _engine.view(obj)
    except TypeError:           # no buffer, but perhaps made of some
        pass
    if not hasattr(obj, '__arrow_c_array__'):
        return Shared(obj, load, *_split(obj))
    if _says_how_to_pickle(type(obj)):          # as Arrow's own arrays, which arrive as such
        try:
            return Shared(obj, load, *_split(obj))
        except TypeError:
            pass
    return _engine.from_arrow(obj)


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


_found = {}                 # name -> module, or None: it cannot be imported


def _find(name):
    if name not in _found:
        try:
            _found[name] = importlib.import_module(name)
        except ImportError:
            _found[name] = None
    return _found[name]


def make_array(view, dtype):
    """An array over the memory, or the memoryview if numpy cannot be imported here."""
    numpy = _find('numpy')
    if numpy is None:
        return view
    dtype = numpy.dtype(dtype) if isinstance(dtype, str) else pickle.loads(dtype)
    array = numpy.asarray(view)
    return array if array.dtype is dtype else array.view(dtype)


# ---- images of Pillow ----

# What Pillow calls signed: 16 bits without a sign, in either byte order.
_PIXELS = {'I;16': '<H', 'I;16L': '<H', 'I;16B': '>H', 'I;16N': 'H'}
_NATIVE = '<' if sys.byteorder == 'little' else '>'

_ARROW_FORMATS = {'B': 'C', 'i': 'i', 'f': 'f'}     # of 'H', in any order: 's'


def _describe_image(image):
    """A memoryview of the image, and what its memory does not say about it."""
    image.load()                # it may still be in a file
    width, height = image.size
    pixel = _PIXELS.get(image.mode)
    if pixel is not None:
        pixel = pixel.removeprefix(_NATIVE)
    try:
        view = _engine.from_arrow(image, (height, width), pixel, bool(image.readonly))
    except ValueError as exc:
        raise _engine.NotShareableError(
            f'Pillow cannot export the image ({exc}); if it is in several blocks of memory, '
            'call PIL.Image.core.set_use_block_allocator(1) and share a copy() of it') from exc
    palette = None
    if image.mode in ('P', 'PA'):
        mode = image.im.getpalettemode()
        palette = bytes(image.im.getpalette(mode, mode)), mode
    return view, image.mode, image.size, pickle.dumps((palette, image.info), 5)


def make_image(view, mode, size, rest):
    """An image over the memory, or the memoryview if Pillow cannot be imported here."""
    pillow = _find('PIL.Image')
    if pillow is None:
        return view
    exported = _engine.to_arrow(view, _ARROW_FORMATS.get(view.format, 's'),
                                view.shape[2] if view.ndim == 3 else 0)
    image = pillow.fromarrow(exported, mode, size)
    palette, image.info = pickle.loads(rest)
    if palette is not None:
        image.putpalette(*palette)
    return image


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


def _says_how_to_pickle(cls):
    return (cls.__reduce_ex__ is not object.__reduce_ex__
            or cls.__reduce__ is not object.__reduce__)


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
