"""Memory that a process uses.  Programs of tests begin with this text: it is not imported."""

import ctypes


class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        'arena', 'ordblks', 'smblks', 'hblks', 'hblkhd', 'usmblks', 'fsmblks', 'uordblks',
        'fordblks', 'keepcost')]


mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Mallinfo


def memory():
    """Bytes that are mapped, but for free ones of malloc(), and the number of mappings."""
    with open('/proc/self/smaps') as f:
        sizes = [int(line.split()[1]) * 1024 for line in f if line.startswith('Size:')]
    info = mallinfo()
    return sum(sizes) - info.arena + info.uordblks, len(sizes)


def growth(n, cycle, *args):
    """Of the memory, per call of cycle(*args)."""
    for _ in range(5):
        cycle(*args)
    before = memory()
    for _ in range(n):
        cycle(*args)
    return [(after - before) / n for before, after in zip(before, memory())]
