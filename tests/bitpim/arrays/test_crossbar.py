from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.arrays.adc import Adc
from bitpim.arrays.crossbar import Crossbar, CrossbarGeometry
from bitpim.arrays.encodings import ENCODINGS, digits_of, encode_weights
from bitpim.arrays.events import Counts
from bitpim.arrays.readout import CrossbarMatrix, InputCoding
from bitpim.arrays.threads import use_threads
from bitpim.errors import ArrayBoundsError, ConfigError, LayoutError, MappingError
from tests.naive import crossbar as naive

Ints = npt.NDArray[np.int64]
PLAIN = ("offset", "differential", "differential_paired", "twos_complement")


def random_weights(rng: np.random.Generator, shape: tuple[int, int], bits: int) -> Ints:
    high = 2 ** (bits - 1)
    return rng.integers(1 - high, high, shape)


def random_inputs(rng: np.random.Generator, shape: tuple[int, int], coding: InputCoding) -> Ints:
    low = -(2 ** (coding.bits - 1)) if coding.signed else 0
    inputs = rng.integers(low, low + 2**coding.bits, shape)
    keep: Ints = inputs * (rng.random(shape) < 0.5)
    return keep


@st.composite
def matrices(
    draw: Any, encodings: tuple[str, ...] = ENCODINGS
) -> tuple[CrossbarMatrix, Ints, Ints]:
    """A matrix on crossbars, its weights, and inputs; everything ragged and small."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, columns = draw(st.integers(1, 20)), draw(st.integers(1, 12))
    geometry = CrossbarGeometry(
        rows,
        columns,
        draw(st.integers(1, 4)),
        draw(st.none() | st.integers(1, rows)),
        draw(st.none() | st.integers(1, columns)),
        draw(st.integers(1, 3)),
    )
    coding = InputCoding(draw(st.integers(1, 8)), draw(st.booleans()))
    encoding = draw(st.sampled_from(encodings))
    paired = encoding == "differential_paired"
    lossy: Any = ("sign_magnitude", "symmetric") if paired else ("floor", "round")
    model = draw(st.sampled_from(("exact", "clip", *lossy)))
    adc = Adc() if model == "exact" else Adc(model, draw(st.integers(2, 6)))
    weight_bits = draw(st.integers(2, 8))
    n_rows = draw(st.integers(1, 45))
    weights = random_weights(rng, (n_rows, draw(st.integers(1, 5))), weight_bits)
    stored = encode_weights(weights, weight_bits, encoding, geometry.cell_bits, rows)
    matrix = CrossbarMatrix(stored, geometry, adc, coding)
    return matrix, weights, random_inputs(rng, (draw(st.integers(0, 6)), n_rows), coding)


@settings(max_examples=40, deadline=None)
@given(matrices(), st.sampled_from(("none", "bit_plane", "vector")))
def test_fast_reads_and_counts_are_those_of_the_arrays(
    case: tuple[CrossbarMatrix, Ints, Ints], skip: Any
) -> None:
    matrix, _, inputs = case
    skip = "none" if matrix.adc.model == "symmetric" else skip
    out, counts = matrix.read_literally(inputs, skip)
    assert np.array_equal(matrix.matmul(inputs), out)
    assert matrix.counts(inputs, skip) == counts
    n_units = len(inputs) * len(matrix.slices)
    n_units *= (len(matrix.block_edges) - 1) * (len(matrix.column_edges) - 1)
    assert counts["ou_activation"] + counts["ou_skipped"] == n_units


@settings(max_examples=30, deadline=None)
@given(matrices(PLAIN))
def test_reads_are_those_of_plain_loops(case: tuple[CrossbarMatrix, Ints, Ints]) -> None:
    """L1: equal to a naive model of encoding, operation units and converter."""
    matrix, weights, inputs = case
    g, adc, encoding = matrix.geometry, matrix.adc, matrix.stored.encoding
    for bits in range(2, 9):
        if np.abs(weights).max() < 2 ** (bits - 1):
            break
    stored = encode_weights(weights, bits, encoding, g.cell_bits, g.rows)
    made = CrossbarMatrix(stored, g, adc, matrix.inputs).matmul(inputs)
    most, paired = g.largest_sum, encoding == "differential_paired"
    expected = naive.multiply(
        inputs.tolist(),
        naive.columns_of(weights.tolist(), bits, encoding, g.cell_bits),
        weights.shape[1],
        naive.row_blocks(len(weights), g.rows, g.unit_rows),
        naive.pieces(matrix.inputs.bits, g.dac_bits, matrix.inputs.signed),
        lambda y: naive.adc(adc.model, adc.bits or 0, most, y, paired),
    )
    correction = -(2 ** (bits - 1)) if encoding == "offset" else 0
    want = np.array(expected, np.int64).reshape(made.shape)
    assert np.array_equal(made, want + correction * inputs.sum(axis=1, keepdims=True))


@settings(max_examples=30, deadline=None)
@given(matrices())
def test_lossless_reads_are_products(case: tuple[CrossbarMatrix, Ints, Ints]) -> None:
    """L0: every encoding, ragged sizes; fidelity integer too."""
    matrix, weights, inputs = case
    exact = CrossbarMatrix(matrix.stored, matrix.geometry, Adc(), matrix.inputs)
    assert np.array_equal(exact.matmul(inputs), inputs @ weights)
    assert np.array_equal(exact.matmul(inputs, "integer"), inputs @ weights)
    if matrix.is_lossless:
        assert np.array_equal(matrix.matmul(inputs), inputs @ weights)
        assert np.array_equal(matrix.matmul(inputs, "integer"), inputs @ weights)
    else:
        with pytest.raises(ConfigError, match="fidelity integer needs a lossless ADC"):
            matrix.matmul(inputs, "integer")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [1, 63, 64, 65, 128, 129, 300])
def test_sizes_around_words(encoding: str, size: int) -> None:
    rng = np.random.default_rng(size)
    weights = random_weights(rng, (size, 17), 8)
    weights[0] = (-127, 127, *weights[0, 2:])
    for geometry in (
        CrossbarGeometry(128, 128, 1),
        CrossbarGeometry(128, 128, 2, 65, 9, 2),
        CrossbarGeometry(512, 512, 4, 9, 8),
        CrossbarGeometry(64, 64, 8, 16, 16, 8),
    ):
        stored = encode_weights(weights, 8, encoding, geometry.cell_bits, geometry.rows)
        for coding in (InputCoding(8), InputCoding(8, signed=True), InputCoding(16)):
            matrix = CrossbarMatrix(stored, geometry, Adc(), coding)
            inputs = random_inputs(rng, (5, size), coding)
            assert np.array_equal(matrix.matmul(inputs), inputs @ weights)
            assert np.array_equal(matrix.matmul(inputs, "integer"), inputs @ weights)


def test_offset_and_twos_complement_hold_the_lowest_weight() -> None:
    weights = np.full((130, 3), -128)
    inputs = np.full((2, 130), 255)
    for encoding in ("offset", "twos_complement", "column_flip"):
        stored = encode_weights(weights, 8, encoding, 2, 128)
        matrix = CrossbarMatrix(stored, CrossbarGeometry(), Adc(), InputCoding(8))
        assert np.array_equal(matrix.matmul(inputs), inputs @ weights)


def test_column_flip_saves_one_bit_of_the_adc() -> None:
    """ISAAC: 128 rows of 2-bit cells never read more than 192 of 384."""
    rng = np.random.default_rng(9)
    weights = rng.integers(-(2**15), 2**15, (256, 8))
    weights[:, 0], weights[:, 1] = 2**15 - 1, -(2**15)
    weights[:128, 2] = 2**15 - 1
    geometry, coding = CrossbarGeometry(), InputCoding(16, signed=True)
    stored = encode_weights(weights, 16, "column_flip", 2, 128)
    sums = stored.cells.reshape(2, 128, -1).sum(axis=1)
    assert sums.max() <= 192
    plain = encode_weights(weights, 16, "offset", 2, 128)
    assert plain.cells.reshape(2, 128, -1).sum(axis=1).max() == 384
    inputs = random_inputs(rng, (9, 256), coding)
    inputs[0] = -1  # every bit of every input is 1
    eight = Adc("clip", 8)
    flipped = CrossbarMatrix(stored, geometry, eight, coding)
    assert flipped.is_lossless
    assert np.array_equal(flipped.matmul(inputs), inputs @ weights)
    lossy = CrossbarMatrix(plain, geometry, eight, coding)
    assert not lossy.is_lossless
    assert not np.array_equal(lossy.matmul(inputs), inputs @ weights)
    nine = CrossbarMatrix(plain, geometry, Adc("clip", 9), coding)
    assert np.array_equal(nine.matmul(inputs), inputs @ weights)


def test_partition_into_operation_units_changes_what_a_clipping_adc_reads() -> None:
    weights, inputs = np.ones((9, 1), np.int64), np.ones((1, 9), np.int64)
    stored = encode_weights(weights, 2, "differential", 1, 9)
    found = [
        int(
            CrossbarMatrix(
                stored, CrossbarGeometry(9, 8, 1, rows), Adc("clip", 2), InputCoding(1)
            ).matmul(inputs)[0, 0]
        )
        for rows in (9, 5, 3, 1)
    ]
    assert found == [3, 6, 9, 9]  # 9 -> 3; 5 + 4 -> 3 + 3; 3 + 3 + 3; nine ones


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads: int) -> None:
    rng = np.random.default_rng(1)
    weights, coding = random_weights(rng, (40, 9), 8), InputCoding(8)
    inputs = random_inputs(rng, (133, 40), coding)
    stored = encode_weights(weights, 8, "offset", 2, 128)
    matrix = CrossbarMatrix(stored, CrossbarGeometry(ou_rows=9), Adc("clip", 3), coding)
    use_threads(1)
    alone, (packed, counts) = matrix.matmul(inputs), matrix.matmul_packed(inputs)
    try:
        use_threads(threads)
        assert np.array_equal(matrix.matmul(inputs), alone)
        again, counts_again = matrix.matmul_packed(inputs)
        assert np.array_equal(again, packed)
        assert counts_again == counts
    finally:
        use_threads(2)


def test_weights_left_out_have_no_cell_and_no_correction() -> None:
    rng = np.random.default_rng(3)
    weights, coding = random_weights(rng, (30, 4), 8), InputCoding(8, signed=True)
    kept = rng.random(weights.shape) < 0.4
    weights *= kept
    inputs = random_inputs(rng, (5, 30), coding)
    for encoding in PLAIN:
        stored = encode_weights(weights, 8, encoding, 2, 18, kept)
        slices = stored.cells.reshape(30, -1, 4)
        assert not np.any(slices[np.broadcast_to(~kept[:, np.newaxis], slices.shape)])
        matrix = CrossbarMatrix(stored, CrossbarGeometry(18, 8, 2, 9), Adc(), coding)
        assert np.array_equal(matrix.matmul(inputs), inputs @ weights)
        assert np.array_equal(matrix.matmul(inputs, "integer"), inputs @ weights)
    with pytest.raises(MappingError, match=r"need weights left out to be 0, got -?[0-9]+ at row"):
        encode_weights(weights + 1, 8, "offset", 2, 18, kept)
    with pytest.raises(MappingError, match="column_flip: need all weights kept"):
        encode_weights(weights, 8, "column_flip", 2, 18, kept)


@settings(max_examples=30, deadline=None)
@given(matrices(("differential", "differential_paired", "offset")), st.booleans())
def test_packed_reads_are_those_of_plain_loops(
    case: tuple[CrossbarMatrix, Ints, Ints], drop_rows: bool
) -> None:
    matrix, _, inputs = case
    g, stored = matrix.geometry, matrix.stored
    least = -g.largest_sum if stored.paired else 0
    if matrix.adc.convert(np.zeros(1, np.int64), least, g.largest_sum)[0] != 0:
        with pytest.raises(ConfigError, match="reads 0 as 0"):
            matrix.matmul_packed(inputs)
        return
    made, counts = matrix.matmul_packed(inputs, drop_rows=drop_rows)
    bits, most = matrix.adc.bits or 0, g.largest_sum
    expected, n_reads, n_skipped = np.zeros_like(made), 0, 0
    for at in np.ndindex(made.shape[0], len(matrix.slices)):
        digits = matrix.slices[at[1]].of(inputs[at[0]]).tolist()
        for first in range(0, matrix.n_rows, g.rows):
            for a, b in zip(matrix.column_edges, matrix.column_edges[1:], strict=False):
                rows = list(range(first, min(matrix.n_rows, first + g.rows)))
                if drop_rows:
                    rows = [r for r in rows if stored.cells[r, a:b].any()]
                reads = 0
                for c in range(a, b):
                    total, reads = naive.packed_reads(
                        digits,
                        stored.cells[:, c].tolist(),
                        rows,
                        g.unit_rows,
                        lambda y: naive.adc(matrix.adc.model, bits, most, y, stored.paired),
                    )
                    factor = int(stored.factors[0, c]) * matrix.slices[at[1]].factor
                    expected[at[0], c % matrix.n_outputs] += factor * total
                n_reads, n_skipped = n_reads + reads, n_skipped + (reads == 0)
    expected += inputs.sum(axis=1, keepdims=True) @ stored.corrections
    assert np.array_equal(made, expected)
    assert matrix.packed_counts(inputs, drop_rows=drop_rows) == counts
    assert counts["ou_activation"] == n_reads
    assert counts["ou_skipped"] == n_skipped


def test_unpacked_reads_of_all_rows_are_the_plain_ones() -> None:
    rng = np.random.default_rng(5)
    weights, coding = random_weights(rng, (50, 6), 4), InputCoding(4)
    stored = encode_weights(weights, 4, "column_flip", 2, 20)
    matrix = CrossbarMatrix(stored, CrossbarGeometry(20, 10, 2, 6, 4), Adc("clip", 2), coding)
    inputs = random_inputs(rng, (7, 50), coding)
    out, counts = matrix.matmul_packed(inputs, packed=False, drop_rows=False)
    assert np.array_equal(out, matrix.matmul(inputs))
    by_unit = matrix.counts(inputs)
    assert counts["ou_activation"] == by_unit["ou_activation"]
    assert counts["ou_rows"] == by_unit["ou_rows"]
    assert counts["adc_conv_2"] == by_unit["adc_conv_2"] == by_unit["shift_add"]


def test_one_read_and_its_counts() -> None:
    array = Crossbar(CrossbarGeometry(12, 10, 2, 9, 8), Adc("clip", 3))
    array.program(np.full((3, 2), 3), 1, 4)
    assert array.cells.sum() == 18
    assert array.read_ou([1] * 9, range(9), range(8)).tolist() == [0, 0, 0, 0, 7, 7, 0, 0]
    events = {"ou_activation": 1, "ou_rows": 9, "ou_cols": 8, "dac_drive": 9, "adc_conv_3": 8}
    assert array.counts == Counts(**events)
    assert array.read_ou([0, 0], (1, 2), (5, 4), skip_zero=True).tolist() == [0, 0]
    assert array.counts == Counts(**events, ou_skipped=1)
    assert array.read_packed([1, 0, 1, 1], (0, 1, 2, 3), (4,)).tolist() == [6]
    assert array.counts["ou_activation"] == 2
    assert array.read_packed([0], (0,), (4,)).tolist() == [0]
    assert array.counts["ou_skipped"] == 2


def test_packed_literal_reads_split_at_the_unit() -> None:
    array = Crossbar(CrossbarGeometry(6, 1, 1, 2), Adc("clip", 1))
    array.program(np.ones((6, 1), np.int64))
    assert array.read_packed([1, 1, 0, 1, 1, 1], range(6), (0,)).tolist() == [3]  # 2, 2, 1 clipped
    assert array.counts["ou_activation"] == 3
    assert array.counts["ou_rows"] == 5


def test_training_operations_are_exact_and_cells_saturate() -> None:
    rng = np.random.default_rng(8)
    array = Crossbar(CrossbarGeometry(7, 5, 4), paired=True)
    cells = rng.integers(-15, 16, (7, 5))
    array.program(cells)
    down, across = rng.integers(-9, 10, 7), rng.integers(-9, 10, 5)
    assert np.array_equal(array.vector_matrix(down), down @ cells)
    assert np.array_equal(array.matrix_vector(across), cells @ across)
    array.update(down, across)
    changed = cells + np.outer(down, across)
    assert np.abs(changed).max() > 15
    assert np.array_equal(array.cells, np.clip(changed, -15, 15))
    assert array.counts == Counts(crossbar_read=2, crossbar_update=1)
    unpaired = Crossbar(CrossbarGeometry(1, 2, 2))
    unpaired.update([1], [-5, 5])
    assert unpaired.cells.tolist() == [[0, 3]]
    with pytest.raises(LayoutError, match="need 7 integers"):
        array.vector_matrix(across)
    with pytest.raises(LayoutError, match="need integer numbers"):
        array.update(down * 0.5, across)


def test_a_converter_without_a_zero_forbids_skipping() -> None:
    array = Crossbar(CrossbarGeometry(9, 2, 1), Adc("symmetric", 2))
    assert array.read_ou([0], (0,), (0,))[0] != 0
    with pytest.raises(ConfigError, match="reads 0 as 0"):
        array.read_ou([0], (0,), (0,), skip_zero=True)
    stored = encode_weights(np.ones((9, 1), np.int64), 2, "differential", 1, 9)
    matrix = CrossbarMatrix(stored, array.geometry, array.adc, InputCoding(2))
    inputs = np.arange(18).reshape(2, 9) % 4
    assert np.array_equal(matrix.matmul(inputs), matrix.read_literally(inputs)[0])
    with pytest.raises(ConfigError, match="reads 0 as 0"):
        matrix.counts(inputs, "vector")


def test_a_transfer_that_is_a_clamp_above_zero_is_not_taken_for_one() -> None:
    """One row, one bit: symmetric of 1 bit reads 0 and 1 both as 1."""
    geometry = CrossbarGeometry(1, 4, 1)
    stored = encode_weights(np.array([[1, 0]]), 2, "differential", 1, 1)
    matrix = CrossbarMatrix(stored, geometry, Adc("symmetric", 1), InputCoding(1))
    inputs = np.array([[0], [1]])
    assert np.array_equal(matrix.matmul(inputs), matrix.read_literally(inputs)[0])


@pytest.mark.parametrize(
    "bad",
    [
        {"rows": 0},
        {"columns": 2**16 + 1},
        {"cell_bits": 9},
        {"dac_bits": 0},
        {"ou_rows": 129},
        {"ou_columns": 129},
        {"ou_rows": 0},
    ],
)
def test_impossible_geometries_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(bad))} needs 1 to"):
        CrossbarGeometry(**bad)


def test_wrong_reads_and_cells_are_refused() -> None:
    array = Crossbar(CrossbarGeometry(12, 10, 2, 9, 8))
    for rows, columns in ((range(10), (0,)), ((0, 0), (0,)), ((12,), (0,)), ((0,), range(9))):
        with pytest.raises(ArrayBoundsError):
            array.read_ou([1] * len(rows), rows, columns)
    for inputs in ([1], [1, 2], [1, -1], [0.5, 1]):
        with pytest.raises(LayoutError):
            array.read_ou(inputs, (0, 1), (0,))
    with pytest.raises(ArrayBoundsError, match=r"need cells within \(12, 10\)"):
        array.program(np.ones((2, 2), np.int64), 11, 0)
    with pytest.raises(LayoutError, match=r"levels within 0\.\.3"):
        array.program(np.array([[4]]))


def test_wrong_weights_and_inputs_are_refused() -> None:
    ones = np.ones((4, 2), np.int64)
    for arguments in ((8, "sign", 2, 4), (1, "offset", 2, 4), (8, "offset", 9, 4)):
        with pytest.raises(ConfigError):
            encode_weights(ones, *arguments)
    with pytest.raises(ConfigError, match="arrays of 1 row"):
        encode_weights(ones, 8, "offset", 2, 0)
    with pytest.raises(MappingError, match=r"differential: need weights within -127..127"):
        encode_weights(ones * -128, 8, "differential", 2, 4)
    with pytest.raises(MappingError, match=r"need weights \(rows, outputs\)"):
        encode_weights(ones[:0], 8, "offset", 2, 4)
    with pytest.raises(ConfigError, match="digit of 1 to 16 bits, got 0"):
        digits_of(8, 0, signed=False)
    stored = encode_weights(ones, 8, "offset", 2, 4)
    with pytest.raises(ConfigError, match="cells of 4 bits, got 2"):
        CrossbarMatrix(stored, CrossbarGeometry(cell_bits=4), Adc(), InputCoding(8))
    flipped = encode_weights(ones, 8, "column_flip", 2, 3)
    with pytest.raises(MappingError, match="groups of rows to end where operation units do"):
        CrossbarMatrix(flipped, CrossbarGeometry(), Adc(), InputCoding(8))
    matrix = CrossbarMatrix(stored, CrossbarGeometry(), Adc(), InputCoding(8))
    for inputs in (np.ones((2, 3), np.int64), np.ones((2, 4)), np.full((2, 4), 256)):
        with pytest.raises(LayoutError):
            matrix.matmul(inputs)
    assert matrix.matmul(np.zeros((0, 4), np.int64)).shape == (0, 2)
    assert matrix.n_crossbars == 1
