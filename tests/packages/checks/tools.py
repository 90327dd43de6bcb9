"""Text, containers, numbers, looking at programs."""

import os


def regex():
    """Fuzzy matches, properties, several captures"""
    import regex as re
    assert re.fullmatch(r'(?:spam){e<=1}', 'spm')
    assert re.match(r'(?:(\w)-?)+', 'a-b-c').captures(1) == ['a', 'b', 'c']
    assert re.findall(r'\p{Lu}', 'aBcÄ') == ['B', 'Ä']
    assert re.sub(r'(?<n>\d)', lambda m: m['n'] * 2, 'a1b2') == 'a11b22'


def rapidfuzz():
    """Distances, the best of many, in its own threads and with numpy"""
    from rapidfuzz import distance, fuzz, process
    assert fuzz.ratio('spam', 'spam') == 100
    assert process.extractOne('spam', ['eggs', 'spma', 'ham'])[0] == 'spma'
    assert distance.Levenshtein.distance('kitten', 'sitting') == 3


def levenshtein():
    """Distances, medians, edits"""
    import Levenshtein as lv
    assert lv.distance('kitten', 'sitting') == 3
    assert lv.apply_edit(lv.editops('spam', 'ham'), 'spam', 'ham') == 'ham'
    assert lv.median(['spam', 'spam', 'span']) == 'spam'


def rpds_py():
    """Persistent maps, sets and lists"""
    from rpds import HashTrieMap, HashTrieSet, List
    first = HashTrieMap({'a': 1})
    second = first.insert('b', 2)
    assert (len(first), dict(second)) == (1, {'a': 1, 'b': 2})
    assert HashTrieSet({1, 2}) == HashTrieSet({2, 1})
    assert list(List([1, 2]).push_front(0)) == [0, 1, 2]
    try:
        first['absent']
    except KeyError:
        return
    raise AssertionError('a key that is not there was found')


def immutables():
    """A persistent map"""
    from immutables import Map
    first = Map(a=1)
    with first.mutate() as changes:
        for n in range(100):
            changes[n] = n
        second = changes.finish()
    assert (len(first), len(second), second[57]) == (1, 101, 57)
    assert Map.__module__ == 'immutables._map'


def bitarray():
    """Operations, searches, a code"""
    import bitarray as ba
    from bitarray import util
    bits = ba.bitarray('0110') | ba.bitarray('0001')
    assert bits.to01() == '0111' and bits.count() == 3
    code = util.huffman_code({'a': 5, 'b': 1, 'c': 1})
    packed = ba.bitarray()
    packed.encode(code, 'abca')
    assert ''.join(packed.decode(code)) == 'abca'


def gmpy2():
    """Big numbers, exact and with a precision"""
    import gmpy2 as gm
    assert gm.is_prime(2 ** 127 - 1)
    assert gm.mpz(3) ** 100 % 7 == pow(3, 100, 7)
    assert gm.mpq(1, 3) + gm.mpq(1, 6) == gm.mpq(1, 2)
    with gm.context(precision=200):
        assert abs(gm.sqrt(gm.mpfr(2)) ** 2 - 2) < gm.mpfr('1e-55')


def wrapt():
    """A proxy and a decorator, compiled"""
    import wrapt as wr
    assert type(wr.ObjectProxy.__wrapped__).__name__ == 'getset_descriptor'

    @wr.decorator
    def twice(wrapped, instance, args, kwargs):
        return 2 * wrapped(*args, **kwargs)

    @twice
    def spam(n):
        return n + 1

    assert spam(2) == 6 and spam.__name__ == 'spam'
    proxy = wr.ObjectProxy([1, 2])
    proxy.append(3)
    assert len(proxy) == 3 and isinstance(proxy, list)


def zope_interface():
    """Interfaces, adapters, in compiled code"""
    from zope.interface import Interface, implementer, providedBy
    from zope.interface import _zope_interface_coptimizations as compiled
    from zope.interface.adapter import AdapterRegistry

    class ISpam(Interface):
        pass

    class IEggs(Interface):
        pass

    @implementer(ISpam)
    class Spam:
        pass

    assert ISpam.providedBy(Spam()) and not IEggs.providedBy(Spam())
    registry = AdapterRegistry()
    registry.register([ISpam], IEggs, '', 7)
    assert registry.lookup([providedBy(Spam())], IEggs) == 7
    assert compiled.providedBy is providedBy


def psutil():
    """This process, memory, network interfaces"""
    import psutil as ps
    process = ps.Process()
    assert process.pid == os.getpid() and process.memory_info().rss > 1_000_000
    assert ps.virtual_memory().total > 0 and ps.cpu_count() == os.cpu_count()
    assert ps.net_if_addrs()
    try:
        ps.Process(2 ** 31 - 1)
    except ps.NoSuchProcess:
        return
    raise AssertionError('a process that is not there was found')


def setproctitle():
    """A title for this process; main's and other interpreters' are the same"""
    import setproctitle as sp
    sp.setproctitle(sp.getproctitle())
    sp.setthreadtitle('spam')
    assert sp.getthreadtitle() == 'spam'


def coverage():
    """Traces a function with the compiled tracer"""
    import tempfile
    import coverage as cov
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, 'spam.py')
        with open(name, 'w') as file:
            file.write('def spam(n):\n    if n:\n        return 1\n    return 2\n')
        names = {}
        with open(name) as file:
            code = compile(file.read(), name, 'exec')
        measured = cov.Coverage(data_file=None, include=[name], timid=False, config_file=False)
        measured.start()
        try:
            exec(code, names)
            names['spam'](1)
        finally:
            measured.stop()
        assert measured.analysis2(name)[3] == [4]
        assert dict(measured.sys_info())['CTracer'].startswith('available')


def cython():
    """Its compiled compiler parses a program"""
    import tempfile
    from Cython.Compiler import Main, Options, Scanning
    assert Scanning.__file__.endswith('.so')
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, 'spam.pyx')
        with open(name, 'w') as file:
            file.write('cdef int spam(int n):\n    return n + 1\n\ndef eggs():\n    return spam(1)\n')
        result = Main.compile_single(name, Main.CompilationOptions(
            Options.default_options, language_level=3), None)
        with open(result.c_file) as file:
            assert 'PyInit_spam' in file.read()


def debugpy():
    """The compiled part of its debugger"""
    import debugpy as db
    from debugpy._vendored import force_pydevd  # noqa: F401, where the next one is found
    from _pydevd_bundle import pydevd_cython
    assert pydevd_cython.__file__.endswith('.so')
    info = pydevd_cython.PyDBAdditionalThreadInfo()
    info.pydev_step_cmd = 7
    assert info.pydev_step_cmd == 7 and not db.is_client_connected()
