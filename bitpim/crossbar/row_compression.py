"""The mapping of sparse ReRAM: rows that are zero in a group of columns take no wordlines there.

Columns are taken in groups as wide as an operation unit. Each group keeps the rows in which any of
its cells is not zero, in segments of at most a crossbar's rows, which stand side by side. First
come the first segments of all groups, then, on other crossbars, the second ones, and so on: without
dropping they lie as in the dense mapping.

Source: SRE (ISCA 2019; semantics recalled).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.encodings import StoredWeights
from bitpim.crossbar.pattern_blocks import bits_for
from bitpim.crossbar.pieces import ReadPieces
from bitpim.crossbar.ragged import edges_of, places_in, ranges
from bitpim.crossbar.row_packing import Segments
from bitpim.errors import ConfigError
from bitpim.placement import Placements

__all__ = ["ColumnOrder", "CompressedRows", "compress_rows"]

Ints = npt.NDArray[np.int64]
ColumnOrder = Literal["weight", "bit_slice"]
"""weight: the cells of one weight side by side. bit_slice: one bit-slice of all outputs after the
other, which is the order of `StoredWeights`.
"""


@dataclass(frozen=True, slots=True)
class CompressedRows:
    """Segments of column groups on crossbars, sorted as they lie.

    `drops_rows` says whether groups may keep rows of their own, whose numbers are then stored.

    Shapes
    ------
    groups: (n_segments,) the column group of each
    first_rows: (n_segments,) how many of the group's rows lie in segments before it
    slots: (n_segments,) its place on its crossbar, from the left, in operation units
    """

    geometry: CrossbarGeometry
    n_rows: int
    drops_rows: bool
    segments: Segments
    groups: Ints
    first_rows: Ints
    slots: Ints

    @property
    def n_crossbars(self) -> int:
        """Crossbars in use."""
        return int(self.segments.crossbars.max(initial=-1)) + 1

    @property
    def heights(self) -> Ints:
        """Rows of each segment."""
        return np.diff(self.segments.starts)

    @property
    def widths(self) -> Ints:
        """Columns of each segment."""
        return np.diff(self.segments.column_starts)

    @property
    def reads(self) -> Ints:
        """Reads of each segment for one input slice of one position when no row is left out."""
        return -(-self.heights // self.geometry.unit_rows)

    def pieces(self) -> ReadPieces:
        """Return the reads of one input slice of one position when no row is left out.

        Source i is segment i.
        """
        heights, widths, reads = self.heights, self.widths, self.reads
        sources = np.arange(len(self.groups))
        cells = heights * widths
        return ReadPieces(sources, self.segments.crossbars, reads, heights, reads * widths, cells)

    @property
    def index_bits(self) -> int:
        """Bits stored as row numbers: clog2(rows of the matrix) for each row of each segment.

        None without dropping: wordlines then are the matrix's rows in order.
        """
        return len(self.segments.rows) * bits_for(self.n_rows) if self.drops_rows else 0

    def delta_index_bits(self, delta_bits: int) -> int:
        """Return the bits when only the distance to the group's last kept row is stored.

        An entry counts the rows skipped, 0 to 2^delta_bits - 2; the highest one says that so many
        rows are skipped and no row follows yet.

        Raises
        ------
        ConfigError
            An entry is not of 1 to 32 bits.
        """
        if not 1 <= delta_bits <= 32:
            raise ConfigError(f"delta index: need entries of 1 to 32 bits, got {delta_bits}")
        order = np.lexsort((self.first_rows, self.groups))
        heights, starts = self.heights[order], self.segments.starts[:-1][order]
        rows = self.segments.rows[ranges(starts, heights)]
        group = np.repeat(self.groups[order], heights)
        last = np.concatenate([[-1], rows[:-1]])
        last[1:][group[1:] != group[:-1]] = -1
        escapes = (rows - last - 1) // ((1 << delta_bits) - 1)
        return int(delta_bits * (len(rows) + escapes.sum()))

    def placements(self) -> Placements:
        """Return where each segment lies; labels and blocks are column groups."""
        return Placements(
            self.geometry,
            "columns",
            crossbars=self.segments.crossbars,
            rows=np.zeros_like(self.groups),
            columns=self.slots * self.geometry.unit_columns,
            heights=self.heights,
            widths=self.widths,
            padding=self.geometry.unit_columns - self.widths,
            labels=self.groups.astype(np.uint64),
            blocks=self.groups,
            first_rows=self.first_rows,
            first_columns=np.zeros_like(self.groups),
        )


def compress_rows(
    stored: StoredWeights,
    geometry: CrossbarGeometry,
    *,
    drop_zero_rows: bool,
    column_order: ColumnOrder,
) -> CompressedRows:
    """Return the rows that each column group keeps, on crossbars; all rows without dropping."""
    n_rows, n_columns = stored.cells.shape
    order = np.arange(n_columns)
    if column_order == "weight":
        order = order.reshape(-1, stored.n_outputs).T.ravel()
    firsts = np.arange(0, n_columns, geometry.unit_columns)
    kept = np.ones((n_rows, len(firsts)), np.bool_)
    if drop_zero_rows:
        kept = np.logical_or.reduceat(stored.cells[:, order] != 0, firsts, axis=1)
    row = np.nonzero(kept.T)[1]  # group after group
    n_kept = kept.sum(axis=0)
    groups, nth = places_in(-(-n_kept // geometry.rows))
    by_level = np.lexsort((groups, nth))
    groups, nth = groups[by_level], nth[by_level]
    first_rows = nth * geometry.rows
    heights = np.minimum(n_kept[groups] - first_rows, geometry.rows)
    widths = np.minimum(n_columns - firsts, geometry.unit_columns)[groups]
    crossbars, slots = _side_by_side(nth, geometry.columns // geometry.unit_columns)
    segments = Segments(
        edges_of(heights),
        row[ranges(edges_of(n_kept)[groups] + first_rows, heights)],
        edges_of(widths),
        order[ranges(firsts[groups], widths)],
        crossbars,
    )
    return CompressedRows(geometry, n_rows, drop_zero_rows, segments, groups, first_rows, slots)


def _side_by_side(levels: Ints, n_slots: int) -> tuple[Ints, Ints]:
    """Return crossbar and slot of each segment; levels rise, and each begins a new crossbar."""
    n_each = np.bincount(levels)
    level, place = places_in(n_each)
    return edges_of(-(-n_each // n_slots))[level] + place // n_slots, place % n_slots
