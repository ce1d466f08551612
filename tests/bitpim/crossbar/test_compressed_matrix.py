from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import Crossbar, CrossbarGeometry
from bitpim.crossbar.compressed_matrix import CompressedMatrix
from bitpim.crossbar.encodings import ENCODINGS, StoredWeights, encode_weights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.segments import Segments
from bitpim.errors import AccumulatorError, ConfigError, LayoutError, MappingError
from bitpim.threads import use_threads
from tests.naive import crossbar as naive
from tests.naive.ou_lists import Found, read_vector

Ints = npt.NDArray[np.int64]


def segments_of(parts: list[tuple[list[int], list[int], int]]) -> Segments:
    """Segments from rows, columns and crossbar of each."""
    rows, columns, crossbars = ([part[i] for part in parts] for i in range(3))

    def edges(lists: Any) -> Ints:
        return np.cumsum([0, *map(len, lists)])

    def joined(lists: Any) -> Ints:
        return np.array([n for one in lists for n in one], np.int64)

    found = edges(rows), joined(rows), edges(columns), joined(columns), joined([crossbars])
    return Segments(*found)


def packed_segments(
    stored: StoredWeights, geometry: CrossbarGeometry, order: Ints, drop_rows: bool
) -> Segments:
    parts: list[tuple[list[int], list[int], int]] = []
    for first in range(0, len(order), geometry.unit_columns):
        columns = order[first : first + geometry.unit_columns].tolist()
        rows = list(range(len(stored.cells)))
        if drop_rows:
            rows = [r for r in rows if stored.cells[r, columns].any()]
        for at in range(0, len(rows), geometry.rows):
            crossbar = (len(parts) * 7) % 3  # neither sorted nor one each
            parts.append((rows[at : at + geometry.rows], columns, crossbar))
    return segments_of(parts)


def listed(segments: Segments) -> list[tuple[Ints, Ints]]:
    """Return rows and columns of each segment."""
    n_segments = len(segments.crossbars)
    return [(segments.rows_of(k), segments.columns_of(k)) for k in range(n_segments)]


@dataclass
class Case:
    matrix: CompressedMatrix
    stored: StoredWeights
    coding: InputCoding
    weights: Ints  # less their zero points
    inputs: Ints
    n_samples: int

    def read_plainly(self) -> list[Found]:
        matrix, stored, adc = self.matrix, self.stored, self.matrix.adc
        geometry, s = matrix.geometry, matrix.segments
        lists = [(rows.tolist(), columns.tolist()) for rows, columns in listed(s)]
        return [
            read_vector(
                x,
                stored.cells.tolist(),
                lambda row, c: int(
                    stored.factors[np.searchsorted(stored.row_edges, row, "right") - 1, c]
                ),
                lists,
                stored.n_outputs,
                naive.pieces(self.coding.bits, geometry.dac_bits, self.coding.signed),
                geometry.unit_rows,
                matrix.pack_active_rows,
                lambda y: naive.adc(
                    adc.model, adc.bits or 0, geometry.largest_sum, y, stored.paired
                ),
            )
            for x in self.inputs.tolist()
        ]

    def corrections(self) -> Ints:
        stored = self.stored
        found = np.zeros((len(self.inputs), stored.n_outputs), np.int64)
        for g in range(len(stored.row_edges) - 1):
            rows = slice(stored.row_edges[g], stored.row_edges[g + 1])
            found += self.inputs[:, rows].sum(axis=1, keepdims=True) * stored.corrections[g]
        return found if stored.offsets is None else found - self.inputs @ stored.offsets


