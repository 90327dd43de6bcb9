"""What is tried: the packages, and the scenarios that each is tried in."""

import dataclasses
import importlib
import itertools
import re
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Package:
    """One entry of packages.toml, which says what the fields are."""

    name: str
    group: str
    version: str
    imports: tuple = ()
    tags: tuple = ()
    needs: tuple = ()
    refused: str = ''
    serialised: str = ''
    known: str = ''
    sometimes: str = ''
    environment: dict = dataclasses.field(default_factory=dict)
    because: str = ''

    @property
    def pin(self):
        return f'{self.name}=={self.version}'

    @property
    def check(self):
        """The name of the function that checks it, and often of its module."""
        return re.sub('[-.]', '_', self.name.lower())

    @property
    def module(self):
        """The name of the module that has the check."""
        return f'checks.{self.group}'

    @property
    def does(self):
        """What the check does (str)."""
        return getattr(importlib.import_module(self.module), self.check).__doc__

    @property
    def reason(self):
        """Why it does not work everywhere (str), or ''."""
        if self.environment:
            variables = ' '.join(f'{name}={value}' for name, value in self.environment.items())
            return f'with {variables}: {self.because}'
        return self.refused or self.serialised or self.known or self.sometimes

    def expects(self, problems):
        """Whether it is as expected that there were these problems, or none."""
        return bool(problems) == bool(self.known or self.refused) or bool(self.sometimes)


def packages():
    """All packages, by name."""
    with open(HERE / 'packages.toml', 'rb') as file:
        groups = tomllib.load(file)
    found = {}
    for group, entries in groups.items():
        for name, entry in entries.items():
            fields = {key: tuple(value) if isinstance(value, list) else value
                      for key, value in entry.items()}
            package = Package(name, group, **fields)
            if not package.imports:
                package = dataclasses.replace(package, imports=(package.check,))
            found[name] = package
    return found


@dataclasses.dataclass(frozen=True)
class Scenario:
    """How interpreters come and go in a process of its own."""

    count: int      # of interpreters
    how: str        # the check runs in them 'in turn' or 'in parallel'
    order: str      # in which they are closed
    main: str       # when main imports the package and runs the check

    def __str__(self):
        if not self.count:
            return 'main only'
        how = f' {self.how}' if self.count > 1 else ''
        return f'{self.count}{how}, closed {self.order}, main {self.main}'


# The check itself, without any other interpreter: if this fails the rest says nothing.
MAIN_ONLY = Scenario(0, 'in turn', 'creation', 'before')

# Closed when its own check is done; in order of creation, reverse or random; by the exit.
ORDERS = ('at once', 'creation', 'reverse', 'random', 'at exit')


def all_scenarios(counts):
    found = [MAIN_ONLY]
    for count in counts:
        # One interpreter does not know how the others do it.
        found += itertools.starmap(Scenario, itertools.product(
            [count], ('in turn', 'in parallel') if count > 1 else ('in turn',),
            ORDERS if count > 1 else ('creation', 'at exit'), ('never', 'before', 'after')))
    return found


def pairs(counts):
    """A few scenarios in which each pair of choices comes up that does in any."""
    def pairs_of(scenario):
        return set(itertools.combinations(dataclasses.astuple(scenario), 2))

    rest = all_scenarios(counts)
    missing = set().union(*map(pairs_of, rest))
    chosen = []
    while missing:
        best = max(rest, key=lambda scenario: len(pairs_of(scenario) & missing))
        chosen.append(best)
        missing -= pairs_of(best)
    return sorted(chosen, key=rest.index)


def main_only(counts):
    """Whether the checks themselves are right."""
    return [MAIN_ONLY]


def few(counts):
    """The least that says something."""
    return [MAIN_ONLY, *(Scenario(max(counts), 'in parallel', 'random', main)
                         for main in ('never', 'before'))]


SELECTIONS = {'main': main_only, 'few': few, 'pairs': pairs, 'all': all_scenarios}
