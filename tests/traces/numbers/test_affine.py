"""Scales, zero points and codes: half a step of error, 0 exact, odd ranges."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_traces.errors import TraceDataError
from bitpim_traces.numbers.affine import (
    MIN_SCALE,
    choose_quantization,
    choose_weight_quantization,
    code_dtype,
    decode,
    encode,
    encode_weight,
    same_quantization,
    up_to_float32,
)
from bitpim_traces.records import Quantization

REAL = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@given(
    ends=st.tuples(REAL, REAL),
    bits=st.integers(1, 16),
    scheme=st.sampled_from(["affine", "symmetric"]),
    share=st.floats(0, 1),
)
@settings(max_examples=300, deadline=None)
def test_values_in_range_come_back_within_half_a_scale(
    ends: tuple[float, float], bits: int, scheme: str, share: float
) -> None:
    low, high = sorted(ends)
    if scheme == "affine" and low < 0 < high and bits == 1:
        with pytest.raises(TraceDataError, match=r"use the symmetric scheme, .* are -1 and 1"):
            choose_quantization(low, high, bits=bits, scheme=scheme)
        return
    q = choose_quantization(low, high, bits=bits, scheme=scheme)
    scale, zero = float(q.scale[0]), int(q.zero_point[0])
    value = np.array([low + share * (high - low), low, high, 0.0])
    codes = encode(value, q)
    error = np.abs((codes.astype(np.int64) - zero) * scale - value)
    assert error.max() <= scale / 2 * (1 + 1e-9)
    assert codes[3] == zero
    assert q.code_min <= zero <= q.code_max
    assert scale == float(np.float32(scale))


@pytest.mark.parametrize(
    ("low", "high", "scheme", "signed", "scale", "zero"),
    [
        (0.0, 255.0, "affine", False, 1.0, 0),
        (-255.0, 0.0, "affine", False, 1.0, 255),
        (-127.5, 127.5, "affine", False, 1.0, 128),  # half to even
        (5.0, 255.0, "affine", False, 1.0, 0),  # widened to hold 0
        (-1.0, 127.0, "symmetric", True, 1.0, 0),
        (-127.0, 3.0, "symmetric", True, 1.0, 0),
        (0.0, 255.0, "symmetric", False, 1.0, 0),
        (0.0, 0.0, "affine", False, 1.0, 0),
        (0.0, 0.0, "symmetric", False, 1.0, 0),
        (0.0, 1e-300, "affine", False, MIN_SCALE, 0),
    ],
)
def test_8_bit_choices(
    low: float, high: float, scheme: str, signed: bool, scale: float, zero: int
) -> None:
    q = choose_quantization(low, high, bits=8, scheme=scheme)
    assert (q.signed, float(q.scale[0]), int(q.zero_point[0])) == (signed, scale, zero)


@pytest.mark.parametrize(
    ("low", "high"), [(math.nan, 1.0), (0.0, math.inf), (2.0, 1.0), (-1e30, 1e30)]
)
def test_impossible_ranges_are_refused(low: float, high: float) -> None:
    with pytest.raises(TraceDataError, match="here: need"):
        choose_quantization(low, high, bits=8, where="here")


def test_codes_round_half_to_even_and_saturate() -> None:
    q = choose_quantization(0, 15, bits=4)
    values = np.array([0.5, 1.5, 2.5, -3.0, 99.0, np.inf, -np.inf])
    assert encode(values, q).tolist() == [0, 2, 2, 0, 15, 15, 0]
    with pytest.raises(TraceDataError, match="NaN"):
        encode(np.array([np.nan]), q)


def test_encoding_in_blocks_equals_encoding_at_once(monkeypatch: Any) -> None:
    weight = np.random.default_rng(0).standard_normal((7, 5, 3)).astype(np.float32)
    q = choose_weight_quantization(weight, bits=8)
    need = np.clip(np.rint(weight / q.scale.reshape(-1, 1, 1)), -127, 127)
    for block in (1, 15, 16, 10**6):
        monkeypatch.setattr("bitpim_traces.numbers.affine._BLOCK_VALUES", block)
        np.testing.assert_array_equal(encode(weight, q), need)


def test_an_empty_batch_encodes_to_nothing() -> None:
    q = choose_quantization(0, 1, bits=8)
    assert encode(np.zeros((0, 3, 2, 2)), q).shape == (0, 3, 2, 2)


@pytest.mark.parametrize(
    ("bits", "signed", "name"),
    [(1, False, "uint8"), (8, True, "int8"), (9, False, "uint16"), (16, True, "int16")],
)
def test_code_dtypes(bits: int, signed: bool, name: str) -> None:
    q = Quantization(bits, signed, np.ones(1), np.zeros(1, np.int64))
    assert code_dtype(q) == np.dtype(name)


@given(value=st.floats(1e-30, 1e30))
def test_up_to_float32_is_the_least_float32_not_below(value: float) -> None:
    up = up_to_float32(value)
    assert up >= value
    assert up == float(np.float32(up))
    assert float(np.nextafter(np.float32(up), np.float32(0))) < value


@given(
    bits=st.integers(1, 16),
    per_channel=st.booleans(),
    scheme=st.sampled_from(["affine", "symmetric"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_weights_come_back_within_half_a_scale(
    bits: int, per_channel: bool, scheme: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = (rng.standard_normal((5, 3, 2, 2)) * rng.uniform(0.01, 10, (5, 1, 1, 1))).astype("f4")
    weight[seed % 5] = 0.0
    if bits == 1:
        if scheme == "affine":
            with pytest.raises(TraceDataError, match=r"use the symmetric scheme, .* are -1 and 1"):
                choose_weight_quantization(weight, bits=bits, scheme=scheme)
        return
    q = choose_weight_quantization(weight, bits=bits, per_channel=per_channel, scheme=scheme)
    assert q.scale.shape == ((5,) if per_channel else (1,))
    assert q.axis == (0 if per_channel else None)
    codes = encode(weight, q)
    assert codes.min() >= (-q.code_max if scheme == "symmetric" else 0)
    half = q.scale.reshape(-1, 1, 1, 1) / 2
    rounding = np.spacing(np.abs(weight).max())  # decode rounds to float32
    assert (np.abs(decode(codes, q) - weight) <= half + rounding).all()
    assert not decode(codes, q)[seed % 5].any()
    if scheme == "symmetric":
        assert not q.zero_point.any()


def test_a_channel_of_zeros_takes_the_largest_scale() -> None:
    weight = np.array([[0.0, 0.0], [127.0, 0.0], [0.0, -12.7]], np.float32)
    q = choose_weight_quantization(weight, bits=8)
    np.testing.assert_allclose(q.scale, [1.0, 1.0, 0.1], rtol=1e-6)
    assert choose_weight_quantization(weight * 0, bits=8).scale.tolist() == [1.0] * 3


def test_a_bias_bounds_the_scale_from_below() -> None:
    weight = np.array([[1e-9, 0.0], [127.0, 0.0]], np.float32)
    q = choose_weight_quantization(weight, bits=8, least_scale=np.array([0.25, 0.25]))
    assert q.scale.tolist() == [0.25, 1.0]


def test_least_squared_error_beats_the_full_range_at_few_bits() -> None:
    weight = np.random.default_rng(0).standard_normal((4, 5000)).astype(np.float32)

    def error(method: str, scheme: str) -> Any:
        q = choose_weight_quantization(weight, bits=3, method=method, scheme=scheme)
        return np.square(decode(encode(weight, q), q) - weight).mean()

    for scheme in ("symmetric", "affine"):
        assert error("mse", scheme) < 0.75 * error("minmax", scheme)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(TraceDataError, match="finite weights"):
        choose_weight_quantization(np.array([[bad, 1.0]]), bits=8)


@pytest.mark.parametrize("axis", [None, 0])
def test_two_quantizations_are_the_same_when_every_code_means_the_same(axis: int | None) -> None:
    one = Quantization(8, False, np.array([0.5, 0.25]), np.array([3, 4], np.int64), axis)
    other = replace(one, scale=one.scale.copy(), zero_point=one.zero_point.copy())
    assert same_quantization(one, other)
    for change in (
        {"bits": 7},
        {"signed": True},
        {"scale": np.array([0.5, np.nextafter(0.25, 1)])},
        {"scale": one.scale[:1]},
        {"zero_point": np.array([3, 5], np.int64)},
        {"axis": 1},
    ):
        changed = replace(one, **change)
        assert not same_quantization(one, changed) and not same_quantization(changed, one), change


@pytest.mark.parametrize("per_channel", [True, False])
def test_symmetric_weights_of_one_bit_are_their_signs(per_channel: bool) -> None:
    weight = np.random.default_rng(3).standard_normal((4, 3, 2, 2)).astype("f4")
    weight[1, 0] = 0.0
    q = choose_weight_quantization(weight, bits=1, per_channel=per_channel)
    assert (q.bits, q.signed, int(q.zero_point.max())) == (2, True, 0)
    codes = encode_weight(weight, q, bits=1)
    np.testing.assert_array_equal(codes, np.sign(weight))
    rows = np.abs(weight.reshape(4 if per_channel else 1, -1))
    means = rows.sum(axis=1) / (rows > 0).sum(axis=1)  # zeros have no part in the error
    np.testing.assert_allclose(q.scale, means, rtol=1e-6)


def test_weights_of_two_values_come_back_exactly() -> None:
    """A binarized network's weights lose nothing."""
    scale = np.array([0.5, 0.25, 3.0], "f4")[:, None]
    weight = scale * np.where(np.random.default_rng(0).random((3, 40)) < 0.5, -1, 1).astype("f4")
    q = choose_weight_quantization(weight, bits=1)
    np.testing.assert_array_equal(decode(encode_weight(weight, q, bits=1), q), weight)


def test_signs_are_three_codes() -> None:
    q = choose_quantization(-1.0, 1.0, bits=1, scheme="symmetric")
    np.testing.assert_array_equal(encode(np.array([-1.0, 0.0, 1.0]), q), [-1, 0, 1])