@st.composite
def cases(draw: Any, models: tuple[str, ...] = ("exact", "clip", "other")) -> Case:
    """A matrix in segments, ragged and small, and inputs for some samples."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    encoding = draw(st.sampled_from(ENCODINGS))
    rows, n_rows = draw(st.integers(1, 20)), draw(st.sampled_from((1, 7, 20, 64, 65, 70)))
    geometry = CrossbarGeometry(
        rows,
        draw(st.integers(1, 12)),
        draw(st.integers(1, 3)),
        draw(st.none() | st.integers(1, rows)),
        None,
        draw(st.integers(1, 3)),
    )
    geometry = replace(geometry, ou_columns=draw(st.integers(1, geometry.columns)))
    bits, signed = draw(st.integers(1, 8)), draw(st.booleans())
    coding = InputCoding(bits, signed, draw(st.none() | st.integers(1, bits)))
    weight_bits, n_outputs = draw(st.integers(2, 6)), draw(st.integers(1, 5))
    high = 2 ** (weight_bits - 1)
    zeros = rng.integers(1 - high, high, n_outputs) * draw(st.integers(0, 1))
    shape = n_rows, n_outputs
    weights = np.where(rng.random(shape) < 0.6, 0, rng.integers(1 - high, high, shape))
    drop = encoding != "column_flip" and draw(st.booleans())
    stored = encode_weights(weights, weight_bits, encoding, geometry.cell_bits, rows, zeros=zeros)
    order = rng.permutation(stored.cells.shape[1])
    segments = packed_segments(stored, geometry, order, drop)
    model = draw(st.sampled_from(models))
    if model == "other":
        model = draw(st.sampled_from(("sign_magnitude",) if stored.paired else ("floor", "round")))
    adc = Adc() if model == "exact" else Adc(model, draw(st.integers(2, 6)))
    packed = draw(st.booleans())
    matrix = CompressedMatrix(stored, geometry, adc, coding, segments, pack_active_rows=packed)
    n_samples, low, stop = draw(st.integers(1, 3)), *coding.ends
    positions = n_samples * draw(st.integers(0, 2))
    inputs = rng.integers(low, stop + 1, (positions, n_rows))
    inputs *= rng.random(inputs.shape) < 0.5
    return Case(matrix, stored, coding, weights - zeros, inputs, n_samples)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_reads_are_those_of_plain_loops(case: Case) -> None:
    """L1: equal to a naive model of rows listed, packed, cut and converted."""
    matrix, segments = case.matrix, case.matrix.segments
    sums, counts = matrix.read(case.inputs, case.n_samples)
    found = case.read_plainly()
    expected = np.array([one.sums for one in found], np.int64).reshape(sums.shape)
    assert np.array_equal(sums, expected + case.corrections())
    reads = np.array([one.reads for one in found], np.int64).reshape(
        len(found), len(segments.crossbars)
    )
    rows = np.array([one.rows for one in found], np.int64).reshape(
        len(found), len(segments.crossbars)
    )
    n_columns, events = segments.widths, counts.events
    assert events["ou_activation"] == reads.sum()
    assert events["ou_rows"] == events["dac_drive"] == rows.sum()
    assert events["ou_cells"] == (rows @ n_columns).sum()
    converted = (reads @ n_columns).sum()
    width = f"adc_conv_{matrix.adc.width}"
    assert events["ou_cols"] == events["shift_add"] == events[width] == converted
    n_slices = len(case.coding.digits(matrix.geometry.dac_bits))
    closed = sum(-(-n // matrix.geometry.unit_rows) for n in segments.heights.tolist())
    total = events["ou_activation"] + events["ou_skipped"]
    assert total == closed * n_slices * len(case.inputs)
    for sample, part in enumerate(np.split(reads, case.n_samples)):
        busy = np.bincount(segments.crossbars, part.sum(axis=0), minlength=1)
        assert counts.cycles[sample] == busy.max()
    seen = [y for one in found for y in one.partials]
    histogram, least = matrix.partial_sums(case.inputs)
    again = np.repeat(np.arange(len(histogram)) + least, histogram)
    assert sorted(seen) == again.tolist()


@settings(max_examples=40, deadline=None)
@given(cases())
def test_lossless_reads_are_products_at_both_fidelities(case: Case) -> None:
    """L0: every encoding, zero points, rows dropped; counts are the same."""
    matrix = case.matrix
    arguments = case.stored, matrix.geometry, Adc(), case.coding, matrix.segments
    exact = CompressedMatrix(*arguments, pack_active_rows=matrix.pack_active_rows)
    assert exact.is_lossless
    for one in (exact, matrix):
        if not one.is_lossless:
            with pytest.raises(ConfigError, match="fidelity integer needs a lossless ADC"):
                one.read(case.inputs, case.n_samples, "integer")
            continue
        bit, counts = one.read(case.inputs, case.n_samples)
        integer, same = one.read(case.inputs, case.n_samples, "integer")
        assert np.array_equal(bit, case.inputs @ case.weights)
        assert np.array_equal(integer, bit)
        assert same.events == counts.events
        assert np.array_equal(same.cycles, counts.cycles)


@settings(max_examples=30, deadline=None)
@given(cases())
def test_lossless_means_that_no_subset_of_rows_is_misread(case: Case) -> None:
    matrix, stored = case.matrix, case.stored
    unit, seen = matrix.geometry.unit_rows, [0]
    for rows, columns in listed(matrix.segments):
        for c in columns:
            cells = stored.cells[rows, c].tolist()
            chunks = [cells[i : i + unit] for i in range(0, len(cells), unit)]
            if matrix.pack_active_rows:
                chunks = [sorted(cells)[-unit:], sorted(cells)[:unit]]
            seen += [sum(v for v in chunk if v * sign > 0) for chunk in chunks for sign in (1, -1)]
    widest = max(width for _, width, _ in naive.pieces(*_slicing(case)))
    top = (1 << widest) - 1
    most, adc = matrix.geometry.largest_sum, matrix.adc
    reach = range(min(seen) * top, max(seen) * top + 1)
    misread = [y for y in reach if naive.adc(adc.model, adc.bits or 0, most, y, stored.paired) != y]
    assert matrix.is_lossless == (not misread)


def _slicing(case: Case) -> tuple[int, int, bool]:
    return case.coding.bits, case.matrix.geometry.dac_bits, case.coding.signed


def test_packed_reads_are_those_of_a_crossbar() -> None:
    """The same rows and columns, read one unit at a time from a real array."""
    rng = np.random.default_rng(4)
    geometry, adc = CrossbarGeometry(40, 6, 2, 3, 6), Adc("clip", 2)
    stored = encode_weights(rng.integers(-3, 4, (40, 3)), 3, "differential", 2, 40)
    segments = segments_of([(list(range(40)), list(range(6)), 0)])
    coding = InputCoding(1)
    matrix = CompressedMatrix(stored, geometry, adc, coding, segments)
    array = Crossbar(geometry, adc)
    array.program(stored.cells)
    inputs = rng.integers(0, 2, (5, 40))
    inputs[3] = 0
    sums, counts = matrix.read(inputs, 5)
    for x, row, cycles in zip(inputs, sums, counts.cycles, strict=True):
        readings = array.read_packed(x, range(40), range(6))
        assert np.array_equal(row, readings[:3] - readings[3:])
        assert cycles == -(-int(x.sum()) // 3)
    expected = {event: n for event, n in array.counts.to_dict().items() if event != "ou_skipped"}
    expected["shift_add"] = expected["adc_conv_2"]
    expected["ou_skipped"] = 5 * 14 - expected["ou_activation"]
    expected["ou_cells"] = 6 * expected["ou_rows"]
    assert counts.events == Counts(**expected)


@pytest.mark.parametrize("encoding", ("offset", "differential", "differential_paired"))
@pytest.mark.parametrize("size", (1, 63, 64, 65, 128, 129, 300))
def test_sizes_around_words_and_tiles(encoding: str, size: int) -> None:
    rng = np.random.default_rng(size)
    weights = rng.integers(-127, 128, (size, 17)) * (rng.random((size, 17)) < 0.5)
    weights[0, :2] = -127, 127
    for geometry in (
        CrossbarGeometry(128, 128, 2, 16, 16),
        CrossbarGeometry(128, 128, 1),
        CrossbarGeometry(512, 512, 4, 9, 8, 2),
        CrossbarGeometry(64, 64, 8, 64, 16, 8),
    ):
        stored = encode_weights(weights, 8, encoding, geometry.cell_bits, geometry.rows)
        order = np.arange(stored.cells.shape[1]).reshape(-1, 17).T.ravel()
        for drop in (False, True):
            segments = packed_segments(stored, geometry, order, drop)
            for coding in (InputCoding(8), InputCoding(8, signed=True), InputCoding(16, True, 9)):
                matrix = CompressedMatrix(stored, geometry, Adc(), coding, segments)
                low, high = coding.ends
                inputs = rng.integers(low, high + 1, (3, size))
                inputs[0], inputs[1] = low, high
                assert np.array_equal(matrix.read(inputs, 1)[0], inputs @ weights)


def test_packing_changes_what_a_clipping_adc_reads() -> None:
    """Rows 0 and 2 meet in one read when packed; each stands alone otherwise."""
    stored = encode_weights(np.array([[1], [0], [1], [0]]), 2, "offset", 2, 4)
    geometry, coding = CrossbarGeometry(4, 4, 2, 2, 4), InputCoding(1)
    segments = segments_of([([0, 1, 2, 3], [0], 0)])
    found = [
        int(
            CompressedMatrix(
                stored, geometry, Adc("clip", 2), coding, segments, pack_active_rows=packed
            ).read(np.array([[1, 0, 1, 0]]), 1)[0][0, 0]
        )
        for packed in (True, False)
    ]
    assert found == [3 - 4, 3 + 3 - 4]  # cells of 3, an offset of 2 a row


def test_threads_and_blocks_change_nothing() -> None:
    rng = np.random.default_rng(1)
    weights, coding = rng.integers(-127, 128, (40, 9)), InputCoding(8)
    stored = encode_weights(weights, 8, "differential", 2, 128)
    geometry = CrossbarGeometry(ou_rows=9, ou_columns=8)
    segments = packed_segments(stored, geometry, np.arange(stored.cells.shape[1]), True)
    matrix = CompressedMatrix(stored, geometry, Adc("clip", 3), coding, segments)
    inputs = rng.integers(0, 256, (3 * 101, 40))
    use_threads(1)
    try:
        sums, counts = matrix.read(inputs, 3)
        histogram, least = matrix.partial_sums(inputs)
        use_threads(2)
        again, same = matrix.read(inputs, 3)
        assert np.array_equal(again, sums)
        assert same.events == counts.events
        assert np.array_equal(same.cycles, counts.cycles)
        assert np.array_equal(matrix.partial_sums(inputs)[0], histogram)
        parts = [matrix.read(part, 1) for part in np.split(inputs, 3)]
    finally:
        use_threads(2)
    assert least == 0
    assert np.array_equal(np.concatenate([part for part, _ in parts]), sums)
    assert [int(part.cycles[0]) for _, part in parts] == counts.cycles.tolist()


def test_a_matrix_of_zeros_needs_no_crossbar() -> None:
    stored = encode_weights(np.zeros((5, 2), np.int64), 4, "differential", 2, 8)
    matrix = CompressedMatrix(
        stored, CrossbarGeometry(8, 8, 2), Adc("clip", 1), InputCoding(4), segments_of([])
    )
    sums, counts = matrix.read(np.full((6, 5), 15), 3)
    assert matrix.segments.n_crossbars == 0
    assert matrix.is_lossless
    assert not sums.any()
    assert counts.events == Counts()
    assert counts.cycles.tolist() == [0, 0, 0]


def test_wrong_segments_and_inputs_are_refused() -> None:
    stored = encode_weights(np.ones((4, 2), np.int64), 2, "differential", 1, 2)
    geometry, coding = CrossbarGeometry(2, 4, 1, 2, 2), InputCoding(2)
    good = [([0, 1], [0, 1], 0), ([2, 3], [0, 1], 1)]

    def build(parts: Any, adc: Adc | None = None, **more: Any) -> CompressedMatrix:
        return CompressedMatrix(stored, geometry, adc or Adc(), coding, segments_of(parts), **more)

    for parts, match in (
        ([([0, 1, 2], [0, 1], 0)], "at most 2 rows and 2 columns, got 3 and 2"),
        ([([0], [0, 1, 2], 0)], "at most 2 rows and 2 columns, got 1 and 3"),
        ([*good, ([1, 0], [2], 0)], r"rows that rise, got \[1, 0\]"),
        ([*good, ([0], [], 0)], "need a row and a column in each"),
        (good[:1], "need each cell not at level 0 in one segment, got row 2, column 0 in 0"),
        ([*good, ([3], [1], 0)], "row 3, column 1 in 2"),
    ):
        with pytest.raises(MappingError, match=match):
            build(parts)
    with pytest.raises(ConfigError, match="reads 0 as 0 to pass over rows"):
        build(good, Adc("symmetric", 1))
    wide = CrossbarGeometry(2, 4, 2, 2, 2)
    with pytest.raises(ConfigError, match="cells of 2 bits, got 1"):
        CompressedMatrix(stored, wide, Adc(), coding, segments_of(good))
    flipped = encode_weights(np.full((4, 1), -1), 2, "column_flip", 2, 2)
    across = segments_of([([1, 2], [0], 0), ([0, 3], [0], 0)])
    with pytest.raises(MappingError, match=r"in one group of the encoding, got groups at \[0, 2"):
        CompressedMatrix(flipped, wide, Adc(), coding, across)
    matrix = build(good)
    for x, n_samples in (
        (np.ones((2, 3), np.int64), 1),
        (np.ones((2, 4)), 1),
        (np.full((2, 4), 4), 1),
        (np.full((2, 4), -1), 1),
        (np.ones((3, 4), np.int64), 2),
        (np.ones((3, 4), np.int64), 0),
    ):
        with pytest.raises(LayoutError, match="compressed matrix"):
            matrix.read(x, n_samples)


def test_sums_beyond_32_bits_are_refused() -> None:
    geometry = CrossbarGeometry(2**16, 1, 8, 1, 1, 8)
    weights = np.full((2**16, 1), 127)
    stored = encode_weights(weights, 8, "offset", 8, 2**16)
    segments = segments_of([(list(range(2**16)), [0], 0)])
    matrix = CompressedMatrix(stored, geometry, Adc(), InputCoding(8), segments)
    with pytest.raises(AccumulatorError, match="sum of a column within 32 bits"):
        matrix.read(np.zeros((1, 2**16), np.uint8), 1)


def test_sums_that_leave_64_bits_when_scaled_are_refused() -> None:
    for n_rows, fits in ((2**10, True), (2**15, False)):
        stored = encode_weights(np.full((n_rows, 1), 2**15 - 1), 16, "offset", 8, n_rows)
        geometry = CrossbarGeometry(n_rows, 2, 8, 1, 2, 8)
        segments = segments_of([(list(range(n_rows)), [0, 1], 0)])
        arguments = stored, geometry, Adc("round", 16, 65537), InputCoding(16), segments
        if fits:
            CompressedMatrix(*arguments)
            continue
        with pytest.raises(AccumulatorError, match="matrix: need sums of readings within"):
            CompressedMatrix(*arguments)
