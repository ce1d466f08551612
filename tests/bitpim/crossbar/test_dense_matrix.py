from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.crossbar.adc import Adc, calibrate
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_matrix import DenseMatrix, Skip
from bitpim.crossbar.encodings import ENCODINGS, encode_weights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.errors import AccumulatorError, ConfigError, LayoutError, MappingError
from bitpim.threads import use_threads
from tests.naive import crossbar as naive

Ints = npt.NDArray[np.int64]
PLAIN = ("offset", "differential", "differential_paired", "twos_complement")


def random_weights(rng: np.random.Generator, shape: tuple[int, int], bits: int) -> Ints:
    high = 2 ** (bits - 1)
    return rng.integers(1 - high, high, shape)


def random_inputs(rng: np.random.Generator, shape: tuple[int, int], coding: InputCoding) -> Any:
    """Codes half of which are 0, some rows all of them, in the narrowest type."""
    low, high = coding.ends
    inputs = rng.integers(low, high + 1, shape)
    inputs *= (rng.random(shape) < 0.5) & (rng.random(shape[0]) < 0.8)[:, np.newaxis]
    kind = "int" if coding.signed else "uint"
    return inputs.astype(f"{kind}{8 if coding.width <= 8 else 16}")


def products(inputs: Any, weights: Ints) -> Ints:
    found: Ints = inputs.astype(np.int64) @ weights
    return found


@dataclass
class Case:
    matrix: DenseMatrix
    weights: Ints
    weight_bits: int
    zeros: Ints
    inputs: Any
    n_samples: int

    @property
    def true_weights(self) -> Ints:
        return self.weights - self.zeros


