from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bitpim_kernels import line_cache
from bitpim_kernels.line_cache import (
    BURSTS,
    BYPASSES,
    BYTES,
    COLD,
    EVICTIONS,
    KEPT,
    MISSES,
    N_SUMS,
    RAW_BYTES,
    LineReads,
    Places,
    Rings,
    empty_rings,
)

N_LINES = 6


@pytest.fixture(params=["jit", "python"])
def kernels(request: pytest.FixtureRequest, in_python: Callable[..., None]) -> Any:
    if request.param == "python":
        in_python(line_cache)
    return line_cache


def reads_of(firsts: list[int], n_sets: int) -> LineReads:
    """Line n brings 10 n + 1 bytes of 100 n + 1, in n + 1 bursts, and is its own place."""
    n = np.arange(N_LINES)
    sizes = np.stack([10 * n + 1, 100 * n + 1, n + 1], axis=1)
    return LineReads(
        np.array(firsts, np.uint64),
        n.astype(np.uint32),
        (N_LINES + n % n_sets).astype(np.uint32),
        sizes.astype(np.int32),
    )


def places_of(takes: list[int], kept: list[int]) -> Places:
    return Places(np.array(takes, np.int32), np.isin(np.arange(N_LINES), kept))


def read(kernels: Any, portions: Any, *rest: Any) -> None:
    kernels.read_portions(portions, portions, *rest)


def held(rings: Rings) -> list[list[int]]:
    """The places of each set, the one used first in front, and those that stay at the end."""
    n_sets = len(rings.newer) - N_LINES
    kept = np.flatnonzero(rings.newer == KEPT).tolist()
    sets = []
    for head in range(N_LINES, N_LINES + n_sets):
        found, at = [], int(rings.newer[head])
        while at != head:
            found.append(at)
            at = int(rings.newer[at])
        back, at = [], int(rings.older[head])
        while at != head:
            back.append(at)
            at = int(rings.older[at])
        assert back == found[::-1]
        sets.append(found + [n for n in kept if n % n_sets == head - N_LINES])
    return sets


def test_the_least_recently_used_place_leaves(kernels: Any) -> None:
    """Two sets of two ways; portions are lines 0 to 2, 3 and 4, 5. Line 2 of set 0 is third there.

    The second read of portion 0 brings 0, which drives out 2; then 2 drives out 4, used before 0.
    """
    reads, rings = reads_of([0, 3, 5, 6], 2), empty_rings(N_LINES, 2, 2, 2)
    places, sums = places_of([1] * N_LINES, []), np.zeros((3, N_SUMS), np.int64)
    read(kernels, np.array([0, 1]), reads, places, rings, sums)
    assert held(rings) == [[2, 4], [1, 3]]
    assert sums[:, MISSES].tolist() == sums[:, COLD].tolist() == [3, 2, 0]
    assert sums[:, EVICTIONS].tolist() == [0, 1, 0]
    assert sums[0, [BYTES, RAW_BYTES, BURSTS]].tolist() == [33, 303, 6]
    read(kernels, np.array([0]), reads, places, rings, sums)
    assert held(rings) == [[0, 2], [3, 1]]
    assert sums[:, MISSES].tolist() == [5, 2, 0] and sums[:, COLD].tolist() == [3, 2, 0]
    assert sums[:, EVICTIONS].tolist() == [2, 1, 0]
    assert sums[0, [BYTES, RAW_BYTES, BURSTS]].tolist() == [33 + 22, 303 + 202, 6 + 4]
    assert not sums[:, BYPASSES].any()


def test_places_that_stay_leave_others_less_room(kernels: Any) -> None:
    """One set of 6 segments and 3 tags. Lines 0 and 3 stay and take 2 and 3 segments of the 6.

    0, 1 and 2 take 2 + 1 + 3; line 3 takes 3 and drives out 1 and 2; line 4 takes the last one;
    line 5 would take 2, and goes by.
    """
    reads, rings = reads_of([0, 6], 1), empty_rings(N_LINES, 1, 6, 3)
    places, sums = places_of([2, 1, 3, 3, 1, 2], [0, 3]), np.zeros((1, N_SUMS), np.int64)
    read(kernels, np.array([0]), reads, places, rings, sums)
    assert held(rings) == [[4, 0, 3]]
    assert sums[0, [MISSES, COLD, EVICTIONS, BYPASSES]].tolist() == [6, 6, 2, 1]
    assert rings.room.tolist() == [[0, 0, 1, 1]]
    read(kernels, np.array([0]), reads, places, rings, sums)
    assert held(rings) == [[4, 0, 3]]  # 1 in for 4, 2 by, 4 in for 1, 5 by
    assert sums[0, [MISSES, COLD, EVICTIONS, BYPASSES]].tolist() == [10, 6, 4, 3]


def test_a_set_is_full_when_its_tags_are_given(kernels: Any) -> None:
    reads, rings = reads_of([0, 6], 1), empty_rings(N_LINES, 1, 100, 2)
    places, sums = places_of([1] * N_LINES, [0, 1]), np.zeros((1, N_SUMS), np.int64)
    read(kernels, np.array([0]), reads, places, rings, sums)
    assert held(rings) == [[0, 1]] and rings.room.tolist() == [[98, 0, 98, 0]]
    assert sums[0, [MISSES, EVICTIONS, BYPASSES]].tolist() == [6, 0, 4]


def test_lines_of_one_place_are_read_as_one(kernels: Any) -> None:
    """Lines 1, 3 and 5 are at place 1, the others at place 0, in sets of one."""
    at = np.arange(N_LINES, dtype=np.uint32) % 2
    reads = reads_of([0, 6], 2)._replace(place=at, head=N_LINES + at)
    rings, sums = empty_rings(N_LINES, 2, 1, 1), np.zeros((1, N_SUMS), np.int64)
    read(kernels, np.array([0]), reads, places_of([1] * N_LINES, []), rings, sums)
    assert held(rings) == [[0], [1]]
    assert sums[0, [MISSES, COLD, BYTES]].tolist() == [2, 2, 12]


def test_each_portion_is_added_to_its_row(kernels: Any) -> None:
    reads, rings = reads_of([0, 3, 6], 1), empty_rings(N_LINES, 1, 6, 6)
    places, sums = places_of([1] * N_LINES, []), np.full((4, N_SUMS), 7, np.int64)
    kernels.read_portions(np.array([1, 0, 1]), np.array([3, 0, 1]), reads, places, rings, sums)
    assert (sums[:, MISSES] - 7).tolist() == [3, 0, 0, 3]
    assert (sums[:, BURSTS] - 7).tolist() == [6, 0, 0, 15]
