"""A convolution's matrix as pattern blocks: kernels of one channel and mask, rows compressed.

A block opens the rows of its mask only, `unit_rows` at a time, for the columns of its kernels only;
sums go to the outputs whose numbers are stored beside it. Where no block is taller than an OU, one
read of a block sees what a read of the channel's whole window sees whose cells left out are at
level 0, so that `CrossbarMatrix` reads the same values, all columns at once. Taller blocks, and
converters that do not read 0 as 0, are read by lists of rows.

Source: Yu et al. 2020.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.encodings import StoredWeights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.pieces import ReadCounts, ReadPieces
from bitpim.crossbar.readout import CrossbarMatrix, Skip
from bitpim.crossbar.row_lists import InputRows, ListReader, row_sets
from bitpim.errors import ConfigError, MappingError

__all__ = ["PatternBlocks", "PatternMatrix"]

Ints = npt.NDArray[np.int64]

_WHERE = "pattern matrix"


@dataclass(frozen=True, slots=True)
class PatternBlocks:
    """The conv kernels of each input channel, grouped by mask.

    Shapes
    ------
    kept: (rows, n_outputs) weights that have a cell; rows are channel by channel, `window` each
    channels, masks: (n_blocks,) int64 and uint64; bit k of a mask is row k of the window. All
        kernels of that channel with that mask make the block; kernels without a weight are in none.
    """

    kept: npt.NDArray[np.bool_]
    window: int
    channels: Ints
    masks: npt.NDArray[np.uint64]

    def rows(self) -> list[Ints]:
        """Return the rows that each block opens, rising."""
        positions = np.arange(self.window, dtype=np.uint64)
        lit = (self.masks[:, np.newaxis] >> positions) & np.uint64(1) != 0
        block, position = np.nonzero(lit)
        rows = self.channels[block] * self.window + position
        return np.split(rows, np.cumsum(lit.sum(axis=1))[:-1]) if len(lit) else []

    def outputs(self) -> list[Ints]:
        """Return the outputs of each block's kernels, rising.

        Raises
        ------
        MappingError
            A kernel's mask is that of no block of its channel, or a block has no kernel.
        """
        n_rows, n_outputs = self.kept.shape
        if self.window < 1 or self.window > 64 or n_rows % self.window:
            raise MappingError(
                f"{_WHERE}: need windows of 1 to 64 rows that divide {n_rows} rows, got "
                f"{self.window}"
            )
        bits = np.uint64(1) << np.arange(self.window, dtype=np.uint64)
        by_channel = self.kept.reshape(-1, self.window, n_outputs)
        codes = np.where(by_channel, bits[:, np.newaxis], np.uint64(0)).sum(axis=1)
        found = [np.flatnonzero(codes[c] == mask) for c, mask in self._named()]
        n_in_blocks = sum(len(part) for part in found)
        if n_in_blocks != np.count_nonzero(codes) or not all(len(part) for part in found):
            raise MappingError(
                f"{_WHERE}: need every kernel with a weight in one block of its channel and mask, "
                f"got {np.count_nonzero(codes)} kernels and {n_in_blocks} in {len(found)} blocks"
            )
        return found

    def _named(self) -> list[tuple[int, np.uint64]]:
        named = list(zip(self.channels.tolist(), self.masks, strict=True))
        if len({(channel, int(mask)) for channel, mask in named}) < len(named):
            raise MappingError(f"{_WHERE}: need each channel and mask in one block, got some twice")
        return named


class PatternMatrix:
    """Stored weights on crossbars, read pattern block by pattern block.

    Counts: those of `pieces`, with sources left out as `skip` says.

    Parameters
    ----------
    stored : weights encoded with ``blocks.kept`` as those that have a cell
    pieces : reads of the blocks' chunks: source i is the i-th chunk of at most `unit_rows`
        compressed rows, all chunks of block 0 first
    skip : reads left out: "none"; "bit_plane", those whose input slice is zero in all rows of the
        chunk; "vector", all reads of a chunk whose inputs are zero in every slice

    Raises
    ------
    ConfigError
        Cells of the weights and of the geometry differ in bits; reads are to be left out and the
        ADC does not read a sum of 0 as 0.
    MappingError
        Blocks do not hold the kernels, or pieces name a source that no block has.
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
        self.stored, self.geometry, self.adc, self.coding = stored, geometry, adc, inputs
        self.blocks, self.pieces, self.skip = blocks, pieces, skip
        self.n_outputs = stored.n_outputs
        self._outputs = blocks.outputs()
        self._rows = blocks.rows()
        self._inputs = InputRows(_WHERE, len(stored.cells), inputs, geometry.dac_bits)
        unit = geometry.unit_rows
        self._chunks = [
            rows[at : at + unit] for rows in self._rows for at in range(0, len(rows), unit)
        ]
        self._check()

    @property
    def n_crossbars(self) -> int:
        """Crossbars in use."""
        return self.pieces.n_crossbars

    @property
    def is_lossless(self) -> bool:
        """Whether no read of these cells can lose anything, whatever the inputs."""
        return self._reader.is_lossless

    def read(
        self, x: npt.NDArray[Any], n_samples: int, fidelity: Literal["bit", "integer"] = "bit"
    ) -> tuple[Ints, ReadCounts]:
        """Return inputs times weights as the crossbars read them, counted: as `CrossbarMatrix`.

        Raises
        ------
        LayoutError, ConfigError
            As `CrossbarMatrix.read`.
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
            As `CrossbarMatrix.partial_sums`.
        """
        return self._lists.tally(self._inputs.checked(x, 1))

    @cached_property
    def reads_windows(self) -> bool:
        """Whether whole windows read what blocks read; blocks are then read all at once."""
        tallest = max((len(rows) for rows in self._rows), default=0)
        return tallest <= self.geometry.unit_rows and self._lists.reads_zero_as_zero

    @cached_property
    def _windows(self) -> CrossbarMatrix:
        """The same cells, windows as high as they are; the converter's range stays the OU's."""
        geometry, adc, window = self.geometry, self.adc, self.blocks.window
        if window > geometry.unit_rows:
            if adc.full_scale is None and adc.takes_range:
                adc = replace(adc, full_scale=geometry.largest_sum)
            rows = max(geometry.rows, window)
            geometry = replace(geometry, rows=rows, ou_rows=window)
        return CrossbarMatrix(self.stored, geometry, adc, self.coding, window_rows=window)

    @property
    def _reader(self) -> CrossbarMatrix | ListReader:
        return self._windows if self.reads_windows else self._lists

    @cached_property
    def _lists(self) -> ListReader:
        n_columns = self.stored.cells.shape[1]
        firsts = np.arange(0, n_columns, self.n_outputs)[:, np.newaxis]
        columns = [(firsts + outputs).ravel() for outputs in self._outputs]
        return ListReader(
            self.stored,
            self.geometry,
            self.adc,
            self._inputs,
            self._rows,
            columns,
            packed=False,
        )

    def _check(self) -> None:
        if self.stored.cell_bits != self.geometry.cell_bits:
            raise ConfigError(
                f"{_WHERE}: need weights in cells of {self.geometry.cell_bits} bits, got "
                f"{self.stored.cell_bits}; encode them for this geometry"
            )
        if self.blocks.kept.shape != (len(self.stored.cells), self.n_outputs):
            raise MappingError(
                f"{_WHERE}: need a mask of {len(self.stored.cells)} rows and {self.n_outputs} "
                f"outputs, got {self.blocks.kept.shape}"
            )
        if self.pieces.n_sources > len(self._chunks):
            raise MappingError(
                f"{_WHERE}: need pieces of {len(self._chunks)} sources, got "
                f"{self.pieces.n_sources}; lay these blocks out for this geometry"
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
        active = self._inputs.active(codes, n_samples, row_sets(self._chunks), 1)
        done = active[..., 0]
        if self.skip == "vector":
            done = active[..., 1] * self._inputs.n_slices
        return self.pieces.counts(done, n_times - done, self.adc.width)
