"""A real use of each package, whose result is checked; one function for each package.

A module is a group of packages.toml, a function has the name of its package.  Each of them
imports what it needs itself: importing a module of this folder imports no package.
"""
