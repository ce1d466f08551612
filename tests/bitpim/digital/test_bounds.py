"""Bounds of sums against Python integers, also where int64 wraps."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bitpim.digital.bounds import Bounds, reach_of, wrapped
from bitpim.errors import AccumulatorError

INT64 = st.integers(-(2**63), 2**63 - 1)
REACH = st.integers(0, 2**62 - 1)


def as_int64(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def bounds_of(low: int, high: int, lowest: int, highest: int) -> Bounds:
    return Bounds(
        np.array([low]), np.array([high]), np.array([lowest], object), np.array([highest], object)
    )


@example(ends=(-(2**63), 2**63 - 1), bias=2**63 - 1, reach=5, share=1.0)
@example(ends=(-(2**63), 2**63 - 1), bias=-(2**63), reach=5, share=1.0)
@given(ends=st.tuples(INT64, INT64), bias=INT64, reach=REACH, share=st.floats(-1, 1))
def test_a_wrapped_sum_is_never_taken_for_one_within_bounds(
    ends: tuple[int, int], bias: int, reach: int, share: float
) -> None:
    low, high = sorted(ends)
    bounds = bounds_of(low, high, bias - reach, bias + reach)
    for total in {
        bias - reach,
        bias + reach,
        bias,
        bias + max(-reach, min(reach, int(share * reach))),
    }:
        found = as_int64(total)
        first, last = (int(end[0]) for end in bounds.wrapped)
        assert (first <= found <= last) == (low <= total <= high)
        assert bounds.unwrapped(0, found) == total
        assert bounds.can_be_left or low <= total <= high


@given(ends=st.tuples(INT64, INT64), constant=st.integers(-(2**64), 2**64), total=REACH)
def test_bounds_less_a_constant_are_those_before_it_is_added(
    ends: tuple[int, int], constant: int, total: int
) -> None:
    low, high = sorted(ends)
    bounds = bounds_of(low, high, 0, 0)
    first, last = (int(end[0]) for end in bounds.less(np.array([constant], object)))
    for before in (total, -total):
        assert (first <= before <= last) == (low <= before + constant <= high)


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1))
def test_integers_wrap_as_int64_does(values: list[int]) -> None:
    assert wrapped(np.array(values, object)).tolist() == [as_int64(value) for value in values]


def test_reach_is_exact_beyond_64_bits() -> None:
    positive, negative = np.array([3, 0]), np.array([-1, -5])
    bias = np.array([2**63 - 1, -(2**63)])
    lowest, highest = reach_of("layer", positive, negative, bias, (-2, 7))
    assert lowest.tolist() == [2**63 - 1 - 6 - 7, -(2**63) - 35]
    assert highest.tolist() == [2**63 - 1 + 21 + 2, -(2**63) + 10]


def test_products_of_62_bits_are_refused() -> None:
    most, none = np.array([(2**62 - 1) // 3]), np.zeros(1, np.int64)
    reach_of("layer", most, none, none, (0, 3))
    with pytest.raises(AccumulatorError, match=r"layer: need products .* less than 2\^62"):
        reach_of("layer", most + 1, none, none, (0, 3))
    with pytest.raises(AccumulatorError, match="layer"):
        reach_of("layer", none, -most - 1, none, (0, 3))
