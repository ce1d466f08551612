"""Programs run in the arrays of a cache, whose banks have a controller each: array by array.

Jobs are laid down one after the other, array after array. A bank runs one program at a time; where
no bank is left, all that was laid down runs, and the arrays are filled again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.sram.lanes import LaneProgram
from tests.naive.cache_arrays import run_lane_program

__all__ = ["Banks", "Job"]

Codes = npt.NDArray[np.int64]


@dataclass
class Job:
    """A program and its operands, one an item; every item takes that many columns."""

    program: LaneProgram
    operands: Mapping[str, Codes]
    lanes_each: int = 1


@dataclass
class Banks:
    """The arrays, what runs in each in the pass being filled, and what all passes took."""

    n_arrays: int
    n_columns: int
    arrays_per_bank: int
    running: dict[int, tuple[int, Counts]] = field(default_factory=dict)  # by array: job, events
    passes: list[set[int]] = field(default_factory=list)  # the jobs of each
    compute_cycles: int = 0
    access_cycles: int = 0
    work: Counts = field(default_factory=Counts)

    def run(self, jobs: Sequence[Job], *, at_once: bool) -> list[Codes]:
        """Run all jobs and yield their codes."""
        codes = []
        for number, job in enumerate(jobs):
            codes.append(self._run(number, job))
            if not at_once:
                self._pass()
        self._pass()
        return codes

    def _run(self, number: int, job: Job) -> Codes:
        items = next(iter(job.operands.values())).size
        per_array, first, codes = self.n_columns // job.lanes_each, 0, []
        while first < items:
            operands = {n: v[first : first + per_array] for n, v in job.operands.items()}
            array = self._free_array(number)
            done, events = run_lane_program(job.program, self.n_columns, operands, [])
            self.running[array] = (number, events)
            codes.append(done)
            first += per_array
        return np.concatenate(codes)

    def _free_array(self, number: int) -> int:
        for array in range(self.n_arrays):
            bank = array // self.arrays_per_bank
            beside = {
                job for at, (job, _) in self.running.items() if at // self.arrays_per_bank == bank
            }
            if array not in self.running and beside <= {number}:
                return array
        self._pass()
        return 0

    def _pass(self) -> None:
        """Let all arrays run: time is that of the slowest, work that of all."""
        if not self.running:
            return
        events = [one for _, one in self.running.values()]
        self.passes.append({job for job, _ in self.running.values()})
        self.compute_cycles += max(one["sram_compute_cycle"] for one in events)
        self.access_cycles += max(one["sram_access_cycle"] for one in events)
        self.work = sum(events, self.work)
        self.running = {}
