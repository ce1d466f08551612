"""Rules for convolutions: what a layer's filter groups may do, and what is counted for them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.config import override
from bitpim.errors import LayoutError, MappingError
from bitpim.machine.cache_machine import CacheMachine
from bitpim.machine.registry import load_preset
from bitpim.programs.program import Field
from bitpim.proof.reference import run_network
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.filter_groups import ExtraSteps, FilterGroup, HeldWeights, multiply_group
from bitpim.sram.plan import scale_phases
from bitpim.sram.rules import ConvRule, OneGroup
from bitpim.sram.transposed import lay_lanes
from bitpim.sram.weighted_layer import WeightedLayer
from bitpim_traces.records import Geometry, Quantization, Trace
from tests.one_layer import one_layer, quantization
from tests.pruned_layers import PLACES, random_pruned
from tests.toy_rules import (
    NarrowWeights,
    TernaryTaps,
    TwoGroups,
    ternary_tap,
    with_channels_pruned,
)

TINY = (
    "geometry.n_cache_slices=1",
    "geometry.ways_per_cache_slice=3",
    "geometry.banks_per_way=2",
    "geometry.arrays_per_bank=1",
)
SAME = Geometry((3, 3), padding=(1, 1, 1, 1))


def machine(rule: ConvRule, *assignments: str) -> CacheMachine:
    return CacheMachine(override(load_preset("neural_cache"), list(assignments)), rule)


def plan_of(trace: Trace, rule: ConvRule, *assignments: str) -> ConvPlan:
    (plan,) = machine(rule, *assignments).plan(trace).layers
    assert isinstance(plan, ConvPlan)
    return plan


def check(trace: Trace, rule: ConvRule, *assignments: str, jobs: int = 1) -> None:
    """See that both fidelities give the referee's codes and the counts of the plan."""
    codes = trace.samples.codes.read()
    expected = run_network(trace, codes)[0]
    chosen = machine(rule, *assignments)
    counts = chosen.plan(trace).counts(0, codes.shape[0])
    for fidelity in ("bit", "integer"):
        (run,) = chosen.prepare(trace, fidelity=fidelity, jobs=jobs).run_batch(codes)
        assert run.codes.dtype == expected.dtype
        assert np.array_equal(run.codes, expected), fidelity
        assert run.counts == counts


# bits


@pytest.mark.parametrize("seed", range(24))
def test_any_rule_gives_the_codes_of_the_referee(seed: int) -> None:
    check(random_pruned(seed), TwoGroups(), *(TINY if seed % 4 == 0 else ()), jobs=1 + seed % 2)


