"""A convolution's matrix as pattern blocks: kernels of one channel and mask, rows compressed.

Source: Yu et al. 2020.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.arrays.adc import Adc
from bitpim.arrays.crossbar import CrossbarGeometry
from bitpim.arrays.encodings import StoredWeights
from bitpim.arrays.pieces import ReadCounts, ReadPieces
from bitpim.arrays.readout import InputCoding

__all__ = ["PatternBlocks", "PatternMatrix"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PatternBlocks:
    """The conv kernels of each input channel, grouped by mask.

    Shapes
    ------
    kept: (rows, n_outputs) weights that have a cell; rows are channel by channel, `window` each
    channels, masks: (n_blocks,) int64 and uint64; bit k of a mask is row k of the window. All
        kernels of that channel with that mask make the block; kernels without a weight are in none.
    index_bits: (n_blocks,) bits of index read at each position that reads the block, or None
    """

    kept: npt.NDArray[np.bool_]
    window: int
    channels: Ints
    masks: npt.NDArray[np.uint64]
    index_bits: Ints | None = None


class PatternMatrix:
    """Stored weights on crossbars, read pattern block by pattern block.

    `pieces` are the reads of the blocks' chunks: source i is the i-th chunk of at most
    `geometry.unit_rows` compressed rows, all chunks of block 0 first.
    """

    def __init__(
        self,
        stored: StoredWeights,
        geometry: CrossbarGeometry,
        adc: Adc,
        inputs: InputCoding,
        blocks: PatternBlocks,
        pieces: ReadPieces,
        *,
        skip: Literal["none", "bit_plane", "vector"] = "none",
    ) -> None:
        raise NotImplementedError

    n_outputs: int
    n_crossbars: int
    is_lossless: bool

    def read(
        self, x: npt.NDArray[Any], n_samples: int, fidelity: Literal["bit", "integer"] = "bit"
    ) -> tuple[Ints, ReadCounts]:
        """Return inputs times weights as the crossbars read them, and what that took."""
        raise NotImplementedError

    def partial_sums(self, x: npt.NDArray[Any]) -> tuple[Ints, int]:
        """Return how often each partial sum occurs, from the least one on, and that one."""
        raise NotImplementedError
