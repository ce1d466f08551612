"""Closed-form counts of layers, computed here once more from their sizes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.config import override
from bitpim.errors import AccumulatorError, ConfigError, MappingError
from bitpim.machine.neural_cache import NeuralCacheSettings
from bitpim.machine.registry import load_preset
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.elementwise_plan import LanePlan
from bitpim.sram.network_mapping import plan_layer, plan_network
from bitpim.sram.plan import TablePlan, scale_phases
from bitpim.sram.rules import OneGroup
from bitpim_traces.records import Geometry, LayerRecord, Requantize, TensorRecord, Trace
from tests.one_layer import one_layer, quantization
from tests.strategies import small_trace

TINY = (
    "geometry.n_cache_slices=1",
    "geometry.ways_per_cache_slice=3",
    "geometry.banks_per_way=2",
    "geometry.arrays_per_bank=1",
)
SAME = Geometry((3, 3), padding=(1, 1, 1, 1))


def settings(*assignments: str, preset: str = "neural_cache") -> NeuralCacheSettings:
    base: NeuralCacheSettings = load_preset("neural_cache", preset)
    return override(base, list(assignments))


def plan_of(trace: Trace, chosen: NeuralCacheSettings) -> Any:
    (layer,) = trace.layers
    return plan_layer(layer, trace.input_quantizations(layer), chosen, OneGroup())


def epilogue_of(plan: Any) -> Any:
    """What follows the sums of the only filter group."""
    (part,) = plan.parts
    return part.epilogue


def up(n: int, by: int) -> int:
    return -(-n // by)


# anchors


def conv_2d_2b() -> Trace:
    """Inception v3's second convolution: 32 -> 64, 3 x 3, output 147 x 147."""
    return one_layer(0, (32, 147, 147), 64, SAME, inputs=quantization(8, 0))


def test_lanes_of_the_cache() -> None:
    geometry = settings().geometry
    assert (geometry.n_arrays, geometry.n_lanes) == (4480, 1_146_880)
    assert (geometry.n_compute_arrays, geometry.n_compute_lanes) == (4032, 1_032_192)


def test_the_worked_example_of_the_paper() -> None:
    plan = plan_of(conv_2d_2b(), settings(preset="neural_cache_calibrated"))
    place = plan.occupancy(1)
    assert (plan.parts[0].group.layout.n_lanes, plan.shape.n_convolutions) == (32, 1_382_976)
    assert place.passes == 43
    assert round(100 * place.utilization, 1) == 99.7
    phases = plan.counts(1)
    assert phases["mac"]["cycles"] == 43 * 9 * 236
    assert phases["reduction"]["cycles"] == 43 * 660
    assert phases["mac"]["cycles"] + phases["reduction"]["cycles"] == 119_712


def test_the_worked_example_by_formulas() -> None:
    phases = plan_of(conv_2d_2b(), settings()).counts(1)
    arrays = 1_382_976 // 8  # eight convolutions of 32 lanes an array
    reduction = sum(2 * v + 1 for v in range(24, 29))
    assert phases["mac"] == {
        "cycles": 43 * 9 * 127,
        "sram_compute_cycle": arrays * 9 * 127,
        "mac_exec": 1_382_976 * 288,
    }
    assert phases["reduction"]["cycles"] == 43 * reduction
    assert phases["reduction"]["sram_compute_cycle"] == arrays * (reduction - 130)
    assert phases["reduction"]["sram_access_cycle"] == arrays * 130
    mve = plan_of(conv_2d_2b(), settings(preset="neural_cache_mve")).counts(1)
    assert mve["mac"]["cycles"] == 43 * 9 * (152 + 24)
    assert mve["reduction"]["cycles"] == 43 * 2 * 130


# convolutions


