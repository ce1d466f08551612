"""Pruned filters in lanes: the referee's codes, and what is counted for them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.errors import MappingError
from bitpim.machine.machine import Machine
from bitpim.machine.registry import make_machine
from bitpim.proof.reference import run_network
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.plan import CachePlan
from bitpim_traces.masks import OVERLAP_GROUPS
from bitpim_traces.records import Geometry, TensorRecord, Trace
from tests.one_layer import one_layer, quantization
from tests.pruned_layers import PLACES, SAME, random_pruned
from tests.toy_rules import with_channels_pruned

TINY = (
    "geometry.n_cache_slices=1",
    "geometry.ways_per_cache_slice=3",
    "geometry.banks_per_way=2",
    "geometry.arrays_per_bank=1",
)
MODES = {
    "dense": ("sparsity.mode=dense",),
    "a list a filter": ("sparsity.gather_list=filter",),
    "a list an array": ("sparsity.gather_list=array",),
    "across arrays": (
        "sparsity.lanes_across_arrays=true",
        "mapping.pad_channels_to_power_of_two=false",
    ),
    "an unpadded list an array": (
        "sparsity.gather_list=array",
        "mapping.pad_channels_to_power_of_two=false",
    ),
    "masked owners": ("sparsity.mode=overlap",),
    "owners side by side": ("sparsity.mode=overlap", "sparsity.owner_reduction=contiguous"),
}


def machine(*assignments: str, like: str = "bit_prudent") -> Machine:
    more = ["sparsity.coalesce_layers=all"] if like == "bit_prudent" else []
    return make_machine(like, changes=[*more, *assignments])


def check(trace: Trace, *assignments: str, jobs: int = 1) -> None:
    """See that both fidelities give the referee's codes and the counts of the plan."""
    codes = trace.samples.codes.read()
    expected = run_network(trace, codes)[0]
    chosen = machine(*assignments)
    counts = chosen.plan(trace).counts(0, codes.shape[0])
    for fidelity in ("bit", "integer"):
        (run,) = chosen.prepare(trace, fidelity=fidelity, jobs=jobs).run_batch(codes)
        assert run.codes.dtype == expected.dtype
        assert np.array_equal(run.codes, expected), fidelity
        assert run.counts == counts


def pruned_to(trace: Trace, channels: Sequence[Sequence[int]]) -> Trace:
    """Let each filter keep these channels, with weights one away from the zero point, or two."""
    (layer,) = trace.layers
    assert layer.weight is not None and layer.weight_quantization is not None
    weight = layer.weight.read().copy()
    for m, zero in enumerate(np.broadcast_to(layer.weight_quantization.zero_point, len(weight))):
        away = -1 if zero == layer.weight_quantization.code_max else 1
        weight[m] = zero
        weight[m, list(channels[m])] = zero + away * (1 + m % 2)
    record = TensorRecord.of(weight, axes=layer.weight.axes, role="weight")
    return replace(trace, layers=(replace(layer, weight=record),))


def with_groups(trace: Trace, groups: Any) -> Trace:
    (layer,) = trace.layers
    record = TensorRecord.of(np.asarray(groups), axes="O", role=OVERLAP_GROUPS)
    return replace(trace, layers=(replace(layer, extra={OVERLAP_GROUPS: record}),))


def plan_of(trace: Trace, *assignments: str) -> ConvPlan:
    whole = machine(*assignments).plan(trace)
    assert isinstance(whole, CachePlan)
    (plan,) = whole.layers
    assert isinstance(plan, ConvPlan)
    return plan


