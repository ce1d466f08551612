"""A matrix held in crossbars, and its products: the fast form of reading OU by OU.

Columns are laid bit-slice by bit-slice over as many arrays as they need, rows over as many arrays
as they need; OUs tile each array from its first row and column on, the last ones ragged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.arrays.adc import Adc
from bitpim.arrays.crossbar import Crossbar, CrossbarGeometry
from bitpim.arrays.encodings import Digit, StoredWeights, digits_of
from bitpim.arrays.events import Counts
from bitpim.arrays.threads import share_out
from bitpim.errors import AccumulatorError, ConfigError, LayoutError, MappingError
from bitpim_kernels.crossbar import (
    Columns,
    Transfer,
    Units,
    count_idle_fields,
    count_packed_reads,
    lay_fields,
    multiply_codes,
    read_columns,
    read_units,
)
from bitpim_kernels.ou_tile import TILE_POSITIONS, lanes_of
from bitpim_kernels.vector import TILE_FILTERS, TILE_PIXELS

__all__ = ["CrossbarMatrix", "InputCoding"]

Ints = npt.NDArray[np.int64]
Skip = Literal["none", "bit_plane", "vector"]

_BLOCK = 64  # positions whose input fields are laid out at a time


@dataclass(frozen=True, slots=True)
class InputCoding:
    """Width and sign of input codes; signed ones have a negative plane for the sign bit."""

    bits: int
    signed: bool = False

    def digits(self, dac_bits: int) -> tuple[Digit, ...]:
        """Return the input slices."""
        return digits_of(self.bits, dac_bits, signed=self.signed)


class CrossbarMatrix:
    """Stored weights on crossbars of one geometry, read through one kind of ADC.

    Raises
    ------
    ConfigError
        Cells of the weights and of the geometry differ in bits.
    MappingError
        Groups of rows that are joined differently share an operation unit.
    AccumulatorError
        A column's sum could leave 32 bits.
    """

    def __init__(
        self, stored: StoredWeights, geometry: CrossbarGeometry, adc: Adc, inputs: InputCoding
    ) -> None:
        if stored.cell_bits != geometry.cell_bits:
            raise ConfigError(
                f"crossbar matrix: need weights in cells of {geometry.cell_bits} bits, got "
                f"{stored.cell_bits}; encode them for this geometry"
            )
        self.stored, self.geometry, self.adc, self.inputs = stored, geometry, adc, inputs
        self.n_rows = int(stored.cells.shape[0])
        self.n_columns = int(stored.cells.shape[1])
        self.n_outputs = stored.n_outputs
        self.slices = inputs.digits(geometry.dac_bits)
        self.block_edges = _edges(self.n_rows, geometry.rows, geometry.unit_rows)
        self.column_edges = _edges(self.n_columns, geometry.columns, geometry.unit_columns)
        self._most = geometry.largest_sum
        self._least = -self._most if stored.paired else 0
        self._table = adc.table(self._least, self._most)
        self._columns = self._lay_cells()
        self._transfer = self._transfer_of()
        self._exact: _Product | None = None
        offsets = stored.offsets
        self._offsets = None if offsets is None else _Product(-offsets, inputs)

    @property
    def n_crossbars(self) -> int:
        """Arrays that hold the matrix."""
        return -(-self.n_rows // self.geometry.rows) * -(-self.n_columns // self.geometry.columns)

    @cached_property
    def is_lossless(self) -> bool:
        """Whether no read of these cells can lose anything, whatever the inputs."""
        low, high = self._reach()
        sums = np.arange(low, high + 1)
        return bool(np.array_equal(self._table[sums - self._least], sums))

    def _reach(self) -> tuple[int, int]:
        """Return the smallest and the largest partial sum that these cells can give."""
        top_input = (1 << self._columns.n_input_planes) - 1
        starts, cells = self.block_edges[:-1], self.stored.cells
        high = np.add.reduceat(np.maximum(cells, 0), starts, axis=0, dtype=np.int64).max()
        low = np.add.reduceat(np.minimum(cells, 0), starts, axis=0, dtype=np.int64).min()
        return int(low) * top_input, int(high) * top_input

    def matmul(self, inputs: npt.NDArray[Any], fidelity: Literal["bit", "integer"] = "bit") -> Ints:
        """Return inputs times weights as the crossbars read them, (positions, n_outputs).

        Fidelity "bit" reads every OU; "integer" multiplies, which only a lossless ADC allows.

        Shapes
        ------
        inputs: (positions, rows) integers

        Raises
        ------
        LayoutError
            The inputs are not of that shape, or do not fit the coding.
        ConfigError
            Fidelity "integer" with an ADC that loses something.
        """
        codes = self._checked(inputs)
        out = np.zeros((len(codes), self.n_outputs), np.int64)
        if fidelity == "integer":
            if not self.is_lossless:
                raise ConfigError(
                    f"crossbar matrix: fidelity integer needs a lossless ADC, got "
                    f"{self.adc.model} of {self.adc.bits} bits; use fidelity bit"
                )
            if self._exact is None:
                self._exact = _Product(self._weights(), self.inputs)
            self._exact.add(codes, out)
            return out

        def read(start: int, stop: int) -> None:
            scratch = self._scratch()
            for first in range(start, stop, _BLOCK):
                rows = slice(first, min(stop, first + _BLOCK))
                read_columns(
                    self._fields(codes[rows]), self._columns, self._transfer, *scratch, out[rows]
                )

        share_out(len(codes), read)
        self._correct(codes, out)
        return out

    def matmul_packed(
        self, inputs: npt.NDArray[Any], *, packed: bool = True, drop_rows: bool = True
    ) -> tuple[Ints, Counts]:
        """Return products and counts with rows chosen by OU column group, as SRE does.

        `drop_rows` leaves out, by column group, rows whose cells are all zero; `packed` opens only
        rows whose input digit is not zero, as many as an OU has. Both change what a lossy ADC sees.

        Raises
        ------
        ConfigError
            The ADC does not read a sum of 0 as 0.
        """
        codes = self._checked(inputs)
        self._check_skipping()
        units = self._units(packed, drop_rows)
        digits = np.stack([d.of(codes.astype(np.int64)) for d in self.slices], axis=1)
        cells, digits = self.stored.cells, digits.astype(np.uint8)
        out = np.zeros((len(codes), self.n_outputs), np.int64)
        transfer = self._transfer._replace(table=self._table)
        by_share: list[Ints] = []

        def read(start: int, stop: int) -> None:
            counts = np.zeros(4, np.int64)
            partials = np.zeros(self.geometry.unit_columns, np.int64)
            part = slice(start, stop)
            read_units(digits[part], cells, units, transfer, partials, out[part], counts)
            by_share.append(counts)

        share_out(len(codes), read)
        self._correct(codes, out)
        reads, skipped, rows, converted = (int(n) for n in np.sum(by_share, axis=0))
        return out, self._events(reads, skipped, rows, converted)

    def packed_counts(self, inputs: npt.NDArray[Any], *, drop_rows: bool = True) -> Counts:
        """Return the counts of `matmul_packed` without its reads; fast.

        Where the ADC is lossless its products are those of `matmul`.

        Raises
        ------
        ConfigError
            The ADC does not read a sum of 0 as 0.
        """
        codes = self._checked(inputs)
        self._check_skipping()
        g = self.geometry
        edges = _edges(self.n_rows, g.rows, g.rows)
        kept = np.ones((self.n_rows, len(self.column_edges) - 1), np.uint8)
        if drop_rows:
            lit = (self.stored.cells != 0).astype(np.uint8)
            kept = np.bitwise_or.reduceat(lit, self.column_edges[:-1], axis=1)
        n_words = -(-g.rows // 64)
        masks = np.empty((kept.shape[1], (len(edges) - 1) * n_words), np.uint64)
        one_bit = np.zeros(1, np.int64)
        lay_fields(np.ascontiguousarray(kept.T), edges, one_bit, self._plane_scratch(), masks)
        by_array = masks.reshape(kept.shape[1], -1, n_words).transpose(1, 0, 2).copy()
        bits = self._input_planes()
        found = np.zeros(4, np.int64)
        for first in range(0, len(codes), _BLOCK):
            part = codes[first : first + _BLOCK]
            fields = np.empty((len(part), bits.size * (len(edges) - 1) * n_words), np.uint64)
            lay_fields(part, edges, bits.reshape(-1), self._plane_scratch(), fields)
            n_columns = np.diff(self.column_edges)
            count_packed_reads(fields, by_array, n_columns, bits.shape[1], g.unit_rows, found)
        return self._events(*(int(n) for n in found))

    def counts(self, inputs: npt.NDArray[Any], skip: Skip = "none") -> Counts:
        """Return what `matmul` does on the arrays, with reads of zero inputs left out or not.

        "bit_plane" leaves out reads whose input slice is zero in all rows of the OU, "vector" all
        reads of an OU whose inputs are zero in every slice.

        Raises
        ------
        ConfigError
            Reads are to be left out, and the ADC does not read a sum of 0 as 0.
        """
        codes = self._checked(inputs)
        n_blocks = len(self.block_edges) - 1
        idle = np.zeros((2, n_blocks), np.int64)
        if skip != "none":
            self._check_skipping()
            columns = self._columns
            for first in range(0, len(codes), _BLOCK):
                fields = self._fields(codes[first : first + _BLOCK])
                planes = columns.n_input_planes
                count_idle_fields(fields, len(self.slices), planes, columns.n_words, idle)
        left_out = {"none": 0 * idle[0], "bit_plane": idle[0], "vector": idle[1] * len(self.slices)}
        done = len(codes) * len(self.slices) - left_out[skip]
        n_units = len(self.column_edges) - 1
        return self._events(
            int(done.sum()) * n_units,
            int(left_out[skip].sum()) * n_units,
            int(done @ np.diff(self.block_edges)) * n_units,
            int(done.sum()) * self.n_columns,
        )

    def read_literally(self, inputs: npt.NDArray[Any], skip: Skip = "none") -> tuple[Ints, Counts]:
        """Return products and counts of programming real crossbars and reading them OU by OU.

        Slow; `matmul` and `counts` are proven equal to it.
        """
        codes = self._checked(inputs).astype(np.int64)
        out = np.zeros((len(codes), self.n_outputs), np.int64)
        counts = Counts()
        group_of = np.searchsorted(self.stored.row_edges, self.block_edges[:-1], "right") - 1
        for array, row, column in self._program():
            rows = self.block_edges[:-1]
            for b in np.flatnonzero((rows >= row) & (rows < row + self.geometry.rows)):
                inside = range(self.block_edges[b] - row, self.block_edges[b + 1] - row)
                for unit in self._units_of_array(column):
                    at = (int(group_of[b]), column + np.array(unit))
                    for p, x in enumerate(codes[:, self.block_edges[b] : self.block_edges[b + 1]]):
                        quiet = skip == "vector" and not x.any()
                        for digit in self.slices:
                            skip_zero = quiet or skip == "bit_plane"
                            levels = array.read_ou(digit.of(x), inside, unit, skip_zero=skip_zero)
                            part = digit.factor * self.stored.factors[at] * levels
                            np.add.at(out[p], at[1] % self.n_outputs, part)
            counts += array.counts
        self._correct(codes, out)
        return out, counts + Counts(shift_add=counts[f"adc_conv_{self.adc.width}"])

    def _program(self) -> Iterator[tuple[Crossbar, int, int]]:
        """Yield each crossbar, programmed, with the matrix row and column of its corner."""
        g = self.geometry
        for row in range(0, self.n_rows, g.rows):
            for column in range(0, self.n_columns, g.columns):
                array = Crossbar(g, self.adc, paired=self.stored.paired)
                array.program(self.stored.cells[row : row + g.rows, column : column + g.columns])
                yield array, row, column

    def _units_of_array(self, column: int) -> list[range]:
        stop = min(column + self.geometry.columns, self.n_columns)
        return [
            range(a - column, b - column)
            for a, b in pairwise(self.column_edges.tolist())
            if column <= a < stop
        ]

    def _checked(self, inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        codes = np.asarray(inputs)
        low = -(1 << (self.inputs.bits - 1)) if self.inputs.signed else 0
        high = low + (1 << self.inputs.bits) - 1
        if codes.ndim != 2 or codes.shape[1] != self.n_rows or codes.dtype.kind not in "iu":
            raise LayoutError(
                f"crossbar matrix: need integer inputs (positions, {self.n_rows}), got "
                f"{codes.dtype} {codes.shape}"
            )
        if codes.size and (codes.min() < low or codes.max() > high):
            raise LayoutError(
                f"crossbar matrix: need inputs within {low}..{high}, got "
                f"{codes.min()}..{codes.max()}"
            )
        return np.ascontiguousarray(codes)

    def _check_skipping(self) -> None:
        if self._table[-self._least] != 0:
            raise ConfigError(
                f"crossbar matrix: need an ADC that reads 0 as 0 to skip zero inputs, got "
                f"{self.adc.model}; read all units"
            )

    def _events(self, reads: int, skipped: int, rows: int, converted: int) -> Counts:
        events = {"ou_activation": reads, "ou_skipped": skipped, "ou_rows": rows}
        events |= {"dac_drive": rows, "ou_cols": converted, "shift_add": converted}
        return Counts(**events, **{f"adc_conv_{self.adc.width}": converted})

    def _correct(self, codes: npt.NDArray[Any], out: Ints) -> None:
        """Add what the digital side knows without a read: multiples of sums of inputs."""
        if self._offsets is not None:
            self._offsets.add(codes, out)
        if self.stored.corrections.any():
            starts = self.stored.row_edges[:-1]
            sums = np.add.reduceat(codes, starts, axis=1, dtype=np.int64)
            out += sums @ self.stored.corrections

    def _weights(self) -> Ints:
        """Return the weights the cells hold."""
        stored = self.stored
        group = np.searchsorted(stored.row_edges, np.arange(self.n_rows), "right") - 1
        weights: Ints = stored.corrections[group]
        for first in range(0, self.n_columns, self.n_outputs):
            columns = slice(first, first + self.n_outputs)
            weights += stored.cells[:, columns] * stored.factors[group, columns]
        return weights if stored.offsets is None else weights - stored.offsets

    def _lay_cells(self) -> Columns:
        """Lay the cells out as fields, tile by tile."""
        g, stored = self.geometry, self.stored
        width = next((w for w in (16, 32) if g.unit_rows <= w and self._most < 1 << (w - 1)), 64)
        lanes, n_words = lanes_of(width), -(-g.unit_rows // width)
        n_blocks = len(self.block_edges) - 1
        groups = np.searchsorted(self.block_edges, stored.row_edges)
        if not np.array_equal(self.block_edges[groups], stored.row_edges):
            raise MappingError(
                f"crossbar matrix: need groups of rows to end where operation units do, got "
                f"groups at {stored.row_edges.tolist()}; encode for arrays of {g.rows} rows"
            )
        signs = (1, -1) if stored.paired else (1,)
        n_planes = len(signs) * g.cell_bits
        n_tiles = -(-self.n_columns // lanes)
        fields = np.zeros((n_tiles * lanes, n_planes * n_blocks * n_words), f"uint{width}")
        bits = np.arange(g.cell_bits)
        for i, sign in enumerate(signs):
            levels = np.ascontiguousarray(np.maximum(sign * stored.cells, 0).T)
            part = np.zeros((self.n_columns, fields.shape[1] // len(signs)), fields.dtype)
            lay_fields(levels, self.block_edges, bits, self._plane_scratch(), part)
            fields[: self.n_columns, i * part.shape[1] : (i + 1) * part.shape[1]] = part
        by_tile = fields.reshape(n_tiles, lanes, -1).transpose(0, 2, 1)
        return Columns(
            np.ascontiguousarray(by_tile).reshape(-1, lanes),
            n_words,
            max(digit.width for digit in self.slices),
            n_planes,
            n_planes - g.cell_bits,
            groups.astype(np.int64),
            stored.factors,
            np.array([digit.factor for digit in self.slices], np.int64),
        )

    def _transfer_of(self) -> Transfer:
        """Return the ADC as the kernel takes it: a clamp where its table is one."""
        table = self._table
        low, high = int(table.min()), int(table.max())
        sums = np.arange(self._least, self._most + 1)
        clamps = low <= 0 and bool(np.array_equal(table, np.clip(sums, low, high)))
        reach = max(-low, high, 1)
        deepest = int(np.diff(self._columns.groups).max(initial=0))
        if reach * deepest >= 2**31:
            raise AccumulatorError(
                f"crossbar matrix: need the sum of a column within 32 bits, got {deepest} reads of "
                f"up to {reach}; split the rows"
            )
        lane_most = (1 << (8 * self._columns.cells.itemsize - 1)) - 1
        if not clamps:
            return Transfer(self._least, self._most, 1, table, self._least)
        return Transfer(low, high, lane_most // reach, np.zeros(0, np.int32), self._least)

    def _plane_scratch(self) -> npt.NDArray[np.uint64]:
        return np.zeros(-(-self.n_rows // 64) + 1, np.uint64)

    def _input_planes(self) -> Ints:
        """Return the bit that each plane of each input slice holds; -1 where it has none."""
        bits = np.full((len(self.slices), self._columns.n_input_planes), -1, np.int64)
        for s, digit in enumerate(self.slices):
            bits[s, : digit.width] = range(digit.low, digit.low + digit.width)
        return bits

    def _fields(self, codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Lay input codes out as fields, slice by slice, missing planes empty."""
        columns, bits = self._columns, self._input_planes()
        n_fields = bits.size * (len(self.block_edges) - 1) * columns.n_words
        fields = np.empty((len(codes), n_fields), columns.cells.dtype)
        lay_fields(codes, self.block_edges, bits.reshape(-1), self._plane_scratch(), fields)
        return fields

    def _scratch(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        lanes = self._columns.cells.shape[1]
        n_columns = -(-self.n_columns // lanes) * lanes
        totals = np.empty((len(self.slices), TILE_POSITIONS, n_columns), np.int32)
        return totals, np.empty((TILE_POSITIONS, lanes), np.int32)

    def _units(self, packed: bool, drop_rows: bool) -> Units:
        """List, for each array and OU column group, the rows that are opened."""
        stored, starts, rows, columns, groups = self.stored, [0], [], [], []
        for row in range(0, self.n_rows, self.geometry.rows):
            stop = min(self.n_rows, row + self.geometry.rows)
            for a, b in pairwise(self.column_edges.tolist()):
                kept = np.arange(row, stop)
                if drop_rows:
                    kept = kept[stored.cells[row:stop, a:b].any(axis=1)]
                rows.append(kept)
                starts.append(starts[-1] + len(kept))
                columns.append((a, b))
                groups.append(int(np.searchsorted(stored.row_edges, row, "right")) - 1)
        return Units(
            np.array(starts, np.int64),
            np.concatenate(rows).astype(np.int64) if rows else np.zeros(0, np.int64),
            np.array(columns, np.int64).reshape(-1, 2),
            np.array(groups, np.int64),
            np.arange(self.n_columns) % max(1, self.n_outputs),
            stored.factors,
            self._columns.input_factors,
            self.geometry.unit_rows,
            packed,
        )


def _edges(n: int, array: int, unit: int) -> Ints:
    """Return where operation units start along one side of arrays laid end to end, and the end."""
    starts = [
        at for first in range(0, n, array) for at in range(first, min(n, first + array), unit)
    ]
    return np.array([*starts, n], np.int64)


class _Product:
    """An exact integer matrix, to multiply codes with."""

    def __init__(self, weights: Ints, inputs: InputCoding) -> None:
        self.weights = weights
        n_rows, n_outputs = weights.shape
        largest = 1 << inputs.bits
        reach = int(np.abs(weights).sum(axis=0).max(initial=0)) * largest
        largest_weight = int(np.abs(weights).max(initial=0))
        self.tiled = max(largest, largest_weight) < 2**15 and reach < 2**31
        self.n_pairs = -(-n_rows // 2)
        n_blocks = -(-n_outputs // TILE_FILTERS)
        if self.tiled:
            full = np.zeros((2 * self.n_pairs, n_blocks * TILE_FILTERS), np.int16)
            full[:n_rows, :n_outputs] = weights
            tiles = full.reshape(self.n_pairs, 2, n_blocks, TILE_FILTERS).transpose(2, 0, 3, 1)
            self.tiles = np.ascontiguousarray(tiles).reshape(n_blocks, 1, self.n_pairs, -1)

    def add(self, codes: npt.NDArray[Any], out: Ints) -> None:
        """Add codes times weights to `out`, on all threads."""
        if not self.tiled:
            out += codes.astype(np.int64) @ self.weights
            return
        step = 2 * self.n_pairs
        flat = np.zeros((len(codes), step), np.int16)
        flat[:, : codes.shape[1]] = codes

        def multiply(start: int, stop: int) -> None:
            sums = np.empty((TILE_PIXELS, self.tiles.shape[0] * TILE_FILTERS), np.int32)
            rows = flat[start:stop].reshape(-1)
            multiply_codes(rows, step, np.zeros(1, np.int64), self.tiles, sums, out[start:stop])

        share_out(len(codes), multiply)
