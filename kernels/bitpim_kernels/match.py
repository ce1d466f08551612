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

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.match_tile import BLOCK_WORDS, count_lines, matching_rows, rows_at_most
from bitpim_kernels.vector import popcount

__all__ = ["best_rows", "first_matches", "match_lines", "weighted_best", "within"]

Ints = npt.NDArray[np.int64]
Lines = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)

_FEW_QUERIES = 8  # so few read the cells where they are
_LISTED = 1 << 16  # search lines of the queries that pass a block together, at most
_MATCH_LISTED = 1 << 18  # the same for matches, which read the first few lines of a query only
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
def _list_lines(query: Words, care: Words, n_bits: int, lines: Lines) -> int:
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


@kernel()
def within(
    miss: Words, queries: Words, care: Words, n_rows: int, limit: int, out: Words
) -> None:
    """Write which rows have at most `limit` cells that discharge the match line.

    Shapes
    ------
    out: (n_queries, row_words)
    """
    n_queries, n_bits = queries.shape[0], miss.shape[1]
    lines = miss.reshape(2 * n_bits, miss.shape[2])
    laid = np.empty((2 * n_bits, BLOCK_WORDS), np.uint64)
    rows, found = np.empty(BLOCK_WORDS, np.uint64), np.zeros(BLOCK_WORDS, np.uint64)
    together = max(1, min(n_queries, _LISTED // n_bits))
    listed, n_listed = np.empty((together, n_bits), np.int32), np.empty(together, np.int64)
    n_planes, limit = _n_planes(n_bits), min(limit, n_bits)
    planes = np.empty((n_planes, BLOCK_WORDS), np.uint64)
    for start in range(0, n_queries, together):
        end = min(start + together, n_queries)
        for q in range(start, end):
            n_listed[q - start] = _list_lines(queries[q], care[q], n_bits, listed[q - start])
        for w in range(0, miss.shape[2], BLOCK_WORDS):
            cells, at = _block(lines, w, end - start <= _FEW_QUERIES, laid)
            _rows_of(n_rows, w, rows)
            for q in range(start, end):
                if limit >= 0:
                    i = q - start
                    count_lines(cells, at, listed[i], n_listed[i], planes, n_planes)
                    rows_at_most(planes, n_planes, limit, rows, found)
                _put(found, w, out[q])


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
    n_queries, n_bits = queries.shape[0], miss.shape[1]
    lines = miss.reshape(2 * n_bits, miss.shape[2])
    laid = np.empty((2 * n_bits, BLOCK_WORDS), np.uint64)
    in_use = np.empty(BLOCK_WORDS, np.uint64)
    n_levels = max(1, _n_planes(weights.max()))
    n_planes = max(1, _n_planes(weights.sum()))
    scratch = np.empty((2 * n_planes + 2, BLOCK_WORDS), np.uint64)
    together = max(1, min(n_queries, _LISTED // (n_levels * n_bits)))
    listed = np.empty((together, n_levels, n_bits), np.int32)
    n_listed = np.empty((together, n_levels), np.int64)
    totals[:] = _NONE_YET
    rows[:] = -1
    for start in range(0, n_queries, together):
        end = min(start + together, n_queries)
        for q in range(start, end):
            i = q - start
            _list_levels(queries[q], care[q], weights, listed[i], n_listed[i])
        for w in range(0, miss.shape[2], BLOCK_WORDS):
            cells, at = _block(lines, w, end - start <= _FEW_QUERIES, laid)
            _rows_of(n_rows, w, in_use)
            for q in range(start, end):
                i = q - start
                limit = totals[q, 0] - 1
                if limit >= 0:
                    _add_levels(cells, at, listed[i], n_listed[i], scratch, n_planes)
                    _keep_least(scratch, n_planes, w, in_use, rows[q], totals[q])
    for q in range(n_queries):
        _sort(rows[q], totals[q])


@kernel()
def _list_levels(query: Words, care: Words, weights: Ints, listed: Lines, n_listed: Ints) -> None:
    """List the search lines that a query drives, for each bit of their weight those that have it.

    Shapes
    ------
    listed: (n_levels, n_bits)
    n_listed: (n_levels,)
    """
    n_bits = weights.shape[0]
    n = _list_lines(query, care, n_bits, listed[0])
    for level in range(listed.shape[0] - 1, -1, -1):  # those of level 0 are among all, in place
        n_listed[level] = 0
        for i in range(n):
            line = listed[0, i]
            weight = weights[line if line < n_bits else line - n_bits]
            if (weight >> level) & 1:
                listed[level, n_listed[level]] = line
                n_listed[level] += 1


@kernel()
def _add_levels(
    cells: Words, at: int, listed: Lines, n_listed: Ints, planes: Words, n_planes: int
) -> None:
    """Write the total of each row; planes beyond those of the total are scratch."""
    count_lines(cells, at, listed[0], n_listed[0], planes, n_planes)
    for level in range(1, listed.shape[0]):
        if n_listed[level]:
            n = _n_planes(n_listed[level])
            part = planes[n_planes : n_planes + n]
            count_lines(cells, at, listed[level], n_listed[level], part, n)
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
