"""`float_scale_half_even` and the geometry of layers against onnxruntime, bit for bit."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.proof.reference import run_layer
from bitpim_traces.records import Geometry, TensorRecord
from tests.golden.cases import FLOAT, Case, add_case, avg_pool_case, linear_case, load_cases
from tests.golden.onnx_qlinear.make import VECTORS, make_cases

VECTOR_CASES = load_cases(VECTORS)
HAS_FMA = bool(np._core._multiarray_umath.__cpu_features__.get("FMA3"))  # type: ignore[attr-defined]


def _referee(case: Case) -> npt.NDArray[Any]:
    return run_layer(case.layer, case.inputs, case.quantizations)


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
def test_the_referee_equals_onnxruntime(seed: int) -> None:
    pytest.importorskip("onnxruntime")
    runtime = pytest.importorskip("tests.golden.onnx_qlinear.runtime")
    for name, case in make_cases(seed).items():
        if name.startswith("add") and not HAS_FMA:
            continue  # there onnxruntime adds in another order
        expected = runtime.run_onnx(case.layer, case.inputs, case.quantizations)
        np.testing.assert_array_equal(_referee(case), expected, err_msg=name)


@pytest.mark.skipif(not HAS_FMA, reason="onnxruntime without FMA adds in another order")
@pytest.mark.parametrize("seed", range(6))
def test_add_equals_onnxruntime_on_all_pairs_of_codes(seed: int) -> None:
    pytest.importorskip("onnxruntime")
    runtime = pytest.importorskip("tests.golden.onnx_qlinear.runtime")
    case = add_case(np.random.default_rng(seed), FLOAT, (1, 256, 256), signed=seed % 2 == 0)
    codes = np.arange(256).astype(case.inputs[0].dtype)
    first = np.repeat(codes, 256).reshape(1, 1, 256, 256)
    inputs = (first, first.swapaxes(2, 3).copy())
    case = Case(case.layer, inputs, case.quantizations)
    expected = runtime.run_onnx(case.layer, case.inputs, case.quantizations)
    np.testing.assert_array_equal(_referee(case), expected)


@pytest.mark.parametrize("seed", range(4))
def test_windowed_averages_differ_from_onnxruntime_at_ties_only(seed: int) -> None:
    # QLinearAveragePool sums dequantized floats, so it is no integer rule; one code is all that
    # may lie between (FORMAT.md follows QLinearGlobalAveragePool).
    pytest.importorskip("onnxruntime")
    runtime = pytest.importorskip("tests.golden.onnx_qlinear.runtime")
    rng = np.random.default_rng(seed)
    geometry = Geometry((3, 3), (2, 2), (1, 1, 1, 1), count_include_pad=seed % 2 == 0)
    case = avg_pool_case(rng, FLOAT, geometry, (4, 7, 7), signed=seed < 2)
    expected = runtime.run_onnx(case.layer, case.inputs, case.quantizations).astype(np.int64)
    apart = np.abs(_referee(case) - expected)
    assert apart.max() <= 1
    assert (apart != 0).mean() < 0.2


def test_accumulators_of_any_size_round_as_in_onnxruntime() -> None:
    # The bias alone makes the accumulator: ties of both parities and signs, both saturations,
    # and sums that float32 cannot hold.
    pytest.importorskip("onnxruntime")
    runtime = pytest.importorskip("tests.golden.onnx_qlinear.runtime")
    rng = np.random.default_rng(5)
    for exponent in (0, 1, 2, 5, 20, 23):
        case = linear_case(rng, FLOAT, 3, 4096, signed=True)
        assert case.layer.requantize is not None and case.layer.weight_quantization is not None
        reach = min(2**31 - 1, int(300 * 2.0**exponent))
        bias = rng.integers(-reach, reach, 4096, endpoint=True).astype(np.int32)
        source = replace(case.quantizations[0], scale=np.array([1.0]))
        weight_q = replace(case.layer.weight_quantization, scale=np.array([1.0]))
        output = replace(case.layer.output, scale=np.array([2.0**exponent]))
        layer = replace(
            case.layer,
            bias=TensorRecord.of(bias, axes="O", role="bias"),
            output=output,
            weight_quantization=weight_q,
            requantize=replace(case.layer.requantize, scale=np.array([2.0**-exponent], np.float32)),
        )
        zeros = np.full((1, 3), source.zero_point[0], np.int8)
        expected = runtime.run_onnx(layer, [zeros], [source])
        np.testing.assert_array_equal(run_layer(layer, [zeros], [source]), expected)
        assert {-128, 127} <= set(expected.ravel().tolist())
