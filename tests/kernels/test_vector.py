"""What is emitted for the compiler, called by itself: as the plain function, and nothing beside."""

from typing import Any

import numba
import numpy as np
import pytest

from bitpim_kernels.vector import TILE_FILTERS, TILE_PIXELS, multiply_tile, plane_word

GUARD = 2  # rows before and after the sums that nobody may touch


def tile(
    codes: Any, start: Any, step: Any, n: Any, runs: Any, weights: Any, acc: Any, first: Any
) -> None:
    multiply_tile(codes, start, step, n, runs, weights, acc, first)


def plane(codes: Any, start: Any, n: Any, bit: Any) -> Any:
    return plane_word(codes, start, n, bit)


compiled_tile, compiled_plane = numba.njit(tile), numba.njit(plane)


@pytest.mark.parametrize("n", range(1, TILE_PIXELS + 1))
def test_a_tile_of_fewer_pixels_touches_no_others(n: int) -> None:
    draw = np.random.default_rng(n).integers
    codes = draw(-128, 128, 100).astype(np.int16)
    runs = np.array([0, 7, 20])
    weights = draw(-128, 128, (3, 2, 2 * TILE_FILTERS)).astype(np.int16)
    before = draw(-1000, 1000, (n + 2 * GUARD, 3 * TILE_FILTERS)).astype(np.int32)
    found, need = before.copy(), before.copy()
    compiled_tile(codes, 5, 3, n, runs, weights, found[GUARD:-GUARD], TILE_FILTERS)
    multiply_tile(codes, 5, 3, n, runs, weights, need[GUARD:-GUARD], TILE_FILTERS)
    assert np.array_equal(found, need)
    changed = need != before
    assert changed.any() and not changed[:GUARD].any() and not changed[-GUARD:].any()


@pytest.mark.skipif(not hasattr(compiled_plane, "signatures"), reason="nothing is compiled")
@pytest.mark.parametrize("bit", [0, 7])
def test_codes_that_do_not_lie_side_by_side_are_no_plane(bit: int) -> None:
    codes = np.arange(-100, 100, dtype=np.int8)
    assert compiled_plane(codes, 3, 63, bit) == plane_word(codes, 3, 63, bit)
    with pytest.raises(numba.TypingError):
        compiled_plane(codes[::2], 3, 63, bit)
    with pytest.raises(numba.TypingError):
        compiled_plane(np.asfortranarray(codes.reshape(10, 20)), 3, 63, bit)
