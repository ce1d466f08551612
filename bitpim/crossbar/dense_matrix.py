"""A matrix held in crossbars, and its products: the fast form of reading OU by OU.

Columns are laid bit-slice by bit-slice over as many arrays as they need, rows over as many arrays
as they need; OUs tile each array from its first row and column on, the last ones ragged. Where
windows of rows are to stay whole, each window starts a new OU and lies on one array.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import Crossbar, CrossbarGeometry
from bitpim.crossbar.encodings import COLUMNS_AT_ONCE, StoredWeights
from bitpim.crossbar.input_slices import InputCoding, InputSlices
from bitpim.crossbar.pieces import ReadCounts, ReadPieces
from bitpim.crossbar.products import ExactProduct
from bitpim.crossbar.scaling import DigitalScale
from bitpim.errors import AccumulatorError, ConfigError, MappingError
from bitpim.threads import share_out
from bitpim_kernels.crossbar import (
    Columns,
    Transfer,
    add_corrections,
    count_idle_fields,
    count_sums,
    lay_fields,
    read_columns,
)
from bitpim_kernels.ou_tile import TILE_POSITIONS, lanes_of

__all__ = ["DenseMatrix", "Skip"]

Ints = npt.NDArray[np.int64]
Skip = Literal["none", "bit_plane", "vector"]

_INT32 = 1 << 31
_FIELD_BYTES = 1 << 17
"""Input fields that are laid out at a time: a part of what a core's own cache holds."""
_NO_STEPS = np.zeros((0, 2), np.int64)
_NO_TABLE = np.zeros(0, np.int32)


