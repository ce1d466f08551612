"""Reads mutants in a process of its own, so that a crash, a hang or a hunger for memory is seen.

Run as `fuzz_worker.py ORIGINAL FOLDER START STOP`. Prints "start SEED" before and
"end SEED OUTCOME" after each mutant. A timer of processor time kills a process that takes too long,
so that a busy machine does not; one of the clock kills a process that sleeps.
"""

import faulthandler
import hashlib
import logging
import resource
import signal
import sys
import traceback
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bitpim_traces.check
import bitpim_traces.reader  # noqa: F401
from bitpim_traces import check_trace, open_trace
from bitpim_traces.errors import TraceError
from bitpim_traces.footer import FOOTER_BYTES
from bitpim_traces.records import TensorRecord
from tests.traces.mutants import checksummed_blocks, make_mutant

SECONDS_A_MUTANT = 10  # of the processor
SECONDS_ASLEEP = 120
MEMORY_BYTES = 1 << 30  # beyond what the imports took


def fingerprint(value: Any) -> str:
    """Digest every field and every tensor element of a trace."""
    running = hashlib.sha256()

    def take(item: Any) -> None:
        if isinstance(item, TensorRecord):
            take((item.shape, item.dtype.str, item.axes, item.units, item.role, item.read()))
        elif isinstance(item, np.ndarray):
            running.update(repr((item.shape, item.dtype.str)).encode() + item.tobytes())
        elif is_dataclass(item):
            for member in fields(item):
                take(getattr(item, member.name))
        elif isinstance(item, dict):
            take(sorted(item.items()))
        elif isinstance(item, (list, tuple)):
            running.update(str(len(item)).encode())
            for part in item:
                take(part)
        else:
            running.update(repr(item).encode())

    take(value)
    return running.hexdigest()


def outcome(path: Path, expected: str, *, may_differ: bool, thorough: bool) -> str:
    """Check one mutant, open it and read everything; say what came of it.

    Opening and checking run the same code, so that only some of the faulty ones are opened too.
    """
    faults = check_trace(path, deep=True)
    if faults and not thorough:
        return "refused"
    try:
        found = fingerprint(open_trace(path))
    except TraceError as error:
        return "refused" if "\n" not in str(error) else f"BAD message of two lines: {error!r}"
    if found == expected:
        return "same"
    if may_differ:
        return "other" if not faults else "faulty"
    return "BAD accepted with another content"


def limit_time() -> None:
    """Start both timers anew; the one that runs out says where the process was, and ends it."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS_A_MUTANT)
    signal.alarm(SECONDS_ASLEEP)


def main() -> None:
    original, folder = Path(sys.argv[1]), Path(sys.argv[2])
    logging.disable()
    for timer in (signal.SIGPROF, signal.SIGALRM):
        faulthandler.register(timer, chain=True)
    expected = fingerprint(open_trace(original))
    blocks = checksummed_blocks(original.read_bytes()[:-FOOTER_BYTES])
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    path = folder / f"mutant-{sys.argv[3]}.h5"
    for seed in range(int(sys.argv[3]), int(sys.argv[4])):
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("make", seed, flush=True)
        limit_time()
        path.unlink(missing_ok=True)  # HDF5 knows a file again by its inode
        may_differ = make_mutant(seed, original, path, blocks)
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
        print("start", seed, flush=True)
        limit_time()
        try:
            came = outcome(path, expected, may_differ=may_differ, thorough=seed % 5 < 2)
        except BaseException:
            came = "BAD exception " + traceback.format_exc().replace("\n", " | ")
        print("end", seed, came, flush=True)


if __name__ == "__main__":
    main()
