"""A batch shared out over threads; the kernels below release the GIL."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numba

__all__ = ["share_out", "use_threads"]


@cache
def _pool(n_threads: int, process_id: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="bitpim")


def use_threads(n: int) -> None:
    """Let `share_out` of this thread use up to n threads, as far as Numba was given them."""
    numba.set_num_threads(max(1, min(n, numba.config.NUMBA_NUM_THREADS)))


def share_out(n: int, work: Callable[[int, int], None], n_threads: int | None = None) -> None:
    """Call ``work(start, stop)`` on contiguous shares of 0..n, one a thread, and wait.

    As many threads as `use_threads` allowed, or `n_threads`.

    The first share runs in the calling thread. An error of any share is raised here, after all
    have ended.
    """
    n_threads = numba.get_num_threads() if n_threads is None else n_threads
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
