"""Searches of a content-addressable memory, cell by cell and row by row, in Python integers."""

from collections.abc import Sequence
from typing import NamedTuple

Cell = tuple[int, int]  # whether it discharges on a query bit of 0, and of 1
ZERO, ONE, ANY, NEVER = (0, 1), (1, 0), (0, 0), (1, 1)


def discharging(row: Sequence[Cell], query: int, care: int) -> list[int]:
    """Return the cells of a row that discharge its match line."""
    return [k for k, cell in enumerate(row) if (care >> k) & 1 and cell[(query >> k) & 1]]


def distances(
    rows: Sequence[Sequence[Cell]], query: int, care: int, weights: Sequence[int] | None = None
) -> list[int]:
    """Return the weight of the discharging cells of each row; without weights, their number."""
    found = (discharging(row, query, care) for row in rows)
    return [sum(weights[k] if weights else 1 for k in cells) for cells in found]


def best(distances: Sequence[int], k: int) -> list[tuple[int, int]]:
    """Return the k least (distance, row)."""
    return sorted((d, r) for r, d in enumerate(distances))[:k]


class Staged(NamedTuple):
    """Winner, and for each stage the rows left after it and those left before it that differ."""

    row: int
    standing: list[int]
    fell: list[int]


def nearest(values: Sequence[int], query: int, xor: bool = False) -> tuple[int, int]:
    """Return (distance, row) of the row nearest by difference, or by XOR."""
    return min((query ^ v if xor else abs(query - v), r) for r, v in enumerate(values))


def nearest_staged(values: Sequence[int], query: int, n_bits: int, stage_bits: int) -> Staged:
    """Keep the rows of least difference in each group of bits, most significant first."""
    alive = list(range(len(values)))
    standing, fell = [], []
    high = n_bits
    while high:
        low = max(0, high - stage_bits)
        size = 1 << (high - low)
        chunk = (query >> low) % size
        apart = {r: abs((values[r] >> low) % size - chunk) for r in alive}
        fell.append(sum(d > 0 for d in apart.values()))
        alive = [r for r in alive if apart[r] == min(apart.values())]
        standing.append(len(alive))
        high = low
    return Staged(alive[0], standing, fell)
