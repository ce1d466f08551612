"""The layout of kernel reordering: pattern blocks on shelves, rows that a mask drops left out.

An operation unit opens rows of one block, so inputs are gathered by the block's channel and mask,
and results are added to the outputs whose numbers are stored beside it.

Source: Yu et al. 2020.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.contents import Contents, Patch
from bitpim.crossbar.dense_layout import DenseLayout, DenseMapping, RowBlocks
from bitpim.crossbar.dense_matrix import Skip
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.masks import layer_masks
from bitpim.crossbar.number_coding import NumberCoding, WeightMatrix
from bitpim.crossbar.pattern_blocks import PatternBlocks, group_by_pattern
from bitpim.crossbar.pattern_matrix import PatternMatrix
from bitpim.crossbar.pieces import ReadPieces
from bitpim.crossbar.ragged import edges_of, places_in
from bitpim.crossbar.shelves import place_on_shelves
from bitpim.placement import Placement, Placements
from bitpim_traces.records import LayerRecord

__all__ = ["OtherKernels", "PatternLayout", "PatternMapping", "lay_blocks"]

Ints = npt.NDArray[np.int64]
OtherKernels = Literal["dense", "patterns"]

_PATTERN_KERNEL = (3, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternLayout:
    """Conv kernels of one channel and mask lie side by side; layers without masks lie dense.

    Attributes
    ----------
    row_blocks : of layers that lie dense, as `DenseLayout` says
    zero_skip : reads left out, as `PatternMatrix` says
    pad_ou_columns : whether each block takes whole operation units in width
    other_kernels : "patterns": conv kernels other than 3 x 3 are laid by their masks, too;
        "dense": they lie dense, as linear layers always do
    """

    keeps_columns_whole: ClassVar[bool] = False
    row_blocks: RowBlocks
    zero_skip: Skip
    pad_ou_columns: bool
    other_kernels: OtherKernels

    @property
    def skips_unless(self) -> str | None:
        """The argument that has it read all units; None where it does."""
        return self._dense.skips_unless

    def lay(
        self, layer: LayerRecord, coding: NumberCoding
    ) -> tuple["PatternMapping | DenseMapping", ...]:
        """Lay out the pattern blocks of each conv group, or its matrix.

        Raises
        ------
        TraceDataError
            The mask disagrees with the weights, or the pattern set does not cover a kernel.
        """
        geometry = layer.geometry
        by_mask = self.other_kernels == "patterns"
        if geometry is None or not (by_mask or geometry.kernel == _PATTERN_KERNEL):
            return self._dense.lay(layer, coding)
        masks, columns = layer_masks(layer), coding.columns_per_weight(layer)
        return tuple(
            lay_blocks(
                group_by_pattern(codes, masks.n_positions, len(masks.patterns)),
                columns,
                coding.geometry,
                pad_ou_columns=self.pad_ou_columns,
                zero_skip=self.zero_skip,
            )
            for codes in np.split(masks.codes, geometry.groups)
        )

    @property
    def _dense(self) -> DenseLayout:
        return DenseLayout(row_blocks=self.row_blocks, zero_skip=self.zero_skip)


@dataclass(frozen=True)
class PatternMapping:
    """A matrix as pattern blocks on crossbars; chunks of their rows are the sources of its reads.

    At every position each stored kernel's sum is sent to its output, and all indices are read,
    whatever the inputs: the indices are what says which inputs to look at.
    """

    rule: ClassVar[str] = "patterns"
    blocks: PatternBlocks
    placed: Placements
    columns_per_weight: int
    zero_skip: Skip

    @property
    def n_crossbars(self) -> int:
        """Crossbars that hold it."""
        return self.placed.n_crossbars

    @property
    def used_cells(self) -> int:
        """Cells of the weights that are kept."""
        return self.blocks.n_weights * self.columns_per_weight

    @property
    def index_bits(self) -> int:
        """Bits of output numbers, pattern numbers, channels and widths."""
        return self.blocks.index_storage.total_bits

    @property
    def position_events(self) -> Counts:
        """Events of one position whatever its inputs."""
        return Counts(accum_scatter=len(self.blocks.outputs), index_read_bit=self.index_bits)

    @property
    def source_edges(self) -> Ints:
        """Where each source's rows begin in `blocks.rows`, and the end, (n_sources + 1,)."""
        return self.blocks.chunk_edges(self.placed.geometry.unit_rows)

    @cached_property
    def pieces(self) -> ReadPieces:
        """Reads of one input slice of one position."""
        placed, unit = self.placed, self.placed.geometry.unit_rows
        part, nth = places_in(-(-placed.heights // unit))
        opened = np.minimum(placed.heights[part] - nth * unit, unit)
        first_sources = edges_of(-(-self.blocks.heights // unit))[placed.blocks]
        reads = -(-placed.widths // placed.geometry.unit_columns)
        return ReadPieces(
            (first_sources + placed.first_rows // unit)[part] + nth,
            placed.crossbars[part],
            reads[part],
            reads[part] * opened,
            placed.widths[part],
            opened * placed.widths[part],
        )

    def placements(self) -> Placements:
        """Return where each block lies."""
        return self.placed

    def contents(self, crossbar: int) -> Contents:
        """Return the blocks, or parts of blocks, that lie on a crossbar."""
        patches = tuple(map(self._patch, self.placed.on(crossbar)))
        return Contents(patches, self.zero_skip)

    def _patch(self, at: Placement) -> Patch:
        blocks, geometry = self.blocks, self.placed.geometry
        rows = blocks.rows[blocks.row_edges[at.block] + at.first_row :][: at.height]
        outputs = blocks.outputs[blocks.kernel_edges[at.block] : blocks.kernel_edges[at.block + 1]]
        parts = np.arange(self.columns_per_weight) * blocks.n_outputs
        columns = np.add.outer(outputs, parts).ravel()[at.first_column :][: at.width]
        tops = np.arange(0, at.height, geometry.unit_rows)
        lefts = np.arange(0, at.width, geometry.unit_columns)
        heights, widths = np.diff(tops, append=at.height), np.diff(lefts, append=at.width)
        return Patch(at.row, at.column, rows, columns, heights, widths)

    def matrix(
        self, weights: WeightMatrix, coding: NumberCoding, adc: Adc, inputs: InputCoding
    ) -> PatternMatrix:
        """Return the matrix with these weights in its cells, to read inputs with."""
        geometry, blocks = coding.geometry, self.blocks
        stored = coding.encoded(weights, geometry.rows, blocks.kept)
        return PatternMatrix(
            stored, geometry, adc, inputs, blocks, self.pieces, skip=self.zero_skip
        )


def lay_blocks(
    blocks: PatternBlocks,
    columns_per_weight: int,
    geometry: CrossbarGeometry,
    *,
    pad_ou_columns: bool,
    zero_skip: Skip = "none",
) -> PatternMapping:
    """Return the blocks on shelves in crossbars; a weight takes neighbouring columns.

    A block taller than a crossbar lies in several bands of whole operation units.
    """
    heights, band = blocks.heights, geometry.rows
    if int(heights.max(initial=0)) > geometry.rows:
        band = geometry.rows // geometry.unit_rows * geometry.unit_rows
    block, nth = places_in(-(-heights // band))
    first_row = nth * band
    height = np.minimum(heights[block] - first_row, band)
    order = np.argsort(height, kind="stable")
    block, first_row, height = block[order], first_row[order], height[order]
    widths = blocks.n_kernels[block] * columns_per_weight
    on = place_on_shelves(height, widths, geometry, pad_ou_columns=pad_ou_columns)
    placed = Placements(
        geometry,
        "pattern",
        crossbars=on.crossbars,
        rows=on.rows,
        columns=on.columns,
        heights=height[on.blocks],
        widths=on.widths,
        padding=on.padding,
        labels=blocks.masks[block[on.blocks]],
        blocks=block[on.blocks],
        first_rows=first_row[on.blocks],
        first_columns=on.first_columns,
    )
    return PatternMapping(blocks, placed, columns_per_weight, zero_skip)
