"""The ways to configure the build, each in a folder of its own."""

import ctypes
import dataclasses
import os
import platform

from .errors import Stop


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to build: configure's flags, and the environment of what is built."""

    name: str
    summary: str
    flags: tuple = ()
    env: tuple = ()
    pristine: bool = False      # built from the release, without anything of ours
    fixed_addresses: bool = False  # cannot cope with much randomisation of addresses

    def wrapper(self):
        """A command to put before one that runs the built python, or nothing."""
        if self.fixed_addresses and _much_randomisation() and _may_set_personality():
            return ['setarch', platform.machine(), '--addr-no-randomize']
        return []


# The sanitizers' settings are those of upstream's own CI. A sanitizer that is
# told to stay out of SIGSEGV leaves faulthandler to its tests.
VARIANTS = {variant.name: variant for variant in (
    Variant('release', 'what users get'),
    Variant('debug', 'assertions, reference counts', ('--with-pydebug',)),
    Variant('asan', 'AddressSanitizer', ('--with-address-sanitizer', '--without-pymalloc'),
            (('ASAN_OPTIONS', 'detect_leaks=0:allocator_may_return_null=1:handle_segv=0'),),
            fixed_addresses=True),
    Variant('tsan', 'ThreadSanitizer', ('--with-thread-sanitizer', '--with-pydebug'),
            (('TSAN_OPTIONS', 'suppressions={src}/Tools/tsan/suppressions.txt:handle_segv=0'),),
            fixed_addresses=True),
    Variant('pgo', 'profile-guided and link-time optimised; takes half an hour',
            ('--enable-optimizations', '--with-lto')),
    Variant('nogil', 'free-threaded; the engine takes items of lists and dicts without locking them yet',
            ('--disable-gil',)),
    Variant('stock', 'the same release and flags as release, without Ensemble', pristine=True),
)}


def get(name):
    if name not in VARIANTS:
        raise Stop(f'there is no VARIANT {name!r}; choose from {", ".join(VARIANTS)}')
    return VARIANTS[name]


def _much_randomisation():
    """Whether the kernel spreads addresses wider than the sanitizers of older compilers expect."""
    try:
        with open('/proc/sys/vm/mmap_rnd_bits') as file:
            return int(file.read()) > 28
    except (FileNotFoundError, PermissionError):
        return False


def _may_set_personality():
    """Whether this process may turn off address randomisation (containers often may not)."""
    addr_no_randomize = 0x0040000
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ctypes.CDLL(None).personality(addr_no_randomize) != -1 else 1)
    return os.waitpid(pid, 0)[1] == 0
