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
from bitpim_kernels.bitserial import dot_products_kernel, tree_order
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
        Rows of the operands in that table; `sums` is as wide as the widest reduced sum.
    sources
        (n_used_lanes, n_taps) of every scalar set, or one for all: the element of a window each
        tap takes, -1 for none. Lanes that take nothing add nothing, so they may be left out.
    """

    table: npt.NDArray[np.int32]
    inputs: Field
    weight: Field
    sums: Field
    sources: Sequence[npt.NDArray[np.int64]]

    def kernel(self, block_words: int, *, inputs_in_lanes: bool) -> Any:
        """Yield the fused kernel for one arrangement."""
        inputs = range(self.inputs.start, self.inputs.stop)
        weight = range(self.weight.start, self.weight.stop)
        vector, scalar = (inputs, weight) if inputs_in_lanes else (weight, inputs)
        sums = range(self.sums.start, self.sums.stop)
        return dot_products_kernel(self.table, vector, scalar, sums, block_words)


class SumScratch:
    """Working memory of one thread."""

    def __init__(self, arithmetic: LaneArithmetic, block_words: int) -> None:
        levels = (max(source.shape[0] for source in arithmetic.sources) - 1).bit_length()
        self.work = np.zeros((levels + 2, arithmetic.sums.width * block_words), np.uint64)


def sum_planes(
    kernel: Any,
    arithmetic: LaneArithmetic,
    scratch: SumScratch,
    planes: Words,
    scalars: Codes,
    first: int = 0,
) -> Words:
    """Yield the reduced sums of every scalar set, the first of which is number `first`.

    Shapes
    ------
    planes
        uint64 (n_entries, bits, block_words): the operand in lanes.
    scalars
        unsigned (n_outer, n_entries): the operand all lanes share.
    returns
        uint64 (n_outer, sum bits, block_words)
    """
    block_words, n_outer = planes.shape[2], scalars.shape[0]
    out = np.empty((n_outer, arithmetic.sums.width * block_words), np.uint64)
    vectors, sources = planes.reshape(-1), arithmetic.sources
    work = scratch.work
    if len(sources) == 1:
        (source,) = sources
        kernel(vectors, scalars, source, tree_order(source.shape[0]), work, out)
    else:
        for i, source in enumerate(sources[first : first + n_outer]):
            order = tree_order(source.shape[0])
            kernel(vectors, scalars[i : i + 1], source, order, work, out[i : i + 1])
    return out.reshape(n_outer, arithmetic.sums.width, block_words)


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
