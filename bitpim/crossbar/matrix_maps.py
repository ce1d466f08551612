"""One weight matrix on crossbars of its own, by each of the three mappings, in one form."""

from dataclasses import dataclass
from functools import cached_property

from bitpim.counts import Counts
from bitpim.crossbar.dense_blocks import DenseBlocks
from bitpim.crossbar.pattern_blocks import PatternLayout
from bitpim.crossbar.pieces import ReadPieces
from bitpim.crossbar.row_compression import CompressedRows
from bitpim.placement import Placements

__all__ = ["CompressedMap", "DenseMap", "PatternMap"]


@dataclass(frozen=True)
class DenseMap:
    """A matrix with nothing left out; `channel_rows` rows belong to one input channel."""

    blocks: DenseBlocks
    channel_rows: int
    index_bits: int = 0

    @property
    def position_events(self) -> Counts:
        """Nothing: what happens at a position are its reads."""
        return Counts()

    @property
    def n_crossbars(self) -> int:
        """Crossbars that hold it."""
        return self.blocks.n_crossbars

    @property
    def used_cells(self) -> int:
        """All cells of the matrix."""
        return self.blocks.n_rows * self.blocks.n_columns

    @cached_property
    def pieces(self) -> ReadPieces:
        """Reads of one input slice of one position."""
        return self.blocks.pieces

    def placements(self) -> Placements:
        """Return where each input channel lies."""
        return self.blocks.placements(self.channel_rows)


@dataclass(frozen=True)
class PatternMap:
    """A matrix as pattern blocks.

    At every position each stored kernel's sum is sent to its output, and all indices are read,
    whatever the inputs: the indices are what says which inputs to look at.
    """

    layout: PatternLayout
    columns_per_weight: int

    @property
    def n_crossbars(self) -> int:
        """Crossbars that hold it."""
        return self.layout.n_crossbars

    @property
    def used_cells(self) -> int:
        """Cells of the weights that are kept."""
        return self.layout.blocks.n_weights * self.columns_per_weight

    @property
    def index_bits(self) -> int:
        """Bits of output numbers, pattern numbers, channels and widths."""
        return self.layout.blocks.index_storage.total_bits

    @property
    def position_events(self) -> Counts:
        """Events of one position whatever its inputs."""
        n_kernels = len(self.layout.blocks.outputs)
        return Counts(accum_scatter=n_kernels, index_read_bit=self.index_bits)

    @cached_property
    def pieces(self) -> ReadPieces:
        """Reads of one input slice of one position."""
        return self.layout.pieces()

    def placements(self) -> Placements:
        """Return where each block lies."""
        return self.layout.placed


@dataclass(frozen=True)
class CompressedMap:
    """A matrix whose column groups keep their own rows; row numbers are read at every position.

    Where no rows are dropped there are no numbers to read.
    """

    rows: CompressedRows

    @property
    def n_crossbars(self) -> int:
        """Crossbars that hold it."""
        return self.rows.n_crossbars

    @property
    def used_cells(self) -> int:
        """Cells of the rows that are kept."""
        return int(self.rows.heights @ self.rows.widths)

    @property
    def index_bits(self) -> int:
        """Bits of row numbers."""
        return self.rows.index_bits

    @property
    def position_events(self) -> Counts:
        """Events of one position whatever its inputs."""
        return Counts(index_read_bit=self.index_bits)

    @cached_property
    def pieces(self) -> ReadPieces:
        """Reads of one input slice of one position when no row is left out."""
        return self.rows.pieces()

    def placements(self) -> Placements:
        """Return where each column group lies."""
        return self.rows.placements()
