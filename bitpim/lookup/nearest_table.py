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
    encode_abs,
    nearest_abs,
    nearest_staged,
    nearest_xor,
    ordered,
    xor_tree,
)

__all__ = ["MATCH_MODES", "MOST_BITS", "Found", "NearestTable", "apart", "width_of"]

MATCH_MODES: Final = ("abs", "wxor", "staged")
"""Least difference; least sum of weights of bits that differ; least difference stage by stage."""

Bits = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

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


def apart(a: Numbers, b: Numbers | np.uint64, low: int, width: int) -> Numbers:
    """Return how far numbers are apart in `width` bits from bit `low` on."""
    mask = np.uint64((1 << width) - 1)
    a, b = (a >> np.uint64(low)) & mask, (b >> np.uint64(low)) & mask
    return np.maximum(a, b) - np.minimum(a, b)


class NearestTable:
    """Stored numbers, one a row, and how the nearest is found.

    Parameters
    ----------
    values : signed numbers, no two equal, (n_rows,)
    width : bits of a word; all numbers and queries fit, at most 64
    mode, stage_bits : of `MATCH_MODES`; bits that a stage compares

    Attributes
    ----------
    values : the stored numbers

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
        self.values, self.n_rows, self.width, self.mode = values, len(values), width, mode
        self.stage_bits = min(stage_bits, width)
        words = self._stored = self.words(values)
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
        self._need_fitting(queries)
        words = self.words(queries).reshape(-1)
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
        stages = 1 if self.mode == "staged" else self.n_stages
        compared = words.size * self.n_rows * stages + sum(standing)
        return Found(rows.reshape(queries.shape), compared)

    def encode(self, numbers: Ints, up: int, limits: tuple[int, int] | None, dtype: Any) -> Found:
        """Return what `find` does of numbers shifted up and limited, with rows of another type.

        Raises
        ------
        AccumulatorError
            As in `find`.
        """
        if self.mode != "abs" or self.width == MOST_BITS:
            queries = numbers << up if up else numbers
            if limits is not None:
                queries = np.clip(queries, *limits)
            found = self.find(np.ascontiguousarray(queries))
            return found._replace(rows=found.rows.astype(dtype))
        offset = 1 << (self.width - 1)
        ends = (-offset, offset - 1) if limits is None else limits
        if limits is None:
            self._need_fitting(numbers, up)
        flat = np.ascontiguousarray(numbers).reshape(-1)
        rows = np.empty(flat.shape, dtype)

        def search(start: int, stop: int) -> None:
            encode_abs(self._breaks, flat[start:stop], up, ends, offset, rows[start:stop])

        share_out(flat.size, search)
        return Found(rows.reshape(numbers.shape), flat.size * self.n_rows * self.n_stages)

    def _need_fitting(self, queries: Ints, up: int = 0) -> None:
        if queries.size and width_of(queries) + up > self.width:
            raise AccumulatorError(
                f"nearest match: need queries of {self.width} bits, got one of "
                f"{width_of(queries) + up}; use wider sums"
            )

    def words(self, numbers: Ints) -> Numbers:
        """Return numbers as they are searched for: offset binary."""
        offset = np.uint64(1 << (self.width - 1))
        mask = np.uint64((1 << self.width) - 1)
        words: Numbers = (numbers.view(np.uint64) + offset) & mask
        return words

    def standing(self, up: Bits, word: np.uint64, stage: int, held: Ints | None = None) -> Bits:
        """Return which match lines of those that are up stay so in a stage, the first being 0.

        Where whole words are compared no line falls before the last stage.

        Parameters
        ----------
        held : which of the stored numbers each line's row holds, where they are not all in order

        Shapes
        ------
        up, held, returns: (n_lines,) at least one is up; as many as there are rows without `held`
        """
        stored = self._stored if held is None else self._stored[held]
        if self.mode == "staged":
            high = self.width - stage * self.stage_bits
            low = max(0, high - self.stage_bits)
            distances = apart(stored, word, low, high - low)
        elif stage < self.n_stages - 1:
            return up
        elif self.mode == "wxor":
            distances = stored ^ word
        else:
            distances = apart(stored, word, 0, self.width)
        stands: Bits = up & (distances == distances[up].min())
        return stands
