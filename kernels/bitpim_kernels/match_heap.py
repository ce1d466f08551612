"""The k best rows of a search, kept as a heap while blocks of rows pass.

Rows are better with a lesser total, and among equal totals the lower ones are. The worst that is
kept is on top.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.match_tile import BLOCK_WORDS, rows_at_most
from bitpim_kernels.vector import popcount

__all__ = ["keep_least", "keep_none", "sort_kept"]

Integer = Any  # int or np.int64
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_NONE_YET = np.int64(0x7FFFFFFFFFFFFFFF)


@kernel()
def keep_none(rows: Ints, totals: Ints) -> None:
    """Start the heaps of all queries, with totals that any row is better than.

    Shapes
    ------
    rows, totals: (n_queries, k)
    """
    for q in range(rows.shape[0]):  # loops: slice assignments compile for seconds
        for i in range(rows.shape[1]):
            rows[q, i], totals[q, i] = -1, _NONE_YET


@kernel()
def keep_least(
    planes: Words, n_planes: int, w: int, found: Words, rows: Ints, totals: Ints
) -> None:
    """Take the rows found in the block at word w, of which none is worse than the worst kept.

    `rows` and `totals` are a heap, the worst on top; later rows lose ties. Planes from `n_planes`
    on are scratch.
    """
    n: Integer = 0
    for i in range(BLOCK_WORDS):
        n += popcount(found[i])
    if n > 2 * rows.shape[0]:  # most of them would go again as better ones come
        limit = _total_at(planes, n_planes, rows.shape[0], found, planes[n_planes])
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
def _total_at(planes: Words, n_planes: int, k: Integer, found: Words, left: Words) -> Integer:
    """Return the k-th least total among the rows found; there are k or more."""
    for i in range(BLOCK_WORDS):
        left[i] = found[i]
    total = np.int64(0)
    for back in range(n_planes):
        p = n_planes - 1 - back
        n: Integer = 0
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
def _sift(total: Integer, row: Integer, rows: Ints, totals: Ints) -> None:
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
def _is_worse(i: int, total: Integer, row: Integer, rows: Ints, totals: Ints) -> bool:
    """Return whether the i-th row comes after another."""
    if totals[i] == total:
        return bool(rows[i] > row)
    return bool(totals[i] > total)


@kernel()
def sort_kept(rows: Ints, totals: Ints) -> None:
    """Put the heaps of all queries in order, the best first."""
    for q in range(rows.shape[0]):
        for end in range(rows.shape[1] - 1, 0, -1):
            row, total = rows[q, end], totals[q, end]
            rows[q, end], totals[q, end] = rows[q, 0], totals[q, 0]
            _sift(total, row, rows[q, :end], totals[q, :end])
