from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels import crossbar
from bitpim_kernels.crossbar import Columns, Transfer
from bitpim_kernels.ou_tile import TILE_POSITIONS, lanes_of
from bitpim_kernels.vector import TILE_FILTERS, TILE_PIXELS
from tests.naive import crossbar as naive

Form = Callable[[Any], Callable[..., Any]]
Ints = npt.NDArray[np.int64]


def fields_of(
    codes: npt.NDArray[Any], edges: list[int], bits: list[int], width: int
) -> npt.NDArray[Any]:
    """Fields by their definition: row r of a block is bit r."""
    n_words = max(1, max(-(-(b - a) // width) for a, b in pairwise(edges)))
    out = np.zeros((len(codes), len(bits), len(edges) - 1, n_words), np.uint64)
    for p, k, block in np.ndindex(*out.shape[:3]):
        for row in range(edges[block], edges[block + 1]):
            if bits[k] >= 0 and (int(codes[p, row]) >> bits[k]) & 1:
                at = row - edges[block]
                out[p, k, block, at // width] |= np.uint64(1 << at % width)
    return out.reshape(len(codes), -1).astype(f"uint{width}")


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("step", [1, 7, 16, 63, 64, 65, 128, 150])
def test_fields_hold_the_bits_of_their_rows(width: int, step: int, form: Form) -> None:
    rng = np.random.default_rng(step)
    for n_rows in (1, 64, 65, 150):
        edges = [*range(0, n_rows, step), n_rows]
        bits = [0, 3, -1, 7]
        scratch = np.zeros(-(-n_rows // 64) + 1, np.uint64)
        for dtype in (np.uint8, np.int16):
            codes = rng.integers(-100 if dtype == np.int16 else 0, 200, (3, n_rows)).astype(dtype)
            expected = fields_of(codes, edges, bits, width)
            n_words = -(-min(step, n_rows) // width)
            out = np.full((3, len(bits) * (len(edges) - 1) * n_words), 99, f"uint{width}")
            form(crossbar.lay_fields)(codes, np.array(edges), np.array(bits), scratch, out)
            assert np.array_equal(out, expected)


class Case:
    """Random cells and digits, laid out by definition; `run` reads them."""

    def __init__(self, seed: int, width: int, ou_rows: int, cell_bits: int, dac_bits: int) -> None:
        rng = np.random.default_rng(seed)
        self.n_outputs, n_bit_slices, n_rows = 3, 2, 3 * ou_rows - 1
        self.edges = [0, ou_rows, 2 * ou_rows, n_rows]
        self.cells = rng.integers(0, 1 << cell_bits, (n_rows, self.n_outputs * n_bit_slices))
        self.slices = [(0, dac_bits, 1), (dac_bits, dac_bits, -(1 << dac_bits))]
        self.inputs = rng.integers(0, 1 << 2 * dac_bits, (5, n_rows))
        self.bits = [low + i if i < n else -1 for low, n, _ in self.slices for i in range(dac_bits)]
        self.width, self.cell_bits, self.dac_bits = width, cell_bits, dac_bits
        self.factors = rng.integers(-9, 10, (2, self.cells.shape[1]))
        self.most = ou_rows * ((1 << cell_bits) - 1) * ((1 << dac_bits) - 1)

    def columns(self, n_negative: int = 0) -> Columns:
        lanes = lanes_of(self.width)
        planes = list(range(self.cell_bits))
        fields = fields_of(self.cells.T, self.edges, planes, self.width)
        if n_negative:
            fields = np.hstack([np.zeros_like(fields), fields])
        full = np.zeros((lanes, fields.shape[1]), fields.dtype)
        full[: len(fields)] = fields
        n_words = fields.shape[1] // (len(planes) * (1 + (n_negative > 0))) // 3
        return Columns(
            np.ascontiguousarray(full.T),
            n_words,
            self.dac_bits,
            self.cell_bits + n_negative,
            n_negative,
            np.array([0, 1, 3]),
            self.factors,
            np.array([factor for _, _, factor in self.slices]),
            False,
        )

    def run(self, kernel: Any, adc: Transfer, n_negative: int = 0) -> Ints:
        """Read, slices joined in 64 bits and in 32 alike."""
        wide = self._run(kernel, self.columns(n_negative), adc)
        narrow = self.columns(n_negative)._replace(joins_in_32_bits=True)
        assert np.array_equal(self._run(kernel, narrow, adc), wide)
        return wide

    def _run(self, kernel: Any, columns: Columns, adc: Transfer) -> Ints:
        lanes = columns.cells.shape[1]
        totals = np.full((len(self.slices), TILE_POSITIONS, lanes), 77, np.int32)
        partials = np.full((TILE_POSITIONS, lanes), 77, np.int32)
        out = np.full((len(self.inputs), self.n_outputs), 1000)
        fields = fields_of(self.inputs, self.edges, self.bits, self.width)
        kernel(fields, columns, adc, totals, partials, out)
        out -= 1000
        return out

    def expected(self, convert: Callable[[int], int], sign: int = 1) -> Ints:
        found = np.zeros((len(self.inputs), self.n_outputs), np.int64)
        for group, blocks in enumerate(([0], [1, 2])):
            rows = [range(self.edges[b], self.edges[b + 1]) for b in blocks]
            listed = [
                (
                    c % self.n_outputs,
                    int(self.factors[group, c]),
                    (sign * self.cells[:, c]).tolist(),
                )
                for c in range(self.cells.shape[1])
            ]
            found += np.array(
                naive.multiply(
                    self.inputs.tolist(),
                    listed,
                    self.n_outputs,
                    [list(r) for r in rows],
                    self.slices,
                    convert,
                )
            )
        return found


NO_TABLE = np.zeros(0, np.int32)
NO_STEPS = np.zeros((0, 2), np.int64)
SHAPES = [
    (16, 9, 1, 1),
    (16, 16, 1, 1),
    (16, 5, 3, 2),
    (32, 32, 1, 1),
    (32, 11, 4, 3),
    (64, 64, 1, 1),
    (64, 65, 1, 1),
    (64, 128, 1, 1),
    (64, 130, 2, 1),
    (64, 1, 1, 1),
    (16, 9, 2, 1),
    (16, 9, 4, 1),
    (64, 100, 2, 1),
    (64, 128, 4, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("run", [1, 2, 100])
def test_clamped_reads(shape: tuple[int, int, int, int], run: int, form: Form) -> None:
    case = Case(sum(shape), *shape)
    for high in (1, case.most // 2, case.most):
        made = case.run(form(crossbar.read_columns), Transfer(0, high, run, NO_STEPS, NO_TABLE, 0))
        assert np.array_equal(made, case.expected(lambda y, top=high: min(y, top)))  # type: ignore[misc]


@pytest.mark.parametrize("shape", SHAPES)
def test_reads_through_a_table(shape: tuple[int, int, int, int], form: Form) -> None:
    case = Case(sum(shape), *shape)
    table = np.random.default_rng(1).integers(-50, 50, case.most + 1).astype(np.int32)
    made = case.run(form(crossbar.read_columns), Transfer(0, case.most, 1, NO_STEPS, table, 0))
    assert np.array_equal(made, case.expected(lambda y: int(table[y])))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_reads_by_steps(shape: tuple[int, int, int, int], run: int, sign: int, form: Form) -> None:
    case = Case(sum(shape), *shape)
    least = 0 if sign > 0 else -case.most
    table = np.random.default_rng(1).integers(-50, 50, case.most + 1)
    table[1:] = np.repeat(table, 3)[: case.most]  # some sums do not step
    steps = np.stack([np.arange(case.most + 1) + least, np.diff(table, prepend=0)], axis=1)
    adc = Transfer(least, least + case.most, run, steps[steps[:, 1] != 0], NO_TABLE, least)
    made = case.run(form(crossbar.read_columns), adc, shape[2] if sign < 0 else 0)
    assert np.array_equal(made, case.expected(lambda y: int(table[y - least]), sign))


@pytest.mark.parametrize("shape", SHAPES)
def test_reads_of_subtracted_cells(shape: tuple[int, int, int, int], form: Form) -> None:
    case = Case(sum(shape), *shape)
    low = -max(1, case.most // 2)
    made = case.run(
        form(crossbar.read_columns), Transfer(low, 9, 1, NO_STEPS, NO_TABLE, 0), shape[2]
    )
    assert np.array_equal(made, case.expected(lambda y: max(y, low), -1))
    table = np.arange(-case.most, 1, dtype=np.int32)[::-1].copy()
    adc = Transfer(-case.most, 0, 1, NO_STEPS, table, -case.most)
    made = case.run(form(crossbar.read_columns), adc, shape[2])
    assert np.array_equal(made, case.expected(lambda y: int(table[y + case.most]), -1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sign", [1, -1])
def test_partial_sums_are_tallied(shape: tuple[int, int, int, int], sign: int, form: Form) -> None:
    case = Case(sum(shape), *shape)
    least, most = (0, case.most) if sign > 0 else (-case.most, 0)
    columns = case.columns(shape[2] if sign < 0 else 0)
    fields = fields_of(case.inputs, case.edges, case.bits, case.width)
    partials = np.full((TILE_POSITIONS, columns.cells.shape[1]), 77, np.int32)
    out = np.zeros(case.most + 1, np.int64)
    adc = Transfer(least, most, 1, NO_STEPS, NO_TABLE, least)
    n_columns = case.cells.shape[1]
    form(crossbar.count_sums)(fields, columns, adc, np.array([1, 3]), n_columns, partials, out)
    seen: list[int] = []
    case.expected(lambda y: seen.append(y) or 0, sign)  # type: ignore[func-returns-value]
    assert sum(seen) != 0
    assert out.sum() == 2 * len(seen)  # slices count 1 and 3
    by_slice = np.zeros_like(out)
    for x in case.inputs:
        for (low, width, _), repeats in zip(case.slices, (1, 3), strict=True):
            digits = (x >> low) % (1 << width)
            for a, b in pairwise(case.edges):
                np.add.at(by_slice, sign * (digits[a:b] @ case.cells[a:b]) - least, repeats)
    assert np.array_equal(out, by_slice)


def test_corrections_are_multiples_of_sums_of_inputs(form: Form) -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(-128, 128, (5, 70)).astype(np.int8)
    edges, corrections = np.array([0, 1, 64, 70]), rng.integers(-(2**40), 2**40, (3, 4))
    out = rng.integers(-9, 9, (5, 4))
    wanted = [
        [
            int(out[p, o])
            + sum(
                int(corrections[g, o]) * sum(codes[p, a:b].tolist())
                for g, (a, b) in enumerate(pairwise(edges.tolist()))
            )
            for o in range(4)
        ]
        for p in range(5)
    ]
    form(crossbar.add_corrections)(codes, edges, corrections, out)
    assert out.tolist() == wanted


def test_idle_fields_are_counted_by_sample_and_block(form: Form) -> None:
    fields = np.zeros((3, 2, 2, 2, 2), np.uint64)  # positions, slices, planes, blocks, words
    fields[0, 0, 1, 0, 1] = 8
    fields[1, :, 0, :, 0] = 1
    out = np.zeros((2, 2, 2), np.int64)
    # positions 1, 2 and 3: the last one of sample 0, then two of sample 1
    form(crossbar.count_idle_fields)(fields.reshape(3, -1), np.array([1, 5]), 2, 2, 2, 1, out)
    assert out[0].tolist() == [[5, 6], [6, 6]]
    assert out[1].tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize("n_rows", [2, 64, 130])
@pytest.mark.parametrize("n_outputs", [1, 16, 33])
def test_products_of_codes(n_rows: int, n_outputs: int, form: Form) -> None:
    rng = np.random.default_rng(n_rows)
    codes = rng.integers(-255, 256, (6, n_rows)).astype(np.int16)
    weights = rng.integers(-128, 128, (n_rows, n_outputs)).astype(np.int16)
    n_blocks = -(-n_outputs // TILE_FILTERS)
    tiles = np.zeros((n_blocks, 1, n_rows // 2, 2 * TILE_FILTERS), np.int16)
    for r, o in np.ndindex(n_rows, n_outputs):
        tiles[o // TILE_FILTERS, 0, r // 2, 2 * (o % TILE_FILTERS) + r % 2] = weights[r, o]
    sums = np.empty((TILE_PIXELS, n_blocks * TILE_FILTERS), np.int32)
    out = np.ones((6, n_outputs), np.int64)
    form(crossbar.multiply_codes)(
        codes.reshape(-1), n_rows, np.zeros(1, np.int64), tiles, sums, out
    )
    assert np.array_equal(out, 1 + codes.astype(np.int64) @ weights)
