"""Lane, overlap and channel pruning, in loops and exact numbers."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

Weight = np.ndarray[Any, np.dtype[np.floating]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Lane = tuple[int, int]


def norms(weight: Weight, norm: str) -> dict[Lane, Fraction]:
    """Norm of every lane, of "l2" its square, which orders lanes alike."""
    found = {}
    for o, i in np.ndindex(*weight.shape[:2]):
        values = [Fraction(float(w)) for w in np.ravel(weight[o, i])]
        found[o, i] = sum((abs(w) if norm == "l1" else w * w for w in values), Fraction(0))
    return found


def weakest(weight: Weight, norm: str, n: int) -> set[Lane]:
    """The n lanes of least norm, the first of equals."""
    of = norms(weight, norm)
    return set(sorted(of, key=lambda lane: (of[lane], lane))[:n])


def owners(weight: Weight, norm: str, groups: Sequence[int]) -> set[Lane]:
    """Lanes that are kept where the largest of a group and channel is, the first of equals."""
    of, kept = norms(weight, norm), set()
    for group, channel in product(set(groups), range(weight.shape[1])):
        members = [m for m, g in enumerate(groups) if g == group]
        best = max(members, key=lambda m: (of[m, channel], -m))
        if of[best, channel]:
            kept.add((best, channel))
    return kept


def balanced_owners(weight: Weight, norm: str, groups: Sequence[int]) -> set[Lane]:
    """Lanes that are kept where channels go by descending norm, to none more than its part."""
    of, kept = norms(weight, norm), set()
    for group in set(groups):
        members = [m for m, g in enumerate(groups) if g == group]
        part = -(-weight.shape[1] // len(members))
        lanes = [(m, c) for m in members for c in range(weight.shape[1])]
        taken: dict[int, int] = {}
        for m, c in sorted(lanes, key=lambda lane: (-of[lane], lane)):
            if c not in taken and list(taken.values()).count(m) < part:
                taken[c] = m
        kept |= {(m, c) for c, m in taken.items() if of[m, c]}
    return kept


def conflicts(kept: Bools, groups: Sequence[int]) -> list[tuple[int, int, int]]:
    """Channels that two filters of a group keep, with each such pair of filters."""
    n_filters, n_channels = kept.shape
    return [
        (c, m, k)
        for c in range(n_channels)
        for m in range(n_filters)
        for k in range(m + 1, n_filters)
        if groups[m] == groups[k] and kept[m, c] and kept[k, c]
    ]
