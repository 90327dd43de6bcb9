"""How messages copy what pickle does not copy, or not whole.

The engine calls these functions as copyreg would: each returns a tuple, or a
name, as __reduce_ex__() does.  Beyond what pickle does, they copy:

* classes that cannot be imported, as what their bodies made;
* exceptions with their causes, contexts and tracebacks;
* properties, class and static methods, and mapping proxies, which classes
  are made of.
"""

import itertools
import os
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


# ---- what should have a name, but is not found there ----

def reduce_unnamed(obj):
    """A type variable that no import finds; None for anything else."""
    typing = sys.modules.get('typing')
    if typing is None:
        return None
    if type(obj) is typing.TypeVar:
        how = {'bound': obj.__bound__, 'covariant': obj.__covariant__,
               'contravariant': obj.__contravariant__}
        if obj.__infer_variance__:
            how['infer_variance'] = True
        args = (obj.__name__, *obj.__constraints__)
    elif type(obj) in (typing.ParamSpec, typing.TypeVarTuple):
        how, args = {}, (obj.__name__,)
    else:
        return None
    if obj.has_default():
        how['default'] = obj.__default__
    return make_type_variable, (type(obj), args, how)


def make_type_variable(kind, args, how):
    return kind(*args, **how)


# ---- classes that cannot be imported ----

# A class has one number wherever it goes, so that it arrives as the same class
# each time, and as itself where it comes from.
_serial = itertools.count()
_numbers = {}                               # id(class) -> number
_classes = {}                               # number -> reference to the class
_lock = threading.RLock()                   # a class may be collected in between
if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)


def _set_number(cls, number):
    def forget(reference, key=id(cls)):     # a metaclass may make classes equal
        with _lock:                         # another may have that number, or place, by now
            if _classes.get(number) is reference:
                del _classes[number]
            if _numbers.get(key) == number:
                del _numbers[key]

    _numbers[id(cls)] = number
    _classes[number] = weakref.ref(cls, forget)


def _number_of(cls):
    with _lock:
        if id(cls) not in _numbers:
            _set_number(cls, (_engine.get_current(), next(_serial)))
        return _numbers[id(cls)]


def _class_with(number):
    reference = _classes.get(number)
    return reference() if reference is not None else None


_MADE_ANEW = {'__dict__', '__weakref__', '__module__', '__qualname__', '__slots__',
              '_abc_impl', '__abstractmethods__', '__classcell__', '__slotnames__',
              '__static_attributes__', '__firstlineno__'}

_NEEDED_EARLY = '__orig_bases__', '__type_params__'     # by typing.Generic

_MADE_BY_MEMBERS = {'_value_', '_name_', '__objclass__', '_sort_order_'}

_MADE_BY_ENUM = {'_generate_next_value_', '_member_names_', '_member_map_',
                 '_value2member_map_', '_unhashable_values_', '_hashable_values_',
                 '_unhashable_values_map_', '_member_type_', '_value_repr_',
                 '_use_args_', '_new_member_', '__new__', '_flag_mask_',
                 '_singles_mask_', '_all_bits_', '_inverted_', '_boundary_'}


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
    members = attributes = None
    keywords = {}
    contents = {name: value for name, value in vars(cls).items()
                if name not in _MADE_ANEW
                and not isinstance(value, types.GetSetDescriptorType)}
    if _is_enum(type(cls)):
        members = {name: member._value_ for name, member in cls.__members__.items()}
        attributes = {name: {key: value for key, value in vars(member).items()
                             if key not in _MADE_BY_MEMBERS}
                      for name, member in cls.__members__.items()}
        contents = {name: value for name, value in contents.items()
                    if name not in members and name not in _MADE_BY_ENUM}
        if getattr(cls, '_boundary_', None) is not None:
            keywords['boundary'] = cls._boundary_
    slots = _slots_of(cls)
    for name in slots or ():
        if name.startswith('__') and not name.endswith('__'):
            name = f'_{cls.__name__.lstrip("_")}{name}'
        contents.pop(name, None)
    early = {name: contents[name] for name in _NEEDED_EARLY if name in contents}
    how = (_number_of(cls), type(cls), cls.__name__, cls.__qualname__, cls.__module__,
           cls.__bases__, slots, members, early, keywords)
    return make_class, how, (contents, attributes), None, None, fill_class


def make_class(number, metaclass, name, qualname, module, bases, slots, members,
               early, keywords):
    """Return the class with that number, made if need be, without its contents."""
    cls = _class_with(number)
    if cls is not None:
        return cls
    namespace = metaclass.__prepare__(name, bases, **keywords)
    namespace['__module__'] = module
    namespace['__qualname__'] = qualname
    if slots is not None:
        namespace['__slots__'] = slots
    for entry, value in ((members or {}) | early).items():
        namespace[entry] = value
    cls = metaclass(name, bases, namespace, **keywords)
    with _lock:
        other = _class_with(number)
        if other is not None:       # another thread was faster
            return other
        _set_number(cls, number)
        _unfilled.add(number)
    return cls


