"""Importances as whole steps of the largest; the channel of the input that a weight meets."""

import numpy as np

from bitpim_traces.quantize.importance import fixed_point_shares, input_channels_of
from tests.clustered_layers import BYTES, layer_of


def test_shares_are_millionths_of_the_largest() -> None:
    assert fixed_point_shares(np.array([3.0, 1.5, 0.0])).tolist() == [1 << 20, 1 << 19, 0]
    assert fixed_point_shares(np.zeros(2)).tolist() == [0, 0]
    assert fixed_point_shares(np.zeros(0)).tolist() == []


def test_channels_of_groups_are_their_own() -> None:
    layer = layer_of(0, np.ones((4, 3, 1, 1)), BYTES, groups=2)
    assert input_channels_of(layer).tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]
    depthwise = layer_of(0, np.ones((3, 1, 1, 1)), BYTES, groups=3)
    assert input_channels_of(depthwise).tolist() == [[0], [1], [2]]
