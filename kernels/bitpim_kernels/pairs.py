"""Pairs of a weight code and an input code at the taps of a window, counted and cut into digits.

Windows are taken LANES at a time, their codes laid as a tile. Taps of one weight code are a group;
groups of at most `Rules.longest` taps are counted for all lanes at once, longer ones code by code
in each lane. Both give the same counts.

Source: weighted accumulation of RAPIDNN: sum_i P[w_i, u_i] = sum_wu N[w, u] P[w, u].
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.carry_save import BEYOND
from bitpim_kernels.jit import kernel
from bitpim_kernels.pair_tile import (
    LANES,
    LARGEST,
    LONGEST,
    NEGATIVES,
    READS,
    SATURATED,
    add_digits,
    count_codes,
    count_taps,
    cut_planes,
)
from bitpim_kernels.vector import popcount

__all__ = [
    "Groups",
    "Lists",
    "Rules",
    "Tile",
    "count_digits",
    "empty_lists",
    "empty_tile",
    "lay_tile",
    "list_operands",
]

Codes = npt.NDArray[Any]  # uint8 or uint16
Bytes = npt.NDArray[np.uint8]
Digits = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.uint32]
Taps = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


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
    longest : the longest group that is counted for all lanes at once, LONGEST at most
    """

    signed: bool
    counter_bits: int
    n_bits: int
    longest: int


class Tile(NamedTuple):
    """The codes of some windows, and what is counted of them.

    Shapes
    ------
    codes: (n_taps, LANES)
    lit: (LANES,) 255 where a lane holds a window
    rows: (LONGEST, LANES) codes of a group, tap by tap
    all_codes: (LONGEST, LANES) every code, in each lane
    counts: (LONGEST, LANES)
    planes: (9,) bits of a row of counts
    counters: (input codes,) 0 between two groups
    met: (n_taps + 1,) codes that counters have met
    """

    codes: Codes
    lit: Bytes
    rows: Codes
    all_codes: Codes
    counts: Bytes
    planes: Words
    counters: Ints
    met: Ints


class Lists(NamedTuple):
    """The operands of each lane's sum, lane after lane.

    Shapes
    ------
    words: flat; for each lane n_taps + 1 + BEYOND or more
    starts, ends: (LANES,) where each lane's are
    n_negative: (LANES,) how many are inverted, so that each lacks a one
    """

    words: Words
    starts: Places
    ends: Places
    n_negative: Ints


@kernel()
def empty_tile(codes: Codes, n_codes: int) -> Tile:
    """Return place for windows of these, whose codes are less than `n_codes`."""
    n_taps = codes.shape[1]
    all_codes = np.zeros((LONGEST, LANES), codes.dtype)
    for code in range(min(n_codes, LONGEST)):
        all_codes[code] = code
    return Tile(
        np.zeros((n_taps, LANES), codes.dtype),
        np.zeros(LANES, np.uint8),
        np.zeros((LONGEST, LANES), codes.dtype),
        all_codes,
        np.zeros((LONGEST, LANES), np.uint8),
        np.zeros(9, np.uint64),
        np.zeros(n_codes, np.int64),
        np.zeros(n_taps + 1, np.int64),
    )


@kernel()
def empty_lists(n_taps: int) -> Lists:
    """Return place for the operands of sums of so many taps: no more than taps, and a bias."""
    n_lines = (n_taps + 1 + BEYOND + 7) // 8
    n_lines += 1 - n_lines % 2  # an odd number of cache lines, so that lists share no set
    starts = np.arange(0, LANES * 8 * n_lines, 8 * n_lines).astype(np.uint32)
    n_negative = np.zeros(LANES, np.int64)
    return Lists(np.zeros(LANES * 8 * n_lines, np.uint64), starts, starts.copy(), n_negative)


@kernel()
def lay_tile(codes: Codes, start: int, tile: Tile) -> int:
    """Lay windows from `start` on, one a lane; return how many. Other lanes keep their codes."""
    n = min(LANES, codes.shape[0] - start)
    for lane in range(LANES):
        tile.lit[lane] = 255 if lane < n else 0
    for tap in range(codes.shape[1]):
        for lane in range(n):
            tile.codes[tap, lane] = codes[start + lane, tap]
    return n


