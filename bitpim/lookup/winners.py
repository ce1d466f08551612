"""Searches that find the nearest rows: best, weighted, nearest."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError
from bitpim.lookup.lines import GrowingLists, MatchLists, need_room
from bitpim.lookup.matching import lines_within
from bitpim.lookup.nearest_table import apart
from bitpim.lookup.search_run import Found, SearchRun
from bitpim_kernels.layout import pack
from bitpim_kernels.match import best_rows
from bitpim_kernels.nearest import (
    breaks_of,
    nearest_abs,
    nearest_staged,
    nearest_xor,
    ordered,
    xor_tree,
)

__all__ = ["find_best", "find_nearest"]

Indices = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]
Packed = npt.NDArray[np.uint64]

_BLOCK_TIED = 1 << 22  # rows that are listed at a time
_MOST_WEIGHED = 62  # bits whose powers of two add up to a total that kernels take


def find_best(run: SearchRun) -> Found:
    """Search for the rows with the fewest differing bits, or the least weight of them."""
    weights = run.options.get("weights")
    held = run.weights_of_one() if weights is None else np.array(weights, np.int64)
    return _find_best(run, held, run.options["k"])


def _find_best(run: SearchRun, weights: Indices, k: int) -> Found:
    driven = pack(weights > 0)
    run.mask = driven if run.mask is None else run.mask & driven
    n, is_all = len(run.queries), run.options["ties"] == "all"
    need_room(n * k, n, n)
    rows, distances = np.empty((n, k), np.int64), np.empty((n, k), np.int64)
    lists = GrowingLists(n)
    for block in run.blocks(run.n_rows, 1 if is_all else 0):
        bits, care = run.drive(block)
        rows[block], distances[block] = _best(run, bits, care, weights, k)
        least = np.ascontiguousarray(distances[block, 0])
        run.count_falls(bits, care, least == 0)
        if is_all:
            lists.take_lines(lines_within(run, bits, care, weights, least))
    return _winners(run, rows, distances, lists.joined() if is_all else None)


def _winners(
    run: SearchRun, rows: Indices, distances: npt.NDArray[Any], lists: MatchLists | None
) -> Found:
    """Return what was found; the rows that are reported are those left standing."""
    n_matches = np.full(len(rows), rows.shape[1], np.int64) if lists is None else lists.lengths
    run.tally.survivors += int(n_matches.sum())
    return Found(rows, distances, n_matches, lists)


def _best(
    run: SearchRun, bits: Packed, care: Packed, weights: Indices, k: int
) -> tuple[Indices, Indices]:
    """Return the k best rows of queries, and their distances."""
    rows, distances = np.empty((len(bits), k), np.int64), np.empty((len(bits), k), np.int64)
    miss, n_rows = run.cells.miss(run.is_highest), run.n_rows

    def work(p: slice) -> None:
        best_rows(miss, bits[p], care[p], n_rows, weights, rows[p], distances[p])

    run.share(len(bits), work)
    return run.row_of(rows), distances


def find_nearest(run: SearchRun) -> Found:
    """Search for the number nearest by difference, by XOR, or by difference stage by stage."""
    mode, n_bits = run.options["mode"], run.options.get("top_bits", run.n_bits)
    if run.has_faults:
        return _find_faulty(run, mode, n_bits)
    numbers = _numbers(run, run.words.codes(), n_bits)
    if run.is_highest:
        numbers = np.ascontiguousarray(numbers[::-1])
    find = _Staged(run, numbers, n_bits) if mode == "staged" else _Whole(run, numbers, mode)
    n, is_all = len(run.queries), run.options["ties"] == "all"
    rows, distances = np.empty((n, 1), np.int64), np.empty((n, 1), np.uint64)
    lists = GrowingLists(n)
    for block in run.blocks(find.n_compares):
        run.drive(block, find.n_stages)
        queries = _numbers(run, run.queries.bits[block, 0], n_bits)
        find(queries, rows[block, 0], distances[block, 0])
        if is_all:
            find.list_tied(queries, rows[block, 0], distances[block, 0], lists)
    signed = distances if n_bits == 64 else distances.view(np.int64)
    found = _winners(run, run.row_of(rows), signed, lists.joined() if is_all else None)
    run.tally.survivors += find.n_more
    return found


def _find_faulty(run: SearchRun, mode: str, n_bits: int) -> Found:
    """Search by XOR as the match lines do it: bit i weighs 2^i."""
    if mode != "wxor":
        raise ConfigError(
            f"search nearest: mode {mode} compares numbers, not cells, so it takes no faulty "
            "cells; take mode wxor, or a CAM without faults"
        )
    if n_bits > _MOST_WEIGHED:
        raise ConfigError(
            f"search nearest: mode wxor with faulty cells needs {_MOST_WEIGHED} bits or fewer, got "
            f"{n_bits}; give top_bits"
        )
    lowest = run.n_bits - n_bits
    weights = [1 << (k - lowest) if k >= lowest else 0 for k in range(run.n_bits)]
    return _find_best(run, np.array(weights, np.int64), 1)


def _numbers(run: SearchRun, words: Numbers, n_bits: int) -> Numbers:
    """Return words as numbers of their highest bits; those with a sign with it flipped."""
    if run.options["signed"]:
        words = words ^ np.uint64(1 << (run.n_bits - 1))
    return words >> np.uint64(run.n_bits - n_bits)


class _Whole:
    """Nearest by difference or by XOR, all bits at once."""

    n_stages = 1
    n_compares = 1 << 14  # a table is looked up, whatever the rows: blocks that stay in cache
    n_more = 0

    def __init__(self, run: SearchRun, numbers: Numbers, mode: str) -> None:
        self.run, self.is_xor = run, mode == "wxor"
        self.table: Any = xor_tree(numbers) if self.is_xor else breaks_of(numbers)
        self.ordered = ordered(numbers)
        values = self.ordered.values
        ends = np.searchsorted(values, numbers, "right")
        self.n_equal = ends - np.searchsorted(values, numbers, "left")  # rows as each row

    def __call__(self, queries: Numbers, rows: Indices, distances: Numbers) -> None:
        kernel = nearest_xor if self.is_xor else nearest_abs

        def work(p: slice) -> None:
            kernel(self.table, queries[p], rows[p], distances[p])

        self.run.share(len(queries), work)
        n_whole = int(self.n_equal[rows[distances == 0]].sum())
        self.run.tally.discharges += len(queries) * self.run.n_rows - n_whole

    def list_tied(
        self, queries: Numbers, rows: Indices, distances: Numbers, lists: GrowingLists
    ) -> None:
        """List all rows at the distance that was found: at most two numbers, each in some."""
        up, down = queries + distances, queries - distances
        if self.is_xor:
            numbers = [(queries ^ distances, distances >= 0)]
        else:
            numbers = [(down, down <= queries), (up, (up >= queries) & (distances > 0))]
        starts, lengths = (np.empty((len(numbers), len(queries)), np.int64) for _ in range(2))
        for k, (number, is_one) in enumerate(numbers):
            starts[k] = np.searchsorted(self.ordered.values, number, "left")
            stop = np.searchsorted(self.ordered.values, number, "right")
            lengths[k] = np.where(is_one, stop - starts[k], 0)
        lists.need(int(lengths.sum()), len(queries))
        for part in _parts(lengths.sum(axis=0)):
            lists.take(self._listed(starts[:, part], lengths[:, part]))

    def _listed(self, starts: Indices, lengths: Indices) -> MatchLists:
        """List the rows at some places of the order, several runs of them a query."""
        queries = np.arange(lengths.shape[1])
        query = np.concatenate([np.repeat(queries, n) for n in lengths])
        place = np.concatenate([_runs(*run) for run in zip(starts, lengths, strict=True)])
        row = self.ordered.rows[place]
        return MatchLists(lengths.sum(axis=0), row[np.lexsort((row, query))])


def _parts(lengths: Indices) -> Iterator[slice]:
    """Yield slices of queries with at most `_BLOCK_TIED` rows to list, or of one query."""
    ends, first = np.cumsum(lengths), 0
    while first < len(lengths):
        most = (ends[first - 1] if first else 0) + _BLOCK_TIED
        last = max(first + 1, int(np.searchsorted(ends, most, "right")))
        yield slice(first, last)
        first = last


def _runs(starts: Indices, lengths: Indices) -> Indices:
    """Return the numbers from each start on, as many as each length says."""
    ends = np.cumsum(lengths)
    places: Indices = np.repeat(starts - (ends - lengths), lengths)
    return places + np.arange(len(places))


class _Staged:
    """Nearest by difference in a few bits a stage, among the rows that still stand."""

    def __init__(self, run: SearchRun, numbers: Numbers, n_bits: int) -> None:
        self.run, self.numbers, self.n_bits = run, numbers, n_bits
        self.stage_bits: int = run.options["stage_bits"]
        self.n_stages = -(-n_bits // self.stage_bits)
        self.table = ordered(numbers)
        self.n_compares = run.n_rows * self.n_stages
        self.n_standing = 0  # rows that the last queries left standing
        self.n_more = 0  # those of all queries, beside the rows that are reported

    def __call__(self, queries: Numbers, rows: Indices, distances: Numbers) -> None:
        seen: list[tuple[Indices, Indices]] = []

        def work(p: slice) -> None:
            standing, fell = (np.empty(self.n_stages, np.int64) for _ in range(2))
            sizes = (self.n_bits, self.stage_bits)
            nearest_staged(self.table, queries[p], *sizes, rows[p], distances[p], standing, fell)
            seen.append((standing, fell))

        self.run.share(len(queries), work)
        standing = [sum(int(s[0][k]) for s in seen) for k in range(self.n_stages)]
        tally = self.run.tally
        tally.rows += sum(standing[:-1])  # the first stage has all rows
        tally.discharges += sum(int(fell.sum()) for _, fell in seen)
        self.n_standing = standing[-1]
        if self.run.options["ties"] != "all":
            self.n_more += self.n_standing - len(queries)

    def list_tied(
        self, queries: Numbers, rows: Indices, distances: Numbers, lists: GrowingLists
    ) -> None:
        """List all rows that stand: in each stage as far from the query as the winner."""
        lists.need(self.n_standing, len(queries))
        step = max(1, _BLOCK_TIED // self.run.n_rows)
        for first in range(0, len(queries), step):
            these = slice(first, first + step)
            q = queries[these, None]
            stands = np.ones((len(q), self.run.n_rows), np.bool_)
            for s in range(self.n_stages):
                low = max(0, self.n_bits - (s + 1) * self.stage_bits)
                width = self.n_bits - s * self.stage_bits - low
                wanted = apart(q, self.numbers[rows[these], None], low, width)
                stands &= apart(q, self.numbers[None, :], low, width) == wanted
            lists.take(MatchLists(stands.sum(axis=1), np.nonzero(stands)[1]))
