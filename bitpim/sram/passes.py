"""Which sets of lanes meet which window in which array and pass: work laid down item by item."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd

from bitpim.sram.lane_sets import LaneSets
from bitpim.sram.occupancy import ArrayPool

__all__ = ["LanePlace", "SumPlace", "lane_places", "sum_places"]


@dataclass(frozen=True, slots=True)
class SumPlace:
    """Sets of lanes side by side in one array, or in those that they span, in one pass.

    Attributes
    ----------
    number_of_pass : of the passes of its group
    array : the first of its arrays
    items : (block, position) side by side
    in_place : the sets lie there from the pass before
    """

    number_of_pass: int
    array: int
    items: tuple[tuple[int, int], ...]
    in_place: bool


def sum_places(pool: ArrayPool, sets: LaneSets, n_positions: int) -> Iterator[SumPlace]:
    """Lay all blocks at all positions, filling after filling: as many blocks as fit, everywhere.

    Blocks stay where they are while a filling's positions pass, unless more fit than there are and
    not all of them equally often; then they move on.
    """
    lanes, across = sets.block_lanes, sets.sums.layout.across_arrays
    at_once = pool.items_at_once(lanes, across=across)
    shared = gcd(lanes, pool.n_columns)
    each = -(-lanes // pool.n_columns)  # arrays of an item, or those that end where an item does
    per_unit = max(pool.n_columns // lanes, 1)
    if across:
        each, per_unit = lanes // shared, pool.n_columns // shared
    done = 0
    for first in range(0, len(sets.blocks), at_once):
        blocks = range(first, min(first + at_once, len(sets.blocks)))
        n_items = len(blocks) * n_positions
        stay = at_once % len(blocks) == 0
        for of_filling, start in enumerate(range(0, n_items, at_once)):
            stop = min(start + at_once, n_items)
            for unit, begin in enumerate(range(start, stop, per_unit)):
                items = tuple(
                    (blocks[i % len(blocks)], i // len(blocks))
                    for i in range(begin, min(begin + per_unit, stop))
                )
                yield SumPlace(done, unit * each, items, stay and of_filling > 0)
            done += 1


@dataclass(frozen=True, slots=True)
class LanePlace:
    """Items of a work, side by side in one array, or in those that one item spans, in one pass."""

    number_of_pass: int
    array: int
    work: int
    items: range


def lane_places(
    pool: ArrayPool, works: Sequence[tuple[int, int]], *, in_turn: bool
) -> Iterator[LanePlace]:
    """Lay works of (items, lanes of an item) array after array, in the order given.

    Banks run one work at a time: the next begins in the next bank, or `in_turn` in the next pass.
    """
    done = array = 0
    for work, (n_items, lanes) in enumerate(works):
        each, per_unit = -(-lanes // pool.n_columns), max(pool.n_columns // lanes, 1)
        for first in range(0, n_items, per_unit):
            if array + each > pool.n_arrays:
                done, array = done + 1, 0
            yield LanePlace(done, array, work, range(first, min(first + per_unit, n_items)))
            array += each
        array = -(-array // pool.arrays_per_bank) * pool.arrays_per_bank
        if in_turn and array:
            done, array = done + 1, 0
