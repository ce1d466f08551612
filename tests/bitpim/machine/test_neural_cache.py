"""Neural Cache against the referee, at both fidelities, on random networks of every layer kind.

Most networks have 8-bit codes: every pair of widths compiles kernels of its own.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.config import override
from bitpim.errors import AccumulatorError, ConfigError, MappingError
from bitpim.machine import cache_machine
from bitpim.machine.cache_machine import CacheMachine
from bitpim.machine.machine import LayerRun
from bitpim.machine.neural_cache import make
from bitpim.machine.registry import load_preset
from bitpim.proof.reference import run_network
from bitpim.sram.layers import prepare_bit_layer
from bitpim_traces.records import REQUANTIZE_MODES, Geometry, LayerRecord, Requantize, Trace
from tests.one_layer import one_layer, quantization
from tests.strategies import small_trace

ONE_SLICE = (
    "geometry.n_cache_slices=1",
    "geometry.ways_per_cache_slice=3",
    "geometry.banks_per_way=1",
    "geometry.arrays_per_bank=1",
)
Counts = Mapping[str, Mapping[str, int]]


def machine(*assignments: str, preset: str = "neural_cache") -> CacheMachine:
    return make(override(load_preset("neural_cache", preset), list(assignments)))


def check(
    trace: Trace, *assignments: str, preset: str = "neural_cache", jobs: int = 1
) -> list[Counts]:
    """See that both fidelities give the referee's codes, and the same counts; yield these."""
    codes = trace.samples.codes.read()
    expected = run_network(trace, codes, keep="all")
    chosen = machine(*assignments, preset=preset)
    plan = chosen.plan(trace)
    by_fidelity = {}
    for fidelity in ("bit", "integer"):
        network = chosen.prepare(trace, fidelity=fidelity, jobs=jobs)
        runs = list(network.run_batch(codes))
        assert [run.index for run in runs] == list(range(len(trace.layers)))
        for run, layer in zip(runs, trace.layers, strict=True):
            where = (trace.name, layer.name, fidelity)
            assert run.codes.dtype == expected[run.index].dtype, where
            assert np.array_equal(run.codes, expected[run.index]), where
            assert run.counts == plan.counts(run.index, codes.shape[0]), where
        by_fidelity[fidelity] = [run.counts for run in runs]
    assert by_fidelity["bit"] == by_fidelity["integer"]
    return by_fidelity["bit"]


@pytest.mark.parametrize("seed", range(36))
def test_every_kind_and_mode_equals_the_referee(seed: int) -> None:
    """Seeds 0..35 meet every pair of a requantize mode and a first layer's kind."""
    check(small_trace(seed, bits=(8, 8)))


@pytest.mark.parametrize("kind", ["max_pool2d", "avg_pool2d", "add", "concat", "pad", "activation"])
@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
def test_layers_without_weights_have_any_width(kind: str, mode: str) -> None:
    for seed in range(4):
        check(small_trace(seed, kinds=[kind], mode=mode, bits=(1, 8)))


@pytest.mark.parametrize(
    ("inputs", "weights"), [((1, 0), (1, 1)), ((2, 3), (3, 0)), ((11, 1024), (5, 7))]
)
def test_other_widths(inputs: tuple[int, int], weights: tuple[int, int]) -> None:
    trace = one_layer(
        3,
        (5, 6, 5),
        4,
        Geometry((3, 3), padding=(1, 0, 0, 2)),
        inputs=quantization(*inputs),
        weights=quantization(*weights),
        n_samples=2,
    )
    check(trace)


def test_sixteen_bits_need_a_wider_sum() -> None:
    trace = one_layer(
        4,
        (3, 2, 2),
        2,
        Geometry((2, 2)),
        inputs=quantization(16, -30_000, signed=True),
        weights=quantization(2, 0),
        accumulator_bits=32,
    )
    check(trace)
    wide = one_layer(
        4, (3,), 2, inputs=quantization(16, 0), weights=quantization(16, 0), accumulator_bits=40
    )
    with pytest.raises(AccumulatorError, match=r"--set mapping.partial_sum_bits=34"):
        machine().plan(wide)
    check(wide, "mapping.partial_sum_bits=36")


@pytest.mark.parametrize("bits", [41, 64])
def test_sums_of_more_than_forty_rows(bits: int) -> None:
    few = quantization(3, 2)  # narrow operands: the kernel of a width has to be compiled
    trace = one_layer(
        5, (3, 2, 2), 2, Geometry((2, 2)), inputs=few, weights=few, accumulator_bits=64
    )
    check(trace, f"mapping.partial_sum_bits={bits}")


# settings


