"""Work shared over threads; the kernels below release the GIL.

Threads are plain ones. No kernel is parallel by itself, so Numba never starts threads of its own:
its OpenMP layer spins where cores are taken, and a lock that it shares with forked processes stays
locked for ever where one of them is killed.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import Barrier, Lock, local

import numba

from bitpim_traces.whole_file import signals_held

__all__ = ["available_threads", "by_sample", "run_all", "share_out", "thread_limit", "use_threads"]


class _Limit(local):
    """Over how many threads each thread may share its work; all there are, unless it was told."""

    def __init__(self) -> None:
        self.n = int(numba.config.NUMBA_NUM_THREADS)


_limit = _Limit()


def available_threads() -> int:
    """Return on how many processors this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_threads(n: int) -> None:
    """Let the calling thread share its work over up to n, no more than NUMBA_NUM_THREADS."""
    _limit.n = max(1, min(n, int(numba.config.NUMBA_NUM_THREADS)))


def thread_limit() -> int:
    """Return over how many threads the calling thread may share its work."""
    return _limit.n


@cache
def _pool(n_threads: int, process_id: int) -> ThreadPoolExecutor:
    """Return threads that share no work of their own: none waits for another, so none hangs.

    All are started here, and signals held meanwhile: a thread that an interrupt takes from its pool
    as it starts would never be told to end, and the process would wait for it for ever.
    """
    with signals_held():
        pool = ThreadPoolExecutor(n_threads, "bitpim", initializer=use_threads, initargs=(1,))
        all_there = Barrier(n_threads)
        try:
            for thread in [pool.submit(all_there.wait) for _ in range(n_threads)]:
                thread.result()
        except BaseException:
            all_there.abort()
            raise
    return pool


def share_out(n: int, work: Callable[[int, int], None], n_threads: int | None = None) -> None:
    """Call ``work(start, stop)`` on contiguous shares of 0..n, one a thread, and wait.

    As many threads as `thread_limit`, or `n_threads`. The first share runs in the calling thread.
    An error of any share is raised here, after all have ended.
    """
    n_threads = thread_limit() if n_threads is None else n_threads
    n_shares = max(1, min(n_threads, n))
    edges = [n * i // n_shares for i in range(n_shares + 1)]
    if n_shares == 1:
        work(0, n)
        return
    pool = _pool(n_shares - 1, os.getpid())  # a fork inherits no threads
    pending = [pool.submit(work, start, stop) for start, stop in pairwise(edges[1:])]
    try:
        work(edges[0], edges[1])
    finally:
        errors = [task.exception() for task in pending]
    for error in errors:
        if error is not None:
            raise error


def by_sample(n_samples: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(start, stop)`` on shares of samples, one a thread, each on that thread alone.

    Fewer samples than threads are one share, whose own work may be shared out.
    """
    limit = thread_limit()
    if n_samples < limit or limit == 1:
        work(0, n_samples)
        return

    def alone(start: int, stop: int) -> None:
        before = thread_limit()
        use_threads(1)
        try:
            work(start, stop)
        finally:
            use_threads(before)

    share_out(n_samples, alone)


def run_all(jobs: Iterable[Callable[[], object]]) -> None:
    """Run jobs of unequal length, each in the next of `thread_limit` threads to be free, and wait.

    Jobs are drawn one by one, so they may be made as they are needed. After an error no further
    job begins; it is raised here when those that run have ended.
    """
    waiting = iter(jobs)
    lock = Lock()

    def draw() -> Callable[[], object] | None:
        with lock:
            return next(waiting, None)

    def run(_: int, __: int) -> None:
        nonlocal waiting
        try:
            while (job := draw()) is not None:
                job()
        except BaseException:
            with lock:
                waiting = iter(())
            raise

    n_threads = thread_limit()
    share_out(n_threads, run, n_threads)
