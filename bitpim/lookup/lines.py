"""Wires of a CAM: search lines that are driven, match lines that are read."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.errors import OutOfMemoryError
from bitpim_kernels.layout import words_for

__all__ = ["GrowingLists", "MatchLists", "SearchLines", "ends_of_lines", "need_room", "top_mask"]

Indices = npt.NDArray[np.int64]
Packed = npt.NDArray[np.uint64]

MOST_MATCHES = 1 << 28
"""Matches that one search may list: 2 GiB of row numbers."""

_READ_MATCHES = 1 << 21  # matches that are read at a time


def top_mask(n_bits: int, top_bits: int) -> Packed:
    """Return a packed word whose ones are the highest bits.

    Shapes
    ------
    returns: (words_for(n_bits),)
    """
    lowest = n_bits - top_bits
    ones = ((1 << n_bits) - 1) >> lowest << lowest
    words = [(ones >> first) & 0xFFFFFFFFFFFFFFFF for first in range(0, n_bits, 64)]
    return np.array(words, np.uint64).reshape(words_for(n_bits))


class SearchLines:
    """The search lines of all columns: each pair drives a 0, a 1, or nothing.

    What they hold stays on them until the next query, so that it is known which of them change.
    """

    def __init__(self) -> None:
        self._held: tuple[Packed, Packed] | None = None

    def copy(self) -> "SearchLines":
        """Return lines in the same state, that can be driven without changing these."""
        lines = SearchLines()
        lines._held = self._held
        return lines

    def drive(self, bits: Packed, care: Packed) -> int:
        """Drive queries one after the other; return in how many columns lines changed in all.

        The first query of all changes none.

        Shapes
        ------
        bits, care: (n, words_for(n_bits)); bits are 0 where there is no care
        """
        if not len(bits):
            return 0
        changed = 0
        if self._held is not None:
            changed = _n_changes(bits[:1], care[:1], self._held[0], self._held[1])
        changed += _n_changes(bits[1:], care[1:], bits[:-1], care[:-1])
        self._held = (bits[-1].copy(), care[-1].copy())
        return changed


def _n_changes(bits: Packed, care: Packed, old_bits: Packed, old_care: Packed) -> int:
    changes = (bits ^ old_bits) | (care ^ old_care)
    return int(np.bitwise_count(changes).sum(dtype=np.int64))


@dataclass(frozen=True, slots=True)
class MatchLists:
    """Rows of several queries, one list a query, ascending.

    Shapes
    ------
    lengths: (n_queries,)
    rows: (sum of lengths,)
    """

    lengths: Indices
    rows: Indices

    @classmethod
    def of_lines(cls, lines: Packed) -> "MatchLists":
        """Read match lines, one packed row of them a query."""
        lengths = np.bitwise_count(lines).sum(axis=1, dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        rows, first = np.empty(offsets[-1], np.int64), 0
        while first < len(lines):
            end = np.searchsorted(offsets, offsets[first] + _READ_MATCHES, "right")
            last = max(first + 1, int(end) - 1)
            rows[offsets[first] : offsets[last]] = _rows_of(lines[first:last])
            first = last
        return cls(lengths, rows)

    @classmethod
    def joined(cls, parts: "list[MatchLists]") -> "MatchLists":
        """Return the lists of blocks of queries as one."""
        none = np.zeros(0, np.int64)
        return cls(
            np.concatenate([none, *(part.lengths for part in parts)]),
            np.concatenate([none, *(part.rows for part in parts)]),
        )

    @property
    def offsets(self) -> Indices:
        """Where each list begins, and where the last one ends."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])


class GrowingLists:
    """Lists of matches that grow as queries are answered, up to what memory is meant to hold."""

    def __init__(self, n_queries: int) -> None:
        self._n_queries = n_queries
        self._parts: list[MatchLists] = []
        self._done = self._n_matches = 0

    def need(self, n_matches: int, n_queries: int) -> None:
        """Refuse the lists of the next queries, before they are made, where they are too long.

        Raises
        ------
        OutOfMemoryError
            There would be more than `MOST_MATCHES`.
        """
        need_room(self._n_matches + n_matches, self._done + n_queries, self._n_queries)

    def take(self, part: MatchLists) -> None:
        """Take the lists of the next queries."""
        self.need(len(part.rows), len(part.lengths))
        self._parts.append(part)
        self._done += len(part.lengths)
        self._n_matches += len(part.rows)

    def take_lines(self, lines: Packed) -> None:
        """Take the match lines of the next queries."""
        self.need(int(np.bitwise_count(lines).sum(dtype=np.int64)), len(lines))
        self.take(MatchLists.of_lines(lines))

    def joined(self) -> MatchLists:
        """Return all lists as one."""
        return MatchLists.joined(self._parts)


def _rows_of(lines: Packed) -> Indices:
    """Return the rows of all match lines that are one, query by query."""
    query, word = np.nonzero(lines)
    found = lines[query, word].astype("<u8")[:, None]
    bits = np.unpackbits(found.view(np.uint8), axis=1, bitorder="little")
    which, bit = np.nonzero(bits)
    rows: Indices = word[which] * 64 + bit
    return rows


def ends_of_lines(lines: Packed, highest: bool = False) -> Indices:
    """Return the lowest, or highest, row whose match line is one; -1 where none is.

    Shapes
    ------
    lines: (n_queries, words_for(n_rows)), one word or more
    returns: (n_queries,)
    """
    is_some = lines != 0
    word = np.argmax(is_some[:, ::-1] if highest else is_some, axis=1)
    word = lines.shape[1] - 1 - word if highest else word
    held = lines[np.arange(len(lines)), word]
    if highest:  # ones from the highest one down, then their number less one
        for shift in (1, 2, 4, 8, 16, 32):
            held |= held >> np.uint64(shift)
        bit = np.bitwise_count(held).astype(np.int64) - 1
    else:
        bit = np.bitwise_count(~held & (held - np.uint64(1))).astype(np.int64)
    return np.where(held != 0, word * 64 + bit, -1).astype(np.int64)


def need_room(n_matches: int, done: int, n_queries: int) -> None:
    """Refuse to list more matches than memory is meant to hold.

    Raises
    ------
    OutOfMemoryError
        There are more than `MOST_MATCHES`.
    """
    if n_matches > MOST_MATCHES:
        raise OutOfMemoryError(
            f"search: need {MOST_MATCHES:,} matches or fewer to list, got {n_matches:,} for "
            f"{done:,} of {n_queries:,} queries; search fewer queries at a time, or list fewer "
            "rows of each"
        )
