"""Which filters of a layer lie together, where some need more lanes or steps than others.

Those that lie together take the lanes and steps of the most demanding of them; those that do not
follow each other, each in passes of its own. So the fewest cycles may lie anywhere between.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Demand", "cheapest_runs", "n_cycles"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What some filters need.

    Attributes
    ----------
    n_items : sets of lanes that they fill, over all positions of a batch
    at_once : sets of lanes of their size that fit in the arrays
    pass_cycles : cycles of a pass
    once_cycles : cycles beside, whatever the number of passes
    """

    n_items: int
    at_once: int
    pass_cycles: int
    once_cycles: int


def n_cycles(demand: Demand, n_items: int) -> int:
    """Cycles of so many items that have the lanes and steps of a demand."""
    passes = -(-n_items // max(demand.at_once, 1))
    return passes * demand.pass_cycles + demand.once_cycles


def cheapest_runs(demands: Sequence[Demand]) -> list[range]:
    """Part demands, ascending by what they need, into runs of neighbours with fewest cycles in all.

    A run has the lanes and steps of its last demand. Of equals the longer run is taken.
    """
    items = np.array([demand.n_items for demand in demands], np.int64)
    before = np.concatenate([[0], np.cumsum(items)])
    best = np.zeros(len(demands) + 1, np.int64)
    begins = np.zeros(len(demands), np.int64)
    for last, demand in enumerate(demands):
        n_items = before[last + 1] - before[: last + 1]
        passes = -(-n_items // max(demand.at_once, 1))
        cycles = best[: last + 1] + passes * demand.pass_cycles + demand.once_cycles
        begins[last] = int(np.argmin(cycles))
        best[last + 1] = cycles[begins[last]]
    runs: list[range] = []
    stop = len(demands)
    while stop:
        runs.append(range(int(begins[stop - 1]), stop))
        stop = runs[-1].start
    return runs[::-1]
