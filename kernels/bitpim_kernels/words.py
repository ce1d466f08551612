"""Copies and shifts of packed rows of lanes.

A shift that can light the padding takes `tail`, the `tail_mask` of the row, so that padding lanes
stay zero. `out` may be the input.
"""

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel

__all__ = ["copy_row", "shift_lanes_down", "shift_lanes_up"]

_ZERO = np.uint64(0)

Row = npt.NDArray[np.uint64]


@kernel()
def copy_row(a: Row, out: Row) -> None:  # a loop: Numba's slice assignment compiles for seconds
    """Copy a row.

    Shapes
    ------
    a, out: (words,)
    """
    for w in range(out.shape[0]):
        out[w] = a[w]


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
