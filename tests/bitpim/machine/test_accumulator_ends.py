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
from bitpim.machine.registry import make_machine
from bitpim.proof.reference import run_network
from bitpim_traces.records import REQUANTIZE_MODES, Requantize, TensorRecord, Trace
from tests.one_layer import one_layer, quantization

MACHINES = ("neural_cache", "dense_crossbar", "isaac", "sre", "pattern_crossbar", "pipelayer")


def two_weights(weights: tuple[int, int], zero: int, mode: str, input_zero: int = 0) -> Trace:
    """Build a linear layer of one filter; its signed codes have this zero point."""
    trace = one_layer(
        0,
        (2,),
        1,
        inputs=quantization(8, input_zero),
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


@pytest.mark.parametrize("name", MACHINES)
def test_the_ends_of_inputs_around_a_zero_point(name: str) -> None:
    """Inputs of 0 to 255 around 100 stand for -100 to 155; 13 x 155 = 2,015."""
    for weights, (fits, beyond) in {(13, 32): (1, 2), (13, 33): (0, 1), (-13, -33): (1, 2)}.items():
        trace = two_weights(weights, 0, "truncate_shift", input_zero=100)
        good = np.array([[100, 100], [255, 100 + fits]], np.uint8)
        bad = np.array([[255, 100 + beyond]], np.uint8)
        total = 155 * weights[0] + beyond * weights[1]
        for fidelity in ("bit", "integer"):
            network = make_machine(name).prepare(trace, fidelity=fidelity)
            (run,) = network.run_batch(good)
            assert np.array_equal(run.codes, run_network(trace, good)[0])
            with pytest.raises(AccumulatorError, match=rf"got {total} in channel"):
                list(network.run_batch(bad))


@pytest.mark.parametrize("name", MACHINES)
def test_products_beyond_float32_saturate(name: str) -> None:
    """A sum of 2 or more times a scale of 3e38 is more than float32 holds; no word is said."""
    trace = two_weights((8, -8), 0, "float_scale_half_even")
    (layer,) = trace.layers
    rule = Requantize("float_scale_half_even", scale=np.array([3e38], np.float32))
    trace = replace(trace, layers=(replace(layer, requantize=rule),))
    codes = np.array([[200, 0], [0, 200], [7, 7]], np.uint8)
    zero = int(layer.output.zero_point[0])
    for fidelity in ("bit", "integer"):
        (run,) = make_machine(name).prepare(trace, fidelity=fidelity).run_batch(codes)
        assert run.codes.ravel().tolist() == [layer.clamp[1], layer.clamp[0], zero]


def test_readings_of_a_column_that_no_longer_fit_32_bits() -> None:
    """243 units of 9 rows, all cells at 15 and all inputs at 65,535: the most that can be read.

    A read gives 9 x 15 = 135, a column 243 x 135 = 32,805 a slice, and all 16 slices together
    32,805 x 65,535 = 2,149,875,675: beyond 2^31 - 1, which the highest slice alone is not.
    """
    n = 243 * 9
    trace = one_layer(
        0,
        (n,),
        1,
        inputs=quantization(16),
        weights=quantization(16, signed=True),
        accumulator_bits=48,
        bias=False,
    )
    (layer,) = trace.layers
    most = TensorRecord.of(np.full((1, n), 2**15 - 1, np.int16), axes="OI", role="weight")
    step = Requantize("truncate_shift", np.ones(1, np.int32), np.full(1, 36, np.int32))
    trace = replace(trace, layers=(replace(layer, weight=most, requantize=step),))
    codes = np.full((1, n), 2**16 - 1, np.uint16)
    assert n * (2**15 - 1) * (2**16 - 1) >> 36 == 68  # far from where codes are clipped
    (run,) = make_machine("dense_crossbar").prepare(trace).run_batch(codes)
    assert run.codes.tolist() == run_network(trace, codes)[0].tolist() == [[68 + 7]]
