"""What channels.py, messages.py, sharing.py and extensions.py are made of.

command      what these programs have in common
catalogue    which measurements there are, and who takes part in each
runner       runs them, each sample set in a process of its own
programs     how the peers that are not Python programs are found and compiled
processes    runs one child process, with a time-out
child        the program that measures whatever Python can do, by itself and its peers
transports   what a message goes through, and who is at its two ends
loops        what runs at these ends
figures      medians, percentiles, ratios
report       the text tables and the JSON file
copies       the program that copies an object in several ways, for messages.py
objects      what it copies
handles      the program that hands memory over in several ways, for sharing.py
sums         the program that goes through memory, alone or two at a time, for sharing.py
locks        the program that takes and releases locks, for sharing.py
far_ends     what runs at the other ends, in interpreters, threads and processes, of these
groups       measurements that one program makes together, for sharing.py and extensions.py
small_arrays the program that loops over small arrays, alone or two at a time, for extensions.py
new_workers  the program that waits for the first results of workers, for extensions.py
arrays       what these two do with numpy
imports      the program that imports packages once more, for extensions.py
unused       the program that compares with stock what uses nothing of ours, for extensions.py

For channels.py, every program, child and the ones in peers/ alike, is run as

    PROGRAM FLAVOUR CAPACITY MODE NUMBER...

and prints its samples, one positive number a line.  The modes, with their
numbers and the unit of the samples:

hot WARMUP BATCHES BATCH PLACE
    us for a round trip, the mean of each batch
parked WARMUP COUNT PAUSE_US HOLD_US PLACE
    us for each round trip; loops.ping_parked() defines it
one_way SENDERS RECEIVERS MESSAGES
    us for each message, once
drained SENDERS RECEIVERS MESSAGES
    the same with receivers that use drain()
pairs PAIRS MESSAGES
    us for each message of all pairs together, once
blocked MS
    ms of CPU time of the thread that is blocked, once
blocked_process MS
    ms of CPU time of its whole process, once
channels HELD COUNT
    bytes of memory for each channel, once
messages HELD COUNT
    bytes of memory for each message, once

CAPACITY is a number of messages or `none`; programs without such a setting
ignore it.  PLACE is one of the numbers in loops; programs that cannot choose
their processors are only run with ANYWHERE.  What WARMUP counts is done first
and not among the samples; one_way, drained and pairs do a tenth of their
messages first.  Of HELD channels, or messages in another channel, nothing is
counted: they are made first, and kept, to use up the memory that the process
has free without returning it.  A program that finds that this machine lacks
what it needs says so on stderr and ends with status child.UNAVAILABLE.
"""