@st.composite
def cases(draw: Any, encodings: tuple[str, ...] = ENCODINGS) -> Case:
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
    code_bits, signed = draw(st.integers(1, 9)), draw(st.booleans())
    coding = InputCoding(draw(st.integers(code_bits, 16)), signed, code_bits)
    encoding = draw(st.sampled_from(encodings))
    paired = encoding == "differential_paired"
    lossy: Any = ("sign_magnitude", "symmetric") if paired else ("floor", "round", "symmetric")
    model = draw(st.sampled_from(("exact", "clip", *lossy)))
    adc = Adc() if model == "exact" else Adc(model, draw(st.integers(2, 6)))
    skip: Skip = draw(st.sampled_from(("none", "bit_plane", "vector")))
    window = draw(st.none() | st.integers(1, 10))
    n_rows = draw(st.integers(1, 45))
    n_rows = n_rows if window is None else window * (1 + n_rows // window)
    weight_bits, n_outputs = draw(st.integers(2, 8)), draw(st.integers(1, 5))
    weights = random_weights(rng, (n_rows, n_outputs), weight_bits)
    zeros = rng.integers(-300, 300, n_outputs) * draw(st.booleans())
    array_rows = geometry.rows_used(window)
    stored = encode_weights(
        weights, weight_bits, encoding, geometry.cell_bits, array_rows, zeros=zeros
    )
    least = -geometry.largest_sum if paired else 0
    zero_read = adc.convert(np.zeros(1, np.int64), least, geometry.largest_sum)[0]
    skip = "none" if zero_read else skip
    matrix = DenseMatrix(stored, geometry, adc, coding, skip=skip, window_rows=window)
    n_samples = draw(st.integers(0, 3))
    inputs = random_inputs(rng, (n_samples * draw(st.integers(0, 3)), n_rows), coding)
    return Case(matrix, weights, weight_bits, zeros, inputs, n_samples)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_fast_reads_and_counts_are_those_of_the_arrays(case: Case) -> None:
    matrix = case.matrix
    out, counts = matrix.read_literally(case.inputs, case.n_samples)
    made, made_counts = matrix.read(case.inputs, case.n_samples)
    assert np.array_equal(made, out)
    assert made_counts.events == counts.events
    assert np.array_equal(made_counts.cycles, counts.cycles)
    n_units = len(case.inputs) * len(matrix.slices)
    n_units *= (len(matrix.block_edges) - 1) * (len(matrix.column_edges) - 1)
    assert counts.events["ou_activation"] + counts.events["ou_skipped"] == n_units


def plain_columns(case: Case) -> tuple[list[naive.Column], list[list[int]], Any]:
    matrix = case.matrix
    g = matrix.geometry
    columns = naive.columns_of(
        case.weights.tolist(), case.weight_bits, matrix.stored.encoding, g.cell_bits
    )
    blocks = naive.row_blocks(len(case.weights), g.rows, g.unit_rows, matrix.window_rows)
    slices = naive.pieces(matrix.inputs.bits, g.dac_bits, matrix.inputs.signed)
    return columns, blocks, slices


@settings(max_examples=40, deadline=None)
@given(cases(PLAIN))
def test_reads_are_those_of_plain_loops(case: Case) -> None:
    """L1: equal to a naive model of encoding, zero points, operation units and converter."""
    adc, encoding = case.matrix.adc, case.matrix.stored.encoding
    most, paired = case.matrix.geometry.largest_sum, encoding == "differential_paired"
    columns, blocks, slices = plain_columns(case)
    made = case.matrix.read(case.inputs, case.n_samples)[0]
    expected = naive.multiply(
        case.inputs.tolist(),
        columns,
        case.weights.shape[1],
        blocks,
        slices,
        lambda y: naive.adc(adc.model, adc.bits or 0, most, y, paired),
    )
    want = np.array(expected, np.int64).reshape(made.shape)
    shift = 2 ** (case.weight_bits - 1) if encoding == "offset" else 0
    sums = case.inputs.sum(axis=1, keepdims=True, dtype=np.int64)
    assert np.array_equal(made, want - sums * (shift + case.zeros))


@settings(max_examples=30, deadline=None)
@given(cases(PLAIN))
def test_partial_sums_are_those_of_plain_loops(case: Case) -> None:
    columns, blocks, slices = plain_columns(case)
    seen: list[int] = []
    naive.multiply(
        case.inputs.tolist(),
        columns,
        case.weights.shape[1],
        blocks,
        slices,
        lambda y: seen.append(y) or 0,  # type: ignore[func-returns-value]
    )
    found, least = case.matrix.partial_sums(case.inputs)
    assert found.sum() == len(seen)
    for at in np.flatnonzero(found).tolist():
        assert seen.count(at + least) == found[at]


@settings(max_examples=40, deadline=None)
@given(cases())
def test_lossless_reads_are_products(case: Case) -> None:
    """L0: every encoding, ragged sizes; fidelity integer too, with the same counts."""
    matrix, expected = case.matrix, products(case.inputs, case.true_weights)
    exact = DenseMatrix(
        matrix.stored,
        matrix.geometry,
        Adc(),
        matrix.inputs,
        skip=matrix.skip,
        window_rows=matrix.window_rows,
    )
    for one in (exact, matrix):
        if not one.is_lossless:
            with pytest.raises(ConfigError, match="fidelity integer needs a lossless ADC"):
                one.read(case.inputs, case.n_samples, "integer")
            continue
        made, counts = one.read(case.inputs, case.n_samples)
        again, counts_again = one.read(case.inputs, case.n_samples, "integer")
        assert np.array_equal(made, expected)
        assert np.array_equal(again, expected)
        assert counts.events == counts_again.events
        assert np.array_equal(counts.cycles, counts_again.cycles)


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
            matrix = DenseMatrix(stored, geometry, Adc(), coding)
            inputs = random_inputs(rng, (5, size), coding)
            assert np.array_equal(matrix.read(inputs, 1)[0], products(inputs, weights))
            assert np.array_equal(matrix.read(inputs, 1, "integer")[0], products(inputs, weights))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("code_bits", [None, 8])
@pytest.mark.parametrize("kind", ["8", "16", "32", "64"])
def test_sixteen_input_bits_of_codes_of_any_type(
    signed: bool, code_bits: int | None, kind: str
) -> None:
    rng = np.random.default_rng(2)
    weights = random_weights(rng, (70, 3), 16)
    low = -128 if signed else 0
    inputs = rng.integers(low, low + 256, (4, 70))
    inputs[0], inputs[1] = low, low + 255
    stored = encode_weights(weights, 16, "offset", 2, 128)
    coding, expected = InputCoding(16, signed, code_bits), products(inputs, weights)
    matrix = DenseMatrix(stored, CrossbarGeometry(), Adc("clip", 9), coding)
    codes = inputs.astype(f"int{kind}" if signed else f"uint{kind}")
    for fidelity in ("bit", "integer"):
        made, counts = matrix.read(codes, 2, fidelity)
        assert np.array_equal(made, expected)
        assert counts.events["ou_activation"] == 4 * 16
        assert counts.cycles.tolist() == [32, 32]


def test_an_adc_that_reads_zero_as_something_reads_empty_slices_too() -> None:
    stored = encode_weights(np.ones((9, 1), np.int64), 2, "differential", 1, 9)
    adc, geometry = Adc("symmetric", 2), CrossbarGeometry(9, 2, 1)
    inputs = np.array([[0, 1, 2, 3, 0, 1, 2, 3, 1]], np.uint8)
    wide = DenseMatrix(stored, geometry, adc, InputCoding(6, code_bits=2))
    made = wide.read(inputs, 1)[0]
    assert np.array_equal(made, wide.read_literally(inputs, 1)[0])
    narrow = DenseMatrix(stored, geometry, adc, InputCoding(2))
    of_zero = int(adc.table(0, 9)[0])
    # a column of each sign reads the empty slices alike, so take one of them
    assert of_zero > 0
    assert np.array_equal(made, narrow.read(inputs, 1)[0])
    with pytest.raises(ConfigError, match="reads 0 as 0"):
        DenseMatrix(stored, geometry, adc, InputCoding(2), skip="vector")


def test_offset_and_twos_complement_hold_the_lowest_weight() -> None:
    weights = np.full((130, 3), -128)
    inputs = np.full((2, 130), 255)
    for encoding in ("offset", "twos_complement", "column_flip"):
        stored = encode_weights(weights, 8, encoding, 2, 128)
        matrix = DenseMatrix(stored, CrossbarGeometry(), Adc(), InputCoding(8))
        assert np.array_equal(matrix.read(inputs, 1)[0], inputs @ weights)


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
    expected = products(inputs, weights)
    eight = Adc("clip", 8)
    flipped = DenseMatrix(stored, geometry, eight, coding)
    assert flipped.is_lossless
    assert np.array_equal(flipped.read(inputs, 1)[0], expected)
    lossy = DenseMatrix(plain, geometry, eight, coding)
    assert not lossy.is_lossless
    assert not np.array_equal(lossy.read(inputs, 1)[0], expected)
    nine = DenseMatrix(plain, geometry, Adc("clip", 9), coding)
    assert np.array_equal(nine.read(inputs, 1)[0], expected)


def test_partition_into_operation_units_changes_what_a_clipping_adc_reads() -> None:
    weights, inputs = np.ones((9, 1), np.int64), np.ones((1, 9), np.int64)
    stored = encode_weights(weights, 2, "differential", 1, 9)
    found = []
    for rows, window in ((9, None), (5, None), (3, None), (1, None), (9, 3), (2, 3)):
        geometry = CrossbarGeometry(9, 8, 1, rows)
        adc, coding = Adc("clip", 2), InputCoding(1)
        matrix = DenseMatrix(stored, geometry, adc, coding, window_rows=window)
        found.append(int(matrix.read(inputs, 1)[0][0, 0]))
    # 9 -> 3; 5 + 4 -> 3 + 3; 3 + 3 + 3; nine ones; windows 3 + 3 + 3; three times 2 + 1
    assert found == [3, 6, 9, 9, 9, 9]


def test_windows_stay_on_one_array_and_skip_by_sample() -> None:
    """Arrays of 20 rows hold two windows of 9; worked by hand."""
    weights = np.ones((27, 4), np.int64)
    stored = encode_weights(weights, 3, "differential", 2, 18)
    geometry = CrossbarGeometry(20, 6, 2, 9, 4)  # 8 columns: units of 4, 2 | 2
    inputs = np.zeros((4, 27), np.uint8)  # two samples of two positions
    inputs[0, 3] = 1  # window 0, slice 0
    inputs[1, 26] = 2  # window 2, slice 1
    coding = InputCoding(2)
    matrix = DenseMatrix(stored, geometry, Adc(), coding, skip="bit_plane", window_rows=9)
    assert matrix.block_edges.tolist() == [0, 9, 18, 27]
    assert matrix.n_crossbars == 4
    sums, counts = matrix.read(inputs, 2)
    assert sums[:, 0].tolist() == [1, 2, 0, 0]
    # each window with work: three units, two of them on the first column of arrays
    assert counts.cycles.tolist() == [2, 0]
    assert counts.events["ou_activation"] == 2 * 3
    assert counts.events["ou_skipped"] == 4 * 2 * 3 * 3 - 6
    assert counts.events["ou_cells"] == 2 * 9 * 8
    by_vector = DenseMatrix(stored, geometry, Adc(), coding, skip="vector", window_rows=9)
    sums, counts = by_vector.read(inputs, 2, "integer")
    assert sums[:, 0].tolist() == [1, 2, 0, 0]
    assert counts.cycles.tolist() == [4, 0]  # both slices
    literal = by_vector.read_literally(inputs, 2)[1]
    assert literal.events == counts.events
    assert literal.cycles.tolist() == [4, 0]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads: int) -> None:
    rng = np.random.default_rng(1)
    weights, coding = random_weights(rng, (40, 9), 8), InputCoding(8)
    inputs = random_inputs(rng, (7 * 19, 40), coding)
    stored = encode_weights(weights, 8, "offset", 2, 128)
    geometry = CrossbarGeometry(ou_rows=9)
    matrix = DenseMatrix(stored, geometry, Adc("clip", 3), coding, skip="bit_plane")
    use_threads(1)
    alone, counts = matrix.read(inputs, 7)
    seen = matrix.partial_sums(inputs)[0]
    try:
        use_threads(threads)
        again, counts_again = matrix.read(inputs, 7)
        assert np.array_equal(again, alone)
        assert counts_again.events == counts.events
        assert np.array_equal(counts_again.cycles, counts.cycles)
        assert np.array_equal(matrix.partial_sums(inputs)[0], seen)
    finally:
        use_threads(2)


