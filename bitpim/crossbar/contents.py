"""What lies on one crossbar and how it is read: all that reading it literally takes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.events import CountedAs

__all__ = ["Contents", "LeftOut", "Patch"]

Ints = npt.NDArray[np.int64]

LeftOut = Literal["none", "bit_plane", "vector", "packed"]
"""Reads that inputs leave out. bit_plane: those whose input slice is zero in all rows of the unit.
vector: all reads of a unit whose inputs are zero in every slice. packed: a unit is the next rows
that have an input in the slice, so many at a time, and reads that none is left for are left out.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A rectangle of cells, and what of a matrix lies there; other cells share no read with it.

    Attributes
    ----------
    row, column : wordline and bitline of its corner
    rows : (height,) rows of the matrix, whose inputs its wordlines take
    columns : (width,) columns of the stored cells
    heights, widths : of its operation units, from the corner on; where rows are packed, the one
        height is that of all rows that units are packed from
    """

    row: int
    column: int
    rows: Ints
    columns: Ints
    heights: Ints
    widths: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """The patches of one crossbar in the order that they are read in, and what reads count as."""

    patches: tuple[Patch, ...]
    left_out: LeftOut
    counted_as: CountedAs = "ou"
