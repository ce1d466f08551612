"""Trees of 2-means written out: lists of integers, one by one, and fractions."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

__all__ = ["half_away", "leaf_nodes", "nearest_code", "tree"]


def half_away(value: Fraction) -> int:
    """Round to the nearest integer, half away from zero."""
    return floor(value + Fraction(1, 2)) if value >= 0 else ceil(value - Fraction(1, 2))


def nearest_code(value: Fraction, values: Sequence[Fraction]) -> int:
    """Yield the place of the nearest value, of two the lower."""
    return min(range(len(values)), key=lambda code: (abs(value - values[code]), code))


def tree(stream: Sequence[int], depth: int) -> tuple[list[int], list[list[int]]]:
    """Yield the leaves' values, and for each coarser depth every leaf's ancestor.

    `stream` has each value as often as it occurred, in any order.
    """
    distinct = sorted({*stream, 0})
    if distinct == [0]:
        return [0, 1], [[0, 1]] * (depth - 1)
    paths = _leaves(distinct, stream, depth)
    by_leaf = [[_value(node, stream) for node in path] for path in paths]
    return [path[-1] for path in by_leaf], [[p[d] for p in by_leaf] for d in range(depth - 1)]


def leaf_nodes(stream: Sequence[int], depth: int) -> list[list[int]]:
    """Yield the distinct values of every leaf."""
    return [path[-1] for path in _leaves(sorted({*stream, 0}), stream, depth)]


def _leaves(node: list[int], stream: Sequence[int], depth: int) -> list[list[list[int]]]:
    """Yield the nodes below one on the way to each leaf."""
    if depth == 0:
        return [[]]
    children = [node] if len(node) == 1 else _roomy(_split(node, stream), 1 << (depth - 1))
    return [[child, *rest] for child in children for rest in _leaves(child, stream, depth - 1)]


def _roomy(parts: list[list[int]], n_leaves: int) -> list[list[int]]:
    """Move values over from a part with too few leaves, if there is room for all."""
    lower, upper = parts
    if len(lower) + len(upper) <= 2 * n_leaves:
        while len(lower) > n_leaves:
            lower, upper = lower[:-1], [lower[-1], *upper]
        while len(upper) > n_leaves:
            lower, upper = [*lower, upper[0]], upper[1:]
    return [lower, upper]


def _value(node: list[int], stream: Sequence[int]) -> int:
    return 0 if 0 in node else half_away(_mean(node, stream))


def _mean(node: list[int], stream: Sequence[int]) -> Fraction:
    members = [x for x in stream if x in node]
    return Fraction(sum(members), len(members)) if members else Fraction(0)


def _split(node: list[int], stream: Sequence[int]) -> list[list[int]]:
    members = sorted(x for x in stream if x in node)
    centres = [Fraction(members[ceil(n * len(members) / 4) - 1]) for n in (1, 3)]
    if centres[0] == centres[1]:
        centres = [Fraction(node[0]), Fraction(node[-1])]
    parts: list[list[int]] = []
    for _ in range(50):
        lower = [x for x in node if abs(x - centres[0]) <= abs(x - centres[1])]
        before, parts = parts, [lower, [x for x in node if x not in lower]]
        if parts == before:
            break
        centres = [_mean(part, stream) for part in parts]
    return parts
