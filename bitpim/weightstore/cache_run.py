"""The reads of many inputs, each of as many iterations as its answer took to be sure.

What an input counts depends on what it finds in the cache and on its iterations, and on nothing
else. Few such pairs occur, so each is read once, and its counts are taken again where it returns.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError
from bitpim.weightstore.access_stream import NetworkLines, checked_iterations
from bitpim.weightstore.cache import CacheCounts, CacheState, WeightCache
from bitpim.weightstore.cache_settings import CacheSettings

__all__ = ["BETWEEN", "MOST_REMEMBERED", "CacheRun", "run_inputs"]

BETWEEN = ("steady_state", "reset_per_input")

MOST_REMEMBERED = 1 << 28
"""Bytes of states that are remembered; with more, all are forgotten."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CacheRun:
    """What the inputs of a run counted.

    Attributes
    ----------
    between : "steady_state", an input finds what the one before it left in the cache; or
        "reset_per_input", it finds the cache empty
    courses : counts of an input by iteration, of those that differ in what they found or took
    course_of_input : which of them is an input's

    Shapes
    ------
    courses: each count (n_iterations, n_layers, n_clusters)
    course_of_input: (n_inputs,)
    """

    between: str
    lines: NetworkLines
    courses: tuple[CacheCounts, ...]
    course_of_input: Ints

    def of_input(self, i: int) -> CacheCounts:
        """Return the counts of one input, by iteration."""
        course: CacheCounts = self.courses[self.course_of_input[i]]
        return course

    @property
    def total(self) -> CacheCounts:
        """Counts of all inputs and iterations together."""
        n_times = np.bincount(self.course_of_input, minlength=len(self.courses))
        none = np.zeros(self.lines.n_lines.shape, np.int64)
        total = CacheCounts(*[none] * len(CacheCounts._fields))
        for course, n in zip(self.courses, n_times.tolist(), strict=True):
            total = total.plus(course.over_iterations().times(n))
        return total


def run_inputs(
    lines: NetworkLines,
    settings: CacheSettings,
    iterations: npt.ArrayLike,
    between: str = "steady_state",
) -> CacheRun:
    """Read what inputs read, one after the other, beginning with an empty cache.

    Parameters
    ----------
    iterations
        Of each input.
    between
        As in `CacheRun`.

    Shapes
    ------
    iterations: (n_inputs,)

    Raises
    ------
    ConfigError
        `between` is an unknown word, or settings do not fit the lines.
    LayoutError
        An input took no iterations or more than there are clusters, or lines do not fit.
    """
    if between not in BETWEEN:
        raise ConfigError(f"weight cache: need between {' or '.join(BETWEEN)}, got {between!r}")
    taken = checked_iterations(iterations, lines.n_clusters)
    cache = WeightCache(lines, settings)
    empty = now = there = cache.state  # of the run, and of the cache, which may lag behind
    known: dict[tuple[CacheState, int], tuple[int, CacheState]] = {}
    courses: list[CacheCounts] = []
    course_of_input = np.empty(len(taken), np.int64)
    for i, n in enumerate(taken.tolist()):
        step = known.get((now, n))
        if step is None:
            if there != now:
                cache.restore(now)
            courses.append(cache.run(n))
            there = cache.state
            if len(known) * len(there.newer) > MOST_REMEMBERED:
                known.clear()
            step = known[now, n] = (len(courses) - 1, there if between != BETWEEN[1] else empty)
        course_of_input[i], now = step
    return CacheRun(between, lines, tuple(courses), course_of_input)
