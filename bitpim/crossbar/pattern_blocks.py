"""The kernel-reordering mapping: kernels of one input channel and one mask side by side.

Such a block keeps only the rows of its mask and only the kernels that have it; kernels pruned whole
are nowhere. An operation unit opens rows of one block, so inputs are gathered by the block's
channel and mask, and results are added to the outputs whose numbers are stored beside it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.masks import kept_positions
from bitpim.crossbar.patterned import PatternBlocks
from bitpim.crossbar.pieces import ReadPieces
from bitpim.crossbar.ragged import edges_of, places_in
from bitpim.crossbar.shelves import place_on_shelves
from bitpim.placement import Grid, Placements

__all__ = [
    "IndexStorage",
    "KernelGroups",
    "PatternLayout",
    "bits_for",
    "group_by_pattern",
    "lay_patterns",
]

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint64]


def bits_for(n_values: int) -> int:
    """Return the bits of an index that takes so many values: clog2."""
    return max(n_values - 1, 0).bit_length()


@dataclass(frozen=True, slots=True)
class IndexStorage:
    """What is stored to undo the order, in bits.

    Every stored kernel has the number of its output: clog2(M). Every block has its pattern's
    number, clog2(P), its channel, clog2(C), and how many kernels it has, clog2(M + 1).
    """

    output_bits: int
    pattern_bits: int
    channel_bits: int
    width_bits: int

    @property
    def total_bits(self) -> int:
        """All of it."""
        return self.output_bits + self.pattern_bits + self.channel_bits + self.width_bits


@dataclass(frozen=True, slots=True)
class KernelGroups:
    """The blocks of one matrix, sorted by height, then channel, then mask.

    Block b holds the kernels of channel `channels[b]` to the outputs
    `outputs[kernel_edges[b] : kernel_edges[b + 1]]`, in that order, each in neighbouring columns.

    Shapes
    ------
    channels, masks, heights: (n_blocks,); bit k of a mask is position k of the window
    kernel_edges: (n_blocks + 1,)
    outputs: (stored kernels,)
    """

    n_outputs: int
    n_channels: int
    n_positions: int
    n_patterns: int
    channels: Ints
    masks: Codes
    heights: Ints
    kernel_edges: Ints
    outputs: Ints

    @property
    def n_blocks(self) -> int:
        """Blocks."""
        return len(self.channels)

    @property
    def n_kernels(self) -> Ints:
        """Kernels of each block."""
        return np.diff(self.kernel_edges)

    @property
    def row_edges(self) -> Ints:
        """Where each block's rows begin in `rows`, and the end."""
        return edges_of(self.heights)

    @property
    def rows(self) -> Ints:
        """Matrix rows that each block keeps, block after block: channel * R*S + position."""
        block, position = np.nonzero(kept_positions(self.masks, self.n_positions))
        return self.channels[block] * self.n_positions + position

    @property
    def n_weights(self) -> int:
        """Weights that have cells."""
        return int(self.heights @ self.n_kernels)

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Which weights have cells, (rows of the matrix, n_outputs)."""
        kept = np.zeros((self.n_channels, self.n_positions, self.n_outputs), np.bool_)
        block = np.repeat(np.arange(self.n_blocks), self.n_kernels)
        positions = kept_positions(self.masks, self.n_positions)
        kept[self.channels[block], :, self.outputs] = positions[block]
        return kept.reshape(-1, self.n_outputs)

    @property
    def index_storage(self) -> IndexStorage:
        """Bits stored as indices."""
        return IndexStorage(
            output_bits=len(self.outputs) * bits_for(self.n_outputs),
            pattern_bits=self.n_blocks * bits_for(self.n_patterns),
            channel_bits=self.n_blocks * bits_for(self.n_channels),
            width_bits=self.n_blocks * bits_for(self.n_outputs + 1),
        )


def group_by_pattern(codes: Codes, n_positions: int, n_patterns: int) -> KernelGroups:
    """Return the blocks of kernels with these masks, of which there are `n_patterns` to tell apart.

    Shapes
    ------
    codes: (M, C) mask codes of the kernels, 0 for one that is pruned whole
    """
    n_outputs, n_channels = codes.shape
    by_channel = np.ascontiguousarray(codes.T).ravel()  # channel-major: outputs ascend in a channel
    stored = np.flatnonzero(by_channel)
    kept = by_channel[stored]
    channels, heights = stored // n_outputs, np.bitwise_count(kept).astype(np.int64)
    order = np.lexsort((kept, channels, heights))  # stable, so outputs keep ascending
    stored, kept, channels, heights = stored[order], kept[order], channels[order], heights[order]
    is_first = np.ones(len(stored), np.bool_)
    is_first[1:] = (kept[1:] != kept[:-1]) | (channels[1:] != channels[:-1])
    firsts = np.flatnonzero(is_first)
    return KernelGroups(
        n_outputs,
        n_channels,
        n_positions,
        n_patterns,
        channels[firsts],
        kept[firsts],
        heights[firsts],
        np.append(firsts, len(stored)).astype(np.int64),
        stored % n_outputs,
    )


@dataclass(frozen=True, slots=True)
class PatternLayout:
    """Pattern blocks on crossbars.

    A block's rows are opened in sets of at most an operation unit's; these sets, block after block,
    are the sources of its reads.
    """

    blocks: KernelGroups
    placed: Placements

    @property
    def geometry(self) -> Grid:
        """Sizes of the crossbars."""
        return self.placed.geometry

    @property
    def n_crossbars(self) -> int:
        """Crossbars in use."""
        return self.placed.n_crossbars

    @property
    def source_edges(self) -> Ints:
        """Where each source's rows begin in `blocks.rows`, and the end, (n_sources + 1,)."""
        unit = self.geometry.unit_rows
        block, nth = places_in(-(-self.blocks.heights // unit))
        return np.append(self.blocks.row_edges[block] + nth * unit, self.blocks.row_edges[-1])

    def pieces(self) -> ReadPieces:
        """Return the reads of one input slice of one position."""
        unit, placed = self.geometry.unit_rows, self.placed
        part, nth = places_in(-(-placed.heights // unit))
        opened = np.minimum(placed.heights[part] - nth * unit, unit)
        first_sources = edges_of(-(-self.blocks.heights // unit))[placed.blocks]
        reads = -(-placed.widths // self.geometry.unit_columns)
        return ReadPieces(
            (first_sources + placed.first_rows // unit)[part] + nth,
            placed.crossbars[part],
            reads[part],
            reads[part] * opened,
            placed.widths[part],
            opened * placed.widths[part],
        )

    def as_read(self) -> PatternBlocks:
        """Return the blocks in the form that a `PatternMatrix` reads."""
        b = self.blocks
        return PatternBlocks(b.kept, b.n_positions, b.channels, b.masks)


def lay_patterns(
    blocks: KernelGroups,
    columns_per_weight: int,
    geometry: CrossbarGeometry,
    *,
    pad_ou_columns: bool,
) -> PatternLayout:
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
    return PatternLayout(blocks, placed)