@pytest.mark.parametrize(
    "assignments",
    [
        ("mapping.batch_size=4",),
        ("mapping.reduction_bits=fixed",),
        ("mapping.requantize_packing=in_place",),
        ("mapping.requantize_schedule=in_turn",),
        ("mapping.pad_channels_to_power_of_two=false",),
        ("mapping.filter_split_limit_taps=4", "mapping.filter_pack_limit_channels=4"),
        ONE_SLICE,
        ("geometry.array_rows=200", "geometry.array_columns=96"),
        ("timing.phase_overlap=stream", "transfer.bus_bytes_per_cycle=1"),
    ],
    ids=lambda assignments: assignments[-1],
)
def test_settings_change_counts_and_never_bits(assignments: tuple[str, ...]) -> None:
    for seed in (9, 19):  # convolutions, pools, additions
        check(small_trace(seed, bits=(8, 8), mode="half_up_shift"), *assignments)
    split = one_layer(5, (6, 7, 7), 5, Geometry((5, 5), padding=(2, 2, 2, 2)), n_samples=3)
    check(split, *assignments)


@pytest.mark.parametrize("preset", ["neural_cache", "neural_cache_calibrated", "neural_cache_mve"])
def test_presets_change_cycles_and_never_bits(preset: str) -> None:
    trace = one_layer(6, (4, 6, 6), 3, Geometry((3, 3)), weights=quantization(8, 3))
    (counts,) = check(trace, preset=preset)
    mac = {"neural_cache": 127, "neural_cache_calibrated": 236, "neural_cache_mve": 176}[preset]
    assert counts["mac"]["cycles"] == 9 * mac


def test_filters_are_loaded_once_a_batch() -> None:
    trace = one_layer(7, (4, 3, 3), 3, Geometry((3, 3)), n_samples=5)
    loads = [
        check(trace, f"mapping.batch_size={size}")[0]["filter_load"]["dram_byte"] for size in (1, 4)
    ]
    assert loads == [5 * 108, 2 * 108]


# shapes


SHAPES: dict[str, Trace] = {
    "many filters, one position": one_layer(10, (33,), 200, n_samples=3),
    "a thousand filters and one": one_layer(11, (5,), 1025),
    "filters side by side with weight zeros": one_layer(
        12, (20,), 130, weights=quantization(8, np.arange(130)), n_samples=2
    ),
    "positions beyond a block": one_layer(13, (1, 40, 60), 2, Geometry((1, 1))),
    "one pixel": one_layer(14, (3, 1, 1), 2, Geometry((1, 1))),
    "depthwise": one_layer(15, (9, 6, 6), 9, Geometry((3, 3), (2, 1), (1, 1, 1, 1), groups=9)),
    "two filters a group": one_layer(
        16, (6, 5, 5), 6, Geometry((2, 2), groups=3), weights=quantization(8, 99)
    ),
    "wide window": one_layer(17, (2, 6, 7), 3, Geometry((3, 2), (1, 2), (6, 0, 1, 3), (2, 3))),
    "window all in padding": one_layer(18, (2, 1, 1), 2, Geometry((1, 1), padding=(2, 1, 0, 3))),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str) -> None:
    check(SHAPES[shape])
    check(SHAPES[shape], *ONE_SLICE, "geometry.banks_per_way=4")


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
@pytest.mark.parametrize("ends", [(0, 0), (255, 255), (-128, -128), (127, 127)])
def test_zero_points_at_both_ends(mode: str, ends: tuple[int, int]) -> None:
    signed = ends in ((-128, -128), (127, 127))
    trace = one_layer(
        20,
        (3, 4, 4),
        4,
        Geometry((3, 3), padding=(1, 1, 1, 1)),
        inputs=quantization(8, ends[0], signed=signed),
        weights=quantization(8, [ends[1], 0, -1 if signed else 1, ends[1]], signed=signed),
        mode=mode,
    )
    check(trace)
    vector = one_layer(21, (70,), 90, inputs=quantization(8, ends[0], signed=signed), mode=mode)
    check(vector)


@pytest.mark.parametrize("seed", [0, 9, 18, 27])
def test_threads_change_nothing(seed: int) -> None:
    trace = small_trace(seed, bits=(8, 8), n_samples=3)
    assert check(trace, jobs=1) == check(trace, jobs=2)
    check(SHAPES["depthwise"], jobs=3)
    check(SHAPES["filters side by side with weight zeros"], jobs=2)


def test_batches_give_what_samples_give() -> None:
    trace = small_trace(10, bits=(8, 8), n_samples=5)
    codes = trace.samples.codes.read()
    network = machine().prepare(trace)
    whole = list(network.run_batch(codes))
    for first, last in ((0, 1), (1, 4), (4, 5)):
        for run, part in zip(whole, network.run_batch(codes[first:last]), strict=True):
            assert np.array_equal(run.codes[first:last], part.codes)


@pytest.mark.parametrize("fidelity", ["bit", "integer"])
@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
def test_no_samples_cost_nothing(fidelity: str, mode: str) -> None:
    for seed in range(9):
        trace = small_trace(seed, mode=mode, bits=(8, 8))
        network = machine().prepare(trace, fidelity=fidelity)
        for run in network.run_batch(trace.samples.codes.read()[:0]):
            assert run.codes.shape == (0, *trace.layers[run.index].output_shape)
            assert run.counts == {}


# the host, and errors


