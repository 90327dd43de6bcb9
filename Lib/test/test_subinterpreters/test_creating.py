"""What creating an interpreter needs."""

import unittest

from test.support import import_helper, requires_subprocess, script_helper
from test.test_subinterpreters.support import TestCase

import_helper.import_module('ctypes')


class CreatingTests(TestCase):

    @requires_subprocess()
    def test_it_does_not_wait_for_the_main_interpreters_gil(self):
        # Which is held by a function that waits for what comes after it.
        rc, out, err = script_helper.assert_python_ok('-c', """if True:
            import ctypes, faulthandler, interpreters, os
            faulthandler.dump_traceback_later(60, exit=True)
            def create_one(started, fd):
                import interpreters, os
                started.send(None)
                with interpreters.create() as interp:
                    assert interp.call(sum, [1, 2]) == 3
                os.write(fd, b'x')
            interpreters.create().close()
            reader, writer = os.pipe()
            started, started_send = interpreters.create_channel()
            thread = interpreters.create().call_in_thread(create_one, started_send, writer)
            started.recv()
            buffer = ctypes.create_string_buffer(1)
            ctypes.PyDLL(None).read(reader, buffer, 1)      # does not release it
            thread.join()
            print(buffer.value)
            """)
        self.assertEqual(out.strip(), b"b'x'")


if __name__ == '__main__':
    unittest.main()
