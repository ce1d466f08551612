from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_matrix import DenseMatrix
from bitpim.crossbar.encodings import StoredWeights, encode_weights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.pattern_blocks import PatternBlocks
from bitpim.crossbar.pattern_matrix import PatternMatrix
from bitpim.crossbar.pieces import ReadPieces
from bitpim.errors import ConfigError, LayoutError, MappingError
from bitpim.threads import use_threads
from tests.naive import crossbar as naive
from tests.naive.ou_lists import Found, read_vector

Ints = npt.NDArray[np.int64]
PLAIN = ("offset", "differential", "differential_paired", "twos_complement")
FIELDS = ("sources", "crossbars", "reads", "rows", "columns", "cells")


@dataclass
class Block:
    """Kernels of one channel and mask, as plain lists."""

    channel: int
    mask: int
    rows: list[int]
    outputs: list[int]


def blocks_in(kept: npt.NDArray[np.bool_], window: int) -> list[Block]:
    """Sort kernels by channel and mask, one weight at a time."""
    found: dict[tuple[int, int], Block] = {}
    for channel, o in np.ndindex(kept.shape[0] // window, kept.shape[1]):
        rows = [r for r in range(channel * window, (channel + 1) * window) if kept[r, o]]
        mask = sum(1 << r - channel * window for r in rows)
        if mask:
            block = found.setdefault((channel, mask), Block(channel, mask, rows, []))
            block.outputs.append(o)
    return list(found.values())


def pattern_blocks(listed: list[Block], shape: tuple[int, ...], window: int) -> PatternBlocks:
    """Blocks of a matrix in the order listed."""
    return PatternBlocks(
        n_outputs=shape[1],
        n_channels=shape[0] // window,
        n_positions=window,
        n_patterns=1,
        channels=np.array([b.channel for b in listed], np.int64),
        masks=np.array([b.mask for b in listed], np.uint64),
        kernel_edges=np.cumsum([0, *(len(b.outputs) for b in listed)]),
        outputs=np.array([o for b in listed for o in b.outputs], np.int64),
    )


def chunks_of(blocks: list[Block], ou_rows: int) -> list[tuple[int, list[int]]]:
    return [
        (b, block.rows[at : at + ou_rows])
        for b, block in enumerate(blocks)
        for at in range(0, len(block.rows), ou_rows)
    ]


def random_kept(
    rng: np.random.Generator, n_channels: int, window: int, n_outputs: int, n_patterns: int
) -> npt.NDArray[np.bool_]:
    """Kernels of a few patterns, some pruned whole."""
    patterns = rng.random((n_patterns, window)) < rng.uniform(0.1, 0.9)
    pick = rng.integers(0, n_patterns + 1, (n_channels, n_outputs))
    masks = np.concatenate([patterns, np.zeros((1, window), np.bool_)])[pick]
    return masks.transpose(0, 2, 1).reshape(-1, n_outputs)


def random_pieces(rng: np.random.Generator, n_chunks: int) -> ReadPieces:
    """Pieces with numbers of their own, so that a wrong source shows."""
    n = 2 * n_chunks
    return ReadPieces(
        sources=rng.integers(0, max(1, n_chunks), n),
        crossbars=rng.integers(0, 3, n),
        **{name: rng.integers(1, 100, n) for name in FIELDS[2:]},
    )


@dataclass
class Case:
    matrix: PatternMatrix
    stored: StoredWeights
    blocks: list[Block]
    weights: Ints  # less their zero points
    inputs: Ints
    n_samples: int

    @property
    def slices(self) -> list[tuple[int, int, int]]:
        matrix = self.matrix
        return naive.pieces(matrix.inputs.bits, matrix.geometry.dac_bits, matrix.inputs.signed)

    def read_plainly(self) -> list[Found]:
        matrix, stored, adc = self.matrix, self.stored, self.matrix.adc
        n_columns, most = stored.cells.shape[1], matrix.geometry.largest_sum
        lists = [
            (b.rows, [c for c in range(n_columns) if c % stored.n_outputs in b.outputs])
            for b in self.blocks
        ]
        return [
            read_vector(
                x,
                stored.cells.tolist(),
                lambda _, c: int(stored.factors[0, c]),
                lists,
                stored.n_outputs,
                self.slices,
                matrix.geometry.unit_rows,
                False,
                lambda y: naive.adc(adc.model, adc.bits or 0, most, y, stored.paired),
            )
            for x in self.inputs.tolist()
        ]

    def expected(self) -> Ints:
        stored = self.stored
        shape = len(self.inputs), stored.n_outputs
        sums = np.array([one.sums for one in self.read_plainly()], np.int64).reshape(shape)
        sums += self.inputs.sum(axis=1, keepdims=True) * stored.corrections[0]
        return sums if stored.offsets is None else sums - self.inputs @ stored.offsets


@st.composite
def cases(draw: Any) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    window, n_channels = draw(st.sampled_from((1, 4, 9, 25))), draw(st.integers(1, 9))
    n_outputs, rows = draw(st.integers(1, 6)), draw(st.integers(1, 30))
    geometry = CrossbarGeometry(rows, 8, draw(st.integers(1, 3)), None, 4, draw(st.integers(1, 2)))
    geometry = replace(geometry, ou_rows=draw(st.none() | st.integers(1, rows)))
    bits, signed = draw(st.integers(1, 6)), draw(st.booleans())
    coding = InputCoding(bits, signed, draw(st.none() | st.integers(1, bits)))
    weight_bits, encoding = draw(st.integers(2, 6)), draw(st.sampled_from(PLAIN))
    high = 2 ** (weight_bits - 1)
    zeros = rng.integers(1 - high, high, n_outputs) * draw(st.integers(0, 1))
    kept = random_kept(rng, n_channels, window, n_outputs, draw(st.integers(1, 4)))
    weights = np.where(kept, rng.integers(1 - high, high, kept.shape), zeros)
    stored = encode_weights(weights, weight_bits, encoding, geometry.cell_bits, rows, kept, zeros)
    models = ("sign_magnitude", "symmetric") if stored.paired else ("floor", "round", "symmetric")
    model = draw(st.sampled_from(("exact", "clip", *models)))
    adc = Adc() if model == "exact" else Adc(model, draw(st.integers(2, 6)))
    skip: Any = draw(st.sampled_from(("none", "bit_plane", "vector")))
    if model == "symmetric":
        skip = "none"
    listed = blocks_in(kept, window)
    rng.shuffle(listed)
    n_chunks = len(chunks_of(listed, geometry.unit_rows))
    blocks = pattern_blocks(listed, kept.shape, window)
    matrix = PatternMatrix(
        stored, geometry, adc, coding, blocks, random_pieces(rng, n_chunks), skip=skip
    )
    n_samples, (low, stop) = draw(st.integers(1, 3)), coding.ends
    inputs = rng.integers(low, stop + 1, (n_samples * draw(st.integers(0, 2)), len(kept)))
    inputs *= rng.random(inputs.shape) < 0.3
    return Case(matrix, stored, listed, weights - zeros, inputs, n_samples)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_reads_are_those_of_plain_loops(case: Case) -> None:
    """L1: equal to a naive model of blocks, chunks and converter, whichever way they are read."""
    matrix = case.matrix
    expected = case.expected()
    assert np.array_equal(matrix.read(case.inputs, case.n_samples)[0], expected)
    if matrix.reads_windows:  # the general way gives the same
        by_lists = np.zeros_like(expected)
        matrix._lists.add(case.inputs, by_lists)
        assert np.array_equal(by_lists, expected)
        assert matrix._lists.is_lossless == matrix.is_lossless
    seen = [y for one in case.read_plainly() for y in one.partials]
    histogram, least = matrix.partial_sums(case.inputs)
    again = np.repeat(np.arange(len(histogram)) + least, histogram)
    assert sorted(seen) == again.tolist()


@settings(max_examples=40, deadline=None)
@given(cases())
def test_idle_chunks_are_counted_by_sample(case: Case) -> None:
    matrix, pieces = case.matrix, case.matrix.pieces
    counts = matrix.read(case.inputs, case.n_samples)[1]
    chunks = chunks_of(case.blocks, matrix.geometry.unit_rows)
    n_slices = len(case.slices)
    per_sample = len(case.inputs) // case.n_samples
    done = np.zeros((case.n_samples, len(chunks)), np.int64)
    for p, x in enumerate(case.inputs.tolist()):
        sample = p // per_sample
        for i, (_, rows) in enumerate(chunks):
            busy = [
                any(naive.piece(x[r], low, width) for r in rows) for low, width, _ in case.slices
            ]
            n_done = {"none": n_slices, "bit_plane": sum(busy), "vector": any(busy) * n_slices}
            done[sample, i] += n_done[matrix.skip]
    expected = pieces.counts(done, per_sample * n_slices - done, matrix.adc.width)
    assert np.array_equal(counts.cycles, expected.cycles)
    assert counts.events == expected.events


@settings(max_examples=30, deadline=None)
@given(cases())
def test_lossless_reads_are_products_at_both_fidelities(case: Case) -> None:
    """L0: every encoding that leaves weights out, zero points, blocks of any height."""
    m = case.matrix
    exact = PatternMatrix(case.stored, m.geometry, Adc(), m.inputs, m.blocks, m.pieces, skip=m.skip)
    assert exact.is_lossless
    for one in (exact, m):
        if not one.is_lossless:
            with pytest.raises(ConfigError, match="fidelity integer needs a lossless ADC"):
                one.read(case.inputs, case.n_samples, "integer")
            continue
        bit, counts = one.read(case.inputs, case.n_samples)
        integer, same = one.read(case.inputs, case.n_samples, "integer")
        assert np.array_equal(bit, case.inputs @ case.weights)
        assert np.array_equal(integer, bit)
        assert same == replace(counts, cycles=same.cycles)
        assert np.array_equal(same.cycles, counts.cycles)


def one_channel(
    kept: Ints, weights: Ints, geometry: CrossbarGeometry, adc: Adc, encoding: str = "differential"
) -> tuple[PatternMatrix, StoredWeights]:
    mask = kept.astype(np.bool_)
    stored = encode_weights(weights, 3, encoding, geometry.cell_bits, geometry.rows, mask)
    listed = blocks_in(mask, len(mask))
    blocks = pattern_blocks(listed, mask.shape, len(mask))
    n = len(chunks_of(listed, geometry.unit_rows))
    pieces = ReadPieces(np.arange(n), *(np.ones(n, np.int64) for _ in FIELDS[1:]))
    return PatternMatrix(stored, geometry, adc, InputCoding(1), blocks, pieces), stored


def test_dense_and_pattern_reads_differ_where_their_units_do() -> None:
    """Four kept rows of nine meet in one OU of four rows; the dense mapping cuts them 2 and 2."""
    kept = np.array([[1, 1, 0, 0, 0, 1, 1, 0, 0]]).T
    geometry, adc = CrossbarGeometry(8, 8, 1, 4, 8), Adc("clip", 1)
    matrix, stored = one_channel(kept, kept, geometry, adc)
    x = np.ones((1, 9), np.int64)
    assert matrix.reads_windows
    assert matrix.read(x, 1)[0].tolist() == [[1]]  # four ones clipped to 1
    dense = DenseMatrix(stored, geometry, adc, InputCoding(1), window_rows=9)
    assert dense.read(x, 1)[0].tolist() == [[2]]  # two and two


def test_the_range_of_a_converter_is_that_of_the_operation_unit() -> None:
    """A window of nine rows read at once still is an OU of two rows: 2 bits read 0 to 2 exactly."""
    kept = np.array([[0, 0, 1, 0, 0, 0, 1, 0, 0]]).T
    matrix, _ = one_channel(kept, kept, CrossbarGeometry(8, 8, 1, 2, 8), Adc("floor", 2))
    assert matrix.reads_windows
    assert matrix.is_lossless
    assert matrix.read(np.ones((1, 9), np.int64), 1)[0].tolist() == [[2]]


def test_converters_without_a_zero_read_only_the_kernels_of_a_block() -> None:
    kept = np.array([[1, 0], [0, 1]])
    matrix, _ = one_channel(kept, kept, CrossbarGeometry(8, 8, 1, 2, 8), Adc("symmetric", 1))
    assert not matrix.reads_windows
    # 1 bit: 0 and below read -2, above 2: one read of 1 a kernel, twice where columns are paired
    levels = [int(naive.adc("symmetric", 1, 2, y, False)) for y in (1, 0)]
    one_bit = levels[0] - levels[1]  # positive column less negative one, lowest digit
    high_digit = 2 * (levels[1] - levels[1])
    assert matrix.read(np.ones((1, 2), np.int64), 1)[0].tolist() == [[one_bit + high_digit] * 2]


@pytest.mark.parametrize("ou_rows", (2, 9))
def test_threads_and_blocks_change_nothing(ou_rows: int) -> None:
    rng = np.random.default_rng(1)
    kept = random_kept(rng, 8, 9, 20, 4)
    weights = rng.integers(-7, 8, kept.shape) * kept
    geometry, listed = CrossbarGeometry(32, 32, 2, ou_rows, 8), blocks_in(kept, 9)
    stored = encode_weights(weights, 4, "offset", 2, 32, kept)
    blocks = pattern_blocks(listed, kept.shape, 9)
    pieces = random_pieces(rng, len(chunks_of(listed, ou_rows)))
    matrix = PatternMatrix(
        stored, geometry, Adc("clip", 2), InputCoding(8), blocks, pieces, skip="bit_plane"
    )
    inputs = rng.integers(0, 256, (3 * 97, 72)) * (rng.random((291, 72)) < 0.2)
    try:
        use_threads(1)
        sums, counts = matrix.read(inputs, 3)
        use_threads(2)
        again, same = matrix.read(inputs, 3)
    finally:
        use_threads(2)
    assert np.array_equal(again, sums)
    assert same.events == counts.events
    parts = [matrix.read(part, 1) for part in np.split(inputs, 3)]
    assert np.array_equal(np.concatenate([part for part, _ in parts]), sums)
    assert [int(part.cycles[0]) for _, part in parts] == counts.cycles.tolist()


def test_wrong_blocks_pieces_and_inputs_are_refused() -> None:
    kept = np.array([[1, 0], [1, 1]]).astype(np.bool_)
    stored = encode_weights(kept.astype(np.int64), 2, "differential", 1, 8, kept)
    geometry, coding = CrossbarGeometry(8, 8, 1, 2, 2), InputCoding(2)
    pieces = ReadPieces(np.arange(2), *(np.ones(2, np.int64) for _ in FIELDS[1:]))

    good = pattern_blocks(blocks_in(kept, 2), kept.shape, 2)
    other = replace(good, masks=good.masks[[1, 1]])
    with pytest.raises(MappingError, match=r"pattern blocks: .* got row 0, output 0 in none"):
        PatternMatrix(stored, geometry, Adc(), coding, other, pieces)
    far = replace(pieces, sources=np.array([0, 2]))
    with pytest.raises(MappingError, match="pieces of 2 sources, got 3"):
        PatternMatrix(stored, geometry, Adc(), coding, good, far)
    with pytest.raises(ConfigError, match="reads 0 as 0 to skip"):
        PatternMatrix(stored, geometry, Adc("symmetric", 1), coding, good, pieces, skip="vector")
    with pytest.raises(ConfigError, match="cells of 2 bits, got 1"):
        PatternMatrix(stored, replace(geometry, cell_bits=2), Adc(), coding, good, pieces)
    matrix = PatternMatrix(stored, geometry, Adc(), coding, good, pieces)
    with pytest.raises(LayoutError, match=r"pattern matrix: need inputs within 0\.\.3"):
        matrix.read(np.full((1, 2), 4), 1)
    sums, counts = matrix.read(np.zeros((0, 2), np.int64), 0)
    assert sums.shape == (0, 2)
    assert counts.cycles.shape == (0,)
