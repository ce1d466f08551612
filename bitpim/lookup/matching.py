"""Searches that find all rows that match: exact, ternary, prefix, threshold, range."""

import numpy as np
import numpy.typing as npt

from bitpim.lookup.lines import GrowingLists, ends_of_lines
from bitpim.lookup.ranges import expand, need_ordered
from bitpim.lookup.search_run import Found, SearchRun
from bitpim.lookup.words import CamWords
from bitpim_kernels.layout import words_for
from bitpim_kernels.match import match_lines, within

__all__ = ["find_in_ranges", "find_matches"]

Indices = npt.NDArray[np.int64]
Packed = npt.NDArray[np.uint64]


class _Blocks:
    """What blocks of queries found, put together as they come."""

    def __init__(self, run: SearchRun) -> None:
        self.run, n = run, len(run.queries)
        self.rows = np.full((n, 1), -1, np.int64)
        self.n_matches = np.zeros(n, np.int64)
        self.lists = GrowingLists(n) if run.options["every"] else None

    def take_lines(self, block: slice, lines: Packed) -> None:
        """Read match lines of a block."""
        n_matches = np.bitwise_count(lines).sum(axis=1, dtype=np.int64)
        self.take(block, ends_of_lines(lines, self.run.is_highest), n_matches)
        if self.lists is not None:
            self.lists.take_lines(lines)

    def take(self, block: slice, first: Indices, n_matches: Indices) -> None:
        """Take the first row of each query, and how many match."""
        self.rows[block, 0], self.n_matches[block] = first, n_matches
        self.run.tally.survivors += int(n_matches.sum())

    def found(self, distances: Indices | None = None) -> Found:
        """Return all of it."""
        lists = None if self.lists is None else self.lists.joined()
        return Found(self.rows, distances, self.n_matches, lists)


def _lines_of(run: SearchRun, bits: Packed, care: Packed) -> Packed:
    """Return the match lines of queries: rows that differ in no bit.

    Shapes
    ------
    returns: (n_queries, words_for(n_rows))
    """
    out = np.empty((len(bits), words_for(run.n_rows)), np.uint64)
    miss = run.cells.miss()
    run.share(len(bits), lambda p: match_lines(miss, bits[p], care[p], run.n_rows, out[p]))
    return out


def lines_within(
    run: SearchRun, bits: Packed, care: Packed, weights: Indices, limits: Indices
) -> Packed:
    """Return which rows differ from each query by its limit of weight at most.

    Shapes
    ------
    returns: (n_queries, words_for(n_rows))
    """
    out = np.empty((len(bits), words_for(run.n_rows)), np.uint64)
    miss, n_rows = run.cells.miss(), run.n_rows

    def work(p: slice) -> None:
        within(miss, bits[p], care[p], n_rows, weights, limits[p], out[p])

    run.share(len(bits), work)
    return out


def find_matches(run: SearchRun) -> Found:
    """Search exact, ternary, by prefix, or within a limit of bits that differ."""
    limit = run.options.get("limit")
    found = _Blocks(run)
    distances = None if limit is None else np.full(found.rows.shape, -1, np.int64)
    n_lines = 1 if found.lists is not None or limit is not None else 0
    for block in run.blocks(run.n_rows, n_lines):
        bits, care = run.drive(block)
        if n_lines:
            found.take_lines(block, _near(run, bits, care, limit))
        else:
            found.take(block, *run.first(bits, care))
        n_matches = found.n_matches[block]
        if distances is None:
            run.tally.discharges += len(bits) * run.n_rows - int(n_matches.sum())
            continue
        run.count_falls(bits, care, n_matches > 0)
        some = n_matches > 0
        rows = found.rows[block, 0][some]
        distances[block][some, 0] = run.cells.distances(bits[some], care[some], rows)
    return found.found(distances)


def _near(run: SearchRun, bits: Packed, care: Packed, limit: int | None) -> Packed:
    """Return the match lines of queries, of rows that differ in `limit` bits at most if given."""
    if limit is None:
        return _lines_of(run, bits, care)
    limits = np.full(len(bits), limit, np.int64)
    return lines_within(run, bits, care, run.weights_of_one(), limits)


def find_in_ranges(run: SearchRun) -> Found:
    """Search for rows between two ends, as ternary searches of prefixes."""
    high: CamWords = run.options["high"]
    need_ordered(run.queries, high)
    found = _Blocks(run)
    most = max(1, 2 * run.n_bits - 2)  # prefixes of a query
    for block in run.blocks(most * run.n_rows, most):
        prefixes = expand(run.queries[block], high[block])
        bits, care = prefixes.words.bits, prefixes.words.care
        run.count(bits, care)
        lines = _lines_of(run, bits, care)
        n_whole = int(np.bitwise_count(lines).sum(dtype=np.int64))
        run.tally.discharges += len(bits) * run.n_rows - n_whole
        found.take_lines(block, np.bitwise_or.reduceat(lines, prefixes.starts, axis=0))
    return found.found()
