"""Layers that work code by code: which programs they run, and that plans count them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.machine.cache_machine import CacheMachine
from bitpim.machine.registry import load_preset
from bitpim.proof.reference import run_network
from bitpim.sram.elementwise_plan import LanePlan
from bitpim.sram.network_mapping import plan_layer
from bitpim.sram.plan import LayerPlan, TablePlan
from bitpim.sram.rules import OneGroup
from bitpim_traces.records import LayerRecord, Params, Requantize, Samples, TensorRecord, Trace
from tests.one_layer import code_array, one_layer, quantization

SETTINGS = load_preset("neural_cache")
HALVE = Requantize("truncate_shift", np.array([1], np.int32), np.array([1], np.int32))


def trace_of(kind: str, *, n: int = 1, **parts: Any) -> Trace:
    """Unsigned codes of 8 bits with a zero point of 3: ends, zero point, and one above."""
    source = quantization(8, 3)
    codes = TensorRecord.of(code_array([[0, 3, 13, 255]], source), axes="NC", role="codes")
    parts = {"output": source, "clamp": (0, 255), **parts}
    if kind == "concat":
        parts["params"] = Params(concat_axis=0)
    shape = (4 * n if kind == "concat" else 4,)
    layer = LayerRecord(0, kind, kind, (-1,) * n, ((4,),) * n, shape, **parts)
    return Trace("codes", (layer,), Samples(codes, source), {})


def plan_of(trace: Trace) -> LayerPlan:
    (layer,) = trace.layers
    return plan_layer(layer, trace.input_quantizations(layer), SETTINGS, OneGroup())


def codes_of(trace: Trace, fidelity: str = "bit") -> list[int]:
    machine = CacheMachine(SETTINGS, OneGroup())
    codes = trace.samples.codes.read()
    (run,) = machine.prepare(trace, fidelity=fidelity).run_batch(codes)
    assert run.counts == plan_of(trace).counts(1)
    assert np.array_equal(run.codes, run_network(trace, codes)[0])
    found: list[int] = run.codes[0].tolist()
    return found


@pytest.mark.parametrize("fidelity", ["bit", "integer"])
def test_an_activation_halves_its_codes_where_it_says_so(fidelity: str) -> None:
    relu: dict[str, Any] = {"activation": "relu", "requantize": HALVE, "output": quantization(8, 0)}
    assert codes_of(trace_of("activation", **relu), fidelity) == [0, 0, 5, 126]
    assert codes_of(trace_of("activation", activation="relu", clamp=(3, 255)), fidelity) == [
        3, 3, 13, 255,
    ]  # fmt: skip


def test_plans_count_the_step_of_an_activation() -> None:
    """A multiply, a shift and a clamp take more steps than the clamp, and a multiplier's rows."""
    output = quantization(8, 0)
    plain = plan_of(trace_of("activation", activation="relu", clamp=(3, 255)))
    halved = plan_of(trace_of("activation", activation="relu", requantize=HALVE, output=output))
    assert isinstance(plain, LanePlan) and isinstance(halved, LanePlan)
    for plan in (plain, halved):
        (work,) = plan.work
        assert plan.counts(1)["activation"]["cycles"] == work.n_steps
        assert plan.phase == "activation"
    assert (plain.work[0].n_steps, halved.work[0].n_steps) == (36, 84)
    streams = [plan.counts(1)["input_stream"]["sram_access_cycle"] for plan in (plain, halved)]
    assert streams == [8, 9]  # 8 bit-planes of codes, and a multiplier of 1 bit


def test_the_cpu_takes_an_activation_with_a_float_scale() -> None:
    scale = Requantize("float_scale_half_even", scale=np.array([0.5], np.float32))
    trace = trace_of("activation", activation="relu", requantize=scale, output=quantization(8, 0))
    assert isinstance(plan_of(trace), TablePlan)
    assert codes_of(trace) == [0, 0, 5, 126]


def test_a_concat_clamps_in_lanes_and_only_moves_where_it_does_not() -> None:
    moved, clamped = trace_of("concat", n=2), trace_of("concat", n=2, clamp=(5, 20))
    plan = plan_of(clamped)
    assert isinstance(plan_of(moved), TablePlan) and isinstance(plan, LanePlan)
    assert [work.n_outputs for work in plan.work] == [4, 4]
    cycles = plan.counts(1)["activation"]["cycles"]
    assert cycles == sum(work.n_steps for work in plan.work) > 0
    assert codes_of(clamped) == 2 * [5, 5, 13, 20]
    assert codes_of(moved) == 2 * [0, 3, 13, 255]


def test_each_input_of_a_concat_has_its_own_entry() -> None:
    steps = Requantize("truncate_shift", np.array([1, 3], np.int32), np.array([1, 2], np.int32))
    trace = trace_of("concat", n=2, requantize=steps, output=quantization(8, 3))
    assert codes_of(trace) == [1, 3, 8, 129, 0, 3, 10, 192]


def test_signed_codes_are_clamped_as_they_are() -> None:
    source = quantization(8, -5, signed=True)
    trace = trace_of("concat", n=2, output=source, clamp=(-100, 20))
    codes = TensorRecord.of(code_array([[-128, -5, 20, 127]], source), axes="NC", role="codes")
    assert codes_of(replace(trace, samples=Samples(codes, source))) == 2 * [-100, -5, 20, 20]


@pytest.mark.parametrize("bits", [12, 64])
def test_constants_wrap_into_the_accumulator(bits: int) -> None:
    """What corrects zero points may not fit the bits of sums: 20 codes at zero point 255."""
    trace = one_layer(
        1, (20,), 3, inputs=quantization(8, 255), weights=quantization(8, 0), mode="half_up_shift"
    )
    source = trace.samples.quantization
    codes = TensorRecord.of(code_array(np.full((1, 20), 255), source), axes="NC", role="codes")
    bias = np.array([-2048, 0, 2047], np.int64 if bits > 32 else np.int32)
    layer = replace(
        trace.layers[0],
        accumulator_bits=bits,
        bias=TensorRecord.of(bias, axes="O", role="bias"),
        requantize=Requantize("half_up_shift", np.array([1], np.int32), np.array([4], np.int32)),
    )
    settings = load_preset("neural_cache")
    trace = replace(trace, layers=(layer,), samples=Samples(codes, source))
    codes_in = trace.samples.codes.read()
    taller = settings.model_copy(
        update={"geometry": settings.geometry.model_copy(update={"array_rows": 512})}
    )
    (run,) = CacheMachine(taller, OneGroup()).prepare(trace).run_batch(codes_in)
    assert run.codes.tolist() == run_network(trace, codes_in)[0].tolist() == [[-121, 7, 127]]
