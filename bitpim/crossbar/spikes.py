"""Inputs as trains of spikes: the dense layout, its reads counted as spikes and column counts.

A code of N bits comes as N steps, one for each of its bits; its wordline has a spike where the bit
is 1, and none where it is 0. Each column integrates what crosses it and hands a count on. So a step
is a read of one input slice, and its count a reading: only the counting is other. How many spikes
there are depends on the inputs: plans tell of inputs that spike in every step, runs of those that
were, and of the steps without a spike; both add up to the plan's.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.contents import Contents
from bitpim.crossbar.dense_layout import DenseLayout, DenseMapping
from bitpim.crossbar.dense_matrix import DenseMatrix
from bitpim.crossbar.encodings import StoredWeights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.number_coding import NumberCoding, WeightMatrix
from bitpim.crossbar.pieces import ReadCounts, ReadPieces
from bitpim.placement import Placements
from bitpim_traces.records import LayerRecord

__all__ = ["SpikeLayout", "SpikeMapping", "SpikeMatrix", "SpikePieces", "count_ones"]

Ints = npt.NDArray[np.int64]

_NAMES = {
    "ou_activation": "spike_read",
    "ou_rows": "spike",
    "ou_cells": "spike_cell",
    "ou_cols": "if_count",
    "shift_add": "shift_add",
}
"""What each event of a read is for inputs that spike in every step."""


class SpikePieces(ReadPieces):
    """Reads of one step of spike trains of one position."""

    def counts(self, done: Ints, skipped: Ints, adc_width: str) -> ReadCounts:
        """Return the counts when each source is read so often, and all its rows spike."""
        read = ReadPieces.counts(self, done, skipped, adc_width)
        events = {name: read.events[event] for event, name in _NAMES.items()}
        return ReadCounts(Counts(**events), read.cycles)


@dataclass(frozen=True)
class SpikeMapping:
    """A matrix of cells on crossbars, laid densely, whose rows take spike trains."""

    rule: ClassVar[str] = "dense"
    dense: DenseMapping

    @property
    def n_crossbars(self) -> int:
        """Crossbars that hold the matrix."""
        return self.dense.n_crossbars

    @property
    def used_cells(self) -> int:
        """All cells of the matrix."""
        return self.dense.used_cells

    @property
    def index_bits(self) -> int:
        """None: rows and columns lie in their order."""
        return self.dense.index_bits

    @property
    def position_events(self) -> Counts:
        """Nothing: what happens at a position are its reads."""
        return self.dense.position_events

    @cached_property
    def pieces(self) -> SpikePieces:
        """Reads of one step of one position; source b is row block b."""
        return SpikePieces.dense(self.dense.row_heights, self._column_units)

    @property
    def _column_units(self) -> list[Ints]:
        return self.dense.geometry.column_units(self.dense.n_columns)

    @property
    def reads_of_row(self) -> int:
        """Reads that open a row in one step: those of all crossbars that it runs through."""
        return sum(len(units) for units in self._column_units)

    def placements(self) -> Placements:
        """Return where each input channel's rows lie."""
        return self.dense.placements()

    def contents(self, crossbar: int) -> Contents:
        """Return the one rectangle that lies on a crossbar."""
        return replace(self.dense.contents(crossbar), counted_as="spike")

    def matrix(
        self, weights: WeightMatrix, coding: NumberCoding, adc: Adc, inputs: InputCoding
    ) -> "SpikeMatrix":
        """Return the matrix with these weights in its cells, to send spike trains to."""
        return SpikeMatrix(self, self.dense.matrix(weights, coding, adc, inputs))


class SpikeMatrix:
    """A matrix in cells that spike trains are sent to: what `DenseMatrix` reads, so counted."""

    def __init__(self, mapping: SpikeMapping, dense: DenseMatrix) -> None:
        self.mapping, self.dense = mapping, dense

    @property
    def stored(self) -> StoredWeights:
        """The weights as cells."""
        return self.dense.stored

    @property
    def is_lossless(self) -> bool:
        """Whether no count of these cells can exceed its counter."""
        return self.dense.is_lossless

    def read(
        self, x: npt.NDArray[Any], n_samples: int, fidelity: Literal["bit", "integer"] = "bit"
    ) -> tuple[Ints, ReadCounts]:
        """Return inputs times weights as counters tell it, (positions, outputs), and what spiked.

        Shapes
        ------
        x: (positions, rows) integers, positions sample by sample, the same number for each

        Raises
        ------
        LayoutError, ConfigError
            As `DenseMatrix.read`.
        """
        sums, _ = self.dense.read(x, n_samples, fidelity)
        steps = len(self.dense.slices) * (len(x) // max(1, n_samples))
        every = self.mapping.pieces.unskipped(n_samples, steps, self.dense.adc.width)
        ones = count_ones(np.asarray(x), self.dense.inputs)
        spikes = ones * self.mapping.reads_of_row
        events = every.events.to_dict()
        events["spike_silent"] = events.get("spike", 0) - spikes
        events["spike"] = spikes
        events["spike_cell"] = ones * self.mapping.dense.n_columns
        return sums, ReadCounts(Counts(**events), every.cycles)

    def partial_sums(self, x: npt.NDArray[Any]) -> tuple[Ints, int]:
        """Return how often each count occurs before its counter, and the smallest one."""
        return self.dense.partial_sums(x)


@dataclass(frozen=True, slots=True)
class SpikeLayout:
    """Every weight has its cells, as in the dense layout; every read is made."""

    keeps_columns_whole: ClassVar[bool] = True
    skips_unless: ClassVar[None] = None

    def lay(self, layer: LayerRecord, coding: NumberCoding) -> tuple[SpikeMapping, ...]:
        """Lay out the matrix of each conv group; all are of one size."""
        dense = DenseLayout(row_blocks="array", zero_skip="none").lay(layer, coding)
        return tuple(map(SpikeMapping, dense))


def count_ones(codes: npt.NDArray[Any], inputs: InputCoding) -> int:
    """Return the bits of 1 that are driven for codes, which may be of fewer bits than are driven.

    The sign of a signed code goes on through all bits that it lacks.
    """
    unsigned = np.dtype(f"u{codes.dtype.itemsize}")
    held = codes.view(unsigned) & unsigned.type((1 << inputs.width) - 1)
    ones = int(np.bitwise_count(held).sum(dtype=np.int64))
    negative = int(np.count_nonzero(codes < 0)) if inputs.signed else 0
    return ones + negative * (inputs.bits - inputs.width)
