"""Recorded tiles of the cache machines: their sums, codes and counts are the machine's."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.config import override
from bitpim.machine.bit_prudent import BitPrudentSettings
from bitpim.machine.cache_machine import CacheMachine
from bitpim.machine.registry import load_preset
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.lane_codes import LaneCodes
from bitpim.sram.rules import ConvRule, OneGroup
from bitpim.sram.sparse_rules import PrunedLanes
from bitpim_traces.records import Trace
from tests.equivalence.test_cache_arrays import CASES, FEW_BITS, TWO_ARRAYS, windows_of
from tests.equivalence.test_sparse_arrays import LAYERS, MODES
from tests.recorded_layers import ARRAY_EVENTS, RecordedLayer
from tests.toy_rules import with_channels_pruned

Codes = npt.NDArray[np.int64]


def check_conv(machine: CacheMachine, trace: Trace) -> RecordedLayer:
    """See that all tiles of a layer are what the machine computed, and counted."""
    done = RecordedLayer(machine, trace)
    plan = machine.plan(trace).layers[0]
    assert isinstance(plan, ConvPlan)
    check_sums(done, plan)
    (layer,) = trace.layers
    if any(part.epilogue for part in plan.parts):
        codes = done.gathered("requantize", layer.output_shape)
        assert np.array_equal(codes, done.runs[0].codes)
        assert sum(tile.sums.size for tile in done.of("requantize")) == codes.size
    check_counts(done, plan)
    return done


def check_sums(done: RecordedLayer, plan: ConvPlan) -> None:
    """See that sums are what lanes must have made of exact products, and sums of windows theirs."""
    (layer,) = done.trace.layers
    assert layer.weight is not None and layer.weight_quantization is not None
    inputs = LaneCodes.of(done.trace.samples.quantization)
    weights = LaneCodes.of(layer.weight_quantization)
    zeros = np.broadcast_to(weights.zero_point, layer.weight.shape[:1])
    held = weights.encode(layer.weight.read()).astype(np.int64).reshape(zeros.size, -1)
    codes = inputs.encode(done.trace.samples.codes.read(0, 1)).astype(np.int64)
    windows = windows_of(layer, codes, int(inputs.zero_point[0]))
    shape = layer.output_shape
    summed = done.gathered("window", shape).reshape(zeros.size, -1)
    sums = done.gathered("group", shape).reshape(zeros.size, -1)
    for group in (part.group for part in plan.parts):
        surplus = group.hold(held[group.filters]).surplus
        used = group.used(held.shape[1])
        mask = -1 if group.window_rows is None else (1 << group.window_rows) - 1
        for at, f in enumerate(group.filters):
            entries = windows[:, f // (zeros.size // windows.shape[1])]
            centred = held[f] - zeros[f]
            if plan.window_of[f] >= 0:
                assert np.array_equal(summed[f], (entries & mask)[:, used[at]].sum(axis=1))
            exact = entries @ centred + surplus[at] + group.zeros[at] * summed[f]
            assert np.array_equal(sums[f] << group.sum_shift, exact), f


def check_counts(done: RecordedLayer, plan: ConvPlan) -> None:
    planned, found = plan.counts(1), done.counts()
    stay = all(
        not any("pass 1" in name.told and "in place" not in name.told for name in done.names)
        for _ in (0,)
    )
    for phase in ("mac", "reduction", "requantize"):
        events = {event: planned.get(phase, {}).get(event, 0) for event in ARRAY_EVENTS}
        assert found.get(phase, dict.fromkeys(ARRAY_EVENTS, 0)) == events, phase
    for phase in ("filter_load", "input_stream", "window_sum", "gather", "output", "host"):
        events = planned.get(phase, {})
        mine = found.get(phase, dict.fromkeys(ARRAY_EVENTS, 0))
        if phase != "filter_load" or stay:
            assert events.get("sram_access_cycle", 0) == mine["sram_access_cycle"], phase
            assert events.get("cycles", 0) >= mine["cycles"], phase  # the bus may take longer
        assert events.get("sram_compute_cycle", 0) == mine["sram_compute_cycle"], phase


def neural_cache(*assignments: str, rule: ConvRule | None = None) -> CacheMachine:
    settings = override(load_preset("neural_cache"), [*TWO_ARRAYS, *assignments])
    return CacheMachine(settings, rule or OneGroup())


def bit_prudent(*assignments: str) -> CacheMachine:
    base: BitPrudentSettings = load_preset("bit_prudent")
    more = ["sparsity.coalesce_layers=all", *TWO_ARRAYS, *assignments]
    return CacheMachine(override(base, more), PrunedLanes())


@pytest.mark.parametrize("case", CASES)
def test_tiles_of_layers_of_every_kind(case: str) -> None:
    trace, assignments = CASES[case]
    check_conv(neural_cache(*assignments), trace)


@pytest.mark.parametrize("case", FEW_BITS)
def test_tiles_of_taps_without_products(case: str) -> None:
    trace, _, assignments = FEW_BITS[case]
    check_conv(bit_prudent("sparsity.mode=dense", *assignments), trace)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layer", LAYERS)
def test_tiles_of_pruned_filters(layer: str, mode: str) -> None:
    trace, assignments = LAYERS[layer]
    check_conv(bit_prudent(*MODES[mode], *assignments), with_channels_pruned(trace, 3, 0.7))
