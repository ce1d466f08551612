"""Sums at both ends of a declared accumulator, and one step beyond, on every machine.

An accumulator of 12 bits holds -2,048 to 2,047. Two inputs of 8 bits, a filter of two weights:

    weights    inputs      sum        weights    inputs      sum
      8  7     255  1     2,047        -8  -8    255  1    -2,048     fits
      8  8     255  1     2,048        -8  -1    255  9    -2,049     is refused
"""

from dataclasses import replace

import numpy as np
import pytest

from bitpim.errors import AccumulatorError
from bitpim.machines.registry import make_machine
from bitpim.verify.reference import run_network
from bitpim_traces.records import REQUANTIZE_MODES, TensorRecord, Trace
from tests.one_layer import one_layer, quantization

MACHINES = ("neural_cache", "dense_crossbar", "isaac", "sre", "pattern_crossbar")


def two_weights(weights: tuple[int, int], zero: int, mode: str) -> Trace:
    """Build a linear layer of one filter; its signed codes have this zero point."""
    trace = one_layer(
        0,
        (2,),
        1,
        inputs=quantization(8),
        weights=quantization(8, zero, signed=True),
        mode=mode,
        accumulator_bits=12,
        bias=False,
    )
    codes = np.array([weights], np.int8) + np.int8(zero)
    (layer,) = trace.layers
    record = TensorRecord.of(codes, axes="OI", role="weight")
    return replace(trace, layers=(replace(layer, weight=record),))


@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
@pytest.mark.parametrize("name", MACHINES)
def test_the_last_sum_that_fits_and_the_first_that_does_not(
    name: str, mode: str, zero: int
) -> None:
    cases = {(8, 7): (1, 2), (8, 8): (0, 1), (-8, -8): (1, 2), (-8, -1): (8, 9)}
    for weights, (fits, beyond) in cases.items():
        trace = two_weights(weights, zero, mode)
        good = np.array([[0, 0], [255, fits]], np.uint8)
        bad = np.array([[0, 0], [255, beyond]], np.uint8)
        expected = run_network(trace, good)[0]
        total = 255 * weights[0] + beyond * weights[1]
        for fidelity in ("bit", "integer"):
            network = make_machine(name).prepare(trace, fidelity=fidelity)
            (run,) = network.run_batch(good)
            assert np.array_equal(run.codes, expected), (weights, fidelity)
            with pytest.raises(AccumulatorError, match=rf"-2048\.\.2047 .* got {total} in channel"):
                list(network.run_batch(bad))
