"""Recorded tiles of the cache machines: their sums, codes and counts are the machine's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from bitpim.config import override
from bitpim.errors import AccumulatorError, ConfigError, MappingError
from bitpim.golden.replaying import replay_program
from bitpim.machine.bit_prudent import BitPrudentSettings
from bitpim.machine.cache_machine import CacheMachine
from bitpim.machine.registry import load_preset
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.elementwise_plan import LanePlan
from bitpim.sram.lane_codes import LaneCodes
from bitpim.sram.plan import STREAMING, LayerPlan, TablePlan
from bitpim.sram.rules import ConvRule, OneGroup
from bitpim.sram.sparse_rules import PrunedLanes
from bitpim.sram.stepped import MOVE, MOVE_AND_CLEAR, PORT_READ
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.records import TensorRecord, Trace
from tests.equivalence.test_cache_arrays import CASES, FEW_BITS, TWO_ARRAYS, windows_of
from tests.equivalence.test_sparse_arrays import LAYERS, MODES
from tests.few_bits import random_few_bits
from tests.pruned_layers import random_pruned
from tests.recorded_layers import ARRAY_EVENTS, RecordedLayer
from tests.strategies import small_trace
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


def check_counts(done: RecordedLayer, plan: LayerPlan) -> None:
    """See that tiles act in arrays as often as the plan counts; the bus and DRAM may take longer.

    The plan has filters loaded once a filling. Where an array would have to hold others in a later
    pass, tiles load them, and count it.
    """
    planned, found = plan.counts(1), done.counts()
    assert found.keys() <= planned.keys()
    for phase, events in planned.items():
        mine = found.get(phase, dict.fromkeys(ARRAY_EVENTS, 0))
        if phase == "filter_load" and moves_on(plan):
            assert mine["sram_access_cycle"] > events["sram_access_cycle"]
            continue
        works = [events.get(event, 0) for event in ARRAY_EVENTS[1:]]
        assert [mine[event] for event in ARRAY_EVENTS[1:]] == works, phase
        assert mine["cycles"] <= events["cycles"], phase
        if phase not in (*STREAMING, "window_sum", "host"):
            assert mine["cycles"] == events["cycles"], phase


def moves_on(plan: LayerPlan) -> bool:
    """Tell whether filters of some group cannot stay in their arrays from pass to pass."""
    assert isinstance(plan, ConvPlan)
    for group in (part.group for part in plan.parts):
        n, lanes = group.n_lane_sets, group.layout.n_lanes
        if group.lists is not None and group.lists.together > 1:
            n, lanes = group.lists.in_arrays(lanes, plan.pool.n_columns)
        at_once = plan.pool.items_at_once(lanes, across=group.layout.across_arrays)
        last = n % at_once or at_once
        if at_once % last and last * plan.shape.n_positions > at_once:
            return True
    return False


def neural_cache(*assignments: str, rule: ConvRule | None = None) -> CacheMachine:
    chosen = override(load_preset("neural_cache"), [*TWO_ARRAYS, *assignments])
    return CacheMachine(chosen, rule or OneGroup())


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


RANDOM = {
    "coalesce": (),
    "a list an array": ("sparsity.gather_list=array",),
    "across arrays": ("sparsity.lanes_across_arrays=true", "geometry.array_columns=24"),
    "offset": ("sparsity.signed_weights=offset", "mapping.requantize_packing=in_place"),
    "overlap": ("sparsity.mode=overlap", "mapping.pad_channels_to_power_of_two=false"),
    "side by side": ("sparsity.mode=overlap", "sparsity.owner_reduction=contiguous"),
    "dense": ("sparsity.mode=dense", "mapping.requantize_schedule=in_turn"),
}
SIZES = st.sampled_from([(256, 256), (256, 40), (192, 33), (256, 64)])


@pytest.mark.parametrize("mode", RANDOM)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), size=SIZES, fixed=st.booleans(), few=st.booleans())
def test_tiles_of_random_layers(
    mode: str, seed: int, size: tuple[int, int], fixed: bool, few: bool
) -> None:
    more = [f"geometry.array_rows={size[0]}", "timing.move_cycles_per_bit=0"]
    more += ["mapping.reduction_bits=fixed"] if fixed else []
    if not any("columns" in key for key in RANDOM[mode]):
        more.append(f"geometry.array_columns={size[1]}")
    trace = random_few_bits("ternary", seed, 1 + seed % 8) if few else random_pruned(seed)
    try:
        machine = bit_prudent(*RANDOM[mode], *more)
        plan = machine.plan(trace)
    except (MappingError, AccumulatorError, ConfigError):
        reject()
    if all(isinstance(layer, ConvPlan) for layer in plan.layers):
        check_conv(machine, trace)


@pytest.mark.parametrize("seed", range(12))
def test_tiles_of_layers_of_one_lane_an_output(seed: int) -> None:
    trace = small_trace(seed)
    machine = neural_cache("geometry.array_columns=32")
    for index, plan in enumerate(machine.plan(trace).layers):
        if isinstance(plan, TablePlan):
            with pytest.raises(ConfigError, match="no array computes it"):
                machine.recorder(trace, index)
        if not isinstance(plan, LanePlan):
            continue
        done = RecordedLayer(machine, trace, index)
        codes = done.gathered(plan.phase, trace.layers[index].output_shape)
        assert np.array_equal(codes, done.runs[index].codes)
        check_counts(done, plan)


def test_a_tile_goes_through_a_file_and_a_flipped_bit_is_found_where_it_is(tmp_path: Path) -> None:
    trace, assignments = CASES["3x3"]
    done = RecordedLayer(neural_cache(*assignments), trace)
    program = done.of("group")[0].program
    path = tmp_path / "tile.h5"
    write_program(program, path)
    opened = open_program(path)
    assert replay_program(opened).equal
    assert opened.counts == program.counts and opened.marks == program.marks
    assert program.port is not None
    steps, rows = program.steps.read(), program.port.read()
    (reads,) = np.nonzero(steps[:, 0] == PORT_READ)
    at = len(rows) - len(reads)  # the first row that goes out
    rows[at] ^= np.uint64(1 << 5)
    wrong = replay_program(
        replace(program, port=TensorRecord.of(rows, axes="", role=""))
    ).difference
    assert wrong is not None and (wrong.step, wrong.place[-1]) == (reads[0], 5)


def test_a_tile_there_is_not_is_refused() -> None:
    trace, assignments = CASES["linear"]
    recorder = neural_cache(*assignments).recorder(trace, 0)
    n_tiles = len(recorder.tiles())
    for tile in (-1, n_tiles):
        with pytest.raises(ConfigError, match=f"need one of {n_tiles} tiles, .* got {tile};"):
            recorder.record(tile, [trace.samples.codes.read(0, 1)])


def test_lanes_are_halved_from_the_farthest_partners_on() -> None:
    trace, assignments = CASES["3x3"]
    recorder = neural_cache(*assignments).recorder(trace, 0)
    program = recorder.record(0, [trace.samples.codes.read(0, 1)]).program
    steps = program.steps.read()
    moves = steps[np.isin(steps[:, 0], (MOVE, MOVE_AND_CLEAR))]
    assert moves[:, 2].tolist() == [2] * 24 + [1] * 25  # a sum of 24 rows grows by one a level
    assert set(moves[:, 4]) == {4}
    assert [mark.partition(",")[0] for _, mark in program.marks][-3:] == [
        "reduction: level 0", "reduction: level 1", "gather: read the sums",
    ]  # fmt: skip
