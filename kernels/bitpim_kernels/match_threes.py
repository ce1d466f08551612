"""Queries of a content-addressable memory as lists of sums, each of three search lines.

Search lines are taken three bits of a query at a time: how many of the three discharge a row is one
of few bit-planes, worked out once for all queries that need it.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.match_tile import GROUP

__all__ = ["Threes", "empty_lists", "list_threes", "masks_of", "n_planes_of"]

Integer = Any  # int or np.int64
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ONE = np.uint64(1)
_LAST = np.uint64(63)
_SEVEN = np.uint64(7)

_LISTED = 1 << 16  # entries of the queries that pass a block together, at most


class Threes(NamedTuple):
    """Queries as lists of the sums of three search lines side by side that they need.

    Entry ``pattern * n_threes + i`` is the sum of bits 3 i .. 3 i + 2 of a query that has this
    pattern there: the bits, and above them which of the three are not cared for.

    Shapes
    ------
    listed: (queries, n_levels, whole groups of entries)
    n_listed: (queries, n_levels)
    needed: (1 + entries,) the number of entries that any query needs, and they
    lines: (1 + entries, 3) the lines of each of them, -1 for none
    is_needed: (entries,)
    words: (2, bit_words + 1) scratch; the last word is zero
    """

    listed: npt.NDArray[np.int32]
    n_listed: Ints
    needed: Ints
    lines: Ints
    is_needed: npt.NDArray[np.bool_]
    words: Words


@kernel()
def n_planes_of(most: int) -> int:
    """Return how many bits a number has."""
    n = 0
    while most >> n:
        n += 1
    return n


@kernel()
def masks_of(weights: Ints, n_words: int) -> Words:
    """Return for each bit of the weights, as packed words, which weights have it."""
    bits = 0
    for weight in weights:
        bits |= weight
    masks = np.zeros((max(1, n_planes_of(bits)), n_words), np.uint64)
    for level in range(masks.shape[0]):
        for k in range(weights.shape[0]):
            bit = np.uint64((weights[k] >> level) & 1)
            masks[level, k // 64] |= bit << np.uint64(k % 64)
    return masks


@kernel()
def empty_lists(n_queries: int, n_bits: int, n_levels: int) -> Threes:
    """Return the lists of no queries, and place for as many as pass a block together."""
    n_threes = (n_bits + 2) // 3
    n_padded = (n_threes + GROUP - 1) // GROUP * GROUP
    together = max(1, min(n_queries, _LISTED // (n_levels * n_padded)))
    n_entries = 64 * n_threes
    needed = np.empty(1 + n_entries, np.int64)
    needed[0] = 0
    return Threes(
        np.empty((together, n_levels, n_padded), np.int32),
        np.empty((together, n_levels), np.int64),
        needed,
        np.empty((1 + n_entries, 3), np.int64),
        np.zeros(n_entries, np.bool_),
        np.zeros((2, n_bits // 64 + 2), np.uint64),
    )


@kernel()
def list_threes(queries: Words, care: Words, masks: Words, n_bits: int, threes: Threes) -> None:
    """List what some queries need, in the place of what was listed before."""
    for i in range(1, threes.needed[0] + 1):
        threes.is_needed[threes.needed[i]] = False
    threes.needed[0] = 0
    n_threes = threes.is_needed.shape[0] // 64
    nothing = 56 * n_threes
    _need(nothing, n_bits, threes)
    bits, driven = threes.words[0], threes.words[1]
    for q in range(queries.shape[0]):
        for level in range(masks.shape[0]):
            for j in range(masks.shape[1]):
                driven[j] = care[q, j] & masks[level, j]
                bits[j] = queries[q, j] & driven[j]
            listed, n = threes.listed[q, level], 0
            for i in range(n_threes):
                cared = _three(driven, 3 * i)
                entry = (_three(bits, 3 * i) | ((7 - cared) << 3)) * n_threes + i
                listed[n] = entry
                if not threes.is_needed[entry]:
                    _need(entry, n_bits, threes)
                n += cared != 0
            while n % GROUP:
                listed[n] = nothing
                n += 1
            threes.n_listed[q, level] = n


@kernel()
def _three(words: Words, k: int) -> Integer:
    """Return bits k .. k + 2 of packed words that have one more word."""
    j, low = k // 64, np.uint64(k % 64)
    word = (words[j] >> low) | (words[j + 1] << _ONE << (_LAST - low))
    return np.int64(word & _SEVEN)


@kernel()
def _need(entry: Integer, n_bits: int, threes: Threes) -> None:
    """Take an entry among those needed."""
    threes.is_needed[entry] = True
    n_threes = threes.is_needed.shape[0] // 64
    pattern, i = entry // n_threes, entry % n_threes
    n = threes.needed[0] + 1
    threes.needed[0], threes.needed[n] = n, entry
    for j in range(3):
        line = ((pattern >> j) & 1) * n_bits + 3 * i + j
        threes.lines[n, j] = -1 if (pattern >> (3 + j)) & 1 else line
