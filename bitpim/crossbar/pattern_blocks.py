"""Pattern blocks: the conv kernels of one input channel that share a mask, side by side.

A block keeps only the rows of its mask and only the kernels that have it; kernels pruned whole are
nowhere. Layout, plan and reader know blocks by this one record.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.encodings import StoredWeights
from bitpim.crossbar.indices import IndexStorage, bits_for
from bitpim.crossbar.masks import kept_positions
from bitpim.crossbar.ragged import edges_of, places_in
from bitpim.errors import MappingError

__all__ = ["PatternBlocks", "group_by_pattern"]

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class PatternBlocks:
    """The blocks of one matrix, whose rows are channel by channel, `n_positions` each.

    Block b holds the kernels of channel `channels[b]` to the outputs
    `outputs[kernel_edges[b] : kernel_edges[b + 1]]`, in that order. Its rows are opened in chunks
    of at most an operation unit's.

    Shapes
    ------
    channels, masks: (n_blocks,); bit k of a mask is position k of the window
    kernel_edges: (n_blocks + 1,)
    outputs: (stored kernels,)
    """

    n_outputs: int
    n_channels: int
    n_positions: int
    n_patterns: int
    channels: Ints
    masks: Codes
    kernel_edges: Ints
    outputs: Ints

    @property
    def n_blocks(self) -> int:
        """Blocks."""
        return len(self.channels)

    @property
    def heights(self) -> Ints:
        """Rows of each block."""
        return np.bitwise_count(self.masks).astype(np.int64)

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

    def chunk_edges(self, unit_rows: int) -> Ints:
        """Return where each chunk's rows begin in `rows`, and the end; all of block 0 first."""
        block, nth = places_in(-(-self.heights // unit_rows))
        edges = self.row_edges
        return np.append(edges[block] + nth * unit_rows, edges[-1])

    def rows_and_outputs(self) -> list[tuple[Ints, Ints]]:
        """Return both lists of each block."""
        rows = np.split(self.rows, self.row_edges[1:-1])
        outputs = np.split(self.outputs, self.kernel_edges[1:-1])
        return list(zip(rows, outputs, strict=True)) if self.n_blocks else []

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

    def check(self, stored: StoredWeights) -> None:
        """Raise where the blocks are not those of a matrix, or do not hold all its cells.

        Raises
        ------
        MappingError
            The matrix is of another size, a block is empty, a kernel is in two blocks, or a cell
            not at level 0 is in none.
        """
        size = self.n_channels * self.n_positions, self.n_outputs
        if not 1 <= self.n_positions <= 64 or (stored.n_rows, stored.n_outputs) != size:
            raise MappingError(
                f"pattern blocks: need windows of 1 to 64 rows that make {stored.n_rows} rows "
                f"and {stored.n_outputs} outputs, got {self.n_channels} windows of "
                f"{self.n_positions} rows and {self.n_outputs} outputs"
            )
        if self.n_blocks and min(self.heights.min(), self.n_kernels.min()) < 1:
            raise MappingError(
                "pattern blocks: need a row and a kernel in each, got none; leave it out"
            )
        kernels = np.repeat(self.channels, self.n_kernels) * self.n_outputs + self.outputs
        if len(np.unique(kernels)) < len(kernels):
            raise MappingError(
                f"pattern blocks: need each kernel in one block of its channel, got "
                f"{len(np.unique(kernels))} kernels {len(kernels)} times"
            )
        held = (stored.cells != 0).reshape(size[0], -1, size[1]).any(axis=1)
        stray = held & ~self.kept
        if stray.any():
            row, output = np.argwhere(stray)[0]
            raise MappingError(
                f"pattern blocks: need each cell not at level 0 in a block, got row {row}, output "
                f"{output} in none"
            )


def group_by_pattern(codes: Codes, n_positions: int, n_patterns: int) -> PatternBlocks:
    """Return the blocks of kernels with these masks, of which there are `n_patterns` to tell apart.

    They are sorted by height, then channel, then mask; outputs rise within each.

    Shapes
    ------
    codes: (M, C) mask codes of the kernels, 0 for one that is pruned whole
    """
    n_outputs, n_channels = codes.shape
    by_channel = np.ascontiguousarray(codes.T).ravel()  # channel-major: outputs ascend in a channel
    stored = np.flatnonzero(by_channel)
    kept = by_channel[stored]
    channels, heights = stored // n_outputs, np.bitwise_count(kept)
    order = np.lexsort((kept, channels, heights))  # stable, so outputs keep ascending
    stored, kept, channels = stored[order], kept[order], channels[order]
    is_first = np.ones(len(stored), np.bool_)
    is_first[1:] = (kept[1:] != kept[:-1]) | (channels[1:] != channels[:-1])
    firsts = np.flatnonzero(is_first)
    return PatternBlocks(
        n_outputs,
        n_channels,
        n_positions,
        n_patterns,
        channels[firsts],
        kept[firsts],
        np.append(firsts, len(stored)).astype(np.int64),
        stored % n_outputs,
    )