@kernel()
def list_operands(groups: Groups, f: int, rules: Rules, tile: Tile, lists: Lists, sums: Ints) -> None:
    """List the operands of a filter in all lanes, and add to READS, SATURATED and LARGEST.

    Each digit of each count yields the product, shifted to the digit's place; a digit of -1 the
    inverted word, which lacks a one.
    """
    has_bias = groups.biases.shape[0] > 0
    for lane in range(LANES):
        lists.ends[lane] = lists.starts[lane]
        lists.n_negative[lane] = 0
        if has_bias and tile.lit[lane]:
            lists.words[lists.starts[lane]] = groups.biases[f]
            lists.ends[lane] += np.uint32(1)
    for group in range(groups.firsts[f], groups.firsts[f + 1]):
        start, n = groups.starts[group], groups.starts[group + 1] - groups.starts[group]
        products = groups.products[groups.weights[group]]
        n_codes = products.shape[0]
        if n > rules.longest:
            for lane in range(LANES):
                if tile.lit[lane]:
                    taps = groups.taps[start : start + n]
                    _list_counters(taps, products, rules, tile, lane, lists, sums)
        elif n_codes < n:
            count_codes(tile.codes, groups.taps, start, n, tile.lit, tile.rows, tile.counts, n_codes)
            _list_tile(tile.all_codes, n_codes, n, products, rules, tile, lists, sums)
        else:
            count_taps(tile.codes, groups.taps, start, n, tile.lit, tile.rows, tile.counts, 0)
            _list_tile(tile.rows, n, n, products, rules, tile, lists, sums)


@kernel()
def _list_tile(
    codes: Codes,
    n_rows: int,
    most: int,
    products: Words,
    rules: Rules,
    tile: Tile,
    lists: Lists,
    sums: Ints,
) -> None:
    """List the operands of rows of counts, none above `most`, 64 lanes' bits to a word."""
    n_planes = 0
    while most >> n_planes:
        n_planes += 1
    planes = tile.planes
    planes[n_planes] = _ZERO
    n_reads, largest, n_saturated = 0, 0, 0
    for row in range(n_rows):
        n_reads += popcount(cut_planes(tile.counts, row, n_planes, planes))
        largest = max(largest, _largest(planes, n_planes))
        if rules.counter_bits < n_planes:
            n_saturated += _saturate(planes, n_planes, rules.counter_bits)
        carry_word = _ZERO
        for k in range(n_planes):
            if not rules.signed:
                _append(planes[k], codes, row, products, k, lists)
                continue
            low_word, high_word = planes[k], planes[k + 1]
            lit_word = low_word ^ carry_word
            carry_word = (low_word & high_word) | (carry_word & (low_word | high_word))
            _append(lit_word & ~high_word, codes, row, products, k, lists)
            _append_inverted(lit_word & high_word, codes, row, products, k, lists)
        _append(carry_word, codes, row, products, n_planes, lists)
    sums[READS] += n_reads
    sums[LARGEST] = max(sums[LARGEST], largest)
    sums[SATURATED] += n_saturated


@kernel()
def _largest(planes: Words, n_planes: int) -> int:
    """Return the largest number of any lane."""
    largest = 0
    among_word = _ALL_ONES
    for k in range(n_planes - 1, -1, -1):
        lit_word = planes[k] & among_word
        if lit_word:
            largest |= 1 << k
            among_word = lit_word
    return largest


@kernel()
def _saturate(planes: Words, n_planes: int, n_bits: int) -> int:
    """Make numbers of more than `n_bits` the largest that has so many; return how many were."""
    over_word = _ZERO
    for k in range(n_bits, n_planes):
        over_word |= planes[k]
        planes[k] = _ZERO
    for k in range(n_bits):
        planes[k] |= over_word
    return popcount(over_word)


@kernel()
def _append(
    lanes_word: np.uint64, codes: Codes, row: int, products: Words, place: int, lists: Lists
) -> None:
    """Append an operand in each lane that a word names: the product of its code, shifted."""
    words, ends, shift = lists.words, lists.ends, np.uint64(place)
    while lanes_word:
        below_word = lanes_word - _ONE
        lane = popcount(below_word & ~lanes_word)
        end = ends[lane]
        words[end] = products[codes[row, lane]] << shift
        ends[lane] = end + np.uint32(1)
        lanes_word &= below_word


