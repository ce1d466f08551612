"""Tallies of partial sums, joined."""

import numpy as np

from bitpim.crossbar.layers import _tallied


def test_tallies_are_joined_at_their_own_numbers() -> None:
    total, least = _tallied(np.zeros(0, np.int64), 0, np.array([1, 2]), 3)
    assert (total.tolist(), least) == ([0, 0, 0, 1, 2], 0)
    total, least = _tallied(total, least, np.array([5, 6, 7]), -2)
    assert (total.tolist(), least) == ([5, 6, 7, 0, 0, 1, 2], -2)
