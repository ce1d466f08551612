"""Small networks of weight lines, their caches, and the same as plain Python has them."""

from collections.abc import Sequence
from random import Random

import numpy as np
from hypothesis import strategies as st

from bitpim.weightstore.access_stream import NetworkLines
from bitpim.weightstore.cache import CacheCounts
from bitpim.weightstore.cache_settings import CacheSettings
from tests.naive.weight_cache import NAMES, Line, NaiveCache, Table

__all__ = ["caches", "lines_of", "naive_cache", "networks", "tables_of"]

LINE_BYTES = 16


@st.composite
def networks(draw: st.DrawFn) -> list[Line]:
    """Draw the lines of 1 to 3 layers of 1 to 4 clusters, some of which share a content."""
    n_layers, n_clusters = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    n_contents, longest = draw(st.integers(1, 40)), draw(st.integers(1, LINE_BYTES))
    most = draw(st.integers(0, 8))
    rng = Random(draw(st.integers(0, 1 << 32)))
    sizes = [
        (rng.randint(1, longest), rng.randint(0, 40), rng.randint(1, 3)) for _ in range(n_contents)
    ]
    portions = [(i, j) for i in range(n_layers) for j in range(n_clusters)]
    owners = [portion for portion in portions for _ in range(rng.randint(0, most))]
    contents = [rng.randrange(n_contents) for _ in owners]
    return [Line(*owner, *sizes[c], c) for owner, c in zip(owners, contents, strict=True)]


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
