"""Copies of a layer's crossbars: how many, and which positions of a sample each one reads.

Copy c of n reads positions c, c + n, c + 2n, ... of every sample; all copies read at once. So a
layer takes the cycles of ceil(positions / n) positions, and does the same work as one copy would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.layout import CrossbarMatrix
from bitpim.crossbar.pieces import ReadCounts

__all__ = ["Stage", "balanced_copies", "most_positions", "read_by_copies"]


def most_positions(n_positions: int, n_copies: int) -> int:
    """Return the positions of the copy that has most of them."""
    return -(-n_positions // n_copies)


@dataclass(frozen=True, slots=True)
class Stage:
    """A layer as a stage of a network: its positions, and the cycles and crossbars of one copy."""

    n_positions: int
    position_cycles: int
    n_crossbars: int

    def cycles(self, n_copies: int) -> int:
        """Return the cycles of one sample."""
        return most_positions(self.n_positions, n_copies) * self.position_cycles

    def copies_within(self, interval: int) -> int:
        """Return the fewest copies that take a sample within so many cycles of the stage."""
        return -(-self.n_positions // (interval // self.position_cycles))


def balanced_copies(stages: Sequence[Stage], n_crossbars: int) -> list[int]:
    """Return copies that make the slowest stage as fast as so many crossbars allow.

    No stage has more than that takes: with crossbars enough, stages of one position have one copy,
    and the others one for each of their positions. One of each where there are too few crossbars.
    """
    if not stages:
        return []

    def crossbars(interval: int) -> int:
        return sum(stage.copies_within(interval) * stage.n_crossbars for stage in stages)

    least = max(stage.position_cycles for stage in stages)
    most = max(stage.cycles(1) for stage in stages)
    if crossbars(most) > n_crossbars:
        return [1] * len(stages)
    while least < most:
        middle = (least + most) // 2
        if crossbars(middle) <= n_crossbars:
            most = middle
        else:
            least = middle + 1
    return [stage.copies_within(most) for stage in stages]


def read_by_copies(
    matrix: CrossbarMatrix,
    x: npt.NDArray[Any],
    n_samples: int,
    fidelity: Literal["bit", "integer"],
    n_copies: int,
    *,
    skips: bool,
) -> tuple[npt.NDArray[np.int64], ReadCounts]:
    """Return what copies of a matrix read together; `skips` tells whether inputs decide on reads.

    Where none does, every position takes as long, and one copy's reads tell those of all.

    Shapes
    ------
    x: (positions, rows) integers, positions sample by sample, the same number for each
    returns: (positions, outputs)
    """
    n_positions = len(x) // max(1, n_samples)
    if n_copies == 1 or n_positions == 0 or not skips:
        sums, counts = matrix.read(x, n_samples, fidelity)
        if n_copies > 1 and n_positions:
            busiest = counts.cycles // n_positions * most_positions(n_positions, n_copies)
            counts = ReadCounts(counts.events, busiest)
        return sums, counts
    by_position = x.reshape(n_samples, n_positions, x.shape[1])
    parts = []
    for copy in range(min(n_copies, n_positions)):
        mine = by_position[:, copy::n_copies]
        found, counts = matrix.read(mine.reshape(-1, x.shape[1]), n_samples, fidelity)
        parts.append((mine.shape[1], found, counts))
    out = np.empty((n_samples, n_positions, parts[0][1].shape[1]), np.int64)
    for copy, (n_mine, found, _) in enumerate(parts):
        out[:, copy::n_copies] = found.reshape(n_samples, n_mine, -1)
    together = ReadCounts.side_by_side([counts for _, _, counts in parts])
    return out.reshape(len(x), -1), together
