"""Bounds of sums against the extremes found by trying."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_traces.errors import TraceDataError
from bitpim_traces.numbers.accumulator import (
    add_bounds,
    bits_needed,
    dot_bounds,
    need_fit,
    need_fixed_point_fit,
)
from bitpim_traces.records import Quantization, Requantize


def quantization(bits: int, signed: bool, *zeros: int, axis: int | None = None) -> Quantization:
    return Quantization(bits, signed, np.ones(len(zeros)), np.array(zeros, np.int64), axis)


@given(
    codes=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    weight_zero=st.integers(0, 3),
    zero=st.integers(-2, 1),
    bias=st.none() | st.integers(-9, 9),
)
@settings(max_examples=100, deadline=None)
def test_bounds_are_the_extremes_of_all_partial_sums(
    codes: list[int], weight_zero: int, zero: int, bias: int | None
) -> None:
    source = quantization(2, True, zero)
    weight = np.array([codes])
    low, high = dot_bounds(
        weight,
        quantization(2, False, weight_zero),
        source,
        None if bias is None else np.array([bias]),
    )
    sums = [
        sum((a - zero) * (w - weight_zero) for a, w in zip(inputs, codes, strict=True)) + start
        for inputs in product(range(-2, 2), repeat=len(codes))
        for start in {0, bias or 0}
    ]
    assert (low[0], high[0]) == (min(sums), max(sums))


def test_bounds_in_blocks_and_per_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (9, 4, 3, 3)).astype(np.int8)
    weight = quantization(8, True, *rng.integers(-5, 5, 9).tolist(), axis=0)
    source = quantization(8, False, 3)
    bias = rng.integers(-1000, 1000, 9)
    need = dot_bounds(codes, weight, source, bias)
    monkeypatch.setattr("bitpim_traces.numbers.accumulator._BLOCK_CODES", 1)
    np.testing.assert_array_equal(dot_bounds(codes, weight, source, bias), need)
    centred = codes.astype(int).reshape(9, -1) - weight.zero_point[:, None]
    worst = np.where(centred > 0, 252, -3)
    np.testing.assert_array_equal(need[1], (centred * worst).sum(1) + np.maximum(bias, 0))


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 1, 3), (-128, 127, 8), (-128, 128, 9)],
)
def test_bits_needed(low: int, high: int, bits: int) -> None:
    bounds = np.array([low]), np.array([high])
    assert bits_needed(bounds) == bits
    need_fit("here", bounds, bits)
    if bits > 1:
        with pytest.raises(TraceDataError, match=f"here: need an accumulator of {bits} bits"):
            need_fit("here", bounds, bits - 1)


def test_add_bounds_scale_each_input() -> None:
    inputs = [quantization(8, False, 128), quantization(4, True, 0)]
    low, high = add_bounds(inputs, [3, 10])
    assert (low[0], high[0]) == (-128 * 3 - 80, 127 * 3 + 70)


def test_fixed_point_shifts_must_fit_int32() -> None:
    step = Requantize(
        "fixed_point_half_away",
        multiplier=np.array([1 << 30], np.int32),
        shift=np.array([4], np.int32),
    )
    need_fixed_point_fit("here", (np.array([-(1 << 27)]), np.array([(1 << 27) - 1])), step)
    with pytest.raises(TraceDataError, match="shift left by 4, got 33 bits"):
        need_fixed_point_fit("here", (np.array([0]), np.array([1 << 27])), step)


def test_no_accumulator_has_more_than_64_bits() -> None:
    bounds = np.array([-(1 << 70)], object), np.array([1], object)
    with pytest.raises(TraceDataError, match=r"need an accumulator of 71 bits .* none has more"):
        need_fit("here", bounds, 64)