@pytest.mark.parametrize("rows", [16, 32, 64, 128])
@pytest.mark.parametrize("bits", [2, 4, 7])
@pytest.mark.parametrize("encoding", ["offset", "differential_paired"])
def test_converters_of_few_steps_and_of_many(rows: int, bits: int, encoding: str) -> None:
    """By steps, and by a table where steps would be too many."""
    rng = np.random.default_rng(rows)
    weights, coding = random_weights(rng, (150, 3), 4), InputCoding(3, signed=True)
    stored = encode_weights(weights, 4, encoding, 3, rows)
    adc = Adc("sign_magnitude", bits) if stored.paired else Adc("round", bits, 3 * rows)
    matrix = DenseMatrix(stored, CrossbarGeometry(rows, 8, 3), adc, coding)
    inputs = random_inputs(rng, (6, 150), coding)
    assert np.array_equal(matrix.read(inputs, 2)[0], matrix.read_literally(inputs, 2)[0])


def test_steps_larger_than_any_sum() -> None:
    """One reading counts for more than the sums of two reads together."""
    stored = encode_weights(np.full((32, 2), 127), 8, "offset", 8, 16)
    geometry, adc = CrossbarGeometry(16, 2, 8, dac_bits=3), Adc("round", 1, 40000)
    matrix = DenseMatrix(stored, geometry, adc, InputCoding(3))
    made = matrix.read(np.full((1, 32), 7), 1)[0]
    # 16 * 255 * 7 = 28560, more than half of the range, in each of two arrays
    assert made.tolist() == [[2 * 40000 - 32 * 7 * 128] * 2]


