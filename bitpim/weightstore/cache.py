"""A cache of weight lines, read portion by portion, and all that its reads count."""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError, LayoutError
from bitpim.weightstore.access_stream import NetworkLines, checked_iterations
from bitpim.weightstore.cache_settings import CacheSettings
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
    empty_rings,
    read_portions,
)

__all__ = ["CacheCounts", "CacheState", "WeightCache", "uncached"]

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class CacheCounts(NamedTuple):
    """What reads of lines came to, by layer and cluster of the line that was read.

    Attributes
    ----------
    accesses : lines read, which are hits and misses
    hits : those that were in the cache
    misses : those that were fetched
    cold_misses : misses of what was not read before since the cache was empty
    evictions : lines that left the cache for one that was fetched
    bypasses : misses that found only pinned lines in their set, and did not get in
    bytes_fetched : bytes of misses, as lines are stored
    raw_bytes_fetched : bytes that they have uncompressed
    bursts : of the bus, for misses

    Shapes
    ------
    each: (n_layers, n_clusters), or those of several iterations, one after the other
    """

    accesses: Ints
    hits: Ints
    misses: Ints
    cold_misses: Ints
    evictions: Ints
    bypasses: Ints
    bytes_fetched: Ints
    raw_bytes_fetched: Ints
    bursts: Ints

    @classmethod
    def of(cls, accesses: Ints, sums: Ints) -> Self:
        """Return the counts of reads, and of what a kernel found of them along a last axis."""
        names = (MISSES, COLD, EVICTIONS, BYPASSES, BYTES, RAW_BYTES, BURSTS)
        columns = [sums[..., k] for k in names]
        return cls(accesses, accesses - columns[0], *columns)

    def times(self, n: int) -> "CacheCounts":
        """Return the counts of so many times the same."""
        return CacheCounts(*(n * column for column in self))

    def plus(self, other: "CacheCounts") -> "CacheCounts":
        """Return the counts of both."""
        return CacheCounts(*(a + b for a, b in zip(self, other, strict=True)))

    def over_iterations(self) -> "CacheCounts":
        """Return the counts of all iterations together."""
        return CacheCounts(*(column.sum(axis=0) for column in self))

    @property
    def hit_rate(self) -> float:
        """Hits per access; 0 where nothing was read."""
        return int(self.hits.sum()) / max(1, int(self.accesses.sum()))


@dataclass(frozen=True, slots=True)
class CacheState:
    """What is in a cache, in which order it was used, and what was never read."""

    newer: bytes = field(repr=False)
    cache: "WeightCache" = field(repr=False, compare=False)


