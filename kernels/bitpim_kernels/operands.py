"""Pairs of a weight code and an input code, counted, and what their digits make of products.

Groups of at most `Rules.longest` taps are counted for all lanes at once, longer ones code by code
in each lane. Both give the same counts.

Source: weighted accumulation of RAPIDNN: sum_i P[w_i, u_i] = sum_wu N[w, u] P[w, u].
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels.carry_save import TOGETHER
from bitpim_kernels.digit_tile import (
    LARGEST,
    NEGATIVES,
    READS,
    SATURATED,
    add_digits,
    cut_planes,
)
from bitpim_kernels.group_digits import NUMBERED, add_group_digits
from bitpim_kernels.jit import kernel
from bitpim_kernels.pair_tile import LANES, LONGEST, count_codes, count_taps
from bitpim_kernels.pairs import Groups, Lists, Rules, Tile
from bitpim_kernels.vector import popcount

__all__ = ["count_digits", "list_operands"]

Bytes = npt.NDArray[np.uint8]
Digits = npt.NDArray[np.int32]
Integer = Any  # int or np.int64
Ints = npt.NDArray[np.int64]
Taps = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_STEP = np.uint32(TOGETHER)  # from an operand of a lane to its next


@kernel()
def _groups_together(starts: Ints, group: int, last: int, longest: int) -> Integer:
    """Return the end of the groups that are counted with one: of some taps, or one group alone."""
    begin = starts[group]
    while group < last:
        end = starts[group + 1]
        if end - starts[group] > longest or (end - begin > NUMBERED and starts[group] > begin):
            break
        group += 1
    return group


@kernel()
def _count_together(groups: Groups, group: int, stop: int, tile: Tile) -> Integer:
    """Count the pairs of some groups for all lanes, of one group code by code; return the rows."""
    n_codes = groups.products.shape[1]
    begin = groups.starts[group]
    n_rows = groups.starts[stop] - begin
    if n_codes < n_rows and group + 1 == stop:
        count_codes(
            tile.codes, groups.taps, groups.starts, group, tile.lit, tile.rows, tile.counts, n_codes
        )
        tile.weights[:n_codes] = groups.weights[group]
        return n_codes
    count_taps(
        tile.codes, groups.taps, groups.starts, group, stop, tile.lit, tile.rows, tile.counts
    )
    for g in range(group, stop):
        for row in range(groups.starts[g] - begin, groups.starts[g + 1] - begin):
            tile.weights[row] = groups.weights[g]
    return n_rows


@kernel()
def _most_taps(starts: Ints, group: int, stop: int) -> Integer:
    """Return the taps of the longest of some groups."""
    most = 0
    for g in range(group, stop):
        most = max(most, starts[g + 1] - starts[g])
    return most


@kernel()
def _width(n: int) -> int:
    """Return the bits of a number."""
    n_bits = 0
    while n >> n_bits:
        n_bits += 1
    return n_bits


@kernel()
def list_operands(
    groups: Groups, f: int, rules: Rules, tile: Tile, lists: Lists, sums: Ints
) -> None:
    """List the operands of a filter in all lanes, and add to READS, SATURATED and LARGEST.

    Each digit of each count yields the product, shifted to the digit's place; a digit of -1 the
    inverted word, which lacks a one. LARGEST is of counters; that of rows is in `tile`.
    """
    has_bias = groups.biases.shape[0] > 0
    for lane in range(LANES):
        lists.ends[lane] = lists.starts[lane]
        lists.last[2, lane] = _ZERO
        if has_bias and tile.lit[lane]:
            lists.words[lists.starts[lane]] = groups.biases[f]
            lists.ends[lane] += _STEP
    group, last = groups.firsts[f], groups.firsts[f + 1]
    while group < last:
        start, end = groups.starts[group], groups.starts[group + 1]
        if end - start <= rules.longest:
            limit = min(rules.longest, groups.products.shape[1])
            stop = max(group + 1, _groups_together(groups.starts, group, last, limit))
            n_rows = _count_together(groups, group, stop, tile)
            n_planes = _width(_most_taps(groups.starts, group, stop))
            _list_rows(n_rows, n_planes, groups.products, rules, tile, lists, sums)
            group = stop
            continue
        products = groups.products[groups.weights[group]]
        together = _count_long(groups, group, rules, tile)
        for lane in range(LANES):
            if tile.lit[lane]:
                n_met = _count(groups.taps[start:end], tile, lane, together)
                _list_counters(n_met, products, rules, tile, lane, lists, sums)
        group += 1
    for lane in range(LANES):
        lists.n_words[lane] = np.int64(lists.ends[lane] - lists.starts[lane]) // TOGETHER


@kernel()
def _list_rows(
    n_rows: int,
    n_planes: int,
    products: Words,
    rules: Rules,
    tile: Tile,
    lists: Lists,
    sums: Ints,
) -> None:
    """List the operands of rows of counts of so many bits, 64 lanes' bits to a word."""
    planes, codes = tile.planes, tile.rows
    sums[READS] += cut_planes(tile.counts, n_rows, n_planes, planes, tile.largest)
    n_saturated = 0
    for row in range(n_rows):
        weight = tile.weights[row]
        if rules.counter_bits < n_planes:
            n_saturated += _saturate(planes, row, n_planes, rules.counter_bits)
        carry_word = _ZERO
        for k in range(n_planes):
            if not rules.signed:
                _append(planes[row, k], codes, row, products, weight, k, lists)
                continue
            low_word, high_word = planes[row, k], planes[row, k + 1]
            lit_word = low_word ^ carry_word
            carry_word = (low_word & high_word) | (carry_word & (low_word | high_word))
            _append(lit_word & ~high_word, codes, row, products, weight, k, lists)
            _append_inverted(lit_word & high_word, codes, row, products, weight, k, lists)
        _append(carry_word, codes, row, products, weight, n_planes, lists)
    sums[SATURATED] += n_saturated


