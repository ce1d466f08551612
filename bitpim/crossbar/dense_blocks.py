"""The dense mapping: a matrix tiled over crossbars from its first row and column on.

An operation unit never straddles two crossbars, so units at the edges of a crossbar are ragged.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.pieces import ReadPieces
from bitpim.crossbar.ragged import edges_of
from bitpim.placement import Placements

__all__ = ["DenseBlocks"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DenseBlocks:
    """A matrix of cells on crossbars, and how operation units tile it.

    Without `window_rows` units of the geometry's rows tile each crossbar from its first row on.
    With it, each window of so many rows (an input channel's R*S) starts a new unit and lies in one
    crossbar, so that a crossbar holds whole windows only; a window taller than a crossbar is
    tiled as without.
    """

    n_rows: int
    n_columns: int
    geometry: CrossbarGeometry
    window_rows: int | None = None

    @property
    def band_rows(self) -> int:
        """Matrix rows that one crossbar holds."""
        return self.geometry.rows_used(self.window_rows)

    @property
    def row_heights(self) -> list[Ints]:
        """Heights of the units, for each row of crossbars."""
        return self.geometry.row_units(self.n_rows, self.window_rows)

    @property
    def column_widths(self) -> list[Ints]:
        """Widths of the units, for each column of crossbars."""
        return self.geometry.column_units(self.n_columns)

    @property
    def row_edges(self) -> Ints:
        """First matrix row of each unit, and the end."""
        return edges_of(np.concatenate(self.row_heights))

    @property
    def n_crossbars(self) -> int:
        """Crossbars that hold the matrix."""
        return -(-self.n_rows // self.band_rows) * -(-self.n_columns // self.geometry.columns)

    @property
    def n_reads(self) -> int:
        """Operation units, each read once for one input slice of one position."""
        return sum(map(len, self.row_heights)) * sum(map(len, self.column_widths))

    @property
    def pieces(self) -> ReadPieces:
        """The reads of one input slice of one position; source b is row block b."""
        return ReadPieces.dense(self.row_heights, self.column_widths)

    def placements(self, channel_rows: int, first_channel: int = 0) -> Placements:
        """Return where each input channel's rows lie, `channel_rows` of them a channel.

        A channel that straddles crossbars lies in several rectangles. The block is the matrix.
        The geometry's units are no taller than the windows they keep to.
        """
        edges = [
            np.arange(0, self.n_rows, channel_rows),
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
            labels=(top // channel_rows + first_channel).astype(np.uint64),
            blocks=np.zeros_like(left),
            first_rows=top,
            first_columns=left,
        )

    def _windowed_geometry(self) -> CrossbarGeometry:
        """Return the geometry with units no taller than the windows they keep to."""
        window, geometry = self.window_rows, self.geometry
        if window is None or window > geometry.rows or window >= geometry.unit_rows:
            return geometry
        return replace(geometry, ou_rows=window)
