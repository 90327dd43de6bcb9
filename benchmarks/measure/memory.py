"""How much memory this process holds, on Linux with glibc."""


def held():
    """Bytes that this process has allocated, in whole pages.

    malloc() first returns the pages that it has free, as what is allocated from
    them later would not count.  How many those are depends on what the process
    did before: whether it had to compile the modules that it imported, for one.
    Code and other pages of files do not count either: the kernel drops and reads
    them as it likes.

    The kernel adds the pages up for this file; what it says elsewhere lags
    behind by what each processor has not reported yet.
    """
    import ctypes
    ctypes.CDLL(None).malloc_trim(0)
    return _bytes_in('Anonymous')


def private():
    """Bytes of the pages that this process has mapped, and no other one, also of files.

    A page that is mapped twice in this process does not count.  Nothing is imported for this.
    """
    return _bytes_in('Private_Clean', 'Private_Dirty')


def _bytes_in(*fields):
    """The sum of fields of the kernel's account of this process."""
    found = {}
    with open('/proc/self/smaps_rollup') as file:
        for line in file:
            name, _, value = line.partition(':')
            if name in fields:
                found[name] = int(value.split()[0]) * 1024
    if len(found) < len(fields):
        raise OSError('the kernel does not say how much memory the process holds')
    return sum(found.values())