@kernel()
def _saturate(planes: Words, row: int, n_planes: int, n_bits: int) -> Integer:
    """Make numbers of more than `n_bits` the largest that has so many; return how many were."""
    over_word = _ZERO
    for k in range(n_bits, n_planes):
        over_word |= planes[row, k]
        planes[row, k] = _ZERO
    for k in range(n_bits):
        planes[row, k] |= over_word
    return popcount(over_word)


@kernel()
def _append(
    lanes_word: np.uint64,
    codes: Bytes,
    row: int,
    products: Words,
    weight: int,
    place: int,
    lists: Lists,
) -> None:
    """Append an operand in each lane that a word names: the product of its code, shifted."""
    words, ends, shift = lists.words, lists.ends, np.uint64(place)
    while lanes_word:
        below_word = lanes_word - _ONE
        lane = popcount(below_word & ~lanes_word)
        end = ends[lane]
        words[end] = products[weight, codes[row, lane]] << shift
        ends[lane] = end + _STEP
        lanes_word &= below_word


@kernel()
def _append_inverted(
    lanes_word: np.uint64,
    codes: Bytes,
    row: int,
    products: Words,
    weight: int,
    place: int,
    lists: Lists,
) -> None:
    """Append the inverted word in each lane that a word names."""
    words, ends, shift = lists.words, lists.ends, np.uint64(place)
    while lanes_word:
        below_word = lanes_word - _ONE
        lane = popcount(below_word & ~lanes_word)
        end = ends[lane]
        words[end] = ~(products[weight, codes[row, lane]] << shift)
        ends[lane] = end + _STEP
        lists.last[2, lane] += _ONE
        lanes_word &= below_word