_unfilled = set()                           # numbers of classes


def fill_class(cls, state):
    """Give a class its contents, unless it has them already."""
    contents, attributes = state
    number = _numbers.get(id(cls))
    if number not in _unfilled:
        return
    for name, value in contents.items():
        type.__setattr__(cls, name, value)
    for name, values in (attributes or {}).items():
        vars(cls.__members__[name]).update(values)
    if hasattr(cls, '__abstractmethods__'):
        import abc
        abc.update_abstractmethods(cls)
    _unfilled.discard(number)


# ---- exceptions ----

class Unsendable:
    """Stands for an object inside an exception that could not be sent."""

    def __init__(self, text):
        self._text = text

    def __repr__(self):
        return self._text


class UnsendableException(Exception):
    """Stands for a cause, context or member that could not be sent."""


class _Checking(threading.local):
    now = False


_checking = _Checking()


def _can_be_sent(obj):
    # What is in the exceptions inside of obj does not matter for that: they come here
    # themselves when they are sent.
    _checking.now = True
    try:
        _engine.pack(obj, 'obj')
    except Exception:
        return False
    else:
        return True
    finally:
        _checking.now = False


def _show(obj):
    try:
        return repr(obj)
    except Exception:
        return object.__repr__(obj)


class _StandIns:
    """What is sent of an exception instead of what cannot be sent."""

    def __init__(self):
        self._made = {}             # id -> (object, what is sent instead)

    def instead(self, obj):
        """The object, or, if it cannot be sent, what shows how it looked."""
        if isinstance(obj, BaseException):      # it sees to what is inside itself
            return obj if _can_be_sent(type(obj)) else UnsendableException(_show(obj))
        if id(obj) not in self._made:
            self._made[id(obj)] = obj, Unsendable('...')        # for those in a circle
            self._made[id(obj)] = obj, self._make(obj)
        return self._made[id(obj)][1]

    def _make(self, obj):
        if _can_be_sent(obj):
            return obj
        try:
            if type(obj) in (tuple, list):
                return type(obj)(map(self.instead, obj))
            if type(obj) is dict:
                return {self.instead(key): self.instead(value)
                        for key, value in obj.items()}
        except RecursionError:
            pass
        return Unsendable(_show(obj))


def _around(exc):
    return (exc.__cause__, exc.__context__, exc.__suppress_context__,
            take_traceback(exc.__traceback__),
            exc.name if isinstance(exc, NameError) else None)       # pickle loses it


def _for_group(exc, args):
    """The arguments to make a group from.

    A group must not be empty.  So its members are in a tuple, which exists only when they
    do, even if they refer to the group.
    """
    if isinstance(exc, BaseExceptionGroup) and len(args) == 2 and type(args[1]) is list:
        return args[0], tuple(args[1])
    return args


def reduce_exception(exc):
    """An exception with all that belongs to it."""
    if _checking.now:
        return make_exception, (type(exc), (), type(exc))
    reduced = exc.__reduce_ex__(5)
    if isinstance(reduced, str):
        return reduced
    make, args, state, items, pairs, setter, *_ = *reduced, None, None, None, None
    return (make_exception, (make, _for_group(exc, args), type(exc)),
            (state, setter, _around(exc)), items, pairs, complete_exception)


def reduce_exception_with_stand_ins(exc):
    """The same after something in there could not be sent."""
    try:
        make, args, state, *_ = *exc.__reduce_ex__(5), None
        if not (make is type(exc) and isinstance(args, tuple)):
            raise TypeError
    except Exception:
        make, args, state = type(exc), exc.args, vars(exc)
    instead = _StandIns().instead
    # It cannot be made from itself.
    args = tuple(Unsendable('...') if arg is exc else instead(arg)
                 for arg in _for_group(exc, args))
    around = tuple(map(instead, _around(exc)))
    return (make_exception, (make, args, type(exc)), (instead(state), None, around), None,
            None, complete_exception)


def make_exception(make, args, cls):
    """Make it as pickle would; or, if that fails, with the same class and args."""
    try:
        return make(*args)
    except Exception:
        return cls.__new__(cls, *args)


def complete_exception(exc, how):
    state, setter, (cause, context, suppress_context, traceback, name) = how
    if state is not None:
        if setter is not None:
            setter(exc, state)
        elif hasattr(exc, '__setstate__'):
            exc.__setstate__(state)
        else:
            vars(exc).update(state)
    if isinstance(exc, BaseExceptionGroup) and type(exc.args[1]) is tuple:
        exc.args = exc.args[0], list(exc.args[1])
    if isinstance(exc, BaseException):
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
        positions = itertools.islice(code.co_positions(), max(traceback.tb_lasti, 0) // 2, None)
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
