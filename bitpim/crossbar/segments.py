"""Segments: columns as wide as an operation unit, and the rows that they keep on one crossbar.

Layout, plan and reader of compressed rows know a matrix by this one record.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.encodings import COLUMNS_AT_ONCE, StoredWeights
from bitpim.errors import MappingError

__all__ = ["Segments"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segments:
    """OU column groups on crossbars, each with the rows it keeps there.

    A segment lies on one crossbar. Its rows fill wordlines in the order listed; a column group that
    keeps more rows than an array has goes on in another segment.

    Shapes
    ------
    row_edges: (n_segments + 1,) where each segment begins in `rows`, and the end
    rows: (rows of all segments,) rows of the matrix, rising within a segment
    column_edges: (n_segments + 1,) where each begins in `columns`, and the end
    columns: (columns of all segments,) columns of the stored cells
    crossbars: (n_segments,) crossbar it lies on
    """

    row_edges: Ints
    rows: npt.NDArray[np.integer[Any]]
    column_edges: Ints
    columns: npt.NDArray[np.integer[Any]]
    crossbars: Ints

    @property
    def n_crossbars(self) -> int:
        """Crossbars in use."""
        return int(self.crossbars.max(initial=-1)) + 1

    @property
    def heights(self) -> Ints:
        """Rows of each segment."""
        return np.diff(self.row_edges)

    @property
    def widths(self) -> Ints:
        """Columns of each segment."""
        return np.diff(self.column_edges)

    def reads(self, unit_rows: int) -> Ints:
        """Return the reads of each segment for one input slice when no row is left out."""
        return -(-self.heights // unit_rows)

    def rows_of(self, segment: int) -> npt.NDArray[Any]:
        """Return the rows of a segment."""
        return self.rows[self.row_edges[segment] : self.row_edges[segment + 1]]

    def columns_of(self, segment: int) -> npt.NDArray[Any]:
        """Return the columns of a segment."""
        return self.columns[self.column_edges[segment] : self.column_edges[segment + 1]]

    def check(self, stored: StoredWeights, geometry: CrossbarGeometry) -> None:
        """Raise where segments do not fit the arrays, or do not hold all cells.

        Raises
        ------
        MappingError
            A segment is empty or larger than an array or an OU, its rows do not rise, or a cell not
            at level 0 lies in no segment or in two.
        """
        tall, wide = self.heights.max(initial=0), self.widths.max(initial=0)
        if self.heights.min(initial=1) < 1 or self.widths.min(initial=1) < 1:
            raise MappingError("segments: need a row and a column in each, got none; leave it out")
        if tall > geometry.rows or wide > geometry.unit_columns:
            raise MappingError(
                f"segments: need at most {geometry.rows} rows and {geometry.unit_columns} columns, "
                f"got {tall} and {wide}; split them"
            )
        for k in range(len(self.crossbars)):
            rows = self.rows_of(k)
            if np.any(rows[1:] <= rows[:-1]):
                raise MappingError(f"segments: need rows that rise, got {rows.tolist()}")
        self._check_cells(stored)

    def _check_cells(self, stored: StoredWeights) -> None:
        """Raise where a cell lies in no segment, or in two; some columns at a time."""
        groups: dict[bytes, list[int]] = defaultdict(list)  # segments by the columns they hold
        for k in range(len(self.crossbars)):
            groups[self.columns_of(k).tobytes()].append(k)
        holders: dict[int, list[list[int]]] = defaultdict(list)
        for segments in groups.values():
            for block in set((self.columns_of(segments[0]) // COLUMNS_AT_ONCE).tolist()):
                holders[block].append(segments)
        for first, cells in stored.blocks(COLUMNS_AT_ONCE):
            held = np.zeros(cells.shape, np.int8)
            for segments in holders[first // COLUMNS_AT_ONCE]:
                columns = self.columns_of(segments[0])
                here = columns[columns // COLUMNS_AT_ONCE == first // COLUMNS_AT_ONCE] - first
                rows = np.concatenate([self.rows_of(k) for k in segments])
                held[here] += np.minimum(np.bincount(rows, minlength=stored.n_rows), 2).astype("i1")
            wrong = (held > 1) | ((held == 0) & (cells != 0))
            if wrong.any():
                row, column = np.argwhere(wrong.T)[0]
                raise MappingError(
                    f"segments: need each cell not at level 0 in one segment, got row {row}, "
                    f"column {first + column} in {held[column, row]}"
                )