@kernel()
def _append_inverted(
    lanes_word: np.uint64, codes: Codes, row: int, products: Words, place: int, lists: Lists
) -> None:
    """Append the inverted word in each lane that a word names."""
    words, ends, shift = lists.words, lists.ends, np.uint64(place)
    while lanes_word:
        below_word = lanes_word - _ONE
        lane = popcount(below_word & ~lanes_word)
        end = ends[lane]
        words[end] = ~(products[codes[row, lane]] << shift)
        ends[lane] = end + np.uint32(1)
        lists.n_negative[lane] += 1
        lanes_word &= below_word


@kernel()
def _list_counters(
    taps: Taps, products: Words, rules: Rules, tile: Tile, lane: int, lists: Lists, sums: Ints
) -> None:
    """List the operands of a group in one lane, a counter for each code."""
    for i in range(_count(taps, tile, lane)):
        code = tile.met[i]
        n_met = tile.counters[code]
        tile.counters[code] = 0
        sums[READS] += 1
        sums[LARGEST] = max(sums[LARGEST], n_met)
        if n_met >> min(rules.counter_bits, 62):
            n_met = (1 << rules.counter_bits) - 1
            sums[SATURATED] += 1
        place = 0
        while n_met:
            if n_met & 1:
                is_negative = rules.signed and n_met & 3 == 3
                n_met += 1 if is_negative else -1
                word = products[code] << np.uint64(place)
                end = lists.ends[lane]
                lists.words[end] = ~word if is_negative else word
                lists.ends[lane] = end + np.uint32(1)
                lists.n_negative[lane] += is_negative
            n_met >>= 1
            place += 1


@kernel()
def _count(taps: Taps, tile: Tile, lane: int) -> int:
    """Count the codes at some taps of a lane; return how many codes were met."""
    n_met = 0
    for tap in taps:
        code = tile.codes[tap, lane]
        tile.met[n_met] = code
        n_met += tile.counters[code] == 0
        tile.counters[code] += 1
    return n_met


@kernel()
def count_digits(groups: Groups, f: int, rules: Rules, tile: Tile, digits: Digits, sums: Ints) -> None:
    """Count the digits of a filter's counts in all lanes; add READS, NEGATIVES and LARGEST.

    Short groups are counted one below the other, so that digits are added for several at once.

    Shapes
    ------
    digits: (LANES,)
    """
    digits[:] = 0
    n_rows = 0
    for group in range(groups.firsts[f], groups.firsts[f + 1]):
        start, n = groups.starts[group], groups.starts[group + 1] - groups.starts[group]
        n_codes = groups.products.shape[1]
        if n > rules.longest:
            for lane in range(LANES):
                if tile.lit[lane]:
                    taps = groups.taps[start : start + n]
                    digits[lane] += _count_counters(taps, rules, tile, lane, sums)
            continue
        if n_rows + n > LONGEST or n_codes < n:
            add_digits(tile.counts, n_rows, rules.signed, digits, sums)
            n_rows = 0
        if n_codes < n:
            count_codes(tile.codes, groups.taps, start, n, tile.lit, tile.rows, tile.counts, n_codes)
            add_digits(tile.counts, n_codes, rules.signed, digits, sums)
        else:
            count_taps(tile.codes, groups.taps, start, n, tile.lit, tile.rows, tile.counts, n_rows)
            n_rows += n
    add_digits(tile.counts, n_rows, rules.signed, digits, sums)


@kernel()
def _count_counters(taps: Taps, rules: Rules, tile: Tile, lane: int, sums: Ints) -> int:
    """Return the digits of a group's counts in one lane, a counter for each code."""
    n_digits = 0
    for i in range(_count(taps, tile, lane)):
        n_met = tile.counters[tile.met[i]]
        tile.counters[tile.met[i]] = 0
        sums[READS] += 1
        sums[LARGEST] = max(sums[LARGEST], n_met)
        half = n_met >> 1 if rules.signed else 0
        lit = (n_met + half) ^ half
        n_digits += popcount(np.uint64(lit))
        sums[NEGATIVES] += popcount(np.uint64(lit & half))
    return n_digits
