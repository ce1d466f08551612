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

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.match_tile import (
    BLOCK_WORDS,
    GROUP,
    add_three,
    count_lines,
    matching_rows,
    rows_at_most,
)
from bitpim_kernels.vector import popcount

__all__ = ["best_rows", "first_matches", "match_lines", "weighted_best", "within"]

Ints = npt.NDArray[np.int64]
Listed = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_SEVEN = np.uint64(7)
_WORD = np.uint64(64)
_ZERO = np.uint64(0)

_FEW_QUERIES = 8  # so few read the cells where they are
_LISTED = 1 << 16  # entries of the queries that pass a block together, at most
_MATCH_LISTED = (
    1 << 18
)  # search lines of those for matches, which read the first few lines of a query only
_NONE_YET = np.int64(0x7FFFFFFFFFFFFFFF)


@kernel()
def _rows_of(n_rows: int, w: int, rows: Words) -> None:
    """Write ones for the rows in use of the block that starts at word w."""
    for i in range(BLOCK_WORDS):
        used = n_rows - 64 * (w + i)
        if used >= 64:
            rows[i] = _ALL_ONES
        else:
            rows[i] = (_ONE << np.uint64(max(used, 0))) - _ONE


@kernel()
def _list_lines(query: Words, care: Words, n_bits: int, lines: Listed) -> int:
    """List the search lines that a query drives, line ``b * n_bits + k`` for bit k that is b."""
    n = 0
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
    n = min(BLOCK_WORDS, miss.shape[1] - w)
    for line in range(miss.shape[0]):
        for i in range(BLOCK_WORDS):
            cells[line, i] = miss[line, w + i] if i < n else _ZERO