# bits


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", [s for s in range(11) if s != 8])  # all of 8 is pruned
def test_every_mode_gives_the_codes_of_the_referee(seed: int, mode: str) -> None:
    tiny = TINY if seed % 4 == 0 else ()
    offset = ("sparsity.signed_weights=offset",) if seed % 3 == 0 else ()
    check(random_pruned(seed), *MODES[mode], *tiny, *offset, jobs=1 + seed % 2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", PLACES)
def test_places(place: str, mode: str) -> None:
    check(with_channels_pruned(PLACES[place], 1, 0.4), *MODES[mode], jobs=2)


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_may_be_empty(mode: str) -> None:
    trace = with_channels_pruned(PLACES["one channel"], 2, 0.5)
    (run,) = machine(*MODES[mode]).prepare(trace).run_batch(trace.samples.codes.read()[:0])
    assert run.codes.shape == (0, 6, 6, 5)


@pytest.mark.parametrize("mode", [m for m in MODES if m != "dense"])
@pytest.mark.parametrize("zero", [0, 255, [0, 255, 0, 255, 1, 254]])
def test_what_is_left_out_is_a_weight_at_its_zero_point(zero: Any, mode: str) -> None:
    """Pruned lanes hold nothing, and window sums are over the same channels."""
    trace = one_layer(3, (5, 6, 5), 6, SAME, weights=quantization(8, zero), n_samples=2)
    kept = [(0, 1), (2, 3), (1,), (), (0, 2, 4), (3,)]
    plan = plan_of(pruned_to(trace, kept), *MODES[mode])
    assert bool(plan.windows) == np.any(zero)
    check(pruned_to(trace, kept), *MODES[mode])


# dense, and nothing pruned


@pytest.mark.parametrize("seed", range(6))
def test_dense_is_neural_cache(seed: int) -> None:
    trace = random_pruned(seed)
    codes = trace.samples.codes.read()
    ours, theirs = machine("sparsity.mode=dense"), machine(like="neural_cache")
    (run,), (other,) = (m.prepare(trace).run_batch(codes) for m in (ours, theirs))
    assert np.array_equal(run.codes, other.codes)
    assert run.counts == other.counts == theirs.plan(trace).counts(0, codes.shape[0])


@pytest.mark.parametrize("mode", ["a list a filter", "a list an array", "masked owners"])
def test_nothing_pruned_is_neural_cache(mode: str) -> None:
    trace = one_layer(5, (6, 9, 7), 10, SAME, weights=quantization(8, 77))
    assert plan_of(trace, *MODES[mode]).counts(3) == (
        machine(like="neural_cache").plan(trace).counts(0, 3)
    )


# counts, worked by hand for two arrays of 256 lanes


def test_filters_gather_their_own_channels() -> None:
    """Filters of 3, 3, 4 and 5 channels of 8, at 63 positions of a sample.

    Together they would take 8 lanes each: 4 x 63, 32 an array, 8 arrays, 4 passes. Those of up to 4
    channels in 4 lanes are 3 x 63, 64 an array, 3 arrays and 2 passes, the other 2 arrays and 1.
    """
    trace = one_layer(1, (8, 9, 7), 4, SAME, weights=quantization(8, 0))
    kept = [(3, 5, 7), (0, 2, 5), (1, 2, 3, 4), (0, 1, 2, 3, 6)]
    plan = plan_of(pruned_to(trace, kept), *TINY)
    few, many = (part.group for part in plan.parts)
    assert (few.filters.tolist(), many.filters.tolist()) == ([0, 1, 2], [3])
    assert (few.layout.n_lanes, many.layout.n_lanes) == (4, 8)
    assert few.lists is not None and many.lists is None
    assert (few.source_of(1)[:, 0] // 9).tolist() == [0, 2, 5, -1]
    phases = plan.counts(1)
    assert phases["mac"] == {
        "cycles": 3 * 9 * 127,
        "sram_compute_cycle": 5 * 9 * 127,
        "mac_exec": 63 * 9 * 15,
    }
    assert phases["reduction"] == {
        "cycles": 2 * (2 * 49 + 2) + 2 * 75 + 3,
        "sram_compute_cycle": 3 * 51 + 2 * 78,
        "sram_access_cycle": 3 * 49 + 2 * 75,
    }
    # 90 weights and 10 numbers of 3 bits; 45 weights and 5 numbers of 3 bits
    assert plan.index_bits == 30 + 15
    assert phases["filter_load"] == {
        "cycles": 72 + 72,
        "sram_access_cycle": 2 * 72 + 2 * 72,
        "dram_byte": 94 + 47,
        "tmu_row": 8 + 8,
        "bus_byte": 94 + 47,
    }
    # windows of channels 0, 1, 2, 3, 4, 5 and 7 for the first three, and of five for the last
    assert phases["input_stream"] == {
        "cycles": max(2 * 72, -(-63 * 63 // 32)) + max(72, -(-63 * 45 // 32)),
        "sram_access_cycle": 5 * 72,
        "bus_byte": 63 * 63 + 63 * 45,
        "gather_row": 5 * 72,
    }
    slow = plan_of(pruned_to(trace, kept), *TINY, "sparsity.gather_pipelined=false").counts(1)
    assert slow["input_stream"]["cycles"] - phases["input_stream"]["cycles"] == 3 * 72
    maps = plan_of(pruned_to(trace, kept), *TINY, "sparsity.index_format=bitmap")
    assert maps.index_bits == 4 * 8


def test_filters_of_an_array_share_a_list() -> None:
    """Arrays of 16 columns and channels: 8 filters of 2 lanes, or 4 of 4, or 2 of 8.

    Four filters keep channels 1 and 6, four others three of 0 to 3; so two arrays a position.
    """
    trace = one_layer(1, (16, 5, 4), 8, SAME, weights=quantization(8, 0))
    kept = [(1, 6), (0, 1, 2), (1, 6), (3, 0, 1), (6, 1), (1, 2, 3), (1, 6), (2, 3, 0)]
    narrow = (*TINY, "geometry.array_columns=16", "sparsity.gather_list=array")
    plan = plan_of(pruned_to(trace, kept), *narrow)
    (part,) = plan.parts
    assert part.group.lists is not None
    lists = [np.flatnonzero(one).tolist() for one in part.group.lists.kept]
    assert (part.group.lists.together, lists) == (4, [[1, 6], [0, 1, 2, 3]] * 4)
    assert plan.index_bits == (2 + 4) * 4
    phases = plan.counts(1)
    assert phases["mac"] == {
        "cycles": 20 * 9 * 127,
        "sram_compute_cycle": 40 * 9 * 127,
        "mac_exec": 20 * 9 * (4 * 2 + 4 * 4),
    }
    assert phases["input_stream"]["gather_row"] == 40 * 72
    assert phases["input_stream"]["bus_byte"] == 20 * 9 * 5
    check(pruned_to(trace, kept), *narrow)


def test_window_sums_of_lists_are_made_side_by_side() -> None:
    """Zero point 77: as many sums as lists, 189 in 64 lanes of 4 each, two passes."""
    trace = one_layer(1, (8, 9, 7), 4, SAME, weights=quantization(8, 77))
    kept = [(7, 0, 1), (0, 2, 5), (1, 2, 3, 4), (0, 2, 5)]
    plan = plan_of(pruned_to(trace, kept), *TINY)
    (window,) = plan.windows
    assert (window.n_sets, window.bits) == (3, (36 * 255).bit_length())
    steps = 9 * (25 + 8) + 2 * 49 + 2
    assert plan.counts(1)["window_sum"] == {
        "cycles": 2 * steps,
        "sram_compute_cycle": 3 * (steps - 72 - 49),
        "sram_access_cycle": 3 * (72 + 49),
        "bus_byte": 63 * 9 * 7,  # seven channels are in some list
    }


def test_signed_weights_need_no_window_sums() -> None:
    """The complement of an input takes 8 cycles a tap, and 8 rows."""
    trace = one_layer(1, (8, 9, 7), 4, SAME, weights=quantization(8, 0, signed=True))
    kept = [(7, 0, 1), (0, 2, 5), (1, 2, 3, 4), (0, 2, 5)]
    plan = plan_of(pruned_to(trace, kept), *TINY)
    (part,) = plan.parts
    assert plan.windows == () and part.correction is None
    assert plan.counts(1)["mac"]["cycles"] == 2 * 9 * (127 + 8)
    tap = part.group.sums.tap
    assert tap.n_steps == 127 + 8
    assert part.group.sums.rows.product_rows == 16 + 8
    offset = plan_of(pruned_to(trace, kept), *TINY, "sparsity.signed_weights=offset")
    assert offset.windows[0].n_sets == 3
    assert offset.counts(1)["mac"]["cycles"] == 2 * 9 * 127


def overlapping() -> Trace:
    """Six filters: 0, 1 and 2 keep disjoint channels of 4; 3 and 4, too; 5 keeps all."""
    trace = one_layer(4, (4, 5, 5), 6, SAME, weights=quantization(8, 0))
    return pruned_to(trace, [(0, 1), (2,), (3,), (0,), (1, 2, 3), (0, 1, 2, 3)])


def test_owners_are_reduced_one_after_the_other() -> None:
    """Three sets of 25 in 4 lanes, 64 an array: two arrays, one pass."""
    plan = plan_of(overlapping(), *TINY, "sparsity.mode=overlap")
    (part,) = plan.parts
    group = part.group
    assert group.owners is not None
    assert group.owners.tolist() == [[0, 0, 1, 2], [3, 4, 4, 4], [5, 5, 5, 5]]
    assert (group.n_lane_sets, group.masks, group.n_weights) == (3, 3, 12 * 9)
    assert plan.index_bits == 4 * 2 + 4 * 1 + 0  # three owners, two, one
    phases = plan.counts(1)
    assert phases["mac"] == {
        "cycles": 9 * 127,
        "sram_compute_cycle": 2 * 9 * 127,
        "mac_exec": 25 * 108,
    }
    tree, moves = 100, 49
    assert phases["reduction"] == {
        "cycles": 3 * (1 + 24 + tree),
        "sram_compute_cycle": 2 * 3 * (1 + 24 + tree - moves),
        "sram_access_cycle": 2 * 3 * moves,
        "masked_reduction": 2 * 3,
    }
    # 108 weights and 12 bits; three rows say who owns a lane
    assert phases["filter_load"] == {
        "cycles": 75,
        "sram_access_cycle": 2 * 75,
        "dram_byte": 110,
        "tmu_row": 8,
        "bus_byte": 110,
    }
    assert "gather_row" not in phases["input_stream"]
    widths = sum(sum(one.program.widths.values()) for one in part.epilogue)
    in_turn = plan_of(
        overlapping(), *TINY, "sparsity.mode=overlap", "mapping.requantize_schedule=in_turn"
    )
    assert in_turn.counts(1)["gather"]["cycles"] == 3 * 26 + widths
    assert group.filter_of_sets.tolist() == [2, 4, 5]
    idle = replace(group, owners=np.array([[0, 0, 1, 2], [-1] * 4]))
    assert idle.filter_of_sets.tolist() == [2, -1]


def test_owners_side_by_side_are_reduced_at_once() -> None:
    """Sets store the order of their channels; the longest owner has three lanes, two levels."""
    side = ("sparsity.mode=overlap", "sparsity.owner_reduction=contiguous")
    plan = plan_of(overlapping(), *TINY, *side)
    group = plan.parts[1].group
    assert (group.masks, group.layout.segment_lanes, group.layout.n_levels) == (0, 3, 2)
    assert plan.index_bits == 12 + 2 * 4 * 2
    phases = plan.counts(1)
    assert phases["reduction"]["cycles"] == 2 * 100
    assert phases["input_stream"]["gather_row"] == 72
    slow = plan_of(overlapping(), *TINY, *side, "sparsity.gather_pipelined=false").counts(1)
    assert slow["input_stream"]["cycles"] - phases["input_stream"]["cycles"] == 72


def test_convolutions_across_arrays_leave_no_lane_between() -> None:
    """Convolutions of 5 lanes, 13 in two arrays of 33 columns, not 12: 60 of them in 5 passes."""
    trace = one_layer(1, (9, 5, 4), 3, SAME, weights=quantization(8, 0))
    kept = [(0, 1, 2, 3, 4), (1, 2, 3, 4, 5), (0, 2, 4, 6, 8)]
    narrow = (*TINY, "geometry.array_columns=33", "mapping.pad_channels_to_power_of_two=false")
    plan = plan_of(pruned_to(trace, kept), *narrow, "sparsity.lanes_across_arrays=true")
    place = plan.occupancy(1)
    assert (place.passes, place.array_passes, place.arrays) == (5, 4 * 2 + 2, 2)
    assert place.lanes == 300
    apart = plan_of(pruned_to(trace, kept), *narrow).occupancy(1)
    assert (apart.passes, apart.array_passes) == (5, 10)


def test_lists_that_cost_more_than_they_save_are_left() -> None:
    """Three of 1600 weights are at the zero point; all others would load 9 bits more."""
    trace = pruned_to(one_layer(1, (400,), 4), [range(399)] * 3 + [range(400)])
    coalesced = plan_of(trace, *TINY)
    assert coalesced.index_bits == (399 * 3 + 400) * 9
    kept = plan_of(trace, *TINY, "sparsity.coalesce_layers=faster")
    assert kept.counts(1) == plan_of(trace, *TINY, "sparsity.mode=dense").counts(1)
    few = pruned_to(one_layer(1, (64, 9, 7), 4, SAME), [range(16)] * 4)
    assert plan_of(few, *TINY, "sparsity.coalesce_layers=faster").index_bits == 4 * 16 * 6


# groups of the trace, and what is refused


TRACE_GROUPS = ("sparsity.mode=overlap", "sparsity.overlap_groups=trace")


def test_filters_share_lanes_as_the_trace_says() -> None:
    trace = with_groups(overlapping(), np.array([1, 7, 1, 7, 2, 3], np.int32))
    plan = plan_of(trace, *TRACE_GROUPS)
    (part,) = plan.parts
    assert part.group.owners is not None
    sets = [[0, 0, -1, 2], [-1, 4, 4, 4], [5, 5, 5, 5], [3, -1, 1, -1]]
    assert part.group.owners.tolist() == sets
    check(trace, *TRACE_GROUPS)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([0, 1, 2, 3, 1, 4], "no channel in common, got channel 2 kept by filters 1 and 4; prune"),
        ([0, 1, 2], r"a group for each of 6 filters .* got int32 of \(3,\); prune"),
    ],
)
def test_groups_that_share_channels_are_refused(groups: list[int], said: str) -> None:
    trace = with_groups(overlapping(), np.array(groups, np.int32))
    with pytest.raises(MappingError, match=rf"^layer 0 'only' \(conv2d\): need .*{said}"):
        plan_of(trace, *TRACE_GROUPS)


def test_groups_of_the_trace_have_to_be_there() -> None:
    said = r"got none in the trace; .*--overlap`, or use `--set sparsity.overlap_groups=greedy"
    with pytest.raises(MappingError, match=said):
        plan_of(overlapping(), *TRACE_GROUPS)
    plan_of(overlapping(), *TRACE_GROUPS, "sparsity.overlap_groups@only=greedy")


def test_filters_of_different_conv_groups_share_no_lanes() -> None:
    trace = one_layer(53, (4, 4, 4), 4, Geometry((3, 3), groups=2), weights=quantization(8, 0))
    trace = pruned_to(trace, [(0,), (1,), (0,), (1,)])
    with pytest.raises(MappingError, match="got filters 0 and 2 of different ones"):
        plan_of(with_groups(trace, np.array([0, 1, 0, 1], np.int32)), *TRACE_GROUPS)


@pytest.mark.parametrize("mode", [m for m in MODES if m != "dense"])
def test_a_layer_without_any_weight_is_refused(mode: str) -> None:
    trace = pruned_to(one_layer(1, (3, 4, 4), 2, SAME, weights=quantization(8, 9)), [(), ()])
    with pytest.raises(
        MappingError, match=r"all of 6 at the zero .*`--set sparsity.mode=dense`, with"
    ):
        plan_of(trace, *MODES[mode])
    check(trace, *MODES[mode], "sparsity.mode@only=dense")


def test_rows_that_say_who_owns_a_lane_have_to_fit() -> None:
    with pytest.raises(MappingError, match=r"3 that say who owns a lane\), got an array of 150"):
        plan_of(overlapping(), *TINY, "sparsity.mode=overlap", "geometry.array_rows=150")
    plan_of(overlapping(), *TINY, "geometry.array_rows=150")
