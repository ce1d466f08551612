"""Dot products in lanes: many filters at many positions, every bit-serial step of them.

Lanes are independent until they are reduced, so the host may lay them as it likes: either output
positions side by side, which share each weight, or filters side by side, which share each input.
The sums are the same bits either way; the second serves layers with few positions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.programs.program import Field
from bitpim_kernels.bitserial import dot_products_kernel, level_rows, tree_order
from bitpim_kernels.layout import to_planes
from bitpim_kernels.windows import Window, gather_entries, pack_windows

__all__ = ["LaneArithmetic", "SumScratch", "filter_planes", "position_planes", "sum_planes"]

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
    largest
        The most that a tap adds.
    source
        (n_used_lanes, n_taps): the element of a window each tap takes, -1 for none.
    n_lanes
        Lanes of one dot product, idle ones included.
    """

    table: npt.NDArray[np.int32]
    inputs: Field
    weight: Field
    sums: Field
    source: npt.NDArray[np.int64]
    n_lanes: int
    largest: int

    @property
    def levels(self) -> npt.NDArray[np.int64]:
        """Rows of sums that may hold other than zeros, at each level of the tree."""
        n_used, n_taps = self.source.shape
        return level_rows(n_taps * self.largest, self.n_lanes, n_used)

    @property
    def sum_rows(self) -> int:
        """Rows of a reduced sum that may hold other than zeros."""
        return int(self.levels[-1])

    def kernel(self, block_words: int, *, inputs_in_lanes: bool) -> Any:
        """Yield the fused kernel for one arrangement."""
        inputs = range(self.inputs.start, self.inputs.stop)
        weight = range(self.weight.start, self.weight.stop)
        vector, scalar = (inputs, weight) if inputs_in_lanes else (weight, inputs)
        sums = range(self.sums.start, self.sums.start + min(self.sums.width, self.levels[0]))
        return dot_products_kernel(self.table, vector, scalar, sums, block_words)


class SumScratch:
    """Working memory of one thread."""

    def __init__(self, arithmetic: LaneArithmetic, block_words: int) -> None:
        self.order = tree_order(arithmetic.n_lanes)
        self.levels = arithmetic.levels
        rows = int(self.levels[-1]) * block_words
        self.work = np.empty((self.levels.size + 2, rows), np.uint64)


def sum_planes(
    kernel: Any,
    arithmetic: LaneArithmetic,
    scratch: SumScratch,
    planes: Words,
    scalars: Codes,
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
    block_words, n_rows = planes.shape[2], arithmetic.sum_rows
    out = np.empty((scalars.shape[0], n_rows * block_words), np.uint64)
    lanes = (arithmetic.source, scratch.order, scratch.levels)
    kernel(planes.reshape(-1), scalars, *lanes, scratch.work, out)
    return out.reshape(scalars.shape[0], n_rows, block_words)


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