def test_weights_may_be_held_otherwise() -> None:
    """Codes 100 to 104 around the zero point 101 lie in three rows as 0 to 4."""
    trace = one_layer(29, (5, 6, 5), 4, SAME, weights=quantization(8, 101), n_samples=2)
    (layer,) = trace.layers
    assert layer.weight is not None
    weight = (100 + layer.weight.read() % 5).astype(np.uint8)
    record = replace(layer.weight, load=lambda start, stop: weight[start:stop])
    trace = replace(trace, layers=(replace(layer, weight=record),))
    check(trace, NarrowWeights())
    plan = plan_of(trace, NarrowWeights())
    assert plan.parts[0].group.sums.weight_bits == 3
    assert plan.parts[0].group.zeros.tolist() == [1, 1, 1, 1]
    assert plan.counts(1)["filter_load"]["dram_byte"] == -(-180 * 3 // 8)


@pytest.mark.parametrize("place", PLACES)
def test_places(place: str) -> None:
    for share in (0.6, 1.0):  # 1: nothing is left to multiply
        check(with_channels_pruned(PLACES[place], 2, share), TwoGroups(), jobs=2)


def ternary(seed: int, image: tuple[int, ...], n_filters: int, **more: Any) -> Trace:
    """Draw a layer of weights -1, 0 and 1."""
    trace = one_layer(seed, image, n_filters, weights=quantization(2, 0, signed=True), **more)
    (layer,) = trace.layers
    assert layer.weight is not None
    weight = np.maximum(layer.weight.read(), -1)
    record = replace(layer.weight, load=lambda start, stop: weight[start:stop])
    return replace(trace, layers=(replace(layer, weight=record),))


@pytest.mark.parametrize("zero", [0, 255, 131])
def test_a_rule_may_bring_its_own_tap(zero: int) -> None:
    inputs = quantization(8, zero)
    for trace in (
        ternary(40, (5, 6, 5), 4, geometry=SAME, inputs=inputs),
        ternary(41, (70,), 90, inputs=inputs),
    ):
        check(trace, TernaryTaps())
        plan = plan_of(trace, TernaryTaps())
        assert plan.windows == ()  # no zero point is left
        taps = plan.parts[0].group.layout.taps_per_lane
        tap = ternary_tap(8, 24, 256)
        assert tap.n_steps == 8 * 2 + 2 + 24
        assert plan.counts(1)["mac"]["cycles"] == taps * tap.n_steps


# counts, worked by hand for two arrays of 256 lanes


def two_groups() -> tuple[Trace, ConvPlan]:
    """Ten filters of 6 x 3 x 3 at 63 positions; the odd ones use channels 0, 2, 3 and 5."""
    trace = one_layer(1, (6, 9, 7), 10, SAME, weights=quantization(8, 77))
    (layer,) = trace.layers
    assert layer.weight is not None
    weight = layer.weight.read().copy()
    weight[1::2, [1, 4]] = 77
    record = replace(layer.weight, load=lambda start, stop: weight[start:stop])
    trace = replace(trace, layers=(replace(layer, weight=record),))
    return trace, plan_of(trace, TwoGroups(), *TINY, "mapping.batch_size=2")


def test_filter_groups_follow_each_other_with_passes_of_their_own() -> None:
    _, plan = two_groups()
    even, odd = (part.group for part in plan.parts)
    # 9 taps in 3 lanes of 3: 18 lanes of 32; channels 0, 2, 3 and 5 in 4 lanes of 9
    assert (even.layout.source.shape, even.layout.n_lanes) == ((18, 3), 32)
    assert (odd.layout.source.shape, odd.layout.n_lanes) == ((4, 9), 4)
    assert (odd.layout.source[:, 0] // 9).tolist() == [0, 2, 3, 5]
    # 2 samples x 63 positions x 5 filters = 630: 8 an array of the even, 64 of the odd
    phases = plan.counts(2)
    assert phases["mac"] == {
        "cycles": 40 * 3 * 127 + 5 * 9 * 127,
        "sram_compute_cycle": 79 * 3 * 127 + 10 * 9 * 127,
        "mac_exec": 630 * 54 + 630 * 36,
    }
    even_moves, odd_moves = 24 + 25 + 26 + 27 + 28, 24 + 25
    assert phases["reduction"] == {
        "cycles": 40 * (2 * even_moves + 5) + 5 * (2 * odd_moves + 2),
        "sram_compute_cycle": 79 * (even_moves + 5) + 10 * (odd_moves + 2),
        "sram_access_cycle": 79 * even_moves + 10 * odd_moves,
    }
    # 270 weights and 5 filters of 36 with 4 indices of 3 bits: 180 bytes and 12 bits
    assert phases["filter_load"] == {
        "cycles": max(10, 1 * 24) + max(8, 1 * 72),
        "sram_access_cycle": 2 * 24 + 2 * 72,
        "dram_byte": 270 + 182,
        "tmu_row": 2 * 8 + 1 * 8,
        "bus_byte": 270 + 182,
    }
    # 126 windows of 54 and of 36 codes; a gathered row is a cycle on top
    assert phases["input_stream"] == {
        "cycles": max(40 * 24, -(-6804 // 32)) + max(5 * 72, -(-4536 // 32)) + 5 * 72,
        "sram_access_cycle": 79 * 24 + 10 * 72,
        "bus_byte": 6804 + 4536,
        "gather_row": 10 * 72,
    }
    assert plan.index_bits == 12
    place = plan.occupancy(2)
    assert (place.passes, place.array_passes, place.arrays) == (45, 89, 2)
    assert place.lanes == 630 * 32 + 630 * 4
    assert place.utilization == (630 * 36) / (45 * 512)


def test_windows_are_summed_once_for_each_set_of_entries() -> None:
    _, plan = two_groups()
    whole, some = plan.windows
    assert plan.window_of.tolist() == [0, 1] * 5
    assert whole.sums.layout.entries.tolist() == list(range(54))
    assert (some.sums.layout.entries // 9).tolist() == [c for c in (0, 2, 3, 5) for _ in range(9)]
    assert (whole.bits, some.bits) == ((54 * 255).bit_length(), (36 * 255).bit_length())
    # 126 windows: 16 arrays of 8, and 2 of 64
    whole_steps = 3 * (25 + 8) + 2 * 130 + 5
    some_steps = 9 * (25 + 8) + 2 * 49 + 2
    assert plan.counts(2)["window_sum"] == {
        "cycles": 8 * whole_steps + 1 * some_steps,
        "sram_compute_cycle": 16 * (whole_steps - 24 - 130) + 2 * (some_steps - 72 - 49),
        "sram_access_cycle": 16 * (24 + 130) + 2 * (72 + 49),
    }


def test_filters_of_the_same_entries_share_a_window_sum() -> None:
    trace = one_layer(2, (6, 9, 7), 10, SAME, weights=quantization(8, 77))
    plan = plan_of(trace, TwoGroups(), *TINY)
    assert plan.window_of.tolist() == [0] * 10
    assert plan.windows[0].sums.layout is plan.parts[0].group.layout
    assert [part.group.layout.n_lanes for part in plan.parts] == [32, 8]


def test_a_group_streams_and_sums_the_windows_of_its_conv_groups() -> None:
    """Four filters of four conv groups of 2 x 3 x 3: each half meets two windows a position."""
    trace = one_layer(5, (8, 9, 7), 4, Geometry((3, 3), padding=(1,) * 4, groups=4))
    (layer,) = trace.layers
    assert layer.weight is not None
    weight = layer.weight.read().copy()
    weight[1::2, 1] = 0  # the odd filters use the first of their channels
    record = replace(layer.weight, load=lambda start, stop: weight[start:stop])
    trace = replace(trace, layers=(replace(layer, weight=record),))
    plan = plan_of(trace, TwoGroups(), *TINY)
    assert [part.n_streamed for part in plan.parts] == [2 * 18, 2 * 9]
    assert [window.n_sets for window in plan.windows] == [2, 2]
    phases = plan.counts(1)
    assert phases["input_stream"]["bus_byte"] == 63 * 2 * 18 + 63 * 2 * 9
    # 126 windows of 6 lanes in 8, three taps each, and of one lane
    assert phases["window_sum"]["sram_access_cycle"] == 4 * (24 + 24 + 25 + 26) + 1 * 72
    whole = plan_of(trace, OneGroup(), *TINY)
    assert [window.n_sets for window in whole.windows] == [4]
    assert whole.counts(1)["input_stream"]["bus_byte"] == 63 * 4 * 18


def test_codes_of_all_groups_go_out_together() -> None:
    """One gathering, each group's sums with the rows of its own; one output."""
    trace, plan = two_groups()
    phases = plan.counts(2)
    parts = [one for part in plan.parts for one in part.epilogue]
    places = [-(-126 * one.filters.size // 256) for one in parts]
    steps = [one.program.n_steps() for one in parts]
    assert phases["requantize"] == {
        "cycles": sum(-(-n // 2) * s for n, s in zip(places, steps, strict=True)),
        "sram_compute_cycle": sum(n * s for n, s in zip(places, steps, strict=True)),
    }
    widths = [sum(one.program.widths.values()) for one in parts]
    rule = 32 + 10 + 14 + 7  # total, multiplier, window, zero point
    assert widths == [rule + (29 if one.filters[0] % 2 == 0 else 26) for one in parts]
    assert phases["gather"] == {
        "cycles": 40 * 29
        + 5 * 26
        + 8 * 14
        + 1 * 14
        + sum(-(-n // 2) * w for n, w in zip(places, widths, strict=True)),
        "sram_access_cycle": 79 * 29
        + 10 * 26
        + 16 * 14
        + 2 * 14
        + sum(n * w for n, w in zip(places, widths, strict=True)),
    }
    assert phases["output"]["bus_byte"] == 1260
    assert phases["output"]["sram_access_cycle"] == sum(places) * 8
    # 30 samples: either half of the codes fits in the two arrays for input and output, not both
    many = plan_of(trace, TwoGroups(), *TINY, "mapping.batch_size=30").counts(30)
    assert many["output"]["dram_byte"] == 2 * (30 * 630 - 2 * 256 * 256 // 8)


def test_two_groups_cost_what_two_layers_of_their_filters_cost() -> None:
    """Where nothing is shared: without zero points, in every preset and batch."""
    for preset in ("neural_cache", "neural_cache_calibrated", "neural_cache_mve"):
        chosen = override(load_preset("neural_cache", preset), [*TINY, "mapping.batch_size=3"])
        trace = one_layer(3, (6, 9, 7), 8, SAME, weights=quantization(8, 0))
        (plan,) = CacheMachine(chosen, Halves()).plan(trace).layers
        (half,) = (
            CacheMachine(chosen, OneGroup())
            .plan(one_layer(3, (6, 9, 7), 4, SAME, weights=quantization(8, 0)))
            .layers
        )
        for n_samples in (1, 3, 7):
            twice = scale_phases([(2, half.counts(n_samples))])
            whole = plan.counts(n_samples)
            for phase in ("filter_load", "input_stream", "mac", "reduction"):
                assert whole[phase] == twice[phase], (preset, phase)


class Halves:
    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        (whole,) = OneGroup().filter_groups(layer)
        filters = np.split(whole.filters, 2)
        return [multiply_group(layer, mine, whole.layout) for mine in filters]


def test_index_bits_are_in_the_table_where_there_are_any() -> None:
    trace, _ = two_groups()
    planned = machine(TwoGroups()).plan(trace)
    assert planned.totals() == {"index_bits": 12}
    assert [row["index_bits"] for row in planned.table()] == [12]
    plain = machine(OneGroup()).plan(trace)
    assert plain.totals() == {}
    assert all("index_bits" not in row for row in plain.table())


# rules that are wrong


class Wrong:
    """The one group, changed."""

    def __init__(self, *changes: dict[str, Any], **change: Any) -> None:
        self.changes = changes or (change,)

    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        (group,) = OneGroup().filter_groups(layer)
        return [replace(group, **change) for change in self.changes]


def some(*filters: int) -> dict[str, Any]:
    return {"filters": np.array(filters, np.int64), "zeros": np.zeros(len(filters), np.int64)}


@pytest.mark.parametrize(
    ("rule", "got"),
    [
        (Wrong(some(0, 1, 2)), "got 0, 1, 2;"),
        (Wrong(some(0, 1), some(1, 2, 3)), "got 0, 1; 1, 2, 3;"),
        (Wrong(some(1, 0, 2, 3)), "got 1, 0, 2, 3;"),
        (Wrong(some(0, 1, 2, 3), some()), "got 0, 1, 2, 3; ;"),
        (Wrong(some(0, 1, 2, 4)), "got 0, 1, 2, 4;"),
    ],
)
def test_groups_hold_each_filter_once(rule: ConvRule, got: str) -> None:
    with pytest.raises(MappingError, match=r"layer 0 'only' \(conv2d\): need groups") as told:
        plan_of(one_layer(50, (3, 4, 4), 4, SAME), rule)
    assert got in str(told.value)


def test_no_groups_hold_no_filter() -> None:
    class Nothing:
        def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
            return []

    with pytest.raises(MappingError, match="got none; mend the rule"):
        plan_of(one_layer(50, (3, 4, 4), 4, SAME), Nothing())


class Channels:
    """All filters, some channels for all of them."""

    def __init__(self, channels: list[int]) -> None:
        self.channels = channels

    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        kept = np.array(self.channels)
        layout = lay_lanes(
            layer.shape,
            split_limit_taps=9,
            pack_limit_channels=4,
            pad_to_power_of_two=True,
            channels=kept,
        )
        return [multiply_group(layer, np.arange(layer.shape.out_channels), layout)]


def test_a_weight_left_out_is_at_its_zero_point() -> None:
    trace = one_layer(51, (3, 4, 4), 4, SAME, weights=quantization(8, [0, 9, 0, 255]))
    (layer,) = trace.layers
    assert layer.weight is not None and isinstance(layer.weight_quantization, Quantization)
    weight = layer.weight.read().copy()
    weight[:, 1] = np.array([0, 9, 0, 255])[:, None, None]

    def traced() -> Trace:
        assert layer.weight is not None
        record = replace(layer.weight, load=lambda start, stop: weight[start:stop])
        return replace(trace, layers=(replace(layer, weight=record),))

    check(traced(), Channels([0, 2]))
    weight[3, 1, 2, 0] = 254
    with pytest.raises(MappingError, match=r"none for filter 3, channel 1, tap 6; mend the rule"):
        plan_of(traced(), Channels([0, 2]))


@pytest.mark.parametrize(
    ("owners", "got"),
    [
        ([[0, 1, 2, 3], [0, -1, -1, -1]], r"\[0\]"),  # in two sets
        ([[0, 1, 2, 4]], r"\[0, 1, 2, 4\]"),  # unknown
    ],
)
def test_owners_are_filters_of_one_set(owners: list[list[int]], got: str) -> None:
    trace = one_layer(52, (4, 4, 4), 4, SAME)
    with pytest.raises(MappingError, match=rf"own no other lanes, got filters {got}"):
        plan_of(trace, Wrong(owners=np.array(owners)))


def test_each_lane_has_an_owner() -> None:
    with pytest.raises(MappingError, match=r"an owner for each of 4 lanes, got \(1, 3\)"):
        plan_of(one_layer(52, (4, 4, 4), 4, SAME), Wrong(owners=np.array([[0, 1, 2]])))


@pytest.mark.parametrize("zeros", [[0, 0, 0], [0, 0, 0, -1]])
def test_each_filter_has_a_zero_point(zeros: list[int]) -> None:
    with pytest.raises(MappingError, match=r"least 0 for each of 4 filters, .* zero points \[0, "):
        plan_of(one_layer(52, (4, 4, 4), 4, SAME), Wrong(zeros=np.array(zeros)))


def test_entries_are_those_of_the_window() -> None:
    with pytest.raises(MappingError, match=r"need entries below 36 .* got entries \[36, 37, 38,"):
        plan_of(one_layer(52, (4, 4, 4), 4, SAME), Channels([0, 1, 2, 3, 4]))


def test_shared_lanes_serve_one_conv_group() -> None:
    trace = one_layer(53, (4, 4, 4), 4, Geometry((3, 3), groups=2))
    with pytest.raises(MappingError, match=r"one conv group .* got filters \[1, 2\]"):
        plan_of(trace, Wrong(owners=np.array([[1, 2]])))


def test_held_weights_fit_their_rows() -> None:
    def hold(codes: Any) -> HeldWeights:
        return HeldWeights(codes.astype(np.int64) + 1, np.zeros(codes.shape[0], np.int64))

    trace = one_layer(54, (4, 4, 4), 4, SAME)
    with pytest.raises(LayoutError, match=r"need held weights of 8 bits, .* got 1 to 256;"):
        list(machine(Wrong(hold=hold)).prepare(trace).run_batch(trace.samples.codes.read()))


def test_a_sum_lies_on_the_last_rows_of_its_tap() -> None:
    (group,) = OneGroup().filter_groups(
        WeightedLayer.of(
            one_layer(55, (4,), 2).layers[0], quantization(8), load_preset("neural_cache")
        )
    )
    tap = group.sums.tap
    fields = (*tap.fields, Field("more", tap.n_rows, 1))
    with pytest.raises(LayoutError, match=f"got rows above it up to {tap.n_rows}"):
        replace(group.sums, tap=replace(tap, fields=fields))


def test_extra_steps_may_be_a_phase_of_their_own() -> None:
    trace = one_layer(56, (6, 9, 7), 10, SAME)
    extra = (ExtraSteps("coalesce", 5, {"gather_row": 2}), ExtraSteps("mac", 1, {}))
    plan = plan_of(trace, Wrong(extra=extra), *TINY)
    plain = plan_of(trace, OneGroup(), *TINY).counts(3)
    phases = plan.counts(3)  # 630 convolutions of 8 lanes a sample: 20 arrays, 10 passes
    assert phases.pop("coalesce") == {"cycles": 3 * 10 * 5, "gather_row": 3 * 20 * 2}
    plain["mac"]["cycles"] += 3 * 10
    assert phases == plain
