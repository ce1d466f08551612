"""What is emitted for the compiler, called by itself: as the plain function, and nothing beside."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from llvmlite import binding

from bitpim_kernels import weight_vector
from bitpim_kernels.weight_vector import (
    SPREADS,
    TOGETHER,
    masked_parities,
    put_codes,
    put_members,
    spread_bits,
)

WORDS = [0, 1, 1 << 63, (1 << 64) - 1, 0x0123456789ABCDEF, 0xA5A5A5A5A5A5A5A5]
spreads = pytest.mark.skipif(not SPREADS, reason="this processor has no such instructions")


def codes_put(word: Any, width: Any, low: Any, shared: Any, base: Any, out: Any, at: Any) -> None:
    put_codes(word, width, low, shared, base, out, at)


def parities_found(words: Any, first: Any, n_bits: Any, masks: Any, k: Any) -> Any:
    return masked_parities(words, first, n_bits, masks, k)


def bits_spread(bits: Any, mask: Any) -> Any:
    return spread_bits(bits, mask)


def members_put(word: Any, codes: Any, at: Any, out: Any, first: Any) -> None:
    put_members(word, codes, at, out, first)


@pytest.mark.parametrize("form", [numba.njit(codes_put), codes_put])
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    ("width", "low", "shared", "base"),
    [
        (8, 8, 0, -128),
        (8, 8, 0, 0),
        (8, 7, 0, 100),
        (1, 0, 255, 255),
        (3, 2, 12, -4),
        (5, 4, 16, 3),
    ],
)
def test_eight_codes_are_put(
    form: Callable[..., None], word: int, width: int, low: int, shared: int, base: int
) -> None:
    out, need = np.full(12, 77, np.uint8), [77] * 12
    form(np.uint64(word), width, low, shared, base, out, 2)
    for i in range(8):
        field = word >> i * width & (1 << width) - 1
        number = field % (1 << low) + shared
        need[2 + i] = (base - number if field >= 1 << low else base + number) % 256
    assert out.tolist() == need


@pytest.mark.parametrize("form", [numba.njit(parities_found), parities_found])
@pytest.mark.parametrize("n_bits", [0, 1, 63, 64, 65, 128, 200])
@pytest.mark.parametrize("first", [0, 1, 63, 64, 100])
def test_parities_of_eight_masks(form: Callable[..., Any], first: int, n_bits: int) -> None:
    draw = np.random.default_rng(n_bits).integers
    words = draw(0, 1 << 64, 6, dtype=np.uint64)
    masks = draw(0, 1 << 64, (4, 16), dtype=np.uint64)
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")[first : first + n_bits]
    need = 0
    for i in range(TOGETHER):
        column = np.ascontiguousarray(masks[:, 5 + i]).view(np.uint8)
        mask = np.unpackbits(column, bitorder="little")[:n_bits]
        need |= int((bits & mask).sum() % 2) << i
    assert int(form(words, first, n_bits, masks, 5)) == need


FORMS_OF_SPREAD = [pytest.param(numba.njit(bits_spread), marks=spreads), bits_spread]


@pytest.mark.parametrize("form", FORMS_OF_SPREAD)
@pytest.mark.parametrize("mask", WORDS)
def test_bits_are_spread(form: Callable[..., Any], mask: int) -> None:
    for bits in WORDS:
        left, word = bits, 0
        for lane in range(64):
            if mask >> lane & 1:
                word |= (left & 1) << lane
                left >>= 1
        assert int(form(np.uint64(bits), np.uint64(mask))) == word


FORMS_OF_PUT = [pytest.param(numba.njit(members_put), marks=spreads), members_put]


@pytest.mark.parametrize("form", FORMS_OF_PUT)
@pytest.mark.parametrize("word", WORDS)
def test_members_are_put_and_no_others(form: Callable[..., None], word: int) -> None:
    codes = np.arange(100, 180).astype(np.uint8)
    out = np.full(80, 7, np.uint8)
    form(np.uint64(word), codes, 3, out, 9)
    need, at = [7] * 80, 103
    for lane in range(64):
        if word >> lane & 1:
            need[9 + lane], at = at, at + 1
    assert out.tolist() == need


def test_a_processor_that_is_named_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names what to compile for may leave these instructions out."""
    monkeypatch.setattr(numba.config, "CPU_NAME", None)
    monkeypatch.setattr(numba.config, "CPU_FEATURES", None)
    for name in ("CPU_NAME", "CPU_FEATURES"):
        with monkeypatch.context() as patch:
            patch.setattr(numba.config, name, "generic")
            assert not weight_vector._can_spread()
    features = {"bmi2": True, "avx512vbmi2": True, "avx512bw": True}
    for missing in (None, *features):
        there = {name: name != missing for name in features}
        monkeypatch.setattr(binding, "get_host_cpu_features", lambda t=there: t)
        assert weight_vector._can_spread() == (missing is None)
