"""The engine as a part of the build: one copy, nothing of stock changed."""

import sys
import unittest

import _xxsubinterpreters
import interpreters
from test.support.script_helper import assert_python_ok


class BuildTests(unittest.TestCase):

    def test_the_engine_is_built_in(self):
        # So that it can never be loaded twice in a process.
        self.assertIn('_xxsubinterpreters', sys.builtin_module_names)

    def test_module_names(self):
        self.assertIn('interpreters', sys.stdlib_module_names)
        self.assertNotIn('_xxsubinterpreters', sys.stdlib_module_names)

    def test_nothing_of_ours_is_imported_at_startup(self):
        rc, out, err = assert_python_ok('-c', '''if True:
            import sys
            print([name for name in sys.modules
                   if name in ('interpreters', '_xxsubinterpreters')])
            ''')
        self.assertEqual(out.strip(), b'[]')

    def test_public_names_exist_and_are_documented(self):
        for name in interpreters.__all__:
            obj = getattr(interpreters, name)
            if name != 'NotShareableError':     # the runtime's has none
                with self.subTest(name):
                    self.assertTrue(obj.__doc__)

    def test_errors_are_those_of_the_runtime(self):
        import _interpreters
        self.assertIs(interpreters.InterpreterError,
                      _interpreters.InterpreterError)
        self.assertIs(interpreters.NotShareableError,
                      _interpreters.NotShareableError)

    def test_audit_events(self):
        rc, out, err = assert_python_ok('-c', '''if True:
            import sys
            def hook(event, args):
                if event.startswith('interpreters.'):
                    print(event, args)
            sys.addaudithook(hook)
            import interpreters
            interp = interpreters.create()
            print('created')
            interp.exec('1')
            print('id', interp.id)
            ''')
        lines = out.decode().splitlines()
        id = lines[-1].split()[1]
        created = lines.index('created')
        self.assertEqual(lines[0], 'interpreters.create ()')
        # To pass on sys.path.
        self.assertEqual(set(lines[1:created]), {f'interpreters.exec ({id},)'})
        self.assertEqual(lines[created + 1:-1], [f'interpreters.exec ({id},)'])


class LateObjectTests(unittest.TestCase):

    def test_objects_that_only_the_last_collection_frees(self):
        # Their types are freed by it, too, for which they show that they refer to them;
        # -R tells.
        interp = interpreters.create()
        interp.exec('''if True:
            import codecs, interpreters
            class Cycle:
                def __init__(self, *objs):
                    self.objs = objs
                    self.cycle = self
            cycle = Cycle(*interpreters.create_channel(), interpreters.create_queue(),
                          interpreters.Lock(), interpreters.Condition(),
                          interpreters.Semaphore(), interpreters.Event(),
                          interpreters.Barrier(1), interpreters.SharedBlock(8))
            codecs.register(lambda name, late=cycle: None)
            ''')
        interp.close()
        self.assertNotIn(interp, interpreters.list_all())


if __name__ == '__main__':
    unittest.main()
