"""One search under way: what it is made with, its blocks of queries, and what it took so far."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.lookup.cells import Cells
from bitpim.lookup.lines import MatchLists, SearchLines, top_mask
from bitpim.lookup.words import CamWords
from bitpim.threads import share_out
from bitpim_kernels.layout import words_for
from bitpim_kernels.match import first_matches

__all__ = ["Found", "SearchRun", "Told"]

Indices = npt.NDArray[np.int64]
Packed = npt.NDArray[np.uint64]
Told = Callable[[int, int], None]

_BLOCK_COMPARES = 1 << 30  # rows looked at for a block of queries: a second or two
_BLOCK_WORDS = 1 << 23  # match lines of a block: 64 MiB


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found; see `Answers`."""

    rows: Indices
    distances: npt.NDArray[Any] | None
    n_matches: Indices
    lists: MatchLists | None = None


@dataclass(slots=True)
class Tally:
    """What a search took so far, as Python integers."""

    searches: int = 0
    stages: int = 0
    rows: int = 0
    survivors: int = 0
    discharges: int = 0
    toggles: int = 0

    def counts(self) -> Counts:
        """Return it as events."""
        return Counts(
            cam_search=self.searches,
            cam_stage=self.stages,
            cam_row=self.rows,
            cam_survivor=self.survivors,
            cam_discharge=self.discharges,
            cam_toggle=self.toggles,
        )


@dataclass(slots=True)
class SearchRun:
    """One search under way.

    Attributes
    ----------
    mask : one where a column is driven at all; set by kinds that leave columns out
    """

    cells: Cells
    words: CamWords
    queries: CamWords
    options: Mapping[str, Any]
    lines: SearchLines
    has_faults: bool
    n_threads: int | None = None
    on_progress: Told | None = None
    tally: Tally = field(default_factory=Tally)
    mask: Packed | None = None

    def __post_init__(self) -> None:
        if "top_bits" in self.options:
            self.mask = top_mask(self.n_bits, self.options["top_bits"])

    @property
    def n_rows(self) -> int:
        """Rows of the CAM."""
        return self.cells.n_rows

    @property
    def n_bits(self) -> int:
        """Bits of a word."""
        return self.cells.n_bits

    @property
    def is_highest(self) -> bool:
        """Whether the highest row wins among rows alike."""
        return bool(self.options["ties"] == "highest")

    def weights_of_one(self) -> Indices:
        """Return weights by which every bit counts 1."""
        return np.ones(self.n_bits, np.int64)

    def row_of(self, rows: Indices) -> Indices:
        """Return rows as they are numbered, from those of the reversed cells where ties ask so."""
        if not self.is_highest:
            return rows
        return np.where(rows < 0, rows, self.n_rows - 1 - rows)

    def blocks(self, n_compares: int, n_lines: int = 0) -> Iterator[slice]:
        """Yield blocks of queries, and tell how far the search is after each.

        A query looks at `n_compares` rows, and has `n_lines` rows of match lines in memory.
        """
        n = len(self.queries)
        step = max(1, _BLOCK_COMPARES // n_compares)
        if n_lines:
            step = max(1, min(step, _BLOCK_WORDS // (n_lines * words_for(self.n_rows))))
        for first in range(0, n, step):
            last = min(n, first + step)
            yield slice(first, last)
            if self.on_progress is not None:
                self.on_progress(last, n)

    def share(self, n: int, work: Callable[[slice], None]) -> None:
        """Do work on slices of n queries, one slice a thread."""
        share_out(n, lambda start, stop: work(slice(start, stop)), self.n_threads)

    def drive(self, block: slice, n_stages: int = 1) -> tuple[Packed, Packed]:
        """Put a block of queries on the search lines, count it, and return bits and care."""
        bits, care = self.queries.bits[block], self.queries.care[block]
        if self.mask is None:  # one form for kernels: they compile for each
            bits, care = (np.require(words, requirements=["C", "W"]) for words in (bits, care))
        else:
            bits, care = bits & self.mask, care & self.mask
        self.count(bits, care, n_stages)
        return bits, care

    def count(self, bits: Packed, care: Packed, n_stages: int = 1) -> None:
        """Count queries that are put to all rows; rows beyond the first stage are not known yet."""
        tally = self.tally
        tally.searches += len(bits)
        tally.stages += len(bits) * n_stages
        tally.rows += len(bits) * self.n_rows
        tally.toggles += self.lines.drive(bits, care)

    def first(self, bits: Packed, care: Packed) -> tuple[Indices, Indices]:
        """Return the first row that matches each query, -1 where none does, and how many do."""
        first, n_matches = (np.empty(len(bits), np.int64) for _ in range(2))
        miss, n_rows = self.cells.miss(self.is_highest), self.n_rows

        def work(part: slice) -> None:
            first_matches(miss, bits[part], care[part], n_rows, first[part], n_matches[part])

        self.share(len(bits), work)
        return self.row_of(first), n_matches

    def count_falls(self, bits: Packed, care: Packed, may_match: npt.NDArray[np.bool_]) -> None:
        """Count the match lines that fall, given the queries that some row may match whole."""
        n_whole = 0
        if np.any(may_match):
            n_whole = int(self.first(bits[may_match], care[may_match])[1].sum())
        self.tally.discharges += len(bits) * self.n_rows - n_whole
