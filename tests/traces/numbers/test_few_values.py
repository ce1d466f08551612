"""Ternary and binary weights against loops, and that their scales have the least squared error."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim_traces.errors import TraceDataError
from bitpim_traces.numbers.affine import decode
from bitpim_traces.numbers.few_values import binary_weights, ternary_weights

Weight = np.ndarray[Any, np.dtype[np.float32]]


def weights(seed: int, zeros: float) -> Weight:
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((4, 3, 2, 2)).astype("f4")
    return np.where(rng.random(weight.shape) < zeros, np.float32(0), weight)


@given(st.integers(0, 99), st.sampled_from([0.0, 0.5]), st.floats(0, 0.99), st.booleans())
def test_ternary_weights_one_by_one(
    seed: int, zeros: float, threshold: float, per_channel: bool
) -> None:
    weight = weights(seed, zeros)
    codes, q = ternary_weights(weight, threshold=threshold, per_channel=per_channel)
    assert (q.bits, q.signed, q.axis, q.binary) == (2, True, 0 if per_channel else None, False)
    assert codes.dtype == np.int8 and not q.zero_point.any()
    rows = [[*row.ravel()] for row in weight] if per_channel else [[*weight.ravel()]]
    for row, coded, scale in zip(rows, codes.reshape(len(rows), -1), q.scale, strict=True):
        left = [abs(float(w)) for w in row if w]
        bound = threshold * sum(left) / len(left)
        signs = [0 if abs(float(w)) <= bound else (1 if w > 0 else -1) for w in row]
        assert coded.tolist() == signs
        above = [w for w in left if w > bound]
        assert scale == pytest.approx(sum(above) / len(above), rel=1e-6)


def test_the_threshold_is_a_share_of_the_mean_of_what_is_not_zero() -> None:
    """Means are 1.0 of 4 weights left; 0.7 of it drops 0.5 and 0.6, and keeps 0.9 and 2.0."""
    weight = np.array([[0.5, -0.6, 0.9, -2.0, 0.0, 0.0, 0.0, 0.0]], "f4")
    codes, q = ternary_weights(weight)
    assert codes.tolist() == [[0, 0, 1, -1, 0, 0, 0, 0]]
    assert q.scale[0] == pytest.approx(1.45)
    assert ternary_weights(weight, threshold=0.55)[0].tolist() == [[0, -1, 1, -1, 0, 0, 0, 0]]


@given(st.integers(0, 99), st.booleans())
def test_binary_weights_are_signs_times_the_mean(seed: int, per_channel: bool) -> None:
    weight = weights(seed, 0.0)
    codes, q = binary_weights(weight, per_channel=per_channel)
    np.testing.assert_array_equal(codes, np.where(weight > 0, 1, -1))
    assert (q.bits, q.signed, q.binary) == (2, True, True)
    means = np.abs(weight.reshape(4 if per_channel else 1, -1)).mean(axis=1)
    np.testing.assert_allclose(q.scale, means, rtol=1e-6)


@given(st.integers(0, 99), st.sampled_from([0.97, 1.03]))
def test_no_other_scale_has_less_error(seed: int, factor: float) -> None:
    weight = weights(seed, 0.0)
    for codes, q in (ternary_weights(weight), binary_weights(weight)):
        error = np.square(decode(codes, q) - weight).sum()
        scaled = np.square(decode(codes, q) * factor - weight).sum()
        assert error < scaled


def test_weights_of_three_values_come_back() -> None:
    scale = np.array([0.5, 0.25, 3.0], "f4")[:, None]
    weight = scale * np.random.default_rng(0).integers(-1, 2, (3, 40)).astype("f4")
    np.testing.assert_array_equal(decode(*ternary_weights(weight)), weight)


def test_a_channel_of_zeros_and_the_least_scale() -> None:
    weight = np.array([[1.0, -1.0], [0.0, 0.0]], "f4")
    codes, q = ternary_weights(weight)
    assert codes.tolist() == [[1, -1], [0, 0]] and q.scale.tolist() == [1.0, 1.0]
    least = np.array([2.0, 0.0])
    assert ternary_weights(weight, least_scale=least)[1].scale.tolist() == [2.0, 1.0]
    assert binary_weights(weight[:1], least_scale=least[:1])[1].scale.tolist() == [2.0]


def test_what_is_refused() -> None:
    with pytest.raises(TraceDataError, match="have no zero, got 2 of 4 weights that are 0"):
        binary_weights(np.array([[1.0, 0.0], [0.0, 1.0]]))
    for bad in (1.0, -0.1, float("nan")):
        with pytest.raises(TraceDataError, match="need a threshold from 0 to below 1"):
            ternary_weights(np.ones((1, 2)), threshold=bad)
    for make in (ternary_weights, binary_weights):
        with pytest.raises(TraceDataError, match="need finite weights"):
            make(np.array([[1.0, np.nan]]))
