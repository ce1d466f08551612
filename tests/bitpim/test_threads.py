"""Work shared over threads: all of it, once, on no more threads than allowed."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import thread as executor
from functools import partial
from time import sleep

import numba
import numpy as np
import pytest

from bitpim import threads
from bitpim.threads import (
    available_threads,
    by_sample,
    run_all,
    share_out,
    thread_limit,
    use_threads,
)


@pytest.fixture(autouse=True, params=[1, 2])
def limit(request: pytest.FixtureRequest) -> Iterator[int]:
    before = thread_limit()
    use_threads(request.param)
    yield request.param
    use_threads(before)


def test_the_limit_is_at_least_one_and_at_most_numbas() -> None:
    for asked, granted in ((0, 1), (1, 1), (10_000, numba.config.NUMBA_NUM_THREADS)):
        use_threads(asked)
        assert thread_limit() == granted


@pytest.mark.parametrize("n_threads", [None, 3])
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_shares_cover_the_range_once(n: int, n_threads: int | None) -> None:
    seen = np.zeros(n, int)

    def work(start: int, stop: int) -> None:
        seen[start:stop] += 1

    share_out(n, work, n_threads)
    assert (seen == 1).all()


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_samples_are_shared_to_threads_that_work_alone(n: int, limit: int) -> None:
    seen, limits = np.zeros(n, int), []

    def work(start: int, stop: int) -> None:
        seen[start:stop] += 1
        limits.append(thread_limit())

    by_sample(n, work)
    assert (seen == 1).all() and thread_limit() == limit
    assert limits == ([limit] if n < limit else [1] * limit)


def test_a_thread_that_worked_alone_has_its_limit_again(limit: int) -> None:
    def fail(start: int, stop: int) -> None:
        raise ArithmeticError("a share")

    with pytest.raises(ArithmeticError, match="a share"):
        by_sample(4, fail)
    assert thread_limit() == limit


def test_an_error_of_a_share_is_raised_when_all_have_ended() -> None:
    ended = []

    def fail(start: int, stop: int) -> None:
        if stop == 7:
            raise ArithmeticError("the last share")
        sleep(0.02)
        ended.append((start, stop))

    with pytest.raises(ArithmeticError, match="the last share"):
        share_out(7, fail, 3)
    assert sorted(ended) == [(0, 2), (2, 4)]


@pytest.mark.parametrize("n", [0, 1, 2, 25])
def test_every_job_is_run_once_on_no_more_threads_than_allowed(n: int, limit: int) -> None:
    done: list[int] = []
    threads = set()

    def job(i: int) -> Callable[[], None]:
        def run() -> None:
            threads.add(threading.get_ident())
            sleep(0.001)
            done.append(i)

        return run

    run_all(job(i) for i in range(n))
    assert sorted(done) == list(range(n))
    assert len(threads) <= min(limit, numba.config.NUMBA_NUM_THREADS)


def test_jobs_run_beside_each_other() -> None:
    use_threads(2)
    if thread_limit() < 2:
        pytest.skip("Numba was given one thread")
    began: list[int] = []
    used = time.process_time()

    def wait_for_the_other() -> None:
        began.append(threading.get_ident())
        while len(began) < 2:
            assert time.process_time() - used < 20, "the second job waits for the first to end"

    run_all([wait_for_the_other] * 2)
    assert len(set(began)) == 2


def test_no_job_begins_after_an_error() -> None:
    begun = []

    def job(i: int) -> None:
        begun.append(i)
        if i == 3:
            raise ArithmeticError("job 3")
        sleep(0.02)

    with pytest.raises(ArithmeticError, match="job 3"):
        run_all(partial(job, i) for i in range(100))
    assert 4 <= len(begun) < 50


def test_an_error_of_what_makes_the_jobs_is_raised() -> None:
    def jobs() -> Iterator[Callable[[], object]]:
        yield lambda: None
        raise ArithmeticError("no second job")

    with pytest.raises(ArithmeticError, match="no second job"):
        run_all(jobs())


def test_a_job_may_share_out_work_of_its_own() -> None:
    seen = np.zeros((4, 6), int)

    def job(i: int) -> None:
        def work(start: int, stop: int) -> None:
            seen[i, start:stop] += 1

        share_out(6, work)

    run_all(partial(job, i) for i in range(4))
    assert (seen == 1).all()


def test_no_thread_of_numba_is_started() -> None:
    """Its threads spin beside ours, and its lock outlives a forked process that is killed."""
    code = (
        "import numpy as np\n"
        "from numba.np.ufunc import parallel\n"
        "from bitpim.machine.registry import make_machine\n"
        "from bitpim_traces.synthetic import synthetic_network\n"
        "trace = synthetic_network('tiny')\n"
        "for name in ('neural_cache', 'sre'):\n"
        "    for fidelity in ('bit', 'integer'):\n"
        "        prepared = make_machine(name).prepare(trace, fidelity=fidelity, jobs=2)\n"
        "        list(prepared.run_batch(trace.samples.codes.read(0, 1)))\n"
        "assert not parallel._is_initialized\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_threads_there_are_include_the_one_that_asks() -> None:
    assert available_threads() >= 1


def test_a_signal_as_a_thread_starts_leaves_none_that_nobody_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread that its pool does not know is never told to end, and the process never ends."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        signal.raise_signal(signal.SIGINT)

    threads._pool.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job may have it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            share_out(3, lambda _start, _stop: None, 3)
    finally:
        signal.signal(signal.SIGINT, before)
    ours = [t for t in threading.enumerate() if t.name.startswith("bitpim")]
    assert all(thread in executor._threads_queues for thread in ours)
    monkeypatch.undo()
    seen = np.zeros(3, np.int64)

    def work(start: int, stop: int) -> None:
        seen[start:stop] += 1

    share_out(3, work, 3)
    assert seen.tolist() == [1, 1, 1]


def test_where_no_thread_starts_none_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    start, left = threading.Thread.start, [1]

    def scarce(thread: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(thread)

    threads._pool.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", scarce)
    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="can't start"):
        share_out(4, lambda _start, _stop: None, 4)
    for thread in set(threading.enumerate()) - before:  # idle: it ends when it is told to
        executor._threads_queues[thread].put(None)
        thread.join()
