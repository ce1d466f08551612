"""What cells hold of a layer's weights, and tallies joined."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.crossbar.layers import _tallied, weight_numbers
from bitpim.errors import MappingError
from bitpim_traces.records import Geometry, LayerRecord, TensorRecord
from tests.one_layer import code_array, one_layer, quantization


def layer(codes: list[list[int]], bits: int, zeros: Any, *, signed: bool) -> LayerRecord:
    """Return a layer of two 1 x 1 filters with these codes, and zero points by filter."""
    weights = quantization(bits, zeros, signed=signed)
    trace = one_layer(0, (2, 1, 1), 2, Geometry((1, 1)), weights=weights)
    array = code_array(np.array(codes).reshape(2, 2, 1, 1), weights)
    weight = TensorRecord.of(array, axes="OIHW", role="weight")
    return replace(trace.layers[0], weight=weight)


@pytest.mark.parametrize(
    ("codes", "bits", "zeros", "signed", "numbers", "left"),
    [
        ([[-2, -1], [-2, -2]], 2, [-2, -2], True, [[0, 1], [0, 0]], [0, 0]),  # 0 is no code here
        ([[3, 5], [5, 7]], 3, [4, 5], False, [[-1, 1], [0, 2]], [0, 0]),
        ([[0, 7], [7, 0]], 3, [7, 0], False, [[-4, 3], [3, -4]], [3, -4]),  # not within 3 bits
        ([[-4, 3], [0, 1]], 3, [3, 0], True, [[-4, 3], [0, 1]], [3, 0]),
    ],
)
def test_weights_are_centred_where_they_fit(
    codes: list[list[int]],
    bits: int,
    zeros: list[int],
    signed: bool,
    numbers: list[list[int]],
    left: list[int],
) -> None:
    (held,) = weight_numbers(layer(codes, bits, zeros, signed=signed), "trace", lowest=True)
    assert held.numbers.T.tolist() == numbers
    assert held.zeros.tolist() == left
    assert held.bits == bits


def test_what_an_encoding_does_not_hold_is_refused() -> None:
    lowest = layer([[-4, 3], [0, 1]], 3, 0, signed=True)
    weight_numbers(lowest, 3, lowest=True)
    with pytest.raises(MappingError, match=r"layer 0 'only' .*within -3\.\.3, .* got -4\.\.3; set"):
        weight_numbers(lowest, 3, lowest=False)
    with pytest.raises(MappingError, match="at most 2 bits, got 3"):
        weight_numbers(lowest, 2, lowest=True)


def test_tallies_are_joined_at_their_own_numbers() -> None:
    total, least = _tallied(np.zeros(0, np.int64), 0, np.array([1, 2]), 3)
    assert (total.tolist(), least) == ([0, 0, 0, 1, 2], 0)
    total, least = _tallied(total, least, np.array([5, 6, 7]), -2)
    assert (total.tolist(), least) == ([5, 6, 7, 0, 0, 1, 2], -2)
