"""What a layout is: where weight matrices lie on crossbars, what their reads are, and reading them.

Three protocols, one behind the other: a `Layout` lays a layer's matrices out before anything runs,
a `MatrixMapping` says where one of them lies and what its reads cost, and a `CrossbarMatrix` is
read. Plans, layers and `CrossbarMachine` know a layout by these alone.
"""

from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.contents import Contents
from bitpim.crossbar.encodings import StoredWeights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.number_coding import NumberCoding, WeightMatrix
from bitpim.crossbar.pieces import ReadCounts, ReadPieces
from bitpim.placement import Placements
from bitpim_traces.records import LayerRecord

__all__ = ["CrossbarMatrix", "Layout", "MatrixMapping"]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class CrossbarMatrix(Protocol):
    """One weight matrix in the cells of crossbars, as it is read."""

    @property
    def stored(self) -> StoredWeights:
        """The weights as cells, and what joins the readings of their columns."""
        ...

    @property
    def is_lossless(self) -> bool:
        """Whether no read of these cells can lose anything, whatever the inputs."""
        ...

    def read(
        self, x: Codes, n_samples: int, fidelity: Literal["bit", "integer"] = "bit"
    ) -> tuple[Ints, ReadCounts]:
        """Return inputs times weights as the crossbars read them, and what that took.

        Shapes
        ------
        x: (positions, rows) integers, positions sample by sample, the same number for each
        returns: (positions, outputs)
        """
        ...

    def partial_sums(self, x: Codes) -> tuple[Ints, int]:
        """Return how often each partial sum occurs before the ADC, and the smallest one counted."""
        ...


class MatrixMapping(Protocol):
    """One weight matrix on crossbars of its own: a layer's, or a conv group's."""

    @property
    def rule(self) -> str:
        """Name of the rule that it is laid out by, as plans show it."""
        ...

    @property
    def n_crossbars(self) -> int:
        """Crossbars that hold it."""
        ...

    @property
    def used_cells(self) -> int:
        """Cells that hold a weight."""
        ...

    @property
    def index_bits(self) -> int:
        """Bits stored to undo the order of rows and columns."""
        ...

    @property
    def position_events(self) -> Counts:
        """Events of one position whatever its inputs."""
        ...

    @property
    def pieces(self) -> ReadPieces:
        """Reads of one input slice of one position that skips nothing."""
        ...

    def placements(self) -> Placements:
        """Return what lies where."""
        ...

    def contents(self, crossbar: int) -> Contents:
        """Return what lies on one crossbar and how it is read, unit by unit.

        All crossbars read so, at every position, have the counts and the sums of `matrix`.
        """
        ...

    def matrix(
        self, weights: WeightMatrix, coding: NumberCoding, adc: Adc, inputs: InputCoding
    ) -> CrossbarMatrix:
        """Return the matrix with these weights in its cells, to read inputs with.

        `coding` is the one that it was laid out for. Reads done and left out add up to `pieces`.
        """
        ...


class Layout(Protocol):
    """How the weight matrices of a network lie on crossbars, and which of their reads are made."""

    @property
    def keeps_columns_whole(self) -> bool:
        """Whether a column of a matrix stays one column, with a cell for every row.

        Encodings that complement whole columns need that.
        """
        ...

    @property
    def skips_unless(self) -> str | None:
        """The argument that has it read all units, as in ``zero_skip=none``; None where it does.

        The settings of a machine name it alike, in their table `mapping`.
        """
        ...

    def lay(self, layer: LayerRecord, coding: NumberCoding) -> tuple[MatrixMapping, ...]:
        """Lay out the matrix of each conv group of a weighted layer; a linear layer has one.

        Raises
        ------
        MappingError
            The layer does not fit, or has codes wider than the numbers of the coding.
        """
        ...
