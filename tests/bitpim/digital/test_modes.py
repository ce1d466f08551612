"""Requantize modes: their records, and that no consumer takes an unknown one for a known one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.digital.layers import prepare_layer
from bitpim.digital.modes import FIXED_POINT_HALF_AWAY, FLOAT_SCALE_HALF_EVEN, MODES, Mode
from bitpim.digital.requantize import mode_of, steps_of
from bitpim.errors import MappingError, TraceDataError
from bitpim.machine.registry import make_machine
from bitpim.sram.lane_programs import (
    RequantizeRule,
    average_program,
    epilogue_program,
    rescale_program,
)
from bitpim_kernels.requantize import requantize_one
from bitpim_traces import modes
from bitpim_traces.records import REQUANTIZE_MODES, LayerRecord, Requantize, Trace
from tests.naive.requantize import requantize
from tests.strategies import small_trace

REQUANTIZED = ("conv2d", "linear", "avg_pool2d", "add", "concat")
KNOWN = ", ".join(REQUANTIZE_MODES)
STEP = Requantize("half_up_shift", np.ones(1, np.int32), np.zeros(1, np.int32))
RECORD = modes.Mode(name="stochastic", formula="none", bounds="none")
NEW = Mode(RECORD, 9, FLOAT_SCALE_HALF_EVEN.exact)


def with_unknown_mode(kind: str) -> tuple[Trace, LayerRecord]:
    """Return a network whose last layer has a requantize step of a misspelt mode, and the layer."""
    for seed in range(20):
        trace = small_trace(seed, mode="half_up_shift", kinds=[kind], bits=(8, 8))
        layer = trace.layers[-1]
        if layer.kind == kind:
            wrong = replace(layer, requantize=replace(STEP, mode="half_up"))
            return replace(trace, layers=(*trace.layers[:-1], wrong)), wrong
    raise AssertionError(kind)


def test_the_modes_are_those_of_traces_and_differ_in_the_kernels() -> None:
    assert tuple(MODES) == REQUANTIZE_MODES
    assert all(mode.name == name for name, mode in MODES.items())
    assert len({mode.kernel_code for mode in MODES.values()}) == len(MODES)


@pytest.mark.parametrize("kind", REQUANTIZED)
def test_an_unknown_mode_is_refused_in_one_sentence(kind: str) -> None:
    """By the digital layers, by the lanes of a cache, and by crossbars."""
    trace, layer = with_unknown_mode(kind)
    where = f"layer {layer.index} '{layer.name}' \\({kind}\\): need a requantize step of"
    need = f"{where} {KNOWN}, got 'half_up'; mend the trace"
    with pytest.raises(TraceDataError, match=need):
        prepare_layer(layer, trace.input_quantizations(layer))
    with pytest.raises(TraceDataError, match=need):
        make_machine("neural_cache").plan(trace)
    with pytest.raises(TraceDataError, match=need):
        list(make_machine("isaac").prepare(trace).run_batch(trace.samples.codes.read()))


@pytest.mark.parametrize("mode", [FLOAT_SCALE_HALF_EVEN, NEW])
def test_lanes_refuse_a_mode_they_have_no_program_for(mode: Mode) -> None:
    rule = RequantizeRule(mode, 7, 3, 0, (0, 255), 8, False)
    need = f"need a mode of .*, got '{mode.name}'"
    with pytest.raises(MappingError, match=need):
        epilogue_program(16, 32, None, rule, 256)
    with pytest.raises(MappingError, match=need):
        rescale_program(8, 3, rule, 256)
    with pytest.raises(MappingError, match=need):
        average_program(8, 4, 0, rule, 4, 256)


def steps_at_their_bounds(mode: str, multiplier: int, shift: int, bits: int) -> Any:
    _, layer = with_unknown_mode("linear")
    step = Requantize(
        mode,
        multiplier=np.array([multiplier], np.int32),
        shift=np.array([shift], np.int32),
        scale=np.array([2.0**-shift], np.float32),
    )
    none = np.zeros(1, np.int64)
    steps = steps_of(layer, 1, none, none, step, bits).kernel_steps
    return step, steps._replace(clamp_low=-(2**62), clamp_high=2**62, zero_point=0)


@given(
    mode=st.sampled_from([m for m in MODES if m != FLOAT_SCALE_HALF_EVEN.name]),
    multiplier=st.integers(0, 2**31 - 1),
    shift=st.integers(0, 31),
    bits=st.integers(2, 64),
)
def test_kernels_are_exact_as_far_as_a_mode_says(
    mode: str, multiplier: int, shift: int, bits: int
) -> None:
    if mode == FIXED_POINT_HALF_AWAY.name:
        multiplier, shift = multiplier | 2**30, shift - 20
    step, steps = steps_at_their_bounds(mode, multiplier, shift, bits)
    for acc in (int(steps.low[0]), int(steps.high[0])):
        assert -(2 ** (bits - 1)) <= acc < 2 ** (bits - 1)
        assert int(requantize_one(acc, steps, 0)) == requantize(acc, step, 0)


def test_bounds_are_as_wide_as_the_arithmetic() -> None:
    """One more would leave the 62 bits of a product, or the 32 of a shifted accumulator."""
    _, shifted = steps_at_their_bounds("truncate_shift", 2**31 - 1, 3, 64)
    assert int(shifted.high[0]) == -int(shifted.low[0]) == (2**62 - 1) // (2**31 - 1)
    _, fixed = steps_at_their_bounds("fixed_point_half_away", 2**30, 5, 64)
    assert (int(fixed.low[0]), int(fixed.high[0])) == (-(2**26), 2**26 - 1)
    _, float_steps = steps_at_their_bounds("float_scale_half_even", 0, 0, 40)
    assert (int(float_steps.low[0]), int(float_steps.high[0])) == (-(2**39), 2**39 - 1)
    for multiplier, limit in ((1, 2**62 - 1), (5, (2**62 - 1) // 5)):
        _, plain = steps_at_their_bounds("half_up_shift", multiplier, 0, 64)
        assert int(plain.high[0]) == -int(plain.low[0]) == limit
    _, zero = steps_at_their_bounds("half_up_shift", 0, 0, 64)  # any accumulator gives 0
    assert (int(zero.low[0]), int(zero.high[0])) == (-(2**63), 2**63 - 1)


def test_sums_are_checked_only_where_one_may_leave_its_bounds() -> None:
    _, layer = with_unknown_mode("linear")
    for least, most, check in ((-128, 127, False), (-129, 127, True), (-128, 128, True)):
        steps = steps_of(layer, 1, np.array([least]), np.array([most]), STEP, 8)
        assert steps.check is check


def test_a_layer_without_a_step_has_no_mode() -> None:
    _, layer = with_unknown_mode("conv2d")
    with pytest.raises(TraceDataError, match=f"need a requantize step of {KNOWN}, got none"):
        mode_of(replace(layer, requantize=None))