@kernel()
def _list_counters(
    n_codes: int, products: Words, rules: Rules, tile: Tile, lane: int, lists: Lists, sums: Ints
) -> None:
    """List the operands of a group in one lane, whose counters met so many codes."""
    for i in range(n_codes):
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
                lists.ends[lane] = end + _STEP
                lists.last[2, lane] += np.uint64(is_negative)
            n_met >>= 1
            place += 1


@kernel()
def _count_long(groups: Groups, group: int, rules: Rules, tile: Tile) -> bool:
    """Count the codes of a long group for all lanes, if they are few enough; return whether so."""
    n_codes, some = groups.products.shape[1], tile.some
    if rules.longest == 0 or n_codes > LONGEST:
        return False
    tile.wide[:] = 0
    for first in range(groups.starts[group], groups.starts[group + 1], LONGEST):
        some[0], some[1] = first, min(first + LONGEST, groups.starts[group + 1])
        count_codes(tile.codes, groups.taps, some, 0, tile.lit, tile.rows, tile.counts, n_codes)
        for code in range(n_codes):
            for lane in range(LANES):
                tile.wide[code, lane] += np.int32(tile.counts[code, lane])
    return True


@kernel()
def _count(taps: Taps, tile: Tile, lane: int, together: bool) -> Integer:
    """Set the counter of each code of a group in a lane; return how many codes were met."""
    n_met: Integer = 0
    if together:
        for row in range(tile.wide.shape[0]):
            tile.met[n_met] = row
            tile.counters[row] = tile.wide[row, lane]
            n_met += tile.wide[row, lane] != 0
        return n_met
    for tap in taps:
        code = np.int64(tile.codes[tap, lane])
        if tile.high.shape[0] > 0:
            code |= np.int64(tile.high[tap, lane]) << 8
        tile.met[n_met] = code
        n_met += tile.counters[code] == 0
        tile.counters[code] += 1
    return n_met


@kernel()
def count_digits(groups: Groups, rules: Rules, tile: Tile, digits: Digits, sums: Ints) -> None:
    """Count the digits of every filter's counts in all lanes; add READS, NEGATIVES and LARGEST.

    Shapes
    ------
    digits: (n_filters, LANES)
    """
    limit, starts = min(2 * groups.products.shape[1], NUMBERED), groups.starts
    for f in range(digits.shape[0]):
        found = digits[f]
        found[:] = 0
        group, last = groups.firsts[f], groups.firsts[f + 1]
        while group < last:
            n = starts[group + 1] - starts[group]
            if n > rules.longest:
                taps = groups.taps[starts[group] : starts[group + 1]]
                together = _count_long(groups, group, rules, tile)
                for lane in range(LANES):
                    if tile.lit[lane]:
                        n_met = _count(taps, tile, lane, together)
                        found[lane] += _count_counters(n_met, rules, tile, sums)
                group += 1
            elif n > limit:
                n_rows = _count_together(groups, group, group + 1, tile)
                add_digits(tile.counts, n_rows, rules.signed, found, sums)
                group += 1
            else:
                stop = _groups_together(starts, group, last, min(rules.longest, limit))
                add_group_digits(
                    tile.codes,
                    groups.taps,
                    starts,
                    group,
                    stop,
                    rules.signed,
                    tile.lit,
                    found,
                    sums,
                )
                group = stop


@kernel()
def _count_counters(n_codes: int, rules: Rules, tile: Tile, sums: Ints) -> Integer:
    """Return the digits of a group's counts in one lane, whose counters met so many codes."""
    n_digits: Integer = 0
    for i in range(n_codes):
        n_met = tile.counters[tile.met[i]]
        tile.counters[tile.met[i]] = 0
        sums[READS] += 1
        sums[LARGEST] = max(sums[LARGEST], n_met)
        half = n_met >> 1 if rules.signed else 0
        lit = (n_met + half) ^ half
        n_digits += popcount(np.uint64(lit))
        sums[NEGATIVES] += popcount(np.uint64(lit & half))
    return n_digits
