"""The layout of sparse ReRAM: rows that are zero in a group of columns take no wordlines there.

Columns are taken in groups as wide as an operation unit. Each group keeps the rows in which any of
its cells is not zero, in segments of at most a crossbar's rows, which stand side by side. First
come the first segments of all groups, then, on other crossbars, the second ones, and so on: without
dropping they lie as in the dense layout.

Source: SRE (ISCA 2019; semantics recalled).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.compressed_matrix import CompressedMatrix
from bitpim.crossbar.contents import Contents, Patch
from bitpim.crossbar.encodings import COLUMNS_AT_ONCE, StoredWeights
from bitpim.crossbar.indices import bits_for
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.number_coding import NumberCoding, WeightMatrix
from bitpim.crossbar.pieces import ReadPieces
from bitpim.crossbar.ragged import edges_of, places_in, ranges
from bitpim.crossbar.segments import Segments
from bitpim.placement import Placements
from bitpim_traces.records import LayerRecord

__all__ = ["ColumnOrder", "CompressedLayout", "CompressedMapping", "compress_rows"]

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.integer[Any]]
ColumnOrder = Literal["weight", "bit_slice"]
"""weight: the cells of one weight side by side. bit_slice: one bit-slice of all outputs after the
other, which is the order of `StoredWeights`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedLayout:
    """Each group of columns keeps the rows that are not zero in it.

    Attributes
    ----------
    drop_zero_rows : whether other rows are left out; else all are kept
    pack_active_rows : whether reads pass over rows without an input, as `CompressedMatrix` says
    column_order : which columns are neighbours, and so make a group
    """

    keeps_columns_whole: ClassVar[bool] = False
    drop_zero_rows: bool
    pack_active_rows: bool
    column_order: ColumnOrder

    @property
    def skips_unless(self) -> str | None:
        """The argument that has it read all units; None where it does."""
        return "pack_active_rows=false" if self.pack_active_rows else None

    def lay(self, layer: LayerRecord, coding: NumberCoding) -> tuple["CompressedMapping", ...]:
        """Lay out the rows that each column group of each conv group keeps."""
        return tuple(
            compress_rows(
                coding.encoded(weights, coding.geometry.rows),
                coding.geometry,
                drop_zero_rows=self.drop_zero_rows,
                column_order=self.column_order,
                pack_active_rows=self.pack_active_rows,
            )
            for weights in coding.weights(layer)
        )


@dataclass(frozen=True)
class CompressedMapping:
    """A matrix in segments on crossbars, sorted as they lie.

    `drops_rows` says whether column groups may keep rows of their own, whose numbers are then
    stored, and read at every position.

    Shapes
    ------
    groups: (n_segments,) the column group of each
    first_rows: (n_segments,) how many of the group's rows lie in segments before it
    slots: (n_segments,) its place on its crossbar, from the left, in operation units
    """

    geometry: CrossbarGeometry
    n_rows: int
    drops_rows: bool
    packs_active_rows: bool
    segments: Segments
    groups: Ints
    first_rows: Ints
    slots: Ints

    @property
    def rule(self) -> str:
        """Name of the rule: dense where no row may be left out."""
        return "row_compression" if self.drops_rows else "dense"

    @property
    def n_crossbars(self) -> int:
        """Crossbars that hold it."""
        return self.segments.n_crossbars

    @property
    def used_cells(self) -> int:
        """Cells of the rows that are kept."""
        return int(self.segments.heights @ self.segments.widths)

    @property
    def index_bits(self) -> int:
        """Bits stored as row numbers: clog2(rows of the matrix) for each row of each segment.

        None without dropping: wordlines then are the matrix's rows in order.
        """
        return len(self.segments.rows) * bits_for(self.n_rows) if self.drops_rows else 0

    @property
    def position_events(self) -> Counts:
        """Events of one position whatever its inputs."""
        return Counts(index_read_bit=self.index_bits)

    @cached_property
    def pieces(self) -> ReadPieces:
        """Reads of one input slice of one position when no row is left out; source i is segment i.

        Packed reads make fewer of them, by their inputs.
        """
        segments = self.segments
        heights, widths = segments.heights, segments.widths
        reads = segments.reads(self.geometry.unit_rows)
        sources = np.arange(len(self.groups))
        cells = heights * widths
        return ReadPieces(sources, segments.crossbars, reads, heights, reads * widths, cells)

    def placements(self) -> Placements:
        """Return where each segment lies; labels and blocks are column groups."""
        return Placements(
            self.geometry,
            "columns",
            crossbars=self.segments.crossbars,
            rows=np.zeros_like(self.groups),
            columns=self.slots * self.geometry.unit_columns,
            heights=self.segments.heights,
            widths=self.segments.widths,
            padding=self.geometry.unit_columns - self.segments.widths,
            labels=self.groups.astype(np.uint64),
            blocks=self.groups,
            first_rows=self.first_rows,
            first_columns=np.zeros_like(self.groups),
        )

    def contents(self, crossbar: int) -> Contents:
        """Return the segments that lie on a crossbar, side by side."""
        here = np.flatnonzero(self.segments.crossbars == crossbar).tolist()
        patches = tuple(self._patch(segment) for segment in here)
        return Contents(patches, "packed" if self.packs_active_rows else "none")

    def _patch(self, segment: int) -> Patch:
        rows, columns = self.segments.rows_of(segment), self.segments.columns_of(segment)
        height, unit = len(rows), self.geometry.unit_rows
        tops = np.arange(0, height, height if self.packs_active_rows else unit)
        left = int(self.slots[segment]) * self.geometry.unit_columns
        heights = np.diff(tops, append=height)
        return Patch(0, left, rows, columns, heights, np.array([len(columns)], np.int64))

    def matrix(
        self, weights: WeightMatrix, coding: NumberCoding, adc: Adc, inputs: InputCoding
    ) -> CompressedMatrix:
        """Return the matrix with these weights in its cells, to read inputs with."""
        return CompressedMatrix(
            coding.encoded(weights, coding.geometry.rows),
            coding.geometry,
            adc,
            inputs,
            self.segments,
            pack_active_rows=self.packs_active_rows,
        )


