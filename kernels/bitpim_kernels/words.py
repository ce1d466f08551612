"""Logic, shifts and counts on packed rows of lanes.

A result that NOT can light in the padding takes `tail`, the `tail_mask` of the row, so that
padding lanes stay zero. `out` may be an input.
"""

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.vector import popcount

__all__ = [
    "all_lanes",
    "and_rows",
    "any_lane",
    "count_ones",
    "nor_rows",
    "not_row",
    "or_rows",
    "popcount",
    "shift_lanes_down",
    "shift_lanes_up",
    "xor_rows",
]

_ZERO = np.uint64(0)
_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)

Row = npt.NDArray[np.uint64]


@kernel()
def and_rows(a: Row, b: Row, out: Row) -> None:
    """Write a AND b, lane by lane.

    Shapes
    ------
    a, b, out: (words,)
    """
    for w in range(out.shape[0]):
        out[w] = a[w] & b[w]


@kernel()
def or_rows(a: Row, b: Row, out: Row) -> None:
    """Write a OR b, lane by lane.

    Shapes
    ------
    a, b, out: (words,)
    """
    for w in range(out.shape[0]):
        out[w] = a[w] | b[w]


@kernel()
def xor_rows(a: Row, b: Row, out: Row) -> None:
    """Write a XOR b, lane by lane.

    Shapes
    ------
    a, b, out: (words,)
    """
    for w in range(out.shape[0]):
        out[w] = a[w] ^ b[w]


@kernel()
def nor_rows(a: Row, b: Row, tail: np.uint64, out: Row) -> None:
    """Write NOT (a OR b), lane by lane; padding stays zero.

    Shapes
    ------
    a, b, out: (words,)
    """
    last = out.shape[0] - 1
    for w in range(out.shape[0]):
        out[w] = ~(a[w] | b[w])
    if last >= 0:
        out[last] &= tail


@kernel()
def not_row(a: Row, tail: np.uint64, out: Row) -> None:
    """Write NOT a, lane by lane; padding stays zero.

    Shapes
    ------
    a, out: (words,)
    """
    last = out.shape[0] - 1
    for w in range(out.shape[0]):
        out[w] = ~a[w]
    if last >= 0:
        out[last] &= tail


@kernel()
def shift_lanes_up(a: Row, n: int, tail: np.uint64, out: Row) -> None:
    """Write lane l of `a` into lane l + n; the first n lanes become 0, those beyond the row go.

    Shapes
    ------
    a, out: (words,); n is 0 or more
    """
    n_words = out.shape[0]
    jump = n // 64
    up = np.uint64(n % 64)
    down = np.uint64(64 - n % 64)
    for back in range(n_words):  # from the top, so that `out` may be `a`
        w = n_words - 1 - back
        source = w - jump
        word = a[source] << up if source >= 0 else _ZERO
        if up != _ZERO and source >= 1:  # a shift by 64 has no meaning
            word |= a[source - 1] >> down
        out[w] = word
    if n_words > 0:
        out[n_words - 1] &= tail


@kernel()
def shift_lanes_down(a: Row, n: int, out: Row) -> None:
    """Write lane l + n of `a` into lane l; the last n lanes become 0.

    Shapes
    ------
    a, out: (words,); n is 0 or more
    """
    n_words = out.shape[0]
    jump = n // 64
    down = np.uint64(n % 64)
    up = np.uint64(64 - n % 64)
    for w in range(n_words):
        source = w + jump
        word = a[source] >> down if source < n_words else _ZERO
        if down != _ZERO and source + 1 < n_words:
            word |= a[source + 1] << up
        out[w] = word


@kernel()
def count_ones(rows: Row, out: npt.NDArray[np.int64]) -> None:
    """Write the number of lanes that are 1 in each row.

    Shapes
    ------
    rows: (rows, words)
    out: (rows,)
    """
    for r in range(out.shape[0]):
        total = np.int64(0)
        for w in range(rows.shape[1]):
            total += popcount(rows[r, w])
        out[r] = total


@kernel()
def any_lane(a: Row) -> bool:
    """Return whether some lane is 1.

    Shapes
    ------
    a: (words,)
    """
    found = _ZERO
    for w in range(a.shape[0]):
        found |= a[w]
    return bool(found != _ZERO)


@kernel()
def all_lanes(a: Row, tail: np.uint64) -> bool:
    """Return whether every lane is 1 (padding aside); true of no lanes.

    Shapes
    ------
    a: (words,)
    """
    n_words = a.shape[0]
    kept = _ALL_ONES
    for w in range(n_words):
        kept &= a[w] if w < n_words - 1 else a[w] | ~tail
    return bool(kept == _ALL_ONES)
