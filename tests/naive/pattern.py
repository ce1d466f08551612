"""Pattern pruning of one weight, in plain Python with exact fractions."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy.typing as npt

Weight = npt.NDArray[Any]
Place = tuple[int, int]


def kernels(weight: Weight) -> dict[Place, list[Fraction]]:
    """Conv kernels by output and input channel, their positions in row order."""
    n_out, n_in, height, width = weight.shape
    return {
        (o, i): [Fraction(float(weight[o, i, r, s])) for r in range(height) for s in range(width)]
        for o in range(n_out)
        for i in range(n_in)
    }


def energy(kernel: Sequence[Fraction], code: int) -> Fraction:
    return sum((w * w for k, w in enumerate(kernel) if code >> k & 1), Fraction(0))


def natural(kernel: Sequence[Fraction], kept: int) -> int:
    """Of all masks of `kept` positions the one of most energy; ties: the earliest positions."""
    masks = [sum(1 << k for k in chosen) for chosen in combinations(range(len(kernel)), kept)]
    return max(masks, key=lambda code: energy(kernel, code))  # combinations come earliest first


def histogram(codes: Sequence[int]) -> list[tuple[int, int]]:
    return sorted(Counter(codes).items(), key=lambda item: (-item[1], item[0]))


def nearest(kernel: Sequence[Fraction], patterns: Sequence[int]) -> int:
    if not any(kernel) or not patterns:
        return 0
    return min(patterns, key=lambda code: (-energy(kernel, code), code))


def prune(weight: Weight, kept: int, n_patterns: int, n_dropped: int) -> dict[Place, int]:
    """Mask code of every conv kernel of one layer with patterns of its own."""
    of = kernels(weight)
    every = (1 << weight[0, 0].size) - 1
    by_energy = sorted(of, key=lambda place: (energy(of[place], every), place))
    dropped = set(by_energy[:n_dropped])
    alive = [place for place in of if place not in dropped and any(of[place])]
    votes = histogram([natural(of[place], kept) for place in alive])
    patterns = [code for code, _ in votes[:n_patterns]]
    return {place: nearest(of[place], patterns) if place in alive else 0 for place in of}
