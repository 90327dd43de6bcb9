"""What the tests of pickle pickle is sent, and passes their checks as well."""

import pickle
import unittest

import interpreters
from test import pickletester
from test.test_subinterpreters.support import TestCase


class PickleCorpusTests(pickletester.AbstractPickleTests, TestCase):
    """pickle's tests, whose loads() receives what was sent when dumps() was called.

    The bytes are pickle's own, for those that look at them.
    """

    # Read by pickletester.
    pickler = pickle.Pickler
    unpickler = pickle.Unpickler

    def setUp(self):
        super().setUp()
        self.sent = {}              # what dumps() returned -> receivers of the object
        self.addCleanup(self.sent.clear)

    def dumps(self, obj, protocol=None, **kwargs):
        data = pickle.dumps(obj, protocol, **kwargs)
        # Other protocols, and buffers out of band, may lead to something else.
        if not kwargs and protocol in (None, 5):
            recv, send = interpreters.create_channel(1)
            with send:
                send.send(obj)
            self.sent.setdefault(data, []).append(recv)
        return data

    def loads(self, data, **kwargs):
        if not kwargs and self.sent.get(bytes(data)):
            with self.sent[bytes(data)].pop() as recv:
                return recv.recv()
        return pickle.loads(data, **kwargs)


if __name__ == '__main__':
    unittest.main()
