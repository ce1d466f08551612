"""Codebooks by clustering: a binary tree of 2-means over fixed-point values, in exact integers.

The same counts give the same codebook on every machine, in whatever order they were counted. Real
values become fixed-point numbers first (`quantize.value_counts`), so that means are the only things
rounded: half away from zero, to the integer nearest, which has the least squared error.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim_traces.codebook import Codebook
from bitpim_traces.quantize.value_counts import Counted

__all__ = ["MAX_DEPTH", "MIN_DEPTH", "tree_codebook"]

Ints = npt.NDArray[np.int64]

MIN_DEPTH, MAX_DEPTH = 1, 8
"""Depths of a tree: at most 2 to 256 codes."""

_MOST_ROUNDS = 50


def tree_codebook(counted: Counted, *, depth: int, value_bits: int) -> Codebook:
    """Cluster counted values to the codebook of a tree with at most 2**depth leaves.

    Where there are leaves enough below a node for all its values, each gets one: values that were
    clustered before come back as they are.

    Each node is split in two by 2-means: the seeds are its quartiles, or its ends where these are
    equal; a value midway goes to the lower; at most 50 rounds. A node's value is the rounded mean
    of its own, but 0 where 0 is among them, counted or not. A node of one value is not split, so
    there may be fewer codes. They are never fewer than two: where there is nothing but 0, 1 is the
    other.
    """
    nodes = _Nodes.of(counted.values, counted.counts)
    edges = np.array([0, len(nodes.values)])
    rows = []
    for level in range(depth):
        edges = nodes.split(edges, 1 << (depth - 1 - level))
        rows.append((edges, nodes.means(edges)))
    starts, leaves = rows[-1][0][:-1], rows[-1][1]
    levels = [means[np.searchsorted(cuts, starts, side="right") - 1] for cuts, means in rows[:-1]]
    return Codebook(leaves, counted.fraction_bits, value_bits, np.array(levels) if levels else None)


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Distinct rising values, 0 among them, with sums of counts and of values before each."""

    values: Ints
    counts: Ints  # (n + 1,)
    sums: Ints  # (n + 1,)
    zero: int  # where 0 is

    @classmethod
    def of(cls, values: Ints, counts: Ints) -> "_Nodes":
        values, counts = values.astype(np.int64), counts.astype(np.int64)
        zero = int(np.searchsorted(values, 0))
        if zero == len(values) or values[zero] != 0:
            values, counts = np.insert(values, zero, 0), np.insert(counts, zero, 0)
        if len(values) == 1:
            values, counts = np.array([0, 1]), np.array([counts[0], 1])
        sums = np.cumsum(np.append(0, counts * values))
        return cls(values, np.cumsum(np.append(0, counts)), sums, zero)

    def split(self, edges: Ints, n_leaves: int) -> Ints:
        """Split every node between two edges, and yield the edges of the children.

        `n_leaves` is how many leaves each child may have.
        """
        found = [0]
        for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if stop - first > 1:
                cut = self._cut(first, stop)
                if stop - first <= 2 * n_leaves:
                    cut = min(max(cut, stop - n_leaves), first + n_leaves)
                found.append(cut)
            found.append(stop)
        return np.array(found)

    def means(self, edges: Ints) -> Ints:
        """Yield the values of nodes."""
        pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        found = [
            0 if first <= self.zero < stop else _divided(*self._total(first, stop))
            for first, stop in pairs
        ]
        return np.array(found, np.int64)

    def _total(self, first: int, stop: int) -> tuple[int, int]:
        """Yield a node's sum and count; a 0 that was not counted has a mean all the same."""
        total = int(self.sums[stop]) - int(self.sums[first])
        return total, max(1, int(self.counts[stop]) - int(self.counts[first]))

    def _cut(self, first: int, stop: int) -> int:
        """Yield where the second child of a node begins."""
        low, high = self._quartile(first, stop, 1), self._quartile(first, stop, 3)
        if low == high:
            low, high = int(self.values[first]), int(self.values[stop - 1])
        cut = self._first_above(low + high, 2, first, stop)
        for _ in range(_MOST_ROUNDS - 1):
            one, n_one = self._total(first, cut)
            other, n_other = self._total(cut, stop)
            before = cut
            cut = self._first_above(one * n_other + other * n_one, 2 * n_one * n_other, first, stop)
            if cut == before:
                break
        return cut

    def _quartile(self, first: int, stop: int, n: int) -> int:
        """Yield the least value of a node with n quarters of its counts at or below it."""
        before, after = int(self.counts[first]), int(self.counts[stop])
        need = before + -(-n * (after - before) // 4)
        at = int(np.searchsorted(self.counts[first + 1 : stop + 1], need))
        return int(self.values[first + at])

    def _first_above(self, numerator: int, denominator: int, first: int, stop: int) -> int:
        """Yield the place of a node's first value above a fraction."""
        part = self.values[first:stop]
        return first + int(np.searchsorted(part, numerator // denominator, side="right"))


def _divided(total: int, count: int) -> int:
    """Divide, rounding half away from zero."""
    rounded = (2 * abs(total) + count) // (2 * count)
    return rounded if total >= 0 else -rounded
