from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_matrix import DenseMatrix
from bitpim.crossbar.encodings import encode_weights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.scaling import DigitalScale
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


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 9), st.integers(1, 4), st.integers(1, 40))
def test_round_errs_by_half_a_step_a_read_at_most(
    seed: int, bits: int, cell_bits: int, n_rows: int
) -> None:
    """One column, inputs of one bit; a converter of one bit more has a smaller bound."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 2**cell_bits, (n_rows, 1))
    geometry = CrossbarGeometry(16, 8, cell_bits, int(rng.integers(1, 17)))
    stored = encode_weights(weights, cell_bits + 1, "differential", cell_bits, 16)
    inputs = rng.integers(0, 2, (6, n_rows))
    bounds = []
    for n_bits in (bits, bits + 1):
        adc = Adc("round", n_bits)
        matrix = DenseMatrix(stored, geometry, adc, InputCoding(1))
        made = matrix.read(inputs, 1)[0]
        n_reads = len(matrix.block_edges) - 1
        bounds.append(n_reads * adc.step(0, geometry.largest_sum) / 2)
        rounded = 0 if matrix.is_lossless else Fraction(1, 2)
        assert np.abs(made - inputs @ weights).max() <= bounds[-1] + rounded
    assert bounds[1] <= bounds[0]


def test_sums_that_leave_64_bits_when_scaled_are_refused() -> None:
    """Steps of 65537 / 65535 for sums of 32768 reads: 2^15 * 2^16 * 257 * 257 * 2^17."""
    adc, coding = Adc("round", 16, 65537), InputCoding(16)
    for n_rows, fits in ((2**10, True), (2**15, False)):
        stored = encode_weights(np.full((n_rows, 1), 2**15 - 1), 16, "offset", 8, n_rows)
        geometry = CrossbarGeometry(n_rows, 2, 8, 1, 1, 8)
        if fits:
            DenseMatrix(stored, geometry, adc, coding)
            continue
        with pytest.raises(AccumulatorError, match="for steps of 65537/65535 levels in 64 bits"):
            DenseMatrix(stored, geometry, adc, coding)
