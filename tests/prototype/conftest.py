"""The files below Lib are copied into CPython; pytest is not to run them here."""

collect_ignore = ['Lib']
