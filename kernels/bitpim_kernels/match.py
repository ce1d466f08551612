"""Searches of a content-addressable memory: match lines, first matches, the nearest rows.

A cell is a pair of pull-downs, and `miss` is the record of both: bit r of ``miss[b, k]`` (rows are
lanes) is one where cell k of row r discharges its match line as bit k of the query is b. A stored 0
is (0, 1), a stored 1 is (1, 0), a stored don't-care and a cell stuck at match (0, 0), one stuck at
mismatch (1, 1). A bit of the query without care drives no search line and discharges nothing.

Rows are taken in blocks whose cells stay in the nearest cache while many queries pass; a query is
the list of the search lines it drives. Kernels are serial and release the GIL: callers share
queries out over threads.

Shapes of all kernels
---------------------
miss: (2, n_bits, row_words) padding rows zero
queries, care: (n_queries, bit_words) bit k of a query at bit k % 64 of word k // 64

Source: ternary cells with two pull-downs; standard.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.match_heap import keep_least, keep_none, sort_kept
from bitpim_kernels.match_threes import Threes, empty_lists, list_threes, masks_of, n_planes_of
from bitpim_kernels.match_tile import (
    BLOCK_WORDS,
    MATCH_WORDS,
    add_three,
    count_lines,
    matching_rows,
    rows_at_most,
)
from bitpim_kernels.vector import popcount

__all__ = ["best_rows", "first_matches", "match_lines", "within"]

Integer = Any  # int or np.int64
Ints = npt.NDArray[np.int64]
Listed = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)

_FEW_QUERIES = 8  # so few read the cells where they are
_LISTED = 1 << 18  # search lines of the queries that pass a block together, at most


@kernel()
def _rows_of(n_rows: int, w: int, rows: Words) -> None:
    """Write ones for the rows in use of the block that starts at word w."""
    for i in range(rows.shape[0]):
        used = n_rows - 64 * (w + i)
        if used >= 64:
            rows[i] = _ALL_ONES
        else:
            rows[i] = (_ONE << np.uint64(max(used, 0))) - _ONE


@kernel()
def _list_lines(query: Words, care: Words, n_bits: int, lines: Listed) -> Integer:
    """List the search lines that a query drives, line ``b * n_bits + k`` for bit k that is b."""
    n: Integer = 0
    for j in range(query.shape[0]):
        bits, cared = query[j], care[j]
        for k in range(64 * j, min(n_bits, 64 * j + 64)):
            lines[n] = k + n_bits * np.int64(bits & _ONE)
            n += np.int64(cared & _ONE)
            bits >>= _ONE
            cared >>= _ONE
    return n


@kernel()
def _lay(miss: Words, w: int, cells: Words) -> None:
    """Copy the block that starts at word w, or what there is of it."""
    n = min(cells.shape[1], miss.shape[1] - w)
    for line in range(miss.shape[0]):
        for i in range(cells.shape[1]):
            cells[line, i] = miss[line, w + i] if i < n else _ZERO


@kernel()
def _block(lines: Words, w: int, few: bool, laid: Words) -> tuple[Words, int]:
    """Return where the block that starts at word w can be read, and its first word there."""
    if few and w + laid.shape[1] <= lines.shape[1]:
        return lines, w
    _lay(lines, w, laid)
    return laid, 0


@kernel()
def first_matches(
    miss: Words, queries: Words, care: Words, n_rows: int, first: Ints, count: Ints
) -> None:
    """Write the lowest row that matches each query, or -1, and how many rows match.

    Shapes
    ------
    first, count: (n_queries,)
    """
    for q in range(queries.shape[0]):
        first[q], count[q] = -1, 0
    _match(miss, queries, care, n_rows, first, count, np.empty((0, 0), np.uint64))


@kernel()
def match_lines(miss: Words, queries: Words, care: Words, n_rows: int, out: Words) -> None:
    """Write which rows match each query.

    Shapes
    ------
    out: (n_queries, row_words)
    """
    none = np.empty(0, np.int64)
    _match(miss, queries, care, n_rows, none, none, out)


@kernel()
def _match(
    miss: Words,
    queries: Words,
    care: Words,
    n_rows: int,
    first: Ints,
    count: Ints,
    out: Words,
) -> None:
    """Match all queries; `out` without words where first matches are wanted."""
    n_queries, n_bits = queries.shape[0], miss.shape[1]
    lines = miss.reshape(2 * n_bits, miss.shape[2])
    laid = np.empty((2 * n_bits, MATCH_WORDS), np.uint64)
    rows, found = np.empty(MATCH_WORDS, np.uint64), np.empty(MATCH_WORDS, np.uint64)
    together = max(1, min(n_queries, _LISTED // n_bits))
    listed, n_listed = np.empty((together, n_bits), np.int32), np.empty(together, np.int64)
    for start in range(0, n_queries, together):
        end = min(start + together, n_queries)
        for q in range(start, end):
            n_listed[q - start] = _list_lines(queries[q], care[q], n_bits, listed[q - start])
        for w in range(0, miss.shape[2], MATCH_WORDS):
            cells, at = _block(lines, w, end - start <= _FEW_QUERIES, laid)
            _rows_of(n_rows, w, rows)
            for q in range(start, end):
                i = q - start
                some = matching_rows(cells, at, listed[i], n_listed[i], rows, found)
                if out.shape[1]:
                    _put(found, w, out[q])
                elif some:
                    _note_matches(found, w, first[q : q + 1], count[q : q + 1])


@kernel()
def _note_matches(found: Words, w: int, first: Ints, count: Ints) -> None:
    """Take the matches of a block that starts at word w into what was found before it."""
    for i in range(MATCH_WORDS):
        if found[i] != _ZERO:
            if count[0] == 0:
                first[0] = 64 * (w + i) + popcount(~found[i] & (found[i] - _ONE))
            count[0] += popcount(found[i])


@kernel()
def _put(found: Words, w: int, out: Words) -> None:
    """Write a block that starts at word w into its row."""
    for i in range(min(found.shape[0], out.shape[0] - w)):
        out[w + i] = found[i]


class _Wanted(NamedTuple):
    """What a search by distance looks for: rows within the limits where k is 0, else the k best.

    Shapes
    ------
    limits: (n_queries,)
    lines: (n_queries, row_words) match lines
    rows, totals: (n_queries, k)
    """

    limits: Ints
    lines: Words
    rows: Ints
    totals: Ints


@kernel()
def within(
    miss: Words,
    queries: Words,
    care: Words,
    n_rows: int,
    weights: Ints,
    limits: Ints,
    out: Words,
) -> None:
    """Write which rows have at most a query's limit of weight in cells that discharge.

    The caller sees to it that all weights, none negative, add up to less than 2^63 - 1; weights of
    1 count cells.

    Shapes
    ------
    weights: (n_bits,)
    limits: (n_queries,)
    out: (n_queries, row_words)
    """
    none = np.empty((queries.shape[0], 0), np.int64)
    _search(miss, queries, care, n_rows, weights, _Wanted(limits, out, none, none))


@kernel()
def best_rows(
    miss: Words,
    queries: Words,
    care: Words,
    n_rows: int,
    weights: Ints,
    rows: Ints,
    totals: Ints,
) -> None:
    """Write the k rows with the least weight in cells that discharge the match line, and it.

    They are in order of weight, and of row where weights are equal. The caller sees to it that k is
    at least 1 and at most `n_rows`, and that all weights, none negative, add up to less than
    2^63 - 1; weights of 1 count cells.

    Shapes
    ------
    weights: (n_bits,)
    rows, totals: (n_queries, k)
    """
    keep_none(rows, totals)
    none = np.empty(0, np.int64)
    wanted = _Wanted(none, np.empty((0, 0), np.uint64), rows, totals)
    _search(miss, queries, care, n_rows, weights, wanted)
    sort_kept(rows, totals)


@kernel()
def _search(
    miss: Words, queries: Words, care: Words, n_rows: int, weights: Ints, wanted: _Wanted
) -> None:
    """Find the total weight of what discharges each row, and what is wanted of it."""
    n_queries, n_bits = queries.shape[0], miss.shape[1]
    lines = miss.reshape(2 * n_bits, miss.shape[2])
    laid = np.empty((2 * n_bits, BLOCK_WORDS), np.uint64)
    in_use = np.empty(BLOCK_WORDS, np.uint64)
    found, nothing = np.empty(BLOCK_WORDS, np.uint64), np.zeros(BLOCK_WORDS, np.uint64)
    keeps = wanted.rows.shape[1] > 0
    most = _sum_of(weights)
    n_planes = max(1, n_planes_of(most))
    planes = np.empty((2 * n_planes + 2, BLOCK_WORDS), np.uint64)
    masks = masks_of(weights, queries.shape[1])
    threes = empty_lists(n_queries, n_bits, masks.shape[0])
    table = np.empty((threes.is_needed.shape[0], 2, BLOCK_WORDS), np.uint64)
    together = threes.listed.shape[0]
    for start in range(0, n_queries, together):
        end = min(start + together, n_queries)
        list_threes(queries[start:end], care[start:end], masks, n_bits, threes)
        for w in range(0, miss.shape[2], BLOCK_WORDS):
            cells, at = _block(lines, w, True, laid)
            _rows_of(n_rows, w, in_use)
            for i in range(1, threes.needed[0] + 1):
                add_three(cells, at, threes.lines, i, table, threes.needed[i])
            for q in range(start, end):
                i = q - start
                limit = wanted.totals[q, 0] - 1 if keeps else wanted.limits[q]
                limit = min(limit, most)
                some = False
                if limit >= 0:
                    count_lines(table, threes.listed[i, 0], threes.n_listed[i, 0], planes, n_planes)
                    if masks.shape[0] > 1:
                        _add_levels(table, threes, i, planes, n_planes)
                    some = rows_at_most(planes, n_planes, limit, in_use, found)
                if keeps and some:
                    keep_least(planes, n_planes, w, found, wanted.rows[q], wanted.totals[q])
                elif not keeps:
                    _put(found if some else nothing, w, wanted.lines[q])


@kernel()
def _sum_of(weights: Ints) -> int:
    """Return the sum of all weights."""
    most = 0
    for weight in weights:
        most += weight
    return most


@kernel()
def _add_levels(table: Words, threes: Threes, q: int, planes: Words, n_planes: int) -> None:
    """Add the levels above 0 to the total of each row; planes beyond its own are scratch."""
    for level in range(1, threes.listed.shape[1]):
        n_listed = threes.n_listed[q, level]
        if n_listed:
            part = planes[n_planes : n_planes + min(n_planes, n_planes_of(3 * n_listed))]
            count_lines(table, threes.listed[q, level], n_listed, part, part.shape[0])
            _add_shifted(part, level, planes[:n_planes])


@kernel()
def _add_shifted(part: Words, level: int, planes: Words) -> None:
    """Add 2^level times a number in every lane to one that can hold the sum."""
    for w in range(BLOCK_WORDS):
        carry = _ZERO
        for p in range(level, planes.shape[0]):
            x, y = planes[p, w], _ZERO
            if p - level < part.shape[0]:
                y = part[p - level, w]
            planes[p, w] = x ^ y ^ carry
            carry = (x & y) | (carry & (x ^ y))
