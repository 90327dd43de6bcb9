"""Tests of the module interpreters and its engine."""

import os

from test.support import load_package_tests, threading_helper

threading_helper.requires_working_threading(module=True)


def load_tests(*args):
    return load_package_tests(os.path.dirname(__file__), *args)
