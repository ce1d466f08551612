"""Small networks of weight lines, their caches, and the same as plain Python has them."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from bitpim.weightstore.access_stream import NetworkLines
from bitpim.weightstore.cache import CacheCounts
from bitpim.weightstore.cache_settings import CacheSettings
from tests.naive.weight_cache import NAMES, Line, NaiveCache, Table, numbered

__all__ = ["caches", "lines_of", "naive_cache", "networks", "tables_of"]

LINE_BYTES = 16


@st.composite
def networks(draw: st.DrawFn) -> list[Line]:
    """Draw the lines of 1 to 3 layers of 1 to 4 clusters, some of which share a content."""
    n_clusters = draw(st.integers(1, 4))
    n_contents = draw(st.integers(1, 12))
    sizes = [
        (draw(st.integers(1, LINE_BYTES)), draw(st.integers(0, 40)), draw(st.integers(1, 3)))
        for _ in range(n_contents)
    ]

    def line(layer: int, cluster: int) -> Line:
        content = draw(st.integers(0, n_contents - 1))
        return Line(layer, cluster, *sizes[content], content)

    n_layers = draw(st.integers(1, 3))
    return numbered(
        [
            [[line(i, j) for _ in range(draw(st.integers(0, 6)))] for j in range(n_clusters)]
            for i in range(n_layers)
        ]
    )


@st.composite
def caches(draw: st.DrawFn, n_clusters: int) -> CacheSettings:
    """Draw a cache of 1 to 5 sets of 1 to 8 ways."""
    ways = draw(st.integers(1, 8))
    return CacheSettings(
        LINE_BYTES * ways * draw(st.integers(1, 5)),
        LINE_BYTES,
        ways,
        draw(st.integers(0, n_clusters)),
        draw(st.booleans()),
        draw(st.sampled_from(["whole", "segments"])),
        draw(st.sampled_from([1, 2, 4, 8, 16])),
        draw(st.integers(1, 3)),
    )


def lines_of(lines: Sequence[Line], n_layers: int, n_clusters: int) -> NetworkLines:
    """Return the lines as our cache takes them."""
    n_lines = np.zeros((n_layers, n_clusters), np.int64)
    for line in lines:
        n_lines[line.layer, line.cluster] += 1
    columns = [
        np.array([getattr(line, name) for line in lines], np.int64)
        for name in ("n_bytes", "raw_bytes", "bursts", "content")
    ]
    return NetworkLines(n_lines, *columns)


def naive_cache(lines: Sequence[Line], settings: CacheSettings) -> NaiveCache:
    """Return the same cache, line by line."""
    cut = settings.held == "segments"
    return NaiveCache(
        lines,
        settings.capacity_bytes // settings.line_bytes // settings.ways,
        settings.ways * (settings.line_bytes // settings.segment_bytes if cut else 1),
        settings.ways * (settings.tags_per_way if cut else 1),
        settings.segment_bytes if cut else 0,
        settings.pinned_clusters,
        settings.deduplicate,
    )


def tables_of(counts: CacheCounts) -> list[Table]:
    """Return counts by iteration, then by layer and cluster, without portions not read."""
    return [
        {
            (layer, cluster): {
                name: int(getattr(counts, name)[k, layer, cluster]) for name in NAMES
            }
            for layer, cluster in np.argwhere(accesses).tolist()
        }
        for k, accesses in enumerate(counts.accesses)
    ]