def compress_rows(
    stored: StoredWeights,
    geometry: CrossbarGeometry,
    *,
    drop_zero_rows: bool,
    column_order: ColumnOrder,
    pack_active_rows: bool = True,
) -> CompressedMapping:
    """Return the rows that each column group keeps, on crossbars; all rows without dropping."""
    n_rows, n_columns = stored.n_rows, stored.n_columns
    order = np.arange(n_columns, dtype=np.int32)  # there are many copies of it
    if column_order == "weight":
        order = order.reshape(-1, stored.n_outputs).T.ravel()
    firsts = np.arange(0, n_columns, geometry.unit_columns)
    row, n_kept = _kept_rows(stored, order, geometry.unit_columns, drop_zero_rows)
    groups, nth = places_in(-(-n_kept // geometry.rows))
    by_level = np.lexsort((groups, nth))
    groups, nth = groups[by_level], nth[by_level]
    first_rows = nth * geometry.rows
    heights = np.minimum(n_kept[groups] - first_rows, geometry.rows)
    widths = np.minimum(n_columns - firsts, geometry.unit_columns)[groups]
    crossbars, slots = _side_by_side(nth, geometry.columns // geometry.unit_columns)
    segments = Segments(
        edges_of(heights),
        _runs(row, edges_of(n_kept)[groups] + first_rows, heights),
        edges_of(widths),
        order[ranges(firsts[groups], widths)],
        crossbars,
    )
    return CompressedMapping(
        geometry,
        n_rows,
        drop_zero_rows,
        pack_active_rows,
        segments,
        groups,
        first_rows,
        slots,
    )


def _kept_rows(
    stored: StoredWeights, order: Rows, width: int, drop_zero_rows: bool
) -> tuple[Rows, Ints]:
    """Return the rows that groups of so many columns keep, group after group, and how many each."""
    kind = np.dtype(np.int16 if stored.n_rows < 1 << 15 else np.int32)  # there are many
    kept, n_at_once = [], width * max(1, COLUMNS_AT_ONCE // width)
    for first in range(0, len(order), n_at_once):
        columns = order[first : first + n_at_once]
        starts = np.arange(0, len(columns), width)
        here = np.ones((len(starts), stored.n_rows), np.bool_)
        if drop_zero_rows:
            here = np.logical_or.reduceat(stored.columns(columns) != 0, starts, axis=0)
        kept.append((np.nonzero(here)[1].astype(kind), here.sum(axis=1)))
    rows, counts = zip(*kept, strict=True)
    return np.concatenate(rows), np.concatenate(counts)


def _runs(row: Rows, starts: Ints, lengths: Ints) -> Rows:
    """Return runs of a list, one after the other; without an index of each row, which is large."""
    runs = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
    return np.concatenate([row[:0], *(row[start:stop] for start, stop in runs)])


def _side_by_side(levels: Ints, n_slots: int) -> tuple[Ints, Ints]:
    """Return crossbar and slot of each segment; levels rise, and each begins a new crossbar."""
    n_each = np.bincount(levels)
    level, place = places_in(n_each)
    return edges_of(-(-n_each // n_slots))[level] + place // n_slots, place % n_slots
