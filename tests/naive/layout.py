"""The packed layout, one bit at a time, in Python integers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def pack(bits: Sequence[int]) -> list[int]:
    """Return the words of one row of lanes."""
    words = [0] * ((len(bits) + 63) // 64)
    for lane, bit in enumerate(bits):
        if bit:
            words[lane // 64] += 2 ** (lane % 64)
    return words


def planes(codes: Sequence[int], n_bits: int) -> npt.NDArray[np.uint64]:
    """Return the bit-planes of one row of codes: shape (n_bits, words)."""
    rows = [pack([code % 2**n_bits // 2**k % 2 for code in codes]) for k in range(n_bits)]
    return np.array(rows, np.uint64).reshape(n_bits, (len(codes) + 63) // 64)


def codes(plane_rows: npt.NDArray[np.uint64], n_lanes: int, signed: bool) -> list[int]:
    """Return the codes of one row whose bit-planes are given."""
    n_bits = plane_rows.shape[0]
    found = []
    for lane in range(n_lanes):
        value = 0
        for k in range(n_bits):
            weight = -(2**k) if signed and k == n_bits - 1 else 2**k
            value += weight * (int(plane_rows[k, lane // 64]) // 2 ** (lane % 64) % 2)
        found.append(value)
    return found
