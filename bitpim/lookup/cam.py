"""The array `cam`: a memory that is asked which of its rows are like a word.

All rows compare themselves with the query at once. Which rows a search is after is said by its
kind (`searches`); what comes back is `Answers`. Every search counts what the hardware does; looking
at the array counts nothing. CAM.md describes cells, searches and counts.

Source: ternary content-addressable memories in common; the nearest-distance searches of RAPIDNN's
NDCAM. What is assumed stands in CAM.md.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from bitpim.counts import Counts
from bitpim.errors import ConfigError, LayoutError
from bitpim.lookup.answers import Answers
from bitpim.lookup.cells import CellFaults, Cells
from bitpim.lookup.lines import SearchLines, top_mask
from bitpim.lookup.matching import find_in_ranges, find_matches
from bitpim.lookup.search_run import Found, SearchRun, Told
from bitpim.lookup.searches import SearchKind, checked_options, search_kind
from bitpim.lookup.winners import find_best, find_nearest
from bitpim.lookup.words import CamWords

__all__ = ["Cam"]

_FINDERS: Final[Mapping[str, Callable[[SearchRun], Found]]] = MappingProxyType(
    {
        "exact": find_matches,
        "ternary": find_matches,
        "prefix": find_matches,
        "threshold": find_matches,
        "best": find_best,
        "weighted": find_best,
        "nearest": find_nearest,
        "range": find_in_ranges,
    }
)
_NEED_WORDS: Final = "need to be CamWords, got "
_MAKERS: Final = "CamWords.from_text and its kin make them"


class Cam:
    """A content-addressable memory.

    Parameters
    ----------
    words
        What its rows hold.
    faults
        Cells that are stuck; None for a memory that is whole.
    n_threads
        Threads over which queries are shared; all that this process may use when None.

    Raises
    ------
    ConfigError
        Words are no CamWords, or threads fewer than one.
    LayoutError
        There is no row, or the faults are those of a memory of another size.

    Examples
    --------
    >>> from bitpim.lookup.cam import Cam
    >>> from bitpim.lookup.words import CamWords
    >>> cam = Cam(CamWords.from_text(["1000", "0000"]))
    >>> cam.search(CamWords.from_text(["0111"]), "nearest").rows.tolist()
    [[0]]
    """

    def __init__(
        self, words: CamWords, *, faults: CellFaults | None = None, n_threads: int | None = None
    ) -> None:
        if not isinstance(words, CamWords):
            raise ConfigError(f"CAM: words {_NEED_WORDS}{type(words).__name__}; {_MAKERS}")
        if not len(words):
            raise LayoutError("CAM: need one row or more, got none; store a word")
        if faults is not None and (faults.n_rows, faults.n_bits) != (len(words), words.n_bits):
            raise LayoutError(
                f"CAM: need faults of {len(words)} rows of {words.n_bits} bits, as stored, got "
                f"{faults.n_rows} rows of {faults.n_bits} bits"
            )
        if n_threads is not None and n_threads < 1:
            raise ConfigError(f"CAM: need one thread or more, got {n_threads}")
        self.words = words
        self.faults = faults
        self._n_threads = n_threads
        self._cells = Cells(words, faults)
        self._lines = SearchLines()
        self._counts = Counts()

    def rewritten(self, words: CamWords) -> "Cam":
        """Return the memory with other words in it; its search lines and counts stay as they are.

        Raises
        ------
        LayoutError
            There is no row, or faults are those of a memory of another size.
        """
        made = Cam(words, faults=self.faults, n_threads=self._n_threads)
        made._lines, made._counts = self._lines.copy(), self._counts
        return made

    def precharge(self, query: CamWords, top_bits: int | None = None) -> None:
        """Begin a search for the nearest number whose stages are taken by whoever asks.

        The query goes onto the search lines of its highest bits, all of them unless told. This
        counts the search and the lines that change; stages count for themselves.

        Raises
        ------
        LayoutError
            Words are of another width, too wide, or have don't-cares.
        """
        self._check_words(search_kind("nearest"), query, {})
        mask = top_mask(self.n_bits, self.n_bits if top_bits is None else top_bits)
        self._lines = self._lines.copy()
        toggles = self._lines.drive(query.bits & mask, query.care & mask)
        self._counts = self._counts + Counts(cam_search=len(query), cam_toggle=toggles)

    @property
    def n_rows(self) -> int:
        """Rows of the memory."""
        return len(self.words)

    @property
    def n_bits(self) -> int:
        """Bits of a row."""
        return self.words.n_bits

    @property
    def counts(self) -> Counts:
        """What all searches took so far."""
        return self._counts

    def search(
        self, queries: CamWords, kind: str, *, on_progress: Told | None = None, **options: Any
    ) -> Answers:
        """Search for each query, one after the other.

        Parameters
        ----------
        queries
            Words of the width of the rows; none is fine.
        kind
            Name of a record of `searches.SEARCHES`.
        on_progress
            Told queries done and queries in all, block by block.
        options
            Those of the kind; `searches.OPTIONS` says what each is.

        Raises
        ------
        ConfigError
            The kind or an option is unknown, or an option has a value it does not take.
        LayoutError
            Words are of another width or number, or have don't-cares where none are allowed.
        OutOfMemoryError
            There are too many matches to list.
        """
        record = search_kind(kind)
        checked = checked_options(record, options, self.n_rows, self.n_bits)
        self._check_words(record, queries, checked)
        run = SearchRun(
            self._cells,
            self.words,
            queries,
            checked,
            self._lines.copy(),
            self.faults is not None,
            self._n_threads,
            on_progress,
        )
        found = _FINDERS[kind](run)
        counts = run.tally.counts()
        self._lines, self._counts = run.lines, self._counts + counts
        stated = {name: value for name, value in checked.items() if name != "high"}
        if self.faults is not None:
            stated["faults"] = self.faults.to_dict()
        return Answers(
            kind=kind,
            options=stated,
            rows=found.rows,
            distances=found.distances,
            n_matches=found.n_matches,
            counts=counts,
            n_rows=self.n_rows,
            n_bits=self.n_bits,
            offsets=None if found.lists is None else found.lists.offsets,
            matches=None if found.lists is None else found.lists.rows,
        )

    def _check_words(self, kind: SearchKind, queries: CamWords, options: Mapping[str, Any]) -> None:
        """Refuse words that this kind of search, or this memory, cannot take."""
        if kind.max_bits is not None and self.n_bits > kind.max_bits:
            raise LayoutError(
                f"search {kind.name}: need words of {kind.max_bits} bits or fewer, got "
                f"{self.n_bits}; take search weighted or best"
            )
        given = {"queries": queries}
        if "high" in options:
            given["high"] = options["high"]
        for name, words in given.items():
            if not isinstance(words, CamWords):
                raise ConfigError(
                    f"search {kind.name}: {name} {_NEED_WORDS}{type(words).__name__}; {_MAKERS}"
                )
            if words.n_bits != self.n_bits:
                raise LayoutError(
                    f"search {kind.name}: need {name} of {self.n_bits} bits, as the rows, got "
                    f"{words.n_bits} bits"
                )
            if len(words) != len(queries):
                raise LayoutError(
                    f"search {kind.name}: need {len(queries)} words of high, one a query, got "
                    f"{len(words)}"
                )
            if not kind.query_dont_cares:
                _need_care(kind, words, "query" if name == "queries" else name)
        if not kind.stored_dont_cares:
            _need_care(kind, self.words, "row")


def _need_care(kind: SearchKind, words: CamWords, name: str) -> None:
    """Refuse words with don't-cares; name the first."""
    if not words.n_dont_cares:
        return
    full = CamWords.from_packed(np.zeros_like(words.care[:1]), words.n_bits).care
    free = words.care ^ full
    row, word = (int(found[0]) for found in np.nonzero(free))
    bit = 64 * word + (int(free[row, word]) & -int(free[row, word])).bit_length() - 1
    raise LayoutError(
        f"search {kind.name}: need a 0 or 1 in every cell, got a don't-care in {name} {row}, bit "
        f"{bit}; {kind.without_care}"
    )
