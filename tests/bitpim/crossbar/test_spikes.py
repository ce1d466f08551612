"""Spike trains: which bits spike, and what a layout of them counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_layout import DenseMapping
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.number_coding import NumberCoding, WeightMatrix
from bitpim.crossbar.spikes import SpikeLayout, SpikeMapping, SpikeMatrix, count_ones
from tests.naive import crossbar as plain
from tests.one_layer import one_layer, quantization


@given(st.data(), st.integers(1, 16), st.booleans(), st.integers(0, 4))
def test_ones_are_those_of_the_digits_that_are_driven(
    data: st.DataObject, bits: int, signed: bool, more: int
) -> None:
    driven = min(16, bits + more)
    coding = InputCoding(driven, signed, bits)
    low, high = coding.ends
    codes = data.draw(st.lists(st.integers(low, high), max_size=8))
    expected = sum(
        (code >> at) % 2 for code in codes for at, _, _ in plain.pieces(driven, 1, signed)
    )
    kinds = [k for k in ("i1", "u1", "i2", "u2", "i4", "i8") if np.iinfo(k).max >= high]
    kind = data.draw(st.sampled_from([k for k in kinds if np.iinfo(k).min <= low]))
    assert count_ones(np.array(codes, kind), coding) == expected


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(1, 5), st.data())
def test_what_spikes_and_what_does_not_add_up_to_the_plans(
    n_rows: int, n_outputs: int, data: st.DataObject
) -> None:
    """Rows and columns on arrays of 4 x 3, in units of 4 x 2: counts cell by cell."""
    geometry = CrossbarGeometry(4, 3, 2, 4, 2)
    coding = NumberCoding(geometry, "differential", 3, 3)
    mapping = SpikeMapping(DenseMapping(n_rows, 2 * n_outputs, geometry))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = WeightMatrix(rng.integers(-3, 4, (n_rows, n_outputs)), np.zeros(n_outputs, int), 3)
    matrix = mapping.matrix(weights, coding, Adc("clip", 4), InputCoding(3))
    assert isinstance(matrix, SpikeMatrix) and matrix.is_lossless
    x = rng.integers(0, 8, (4, n_rows))
    spikes = silent = cells = reads = 0
    for top in range(0, n_rows, 4):
        for left in range(0, 2 * n_outputs, 3):
            across = range(left, min(left + 3, 2 * n_outputs))
            for first in range(0, len(across), 2):
                n_columns = len(across[first : first + 2])
                for p, bit in np.ndindex(4, 3):
                    reads += 1
                    for row in range(top, min(top + 4, n_rows)):
                        one = int(x[p, row]) >> bit & 1
                        spikes, silent = spikes + one, silent + 1 - one
                        cells += one * n_columns
    for fidelity in ("bit", "integer"):
        sums, got = matrix.read(x, 2, fidelity)
        assert np.array_equal(sums, x @ weights.numbers)
        assert got.events.to_dict() == {
            event: n
            for event, n in {
                "shift_add": 4 * 3 * 2 * n_outputs * -(-n_rows // 4),
                "spike_read": reads,
                "spike": spikes,
                "spike_silent": silent,
                "spike_cell": cells,
                "if_count": 4 * 3 * 2 * n_outputs * -(-n_rows // 4),
            }.items()
            if n
        }
        units = max(-(-min(3, 2 * n_outputs - left) // 2) for left in range(0, 2 * n_outputs, 3))
        assert got.cycles.tolist() == [2 * 3 * units] * 2
    every = mapping.pieces.unskipped(2, 2 * 3, "exact").events
    assert every["spike"] == spikes + silent and every["spike_silent"] == 0
    assert mapping.n_crossbars == -(-n_rows // 4) * -(-2 * n_outputs // 3)


def test_a_layout_lays_as_the_dense_one_does_and_skips_nothing() -> None:
    trace = one_layer(1, (10,), 3, weights=quantization(5, 0, signed=True))
    coding = NumberCoding(CrossbarGeometry(4, 5, 2, 4, 5), "differential", 5, "trace")
    layout = SpikeLayout()
    (mapping,) = layout.lay(trace.layers[0], coding)
    assert layout.skips_unless is None and layout.keeps_columns_whole
    assert (mapping.rule, mapping.index_bits) == ("dense", 0)
    assert mapping.used_cells == 10 * 3 * 4 == mapping.placements().used_cells
    assert mapping.reads_of_row == mapping.n_crossbars // 3 == 3


@pytest.mark.parametrize("n_samples", [0, 3])
def test_nothing_in_takes_nothing(n_samples: int) -> None:
    geometry = CrossbarGeometry(4, 3, 2, 4, 3)
    mapping = SpikeMapping(DenseMapping(2, 2, geometry))
    weights = WeightMatrix(np.ones((2, 1), int), np.zeros(1, int), 3)
    coding = NumberCoding(geometry, "differential", 3, 3)
    matrix = mapping.matrix(weights, coding, Adc("clip", 4), InputCoding(3))
    sums, got = matrix.read(np.zeros((0, 2), np.uint8), n_samples)
    assert sums.shape == (0, 1) and not got.events.to_dict()
    assert got.cycles.tolist() == [0] * n_samples
