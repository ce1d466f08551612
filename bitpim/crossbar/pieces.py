"""What a matrix reads on its crossbars, piece by piece, and the counts that follow.

A piece is a set of rows of one crossbar that is opened together, with all columns that it meets
there. Plans and readers count from the same pieces, so a closed form and a run cannot drift apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import LayoutError

__all__ = ["ReadCounts", "ReadPieces", "busiest"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReadCounts:
    """What happened for a batch: events of all samples, and the time of each.

    `cycles[s]` are the reads of the busiest crossbar for sample s: crossbars work side by side, one
    operation unit a cycle, and meet after each sample.

    Shapes
    ------
    cycles: (n_samples,)
    """

    events: Counts
    cycles: Ints

    @classmethod
    def side_by_side(cls, parts: Sequence["ReadCounts"]) -> "ReadCounts":
        """Return the counts of crossbars that read the same samples at the same time."""
        cycles = np.stack([part.cycles for part in parts]).max(axis=0)
        return cls(sum((part.events for part in parts), start=Counts()), cycles)

    @classmethod
    def in_turn(cls, parts: Sequence["ReadCounts"]) -> "ReadCounts":
        """Return the counts of the same crossbars for samples that follow each other."""
        cycles = [np.zeros(0, np.int64), *(part.cycles for part in parts)]
        return cls(sum((part.events for part in parts), start=Counts()), np.concatenate(cycles))


def busiest(crossbars: Ints, reads: Iterable[Ints]) -> Ints:
    """Return the reads of the busiest crossbar, sample by sample; 0 where there is none.

    Shapes
    ------
    crossbars: (n,) the crossbar that each of n parts lies on
    reads: for each sample, (n,) reads of each part
    """
    order = np.argsort(crossbars, kind="stable")
    firsts = np.flatnonzero(np.diff(crossbars[order], prepend=-1))
    most = [np.add.reduceat(part[order], firsts).max(initial=0) for part in reads]
    return np.array(most, np.int64)


@dataclass(frozen=True, slots=True)
class ReadPieces:
    """The reads of one input slice of one position.

    Shapes
    ------
    all (n,), piece by piece
    sources: index of the set of rows that the piece opens; inputs make a source idle or not
    crossbars: index of the crossbar it lies on
    reads: reads of an operation unit
    rows: wordlines opened, over all these reads
    columns: columns converted, over all these reads
    cells: cells crossed, over all these reads: the sum of rows times columns of each
    """

    sources: Ints
    crossbars: Ints
    reads: Ints
    rows: Ints
    columns: Ints
    cells: Ints

    @property
    def n_sources(self) -> int:
        """Sets of rows."""
        return int(self.sources.max(initial=-1)) + 1

    @property
    def n_crossbars(self) -> int:
        """Crossbars in use."""
        return int(self.crossbars.max(initial=-1)) + 1

    def counts(self, done: Ints, skipped: Ints, adc_width: str) -> ReadCounts:
        """Return the counts when each source is read and skipped so often.

        Shapes
        ------
        done, skipped: (n_samples, n_sources) input slices and positions of each sample

        Raises
        ------
        LayoutError
            The two are not of one shape.
        """
        if done.shape != skipped.shape or done.ndim != 2 or done.shape[1] < self.n_sources:
            raise LayoutError(
                f"read pieces: need done and skipped (samples, {self.n_sources}), got "
                f"{done.shape} and {skipped.shape}"
            )
        times, left_out = done.sum(axis=0), skipped.sum(axis=0)

        def total(often: Ints, numbers: Ints) -> int:
            return int(often[self.sources] @ numbers)

        converted, opened = total(times, self.columns), total(times, self.rows)
        events = {
            "ou_activation": total(times, self.reads),
            "ou_skipped": total(left_out, self.reads),
            "ou_rows": opened,
            "ou_cols": converted,
            "ou_cells": total(times, self.cells),
            "dac_drive": opened,
            "shift_add": converted,
            f"adc_conv_{adc_width}": converted,
        }
        reads = (often[self.sources] * self.reads for often in done)
        return ReadCounts(Counts(**events), busiest(self.crossbars, reads))

    def unskipped(self, n_samples: int, n_times: int, adc_width: str) -> ReadCounts:
        """Return the counts when nothing is skipped; `n_times` slices and positions a sample."""
        done = np.full((1, self.n_sources), n_times, np.int64)
        one = self.counts(done, 0 * done, adc_width)
        return ReadCounts(one.events * n_samples, np.repeat(one.cycles, n_samples))

    @classmethod
    def dense(cls, blocks: list[Ints], columns: list[Ints]) -> Self:
        """Return the pieces of a matrix that is tiled over rows and columns of crossbars.

        Source b is row block b, counted through all arrays. Crossbars are numbered along a row of
        arrays first.

        Shapes
        ------
        blocks: for each row of arrays, the heights of its operation units
        columns: for each column of arrays, the widths of its operation units
        """
        heights = np.concatenate([np.zeros(0, np.int64), *blocks])
        at_row = np.repeat(np.arange(len(blocks)), [len(part) for part in blocks])
        n_units = np.array([len(part) for part in columns], np.int64)
        widths = np.array([part.sum() for part in columns], np.int64)
        n_sources, n_across = len(heights), len(columns)
        return cls(
            np.repeat(np.arange(n_sources), n_across),
            np.add.outer(at_row * n_across, np.arange(n_across)).ravel(),
            np.tile(n_units, n_sources),
            np.outer(heights, n_units).ravel(),
            np.tile(widths, n_sources),
            np.outer(heights, widths).ravel(),
        )
