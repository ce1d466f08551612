"""How tiles are told: which filters meet which positions."""

from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["items_told"]

Int64 = npt.NDArray[np.int64]

_MOST = 3  # positions told one by one


def items_told(filters: Int64, positions: Int64, n_columns: int) -> str:
    """Say which filters meet which positions (y, x) of an output of so many columns.

    >>> items_told(np.array([0, 1, 2, 5]), np.array([7, 7, 7, 8]), 4)
    'filters 0 to 2 at (1, 3), filter 5 at (2, 0)'
    """
    pairs = zip(positions.tolist(), filters.tolist(), strict=True)
    found: list[tuple[list[int], list[int]]] = []  # filters, and the positions that they meet
    for position, group in groupby(pairs, key=lambda pair: pair[0]):
        mine = [f for _, f in group]
        if found and found[-1][0] == mine:
            found[-1][1].append(position)
        else:
            found.append((mine, [position]))
    told = [f"{_filters_told(of)} at {_at(where, n_columns)}" for of, where in found]
    if len(told) > _MOST:
        told = [*told[: _MOST - 1], f"{len(told) - _MOST} more", told[-1]]
    return ", ".join(told) or "nothing"


def _at(positions: list[int], n_columns: int) -> str:
    first, last = (f"{divmod(p, n_columns)}" for p in (positions[0], positions[-1]))
    return first if len(positions) == 1 else f"{first} to {last}"


def _filters_told(filters: list[int]) -> str:
    if len(filters) == 1:
        return f"filter {filters[0]}"
    apart = {b - a for a, b in pairwise(filters)}
    if apart == {1}:
        return f"filters {filters[0]} to {filters[-1]}"
    if len(filters) <= _MOST + 1:
        return f"filters {', '.join(map(str, filters))}"
    return f"filters {', '.join(map(str, filters[:_MOST]))} and {len(filters) - _MOST} more"
