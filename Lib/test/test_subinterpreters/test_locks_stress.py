"""Locks, semaphores, conditions, barriers and events under contention.

Every success is counted twice, by who had it and in what the lock guards.  Threads
of up to eight interpreters have short timeouts, are interrupted, and are in
interpreters that are closed.
"""

import collections
import random
import threading
import unittest

import interpreters
from interpreters import (
    Barrier, BoundedSemaphore, Condition, Event, Lock, OwnerDiedError, RLock, Semaphore,
    atomic_load, atomic_store)
from test import support
from test.test_subinterpreters.support import TestCase, by_code, wait_until


def rounds(default):
    """How many rounds of something where it is `default` in a release build."""
    if support.use_resources is not None and support.is_resource_enabled('cpu'):
        default *= 100
    if support.Py_DEBUG:
        default //= 4
    if support.check_sanitizer(address=True, memory=True, ub=True, thread=True):
        default //= 4
    return max(default, 2)


def timeouts(*which):
    """Return a hundred in random order; None stands for no limit.

    Importing random takes an interpreter longer than many a test does.
    """
    return [t and random.random() * t for t in random.choices(which, k=100)]


# ---- what is counted -------------------------------------------------------------
#
# Elements of shared memory.  GUARDED is what a lock guards; each thread counts what it
# got in an element of its own, from OWN on.  In the body of a `with` that calls nothing
# and does not loop, no interruption is raised, so both are changed or neither is.

GUARDED, INSIDE, BAD, STOP, OWN = range(5)
NUMBERS = 64

TYPES = Lock, RLock, Condition, lambda: Condition(Lock()), Semaphore, BoundedSemaphore


