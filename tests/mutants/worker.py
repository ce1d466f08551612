"""Reads mutants in a process of its own, so that a crash, a hang or a hunger for memory is seen.

Run as `worker.py KIND FOLDER START STOP`. Prints "start SEED" before and "end SEED OUTCOME" after
each mutant. A timer of processor time kills a process that takes too long; a busy machine does not.
"""

import faulthandler
import logging
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.mutants.codebooks import CodebookMutants
from tests.mutants.journals import JournalMutants
from tests.mutants.programs import ProgramMutants
from tests.mutants.results import ResultMutants
from tests.mutants.traces import TraceMutants

KINDS: dict[str, Callable[[Path], Any]] = {
    "trace": TraceMutants,
    "codebooks": CodebookMutants,
    "program": ProgramMutants,
    "result": ResultMutants,
    "journal": JournalMutants,
}
SECONDS_A_MUTANT = 10  # of the processor
MEMORY_BYTES = 1 << 29  # beyond what the imports took


def limit_time() -> None:
    """Start the timer anew; when it runs out it says where the process was, and ends it."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS_A_MUTANT)


def main() -> None:
    kind, folder, start, stop = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    logging.disable()
    faulthandler.register(signal.SIGPROF, chain=True)
    mutants = KINDS[kind](folder)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    path = folder / mutants.name
    for seed in range(start, stop):
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("make", seed, flush=True)
        limit_time()
        path.unlink(missing_ok=True)  # HDF5 knows a file again by its inode
        may_differ = mutants.make(seed, path)
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
        print("start", seed, flush=True)
        limit_time()
        try:
            came = mutants.outcome(path, may_differ=may_differ, thorough=seed % 5 < 2)
        except BaseException:
            came = "BAD exception " + traceback.format_exc().replace("\n", " | ")
        print("end", seed, came, flush=True)


if __name__ == "__main__":
    main()
