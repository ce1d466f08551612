"""What cells hold of a layer's weights, and what is driven of its inputs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.number_coding import NumberCoding
from bitpim.errors import MappingError
from bitpim_traces.records import Geometry, LayerRecord, TensorRecord
from tests.one_layer import code_array, one_layer, quantization


def coding(encoding: str, weight_bits: Any, input_bits: Any = "trace") -> NumberCoding:
    return NumberCoding(CrossbarGeometry(8, 8, 2), encoding, weight_bits, input_bits)


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
    (held,) = coding("offset", "trace").weights(layer(codes, bits, zeros, signed=signed))
    assert held.numbers.T.tolist() == numbers
    assert held.zeros.tolist() == left
    assert held.bits == bits


def test_what_an_encoding_does_not_hold_is_refused() -> None:
    lowest = layer([[-4, 3], [0, 1]], 3, 0, signed=True)
    coding("twos_complement", 3).weights(lowest)
    with pytest.raises(MappingError, match=r"layer 0 'only' .*need 4 bits .* got 3; use `--set"):
        coding("differential", 3).weights(lowest)
    with pytest.raises(MappingError, match=r"need 3 bits .* got 2"):
        coding("twos_complement", 2).weights(lowest)


def test_groups_have_matrices_of_their_own() -> None:
    """A row a window position of the group's channels, a column an output; zero points go along."""
    geometry, weights = Geometry((2, 1), groups=2), quantization(8, [0, 1, 2, 3], signed=True)
    trace = one_layer(1, (4, 3, 3), 4, geometry, weights=weights)
    weight = trace.layers[0].weight
    assert weight is not None
    parts = coding("offset", 16).weights(trace.layers[0])
    assert [part.numbers.shape for part in parts] == [(4, 2), (4, 2)]
    numbers = np.concatenate([part.numbers - part.zeros for part in parts], axis=1)
    codes = weight.read().astype(np.int64).reshape(4, 4) - np.arange(4)[:, np.newaxis]
    assert np.array_equal(numbers, codes.T)


def test_weights_are_encoded_for_arrays_and_zero_points_corrected() -> None:
    made = coding("column_flip", 4)
    (weights,) = made.weights(layer([[-8, 7], [7, 7]], 4, 0, signed=True))
    stored = made.encoded(weights, 1)  # each row is an array of its own
    assert stored.row_edges.tolist() == [0, 1, 2]
    assert stored.weights.T.tolist() == [[-8, 7], [7, 7]]
    narrow = layer([[0, 0], [0, 0]], 4, 0, signed=True)
    assert made.columns_per_weight(narrow) == 2  # 4 bits in cells of 2
    assert coding("differential", 6).columns_per_weight(narrow) == 6  # 5 bits, twice


@pytest.mark.parametrize(("bits", "width"), [("trace", 5), (5, 5), (9, 9)])
def test_inputs_are_driven_at_the_width_of_the_machine(bits: Any, width: int) -> None:
    trace = one_layer(2, (3,), 2, inputs=quantization(5, 0, signed=True))
    (given,) = trace.input_quantizations(trace.layers[0])
    found = coding("offset", 8, bits).inputs(trace.layers[0], given)
    assert (found.bits, found.signed, found.width) == (width, True, 5)
    with pytest.raises(MappingError, match="inputs of at most 4 bits, got 5; use `--set"):
        coding("offset", 8, 4).check(trace, trace.layers[0], trace.layers)
