"""How messages copy what pickle does not copy, or not whole.

The engine calls these functions as copyreg would: each returns a tuple, or a
name, as __reduce_ex__() does.  Beyond what pickle does, they copy:

* classes that cannot be imported, as what their bodies made;
* exceptions with their causes, contexts and tracebacks;
* properties, class and static methods, and mapping proxies, which classes
  are made of.
"""

import itertools
import sys
import threading
import types
import weakref
from types import FunctionType, MappingProxyType, TracebackType

import _xxsubinterpreters as _engine


# ---- what classes are made of ----

def reduce_part_of_class(obj):
    """A property, class method, static method or mapping proxy."""
    if type(obj) is property:
        return property, (obj.fget, obj.fset, obj.fdel, obj.__doc__)
    if type(obj) is MappingProxyType:
        return make_mapping_proxy, (dict(obj),)
    return type(obj), (obj.__func__,)


def make_mapping_proxy(mapping):
    return MappingProxyType(mapping)    # which is not found under its own name


def reduce_of_dataclasses(obj):
    """Objects of classes of the module dataclasses, some of which exist once."""
    for name, value in vars(sys.modules['dataclasses']).items():
        if value is obj:
            return name
    return obj.__reduce_ex__(5)


# ---- classes that cannot be imported ----

# A class has one number wherever it goes, so that it arrives as the same class
# each time, and as itself where it comes from.
_serial = itertools.count()
_numbers = weakref.WeakKeyDictionary()      # class -> number
_classes = weakref.WeakValueDictionary()    # number -> class

_MADE_ANEW = {'__dict__', '__weakref__', '__module__', '__qualname__', '__slots__',
              '_abc_impl', '__abstractmethods__', '__classcell__', '__slotnames__',
              '__static_attributes__', '__firstlineno__'}

_MADE_BY_ENUM = {'_generate_next_value_', '_member_names_', '_member_map_',
                 '_value2member_map_', '_unhashable_values_', '_hashable_values_',
                 '_unhashable_values_map_', '_member_type_', '_value_repr_',
                 '_use_args_', '_new_member_', '__new__', '_flag_mask_',
                 '_singles_mask_', '_all_bits_', '_inverted_', '_boundary_'}


def _number_of(cls):
    number = _numbers.get(cls)
    if number is None:
        number = (_engine.get_current(), next(_serial))
        number = _numbers.setdefault(cls, number)
        _classes[number] = cls
    return number


def _is_enum(metaclass):
    enum = sys.modules.get('enum')
    return enum is not None and issubclass(metaclass, enum.EnumType)


def _slots_of(cls):
    slots = vars(cls).get('__slots__')
    if slots is None:
        return None
    return (slots,) if isinstance(slots, str) else tuple(slots)


def reduce_class(cls):
    """A class that cannot be imported."""
    members = None
    contents = {name: value for name, value in vars(cls).items()
                if name not in _MADE_ANEW
                and not isinstance(value, types.GetSetDescriptorType)}
    if _is_enum(type(cls)):
        members = {name: member._value_ for name, member in cls.__members__.items()}
        contents = {name: value for name, value in contents.items()
                    if name not in members and name not in _MADE_BY_ENUM}
    slots = _slots_of(cls)
    for name in slots or ():
        if name.startswith('__') and not name.endswith('__'):
            name = f'_{cls.__name__.lstrip("_")}{name}'
        contents.pop(name, None)
    how = (_number_of(cls), type(cls), cls.__name__, cls.__qualname__, cls.__module__,
           cls.__bases__, slots, members)
    return make_class, how, contents, None, None, fill_class


def make_class(number, metaclass, name, qualname, module, bases, slots, members):
    """Return the class with that number, made if need be, without its contents."""
    cls = _classes.get(number)
    if cls is not None:
        return cls
    namespace = metaclass.__prepare__(name, bases)
    namespace['__module__'] = module
    namespace['__qualname__'] = qualname
    if slots is not None:
        namespace['__slots__'] = slots
    for member, value in (members or {}).items():
        namespace[member] = value
    cls = metaclass(name, bases, namespace)
    cls = _classes.setdefault(number, cls)
    _numbers[cls] = number
    _unfilled.add(cls)
    return cls


_unfilled = weakref.WeakSet()


def fill_class(cls, contents):
    """Give a class its contents, unless it has them already."""
    if cls not in _unfilled:
        return
    _unfilled.discard(cls)
    for name, value in contents.items():
        type.__setattr__(cls, name, value)
    if hasattr(cls, '__abstractmethods__'):
        import abc
        abc.update_abstractmethods(cls)