@pytest.mark.parametrize("n_samples", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("packing", ["packed", "in_place"])
@pytest.mark.parametrize("schedule", ["at_once", "in_turn"])
def test_all_phases_of_a_convolution(
    n_samples: int, batch: int, packing: str, schedule: str
) -> None:
    trace = one_layer(1, (6, 9, 7), 10, SAME, weights=quantization(8, 77))
    how = {"batch_size": batch, "requantize_packing": packing, "requantize_schedule": schedule}
    plan = plan_of(trace, settings(*TINY, *(f"mapping.{key}={v}" for key, v in how.items())))
    total: dict[str, dict[str, int]] = {}
    for size in [batch] * (n_samples // batch) + [n_samples % batch] * (n_samples % batch > 0):
        total = scale_phases([(1, total), (1, convolution_phases(plan, size, packing, schedule))])
    counts = plan.counts(n_samples)
    for phase, events in total.items():
        for event, n in events.items():
            assert counts[phase][event] == n, (phase, event)
    assert set(counts) == set(total)


def convolution_phases(
    plan: ConvPlan, n: int, packing: str, schedule: str
) -> dict[str, dict[str, int]]:
    """Yield what 10 filters of 6 x 3 x 3 at 63 positions of n samples cost two arrays."""
    items = n * 63 * 10  # each eight lanes: 32 an array
    arrays, passes = up(items, 32), up(up(items, 32), 2)
    reduction, moves = 2 * (24 + 25 + 26) + 3, 24 + 25 + 26
    window_arrays = up(n * 63, 32)
    window_steps, streamed = 9 * 25 + reduction, n * 63 * 54
    each = 256 if packing == "packed" else 32
    parts = [(n * 63 * part.filters.size, part.program.n_steps()) for part in epilogue_of(plan)]
    code_arrays = sum(up(k, each) for k, _ in parts)
    longest = []  # program of each pass of two arrays
    if schedule == "at_once":
        every = sorted((steps for k, steps in parts for _ in range(up(k, each))), reverse=True)
        longest = every[::2]
    else:
        longest = [steps for k, steps in parts for _ in range(up(up(k, each), 2))]
    code_passes = len(longest)
    phases = {
        "filter_load": {
            "cycles": max(up(540, 27), 72),
            "sram_access_cycle": min(arrays, 2) * 72,
            "dram_byte": 540,
            "tmu_row": up(540, 256) * 8,
            "bus_byte": 540,
        },
        "input_stream": {
            "cycles": max(passes * 72, up(n * 63 * 54, 32)),
            "sram_access_cycle": arrays * 72,
            "bus_byte": n * 63 * 54,
        },
        "mac": {
            "cycles": passes * 9 * 127,
            "sram_compute_cycle": arrays * 9 * 127,
            "mac_exec": items * 54,
        },
        "reduction": {
            "cycles": passes * reduction,
            "sram_compute_cycle": arrays * (reduction - moves),
            "sram_access_cycle": arrays * moves,
        },
        "window_sum": {
            "cycles": up(window_arrays, 2) * window_steps
            + max(up(window_arrays, 2) * 72, up(streamed, 32)),
            "sram_compute_cycle": window_arrays * (window_steps - moves),
            "sram_access_cycle": window_arrays * (72 + moves),
            "bus_byte": streamed,
        },
        "requantize": {
            "cycles": sum(longest),
            "sram_compute_cycle": sum(up(k, each) * steps for k, steps in parts),
        },
        "output": {
            "cycles": max(code_passes * 8, up(items, 32)),
            "sram_access_cycle": code_arrays * 8,
            "bus_byte": items,
        },
    }
    rule, window_bits = 32 + 10 + 27 + 14 + 7, 14  # total, multiplier, sum, window, zero point
    sums, rows = (passes, arrays), rule
    if packing == "in_place":  # the sums stay
        sums, rows = (0, 0), rule - 27
    phases["gather"] = {
        "cycles": sums[0] * 27 + up(window_arrays, 2) * window_bits + code_passes * rows,
        "sram_access_cycle": sums[1] * 27 + window_arrays * window_bits + code_arrays * rows,
    }
    return phases


def test_filters_that_shift_alike_share_a_program() -> None:
    trace = one_layer(2, (4,), 9)
    plan = plan_of(trace, settings())
    rule = trace.layers[0].requantize
    assert rule is not None and rule.shift is not None
    assert sorted(np.concatenate([p.filters for p in epilogue_of(plan)]).tolist()) == list(range(9))
    for part in epilogue_of(plan):
        assert len(set(rule.shift[part.filters].tolist())) == 1
    assert len(epilogue_of(plan)) == np.unique(rule.shift).size


@pytest.mark.parametrize(
    ("zeros", "expected"), [(0, None), (64, 6), (1, 0), (77, "rows"), ([0, 64], "rows")]
)
def test_the_correction_knows_powers_of_two(zeros: Any, expected: Any) -> None:
    weights = quantization(8, np.broadcast_to(zeros, 2) if np.ndim(zeros) else zeros)
    (part,) = plan_of(one_layer(3, (4,), 2, weights=weights), settings()).parts
    correction = part.correction
    if expected is None:
        assert correction is None
        return
    assert correction.window_bits == (4 * 255).bit_length()
    assert correction.shift == (None if expected == "rows" else expected)


def test_a_float_scale_is_the_hosts() -> None:
    trace = one_layer(4, (6, 5, 5), 3, SAME, mode="float_scale_half_even")
    plan = plan_of(trace, settings(*TINY))
    phases = plan.counts(1)
    assert epilogue_of(plan) == ()
    assert list(phases) == [
        "filter_load",
        "input_stream",
        "mac",
        "reduction",
        "window_sum",
        "host",
    ]
    n_bytes = up(75 * (32 + 8) + 25 * 14, 8)  # accumulators and window sums there, codes back
    assert phases["host"]["bus_byte"] == n_bytes
    assert phases["host"]["cycles"] == 2 * 27 + 14 + up(n_bytes, 32)  # 75 of 8 lanes: 3 arrays
    with pytest.raises(ConfigError, match=r"layer 0 'only'.*--set arithmetic.host_requantize=true"):
        plan_of(trace, settings("arithmetic.host_requantize=false"))


def test_a_reduction_of_fixed_width_is_never_narrower_than_the_sums() -> None:
    fixed = ("mapping.reduction_bits=fixed", "mapping.reduction_fixed_bits=16")
    plan = plan_of(one_layer(5, (32, 1, 1), 2, Geometry((1, 1))), settings(*fixed))
    sums = plan.parts[0].group.sums
    assert (sums.final_bits, sums.costs.reduction) == (24, 2 * 24 + 1)
    alone = plan_of(one_layer(5, (2,), 2), settings("mapping.reduction_bits=fixed"))
    sums = alone.parts[0].group.sums
    assert (sums.final_bits, sums.costs.reduction) == (24, 0)  # a single lane


# other layers


def first(kind: str, seeds: range, **more: Any) -> tuple[Trace, LayerRecord]:
    for seed in seeds:
        trace = small_trace(seed, kinds=[kind], bits=(8, 8), n_layers=1, **more)
        if trace.layers[0].kind == kind:
            return trace, trace.layers[0]
    raise AssertionError(kind)


def test_pooling_streams_its_taps() -> None:
    for seed in range(40, 60):
        trace, layer = first("max_pool2d", range(seed, seed + 1))
        assert layer.geometry is not None
        n_taps = layer.geometry.kernel[0] * layer.geometry.kernel[1]
        plan = plan_network(trace, settings(*TINY), OneGroup()).layers[0]
        n_outputs = int(np.prod(layer.output_shape))
        arrays, passes = up(3 * n_outputs, 256), up(up(3 * n_outputs, 256), 2)
        phases = plan.batch_phases(3)
        if n_taps == 1:
            assert isinstance(plan, TablePlan)
            n_bytes = 3 * (int(np.prod(layer.input_shapes[0])) + n_outputs)
            assert phases == {"move": {"cycles": up(n_bytes, 32), "bus_byte": n_bytes}}
            continue
        assert isinstance(plan, LanePlan)
        steps = 8 + n_taps * ((2 * 8 + 1) + 1 + 8)  # start at 0; subtract, tag, copy
        assert phases["pooling"] == {
            "cycles": passes * steps,
            "sram_compute_cycle": arrays * steps,
        }
        assert phases["input_stream"]["sram_access_cycle"] == arrays * n_taps * 8
        assert phases["output"]["bus_byte"] == 3 * n_outputs


@pytest.mark.parametrize(
    "kind", ["add", "multiply", "concat", "avg_pool2d", "activation", "flatten", "pad"]
)
@pytest.mark.parametrize("mode", ["half_up_shift", "float_scale_half_even"])
def test_counts_of_other_kinds_add_up(kind: str, mode: str) -> None:
    for seed in range(8):
        trace, layer = first(kind, range(seed, seed + 30), mode=mode)
        plan = plan_network(trace, settings(*TINY), OneGroup()).layers[layer.index]
        row = plan.row()
        phases = plan.counts(1)
        assert row["cycles"] == {phase: events["cycles"] for phase, events in phases.items()}
        if isinstance(plan, TablePlan):
            assert plan.phase in ("move", "host")
            assert (row["arrays"], row["passes"], row["utilization"]) == (0, 0, 0)
            continue
        assert isinstance(plan, LanePlan)
        assert plan.n_outputs == int(np.prod(layer.output_shape))
        places = [up(work.n_outputs, 256) for work in plan.work]
        steps = [work.n_steps for work in plan.work]
        compute = sum(p * s for p, s in zip(places, steps, strict=True))
        assert phases[plan.phase]["sram_compute_cycle"] == compute


def test_batches_are_counted_whole_and_rest() -> None:
    trace = one_layer(6, (6, 5, 5), 3, SAME)
    plan = plan_of(trace, settings(*TINY, "mapping.batch_size=4"))
    assert plan.counts(0) == {}
    assert plan.counts(4) == plan.batch_phases(4)
    assert plan.counts(11) == scale_phases([(2, plan.batch_phases(4)), (1, plan.batch_phases(3))])
    loads = [plan.counts(n)["filter_load"]["dram_byte"] for n in (1, 4, 5, 8, 9)]
    assert loads == [162, 162, 324, 324, 486]


# what does not fit


@pytest.mark.parametrize(
    ("trace", "assignments", "error", "message"),
    [
        (
            one_layer(7, (4, 4, 4), 2, SAME, inputs=quantization(16, 0)),
            ("arithmetic.max_operand_bits=8",),
            MappingError,
            r"codes of at most 8 bits, got 16; use `--set arithmetic.max_operand_bits=16`",
        ),
        (
            one_layer(7, (4,), 2, inputs=quantization(16, 0), weights=quantization(16, 0)),
            (),
            AccumulatorError,
            r"got 24 of mapping.partial_sum_bits; use `--set mapping.partial_sum_bits=34`",
        ),
        (
            one_layer(8, (300,), 2),
            ("mapping.reduction_bits=fixed", "mapping.reduction_fixed_bits=24"),
            AccumulatorError,
            r"use `--set mapping.reduction_fixed_bits=25`",
        ),
        (
            one_layer(9, (2, 7, 7), 2, Geometry((7, 7))),
            ("mapping.filter_split_limit_taps=49",),
            MappingError,
            r"need 442 rows .* of 256; use `--set geometry.array_rows=512`",
        ),
        (
            one_layer(10, (4, 4, 4), 2, SAME, mode="fixed_point_half_away"),
            ("geometry.array_rows=140",),
            MappingError,
            r"does not fit the 140 rows of an array \(.*\); use `--set geometry.array_rows=280`",
        ),
        (
            one_layer(11, (16 * 513,), 2),
            TINY,
            MappingError,
            r"need 1024 lanes .* got 512 in 2 arrays; use `--set geometry.n_cache_slices=2`",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(
    trace: Trace, assignments: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as told:
        plan_network(trace, settings(*assignments), OneGroup())
    assert str(told.value).startswith("layer 0 'only' (")
    assert "\n" not in str(told.value)


def test_sums_are_refused_where_258_products_are_passed() -> None:
    """24 bits hold 258 products of 255 x 255 and not 259."""
    many = ("mapping.filter_pack_limit_channels=259", "geometry.array_rows=4096")
    for n_channels in (258, 259):
        trace = one_layer(12, (n_channels,), 1, inputs=quantization(8, 0))
        if n_channels == 258:
            (part,) = plan_of(trace, settings(*many)).parts
            assert part.group.layout.n_lanes == 1
            continue
        with pytest.raises(AccumulatorError, match=r"16841475.*partial_sum_bits=25`"):
            plan_of(trace, settings(*many))


def test_a_rule_of_one_entry_serves_all_filters() -> None:
    trace = one_layer(13, (4,), 5)
    rule = Requantize("truncate_shift", np.array([3], np.int32), np.array([4], np.int32))
    (layer,) = trace.layers
    one = replace(layer, requantize=rule)
    plan = plan_layer(one, trace.input_quantizations(layer), settings(), OneGroup())
    assert isinstance(plan, ConvPlan)
    assert [part.filters.tolist() for part in epilogue_of(plan)] == [[0, 1, 2, 3, 4]]
    assert isinstance(layer.weight, TensorRecord)
