"""A set-associative cache of lines that are known beforehand; the least recently used leaves it.

A **place** is what a cache holds once: a line, or all lines of one content. The places of a set
that are in the cache form a ring, with the **head** of the set between the one used last and the
one used first. So a read takes as many steps however many ways there are: no tag is searched.

Numbers of places are unsigned: Numba makes an index that cannot be negative with half the steps.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel

__all__ = [
    "BURSTS",
    "BYPASSES",
    "BYTES",
    "COLD",
    "EVICTIONS",
    "KEPT",
    "MISSES",
    "N_SUMS",
    "RAW_BYTES",
    "LineReads",
    "Places",
    "Rings",
    "empty_rings",
    "read_portions",
]

Index = Any  # int, np.uint32 or np.uint64
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.uint64]
Links = npt.NDArray[np.uint32]
Sizes = npt.NDArray[np.int32]

MISSES, COLD, EVICTIONS, BYPASSES, BYTES, RAW_BYTES, BURSTS = range(7)
N_SUMS = 7

KEPT, ABSENT, NEVER = 2**32 - 3, 2**32 - 2, 2**32 - 1
"""What `newer` says of a place in no ring: in the cache for good, not in it, or never read."""

FREE, FREE_TAGS, LOOSE, LOOSE_TAGS = range(4)


class LineReads(NamedTuple):
    """The lines of each portion, in the order in which they are read.

    Attributes
    ----------
    firsts : first line of each portion, and the end
    place : that a line is in the cache
    head : of the set of that place; heads are numbered after the places
    sizes : what a miss fetches: bytes, those of the line uncompressed, bursts

    Shapes
    ------
    firsts: (n_portions + 1,)
    place, head: (n_lines,)
    sizes: (n_lines, 3)
    """

    firsts: Indices
    place: Links
    head: Links
    sizes: Sizes


class Places(NamedTuple):
    """What may be in the cache.

    Attributes
    ----------
    takes : segments of a set that a place takes; beside them it takes one tag
    is_kept : whether it stays in the cache once it is there

    Shapes
    ------
    takes, is_kept: (n_places,)
    """

    takes: Sizes
    is_kept: Flags


class Rings(NamedTuple):
    """What is in the cache, and in which order it was used.

    Attributes
    ----------
    newer : the place used next after a place, or KEPT, ABSENT, NEVER; of a head, the one used first
    older : the place used before it; of a head, the one used last
    room : segments and tags that are free, and those that are free or held by places that may leave

    Shapes
    ------
    newer, older: (n_places + n_sets,)
    room: (n_sets, 4)
    """

    newer: Links
    older: Links
    room: Ints


def empty_rings(n_places: int, n_sets: int, n_segments: int, n_tags: int) -> Rings:
    """Return a cache whose sets have so many segments and tags, and that holds nothing."""
    heads = np.arange(n_places, n_places + n_sets, dtype=np.uint32)
    newer = np.concatenate([np.full(n_places, NEVER, np.uint32), heads])
    room = np.tile(np.array([n_segments, n_tags] * 2, np.int64), (n_sets, 1))
    return Rings(newer, newer.copy(), room)


@kernel()
def read_portions(
    portions: Ints, rows: Ints, reads: LineReads, places: Places, rings: Rings, sums: Ints
) -> None:
    """Read the lines of some portions one by one, and add up what missed and what that took.

    Shapes
    ------
    portions: (n,) in the order in which they are read
    rows: (n,) of `sums`, to which each is added
    sums: (n_rows, N_SUMS)
    """
    newer, older, room = rings.newer, rings.older, rings.room
    n_places = np.uint64(places.takes.shape[0])
    for i in range(portions.shape[0]):
        g = portions[i]
        misses, cold, evictions, bypasses = 0, 0, 0, 0
        n_bytes, raw_bytes, bursts = 0, 0, 0
        for line in range(reads.firsts[g], reads.firsts[g + 1]):
            place, head = reads.place[line], reads.head[line]
            after = newer[place]
            if after <= KEPT:
                if after < KEPT and after != head:
                    _unlink(place, newer, older)
                    _link_last(place, head, newer, older)
                continue
            misses += 1
            cold += after == NEVER
            n_bytes += reads.sizes[line, 0]
            raw_bytes += reads.sizes[line, 1]
            bursts += reads.sizes[line, 2]
            takes, s = places.takes[place], head - n_places
            if takes > room[s, LOOSE] or room[s, LOOSE_TAGS] < 1:
                newer[place] = ABSENT
                bypasses += 1
                continue
            while takes > room[s, FREE] or room[s, FREE_TAGS] < 1:
                victim = newer[head]
                _unlink(victim, newer, older)
                newer[victim] = ABSENT
                room[s, FREE] += places.takes[victim]
                room[s, FREE_TAGS] += 1
                evictions += 1
            room[s, FREE] -= takes
            room[s, FREE_TAGS] -= 1
            if places.is_kept[place]:
                room[s, LOOSE] -= takes
                room[s, LOOSE_TAGS] -= 1
                newer[place] = KEPT
            else:
                _link_last(place, head, newer, older)
        found = (misses, cold, evictions, bypasses, n_bytes, raw_bytes, bursts)
        for k in range(N_SUMS):
            sums[rows[i], k] += found[k]


@kernel()
def _unlink(place: Index, newer: Links, older: Links) -> None:
    """Take a place out of its ring."""
    after, before = newer[place], older[place]
    newer[before] = after
    older[after] = before


@kernel()
def _link_last(place: Index, head: Index, newer: Links, older: Links) -> None:
    """Make a place the one of its ring that was used last."""
    before = older[head]
    newer[before] = place
    older[place] = before
    newer[place] = head
    older[head] = place
