"""Rows of bits that an array computes on: a lane a bit, packed, in chunks that kernels can take.

What arrays of row-wise logic have in common: where their bits lie, and how rows and the numbers
that lie across them are written and read from outside. It counts nothing; an array does.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import ArrayBoundsError, LayoutError
from bitpim.programs.program import Field
from bitpim_kernels.bitline import aligned_rows
from bitpim_kernels.chunk import CHUNK_WORDS
from bitpim_kernels.layout import from_planes, pack, tail_mask, to_planes, unpack, words_for

__all__ = ["PackedRows"]

Words = npt.NDArray[np.uint64]


class PackedRows:
    """`n_rows` rows of `n_lanes` bits, all zero at first, and rows beyond them of no address.

    Parameters
    ----------
    n_rows, n_lanes : rows that have an address, and bits of each
    n_latches : rows after the last that only the array itself knows
    row, lane : what messages call a row and a lane of this array

    Attributes
    ----------
    stored : all of them as kernels take them, whole chunks of words
    packed : a view of the rows that have an address, (n_rows, words)
    """

    def __init__(
        self, n_rows: int, n_lanes: int, *, n_latches: int = 0, row: str = "row", lane: str = "lane"
    ) -> None:
        self.n_rows = n_rows
        self.n_lanes = n_lanes
        self._row, self._lane = row, lane
        n_words = words_for(n_lanes)
        # an odd number of chunks, so that the rows of a chunk spread over all cache sets
        n_stored = CHUNK_WORDS * (-(-n_words // CHUNK_WORDS) | 1)
        self.stored: Words = aligned_rows(n_rows + n_latches, n_stored)
        self.stored[:] = 0
        self.packed = self.stored[:n_rows, :n_words]

    @property
    def latches(self) -> Words:
        """A view of the rows of no address, (n_latches, words)."""
        return self.stored[self.n_rows :, : self.n_words]

    @property
    def n_words(self) -> int:
        """Words of a row that hold lanes."""
        return int(self.packed.shape[1])

    def write(self, start: int, rows: npt.NDArray[Any], where: str) -> int:
        """Write neighbouring rows from `start`, packed words or 0/1 a lane; return how many.

        Shapes
        ------
        rows: (n, words) uint64, or (n, n_lanes) of 0 and 1 in another dtype

        Raises
        ------
        ArrayBoundsError
            Rows or lanes lie outside the array.
        LayoutError
            Packed rows have padding that is not zero, others a bit that is no 0 or 1.
        """
        is_packed = rows.dtype == np.uint64
        need = self.n_words if is_packed else self.n_lanes
        if rows.ndim != 2 or rows.shape[1] != need:
            raise ArrayBoundsError(
                f"{where}: need {'packed rows' if is_packed else 'bits'} (n, {need}) for "
                f"{self.n_lanes} {self._lane}s, got {rows.shape}"
            )
        self.check(start, len(rows), where)
        packed = rows if is_packed else pack(rows)
        if np.any(packed[:, -1] & ~tail_mask(self.n_lanes)):
            raise LayoutError(
                f"{where}: need zero padding beyond {self._lane} {self.n_lanes - 1}, got ones"
            )
        self.packed[start : start + len(rows)] = packed
        return len(rows)

    def read(self, start: int, n: int, where: str, *, packed: bool = False) -> npt.NDArray[Any]:
        """Return neighbouring rows as 0/1 a lane, (n, n_lanes) uint8, or packed (n, words).

        Raises
        ------
        ArrayBoundsError
            Rows lie outside the array.
        """
        self.check(start, n, where)
        rows = self.packed[start : start + n]
        return rows.copy() if packed else unpack(rows, self.n_lanes)

    def write_codes(self, field: Field, codes: npt.ArrayLike, where: str) -> None:
        """Write one number a lane across the rows of a field.

        Shapes
        ------
        codes: (n_lanes,) integers

        Raises
        ------
        ArrayBoundsError
            The field lies outside the array, or there is not one integer a lane.
        LayoutError
            A code does not fit the field, unsigned or in two's complement.
        """
        values = np.asarray(codes)
        self.check(field.start, field.width, where)
        if values.shape != (self.n_lanes,) or values.dtype.kind not in "iu":
            raise ArrayBoundsError(
                f"{where}: need ({self.n_lanes},) integers, got {values.shape} {values.dtype}"
            )
        self.packed[field.start : field.stop] = to_planes(values, field.width)

    def read_codes(self, field: Field, where: str, *, signed: bool) -> npt.NDArray[np.int64]:
        """Return the number in each lane of a field, (n_lanes,) int64.

        Raises
        ------
        ArrayBoundsError
            The field lies outside the array.
        LayoutError
            The field is wider than int64 holds.
        """
        self.check(field.start, field.width, where)
        planes = self.packed[field.start : field.stop]
        codes: npt.NDArray[np.int64] = from_planes(planes, self.n_lanes, signed, np.int64)
        return codes

    def check(self, start: int, n: int, where: str) -> None:
        """Raise unless `n` rows from `start` have an address.

        Raises
        ------
        ArrayBoundsError
            They lie outside the array.
        """
        if start < 0 or n < 0 or start + n > self.n_rows:
            raise ArrayBoundsError(
                f"{where}: need {self._row}s within 0..{self.n_rows - 1}, got "
                f"{start}..{start + n - 1}"
            )

    def clear_padding(self) -> None:
        """Zero what a kernel may have lit beyond the last lane."""
        self.stored[:, self.n_words - 1] &= tail_mask(self.n_lanes)
        self.stored[:, self.n_words :] = 0
