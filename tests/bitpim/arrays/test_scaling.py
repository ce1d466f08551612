from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.arrays.scaling import DigitalScale
from bitpim.errors import AccumulatorError
from tests.naive.crossbar import half_up


@given(
    st.integers(1, 2**24),
    st.integers(1, 2**16),
    st.lists(st.integers(-(2**37), 2**37), min_size=1, max_size=8),
)
def test_sums_are_rounded_half_up_once(numerator: int, divisor: int, sums: list[int]) -> None:
    step = Fraction(numerator, divisor)
    scaled = np.array(sums, np.int64)
    DigitalScale("here", step, 2**37).apply(scaled)
    assert scaled.tolist() == [half_up(total * step) for total in sums]


def test_halves_go_up_on_both_sides_of_zero() -> None:
    sums = np.array([[-3, -1], [1, 3]], np.int64)
    DigitalScale("here", Fraction(1, 2), 3).apply(sums)
    assert sums.tolist() == [[-1, 0], [1, 2]]


def test_the_largest_sums_that_fit() -> None:
    """Doubled, times 3, plus 2: at most 2^63 - 1."""
    largest = (2**63 - 1 - 2) // 6
    sums = np.array([-largest, largest], np.int64)
    DigitalScale("here", Fraction(3, 2), largest).apply(sums)
    assert sums.tolist() == [half_up(Fraction(3 * n, 2)) for n in (-largest, largest)]
    with pytest.raises(AccumulatorError, match="here: need sums of readings within 15372286728"):
        DigitalScale("here", Fraction(3, 2), largest + 1)


def test_a_step_of_one_changes_nothing_and_has_no_bound() -> None:
    sums = np.array([2**63 - 1, -(2**63)], np.int64)
    DigitalScale("here", Fraction(1), 2**80).apply(sums)
    assert sums.tolist() == [2**63 - 1, -(2**63)]
