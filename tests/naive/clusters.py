"""Weights in clusters, written out: lists of fractions, one by one, every way to cut them."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

__all__ = ["Weights", "by_kmeans", "cost_of", "numbers_of", "shares_of"]

Weights = list[Fraction | None]
"""Importances of the weights of a layer in C order; None where one is at its zero point."""


def shares_of(importances: Sequence[Fraction]) -> list[int]:
    """Round to whole millionths (2**-20) of the largest, half to even."""
    largest = max(importances, default=Fraction(0))
    return [round(value / largest * 2**20) if largest else 0 for value in importances]


def numbers_of(pool: Sequence[Weights], n_clusters: int, boundaries: str) -> list[list[int]] | None:
    """Put layers that are ranked together into clusters; None where one has an empty cluster."""
    places = [(i, k) for i, layer in enumerate(pool) for k, w in enumerate(layer) if w is not None]
    values = {place: pool[place[0]][place[1]] or Fraction(0) for place in places}
    ranked = sorted(places, key=lambda place: -values[place])  # stable: by place where equal
    shares = shares_of([values[place] for place in ranked])
    cut = {"equal_count": _by_count, "equal_importance": _by_importance, "kmeans": by_kmeans}
    found = dict(zip(ranked, cut[boundaries](shares, n_clusters), strict=True))
    last = n_clusters - 1
    layers = [[found.get((i, k), last) for k in range(len(layer))] for i, layer in enumerate(pool)]
    if any(set(layer) != set(range(n_clusters)) for layer in layers):
        return None
    return layers


def cost_of(shares: Sequence[int], numbers: Sequence[int]) -> Fraction:
    """Add up squared distances from the means of clusters."""
    total = Fraction(0)
    for k in set(numbers):
        own = [share for share, number in zip(shares, numbers, strict=True) if number == k]
        mean = Fraction(sum(own), len(own))
        total += sum((share - mean) ** 2 for share in own)
    return total


def _by_count(shares: Sequence[int], n_clusters: int) -> list[int]:
    numbers: list[int] = []
    for k in range(n_clusters):
        size = len(shares) // n_clusters + (k < len(shares) % n_clusters)
        numbers += [k] * size
    return numbers


def _by_importance(shares: Sequence[int], n_clusters: int) -> list[int]:
    whole, before, numbers = sum(shares), 0, []
    for share in shares:
        numbers.append(min(before * n_clusters // whole, n_clusters - 1))
        before += share
    return numbers


def by_kmeans(shares: Sequence[int], n_clusters: int) -> list[int]:
    """Try every way to cut between distinct importances; of equal ones take the first found."""
    steps = [r for r in range(1, len(shares)) if shares[r] != shares[r - 1]]
    ways = [
        [sum(r >= cut for cut in cuts) for r in range(len(shares))]
        for cuts in combinations(steps, n_clusters - 1)
    ]
    return min(ways, key=lambda numbers: cost_of(shares, numbers))
