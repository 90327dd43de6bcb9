"""How much memory this process holds, on Linux with glibc."""

import ctypes

FIELD = 'Anonymous:'


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
    ctypes.CDLL(None).malloc_trim(0)
    with open('/proc/self/smaps_rollup') as file:
        for line in file:
            if line.startswith(FIELD):
                return int(line.removeprefix(FIELD).split()[0]) * 1024
    raise OSError('the kernel does not say how much memory the process holds')
