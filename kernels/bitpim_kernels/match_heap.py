"""The k best rows of a search, kept as a heap while blocks of rows pass.

Rows are better with a lesser total, and among equal totals the lower ones are. The worst that is
kept is on top.
"""

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.match_tile import BLOCK_WORDS, rows_at_most
from bitpim_kernels.vector import popcount

__all__ = ["keep_least", "sort_kept"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@kernel()
def keep_least(
    planes: Words, n_planes: int, w: int, found: Words, rows: Ints, totals: Ints
) -> None:
    """Take the rows found in the block at word w, of which none is worse than the worst kept.

    `rows` and `totals` are a heap, the worst on top; later rows lose ties. Planes from `n_planes`
    on are scratch.
    """
    n = 0
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
def sort_kept(rows: Ints, totals: Ints) -> None:
    """Put a heap in order, the best first."""
    for end in range(rows.shape[0] - 1, 0, -1):
        row, total = rows[end], totals[end]
        rows[end], totals[end] = rows[0], totals[0]
        _sift(total, row, rows[:end], totals[:end])
