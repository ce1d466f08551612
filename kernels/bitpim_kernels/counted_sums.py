"""Sums of products whose pairs are counted: what one array of RAPIDNN adds for each neuron.

Kernels are serial and release the GIL: callers share windows out over threads.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels.carry_save import TOGETHER, add_last, sum_trees
from bitpim_kernels.digit_tile import ADDERS, LARGEST, NEGATIVES, OPERANDS
from bitpim_kernels.jit import kernel
from bitpim_kernels.operands import count_digits, list_operands
from bitpim_kernels.pair_tile import LANES
from bitpim_kernels.pairs import Groups, Lists, Rules, Tile, lay_tile

__all__ = ["count_windows", "sum_windows"]

Integer = Any  # int or np.int64
Bytes = npt.NDArray[np.uint8]
Digits = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Levels = npt.NDArray[np.uint8]


@kernel()
def sum_windows(
    codes: Bytes,
    groups: Groups,
    rules: Rules,
    tile: Tile,
    lists: Lists,
    out: Ints,
    levels: Levels,
    sums: Ints,
) -> None:
    """Write every filter's sum at every window, and the levels of its tree; add to the events.

    The caller proves that sums fit `rules.n_bits`. `tile` and `lists` are scratch, made for these.

    Shapes
    ------
    codes: (n_windows, n_taps, bytes of a code) less than the input codes of `groups`
    out, levels: (n_windows, n_filters)
    sums: (N_SUMS,)
    """
    unused = np.uint64(64 - rules.n_bits)
    for start in range(0, codes.shape[0], LANES):
        n = lay_tile(codes, start, tile)
        for f in range(groups.firsts.shape[0] - 1):
            list_operands(groups, f, rules, tile, lists, sums)
            _count_lists(lists, n, sums)
            for lane in range(0, n, TOGETHER):
                n_words = _fill(lists, lane)
                sum_trees(lists.words, lists.starts[lane], n_words, lists.last, lane)
                add_last(lists.last, lane, rules.n_bits, lists.totals)
            for lane in range(n):
                levels[start + lane, f] = lists.levels_of[lists.n_words[lane]]
                out[start + lane, f] = np.int64(lists.totals[lane] << unused) >> np.int64(unused)
    for lane in range(LANES):
        sums[LARGEST] = max(sums[LARGEST], np.int64(tile.largest[lane]))


@kernel()
def _fill(lists: Lists, first: int) -> Integer:
    """Make lanes that are added together equally long, by zeros; return the length."""
    most = lists.n_words[first : first + TOGETHER].max()
    for lane in range(first, first + TOGETHER):
        end = lists.starts[lane] + np.uint32(most * TOGETHER)
        for place in range(lists.ends[lane], end, TOGETHER):
            lists.words[place] = np.uint64(0)
    return most


@kernel()
def _count_lists(lists: Lists, n: int, sums: Ints) -> None:
    """Add the operands of some lanes, their steps and those that are inverted."""
    for lane in range(n):
        n_operands = lists.n_words[lane]
        sums[OPERANDS] += n_operands
        sums[ADDERS] += max(0, n_operands - 2)
        sums[NEGATIVES] += np.int64(lists.last[2, lane])


@kernel()
def count_windows(
    codes: Bytes,
    groups: Groups,
    rules: Rules,
    tile: Tile,
    levels_of: Levels,
    digits: Digits,
    levels: Levels,
    sums: Ints,
) -> None:
    """Write the levels of every tree, and add to the events, all as `sum_windows` does.

    Counters are wide enough for every group.

    Shapes
    ------
    codes, levels, sums: as in `sum_windows`
    levels_of: (n_taps + 2,) levels of a tree of so many operands
    digits: (n_filters, LANES) scratch
    """
    n_filters = groups.firsts.shape[0] - 1
    n_biases = 1 if groups.biases.shape[0] > 0 else 0
    n_operands: Integer = 0
    n_adders: Integer = 0
    for start in range(0, codes.shape[0], LANES):
        n = lay_tile(codes, start, tile)
        count_digits(groups, rules, tile, digits, sums)
        for f in range(n_filters):
            for lane in range(n):
                found = np.int64(digits[f, lane]) + n_biases
                n_operands += found
                n_adders += max(0, found - 2)
        for lane in range(n):
            for f in range(n_filters):
                levels[start + lane, f] = levels_of[digits[f, lane] + n_biases]
    sums[OPERANDS] += n_operands
    sums[ADDERS] += n_adders
