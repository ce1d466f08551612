"""A matrix whose operation units open listed rows: sparse ReRAM's reads.

Each OU column group keeps its own rows, so rows that are zero in a group take no wordlines there;
and a read opens only rows with an input, packed in order (dynamic wordline activation).

Source: SRE (ISCA 2019; semantics recalled).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.arrays.adc import Adc
from bitpim.arrays.crossbar import CrossbarGeometry
from bitpim.arrays.encodings import StoredWeights
from bitpim.arrays.pieces import ReadCounts
from bitpim.arrays.readout import InputCoding

__all__ = ["PackedMatrix", "Segments"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segments:
    """OU column groups on crossbars, each with the rows it keeps there.

    A segment lies on one crossbar. Its rows fill wordlines in the order listed; a column group that
    keeps more rows than an array has goes on in another segment.

    Shapes
    ------
    starts: (n_segments + 1,) where each segment begins in `rows`
    rows: (rows of all segments,) rows of the matrix, rising within a segment
    column_starts: (n_segments + 1,) where each begins in `columns`
    columns: (columns of all segments,) columns of the stored cells
    crossbars: (n_segments,) crossbar it lies on
    """

    starts: Ints
    rows: Ints
    column_starts: Ints
    columns: Ints
    crossbars: Ints


class PackedMatrix:
    """Stored weights on crossbars whose reads open rows by list."""

    def __init__(
        self,
        stored: StoredWeights,
        geometry: CrossbarGeometry,
        adc: Adc,
        inputs: InputCoding,
        segments: Segments,
        *,
        pack_active_rows: bool = True,
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
