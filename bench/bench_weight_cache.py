"""Speed of a cache of weight lines: the lines of ResNet-20 in four clusters, 64 bytes each.

Both twins count what ours counts, by layer and cluster. The twin of NumPy takes lines of sets side
by side at once. Many inputs are read faster than one by one, since few of them differ in what they
find in the cache; the twin knows nothing of that.
"""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.weightstore.access_stream import NetworkLines, whole_lines
from bitpim.weightstore.cache import CacheCounts, WeightCache
from bitpim.weightstore.cache_run import run_inputs
from bitpim.weightstore.cache_settings import CacheSettings

Ints = npt.NDArray[np.int64]
Ratio = Callable[[str, Callable[[], object], Callable[[], object]], float]

WEIGHTS = [432, *[2304] * 6, 4608, *[9216] * 5, 18432, *[36864] * 5, 640]
N_CLUSTERS = 4
CAPACITIES_KIB = [16, 64, 256]
N_INPUTS = 400


def resnet20_lines() -> NetworkLines:
    """Return the lines of clusters of equal counts."""
    per_cluster = -(-np.array(WEIGHTS) // (N_CLUSTERS * 64))
    return whole_lines(np.tile(per_cluster[:, None], N_CLUSTERS))


class DictionaryTwin:
    """Each set a dictionary in the order of use."""

    def __init__(self, lines: NetworkLines, settings: CacheSettings) -> None:
        self.lines, self.settings = lines, settings
        self.firsts, self.n_bytes = lines.firsts.tolist(), lines.n_bytes.tolist()
        self.sets: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(settings.n_sets)]

    def run(self, n_iterations: int) -> Ints:
        """Return misses, evictions and bytes of each portion, over all iterations."""
        found = np.zeros((self.lines.n_lines.size, 3), np.int64)
        sets, n_sets, ways, n_bytes = self.sets, len(self.sets), self.settings.ways, self.n_bytes
        for k in range(n_iterations):
            for g in self.lines.reads(k + 1).tolist():
                misses = evictions = fetched = 0
                for line in range(self.firsts[g], self.firsts[g + 1]):
                    held = sets[line % n_sets]
                    if line in held:
                        held.move_to_end(line)
                        continue
                    misses += 1
                    fetched += n_bytes[line]
                    if len(held) == ways:
                        held.popitem(last=False)
                        evictions += 1
                    held[line] = None
                found[g] += (misses, evictions, fetched)
        return found


class NumpyTwin:
    """Tags and times of use, sets side by side."""

    def __init__(self, lines: NetworkLines, settings: CacheSettings) -> None:
        self.lines, self.firsts = lines, lines.firsts.tolist()
        self.tags = np.full((settings.ways, settings.n_sets), -1)
        self.used = np.zeros_like(self.tags)
        self.now = 0

    def run(self, n_iterations: int) -> Ints:
        """Return misses, evictions and bytes of each portion, over all iterations."""
        found = np.zeros((self.lines.n_lines.size, 3), np.int64)
        n_sets = self.tags.shape[1]
        for k in range(n_iterations):
            for g in self.lines.reads(k + 1).tolist():
                line = self.firsts[g]
                while line < self.firsts[g + 1]:
                    end = min(self.firsts[g + 1], line + n_sets - line % n_sets)
                    found[g] += self._block(line, end)
                    line = end
        return found

    def _block(self, first: int, end: int) -> tuple[int, int, int]:
        """Read lines whose sets are side by side."""
        at = first % self.tags.shape[1]
        tags, used = self.tags[:, at : at + end - first], self.used[:, at : at + end - first]
        lines, each = np.arange(first, end), np.arange(end - first)
        same = tags == lines
        is_hit = same.any(axis=0)
        way = np.where(is_hit, same.argmax(axis=0), used.argmin(axis=0))
        n_evicted = np.count_nonzero(~is_hit & (tags[way, each] >= 0))
        self.now += 1
        tags[way, each] = lines
        used[way, each] = self.now
        missed = self.lines.n_bytes[first:end][~is_hit]
        return len(missed), int(n_evicted), int(missed.sum())


TWINS: dict[str, type[DictionaryTwin] | type[NumpyTwin]] = {
    "dictionary": DictionaryTwin,
    "numpy": NumpyTwin,
}


def same(counts: CacheCounts, found: Ints) -> bool:
    """Return whether counts of some layers and clusters are those of a twin."""
    columns = (counts.misses, counts.evictions, counts.bytes_fetched)
    return bool([column.ravel().tolist() for column in columns] == found.T.tolist())


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("capacity_kib", CAPACITIES_KIB)
def test_lines_over_a_twin(capacity_kib: int, twin: str, ratio: Ratio) -> None:
    """Read what one input of four iterations reads, after others were."""
    lines, settings = resnet20_lines(), CacheSettings(capacity_kib * 1024)
    cache, other = WeightCache(lines, settings), TWINS[twin](lines, settings)
    for _ in range(2):
        assert same(cache.run(N_CLUSTERS).over_iterations(), other.run(N_CLUSTERS))
    ratio(
        f"weight_cache_over_{twin}:{capacity_kib}KiB",
        lambda: cache.run(N_CLUSTERS),
        lambda: other.run(N_CLUSTERS),
    )


@pytest.mark.parametrize("capacity_kib", CAPACITIES_KIB)
def test_inputs_over_a_dictionary(capacity_kib: int, ratio: Ratio) -> None:
    """Read what 400 inputs read one after the other, half of which take one iteration."""
    lines, settings = resnet20_lines(), CacheSettings(capacity_kib * 1024)
    iterations = np.random.default_rng(0).choice(4, N_INPUTS, p=[0.5, 0.25, 0.15, 0.1]) + 1

    def with_a_dictionary() -> Ints:
        twin = DictionaryTwin(lines, settings)
        found: Ints = np.sum([twin.run(n) for n in iterations.tolist()], axis=0)
        return found

    assert same(run_inputs(lines, settings, iterations).total, with_a_dictionary())
    ratio(
        f"weight_cache_inputs:{capacity_kib}KiB",
        lambda: run_inputs(lines, settings, iterations),
        with_a_dictionary,
    )
