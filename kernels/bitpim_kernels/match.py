"""Searches of a content-addressable memory: match lines, first matches, the nearest rows.

A cell is a pair of pull-downs, and `miss` is the record of both: bit r of ``miss[b, k]`` (rows are
lanes) is one where cell k of row r discharges its match line as bit k of the query is b. A stored 0
is (0, 1), a stored 1 is (1, 0), a stored don't-care and a cell stuck at match (0, 0), one stuck at
mismatch (1, 1). A bit of the query without care drives no search line and discharges nothing.

Shapes of all kernels
---------------------
miss: (2, n_bits, row_words), padding rows zero
queries, care: (n_queries, bit_words) bit k of a query at bit k % 64 of word k // 64

Kernels are serial and release the GIL: callers share queries out over threads.

Source: ternary cells with two pull-downs; standard.
"""

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.vector import popcount

__all__ = ["best_rows", "first_matches", "match_lines", "weighted_best", "within"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_WORD = np.uint64(64)
_ZERO = np.uint64(0)


@kernel()
def _bit(words: Words, k: int) -> int:
    """Return bit k of packed words."""
    return np.int64((words[k // 64] >> np.uint64(k % 64)) & _ONE)


@kernel()
def _rows_of(w: int, n_rows: int) -> np.uint64:
    """Return the word of ones for the rows in use of word w of a row of lanes."""
    used = n_rows - 64 * w
    return _ALL_ONES if used >= 64 else (_ONE << np.uint64(used)) - _ONE


@kernel()
def _alive(miss: Words, query: Words, care: Words, w: int, rows: np.uint64) -> np.uint64:
    """Return which of the 64 rows of word w match."""
    alive = rows
    for k in range(miss.shape[1]):
        if _bit(care, k):
            alive &= ~miss[_bit(query, k), k, w]
            if alive == _ZERO:
                break
    return alive


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
        for w in range(miss.shape[2]):
            alive = _alive(miss, queries[q], care[q], w, _rows_of(w, n_rows))
            if alive != _ZERO:
                if count[q] == 0:
                    first[q] = 64 * w + popcount(~alive & (alive - _ONE))
                count[q] += popcount(alive)


@kernel()
def match_lines(miss: Words, queries: Words, care: Words, n_rows: int, out: Words) -> None:
    """Write which rows match each query.

    Shapes
    ------
    out: (n_queries, row_words)
    """
    for q in range(queries.shape[0]):
        for w in range(miss.shape[2]):
            out[q, w] = _alive(miss, queries[q], care[q], w, _rows_of(w, n_rows))


@kernel()
def _totals(miss: Words, query: Words, care: Words, weights: Ints, totals: Ints) -> None:
    """Write the weight of all cells of each row that discharge its match line."""
    totals[:] = 0
    for k in range(miss.shape[1]):
        if _bit(care, k):
            row = miss[_bit(query, k), k]
            for r in range(totals.shape[0]):
                totals[r] += weights[k] * _bit(row, r)


@kernel()
def within(miss: Words, queries: Words, care: Words, n_rows: int, limit: int, out: Words) -> None:
    """Write which rows have at most `limit` cells that discharge the match line.

    Shapes
    ------
    out: (n_queries, row_words)
    """
    weights = np.ones(miss.shape[1], np.int64)
    totals = np.empty(n_rows, np.int64)
    for q in range(queries.shape[0]):
        _totals(miss, queries[q], care[q], weights, totals)
        out[q, :] = _ZERO
        for r in range(n_rows):
            if totals[r] <= limit:
                out[q, r // 64] |= _ONE << np.uint64(r % 64)


@kernel()
def _keep_least(totals: Ints, rows: Ints, least: Ints) -> None:
    """Write the rows of least total, by total and then by row, and their totals."""
    kept = 0
    for r in range(totals.shape[0]):
        if kept == least.shape[0] and totals[r] >= least[kept - 1]:
            continue
        if kept < least.shape[0]:
            kept += 1
        at = kept - 1
        while at > 0 and least[at - 1] > totals[r]:
            least[at], rows[at] = least[at - 1], rows[at - 1]
            at -= 1
        least[at], rows[at] = totals[r], r


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
    totals = np.empty(n_rows, np.int64)
    for q in range(queries.shape[0]):
        _totals(miss, queries[q], care[q], weights, totals)
        _keep_least(totals, rows[q], distances[q])


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
    at least 1 and at most `n_rows`, and that all weights, none negative, add up within int64.

    Shapes
    ------
    weights: (n_bits,)
    rows, totals: (n_queries, k)
    """
    of_rows = np.empty(n_rows, np.int64)
    for q in range(queries.shape[0]):
        _totals(miss, queries[q], care[q], weights, of_rows)
        _keep_least(of_rows, rows[q], totals[q])