class WeightCache:
    """A cache that the lines of a network are read through; empty at first.

    Raises
    ------
    ConfigError
        More clusters are pinned than there are.
    LayoutError
        A line is longer than the cache's, or contents that are to be shared are not known.
    """

    def __init__(self, lines: NetworkLines, settings: CacheSettings) -> None:
        _check_fit(lines, settings)
        self.lines = lines
        self.settings = settings
        n_lines = len(lines.n_bytes)
        place = lines.first_alike if settings.deduplicate else np.arange(n_lines)
        self._set_of_place = np.arange(n_lines) % settings.n_sets
        is_kept = np.zeros(n_lines, np.bool_)
        is_kept[place[lines.clusters < settings.pinned_clusters]] = True
        sizes = np.stack([lines.n_bytes, lines.raw_bytes, lines.bursts], axis=1)
        self._reads = LineReads(
            lines.firsts.astype(np.uint64),
            place.astype(np.uint32),
            (n_lines + self._set_of_place[place]).astype(np.uint32),
            sizes.astype(np.int32),
        )
        self._places = Places(settings.segments_of(lines.n_bytes).astype(np.int32), is_kept)
        n_sets = min(settings.n_sets, n_lines)  # lines lie in no others
        self._rings = empty_rings(n_lines, n_sets, settings.n_segments, settings.n_tags)
        self._empty = self.state
        by_iteration = [lines.reads(k + 1) for k in range(lines.n_clusters)]
        self._run = np.concatenate(by_iteration)  # the reads of fewer iterations are its beginning
        self._ends = np.cumsum([len(portions) for portions in by_iteration])
        self._row = np.concatenate([k * lines.n_lines.size + r for k, r in enumerate(by_iteration)])
        read_in = np.tri(lines.n_clusters, dtype=np.int64)[:, None, :]
        self._accesses = read_in * lines.n_lines

    @property
    def state(self) -> CacheState:
        """What is in the cache now, to be put back later."""
        return CacheState(self._rings.newer.tobytes(), self)

    @property
    def holds(self) -> Bools:
        """Which lines are in the cache."""
        present: Bools = self._rings.newer[self._reads.place] <= KEPT
        return present

    def read(self, portions: npt.ArrayLike) -> CacheCounts:
        """Read lines portion by portion, one after the other.

        Parameters
        ----------
        portions
            Layer times clusters of a layer, plus cluster, as `NetworkLines.reads` gives them.

        Raises
        ------
        LayoutError
            There is no such portion.
        """
        lines = self.lines
        chosen = np.asarray(portions)
        integers = chosen.ndim == 1 and (chosen.dtype.kind in "iu" or not chosen.size)
        if not integers or not np.all((chosen >= 0) & (chosen < lines.n_lines.size)):
            raise LayoutError(
                f"weight cache: need portions of 0 to {lines.n_lines.size - 1}, in a row, "
                f"got {portions!r}"
            )
        chosen = chosen.astype(np.int64)
        times = np.bincount(chosen, minlength=lines.n_lines.size).reshape(lines.n_lines.shape)
        return self._read(chosen, chosen, times * lines.n_lines)

    def run(self, n_iterations: int) -> CacheCounts:
        """Read what the iterations of one input read.

        Shapes
        ------
        each count: (n_iterations, n_layers, n_clusters)

        Raises
        ------
        LayoutError
            There are fewer clusters than iterations, or no iteration.
        """
        checked_iterations([n_iterations], self.lines.n_clusters)
        n = self._ends[n_iterations - 1]
        return self._read(self._run[:n], self._row[:n], self._accesses[:n_iterations])

    def _read(self, portions: Ints, rows: Ints, accesses: Ints) -> CacheCounts:
        """Read portions, each counted in its row of counts that are shaped as the accesses."""
        sums = np.zeros((accesses.size, N_SUMS), np.int64)
        read_portions(portions, rows, self._reads, self._places, self._rings, sums)
        return CacheCounts.of(accesses.copy(), sums.reshape(*accesses.shape, N_SUMS))

    def empty(self) -> None:
        """Take all lines out, as if none had been read."""
        self.restore(self._empty)

    def restore(self, state: CacheState) -> None:
        """Put back what an earlier `state` of this cache had.

        Raises
        ------
        LayoutError
            It is the state of another cache.
        """
        if state.cache is not self:
            raise LayoutError("weight cache: need an earlier state of this cache, got another's")
        newer, older, room = self._rings
        newer[:] = np.frombuffer(state.newer, np.uint32)
        linked = np.flatnonzero(newer < KEPT)
        older[newer[linked]] = linked
        takes, is_kept = self._places
        is_in = newer[: len(takes)] <= KEPT
        room[:] = (self.settings.n_segments, self.settings.n_tags) * 2
        for first, chosen in ((0, is_in), (2, is_in & is_kept)):
            sets = self._set_of_place[chosen]
            room[:, first] -= np.bincount(sets, takes[chosen], len(room)).astype(np.int64)
            room[:, first + 1] -= np.bincount(sets, minlength=len(room))


def uncached(lines: NetworkLines, n_iterations: int) -> CacheCounts:
    """Return what the iterations of one input come to without a cache: all that is read is fetched.

    No miss is cold, and none bypasses what is not there.

    Shapes
    ------
    each count: (n_iterations, n_layers, n_clusters)

    Raises
    ------
    LayoutError
        There are fewer clusters than iterations, or no iteration.
    """
    checked_iterations([n_iterations], lines.n_clusters)
    portions = np.repeat(np.arange(lines.n_lines.size), lines.n_lines.ravel())
    sizes = (lines.n_bytes, lines.raw_bytes, lines.bursts)
    by_portion = [np.ones_like(lines.n_bytes), *sizes]
    sums = np.zeros((n_iterations, lines.n_lines.size, N_SUMS), np.int64)
    for k in range(n_iterations):
        read = np.isin(portions, lines.reads(k + 1))
        for column, values in zip((MISSES, BYTES, RAW_BYTES, BURSTS), by_portion, strict=True):
            np.add.at(sums[k, :, column], portions[read], values[read])
    shape = (n_iterations, *lines.n_lines.shape)
    accesses = sums[..., MISSES].reshape(shape)
    return CacheCounts.of(accesses.copy(), sums.reshape(*shape, N_SUMS))


def _check_fit(lines: NetworkLines, settings: CacheSettings) -> None:
    if settings.pinned_clusters > lines.n_clusters:
        raise ConfigError(
            f"weight cache: need pinned_clusters of 0 to {lines.n_clusters}, as the lines have "
            f"clusters, got {settings.pinned_clusters}"
        )
    too_long = lines.n_bytes > settings.line_bytes
    if too_long.any():
        line = int(np.argmax(too_long))
        raise LayoutError(
            f"weight cache: {lines.name(line)}: need {settings.line_bytes} bytes at most, got "
            f"{lines.n_bytes[line]}; give line_bytes of that or more"
        )
    if settings.deduplicate and lines.contents is None:
        raise LayoutError(
            "weight cache: need contents of all lines to deduplicate them, got None; give them, or "
            "set deduplicate to False"
        )
