"""Where ranked weights are cut into clusters: by count, by importance, or by exact k-means.

All take importances in falling order and yield the ranks at which a new cluster begins; a weight of
rank r is in cluster `sum(r >= cuts)`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["BOUNDARIES", "by_count", "by_importance", "by_kmeans"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def by_count(shares: Ints, n_clusters: int) -> list[int]:
    """Cut so that sizes differ by one at most, the larger first."""
    size, n_larger = divmod(len(shares), n_clusters)
    return [k * size + min(k, n_larger) for k in range(1, n_clusters)]


def by_importance(shares: Ints, n_clusters: int) -> list[int]:
    """Cut where the sum of importances reaches equal parts of the whole.

    Cluster k begins with the first weight before which k parts of `n_clusters` are reached. So a
    weight of more than a part may leave the next cluster empty.

    Shapes
    ------
    shares : (n,) falling, not negative
    """
    before = np.cumsum(shares) - shares
    whole = int(shares.sum())
    parts = [-(-k * whole // n_clusters) for k in range(1, n_clusters)]
    return [int(rank) for rank in np.searchsorted(before, parts)]


def by_kmeans(shares: Ints, n_clusters: int) -> list[int]:
    """Cut so that the sum of squared distances from the means of clusters is the least there is.

    Equal importances stay together; of two ways that are equally good the one with the earlier
    cut counts, from the last cut to the first. Sums are exact integers, their squares over
    counts float64 numbers. Each further cluster takes n log n steps, n the number of distinct
    importances, for the best cut never moves back as more of them are parted.

    Shapes
    ------
    shares : (n,) falling, with `n_clusters` distinct values or more
    """
    starts = np.flatnonzero(np.diff(shares, prepend=shares[0] + 1))
    counts = np.diff(starts, append=len(shares))
    n_before = np.append(0, np.cumsum(counts))
    sums = np.append(0, np.cumsum(counts * shares[starts]))

    def gain(first: Ints, stop: Ints) -> Floats:
        """Yield what a cluster takes off the sum of squares: its own sum, squared, over n."""
        own = (sums[stop] - sums[first]).astype(np.float64)
        found: Floats = own * own / (n_before[stop] - n_before[first])
        return found

    stops = np.arange(1, len(starts) + 1)
    best = np.append(-np.inf, gain(np.zeros_like(stops), stops))
    choices = []
    for k in range(2, n_clusters + 1):
        best, choice = _one_more(best, gain, k)
        choices.append(choice)
    cuts = [len(starts)]
    for choice in reversed(choices):
        cuts.append(int(choice[cuts[-1]]))
    return [int(starts[cut]) for cut in reversed(cuts[1:])]


def _one_more(best: Floats, gain: Callable[[Ints, Ints], Floats], k: int) -> tuple[Floats, Ints]:
    """Part the first j values into k clusters, for every j, where `best` is that of k - 1.

    The middle j of a range is decided first; its cut bounds those of the halves. All ranges of
    one depth are decided at once.
    """
    n = len(best) - 1
    found, choice = np.full(n + 1, -np.inf), np.zeros(n + 1, np.int64)
    ranges = np.array([[k, n, k - 1, n - 1]])  # of j, and of the cut before it
    while len(ranges):
        first, last, low, high = ranges.T
        middle = (first + last) // 2
        n_cuts = np.minimum(high, middle - 1) - low + 1
        begins = np.cumsum(n_cuts) - n_cuts
        cut = np.arange(int(n_cuts.sum())) - np.repeat(begins - low, n_cuts)
        value = best[cut] + gain(cut, np.repeat(middle, n_cuts))
        found[middle] = np.maximum.reduceat(value, begins)
        is_best = value == np.repeat(found[middle], n_cuts)
        choice[middle] = np.minimum.reduceat(np.where(is_best, cut, n), begins)
        left = np.stack([first, middle - 1, low, choice[middle]], axis=1)
        right = np.stack([middle + 1, last, choice[middle], high], axis=1)
        ranges = np.concatenate([left[first < middle], right[middle < last]])
    return found, choice


BOUNDARIES: dict[str, Callable[[Ints, int], list[int]]] = {
    "equal_count": by_count,
    "equal_importance": by_importance,
    "kmeans": by_kmeans,
}
"""The rules by name."""
