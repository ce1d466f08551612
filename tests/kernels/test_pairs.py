from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bitpim_kernels import pairs
from bitpim_kernels.carry_save import TOGETHER
from bitpim_kernels.pair_tile import LANES


@pytest.fixture(params=["jit", "python"])
def kernels(request: pytest.FixtureRequest, in_python: Callable[..., None]) -> Any:
    if request.param == "python":
        in_python(pairs)
    return pairs


def test_windows_are_laid_side_by_side(kernels: Any) -> None:
    codes = np.arange(3 * 70).reshape(70, 3).astype(np.uint8)
    tile = kernels.empty_tile(3, 256)
    assert kernels.lay_tile(codes[:, :, None], 0, tile) == LANES
    assert tile.codes.tolist() == codes[:LANES].T.tolist() and tile.lit.tolist() == [255] * LANES
    assert kernels.lay_tile(codes[:, :, None], LANES, tile) == 6
    assert tile.codes[:, :6].tolist() == codes[LANES:].T.tolist()
    assert tile.lit.tolist() == [255] * 6 + [0] * (LANES - 6)


def test_wide_codes_are_laid_as_two_bytes(kernels: Any) -> None:
    codes = np.array([[0x0102, 0xFF00, 7]], "<u2")
    tile = kernels.empty_tile(3, 257)
    assert kernels.lay_tile(codes.view(np.uint8).reshape(1, 3, 2), 0, tile) == 1
    assert tile.codes[:, 0].tolist() == [2, 0, 7] and tile.high[:, 0].tolist() == [1, 255, 0]


@pytest.mark.parametrize("n_taps", [1, 15, 16, 17, 31, 40])
def test_blocks_of_windows_change_places(n_taps: int, kernels: Any) -> None:
    codes = np.random.default_rng(n_taps).integers(0, 256, (2 * LANES, n_taps)).astype(np.uint8)
    for n in (1, 15, 16, 17, 33, LANES):
        tile = kernels.empty_tile(n_taps, 256)
        tile.codes[:] = 77
        assert kernels.lay_tile(codes[: 3 + n, :, None], 3, tile) == n
        assert tile.codes[:, :n].tolist() == codes[3 : 3 + n].T.tolist()
        assert np.all(tile.codes[:, n:] == 77)


@pytest.mark.parametrize("n_taps", [1, 7, 8, 100])
def test_lists_have_room(n_taps: int, kernels: Any) -> None:
    lists = kernels.empty_lists(np.zeros(n_taps + 2, np.uint8))
    n = int(lists.starts[TOGETHER])
    assert (n_taps + 1) * TOGETHER <= n < (n_taps + 2) * TOGETHER and n % 16 == 8
    assert lists.words.shape == (LANES // TOGETHER * n,)
    places = [lane // TOGETHER * n + lane % TOGETHER for lane in range(LANES)]
    assert lists.starts.tolist() == places
