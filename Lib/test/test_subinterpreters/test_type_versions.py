"""Version tags of types, by which caches of attributes know them: one for every type."""

import shutil
import sys
import unittest

from test.support import import_helper, os_helper, refleak_helper
from test.test_subinterpreters.support import TestCase, by_code

_testcapi = import_helper.import_module('_testcapi')

# As in pycore_typeobject.h: larger ones are an interpreter's own.
LARGEST_OF_THE_PROCESS = (2 << 16) - 1


@by_code
def assign_versions():
    """Return name, tag and whether it is the interpreter's own, for all types there are."""
    import _testcapi
    import asyncio, decimal, json, pickle, select, socket, subprocess  # noqa: E401, F401
    heap_type = 1 << 9
    types = {}
    rest = [object]
    while rest:
        cls = rest.pop()
        if cls not in types:
            _testcapi.type_assign_version(cls)
            types[cls] = _testcapi.type_get_version(cls)
            rest += type.__subclasses__(cls)
    return [(f'{cls.__module__}.{cls.__qualname__}', tag,
             bool(cls.__flags__ & heap_type) or cls is _testcapi.awaitType)
            for cls, tag in types.items()]


class VersionTests(TestCase):
    """What a copy of _testcapi, which only copies of it can be loaded of, tells of them."""

    def setUp(self):
        super().setUp()
        if refleak_helper.hunting_for_refleaks():
            self.skipTest('a copy that can start threads is kept, with what it refers to')
        folder = self.enterContext(os_helper.temp_dir())
        shutil.copy(_testcapi.__file__, folder)
        self.enterContext(import_helper.DirsOnSysPath(folder))
        sys.path.insert(0, folder)

    def test_types_that_only_one_interpreter_has(self):
        found = self.create().call(assign_versions)
        own = {name: tag for name, tag, is_own in found if is_own}
        for name in '_io.FileIO', 'builtins.awaitType', 'json.decoder.JSONDecoder':
            self.assertIn(name, own)
        self.assertEqual({name: tag for name, tag in own.items()
                          if tag <= LARGEST_OF_THE_PROCESS}, {})

    def test_types_that_all_interpreters_have(self):
        there = dict((name, tag) for name, tag, _ in self.create().call(assign_versions))
        for cls in int, dict, type, OSError, type(sys.flags):
            tag = _testcapi.type_get_version(cls)
            self.assertIn(tag, range(1, LARGEST_OF_THE_PROCESS + 1))
            self.assertEqual(there[f'{cls.__module__}.{cls.__qualname__}'], tag)

    def test_interpreters_that_begin_at_once(self):
        def work():
            for _ in range(8):
                interp = self.create()
                found = interp.call(assign_versions)
                interp.close()
                names = {}
                for name, tag, _ in found:
                    names.setdefault(tag, []).append(name)
                yield {tag: same for tag, same in names.items() if len(same) > 1}
        for same in [self.start(lambda: list(work())) for _ in range(4)]:
            self.assertEqual(same(), [{}] * 8)


if __name__ == '__main__':
    unittest.main()
