"""Nearest numbers of a content-addressable memory: by difference, by XOR, and stage by stage.

Stored words are numbers of up to 64 bits. A table is made of them once, and searched by any number
of queries; ties go to the lowest row. Kernels are serial and release the GIL: callers share queries
out over threads.

Source: the three nearest-distance modes of NDCAM as RAPIDNN uses it (semantics derived).
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel

__all__ = [
    "Breaks",
    "Ordered",
    "XorTree",
    "breaks_of",
    "encode_abs",
    "nearest_abs",
    "nearest_staged",
    "nearest_xor",
    "ordered",
    "xor_tree",
]

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_FEWEST_BUCKETS, _MOST_BUCKETS = 1 << 11, 1 << 16  # of a table of numbers, in reach of a cache
_TOGETHER = 512  # queries that are searched together: their places stay in the nearest cache


class Ordered(NamedTuple):
    """All stored numbers in rising order, and the row of each; rows rise where numbers are equal.

    Shapes
    ------
    values: (n_rows,)
    rows: (n_rows,)
    """

    values: Numbers
    rows: Ints


class Breaks(NamedTuple):
    """The distinct stored numbers, each with the least query that it wins, in rising order.

    Queries from `low` on lie in buckets of ``2**shift``, the last without an end; those below are
    in the first. A query's number is one of the `width` from its bucket's first on.

    Shapes
    ------
    starts: (n_values,) the first is 0
    values: (n_values,)
    rows: (n_values,) the lowest row that holds each
    firsts: (n_buckets,)
    """

    starts: Numbers
    values: Numbers
    rows: Ints
    firsts: Numbers
    low: np.uint64
    shift: np.uint64
    width: int


class XorTree(NamedTuple):
    """The bits that tell stored numbers apart, as a tree; the root is node 0.

    A child c of 0 or more is a node; one below is the end, value ``-1 - c``.

    Shapes
    ------
    bits: (n_values - 1,) the bit that a node looks at
    children: (n_values - 1, 2) where to go where it is 0, and 1
    values: (n_values,) distinct, rising
    rows: (n_values,) the lowest row that holds each
    """

    bits: Numbers
    children: Ints
    values: Numbers
    rows: Ints


def ordered(values: Numbers) -> Ordered:
    """Return the numbers of all rows in order; there is at least one."""
    rows = np.argsort(values, kind="stable").astype(np.int64)
    return Ordered(values[rows], rows)


def _distinct(values: Numbers) -> tuple[Numbers, Ints]:
    """Return the distinct numbers in rising order, and the lowest row of each."""
    found, rows = np.unique(values, return_index=True)
    return found, rows.astype(np.int64)


def breaks_of(values: Numbers) -> Breaks:
    """Return where the nearest of some numbers changes; there is at least one.

    Half way between two the lower wins, but where the upper one has the lower row.
    """
    found, rows = _distinct(values)
    gaps = found[1:] - found[:-1]
    half = gaps >> _ONE
    upper_wins = (gaps & _ONE == 0) & (rows[1:] < rows[:-1])
    starts = np.zeros_like(found)
    starts[1:] = found[:-1] + half + np.where(upper_wins, np.uint64(0), _ONE)
    return Breaks(starts, found, rows, *_buckets(starts))


def _buckets(starts: Numbers) -> tuple[Numbers, np.uint64, np.uint64, int]:
    """Return each bucket's first place, where buckets begin, their shift, and places of one."""
    low = int(starts[1]) - 1 if len(starts) > 1 else 0  # the last query of the first number
    span = int(starts[-1]) - low if len(starts) > 1 else 0
    n_most = min(max(_FEWEST_BUCKETS, 8 * len(starts)), _MOST_BUCKETS)
    shift = max(0, (span // n_most).bit_length())
    n_buckets = (span >> shift) + 1
    begins = np.uint64(low) + (np.arange(n_buckets, dtype=np.uint64) << np.uint64(shift))
    firsts = np.searchsorted(starts, begins, side="right") - 1
    width = 1 + int(np.diff(firsts, append=len(starts) - 1).max())
    places = np.minimum(firsts, len(starts) - width).astype(np.uint64)
    return places, np.uint64(low), np.uint64(shift), width


def xor_tree(values: Numbers) -> XorTree:
    """Return the tree of bits that tell some numbers apart; there is at least one."""
    found, rows = _distinct(values)
    n_nodes = len(found) - 1
    bits, children = np.zeros(n_nodes, np.uint64), np.zeros((n_nodes, 2), np.int64)
    n_made, todo = 0, [(0, len(found), -1, 0)]
    while todo:
        start, end, parent, side = todo.pop()
        node = n_made if end - start > 1 else -1 - start
        if parent >= 0:
            children[parent, side] = node
        if node < 0:
            continue
        n_made += 1
        bit = int(found[start] ^ found[end - 1]).bit_length() - 1
        lit = np.uint64((int(found[end - 1]) >> bit) << bit)  # the least number on side 1
        middle = int(np.searchsorted(found, lit))
        bits[node] = bit
        todo += [(start, middle, node, 0), (middle, end, node, 1)]
    return XorTree(bits, children, found, rows)


@kernel()
def nearest_abs(table: Breaks, queries: Numbers, rows: Ints, distances: Numbers) -> None:
    """Write the row of least ``|q - v|`` of each query, and that difference.

    Shapes
    ------
    queries, rows, distances: (n_queries,)
    """
    at = np.empty(_TOGETHER, np.uint64)
    for start in range(0, queries.shape[0], _TOGETHER):
        some = queries[start : start + _TOGETHER]
        _search_starts(table, some, at)
        for i in range(some.shape[0]):
            q, v = some[i], table.values[at[i]]
            rows[start + i] = table.rows[at[i]]
            distances[start + i] = q - v if q > v else v - q


@kernel()
def encode_abs(
    table: Breaks,
    numbers: Ints,
    up: int,
    limits: tuple[int, int],
    offset: int,
    codes: npt.NDArray[Any],
) -> None:
    """Write the row nearest to each number, shifted up, limited, and moved by an offset.

    What is searched for is no less than 0.

    Shapes
    ------
    numbers, codes: (n,)
    """
    low, high = limits
    words, at = np.empty(_TOGETHER, np.uint64), np.empty(_TOGETHER, np.uint64)
    for start in range(0, numbers.shape[0], _TOGETHER):
        n = min(_TOGETHER, numbers.shape[0] - start)
        for i in range(n):
            words[i] = np.uint64(min(max(numbers[start + i] << up, low), high) + offset)
        _search_starts(table, words[:n], at)
        for i in range(n):
            codes[start + i] = table.rows[at[i]]


@kernel()
def _search_starts(table: Breaks, queries: Numbers, at: Numbers) -> None:
    """Write the place of the last start that is at most each query.

    All halve the range of their buckets together: no branch depends on a query.

    Shapes
    ------
    queries: (n,)
    at: (at least n,)
    """
    starts, firsts = table.starts, table.firsts
    last = np.uint64(firsts.shape[0] - 1)
    for i in range(queries.shape[0]):
        bucket = (max(queries[i], table.low) - table.low) >> table.shift
        at[i] = firsts[min(bucket, last)]
    width = table.width
    while width > 1:
        half = np.uint64(width // 2)
        for i in range(queries.shape[0]):
            at[i] += half * np.uint64(starts[at[i] + half] <= queries[i])
        width -= width // 2


@kernel()
def nearest_xor(tree: XorTree, queries: Numbers, rows: Ints, distances: Numbers) -> None:
    """Write the row of least ``q ^ v`` of each query, and that number.

    Every mismatching bit i discharges the match line with weight 2^i.

    Shapes
    ------
    queries, rows, distances: (n_queries,)
    """
    root = 0 if tree.bits.shape[0] else -1
    for i in range(queries.shape[0]):
        q, node = queries[i], root
        while node >= 0:
            node = tree.children[node, np.int64((q >> tree.bits[node]) & _ONE)]
        rows[i] = tree.rows[-1 - node]
        distances[i] = q ^ tree.values[-1 - node]


@kernel()
def nearest_staged(
    table: Ordered,
    queries: Numbers,
    n_bits: int,
    stage_bits: int,
    rows: Ints,
    distances: Numbers,
    standing: Ints,
    fell: Ints,
) -> None:
    """Write the row that is left when each stage keeps those of least ``|q - v|`` in its bits.

    A stage is the next `stage_bits` bits from the most significant of `n_bits` on; the last may
    have fewer. Of the rows left at the end the lowest wins. No number has more than `n_bits` bits.

    Shapes
    ------
    queries, rows, distances: (n_queries,) distances are ``|q - v|`` of whole numbers
    standing: (n_stages,) written: rows left after a stage, over all queries
    fell: (n_stages,) written: rows left before it whose bits there are not those of the query
    """
    ranges = np.empty((2, 2 * table.rows.shape[0]), np.int64)  # those left, and those to be left
    for s in range(standing.shape[0]):
        standing[s], fell[s] = 0, 0
    for i in range(queries.shape[0]):
        q, n, n_alive = queries[i], 1, table.rows.shape[0]
        ranges[0, 0], ranges[0, 1] = 0, n_alive
        high = n_bits
        for s in range(standing.shape[0]):
            low = max(0, high - stage_bits)
            n, n_equal = _pass_stage(table.values, q, high, low, n, ranges)
            fell[s] += n_alive - n_equal
            n_alive = 0
            for j in range(n):
                n_alive += ranges[0, 2 * j + 1] - ranges[0, 2 * j]
            standing[s] += n_alive
            high = low
        at = ranges[0, 0]
        for j in range(1, n):
            if table.rows[ranges[0, 2 * j]] < table.rows[at]:
                at = ranges[0, 2 * j]
        v = table.values[at]
        rows[i] = table.rows[at]
        distances[i] = q - v if q > v else v - q


@kernel()
def _pass_stage(
    values: Numbers, q: np.uint64, high: int, low: int, n: int, ranges: Ints
) -> tuple[int, int]:
    """Keep of n ranges what is nearest in bits low .. high - 1; return how many, and equal rows.

    The numbers of a range agree from bit `high` on, so that those bits rise within it.
    """
    shift = np.uint64(low)
    mask = _ALL_ONES >> np.uint64(64 - (high - low))
    q = (q >> shift) & mask
    least, kept, n_equal = _ALL_ONES, 0, 0
    for j in range(n):
        start, end = ranges[0, 2 * j], ranges[0, 2 * j + 1]
        first = _first_above(values, start, end, shift, mask, q)
        if first > start:  # the nearest from below, which may be equal
            v = (values[first - 1] >> shift) & mask
            least, kept = _keep_range(q - v, least, kept)
            if q - v == least:
                below = _first_from(values, start, first, shift, mask, v)
                kept = _put_range(ranges, kept, below, first)
                if q == v:
                    n_equal += first - below
        if first < end:
            v = (values[first] >> shift) & mask
            least, kept = _keep_range(v - q, least, kept)
            if v - q == least:
                above = _first_above(values, first, end, shift, mask, v)
                kept = _put_range(ranges, kept, first, above)
    for j in range(2 * kept):
        ranges[0, j] = ranges[1, j]
    return kept, n_equal


@kernel()
def _keep_range(distance: np.uint64, least: np.uint64, kept: int) -> tuple[np.uint64, int]:
    """Return the least distance yet, and how many ranges of it there are."""
    return (distance, 0) if distance < least else (least, kept)


@kernel()
def _put_range(ranges: Ints, kept: int, start: int, end: int) -> int:
    """Add a range to those to be left; return how many they are."""
    ranges[1, 2 * kept], ranges[1, 2 * kept + 1] = start, end
    return kept + 1


@kernel()
def _first_above(
    values: Numbers, start: int, end: int, shift: np.uint64, mask: np.uint64, chunk: np.uint64
) -> int:
    """Return the first place in a range whose bits are more than some."""
    while start < end:
        middle = (start + end) // 2
        if (values[middle] >> shift) & mask <= chunk:
            start = middle + 1
        else:
            end = middle
    return start


@kernel()
def _first_from(
    values: Numbers, start: int, end: int, shift: np.uint64, mask: np.uint64, chunk: np.uint64
) -> int:
    """Return the first place in a range whose bits are at least some."""
    while start < end:
        middle = (start + end) // 2
        if (values[middle] >> shift) & mask < chunk:
            start = middle + 1
        else:
            end = middle
    return start
