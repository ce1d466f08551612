"""A memory that is searched for the number nearest to a query: activations, codebooks.

Numbers are signed integers of one fixed-point format; in the memory they are offset binary, so
that the order of words is the order of numbers.

Source: the three modes of RAPIDNN's nearest-distance CAM; papers on it state abs, the others are
what circuits would do (semantics derived).
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim.errors import AccumulatorError
from bitpim.threads import share_out
from bitpim_kernels.nearest import (
    breaks_of,
    nearest_abs,
    nearest_staged,
    nearest_xor,
    ordered,
    xor_tree,
)

__all__ = ["MATCH_MODES", "MOST_BITS", "Found", "NearestTable", "width_of"]

MATCH_MODES: Final = ("abs", "wxor", "staged")
"""Least difference; least sum of weights of bits that differ; least difference stage by stage."""

Ints = npt.NDArray[np.int64]

MOST_BITS: Final = 64
"""Width of the widest word."""


class Found(NamedTuple):
    """What a search found.

    Attributes
    ----------
    rows : of each query, in its shape
    rows_compared : rows precharged in all stages, over all queries
    """

    rows: Ints
    rows_compared: int


def width_of(*arrays: npt.NDArray[Any]) -> int:
    """Return the width of a signed word that holds all of some numbers."""
    ends = [int(end) for array in arrays if array.size for end in (array.min(), array.max())]
    return 1 + max((e if e >= 0 else ~e).bit_length() for e in [0, *ends])


class NearestTable:
    """Stored numbers, one a row, and how the nearest is found.

    Parameters
    ----------
    values : signed numbers, no two equal, (n_rows,)
    width : bits of a word; all numbers and queries fit, at most 64
    mode, stage_bits : of `MATCH_MODES`; bits that a stage compares

    Raises
    ------
    AccumulatorError
        A word would be wider than 64 bits, or does not hold a number.
    """

    def __init__(self, values: Ints, width: int, mode: str, stage_bits: int) -> None:
        need = width_of(values)
        if not need <= width <= MOST_BITS:
            raise AccumulatorError(
                f"nearest match: need words of {max(need, width)} bits at most {MOST_BITS}, got "
                f"{width}; use fewer fraction bits, or narrower sums"
            )
        self.n_rows, self.width, self.mode = len(values), width, mode
        self.stage_bits = min(stage_bits, width)
        words = self._words(values)
        self._breaks, self._tree, self._ordered = breaks_of(words), xor_tree(words), ordered(words)

    @property
    def n_stages(self) -> int:
        """Stages of a search."""
        return -(-self.width // self.stage_bits)

    def find(self, queries: Ints) -> Found:
        """Return the nearest row of each query; rows that a stage leaves are not compared again.

        Shapes
        ------
        queries: any

        Raises
        ------
        AccumulatorError
            A query does not fit the words.
        """
        if queries.size and width_of(queries) > self.width:
            raise AccumulatorError(
                f"nearest match: need queries of {self.width} bits, got one of "
                f"{width_of(queries)}; use wider sums"
            )
        words = self._words(queries).reshape(-1)
        rows, standing = np.empty(words.shape, np.int64), []

        def search(start: int, stop: int) -> None:
            part, out = words[start:stop], rows[start:stop]
            distances = np.empty(part.shape, np.uint64)
            if self.mode == "abs":
                nearest_abs(self._breaks, part, out, distances)
            elif self.mode == "wxor":
                nearest_xor(self._tree, part, out, distances)
            else:
                left, fell = (np.zeros(self.n_stages, np.int64) for _ in range(2))
                form = (self.width, self.stage_bits)
                nearest_staged(self._ordered, part, *form, out, distances, left, fell)
                standing.append(int(left[:-1].sum()))

        share_out(words.size, search)
        compared = words.size * self.n_rows
        compared = compared + sum(standing) if self.mode == "staged" else compared * self.n_stages
        return Found(rows.reshape(queries.shape), compared)

    def _words(self, numbers: Ints) -> npt.NDArray[np.uint64]:
        offset = np.uint64(1 << (self.width - 1))
        mask = np.uint64((1 << self.width) - 1)
        words: npt.NDArray[np.uint64] = (numbers.view(np.uint64) + offset) & mask
        return words
