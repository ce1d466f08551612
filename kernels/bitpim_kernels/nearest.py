"""Nearest numbers of a content-addressable memory: by difference, by XOR, and stage by stage.

Stored words are numbers of up to 64 bits. A table is made of them once, and searched by any number
of queries; ties go to the lowest row. Kernels are serial and release the GIL: callers share queries
out over threads.

Source: the three nearest-distance modes of NDCAM as RAPIDNN uses it (semantics derived).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel

__all__ = [
    "Breaks",
    "Ordered",
    "XorTree",
    "breaks_of",
    "nearest_abs",
    "nearest_staged",
    "nearest_xor",
    "ordered",
    "xor_tree",
]

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

_ONE = np.uint64(1)


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

    Shapes
    ------
    starts: (n_values,) the first is 0
    values: (n_values,)
    rows: (n_values,) the lowest row that holds each
    """

    starts: Numbers
    values: Numbers
    rows: Ints


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
    return Breaks(starts, found, rows)


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
    for i in range(queries.shape[0]):
        q, at = queries[i], 0
        width = table.starts.shape[0]
        while width > 1:
            half = width // 2
            if table.starts[at + half] <= q:
                at += half
            width -= half
        v = table.values[at]
        rows[i] = table.rows[at]
        distances[i] = q - v if q > v else v - q


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
    n_rows = table.rows.shape[0]
    alive = np.empty(n_rows, np.bool_)
    standing[:] = 0
    fell[:] = 0
    for i in range(queries.shape[0]):
        q = queries[i]
        alive[:] = True
        for s in range(standing.shape[0]):
            low = max(0, n_bits - (s + 1) * stage_bits)
            shift = np.uint64(low)
            mask = ~(~np.uint64(0) << np.uint64(n_bits - s * stage_bits - low - 1) << _ONE)
            chunk = (q >> shift) & mask
            least = ~np.uint64(0)
            for r in range(n_rows):
                if alive[r]:
                    v = (table.values[r] >> shift) & mask
                    least = min(least, chunk - v if chunk > v else v - chunk)
                    fell[s] += v != chunk
            for r in range(n_rows):
                if alive[r]:
                    v = (table.values[r] >> shift) & mask
                    alive[r] = (chunk - v if chunk > v else v - chunk) == least
                    standing[s] += alive[r]
        at = -1
        for r in range(n_rows):
            if alive[r] and (at < 0 or table.rows[r] < table.rows[at]):
                at = r
        v = table.values[at]
        rows[i] = table.rows[at]
        distances[i] = q - v if q > v else v - q
