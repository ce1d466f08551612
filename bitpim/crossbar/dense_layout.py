"""The dense layout: a matrix tiled over crossbars from its first row and column on.

An operation unit never straddles two crossbars, so units at the edges of a crossbar are ragged.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.contents import Contents, Patch
from bitpim.crossbar.dense_matrix import DenseMatrix, Skip
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.number_coding import NumberCoding, WeightMatrix
from bitpim.crossbar.pieces import ReadPieces
from bitpim.placement import Placements
from bitpim_traces.records import LayerRecord

__all__ = ["DenseLayout", "DenseMapping", "RowBlocks"]

Ints = npt.NDArray[np.int64]
RowBlocks = Literal["array", "window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseLayout:
    """Every weight has its cells, row by row and output by output.

    Attributes
    ----------
    row_blocks : "array": units of the geometry's rows tile each crossbar from its first row on;
        "window": each window of rows (an input channel's R*S) starts a new unit and lies in one
        crossbar, which then holds whole windows only
    zero_skip : reads left out, as `DenseMatrix` says
    """

    keeps_columns_whole: ClassVar[bool] = True
    row_blocks: RowBlocks
    zero_skip: Skip

    @property
    def skips_unless(self) -> str | None:
        """The argument that has it read all units; None where it does."""
        return None if self.zero_skip == "none" else "zero_skip=none"

    def lay(self, layer: LayerRecord, coding: NumberCoding) -> tuple["DenseMapping", ...]:
        """Lay out the matrix of each conv group; all are of one size."""
        assert layer.weight is not None
        n_groups = layer.geometry.groups if layer.geometry else 1
        channel_rows = int(np.prod(layer.geometry.kernel)) if layer.geometry else 1
        mapping = DenseMapping(
            int(np.prod(layer.weight.shape[1:], dtype=np.int64)),
            layer.weight.shape[0] // n_groups * coding.columns_per_weight(layer),
            coding.geometry,
            channel_rows,
            self.row_blocks,
            self.zero_skip,
        )
        return (mapping,) * n_groups


@dataclass(frozen=True)
class DenseMapping:
    """A matrix of cells on crossbars, nothing left out; `channel_rows` rows an input channel."""

    rule: ClassVar[str] = "dense"
    n_rows: int
    n_columns: int
    geometry: CrossbarGeometry
    channel_rows: int = 1
    row_blocks: RowBlocks = "array"
    zero_skip: Skip = "none"

    @property
    def window_rows(self) -> int | None:
        """Rows of a window that stays whole, None where none needs to.

        One row needs no keeping together: 1 x 1 conv kernels and linear layers fill their units.
        A window taller than a crossbar is tiled like any rows.
        """
        return self.channel_rows if self.row_blocks == "window" and self.channel_rows > 1 else None

    @property
    def band_rows(self) -> int:
        """Matrix rows that one crossbar holds."""
        return self.geometry.rows_used(self.window_rows)

    @cached_property
    def row_heights(self) -> list[Ints]:
        """Heights of the units, for each row of crossbars."""
        return self.geometry.row_units(self.n_rows, self.window_rows)

    @property
    def n_crossbars(self) -> int:
        """Crossbars that hold the matrix."""
        return -(-self.n_rows // self.band_rows) * -(-self.n_columns // self.geometry.columns)

    @property
    def used_cells(self) -> int:
        """All cells of the matrix."""
        return self.n_rows * self.n_columns

    @property
    def index_bits(self) -> int:
        """None: rows and columns lie in their order."""
        return 0

    @property
    def position_events(self) -> Counts:
        """Nothing: what happens at a position are its reads."""
        return Counts()

    @cached_property
    def pieces(self) -> ReadPieces:
        """Reads of one input slice of one position; source b is row block b."""
        return ReadPieces.dense(self.row_heights, self.geometry.column_units(self.n_columns))

    def placements(self) -> Placements:
        """Return where each input channel's rows lie.

        A channel that straddles crossbars lies in several rectangles. The block is the matrix.
        The geometry's units are no taller than the windows they keep to.
        """
        edges = [
            np.arange(0, self.n_rows, self.channel_rows),
            np.arange(0, self.n_rows, self.band_rows),
            np.array([self.n_rows]),
        ]
        tops = np.unique(np.concatenate(edges))
        heights, tops = np.diff(tops), tops[:-1]
        lefts = np.arange(0, self.n_columns, self.geometry.columns, dtype=np.int64)
        widths = np.minimum(self.n_columns - lefts, self.geometry.columns)
        top, left = (grid.ravel() for grid in np.meshgrid(tops, lefts, indexing="ij"))
        return Placements(
            self._windowed_geometry(),
            "channel",
            crossbars=top // self.band_rows * len(lefts) + left // self.geometry.columns,
            rows=top % self.band_rows,
            columns=np.zeros_like(left),
            heights=np.repeat(heights, len(lefts)),
            widths=np.tile(widths, len(tops)),
            padding=np.zeros_like(left),
            labels=(top // self.channel_rows).astype(np.uint64),
            blocks=np.zeros_like(left),
            first_rows=top,
            first_columns=left,
        )

    def contents(self, crossbar: int) -> Contents:
        """Return the one rectangle that lies on a crossbar."""
        column_units = self.geometry.column_units(self.n_columns)
        band, across = divmod(crossbar, len(column_units))
        heights, widths = self.row_heights[band], column_units[across]
        rows = band * self.band_rows + np.arange(heights.sum())
        columns = across * self.geometry.columns + np.arange(widths.sum())
        return Contents((Patch(0, 0, rows, columns, heights, widths),), self.zero_skip)

    def matrix(
        self, weights: WeightMatrix, coding: NumberCoding, adc: Adc, inputs: InputCoding
    ) -> DenseMatrix:
        """Return the matrix with these weights in its cells, to read inputs with."""
        stored = coding.encoded(weights, self.band_rows)
        return DenseMatrix(
            stored,
            coding.geometry,
            adc,
            inputs,
            skip=self.zero_skip,
            window_rows=self.window_rows,
        )

    def _windowed_geometry(self) -> CrossbarGeometry:
        """Return the geometry with units no taller than the windows they keep to."""
        window, geometry = self.window_rows, self.geometry
        if window is None or window > geometry.rows or window >= geometry.unit_rows:
            return geometry
        return replace(geometry, ou_rows=window)
