"""Dot products in lanes: many filters at many positions, every bit-serial step of them.

Lanes are independent until they are reduced, so the host may lay them as it likes: either output
positions side by side, which share each weight, or filters side by side, which share each input.
The sums are the same bits either way; the second serves layers with few positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.programs.program import Field
from bitpim_kernels.bitserial import (
    dot_products_kernel,
    held_lanes_kernel,
    level_rows,
    tree_order,
)
from bitpim_kernels.layout import to_planes
from bitpim_kernels.windows import Window, gather_entries, pack_windows

__all__ = [
    "LaneArithmetic",
    "LaneLists",
    "SumTree",
    "WindowLists",
    "filter_planes",
    "position_planes",
    "sum_planes",
    "window_codes",
    "window_planes",
]

Codes = npt.NDArray[Any]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class LaneArithmetic:
    """What a lane does at each tap, and how lanes are added.

    Attributes
    ----------
    table
        Steps of one tap: multiply-accumulate, or accumulate where `weight` has no bits.
    inputs, weight, sums
        Rows of the operands in that table; `sums` is what a lane may add up.
    sources
        (n_used_lanes, n_taps) of every scalar set, or one for all: the element of a window each
        tap takes, -1 for none. Lanes that take nothing add nothing, so they may be left out.
    largest
        The most that a tap adds.
    """

    table: npt.NDArray[np.int32]
    inputs: Field
    weight: Field
    sums: Field
    sources: Sequence[npt.NDArray[np.int64]]
    largest: int

    def levels(self, n_lanes: int) -> npt.NDArray[np.int64]:
        """Rows of sums of so many lanes that may hold other than zeros, at each level of a tree."""
        return level_rows(self.sources[0].shape[1] * self.largest, n_lanes, n_lanes)

    def tree(self, n_lanes: int) -> "SumTree":
        """Return how so many lanes are added."""
        return SumTree(self.levels(n_lanes), tree_order(n_lanes))

    @property
    def most_lanes(self) -> int:
        """Lanes of the longest source."""
        return max(len(source) for source in self.sources)

    def kernel(self, block_words: int, *, inputs_in_lanes: bool) -> Any:
        """Yield the fused kernel for one arrangement."""
        inputs = range(self.inputs.start, self.inputs.stop)
        weight = range(self.weight.start, self.weight.stop)
        vector, scalar = (inputs, weight) if inputs_in_lanes else (weight, inputs)
        sums = range(self.sums.start, self.sums.start + min(self.sums.width, self.levels(1)[0]))
        return dot_products_kernel(self.table, vector, scalar, sums, block_words)


@dataclass(frozen=True, slots=True, eq=False)
class LaneLists:
    """The lanes of several scalar sets, one set after the other; or those that all of them have.

    Attributes
    ----------
    source : (n_lanes, n_taps) as `LaneArithmetic.sources`
    places : (n_sets + 1,) where the lanes of each set begin, and the last ones end
    """

    source: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]

    @classmethod
    def of(cls, sources: Sequence[npt.NDArray[np.int64]]) -> "LaneLists":
        """Put lists one after the other."""
        places = np.cumsum([0, *(len(source) for source in sources)])
        return cls(np.concatenate(sources), places)

    def part(self, first: int, n: int) -> "LaneLists":
        """Return those of some sets."""
        if self.places.size == 2:
            return self
        return LaneLists(self.source, self.places[first : first + n + 1])


@dataclass(frozen=True, slots=True, eq=False)
class SumTree:
    """How lanes are added: rows of sums at each level, and the order in which lanes are met."""

    levels: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]

    @property
    def n_rows(self) -> int:
        """Rows of a reduced sum that may hold other than zeros."""
        return int(self.levels[-1])

    def scratch(self, n_words: int) -> Words:
        """Make memory for sums under way: one a level, and two more."""
        return np.empty((self.levels.size + 2, self.n_rows * n_words), np.uint64)


def sum_planes(
    kernel: Any, lists: LaneLists, tree: SumTree, planes: Words, scalars: Codes
) -> Words:
    """Yield the reduced sums of every scalar set.

    Shapes
    ------
    planes
        uint64 (n_entries, bits, block_words): the operand in lanes.
    scalars
        unsigned (n_outer, n_entries): the operand all lanes share.
    returns
        uint64 (n_outer, sum bits, block_words)
    """
    n_words, n_outer = planes.shape[2], scalars.shape[0]
    out = np.empty((n_outer, tree.n_rows * n_words), np.uint64)
    walk = lists.source, lists.places, tree.order, tree.levels, tree.scratch(n_words)
    kernel(planes.reshape(-1), scalars, *walk, out)
    return out.reshape(n_outer, tree.n_rows, n_words)


@dataclass(frozen=True, slots=True, eq=False)
class WindowLists:
    """What is summed of a window for several filters: lanes that are alike are summed once.

    Attributes
    ----------
    lanes : each lane that any of them has
    lane : the tree of one lane
    held : which of these each lane of a sum holds, and where the lanes of each sum begin
    tree : the tree of the source that has most lanes, so that any sums have as many rows
    """

    lanes: LaneLists
    lane: SumTree
    held: LaneLists
    tree: SumTree

    @classmethod
    def of(cls, arithmetic: LaneArithmetic, which: Sequence[int]) -> "WindowLists":
        """Find the lanes that are alike in some of the sources."""
        lists = LaneLists.of([arithmetic.sources[i] for i in which])
        lanes, place = np.unique(lists.source, axis=0, return_inverse=True)
        return cls(
            LaneLists(lanes, np.arange(len(lanes) + 1)),
            arithmetic.tree(1),
            LaneLists(place.reshape(-1), lists.places),
            arithmetic.tree(arithmetic.most_lanes),
        )


def window_planes(kernel: Any, windows: WindowLists, planes: Words) -> Words:
    """Yield the sums of the codes of windows, which have no weight; (n_sums, sum bits, words)."""
    n_words, tree = planes.shape[2], windows.tree
    ones = np.ones((len(windows.lanes.source), planes.shape[0]), np.uint8)  # the kernel has none
    lanes = sum_planes(kernel, windows.lanes, windows.lane, planes, ones)
    held = windows.held
    out = np.empty((held.places.size - 1, tree.n_rows * n_words), np.uint64)
    walk = held.source, held.places, tree.order, tree.levels, tree.scratch(n_words)
    held_lanes_kernel(n_words)(lanes.reshape(len(lanes), -1), *walk, out)
    return out.reshape(len(out), tree.n_rows, n_words)


def position_planes(
    images: Codes,
    entries: npt.NDArray[np.int64],
    window: Window,
    pad_code: int,
    first: int,
    shape: tuple[int, int],
) -> Words:
    """Yield bit-planes of the windows at 64 * n_words output positions from `first` on.

    Parameters
    ----------
    images
        unsigned (N, C, H, W).
    entries
        (n_entries, 2): channel and tap of each.
    shape
        (bits, n_words) of each entry.
    """
    lanes = np.empty(64 * shape[1], images.dtype)
    out = np.empty((entries.shape[0], *shape), np.uint64)
    pack_windows(images, entries, window, pad_code, first, lanes, out)
    return out


def filter_planes(weights: Codes, n_bits: int, n_words: int) -> Words:
    """Yield planes (n_entries, n_bits, n_words), one filter a lane, of codes (M, n_entries)."""
    lanes = np.zeros((weights.shape[1], 64 * n_words), weights.dtype)
    lanes[:, : weights.shape[0]] = weights.T
    return to_planes(lanes, n_bits)


def window_codes(
    images: Codes,
    entries: npt.NDArray[np.int64],
    window: Window,
    pad_code: int,
    n_positions: int,
) -> Codes:
    """Yield the windows themselves, (n_positions, n_entries); entries as in `position_planes`."""
    out = np.empty((entries.shape[0], n_positions), images.dtype)
    gather_entries(images, entries, window, pad_code, out)
    return np.ascontiguousarray(out.T)
