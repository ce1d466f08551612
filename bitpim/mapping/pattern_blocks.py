"""The kernel-reordering mapping: kernels of one input channel and one mask side by side.

Such a block keeps only the rows of its mask and only the kernels that have it; kernels pruned whole
are nowhere. An operation unit opens rows of one block, so inputs are gathered by the block's
channel and mask, and results are added to the outputs whose numbers are stored beside it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.arrays.crossbar import CrossbarGeometry
from bitpim.arrays.patterned import PatternBlocks
from bitpim.arrays.pieces import ReadPieces
from bitpim.mapping.masks import kept_positions
from bitpim.mapping.placement import Placements
from bitpim.mapping.ragged import edges_of, places_in
from bitpim.mapping.shelves import place_on_shelves

__all__ = ["IndexStorage", "KernelGroups", "PatternLayout", "bits_for", "group_by_pattern"]

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
    channels, masks, heights: (n_blocks,)
    kernel_edges: (n_blocks + 1,)
    outputs: (stored kernels,)
    """

    n_outputs: int
    n_channels: int
    n_positions: int
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

    def index_storage(self, n_patterns: int) -> IndexStorage:
        """Return the bits stored as indices when a layer has so many patterns."""
        return IndexStorage(
            output_bits=len(self.outputs) * bits_for(self.n_outputs),
            pattern_bits=self.n_blocks * bits_for(n_patterns),
            channel_bits=self.n_blocks * bits_for(self.n_channels),
            width_bits=self.n_blocks * bits_for(self.n_outputs + 1),
        )

    def index_bits(self, n_patterns: int) -> Ints:
        """Return the index bits of each block, (n_blocks,); a position that reads it fetches these.

        Their sum is the total of `index_storage`.
        """
        header = bits_for(n_patterns) + bits_for(self.n_channels) + bits_for(self.n_outputs + 1)
        return self.n_kernels * bits_for(self.n_outputs) + header


def group_by_pattern(codes: Codes, n_positions: int) -> KernelGroups:
    """Return the blocks of kernels with these masks.

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
        channels[firsts],
        kept[firsts],
        heights[firsts],
        np.append(firsts, len(stored)).astype(np.int64),
        stored % n_outputs,
    )


@dataclass(frozen=True, slots=True)
class PatternLayout:
    """Pattern blocks on crossbars.

    A weight takes `columns_per_weight` neighbouring columns. A block's rows are opened in sets of
    at most the geometry's rows of an operation unit; these sets are the sources of its reads.
    """

    blocks: KernelGroups
    geometry: CrossbarGeometry
    columns_per_weight: int
    pad_ou_columns: bool = True

    @property
    def source_blocks(self) -> Ints:
        """The block of each source, (n_sources,)."""
        return places_in(-(-self.blocks.heights // self.geometry.unit_rows))[0]

    @property
    def source_edges(self) -> Ints:
        """Where each source's rows begin in `blocks.rows`, and the end, (n_sources + 1,)."""
        unit = self.geometry.unit_rows
        block, nth = places_in(-(-self.blocks.heights // unit))
        starts = self.blocks.row_edges[block] + nth * unit
        return np.append(starts, self.blocks.row_edges[-1])

    def as_read(self, n_patterns: int) -> PatternBlocks:
        """Return the blocks in the form that a `PatternMatrix` reads."""
        blocks = self.blocks
        bits = blocks.index_bits(n_patterns)
        return PatternBlocks(blocks.kept, blocks.n_positions, blocks.channels, blocks.masks, bits)

    def placements(self) -> Placements:
        """Return where each block lies.

        A block taller than a crossbar lies in several bands of whole operation units.
        """
        band = self.geometry.rows // self.geometry.unit_rows * self.geometry.unit_rows
        heights = self.blocks.heights
        if int(heights.max(initial=0)) <= self.geometry.rows:
            band = self.geometry.rows
        block, nth = places_in(-(-heights // band))
        first_row = nth * band
        height = np.minimum(heights[block] - first_row, band)
        order = np.argsort(height, kind="stable")
        block, first_row, height = block[order], first_row[order], height[order]
        widths = self.blocks.n_kernels[block] * self.columns_per_weight
        on = place_on_shelves(height, widths, self.geometry, pad_ou_columns=self.pad_ou_columns)
        return Placements(
            self.geometry,
            "pattern",
            crossbars=on.crossbars,
            rows=on.rows,
            columns=on.columns,
            heights=height[on.blocks],
            widths=on.widths,
            padding=on.padding,
            labels=self.blocks.masks[block[on.blocks]],
            blocks=block[on.blocks],
            first_rows=first_row[on.blocks],
            first_columns=on.first_columns,
        )

    def pieces(self) -> ReadPieces:
        """Return the reads of one input slice of one position."""
        return self.pieces_of(self.placements())

    def pieces_of(self, placed: Placements) -> ReadPieces:
        """Return the reads of these placements, which must be this layout's."""
        unit = self.geometry.unit_rows
        part, nth = places_in(-(-placed.heights // unit))
        opened = np.minimum(placed.heights[part] - nth * unit, unit)
        first_sources = np.searchsorted(self.source_blocks, placed.blocks)
        sources = (first_sources + placed.first_rows // unit)[part] + nth
        reads = -(-placed.widths // self.geometry.unit_columns)
        return ReadPieces(
            sources,
            placed.crossbars[part],
            reads[part],
            reads[part] * opened,
            placed.widths[part],
            opened * placed.widths[part],
        )