def test_the_host_takes_what_the_arrays_cannot() -> None:
    for seed in (0, 4, 8, 12):
        trace = small_trace(seed, mode="float_scale_half_even", bits=(8, 8))
        phases = {phase for counts in check(trace) for phase in counts}
        assert "requantize" not in phases
    trace = one_layer(22, (4,), 3, mode="float_scale_half_even")
    with pytest.raises(
        ConfigError, match=r"layer 0 'only' \(linear\).*--set arithmetic.host_requantize=true"
    ):
        machine("arithmetic.host_requantize=false").prepare(trace)


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
@pytest.mark.parametrize(("n_filters", "n_samples"), [(3, 70), (90, 2)])
def test_a_sum_beyond_the_accumulator_raises(mode: str, n_filters: int, n_samples: int) -> None:
    """Positions lie side by side where they are many, filters where these are."""
    trace = one_layer(
        23,
        (40,),
        n_filters,
        inputs=quantization(8, 0),
        weights=quantization(8, 1),
        mode=mode,
        accumulator_bits=17,
        bias=False,
        n_samples=n_samples,
    )
    codes = np.zeros_like(trace.samples.codes.read())
    codes[:, 0] = 255
    expected = run_network(trace, codes)[0]
    weight = trace.layers[0].weight
    assert weight is not None
    sums = 255 * (weight.read().astype(int) - 1).sum(axis=1)
    message = r"layer 0 'only' \(linear\): need sums .*, got (\d+) in channel (\d+); widen"
    for fidelity in ("bit", "integer"):
        network = machine().prepare(trace, fidelity=fidelity)
        (run,) = network.run_batch(codes)
        assert np.array_equal(run.codes, expected)
        over = codes.copy()
        over[-1] = 255
        with pytest.raises(AccumulatorError, match=message) as told:
            list(network.run_batch(over))
        found = re.match(message, str(told.value))
        assert found is not None
        assert sums[int(found[2])] == int(found[1])


def test_wrong_requests_are_one_line() -> None:
    trace = one_layer(24, (4,), 2)
    for request, message in (
        ({"fidelity": "exact"}, "fidelity: need one of bit, integer, got 'exact'"),
        ({"jobs": 0}, "jobs: need at least 1, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            machine().prepare(trace, **request)
    with pytest.raises(MappingError, match="codes of at most 4 bits, got 8"):
        machine("arithmetic.max_operand_bits=4").prepare(trace)
    with pytest.raises(MappingError, match=r"layer 0 'only'.*need 1024 lanes"):
        machine(*ONE_SLICE).prepare(one_layer(25, (8300,), 1))


def test_layers_are_given_as_they_run() -> None:
    trace = small_trace(9, bits=(8, 8))
    runs: Any = machine().prepare(trace).run_batch(trace.samples.codes.read())
    first = next(runs)
    assert isinstance(first, LayerRun)
    assert first.index == 0
    assert len(list(runs)) == len(trace.layers) - 1


@pytest.mark.parametrize(("fidelity", "in_arrays"), [("bit", True), ("integer", False)])
def test_arrays_compute_at_bit_fidelity_only(
    fidelity: str, in_arrays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codes are the same either way, and so tell nothing."""
    laid: list[int] = []

    def lay(layer: LayerRecord, *rest: Any) -> Any:
        laid.append(layer.index)
        return prepare_bit_layer(layer, *rest)

    monkeypatch.setattr(cache_machine, "prepare_bit_layer", lay)
    trace = small_trace(9, bits=(8, 8))
    list(machine().prepare(trace, fidelity=fidelity).run_batch(trace.samples.codes.read()))
    assert laid == (list(range(len(trace.layers))) if in_arrays else [])


def test_its_legend_tells_the_clock_and_whether_phases_overlap() -> None:
    legend = machine("timing.phase_overlap=none").legend
    assert legend.clock_ghz == machine().settings.timing.clock_compute_ghz
    assert not legend.overlaps and legend.elapsed({"mac": 5, "input_stream": 7}) == 12
    streaming = machine("timing.phase_overlap=stream").legend
    assert streaming.overlaps and streaming.elapsed({"mac": 5, "input_stream": 7}) == 7


def test_one_multiplier_and_a_shift_for_each_channel() -> None:
    """Filters of each shift are requantized apart, all by the one multiplier."""
    trace = one_layer(3, (3, 4, 4), 6, Geometry((3, 3)), mode="half_up_shift")
    (layer,) = trace.layers
    rule = layer.requantize
    assert rule is not None and rule.shift is not None and rule.multiplier is not None
    shifts = rule.shift[0] + np.arange(6, dtype=np.int32) % 3
    step = Requantize("half_up_shift", rule.multiplier[:1], shifts)
    check(replace(trace, layers=(replace(layer, requantize=step),)))


def test_sums_beyond_float32_saturate_without_a_warning() -> None:
    trace = small_trace(0, kinds=["add"], mode="float_scale_half_even")
    layer = trace.layers[0]
    assert layer.requantize is not None and layer.requantize.scale is not None
    huge = replace(layer.requantize, scale=np.full_like(layer.requantize.scale, 3e38))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(replace(trace, layers=(replace(layer, requantize=huge), *trace.layers[1:])))
