"""Replays that are run to be killed; a module of its own, so that a forked process loads little."""

import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from bitpim.errors import ResultError
from bitpim.run import replay
from bitpim_traces.records import Trace
from tests.fakes import RefereeMachine
from tests.strategies import small_trace

__all__ = ["BATCH", "run_on_a_full_disk", "run_slowly", "run_until_call", "trace_to_kill"]

BATCH = 2


def trace_to_kill() -> Trace:
    return small_trace(9, n_samples=6, float_noise=True)


def run_slowly(out: Path, resume: bool) -> None:
    """Take long enough to be killed on the way."""
    machine = RefereeMachine(seconds_a_layer=0.003)
    replay(trace_to_kill(), machine, out, batch=BATCH, resume=resume)


def run_until_call(out: Path, fatal_call: int) -> None:
    """Die at the n-th system call that changes the disk, before it is made."""
    calls = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls == fatal_call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    trace = trace_to_kill()
    for name in ("fsync", "open"):
        setattr(os, name, counted(getattr(os, name)))
    for name in ("replace", "unlink", "open"):
        setattr(Path, name, counted(getattr(Path, name)))
    replay(trace, RefereeMachine(), out, batch=BATCH)


def run_on_a_full_disk(out: Path, n_bytes: int, answer: Connection) -> None:
    """Run where no file may grow beyond that size, and send what is said of it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    try:
        replay(trace_to_kill(), RefereeMachine(), out, batch=BATCH)
    except ResultError as error:
        answer.send(str(error))