# ---- exceptions ----

class Unsendable:
    """Stands for an object inside an exception that could not be sent."""

    def __init__(self, text):
        self._text = text

    def __repr__(self):
        return self._text


class _Checking(threading.local):
    now = False


_checking = _Checking()


def _can_be_sent(obj):
    # Exceptions inside of obj are taken as they are then: else each would be
    # looked at as often as two to the power of its depth.
    if _checking.now:
        return True
    _checking.now = True
    try:
        _engine.pack(obj, 'obj')
    except _engine.NotShareableError:
        return False
    else:
        return True
    finally:
        _checking.now = False


def _or_stand_in(obj):
    """The object, or, for what cannot be sent, what shows how it looked."""
    if isinstance(obj, BaseException):
        return obj                  # it sees to that itself
    if type(obj) in (tuple, list):
        return type(obj)(map(_or_stand_in, obj))
    if type(obj) is dict:
        return {_or_stand_in(key): _or_stand_in(value) for key, value in obj.items()}
    if _can_be_sent(obj):
        return obj
    try:
        text = repr(obj)
    except Exception:
        text = object.__repr__(obj)
    return Unsendable(text)


def reduce_exception(exc):
    """An exception with all that belongs to it."""
    try:
        make, args, state, *_ = *exc.__reduce_ex__(5), None
    except Exception:
        make, args, state = type(exc), exc.args, vars(exc)
    around = (exc.__cause__, exc.__context__, exc.__suppress_context__,
              take_traceback(exc.__traceback__),
              exc.name if isinstance(exc, NameError) else None)     # pickle loses it
    return (make_exception, (make, _or_stand_in(args), type(exc)),
            (_or_stand_in(state), around), None, None, complete_exception)


def make_exception(make, args, cls):
    """Make it as pickle would; or, if that fails, with the same class and args."""
    try:
        exc = make(*args)
        if type(exc) is cls:
            return exc
    except Exception:
        pass
    return cls.__new__(cls, *args)


def complete_exception(exc, how):
    state, (cause, context, suppress_context, traceback, name) = how
    if state is not None:
        exc.__setstate__(state)
    exc.__cause__ = cause
    exc.__context__ = context
    exc.__suppress_context__ = suppress_context
    exc.__traceback__ = make_traceback(traceback)
    if name is not None:
        exc.name = name


# ---- tracebacks ----

def take_traceback(traceback):
    """Return a list of what is shown of each entry, outermost first."""
    entries = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        positions = itertools.islice(code.co_positions(), traceback.tb_lasti // 2, None)
        _, end_line, column, end_column = next(positions, (None,) * 4)
        entries.append((code.co_filename, code.co_name, code.co_qualname,
                        traceback.tb_lineno, end_line, column, end_column))
        traceback = traceback.tb_next
    return entries


def make_traceback(entries):
    """Return a traceback that shows these entries."""
    traceback = None
    for filename, name, qualname, line, *rest in reversed(entries):
        line = line or 1
        code = _frame_maker.replace(
            co_filename=filename, co_name=name, co_qualname=qualname,
            co_firstlineno=line, co_linetable=_locations(line, *rest))
        frame = FunctionType(code, {'_getframe': sys._getframe, '__name__': None})()
        traceback = TracebackType(traceback, frame, 0, line)
    return traceback


def _make_frame():
    return _getframe()              # a global of the code's copies


_frame_maker = _make_frame.__code__


def _varint(n):
    result = bytearray()
    while n >= 0x40:
        result.append(0x40 | n & 0x3F)
        n >>= 6
    result.append(n)
    return result


def _locations(line, end_line, column, end_column):
    """A table of locations with one for all of the code of _frame_maker.

    The format is described in CPython's InternalDocs/code_objects.md.
    """
    units = len(_frame_maker.co_code) // 2
    table = bytearray()
    while units > 0:
        n = min(units, 8)
        units -= n
        if end_line is None or column is None or end_column is None or end_line < line:
            table.append(0x80 | 13 << 3 | n - 1)        # the line only
            table += _varint(0)
        else:
            table.append(0x80 | 14 << 3 | n - 1)
            table += _varint(0)                         # from co_firstlineno
            table += _varint(end_line - line)
            table += _varint(column + 1)
            table += _varint(end_column + 1)
    return bytes(table)