class DenseMatrix:
    """Stored weights on crossbars of one geometry, read through one kind of ADC.

    Parameters
    ----------
    stored, geometry, adc, inputs : weights as cells, sizes, converter, and what is driven
    skip : reads left out: "none"; "bit_plane", those whose input slice is zero in all rows of the
        OU; "vector", all reads of an OU whose inputs are zero in every slice
    window_rows : windows of so many rows start a new OU and stay on one array; any rows if None

    Raises
    ------
    ConfigError
        Cells of the weights and of the geometry differ in bits; reads are to be left out and the
        ADC does not read a sum of 0 as 0.
    MappingError
        Groups of rows that are joined differently share an operation unit; rows are no whole
        number of windows.
    AccumulatorError
        A column's sum could leave 32 bits, or an output's 64 when it is scaled.
    """

    def __init__(
        self,
        stored: StoredWeights,
        geometry: CrossbarGeometry,
        adc: Adc,
        inputs: InputCoding,
        *,
        skip: Skip = "none",
        window_rows: int | None = None,
    ) -> None:
        self.stored, self.geometry, self.adc, self.inputs = stored, geometry, adc, inputs
        self.skip, self.window_rows = skip, window_rows
        self.n_rows, self.n_columns = stored.n_rows, stored.n_columns
        self.n_outputs = stored.n_outputs
        self._most = geometry.largest_sum
        self._least = -self._most if stored.paired else 0
        self._table = adc.table(self._least, self._most)
        self._check()
        row_units = geometry.row_units(self.n_rows, window_rows)
        column_units = geometry.column_units(self.n_columns)
        self.pieces = ReadPieces.dense(row_units, column_units)
        self.block_edges, self.column_edges = _edges(row_units), _edges(column_units)
        self.slices = inputs.digits(geometry.dac_bits)
        quiet = bool(self._table[-self._least] == 0)
        self._slices = InputSlices.of(inputs, geometry.dac_bits, leave_empty=quiet)
        self._columns = self._lay_cells()
        self._transfer, column_reach = self._transfer_of()
        slices_reach = int(np.abs(self._slices.factors).sum())
        narrow = column_reach * slices_reach < _INT32
        self._columns = self._columns._replace(joins_in_32_bits=narrow)
        self._scale = self._scale_of(slices_reach)
        offsets = stored.offsets
        self._offsets = None if offsets is None else ExactProduct(-offsets, inputs.width)

    @property
    def n_crossbars(self) -> int:
        """Arrays that hold the matrix."""
        return self.pieces.n_crossbars

    @cached_property
    def is_lossless(self) -> bool:
        """Whether no read of these cells can lose anything, whatever the inputs."""
        return self.adc.is_lossless(self._least, self._most, self._reach)

    def read(
        self, x: npt.NDArray[Any], n_samples: int, fidelity: Literal["bit", "integer"] = "bit"
    ) -> tuple[Ints, ReadCounts]:
        """Return inputs times weights as the crossbars read them, (positions, n_outputs), counted.

        Fidelity "bit" reads every OU; "integer" multiplies, which only a lossless ADC allows, and
        counts the same.

        Shapes
        ------
        x: (positions, rows) integers, positions sample by sample, the same number for each

        Raises
        ------
        LayoutError
            The inputs are not of that shape, or do not fit the coding.
        ConfigError
            Fidelity "integer" with an ADC that loses something.
        """
        codes = self._checked(x, n_samples)
        out = np.zeros((len(codes), self.n_outputs), np.int64)
        if fidelity == "integer":
            if not self.is_lossless:
                raise ConfigError(
                    f"crossbar matrix: fidelity integer needs a lossless ADC, got "
                    f"{self.adc.model} of {self.adc.bits} bits; use fidelity bit"
                )
            self._exact.add(codes, out)
            return out, self._run(codes, n_samples, None)
        counts = self._run(codes, n_samples, out)
        self._add_offsets(codes, out)
        return out, counts

    def partial_sums(self, x: npt.NDArray[Any]) -> tuple[Ints, int]:
        """Return how often each partial sum occurs, before the ADC, and the smallest one counted.

        All reads count, also those that would be left out.

        Shapes
        ------
        x: (positions, rows) integers

        Raises
        ------
        LayoutError
            The inputs are not of that shape, or do not fit the coding.
        """
        codes = self._checked(x, 1)
        low, high = self._reach
        raw = Transfer(low, high, 1, _NO_STEPS, _NO_TABLE, low)
        shares: list[Ints] = []

        def count(start: int, stop: int) -> None:
            found = np.zeros(high - low + 1, np.int64)
            _, partials = self._scratch()
            repeats = self._slices.repeats
            for _, fields in self._field_blocks(codes, start, stop):
                count_sums(fields, self._columns, raw, repeats, self.n_columns, partials, found)
            shares.append(found)

        share_out(len(codes), count)
        found: Ints = np.sum(shares, axis=0)
        n_reads = len(codes) * self._slices.n_empty * (len(self.block_edges) - 1)
        found[-low] += n_reads * self.n_columns
        return found, low

    def read_literally(self, x: npt.NDArray[Any], n_samples: int) -> tuple[Ints, ReadCounts]:
        """Return sums and counts of programming real crossbars and reading them OU by OU.

        Slow; `read` is proven equal to it.
        """
        codes = self._checked(x, n_samples).astype(np.int64)
        out = np.zeros((len(codes), self.n_outputs), np.int64)
        counts, cycles = Counts(), np.zeros(n_samples, np.int64)
        for array, row, column in self._program():
            reads = np.zeros(n_samples, np.int64)
            for p, position in enumerate(codes):
                before = array.counts["ou_activation"]
                self._read_array(array, row, column, position, out[p])
                reads[p * n_samples // len(codes)] += array.counts["ou_activation"] - before
            counts += array.counts
            cycles = np.maximum(cycles, reads)
        self._scale.apply(out)
        self._correct(codes, out)
        self._add_offsets(codes, out)
        counts += Counts(shift_add=counts[f"adc_conv_{self.adc.width}"])
        return out, ReadCounts(counts, cycles)

    def _program(self) -> Iterator[tuple[Crossbar, int, int]]:
        """Yield each crossbar, programmed, with the matrix row and column of its corner."""
        g = self.geometry
        used = g.rows_used(self.window_rows)
        cells = self.stored.cells
        for row in range(0, self.n_rows, used):
            for column in range(0, self.n_columns, g.columns):
                array = Crossbar(g, self.adc, paired=self.stored.paired)
                array.program(cells[row : row + used, column : column + g.columns])
                yield array, row, column

    def _read_array(self, array: Crossbar, row: int, column: int, x: Ints, out: Ints) -> None:
        """Read all units of the array whose corner is there for one position."""
        edges, rows_used = self.block_edges, self.geometry.rows_used(self.window_rows)
        for a, b in pairwise(edges[(edges >= row) & (edges <= row + rows_used)].tolist()):
            group = int(np.searchsorted(self.stored.row_edges, a, "right")) - 1
            inputs = x[a:b]
            quiet = self.skip == "vector" and not inputs.any()
            for unit in self._units_of_array(column):
                at = (group, column + np.array(unit))
                for digit in self.slices:
                    readings = array.read_ou(
                        digit.of(inputs),
                        range(a - row, b - row),
                        unit,
                        skip_zero=quiet or self.skip == "bit_plane",
                    )
                    part = digit.factor * self.stored.factors[at] * readings
                    np.add.at(out, at[1] % self.n_outputs, part)

    def _units_of_array(self, column: int) -> list[range]:
        stop = min(column + self.geometry.columns, self.n_columns)
        return [
            range(a - column, b - column)
            for a, b in pairwise(self.column_edges.tolist())
            if column <= a < stop
        ]

    def _check(self) -> None:
        if self.stored.cell_bits != self.geometry.cell_bits:
            raise ConfigError(
                f"crossbar matrix: need weights in cells of {self.geometry.cell_bits} bits, got "
                f"{self.stored.cell_bits}; encode them for this geometry"
            )
        window = self.window_rows
        if window is not None and (window < 1 or self.n_rows % window):
            raise MappingError(
                f"crossbar matrix: need windows that divide {self.n_rows} rows, got {window}; give "
                "the rows of one input channel, or None"
            )
        if self.skip != "none":
            self._check_skipping()

    def _checked(self, x: npt.NDArray[Any], n_samples: int) -> npt.NDArray[Any]:
        return self.inputs.checked("crossbar matrix", x, self.n_rows, n_samples)

    def _check_skipping(self) -> None:
        if self._table[-self._least] != 0:
            raise ConfigError(
                f"crossbar matrix: need an ADC that reads 0 as 0 to skip zero inputs, got "
                f"{self.adc.model}; read all units"
            )

    def _run(self, codes: npt.NDArray[Any], n_samples: int, out: Ints | None) -> ReadCounts:
        """Count what is read and skipped, and read it where `out` takes the sums."""
        per_sample = len(codes) // max(1, n_samples)
        n_times, n_blocks = per_sample * len(self.slices), len(self.block_edges) - 1
        skips = self.skip != "none"
        idle = np.zeros((2, n_samples, n_blocks), np.int64)
        shares: list[tuple[slice, Ints]] = []

        def run(start: int, stop: int) -> None:
            part = slice(start // per_sample, -(-stop // per_sample))
            found = np.zeros((2, part.stop - part.start, n_blocks), np.int64)
            scratch = self._scratch()
            for rows, fields in self._field_blocks(codes, start, stop):
                if out is not None:
                    read_columns(fields, self._columns, self._transfer, *scratch, out[rows])
                    self._scale.apply(out[rows])
                    self._correct(codes[rows], out[rows])
                if skips:
                    first = rows.start - part.start * per_sample
                    self._count_idle(fields, per_sample, first, found)
            shares.append((part, found))

        if len(codes) and (skips or out is not None):
            share_out(len(codes), run)
        if not skips:
            return self.pieces.unskipped(n_samples, n_times, self.adc.width)
        for part, found in shares:
            idle[:, part] += found
        idle[0] += per_sample * self._slices.n_empty
        skipped = idle[0] if self.skip == "bit_plane" else idle[1] * len(self.slices)
        return self.pieces.counts(n_times - skipped, skipped, self.adc.width)

    def _count_idle(
        self, fields: npt.NDArray[Any], per_sample: int, first: int, found: Ints
    ) -> None:
        columns, repeats = self._columns, self._slices.repeats
        count_idle_fields(
            fields, repeats, columns.n_input_planes, columns.n_words, per_sample, first, found
        )

    def _correct(self, codes: npt.NDArray[Any], out: Ints) -> None:
        """Add what the digital side knows without a read: multiples of sums of inputs."""
        if self.stored.corrections.any():
            add_corrections(codes, self.stored.row_edges, self.stored.corrections, out)

    def _add_offsets(self, codes: npt.NDArray[Any], out: Ints) -> None:
        """Take off what the encoding added to the weights that have cells, where not all have."""
        if self._offsets is not None:
            self._offsets.add(codes, out)

    @cached_property
    def _exact(self) -> ExactProduct:
        """The weights that the cells hold, to multiply with."""
        return ExactProduct(self.stored.weights, self.inputs.width)

    @cached_property
    def _reach(self) -> tuple[int, int]:
        """The smallest and the largest partial sum that these cells can give."""
        top_input = (1 << self._slices.bits.shape[1]) - 1
        starts, low, high = self.block_edges[:-1], 0, 0
        for _, cells in self.stored.blocks(COLUMNS_AT_ONCE):
            most = np.add.reduceat(np.maximum(cells, 0), starts, axis=1, dtype=np.int64).max()
            high = max(high, most)
            if self.stored.paired:
                least = np.add.reduceat(np.minimum(cells, 0), starts, axis=1, dtype=np.int64).min()
                low = min(low, least)
        return int(low) * top_input, int(high) * top_input

    def _lay_cells(self) -> Columns:
        """Lay the cells out as fields, tile by tile."""
        stored, cell_bits = self.stored, self.geometry.cell_bits
        tallest, reach = int(np.diff(self.block_edges).max()), max(-self._reach[0], self._reach[1])
        width = next((w for w in (16, 32) if tallest <= w and reach < 1 << (w - 1)), 64)
        lanes, n_words = lanes_of(width), -(-tallest // width)
        n_blocks = len(self.block_edges) - 1
        signs = (1, -1) if stored.paired else (1,)
        n_planes = len(signs) * cell_bits
        n_tiles = -(-self.n_columns // lanes)
        n_fields = n_planes * n_blocks * n_words
        tiles = np.zeros((n_tiles, n_fields, lanes), f"uint{width}")
        part = np.zeros((lanes, n_fields // len(signs)), tiles.dtype)
        bits, scratch = np.arange(cell_bits), self._plane_scratch()
        for first, cells in stored.blocks(lanes):
            for i, sign in enumerate(signs):
                levels = np.maximum(sign * cells, 0) if stored.paired else cells
                lay_fields(levels, self.block_edges, bits, scratch, part[: len(levels)])
                into = slice(i * part.shape[1], (i + 1) * part.shape[1])
                tiles[first // lanes, into, : len(levels)] = part[: len(levels)].T
        return Columns(
            tiles.reshape(-1, lanes),
            n_words,
            self._slices.bits.shape[1],
            n_planes,
            n_planes - cell_bits,
            self._groups(),
            stored.factors,
            self._slices.factors,
            False,
        )

    def _groups(self) -> Ints:
        """Return the first OU row block of each group of rows, and the end."""
        edges = self.stored.row_edges
        groups = np.searchsorted(self.block_edges, edges)
        if not np.array_equal(self.block_edges[groups], edges):
            used = self.geometry.rows_used(self.window_rows)
            raise MappingError(
                f"crossbar matrix: need groups of rows to end where operation units do, got "
                f"groups at {edges.tolist()}; encode for arrays of {used} rows"
            )
        return groups.astype(np.int64)

    def _transfer_of(self) -> tuple[Transfer, int]:
        """Return the ADC as the kernel takes it, and what the sum of a column's reads can reach.

        It is a clamp where it can be, else steps where they are few, else a table.
        """
        least, most = self._reach
        sums = np.arange(least, most + 1)
        table = self._table[sums - self._least]
        low, high = int(table.min()), int(table.max())
        reach = max(-low, high, 1)
        deepest = int(np.diff(self._columns.groups).max(initial=0))
        if reach * deepest >= _INT32:
            raise AccumulatorError(
                f"crossbar matrix: need the sum of a column within 32 bits, got {deepest} reads of "
                f"up to {reach}; split the rows"
            )
        lane_most = (1 << (8 * self._columns.cells.itemsize - 1)) - 1
        run = lane_most // reach
        if run and low <= 0 and np.array_equal(table, np.clip(sums, low, high)):
            return Transfer(low, high, run, _NO_STEPS, _NO_TABLE, least), reach * deepest
        rises = np.diff(table, prepend=0)
        steps = np.stack([sums, rises], axis=1)[rises != 0].astype(np.int64)
        if len(steps) <= self._columns.cells.shape[1] and run:
            return Transfer(least, most, run, steps, _NO_TABLE, least), reach * deepest
        return Transfer(least, most, 1, _NO_STEPS, table, least), reach * deepest

    def _scale_of(self, slices_reach: int) -> DigitalScale:
        """Return what makes levels of an output's sum of readings."""
        low, high = (bound - self._least for bound in self._reach)
        reading = int(np.abs(self._table[low : high + 1]).max())
        sizes = np.abs(self.stored.factors).reshape(len(self.stored.factors), -1, self.n_outputs)
        n_readings = np.diff(self._columns.groups) @ sizes.sum(axis=1)
        reach = reading * slices_reach * int(n_readings.max())
        step = self.adc.step(self._least, self._most)
        return DigitalScale("crossbar matrix", step, reach)

    def _field_blocks(
        self, codes: npt.NDArray[Any], start: int, stop: int
    ) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """Lay input codes out as fields, some positions at a time; a block's fields are reused."""
        columns, bits = self._columns, self._slices.bits
        n_fields = bits.size * (len(self.block_edges) - 1) * columns.n_words
        step = max(TILE_POSITIONS, _FIELD_BYTES // max(1, n_fields * columns.cells.itemsize))
        fields = np.empty((min(step, stop - start), n_fields), columns.cells.dtype)
        scratch = self._plane_scratch()
        for first in range(start, stop, step):
            rows = slice(first, min(stop, first + step))
            part = fields[: rows.stop - first]
            lay_fields(codes[rows], self.block_edges, bits.reshape(-1), scratch, part)
            yield rows, part

    def _plane_scratch(self) -> npt.NDArray[np.uint64]:
        return np.zeros(-(-self.n_rows // 64) + 1, np.uint64)

    def _scratch(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        lanes = self._columns.cells.shape[1]
        n_columns = -(-self.n_columns // lanes) * lanes
        totals = np.empty((len(self._slices.bits), TILE_POSITIONS, n_columns), np.int32)
        return totals, np.empty((TILE_POSITIONS, lanes), np.int32)


def _edges(units: list[Ints]) -> Ints:
    """Return where operation units start along arrays laid end to end, and the end."""
    edges: Ints = np.concatenate([[0], *units]).cumsum()
    return edges
