"""`fixed_point_half_away` against LiteRT's reference kernels, bit for bit."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.proof.reference import run_layer
from bitpim_traces.records import Geometry, Requantize, TensorRecord
from tests.golden.cases import (
    FIXED,
    Case,
    add_case,
    conv_case,
    linear_case,
    load_cases,
    quantize_multiplier,
)
from tests.golden.litert.make import VECTORS, make_cases

VECTOR_CASES = load_cases(VECTORS)


def _referee(case: Case) -> npt.NDArray[Any]:
    return run_layer(case.layer, case.inputs, case.quantizations)


def _runtime() -> Any:
    pytest.importorskip("ai_edge_litert")
    return pytest.importorskip("tests.golden.litert.runtime")


@pytest.mark.parametrize("name", VECTOR_CASES)
def test_the_referee_equals_stored_vectors(name: str) -> None:
    case, expected = VECTOR_CASES[name]
    got = _referee(case)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_most_stored_vectors_use_the_range_of_codes() -> None:
    outputs = [expected for _, expected in VECTOR_CASES.values()]
    spread = [np.unique(expected).size > min(8, expected.size // 4) for expected in outputs]
    assert np.mean(spread) > 0.8  # the rest is saturated, which is worth a case as well


@pytest.mark.parametrize("seed", range(4))
def test_the_referee_equals_litert(seed: int) -> None:
    runtime = _runtime()
    for name, case in make_cases(seed).items():
        expected = runtime.run_litert(case.layer, case.inputs, case.quantizations)
        np.testing.assert_array_equal(_referee(case), expected, err_msg=name)


@pytest.mark.parametrize("seed", range(4))
def test_add_equals_litert_on_all_pairs_of_codes(seed: int) -> None:
    runtime = _runtime()
    case = add_case(np.random.default_rng(seed), FIXED, (1, 256, 256), signed=seed % 2 == 0)
    first = np.repeat(np.arange(256).astype(case.inputs[0].dtype), 256).reshape(1, 1, 256, 256)
    case = replace(case, inputs=(first, first.swapaxes(2, 3).copy()))
    expected = runtime.run_litert(case.layer, case.inputs, case.quantizations)
    np.testing.assert_array_equal(_referee(case), expected)


def _from_bias(case: Case, factor: float, bias: npt.NDArray[Any]) -> Case:
    """Make the accumulator equal the bias and the real factor equal `factor`."""
    layer, source = case.layer, replace(case.quantizations[0], scale=np.array([1.0]))
    assert layer.weight_quantization is not None
    zero = layer.weight_quantization.zero_point
    held = replace(layer.weight_quantization, scale=np.full(zero.shape, factor))
    multiplier, shift = quantize_multiplier(factor)
    rule = Requantize(FIXED, np.array([multiplier], np.int32), np.array([shift], np.int32))
    layer = replace(
        layer,
        output=replace(layer.output, scale=np.array([1.0])),
        weight_quantization=held,
        requantize=rule,
        bias=TensorRecord.of(bias.astype(np.int32), axes="O", role="bias"),
    )
    zeros = np.full(case.inputs[0].shape, source.zero_point[0]).astype(case.inputs[0].dtype)
    return Case(layer, (zeros,), (source,))


FACTORS = [2.0**-e for e in range(0, 24, 3)] + [1.5, 3.0, 0.75 / 64, 1 - 2.0**-24, 0.1234, 3e-7]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("factor", FACTORS)
def test_accumulators_of_any_size_round_as_in_litert(factor: float, signed: bool) -> None:
    # Ties of both signs, both saturations, shifts in both directions.
    runtime = _runtime()
    factor = float(np.float32(factor))
    rng = np.random.default_rng(int(factor * 1e6))
    reach = int(min((2**31 - 1) / max(factor * 2, 1), 300 / factor))
    bias = rng.integers(-reach, reach, 1024, endpoint=True)
    case = conv_case(
        rng,
        FIXED,
        Geometry((1, 1)),
        (1, 1, 1),
        1024,
        signed=signed,
        weight_signed=signed,
        per_channel=signed,
    )
    case = _from_bias(case, factor, bias)
    expected = runtime.run_litert(case.layer, case.inputs, case.quantizations)
    np.testing.assert_array_equal(_referee(case), expected)
    assert {case.layer.output.code_min, case.layer.output.code_max} <= set(expected.ravel())


@pytest.mark.parametrize("factor", FACTORS)
def test_litert_rounds_fully_connected_only_once(factor: float) -> None:
    # Its reference FULLY_CONNECTED multiplies in float64 and rounds half away from zero: the one
    # operator that leaves the int8 rule. Ours keeps the rule, so the two differ next to ties only.
    runtime = _runtime()
    factor = float(np.float32(factor))
    rng = np.random.default_rng(7)
    reach = int(min((2**31 - 1) / max(factor * 2, 1), 300 / factor))
    bias = rng.integers(-reach, reach, 1024, endpoint=True)
    case = _from_bias(linear_case(rng, FIXED, 2, 1024, signed=True), factor, bias)
    got = runtime.run_litert(case.layer, case.inputs, case.quantizations).astype(np.int64)[0]
    real = bias * factor
    once = np.sign(real) * np.floor(np.abs(real) + 0.5) + case.layer.output.zero_point[0]
    np.testing.assert_array_equal(got, np.clip(once, -128, 127))
    apart = _referee(case)[0] - got
    assert np.abs(apart).max() <= 1
    from_tie = np.abs(np.abs(real) % 1 - 0.5)
    shift = quantize_multiplier(factor)[1]
    reach_of_first_rounding = 2.0 ** (shift - 1) if shift < 0 else 0.0
    assert (from_tie[apart != 0] <= reach_of_first_rounding + 1e-6).all()
