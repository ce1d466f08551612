"""Sums that become codes: which programs a batch runs, in which passes, and what that counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.sram.lanes import LaneProgram
from bitpim.sram.occupancy import ArrayPool, Occupancy, Round

__all__ = ["EpiloguePlan", "Requantization", "RequantizeWork", "schedule"]


@dataclass(frozen=True, slots=True)
class EpiloguePlan:
    """Filters of a group that share the program from sums to codes."""

    filters: npt.NDArray[np.int64]
    program: LaneProgram


@dataclass(frozen=True, slots=True)
class RequantizeWork:
    """Sums of a batch that one program makes codes of, and how they fill the arrays alone."""

    n_items: int
    lanes_each: int
    program: LaneProgram
    place: Occupancy

    def written(self, skip: Sequence[str]) -> int:
        """Rows of the operands, without those that lie there already."""
        return sum(bits for name, bits in self.program.widths.items() if name not in skip)


@dataclass(frozen=True, slots=True)
class Requantization:
    """All works of a batch, and the passes in which they run."""

    works: tuple[RequantizeWork, ...]
    rounds: tuple[Round, ...]

    @property
    def steps(self) -> list[int]:
        """Cycles of the program of each work."""
        return [work.program.n_steps() for work in self.works]

    def cycles(self, steps: Sequence[int]) -> int:
        """Cycles of so many steps of each work: a pass takes as long as the longest in it."""
        return sum(one.passes * max(steps[work] for work in one.works) for one in self.rounds)

    def array_steps(self, steps: Sequence[int]) -> int:
        """Work of so many steps: that of every array, whatever runs in others."""
        return sum(w.place.array_passes * n for w, n in zip(self.works, steps, strict=True))

    @property
    def passes(self) -> int:
        """Passes of all works."""
        return sum(one.passes for one in self.rounds)

    @property
    def array_passes(self) -> int:
        """How many arrays work, summed over the passes."""
        return sum(work.place.array_passes for work in self.works)


def schedule(pool: ArrayPool, works: Sequence[RequantizeWork], how: str) -> Requantization:
    """Run works `at_once`, in different banks, or `in_turn`.

    The longest program comes first, so that those about as long share passes.
    """
    ordered = sorted(works, key=lambda work: -work.program.n_steps())
    if how == "at_once":
        rounds = pool.at_once([(work.n_items, work.lanes_each) for work in ordered])
    else:
        rounds = [Round(work.place.passes, (i,)) for i, work in enumerate(ordered)]
    return Requantization(tuple(ordered), tuple(rounds))
