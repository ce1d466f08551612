"""Cells of a content-addressable memory as pairs of pull-downs, and those that are faulty.

A cell discharges its match line as its bit of the query is driven: ``on_zero`` says whether by a 0,
``on_one`` whether by a 1. A stored 0 is (0, 1), a stored 1 is (1, 0), a don't-care (0, 0); so is a
cell that is stuck at match, and one stuck at mismatch is (1, 1). A bit of the query without care
drives neither search line and discharges nothing.

Source: ternary cells with two pull-downs; standard. Which faults there are is assumed.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError, LayoutError
from bitpim.lookup.words import CamWords
from bitpim_kernels.layout import pack, tail_mask, to_planes, words_for

__all__ = ["CellFaults", "Cells"]

Packed = npt.NDArray[np.uint64]

_BLOCK_CELLS = 1 << 22  # drawn at a time; what is drawn does not depend on it


@dataclass(frozen=True, slots=True, eq=False)
class CellFaults:
    """Which cells of a CAM are stuck; a cell is stuck at one of both at most.

    Attributes
    ----------
    stuck_match : one where the cell never discharges its match line
    stuck_mismatch : one where it discharges whatever is driven
    n_bits : bits of a word
    drawn : rates and seed, where the faults were drawn

    Shapes
    ------
    stuck_match, stuck_mismatch: (n_rows, words_for(n_bits)) uint64

    Raises
    ------
    LayoutError
        Shapes or dtypes are others, bits lie beyond the width, or a cell is stuck at both.
    """

    stuck_match: Packed
    stuck_mismatch: Packed
    n_bits: int
    drawn: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        need = (len(self.stuck_match), words_for(self.n_bits))
        for name, mask in (("match", self.stuck_match), ("mismatch", self.stuck_mismatch)):
            if mask.shape != need or mask.dtype != np.uint64:
                raise LayoutError(
                    f"cell faults: need stuck_{name} {need} uint64 for {self.n_bits} bits, got "
                    f"{mask.shape} {mask.dtype}"
                )
            if np.any(mask[:, -1] & ~tail_mask(self.n_bits)):
                raise LayoutError(
                    f"cell faults: need zeros beyond bit {self.n_bits - 1} in stuck_{name}, got "
                    "ones"
                )
        both = self.stuck_match & self.stuck_mismatch
        if np.any(both):
            row, word = (int(found[0]) for found in np.nonzero(both))
            bit = 64 * word + _lowest_bit(int(both[row, word]))
            raise LayoutError(
                f"cell faults: need a cell stuck at match or at mismatch, got both in row {row}, "
                f"bit {bit}"
            )

    @classmethod
    def from_masks(
        cls,
        stuck_match: npt.ArrayLike | None = None,
        stuck_mismatch: npt.ArrayLike | None = None,
    ) -> "CellFaults":
        """Take masks of 0 and 1, a word a row, bit 0 first; none given is none stuck.

        Shapes
        ------
        stuck_match, stuck_mismatch: (n_rows, n_bits)
        """
        given = [np.asarray(m) for m in (stuck_match, stuck_mismatch) if m is not None]
        if not given or any(m.ndim != 2 or m.shape != given[0].shape for m in given):
            raise LayoutError(
                "cell faults: need masks (n_rows, n_bits), one or both, got "
                f"{', '.join(str(m.shape) for m in given) or 'none'}"
            )
        shape = given[0].shape
        masks = [
            pack(np.zeros(shape, np.uint8) if m is None else m)
            for m in (stuck_match, stuck_mismatch)
        ]
        return cls(masks[0], masks[1], shape[1])

    @classmethod
    def draw(
        cls,
        n_rows: int,
        n_bits: int,
        *,
        stuck_match: float = 0.0,
        stuck_mismatch: float = 0.0,
        seed: int = 0,
    ) -> "CellFaults":
        """Draw faults, each cell for itself; the same seed draws the same.

        Parameters
        ----------
        stuck_match, stuck_mismatch
            Share of the cells that are stuck so, to be expected.

        Raises
        ------
        ConfigError
            A share is none, their sum is above 1, or sizes or seed are out of range.
        """
        if n_rows < 1 or n_bits < 1 or seed < 0:
            raise ConfigError(
                "cell faults: need 1 row or more, 1 bit or more and a seed of 0 or more, got "
                f"{n_rows} rows, {n_bits} bits, seed {seed}"
            )
        if not (stuck_match >= 0 and stuck_mismatch >= 0 and stuck_match + stuck_mismatch <= 1):
            raise ConfigError(
                "cell faults: need shares of 0 or more with a sum of 1 or less, got stuck_match "
                f"{stuck_match}, stuck_mismatch {stuck_mismatch}"
            )
        rng = np.random.default_rng(seed)
        masks = np.zeros((2, n_rows, words_for(n_bits)), np.uint64)
        step = max(1, _BLOCK_CELLS // n_bits)
        for first in range(0, n_rows, step):
            rows = slice(first, min(n_rows, first + step))
            drawn = rng.random((rows.stop - rows.start, n_bits))
            masks[0, rows] = pack(drawn < stuck_match)
            in_second = (drawn >= stuck_match) & (drawn < stuck_match + stuck_mismatch)
            masks[1, rows] = pack(in_second)
        rates = {"stuck_match_rate": stuck_match, "stuck_mismatch_rate": stuck_mismatch}
        return cls(masks[0], masks[1], n_bits, {**rates, "seed": seed})

    @property
    def n_rows(self) -> int:
        """Rows of the CAM that these faults are of."""
        return len(self.stuck_match)

    def to_dict(self) -> dict[str, Any]:
        """Return how many cells are stuck, and how they were drawn."""
        return {
            "stuck_match": int(np.bitwise_count(self.stuck_match).sum()),
            "stuck_mismatch": int(np.bitwise_count(self.stuck_mismatch).sum()),
            **self.drawn,
        }


class Cells:
    """All cells of a CAM, by row and by column.

    Attributes
    ----------
    on_zero, on_one : by row, whether a driven 0, a driven 1 discharges each cell

    Shapes
    ------
    on_zero, on_one: (n_rows, words_for(n_bits))
    """

    def __init__(self, words: CamWords, faults: CellFaults | None) -> None:
        self.n_rows, self.n_bits = len(words), words.n_bits
        self.on_zero, self.on_one = words.bits, words.care & ~words.bits
        if faults is not None:
            works, stuck = ~faults.stuck_match, faults.stuck_mismatch
            self.on_zero = (self.on_zero & works) | stuck
            self.on_one = (self.on_one & works) | stuck
        self._planes = cache(self._columns)

    def miss(self, highest_first: bool = False) -> Packed:
        """Return the cells by column, as kernels take them; rows reversed where asked for.

        Shapes
        ------
        returns: (2, n_bits, words_for(n_rows))
        """
        return self._planes(highest_first)

    def _columns(self, reversed_rows: bool) -> Packed:
        out = np.empty((2, self.n_bits, words_for(self.n_rows)), np.uint64)
        for side, rows in enumerate((self.on_zero, self.on_one)):
            for word, first in enumerate(range(0, self.n_bits, 64)):
                column = rows[::-1, word] if reversed_rows else rows[:, word]
                n = min(64, self.n_bits - first)
                out[side, first : first + n] = to_planes(np.ascontiguousarray(column), n)
        return out

    def distances(self, bits: Packed, care: Packed, rows: npt.NDArray[np.int64]) -> Any:
        """Return how many cells of one row each query discharges.

        Shapes
        ------
        bits, care: (n, words_for(n_bits))
        rows: (n,)
        """
        falls = (bits & self.on_one[rows]) | (~bits & self.on_zero[rows])
        return np.bitwise_count(falls & care).sum(axis=1, dtype=np.int64)


def _lowest_bit(word: int) -> int:
    return (word & -word).bit_length() - 1
