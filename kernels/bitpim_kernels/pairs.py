"""What pairs of a weight code and an input code are counted in: groups of taps, tiles of windows.

Windows are taken LANES at a time, their codes laid as a tile. Taps of one weight code are a group.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.carry_save import TOGETHER
from bitpim_kernels.digit_tile import (
    PLANES,
)
from bitpim_kernels.jit import kernel
from bitpim_kernels.pair_tile import LANES, LONGEST, SIDE, lay_block

__all__ = ["Groups", "Lists", "Rules", "Tile", "empty_lists", "empty_tile", "lay_tile"]

Integer = Any  # int or np.int64
Bytes = npt.NDArray[np.uint8]
Digits = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.uint32]
Taps = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]


class Groups(NamedTuple):
    """The taps of each filter, those that share a weight code side by side.

    Shapes
    ------
    taps: (n_filters * n_taps,)
    firsts: (n_filters + 1,) each filter's first group
    starts: (n_groups + 1,) where each group starts in `taps`
    weights: (n_groups,) its weight code
    products: (weight codes, input codes)
    biases: (n_filters,), or (0,) for none
    """

    taps: Taps
    firsts: Ints
    starts: Ints
    weights: Ints
    products: Words
    biases: Words


class Rules(NamedTuple):
    """How counts become operands.

    Attributes
    ----------
    signed : digits are -1, 0 and 1, no two neighbours both other than 0; else 0 and 1
    counter_bits : width of a counter, which stops at its largest number
    n_bits : width of a sum
    longest : the longest group that is counted for all lanes at once, LONGEST at most; 0 where
        there are more than 256 input codes
    """

    signed: bool
    counter_bits: int
    n_bits: int
    longest: int


class Tile(NamedTuple):
    """The codes of some windows, and rows of counts: of a tap's code, or of a code.

    Shapes
    ------
    codes: (n_taps, LANES) the low bytes
    high: (n_taps, LANES) the high bytes, or (0, LANES) where codes have none
    lit: (LANES,) 255 where a lane holds a window
    rows: (LONGEST, LANES) the code that is counted
    counts: (LONGEST, LANES)
    weights: (LONGEST,) the weight code of a row
    planes: (LONGEST, PLANES) bits of the counts
    largest: (LANES,) the largest count met so far
    wide: (input codes, LANES) counts of a group that is longer than LONGEST; (0, LANES) where there
        are more codes than rows
    some: (2,) first and end of some of its taps
    counters: (input codes,) 0 between two groups
    met: (n_taps + input codes + 1,) codes that counters have met
    """

    codes: Bytes
    high: Bytes
    lit: Bytes
    rows: Bytes
    counts: Bytes
    weights: Ints
    planes: Words
    largest: Bytes
    wide: Digits
    some: Ints
    counters: Ints
    met: Ints


class Lists(NamedTuple):
    """The operands of each lane's sum.

    Those of TOGETHER lanes lie side by side: the first of each lane, then the second of each.

    Shapes
    ------
    words: (at least LANES * (n_taps + 1),)
    starts, ends: (LANES,) where each lane's first is in `words`, and where the next would be
    n_words: (LANES,) how many they are
    last: (3, LANES) two words and ones of each lane: how many are inverted, each of which lacks a
        one, and later the carry in
    totals: (LANES,)
    levels_of: (n_taps + 2,) levels of a tree of so many operands
    """

    words: Words
    starts: Places
    ends: Places
    n_words: Ints
    last: Words
    totals: Words
    levels_of: Bytes


def empty_tile(n_taps: int, n_codes: int) -> Tile:
    """Return place for windows of so many taps, whose codes are less than `n_codes`."""
    n_wide = n_taps if n_codes > 256 else 0
    return Tile(
        np.zeros((n_taps, LANES), np.uint8),
        np.zeros((n_wide, LANES), np.uint8),
        np.zeros(LANES, np.uint8),
        np.zeros((LONGEST, LANES), np.uint8),
        np.zeros((LONGEST, LANES), np.uint8),
        np.zeros(LONGEST, np.int64),
        np.zeros((LONGEST, PLANES), np.uint64),
        np.zeros(LANES, np.uint8),
        np.zeros((n_codes if n_codes <= LONGEST else 0, LANES), np.int32),
        np.zeros(2, np.int64),
        np.zeros(n_codes, np.int64),
        np.zeros(n_taps + n_codes + 1, np.int64),
    )


def empty_lists(levels_of: Bytes) -> Lists:
    """Return place for the operands of sums: no more than taps, and a bias.

    Shapes
    ------
    levels_of: (n_taps + 2,) levels of a tree of so many operands
    """
    n_words = (levels_of.shape[0] - 1) * TOGETHER
    n_words += 8 * (1 - n_words // 8 % 2)  # an odd number of cache lines: lists share no set
    lanes = np.arange(LANES)
    return Lists(
        np.zeros(LANES // TOGETHER * n_words, np.uint64),
        (lanes // TOGETHER * n_words + lanes % TOGETHER).astype(np.uint32),
        np.zeros(LANES, np.uint32),
        np.zeros(LANES, np.int64),
        np.zeros((3, LANES), np.uint64),
        np.zeros(LANES, np.uint64),
        levels_of,
    )


@kernel()
def lay_tile(codes: Bytes, start: int, tile: Tile) -> Integer:
    """Lay windows from `start` on, one a lane; return how many. Other lanes keep their codes.

    Shapes
    ------
    codes: (n_windows, n_taps, bytes of a code) the lowest byte first; 1 or 2
    """
    n = min(LANES, codes.shape[0] - start)
    n_taps = codes.shape[1]
    for lane in range(LANES):
        tile.lit[lane] = 255 if lane < n else 0
    if n >= SIDE and n_taps >= SIDE and codes.shape[2] == 1:
        # the last blocks lie over those before them
        for block in range(0, n, SIDE):
            lane = min(block, n - SIDE)
            for first in range(0, n_taps, SIDE):
                lay_block(codes, start + lane, min(first, n_taps - SIDE), lane, tile.codes)
        return n
    for tap in range(n_taps):
        for lane in range(n):
            tile.codes[tap, lane] = codes[start + lane, tap, 0]
    for tap in range(tile.high.shape[0]):
        for lane in range(n):
            tile.high[tap, lane] = codes[start + lane, tap, 1]
    return n