def test_readings_beyond_a_lane_are_joined_one_by_one() -> None:
    """Sums fit 16 bits with their sign; half steps of nearly half a level do not."""
    stored = encode_weights(np.full((32, 2), 127), 8, "offset", 8, 16)
    geometry, adc = CrossbarGeometry(16, 2, 8, dac_bits=3), Adc("symmetric", 16, 32768)
    matrix = DenseMatrix(stored, geometry, adc, InputCoding(3))
    made = matrix.read(np.full((1, 32), 7), 1)[0]
    level = naive.adc("symmetric", 16, 32768, 16 * 255 * 7, False)
    assert adc.table(0, 28560)[-1] > 2**15
    assert made.tolist() == [[naive.half_up(2 * level) - 32 * 7 * 128] * 2]


def test_each_bit_of_a_rounding_adc_helps() -> None:
    """128 rows of 2-bit cells: no whole step at 8 bits, and yet errors fall below those at 7."""
    rng = np.random.default_rng(6)
    weights, coding = random_weights(rng, (256, 16), 8), InputCoding(8)
    stored = encode_weights(weights, 8, "offset", 2, 128)
    inputs = rng.integers(0, 256, (20, 256)) * (rng.random((20, 256)) < 0.3)
    errors = []
    for bits in range(4, 10):
        matrix = DenseMatrix(stored, CrossbarGeometry(), Adc("round", bits), coding)
        off = matrix.read(inputs, 1)[0] - products(inputs, weights)
        errors.append(float(np.sqrt(np.mean(off.astype(np.float64) ** 2))))
    assert errors[-1] == 0
    assert all(more < 0.75 * fewer for fewer, more in pairwise(errors))