@by_code
def use_impatiently(lock, numbers, first, threads, times, timeouts, timed_out):
    """Acquire and release in several threads."""
    import itertools
    import threading

    def use(i):
        own = first + i
        limits = itertools.cycle(timeouts[10 * i:] + timeouts[:10 * i])
        # Whoever started this has the lock until all know that time can be up.
        assert not lock.acquire(timeout=1e-3)
        timed_out.release()
        done = 0
        while done < times:
            timeout = next(limits)
            if timeout is None:
                got = lock.acquire()
            elif timeout == 0:
                got = lock.acquire(False)
            else:
                got = lock.acquire(timeout=timeout)
            if not got:
                continue
            if numbers[1]:                      # INSIDE
                numbers[2] += 1                 # BAD
            numbers[1] = own
            numbers[0] += 1                     # GUARDED
            numbers[own] += 1
            if done % 8 == 0:
                for _ in range(2000):
                    pass                        # let the time of others be up
            if numbers[1] != own:
                numbers[2] += 1
            numbers[1] = 0
            lock.release()
            done += 1

    running = [threading.Thread(target=use, args=(i,)) for i in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


@by_code
def use_until_interrupted(lock, numbers, own):
    while True:
        with lock:
            if numbers[1]:
                numbers[2] += 1
            numbers[1] = own
            numbers[0] += 1
            numbers[own] += 1
            if numbers[1] != own:
                numbers[2] += 1
            numbers[1] = 0


@by_code
def use_until_stopped(lock, numbers, own, told, times):
    """Use it a number of times at most; count the deaths of owners in `told`."""
    from interpreters import InterpreterError, OwnerDiedError, atomic_load
    for _ in range(times):
        if atomic_load(numbers, 3):              # STOP
            break
        try:
            with lock:
                if numbers[1]:
                    numbers[2] += 1
                numbers[1] = own
                numbers[0] += 1
                numbers[own] += 1
                numbers[1] = 0
        except OwnerDiedError:
            numbers[told] += 1
        except InterpreterError:                # this one is being closed
            break


class LockStressTestCase(TestCase):

    def setUp(self):
        super().setUp()
        self.numbers = memoryview(bytearray(8 * NUMBERS)).cast('q')

    def stop(self):
        atomic_store(self.numbers, STOP, 1)

    def check_numbers(self, lock, owns):
        counts = self.numbers.tolist()
        self.assertEqual(counts[BAD], 0)
        self.assertEqual(counts[INSIDE], 0)
        self.assertEqual(counts[GUARDED], sum(counts[own] for own in owns))
        self.check_free(lock)
        return counts[GUARDED]

    def check_free(self, lock, value=1):
        """Nobody waits, and it can be acquired so often."""
        self.assertEqual(lock._waiting, 0)
        if isinstance(lock, (RLock, Condition)):
            self.assertFalse(lock.locked())
        else:
            got = [lock.acquire(False) for _ in range(value + 1)]
            self.assertEqual(got, [True] * value + [False])
            for _ in range(value):
                lock.release()


class ExclusionStressTests(LockStressTestCase):

    THREADS = 2                 # in each interpreter

    def check(self, interps):
        for type in TYPES:
            lock = type()
            with self.subTest(lock):
                self.numbers = memoryview(bytearray(8 * NUMBERS)).cast('q')
                times = rounds(50)
                timed_out = Semaphore(0)
                lock.acquire()
                futures = [self.create().submit(
                               use_impatiently, lock, self.numbers,
                               OWN + i * self.THREADS, self.THREADS, times,
                               timeouts(None, 0, 1e-5, 1e-4, 1e-4, 1e-4), timed_out)
                           for i in range(interps)]
                for _ in range(interps * self.THREADS):
                    timed_out.acquire()
                lock.release()
                for future in futures:
                    future.result()
                owns = range(OWN, OWN + interps * self.THREADS)
                used = self.check_numbers(lock, owns)
                self.assertEqual(used, interps * self.THREADS * times)

    def test_two_interpreters(self):
        self.check(2)

    def test_four_interpreters(self):
        self.check(4)

    def test_eight_interpreters(self):
        self.check(8)


class InterruptStressTests(LockStressTestCase):

    def interrupt(self, interp, future):
        while not interp.interrupt():       # it has not begun yet
            self.assertFalse(future.done())
        with self.assertRaises(KeyboardInterrupt):
            future.result()

    def test_users_are_interrupted(self):
        N = 4
        for type in TYPES:
            lock = type()
            with self.subTest(lock):
                self.numbers = memoryview(bytearray(8 * NUMBERS)).cast('q')

                def use(interp, own):
                    return interp.submit(use_until_interrupted, lock,
                                         self.numbers, own)

                users = [(self.create(), OWN + i) for i in range(N)]
                futures = [use(*user) for user in users]
                for _ in range(rounds(40)):
                    i = random.randrange(N)
                    self.interrupt(users[i][0], futures[i])
                    futures[i] = use(*users[i])
                for (interp, _), future in zip(users, futures):
                    self.interrupt(interp, future)
                self.check_numbers(lock, range(OWN, OWN + N))

    def check_calls(self, lock, permits, interps=4):
        """acquire() is the whole call, so that what it returns is known for sure."""
        acquire = type(lock).acquire
        mutex = threading.Lock()
        inside = 0
        counts = collections.Counter()

        def use(interp, rng):
            nonlocal inside
            for _ in range(rounds(60)):
                timeout = rng.choice((0, 1e-5, 1e-4, 1e-3, None))
                args = () if timeout is None else (True, timeout)
                future = interp.submit(acquire, lock, *args)
                if timeout is None or rng.randrange(2):
                    for _ in range(rng.randrange(300)):
                        pass
                    interp.interrupt()
                try:
                    got = future.result()
                except KeyboardInterrupt:
                    got = 'interrupted'
                with mutex:
                    counts[got] += 1
                    if got is not True:
                        continue
                    inside += 1
                    if inside > permits:
                        counts['too many'] += 1
                for _ in range(rng.randrange(300)):
                    pass
                with mutex:
                    inside -= 1
                lock.release()

        results = [self.start(use, self.create(), random.Random(i))
                   for i in range(interps)]
        for result in results:
            result()
        self.assertEqual(counts['too many'], 0)
        self.assertEqual(counts.total(), interps * rounds(60))
        self.assertGreater(counts[True], 0)
        self.check_free(lock, permits)

    def test_calls_of_acquire_are_interrupted(self):
        self.check_calls(Lock(), 1)
        self.check_calls(Semaphore(1), 1)
        self.check_calls(BoundedSemaphore(3), 3)


class OwnerDiedStressTests(LockStressTestCase):
    """Interpreters are closed that own the lock, or wait for it, or both."""

    SURVIVORS = 3
    THREADS = 2                 # that are left waiting in the interpreter that is closed

    START = '''if True:
        import threading
        threads = [threading.Thread(target=use, args=(lock, numbers, own + i, told + i, 300))
                   for i in range(n)]
        for thread in threads:
            thread.start()
        '''

    def check(self, type, owning):
        lock = type()
        self.numbers = memoryview(bytearray(8 * NUMBERS)).cast('q')
        numbers = self.numbers
        TOLD = OWN + 20
        n = self.SURVIVORS
        futures = [self.create().submit(use_until_stopped, lock, numbers, OWN + i,
                                        TOLD + i, 10**9) for i in range(n)]
        self.addCleanup(self.stop)
        died = told = 0
        for _ in range(rounds(5)):
            interp = self.create()
            interp.prepare_main(use=use_until_stopped, lock=lock, numbers=numbers,
                                own=OWN + n, told=TOLD + n, n=self.THREADS)
            interp.exec(self.START)
            while owning:
                try:
                    interp.call(type.acquire, lock)
                except interpreters.ExecutionFailed as exc:
                    self.assertIsInstance(exc.exception, OwnerDiedError)
                    told += 1
                else:
                    died += 1
                    break
            interp.close()
        self.stop()
        for future in futures:
            future.result()
        try:
            lock.acquire()
        except OwnerDiedError:
            told += 1
        else:
            lock.release()
        used = self.check_numbers(lock, range(OWN, OWN + n + self.THREADS))
        self.assertGreater(used, 0)
        told += sum(self.numbers.tolist()[TOLD:])
        self.assertEqual(told, died)

    def test_owners_are_closed(self):
        for type in Lock, RLock:
            with self.subTest(type):
                self.check(type, owning=True)

    def test_interpreters_that_wait_are_closed(self):
        for type in Lock, RLock:
            with self.subTest(type):
                self.check(type, owning=False)


class ReleaseWhileClosingTests(TestCase):
    """A thread releases an RLock while the interpreter is closed where it acquired it.

    Either it succeeds, or the first of those that wait is told; in any case the next
    one has the lock to itself.
    """

    def race(self, fillers):
        @by_code
        def acquire_all(locks):
            for lock in locks:
                lock.acquire()

        # They are given up in order.  So the first tells when it is nearly the last's turn.
        locks = [RLock() for _ in range(fillers + 2)]
        first, lock = locks[0], locks[-1]
        interp = self.create()
        acquired = threading.Event()

        def release():
            interp.call(acquire_all, locks)
            acquired.set()
            is_first_locked, release = first.locked, lock.release
            while is_first_locked():
                pass
            try:
                release()
            except RuntimeError:
                return 'refused'
            return 'released'

        def use():
            try:
                lock.acquire()
            except OwnerDiedError:
                return 'told'
            if not lock._is_owned() or not lock.locked():
                return 'lost'
            lock.release()
            return 'used'

        releasing = self.start(release)
        acquired.wait()
        using = []
        for i in range(2):
            using.append(self.start(use))
            while lock._waiting <= i:
                pass
        interp.close()
        self.assertIn((releasing(), *[result() for result in using]),
                      [('released', 'used', 'used'), ('refused', 'told', 'used')])
        self.assertFalse(lock.locked())

    def test_rlock(self):
        for _ in range(rounds(100)):
            self.race(random.randrange(6))

    def test_rlock_that_its_owner_acquires_again(self):
        @by_code
        def acquire(lock):
            lock.acquire()

        def acquire_again():
            interp.call(acquire, lock)
            acquired.set()
            acquire_lock, release = lock.acquire, lock.release
            while not closed:
                if acquire_lock(False):
                    try:
                        release()
                    except RuntimeError:
                        pass                # lost it meanwhile

        def use():
            try:
                lock.acquire()
            except OwnerDiedError:
                return 'told'
            count = lock._recursion_count()
            lock.release()
            return count

        for _ in range(rounds(50)):
            lock = RLock()
            interp = self.create()
            acquired = threading.Event()
            closed = False
            owning = self.start(acquire_again)
            acquired.wait()
            using = []
            for i in range(2):
                using.append(self.start(use))
                while lock._waiting <= i:
                    pass
            interp.close()
            results = [result() for result in using]
            closed = True
            owning()
            self.assertEqual(results, ['told', 1])
            self.assertFalse(lock.locked())

    def test_rlock_that_is_acquired_at_once(self):
        # Locks are given up one after the other; who follows acquires each as soon as
        # its owner's death was told, and stays its owner.
        @by_code
        def acquire_all(locks):
            for lock in locks:
                lock.acquire()

        def follow(locks):
            told = 0
            for lock in locks:
                acquire = lock.acquire
                while True:
                    try:
                        if acquire(False):
                            break
                    except OwnerDiedError:
                        told += 1
            return told

        for _ in range(rounds(20)):
            locks = [RLock() for _ in range(2000)]
            interp = self.create()
            interp.call(acquire_all, locks)
            owned = []

            def run():
                told = follow(locks)
                for lock in locks:
                    owned.append(lock._is_owned())
                    if owned[-1]:
                        lock.release()
                return told

            following = self.start(run)
            interp.close()
            self.assertEqual(following(), len(locks))
            self.assertEqual(owned.count(False), 0)


class SemaphoreStressTests(LockStressTestCase):

    def check(self, interps, permits):
        @by_code
        def use(sem, numbers, permits, times, timeouts, timed_out):
            import itertools
            import threading
            from interpreters import atomic_add, atomic_sub

            def use(limits):
                assert not sem.acquire(timeout=1e-3)
                timed_out.release()
                done = 0
                while done < times:
                    if not sem.acquire(timeout=next(limits)):
                        continue
                    if atomic_add(numbers, 1, 1) >= permits:     # INSIDE
                        atomic_add(numbers, 2, 1)                # BAD
                    if done % 8 == 0:
                        for _ in range(2000):
                            pass
                    atomic_sub(numbers, 1, 1)
                    sem.release()
                    done += 1

            threads = [threading.Thread(target=use, args=(itertools.cycle(half),))
                       for half in (timeouts[:50], timeouts[50:])]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        for type in Semaphore, BoundedSemaphore:
            self.numbers[INSIDE] = 0
            sem = type(permits)
            for _ in range(permits):
                sem.acquire()
            timed_out = Semaphore(0)
            futures = [self.create().submit(use, sem, self.numbers, permits, rounds(100),
                                            timeouts(0, 1e-5, 1e-4, None), timed_out)
                       for _ in range(interps)]
            for _ in range(2 * interps):
                timed_out.acquire()
            sem.release(permits)
            for future in futures:
                future.result()
            self.assertEqual(self.numbers[BAD], 0)
            self.assertEqual(self.numbers[INSIDE], 0)
            self.check_free(sem, permits)
            if type is BoundedSemaphore:
                with self.assertRaises(ValueError):
                    sem.release()

    def test_two_interpreters(self):
        self.check(2, 1)

    def test_eight_interpreters(self):
        self.check(8, 3)

    def test_given_and_taken(self):
        # Who gives and who takes differ; several permits are given at once.
        @by_code
        def take(sem, times, timeouts):
            import itertools
            taken = 0
            limits = itertools.cycle(timeouts)
            while taken < times:
                taken += sem.acquire(timeout=next(limits))
            return taken

        sem = Semaphore(0)
        times = rounds(1000)
        futures = [self.create().submit(take, sem, times, timeouts(1e-5, None, None))
                   for _ in range(4)]
        left = 4 * times
        while left:
            n = min(random.randrange(1, 8), left)
            sem.release(n)
            left -= n
            for _ in range(random.randrange(5000)):
                pass                    # let them wait again
        self.assertEqual([future.result() for future in futures], [times] * 4)
        self.check_free(sem, 0)

    def test_interpreters_that_wait_are_closed(self):
        # No permit goes to a thread that cannot use it any more.
        @by_code
        def start(sem, numbers, own, n):
            import threading
            from interpreters import InterpreterError, atomic_add

            def take():
                try:
                    while True:
                        sem.acquire()
                        atomic_add(numbers, own, 1)
                except InterpreterError:
                    pass

            for _ in range(n):
                threading.Thread(target=take).start()

        sem = Semaphore(0)
        released = 0
        closed = threading.Event()

        def release():
            # One after the other, so that the threads wait in between.
            nonlocal released
            while not closed.is_set():
                sem.release()
                released += 1
                while not closed.is_set() and atomic_load(self.numbers, OWN) < released:
                    pass

        for _ in range(rounds(10)):
            interp = self.create()
            interp.call(start, sem, self.numbers, OWN, 3)
            closed.clear()
            enough = released + random.randrange(1, 10)
            releasing = self.start(release)
            while released < enough:
                pass
            interp.close()
            closed.set()
            releasing()
        self.check_free(sem, released - self.numbers[OWN])


class ConditionStressTests(LockStressTestCase):

    # What the condition's lock guards.
    WOKEN, PATIENT, END = OWN, OWN + 1, OWN + 2

    def check(self, make, disturb):
        """Each notification ends exactly one wait.

        Some waits have no timeout and are not disturbed.  There are never more
        notifications on their way than such waits.
        """
        @by_code
        def wait_patiently(condition, numbers):
            with condition:
                while not numbers[6]:           # END
                    numbers[5] += 1             # PATIENT
                    assert condition.wait()
                    numbers[5] -= 1
                    numbers[4] += 1             # WOKEN

        @by_code
        def wait_impatiently(condition, numbers, timeouts):
            import itertools
            limits = itertools.cycle(timeouts)
            with condition:
                while not numbers[6]:
                    if condition.wait(next(limits)):
                        numbers[4] += 1

        condition = make()
        self.numbers = memoryview(bytearray(8 * NUMBERS)).cast('q')
        numbers = self.numbers
        futures = [self.create().submit(wait_patiently, condition, numbers)
                   for _ in range(2)]
        # Several in one interpreter, so that a wait that was given up ends late: a
        # notification may come in between.
        for interp in self.create(), self.create():
            futures += [interp.submit(wait_impatiently, condition, numbers,
                                      timeouts(1e-5, 1e-4)) for _ in range(3)]
        stop = threading.Event()
        disturbing = self.start(disturb, condition, numbers, stop)
        sent = 0

        def notify(most):
            nonlocal sent
            with condition:
                # Those that were woken and have not come back yet count as waiting.
                n = min(numbers[self.PATIENT] - (sent - numbers[self.WOKEN]), most)
                if n > 0:
                    condition.notify(n)
                    sent += n
            return n

        def all_came():
            with condition:
                return numbers[self.WOKEN] == sent and numbers[self.PATIENT] == 2

        try:
            while sent < rounds(1000):
                for _ in support.busy_retry(support.LONG_TIMEOUT):
                    if notify(random.randrange(1, 4)) > 0:
                        break
            stop.set()
            disturbing()
            wait_until(all_came)
        finally:
            stop.set()
            with condition:
                numbers[self.END] = 1
                condition.notify_all()
        for future in futures:
            future.result()
        self.check_free(condition)

    def test_timeouts(self):
        def disturb(condition, numbers, stop):
            pass

        for make in Condition, lambda: Condition(Lock()):
            self.check(make, disturb)

    def test_interrupts(self):
        # wait() is the whole call, so that what it returns is known for sure.  The
        # lock is not a recursive one: others may acquire and release it for the call.
        def disturb(condition, numbers, stop):
            interp = self.create()
            while not stop.is_set():
                condition.acquire()
                future = interp.submit(Condition.wait, condition)
                for _ in range(random.randrange(1000)):
                    pass
                while not interp.interrupt() and not future.done():
                    pass
                try:
                    woken = future.result()
                except KeyboardInterrupt:
                    woken = False
                numbers[self.WOKEN] += woken
                condition.release()

        self.check(lambda: Condition(Lock()), disturb)

    def test_interpreters_that_wait_are_closed(self):
        @by_code
        def start(condition, numbers, n):
            import threading
            from interpreters import InterpreterError

            def wait():
                try:
                    with condition:
                        while True:
                            condition.wait()
                            numbers[4] += 1         # WOKEN
                except InterpreterError:
                    pass

            for _ in range(n):
                threading.Thread(target=wait).start()

        def disturb(condition, numbers, stop):
            while not stop.is_set():
                with interpreters.create() as interp:
                    interp.call(start, condition, numbers, 3)

        for make in Condition, lambda: Condition(Lock()):
            self.check(make, disturb)


class BarrierStressTests(TestCase):

    ARRIVALS = 10               # of each party in a call

    def let_go_on(self, leave, done):
        """Break the waits of those whose partners have done all they had to."""
        def all_done():
            if any(one() for one in done):
                leave()
            return all(one() for one in done)

        wait_until(all_done)

    def check_timeouts(self, interps):
        """All of a round pass, each with a number of its own, or none does."""
        @by_code
        def arrive(barrier, timeouts):
            import threading
            passed = [0] * barrier.parties
            broken = 0
            for timeout in timeouts:
                try:
                    passed[barrier.wait(timeout)] += 1
                except threading.BrokenBarrierError:
                    broken += 1
                    barrier.reset()
            return passed, broken

        barrier = Barrier(interps)
        passed = [0] * interps
        broken = 0
        workers = [self.create() for _ in range(interps)]
        for i in range(rounds(20)):
            which = [None] if i % 3 == 0 else [1e-3]
            futures = [worker.submit(arrive, barrier, timeouts(*which)[:self.ARRIVALS])
                       for worker in workers]
            self.let_go_on(barrier.reset, [future.done for future in futures])
            for future in futures:
                numbers, times = future.result()
                passed = [a + b for a, b in zip(passed, numbers)]
                broken += times
        self.assertEqual(passed, [passed[0]] * interps)
        self.assertGreater(passed[0], 0)
        self.assertEqual(sum(passed) + broken, rounds(20) * self.ARRIVALS * interps)
        self.assertEqual(barrier.n_waiting, 0)

    def test_two_interpreters(self):
        self.check_timeouts(2)

    def test_eight_interpreters(self):
        self.check_timeouts(8)

    def test_parties_are_interrupted(self):
        # Who is interrupted may have been one of a round that others passed.
        N = 4
        barrier = Barrier(N)
        times = rounds(50)

        def arrive(interp, rng):
            counts = collections.Counter()
            for _ in range(times):
                future = interp.submit(Barrier.wait, barrier)
                if rng.randrange(4) == 0:
                    for _ in range(rng.randrange(1000)):
                        pass
                    interp.interrupt()
                try:
                    counts[future.result()] += 1
                except KeyboardInterrupt:
                    counts['interrupted'] += 1
                except threading.BrokenBarrierError:
                    counts['broken'] += 1
            return counts

        done = [0] * N

        def run(i):
            try:
                return arrive(self.interps[i], random.Random(i))
            finally:
                done[i] = 1

        self.interps = [self.create() for _ in range(N)]
        results = [self.start(run, i) for i in range(N)]
        self.let_go_on(barrier.abort, [lambda i=i: done[i] for i in range(N)])
        counts = sum((result() for result in results), collections.Counter())
        self.assertEqual(counts.total(), N * times)
        passed = [counts[i] for i in range(N)]
        self.assertGreater(max(passed), 0)
        self.assertLessEqual(sum(max(passed) - n for n in passed), counts['interrupted'])
        self.assertEqual(barrier.n_waiting, 0)


class EventStressTests(LockStressTestCase):

    SETTING, CLEARED, IS_SET = OWN, OWN + 1, OWN + 2

    def check(self, interps):
        @by_code
        def wait(event, seen, numbers, times, timeouts):
            """See each setting; return what cannot be."""
            import itertools
            from interpreters import atomic_load
            limits = itertools.cycle(timeouts)
            bad = []
            last = 0
            while last < times:
                cleared = atomic_load(numbers, 5)        # CLEARED
                since = atomic_load(numbers, 6)          # IS_SET
                timeout = next(limits)
                got = event.wait(timeout)
                setting = atomic_load(numbers, 4)        # SETTING
                if got and setting <= cleared:
                    bad.append('went on, though it was not set')
                if not got and timeout is None:
                    bad.append('time was up, though there was none')
                if not got and since and atomic_load(numbers, 6) == since:
                    bad.append('time was up, though it was set')
                if got and setting > last:
                    last = setting
                    seen.release()
            return bad

        event, seen = Event(), Semaphore(0)
        times = max(rounds(800) // interps**2, 5)
        self.numbers = memoryview(bytearray(8 * NUMBERS)).cast('q')
        futures = [self.create().submit(wait, event, seen, self.numbers, times,
                                        timeouts(None, 0, 1e-5, 1e-4, 1e-3))
                   for _ in range(interps)]
        for i in range(1, times + 1):
            atomic_store(self.numbers, self.SETTING, i)
            event.set()
            atomic_store(self.numbers, self.IS_SET, i)
            for _ in range(interps):
                seen.acquire()
            atomic_store(self.numbers, self.IS_SET, 0)
            event.clear()
            atomic_store(self.numbers, self.CLEARED, i)
        self.assertEqual([future.result() for future in futures], [[]] * interps)
        self.assertEqual(event._waiting, 0)

    def test_two_interpreters(self):
        self.check(2)

    def test_eight_interpreters(self):
        self.check(8)

    def test_waits_are_interrupted(self):
        # Whether or not they are, the next setting is seen by all that wait then.
        event = Event()
        interps = [self.create() for _ in range(4)]
        for _ in range(rounds(50)):
            futures = [interp.submit(Event.wait, event) for interp in interps]
            for _ in range(random.randrange(1000)):
                pass
            setting = self.start(event.set)
            for interp in interps[::2]:
                interp.interrupt()
            setting()
            for i, future in enumerate(futures):
                try:
                    self.assertIs(future.result(), True)
                except KeyboardInterrupt:
                    self.assertEqual(i % 2, 0)
            self.assertEqual(event._waiting, 0)
            event.clear()


if __name__ == '__main__':
    unittest.main()