@kernel()
def _block(lines: Words, w: int, few: bool, laid: Words) -> tuple[Words, int]:
    """Return where the block that starts at word w can be read, and its first word there."""
    if few and w + BLOCK_WORDS <= lines.shape[1]:
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
    n_queries, n_bits = queries.shape[0], miss.shape[1]
    lines = miss.reshape(2 * n_bits, miss.shape[2])
    laid = np.empty((2 * n_bits, BLOCK_WORDS), np.uint64)
    rows, found = np.empty(BLOCK_WORDS, np.uint64), np.empty(BLOCK_WORDS, np.uint64)
    together = max(1, min(n_queries, _MATCH_LISTED // n_bits))
    listed, n_listed = np.empty((together, n_bits), np.int32), np.empty(together, np.int64)
    first[:] = -1
    count[:] = 0
    for start in range(0, n_queries, together):
        end = min(start + together, n_queries)
        for q in range(start, end):
            n_listed[q - start] = _list_lines(queries[q], care[q], n_bits, listed[q - start])
        for w in range(0, miss.shape[2], BLOCK_WORDS):
            cells, at = _block(lines, w, end - start <= _FEW_QUERIES, laid)
            _rows_of(n_rows, w, rows)
            for q in range(start, end):
                i = q - start
                if matching_rows(cells, at, listed[i], n_listed[i], rows, found):
                    _note_matches(found, w, first[q : q + 1], count[q : q + 1])


@kernel()
def _note_matches(found: Words, w: int, first: Ints, count: Ints) -> None:
    """Take the matches of a block that starts at word w into what was found before it."""
    for i in range(BLOCK_WORDS):
        if found[i] != _ZERO:
            if count[0] == 0:
                first[0] = 64 * (w + i) + popcount(~found[i] & (found[i] - _ONE))
            count[0] += popcount(found[i])


@kernel()
def match_lines(miss: Words, queries: Words, care: Words, n_rows: int, out: Words) -> None:
    """Write which rows match each query.

    Shapes
    ------
    out: (n_queries, row_words)
    """
    n_queries, n_bits = queries.shape[0], miss.shape[1]
    lines = miss.reshape(2 * n_bits, miss.shape[2])
    laid = np.empty((2 * n_bits, BLOCK_WORDS), np.uint64)
    rows, found = np.empty(BLOCK_WORDS, np.uint64), np.empty(BLOCK_WORDS, np.uint64)
    together = max(1, min(n_queries, _MATCH_LISTED // n_bits))
    listed, n_listed = np.empty((together, n_bits), np.int32), np.empty(together, np.int64)
    for start in range(0, n_queries, together):
        end = min(start + together, n_queries)
        for q in range(start, end):
            n_listed[q - start] = _list_lines(queries[q], care[q], n_bits, listed[q - start])
        for w in range(0, miss.shape[2], BLOCK_WORDS):
            cells, at = _block(lines, w, end - start <= _FEW_QUERIES, laid)
            _rows_of(n_rows, w, rows)
            for q in range(start, end):
                i = q - start
                matching_rows(cells, at, listed[i], n_listed[i], rows, found)
                _put(found, w, out[q])


@kernel()
def _put(found: Words, w: int, out: Words) -> None:
    """Write a block that starts at word w into its row."""
    for i in range(min(BLOCK_WORDS, out.shape[0] - w)):
        out[w + i] = found[i]


@kernel()
def _n_planes(most: int) -> int:
    """Return how many bits a number has."""
    n = 0
    while most >> n:
        n += 1
    return n


class _Wanted(NamedTuple):
    """What a search by distance looks for: rows within a limit where k is 0, else the k best.

    Shapes
    ------
    lines: (n_queries, row_words) match lines
    rows, totals: (n_queries, k)
    """

    limit: int
    lines: Words
    rows: Ints
    totals: Ints


class _Threes(NamedTuple):
    """Queries as lists of the sums of three search lines side by side that they need.

    Entry ``pattern * n_threes + i`` is the sum of bits 3 i .. 3 i + 2 of a query that has this
    pattern there: the bits, and above them which of the three are not cared for.

    Shapes
    ------
    listed: (queries, n_levels, whole groups of entries)
    n_listed: (queries, n_levels)
    needed: (1 + entries,) the number of entries that any query needs, and they
    lines: (1 + entries, 3) the lines of each of them, -1 for none
    is_needed: (entries,)
    """

    listed: Listed
    n_listed: Ints
    needed: Ints
    lines: Ints
    is_needed: npt.NDArray[np.bool_]


@kernel()
def within(miss: Words, queries: Words, care: Words, n_rows: int, limit: int, out: Words) -> None:
    """Write which rows have at most `limit` cells that discharge the match line.

    Shapes
    ------
    out: (n_queries, row_words)
    """
    weights = np.ones(miss.shape[1], np.int64)
    none = np.empty((queries.shape[0], 0), np.int64)
    _search(miss, queries, care, n_rows, weights, _Wanted(limit, out, none, none))


@kernel()
def best_rows(
    miss: Words, queries: Words, care: Words, n_rows: int, rows: Ints, distances: Ints
) -> None:
    """Write the k rows with the fewest cells that discharge the match line, and how many.

    They are in order of distance, and of row where distances are equal. The caller sees to it that
    k is at least 1 and at most `n_rows`.

    Shapes
    ------
    rows, distances: (n_queries, k)
    """
    weights = np.ones(miss.shape[1], np.int64)
    weighted_best(miss, queries, care, n_rows, weights, rows, distances)


@kernel()
def weighted_best(
    miss: Words,
    queries: Words,
    care: Words,
    n_rows: int,
    weights: Ints,
    rows: Ints,
    totals: Ints,
) -> None:
    """Write the k rows with the least weight of cells that discharge the match line, and it.

    They are in order of weight, and of row where weights are equal. The caller sees to it that k is
    at least 1 and at most `n_rows`, and that all weights, none negative, add up to less than
    2^63 - 1.

    Shapes
    ------
    weights: (n_bits,)
    rows, totals: (n_queries, k)
    """
    totals[:] = _NONE_YET
    rows[:] = -1
    no_lines = np.empty((0, 0), np.uint64)
    _search(miss, queries, care, n_rows, weights, _Wanted(0, no_lines, rows, totals))
    for q in range(queries.shape[0]):
        _sort(rows[q], totals[q])


@kernel()
def _search(
    miss: Words, queries: Words, care: Words, n_rows: int, weights: Ints, wanted: _Wanted
) -> None:
    """Find the total weight of what discharges each row, and what is wanted of it."""
    n_queries, n_bits = queries.shape[0], miss.shape[1]
    lines = miss.reshape(2 * n_bits, miss.shape[2])
    laid = np.empty((2 * n_bits, BLOCK_WORDS), np.uint64)
    in_use = np.empty(BLOCK_WORDS, np.uint64)
    n_planes = max(1, _n_planes(weights.sum()))
    planes = np.empty((2 * n_planes + 2, BLOCK_WORDS), np.uint64)
    masks = _masks_of(weights, queries.shape[1])
    threes = _empty_lists(n_queries, n_bits, masks.shape[0])
    table = np.empty((threes.is_needed.shape[0], 2, BLOCK_WORDS), np.uint64)
    together = threes.listed.shape[0]
    for start in range(0, n_queries, together):
        end = min(start + together, n_queries)
        _list_threes(queries[start:end], care[start:end], masks, n_bits, threes)
        for w in range(0, miss.shape[2], BLOCK_WORDS):
            cells, at = _block(lines, w, True, laid)
            _rows_of(n_rows, w, in_use)
            for i in range(1, threes.needed[0] + 1):
                add_three(cells, at, threes.lines, i, table, threes.needed[i])
            for q in range(start, end):
                if wanted.rows.shape[1] == 0 or wanted.totals[q, 0] > 0:
                    _add_levels(table, threes, q - start, planes, n_planes)
                    _take(planes, n_planes, w, in_use, wanted, q)


@kernel()
def _masks_of(weights: Ints, n_words: int) -> Words:
    """Return for each bit of the weights, as packed words, which weights have it."""
    masks = np.zeros((max(1, _n_planes(weights.max())), n_words), np.uint64)
    for level in range(masks.shape[0]):
        for k in range(weights.shape[0]):
            bit = np.uint64((weights[k] >> level) & 1)
            masks[level, k // 64] |= bit << np.uint64(k % 64)
    return masks


@kernel()
def _empty_lists(n_queries: int, n_bits: int, n_levels: int) -> _Threes:
    """Return the lists of no queries, and place for as many as pass a block together."""
    n_threes = (n_bits + 2) // 3
    n_padded = (n_threes + GROUP - 1) // GROUP * GROUP
    together = max(1, min(n_queries, _LISTED // (n_levels * n_padded)))
    n_entries = 64 * n_threes
    needed = np.empty(1 + n_entries, np.int64)
    needed[0] = 0
    return _Threes(
        np.empty((together, n_levels, n_padded), np.int32),
        np.empty((together, n_levels), np.int64),
        needed,
        np.empty((1 + n_entries, 3), np.int64),
        np.zeros(n_entries, np.bool_),
    )


@kernel()
def _list_threes(queries: Words, care: Words, masks: Words, n_bits: int, threes: _Threes) -> None:
    """List what some queries need, in the place of what was listed before."""
    for i in range(1, threes.needed[0] + 1):
        threes.is_needed[threes.needed[i]] = False
    threes.needed[0] = 0
    n_threes = threes.is_needed.shape[0] // 64
    nothing = 56 * n_threes
    _need(nothing, n_bits, threes)
    for q in range(queries.shape[0]):
        for level in range(masks.shape[0]):
            listed, n = threes.listed[q, level], 0
            for i in range(n_threes):
                cared = _three(care[q], 3 * i) & _three(masks[level], 3 * i)
                if cared != 0:
                    pattern = (_three(queries[q], 3 * i) & cared) | ((7 - cared) << 3)
                    listed[n] = pattern * n_threes + i
                    _need(listed[n], n_bits, threes)
                    n += 1
            while n % GROUP:
                listed[n] = nothing
                n += 1
            threes.n_listed[q, level] = n


@kernel()
def _three(words: Words, k: int) -> int:
    """Return bits k .. k + 2 of packed words; beyond them all is zero."""
    j, low = k // 64, np.uint64(k % 64)
    word = words[j] >> low
    if k % 64 > 61 and j + 1 < words.shape[0]:
        word |= words[j + 1] << (_WORD - low)
    return np.int64(word & _SEVEN)


@kernel()
def _need(entry: int, n_bits: int, threes: _Threes) -> None:
    """Take an entry among those needed, if it is not yet."""
    if threes.is_needed[entry]:
        return
    threes.is_needed[entry] = True
    n_threes = threes.is_needed.shape[0] // 64
    pattern, i = entry // n_threes, entry % n_threes
    n = threes.needed[0] + 1
    threes.needed[0], threes.needed[n] = n, entry
    for j in range(3):
        line = ((pattern >> j) & 1) * n_bits + 3 * i + j
        threes.lines[n, j] = -1 if (pattern >> (3 + j)) & 1 else line


@kernel()
def _add_levels(table: Words, threes: _Threes, q: int, planes: Words, n_planes: int) -> None:
    """Write the total of each row; planes beyond those of the total are scratch."""
    count_lines(table, threes.listed[q, 0], threes.n_listed[q, 0], planes, n_planes)
    for level in range(1, threes.listed.shape[1]):
        n_listed = threes.n_listed[q, level]
        if n_listed:
            part = planes[n_planes : n_planes + min(n_planes, _n_planes(3 * n_listed))]
            count_lines(table, threes.listed[q, level], n_listed, part, part.shape[0])
            _add_shifted(part, level, planes[:n_planes])


@kernel()
def _take(planes: Words, n_planes: int, w: int, in_use: Words, wanted: _Wanted, q: int) -> None:
    """Take what is wanted of the block at word w; planes from `n_planes` on are scratch."""
    if wanted.rows.shape[1]:
        _keep_least(planes, n_planes, w, in_use, wanted.rows[q], wanted.totals[q])
        return
    found = planes[n_planes]
    limit = min(wanted.limit, _NONE_YET >> (63 - n_planes))
    found[:] = _ZERO
    if limit >= 0:
        rows_at_most(planes, n_planes, limit, in_use, found)
    _put(found, w, wanted.lines[q])


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


@kernel()
def _keep_least(
    planes: Words, n_planes: int, w: int, in_use: Words, rows: Ints, totals: Ints
) -> None:
    """Take the rows of the block at word w that are better than the worst kept so far.

    `rows` and `totals` are a heap, the worst on top; later rows lose ties. Planes from `n_planes`
    on are scratch.
    """
    found, left = planes[n_planes], planes[n_planes + 1]
    limit = min(totals[0] - 1, _NONE_YET >> (63 - n_planes))
    if not rows_at_most(planes, n_planes, limit, in_use, found):
        return
    n = 0
    for i in range(BLOCK_WORDS):
        n += popcount(found[i])
    if n > 2 * rows.shape[0]:  # most of them would go again as better ones come
        limit = _total_at(planes, n_planes, rows.shape[0], found, left)
        rows_at_most(planes, n_planes, limit, found, found)
    for i in range(BLOCK_WORDS):
        word = found[i]
        while word != _ZERO:
            lane = np.uint64(popcount(~word & (word - _ONE)))
            word &= word - _ONE
            total = np.int64(0)
            for p in range(n_planes):
                total |= np.int64((planes[p, i] >> lane) & _ONE) << p
            if total < totals[0]:
                _sift(total, 64 * (w + i) + np.int64(lane), rows, totals)


@kernel()
def _total_at(planes: Words, n_planes: int, k: int, found: Words, left: Words) -> int:
    """Return the k-th least total among the rows found; there are k or more."""
    for i in range(BLOCK_WORDS):
        left[i] = found[i]
    total = np.int64(0)
    for back in range(n_planes):
        p = n_planes - 1 - back
        n = 0
        for i in range(BLOCK_WORDS):
            n += popcount(left[i] & ~planes[p, i])
        lit = n < k
        if lit:
            k -= n
            total |= np.int64(1) << p
        for i in range(BLOCK_WORDS):
            left[i] &= planes[p, i] if lit else ~planes[p, i]
    return total


@kernel()
def _sift(total: int, row: int, rows: Ints, totals: Ints) -> None:
    """Put a row in the place of the top of a heap, and the worst on top."""
    n, at = rows.shape[0], 0
    while 2 * at + 1 < n:
        child = 2 * at + 1
        if child + 1 < n and _is_worse(child + 1, totals[child], rows[child], rows, totals):
            child += 1
        if not _is_worse(child, total, row, rows, totals):
            break
        rows[at], totals[at] = rows[child], totals[child]
        at = child
    rows[at], totals[at] = row, total


@kernel()
def _is_worse(i: int, total: int, row: int, rows: Ints, totals: Ints) -> bool:
    """Return whether the i-th row comes after another."""
    return totals[i] > total or (totals[i] == total and rows[i] > row)


@kernel()
def _sort(rows: Ints, totals: Ints) -> None:
    """Put a heap in order, the best first."""
    for end in range(rows.shape[0] - 1, 0, -1):
        row, total = rows[end], totals[end]
        rows[end], totals[end] = rows[0], totals[0]
        _sift(total, row, rows[:end], totals[:end])
