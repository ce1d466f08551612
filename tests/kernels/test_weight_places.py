from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bitpim_kernels import checksum, weight_places
from bitpim_kernels.layout import pack, unpack
from bitpim_kernels.weight_places import deposits
from bitpim_kernels.weight_vector import put_members, spread_bits


@pytest.fixture(params=["jit", "python", "python without spreading"])
def kernels(
    request: pytest.FixtureRequest,
    in_python: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    if request.param != "jit":
        in_python(checksum, weight_places)
        monkeypatch.setattr(weight_places, "SPREADS", request.param == "python")
    return weight_places


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 127, 128, 300])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_codes_come_to_the_members_of_free_positions(n: int, share: float, kernels: Any) -> None:
    rng = np.random.default_rng(n)
    is_free = rng.random(n) < 0.7
    places = np.flatnonzero(is_free)
    is_member = rng.random(len(places)) < share
    codes = rng.integers(0, 256, is_member.sum()).astype(np.uint8)
    members, free = np.append(pack(is_member), np.uint64(0)), pack(is_free)
    out = rng.integers(0, 256, 64 * len(free)).astype(np.uint8)
    need, left = out.copy(), is_free.copy()
    need[places[is_member]], left[places[is_member]] = codes, False
    kernels.place_codes(members, deposits(), free, codes, out)
    assert np.array_equal(out, need)
    assert np.array_equal(unpack(free, n), left)


def test_the_table_spreads_bits() -> None:
    table = deposits()
    for mask, bits in ((0b10110, 0b101), (255, 0x5A), (0, 255), (0x80, 1), (0x80, 2)):
        ones = [k for k in range(8) if mask >> k & 1]
        assert table[mask, bits] == sum((bits >> i & 1) << k for i, k in enumerate(ones))


@pytest.mark.parametrize("form", ["jit", "python"])
def test_both_ways_to_spread_are_one(form: str) -> None:
    """What this processor does not use is proven equal, too."""
    spread, put = weight_places._deposit, weight_places._put
    if form == "python":
        spread, put = spread.py_func, put.py_func  # type: ignore[attr-defined]
    rng = np.random.default_rng(3)
    for mask in (0, 1, (1 << 64) - 1, *rng.integers(0, 1 << 63, 20).tolist()):
        bits = int(rng.integers(0, 1 << 63))
        word = np.uint64(spread_bits(np.uint64(bits), np.uint64(mask)))
        assert int(spread(np.uint64(bits), np.uint64(mask), deposits())) == int(word)
        codes = rng.integers(0, 256, 70).astype(np.uint8)
        out = np.full(70, 5, np.uint8)
        need = out.copy()
        put_members(word, codes, 2, need, 3)
        put(word, codes, 2, out, 3)
        assert np.array_equal(out, need)
