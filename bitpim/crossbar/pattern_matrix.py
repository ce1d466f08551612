"""A convolution's matrix as pattern blocks: kernels of one channel and mask, rows compressed.

A block opens the rows of its mask only, `unit_rows` at a time, for the columns of its kernels only;
sums go to the outputs whose numbers are stored beside it. Where no block is taller than an OU, one
read of a block sees what a read of the channel's whole window sees whose cells left out are at
level 0, so that `DenseMatrix` reads the same values, all columns at once. Taller blocks, and
converters that do not read 0 as 0, are read by lists of rows.

Source: Yu et al. 2020.
"""

from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_matrix import DenseMatrix, Skip
from bitpim.crossbar.encodings import StoredWeights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.pattern_blocks import PatternBlocks
from bitpim.crossbar.pieces import ReadCounts, ReadPieces
from bitpim.crossbar.row_lists import InputRows, ListReader, row_sets
from bitpim.errors import ConfigError, MappingError
from bitpim_kernels.ou_lists import RowSets

__all__ = ["PatternMatrix"]

Ints = npt.NDArray[np.int64]

_WHERE = "pattern matrix"


class PatternMatrix:
    """Stored weights on crossbars, read pattern block by pattern block.

    Counts: those of `pieces`, with sources left out as `skip` says.

    Parameters
    ----------
    stored : weights encoded with ``blocks.kept`` as those that have a cell
    blocks : which kernels and rows are read together
    pieces : reads of the blocks' chunks: source i is the i-th of `PatternBlocks.chunk_edges`
    skip : reads left out: "none"; "bit_plane", those whose input slice is zero in all rows of the
        chunk; "vector", all reads of a chunk whose inputs are zero in every slice

    Raises
    ------
    ConfigError
        Cells of the weights and of the geometry differ in bits; reads are to be left out and the
        ADC does not read a sum of 0 as 0.
    MappingError
        Blocks do not hold the cells, or pieces name a source that no block has.
    """

    def __init__(
        self,
        stored: StoredWeights,
        geometry: CrossbarGeometry,
        adc: Adc,
        inputs: InputCoding,
        blocks: PatternBlocks,
        pieces: ReadPieces,
        *,
        skip: Skip = "none",
    ) -> None:
        self.stored, self.geometry, self.adc, self.inputs = stored, geometry, adc, inputs
        self.blocks, self.pieces, self.skip = blocks, pieces, skip
        self.n_outputs = stored.n_outputs
        self._inputs = InputRows(_WHERE, stored.n_rows, inputs, geometry.dac_bits)
        self._check()

    @property
    def is_lossless(self) -> bool:
        """Whether no read of these cells can lose anything, whatever the inputs."""
        return self._reader.is_lossless

    def read(
        self, x: npt.NDArray[Any], n_samples: int, fidelity: Literal["bit", "integer"] = "bit"
    ) -> tuple[Ints, ReadCounts]:
        """Return inputs times weights as the crossbars read them, counted: as `DenseMatrix`.

        Raises
        ------
        LayoutError, ConfigError
            As `DenseMatrix.read`.
        """
        codes = self._inputs.checked(x, n_samples)
        counts = self._count(codes, n_samples)
        if self.reads_windows:
            return self._windows.read(codes, n_samples, fidelity)[0], counts
        out = np.zeros((len(codes), self.n_outputs), np.int64)
        if fidelity == "integer":
            self._lists.add_exactly(codes, out)
        else:
            self._lists.add(codes, out)
        return out, counts

    def partial_sums(self, x: npt.NDArray[Any]) -> tuple[Ints, int]:
        """Return how often each partial sum occurs, before the ADC, and the smallest one counted.

        All reads count, also those that would be left out.

        Raises
        ------
        LayoutError
            As `DenseMatrix.partial_sums`.
        """
        return self._lists.tally(self._inputs.checked(x, 1))

    @cached_property
    def reads_windows(self) -> bool:
        """Whether whole windows read what blocks read; blocks are then read all at once."""
        tallest = int(self.blocks.heights.max(initial=0))
        return tallest <= self.geometry.unit_rows and self._lists.reads_zero_as_zero

    @cached_property
    def _windows(self) -> DenseMatrix:
        """The same cells, windows as high as they are; the converter's range stays the OU's."""
        geometry, adc, window = self.geometry, self.adc, self.blocks.n_positions
        if window > geometry.unit_rows:
            if adc.full_scale is None and adc.takes_range:
                adc = replace(adc, full_scale=geometry.largest_sum)
            rows = max(geometry.rows, window)
            geometry = replace(geometry, rows=rows, ou_rows=window)
        return DenseMatrix(self.stored, geometry, adc, self.inputs, window_rows=window)

    @property
    def _reader(self) -> DenseMatrix | ListReader:
        return self._windows if self.reads_windows else self._lists

    @cached_property
    def _lists(self) -> ListReader:
        firsts = np.arange(0, self.stored.n_columns, self.n_outputs)[:, np.newaxis]
        lists = self.blocks.rows_and_outputs()
        return ListReader(
            self.stored,
            self.geometry,
            self.adc,
            self._inputs,
            [rows for rows, _ in lists],
            [(firsts + outputs).ravel() for _, outputs in lists],
            packed=False,
        )

    @cached_property
    def _chunks(self) -> RowSets:
        """The rows that each source opens."""
        edges = self.blocks.chunk_edges(self.geometry.unit_rows)
        return row_sets(np.split(self.blocks.rows, edges[1:-1]) if len(edges) > 1 else [])

    def _check(self) -> None:
        if self.stored.cell_bits != self.geometry.cell_bits:
            raise ConfigError(
                f"{_WHERE}: need weights in cells of {self.geometry.cell_bits} bits, got "
                f"{self.stored.cell_bits}; encode them for this geometry"
            )
        self.blocks.check(self.stored)
        n_chunks = len(self._chunks.first_rows)
        if self.pieces.n_sources > n_chunks:
            raise MappingError(
                f"{_WHERE}: need pieces of {n_chunks} sources, got {self.pieces.n_sources}; lay "
                "these blocks out for this geometry"
            )
        if self.skip != "none" and not self._lists.reads_zero_as_zero:
            raise ConfigError(
                f"{_WHERE}: need an ADC that reads 0 as 0 to skip zero inputs, got "
                f"{self.adc.model}; read all units"
            )

    def _count(self, codes: npt.NDArray[Any], n_samples: int) -> ReadCounts:
        per_sample = len(codes) // max(1, n_samples)
        n_times = per_sample * self._inputs.n_slices
        if self.skip == "none":
            return self.pieces.unskipped(n_samples, n_times, self.adc.width)
        active = self._inputs.active(codes, n_samples, self._chunks, 1)
        done = active[..., 0]
        if self.skip == "vector":
            done = active[..., 1] * self._inputs.n_slices
        return self.pieces.counts(done, n_times - done, self.adc.width)