def test_a_range_calibrated_on_the_sums_seen_loses_less() -> None:
    rng = np.random.default_rng(4)
    weights = rng.integers(-2, 3, (128, 8))
    stored = encode_weights(weights, 4, "differential", 2, 128)
    inputs = (rng.random((40, 128)) < 0.2).astype(np.uint8)
    geometry, coding, wide = CrossbarGeometry(), InputCoding(1), Adc("round", 5)
    matrix = DenseMatrix(stored, geometry, wide, coding)
    seen, least = matrix.partial_sums(inputs)
    assert least == 0
    fitted = calibrate(wide, seen, least)
    assert fitted.full_scale == np.flatnonzero(seen)[-1]
    expected = products(inputs, weights)

    def error(adc: Adc) -> int:
        made = DenseMatrix(stored, geometry, adc, coding).read(inputs, 1)[0]
        return int(np.abs(made - expected).sum())

    assert error(fitted) < error(wide)


def test_weights_left_out_have_no_cell_and_no_correction() -> None:
    rng = np.random.default_rng(3)
    coding = InputCoding(8, signed=True)
    kept = rng.random((30, 4)) < 0.4
    zeros = np.array([0, 5, -128, 127])
    weights = np.where(kept, random_weights(rng, (30, 4), 9), zeros)
    inputs = random_inputs(rng, (5, 30), coding)
    for encoding in PLAIN:
        stored = encode_weights(weights, 9, encoding, 2, 18, kept, zeros)
        matrix = DenseMatrix(stored, CrossbarGeometry(18, 8, 2, 9), Adc(), coding)
        expected = products(inputs, weights - zeros)
        assert np.array_equal(matrix.read(inputs, 1)[0], expected)
        assert np.array_equal(matrix.read(inputs, 1, "integer")[0], expected)


def test_a_transfer_that_is_a_clamp_above_zero_is_not_taken_for_one() -> None:
    """One row, one bit: symmetric of 1 bit reads 0 and 1 both as 1."""
    geometry = CrossbarGeometry(1, 4, 1)
    stored = encode_weights(np.array([[1, 0]]), 2, "differential", 1, 1)
    matrix = DenseMatrix(stored, geometry, Adc("symmetric", 1), InputCoding(1))
    inputs = np.array([[0], [1]])
    assert np.array_equal(matrix.read(inputs, 1)[0], matrix.read_literally(inputs, 1)[0])


def test_wrong_matrices_are_refused() -> None:
    ones = np.ones((4, 2), np.int64)
    stored = encode_weights(ones, 8, "offset", 2, 4)
    with pytest.raises(ConfigError, match="cells of 4 bits, got 2"):
        DenseMatrix(stored, CrossbarGeometry(cell_bits=4), Adc(), InputCoding(8))
    with pytest.raises(MappingError, match="windows that divide 4 rows, got 3"):
        DenseMatrix(stored, CrossbarGeometry(), Adc(), InputCoding(8), window_rows=3)
    flipped = encode_weights(ones, 8, "column_flip", 2, 3)
    with pytest.raises(MappingError, match="groups of rows to end where operation units do"):
        DenseMatrix(flipped, CrossbarGeometry(), Adc(), InputCoding(8))
    many = encode_weights(np.full((200, 1), 127), 8, "offset", 8, 200)
    wide = CrossbarGeometry(200, 1, 8, 1, 1, 8)
    adc = Adc("round", 16, 2**24 - 1)
    DenseMatrix(many, wide, adc, InputCoding(8))
    tall = encode_weights(np.full((34000, 1), 127), 8, "offset", 8, 34000)
    with pytest.raises(AccumulatorError, match="within 32 bits, got 34000 reads of up to"):
        DenseMatrix(tall, CrossbarGeometry(34000, 1, 8, 1, 1, 8), Adc(), InputCoding(8))


def test_wrong_inputs_are_refused() -> None:
    stored = encode_weights(np.ones((4, 2), np.int64), 8, "offset", 2, 4)
    matrix = DenseMatrix(stored, CrossbarGeometry(), Adc(), InputCoding(8))
    for inputs in (np.ones((2, 3), np.int64), np.ones((2, 4)), np.full((2, 4), 256)):
        with pytest.raises(LayoutError):
            matrix.read(inputs, 1)
    for n_samples in (3, 0, -1):
        with pytest.raises(LayoutError, match=f"each of {n_samples} samples, got 4 in all"):
            matrix.read(np.ones((4, 4), np.uint8), n_samples)
    sums, counts = matrix.read(np.zeros((0, 4), np.int64), 0)
    assert sums.shape == (0, 2)
    assert counts.cycles.shape == (0,)
    assert matrix.n_crossbars == 1
