"""Exact products, on each of the ways their bounds allow: tiles of int16, float64, int64."""

import numpy as np
import pytest

from bitpim.crossbar.products import ExactProduct


@pytest.mark.parametrize(
    ("n_rows", "weight_bits", "code_bits"),
    [
        (7, 14, 14),  # 7 * 2^28 is the last that sums in 32 bits
        (8, 14, 14),
        (9, 14, 14),  # 9 * 2^28 would wrap there
        (3, 8, 15),
        (3, 15, 8),  # 2^15 is no int16
        (31, 24, 24),
        (33, 24, 24),  # beyond 2^53, where float64 leaves out odd numbers
        (1, 1, 1),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_products_at_the_ends_of_their_bounds(
    n_rows: int, weight_bits: int, code_bits: int, sign: int
) -> None:
    weights = np.full((n_rows, 2), sign << weight_bits, np.int64)
    weights[0, 1] -= sign  # the sum is odd or not a multiple of all
    codes = np.array([[(1 << code_bits) - 1] * n_rows, [0] * n_rows, [1] * n_rows])
    out = np.full((3, 2), 5, np.int64)
    ExactProduct(weights, code_bits).add(codes, out)
    expected = [
        [5 + sum(int(c) * int(w) for c, w in zip(row, column, strict=True)) for column in weights.T]
        for row in codes
    ]
    assert out.tolist() == expected


@pytest.mark.parametrize("weight_bits", [4, 20, 40])
def test_many_positions_and_outputs(weight_bits: int) -> None:
    """More than are taken at a time, and no whole number of tiles."""
    rng = np.random.default_rng(weight_bits)
    weights = rng.integers(-(1 << weight_bits), 1 << weight_bits, (5, 19))
    codes = rng.integers(0, 256, (4099, 5), dtype=np.uint8)
    out = np.zeros((4099, 19), np.int64)
    ExactProduct(weights, 8).add(codes, out)
    assert np.array_equal(out, codes.astype(np.int64) @ weights)
