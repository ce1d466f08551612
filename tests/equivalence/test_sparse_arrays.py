"""Bit Prudent against itself done literally: lists, owners and masks found anew from the weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.counts import Counts
from bitpim.machine.bit_prudent import BitPrudentSettings
from bitpim.machine.registry import load_preset, make_machine
from bitpim.proof.reference import run_network
from bitpim.sram.conv_plan import ConvPlan, GroupPlan, WindowSum
from bitpim_traces.records import Geometry, TensorRecord, Trace
from tests.equivalence.test_cache_arrays import Literal, in_order
from tests.naive.cache_arrays import PhaseCounts, add_counts, run_lane_program
from tests.naive.sparse_arrays import IDLE, LaneSet, Work, run_sets
from tests.one_layer import one_layer, quantization
from tests.toy_rules import with_channels_pruned

Codes = npt.NDArray[np.int64]
TWO_ARRAYS = (
    "geometry.n_cache_slices=1",
    "geometry.ways_per_cache_slice=3",
    "geometry.banks_per_way=2",
    "geometry.arrays_per_bank=1",
    "mapping.batch_size=2",
)
EVENTS = ("cycles", "sram_compute_cycle", "sram_access_cycle")
MODES = {
    "a list a filter": ("sparsity.gather_pipelined=false", "sparsity.coalesce_cycles=2"),
    "a list an array": ("sparsity.gather_list=array",),
    "across arrays": (
        "sparsity.lanes_across_arrays=true",
        "mapping.pad_channels_to_power_of_two=false",
        "geometry.array_columns=20",
    ),
    "an unpadded list an array": (
        "sparsity.gather_list=array",
        "mapping.pad_channels_to_power_of_two=false",
        "geometry.array_columns=20",
    ),
    "masked owners": ("sparsity.mode=overlap",),
    "masked owners, a fixed reduction": (
        "sparsity.mode=overlap",
        "mapping.reduction_bits=fixed",
        "mapping.reduction_fixed_bits=28",
    ),
    "owners side by side": ("sparsity.mode=overlap", "sparsity.owner_reduction=contiguous"),
}
WINDOW_SUMS = ("sparsity.signed_weights=offset",)


def same(height: int) -> Geometry:
    return Geometry((height, height), padding=(height // 2,) * 4)


LAYERS: dict[str, tuple[Trace, tuple[str, ...]]] = {
    "3x3": (one_layer(20, (9, 4, 4), 12, same(3), n_samples=2), ()),
    "3x3, offset": (one_layer(20, (9, 4, 4), 6, same(3)), WINDOW_SUMS),
    "zero points of channels, strides": (
        one_layer(
            21,
            (7, 5, 5),
            6,
            Geometry((3, 2), (2, 1), (1, 0, 0, 2), (1, 2)),
            weights=quantization(8, [0, 255, 128, 3, 255, 0]),
            inputs=quantization(8, -128, signed=True),
            mode="half_up_shift",
        ),
        (),
    ),
    "conv groups": (
        one_layer(22, (10, 4, 4), 8, Geometry((3, 3), groups=2), weights=quantization(8, 0)),
        (),
    ),
    "linear": (one_layer(23, (70,), 6), ("mapping.filter_pack_limit_channels=4",)),
    "5x5 split over lanes": (one_layer(24, (6, 4, 3), 5, same(5)), ("geometry.array_rows=192",)),
}


class Sparse(Literal):
    """A layer's convolutions with lists and owners that are found from the weights."""

    def __init__(self, trace: Trace, plan: ConvPlan) -> None:
        super().__init__(trace, plan)
        self.n_taps = plan.shape.n_taps
        self.n_channels = plan.shape.in_channels
        kernels = (self.weights != self.zeros[:, None]).reshape(*self.zeros.shape, -1, self.n_taps)
        self.kept = kernels.any(axis=2)
        self.streamed: list[set[tuple[int, int, int]]] = []
        self.n_items = len(self.windows)
        self.stay = True  # filters stay where they were loaded

    # what the lanes of a group hold

    def lane_sets(self, part: GroupPlan) -> tuple[list[LaneSet], list[list[int]], list[int]]:
        """Yield the sets of lanes of a group, the filters of each, and their conv groups."""
        group = part.group
        held = group.hold(self.weights[group.filters]).codes.astype(np.int64)
        per_conv_group = self.zeros.size // self.windows.shape[1]
        if group.owners is None:
            members = [[int(f)] for f in self.in_arrays(part)]
        else:
            members = self.overlapped(part)
        sets, conv_groups = [], []
        for filters in members:
            if not filters:
                continue
            conv_groups.append(filters[0] // per_conv_group)
            by_filter = {f: held[np.searchsorted(group.filters, f)] for f in filters}
            make = self.alone if group.owners is None else self.shared
            sets.append(make(part, by_filter))
        return sets, [filters for filters in members if filters], conv_groups

    def alone(self, part: GroupPlan, weights: dict[int, Codes]) -> LaneSet:
        ((filter_index, codes),) = weights.items()
        source = part.group.layout.source
        if part.group.lists is not None:
            channels = np.flatnonzero(self.listed(part, filter_index))
            entries = (channels[:, None] * self.n_taps + np.arange(self.n_taps)).reshape(-1)
            padded = np.concatenate([entries, np.full(source.max() + 1 - entries.size, -1)])
            source = np.where(source < 0, -1, padded[source])
        held = np.where(source < 0, 0, codes[source])
        return LaneSet(source, held, (np.arange(source.shape[0]),))

    def listed(self, part: GroupPlan, filter_index: int) -> npt.NDArray[np.bool_]:
        """Tell which channels a filter's list names; of a shared list those that others need."""
        group = part.group
        assert group.lists is not None
        if group.lists.together == 1:
            return np.asarray(self.kept[filter_index])
        return np.asarray(group.lists.kept[np.searchsorted(group.filters, filter_index)])

    def in_arrays(self, part: GroupPlan) -> Codes:
        """Order filters so that those of one list are neighbours."""
        group = part.group
        if group.lists is None or group.lists.together == 1:
            return group.filters
        return group.filters[np.lexsort(group.lists.kept.T)]

    def overlapped(self, part: GroupPlan) -> list[list[int]]:
        """Put filters of this group where they fit first, as they come."""
        per_conv_group = self.zeros.size // self.windows.shape[1]
        sets: list[list[int]] = []
        for f in range(self.zeros.size):
            for members in sets:
                other = members[0] // per_conv_group == f // per_conv_group
                if other and not (self.kept[members].any(axis=0) & self.kept[f]).any():
                    members.append(f)
                    break
            else:
                sets.append([f])
        return [members for members in sets if members[0] in part.group.filters]

    def shared(self, part: GroupPlan, weights: dict[int, Codes]) -> LaneSet:
        """Give each lane to the filter that keeps its channel; side by side, or where they are."""
        source = part.group.layout.source
        channel = source.max(axis=1) // self.n_taps
        owned = [np.flatnonzero(self.kept[f][channel]) for f in weights if self.kept[f].any()]
        held = np.zeros(source.shape, np.int64)
        owning = (f for f in weights if self.kept[f].any())
        for f, lanes in zip(owning, owned, strict=True):
            entries = source[lanes]
            held[lanes] = np.where(entries < 0, 0, weights[f][entries])
        if part.group.masks:
            return LaneSet(source, held, tuple(owned))
        rest = np.setdiff1d(np.arange(source.shape[0]), np.concatenate(owned))
        order = np.concatenate([*owned, rest])
        ends = np.cumsum([lanes.size for lanes in owned])
        places = tuple(np.split(np.arange(ends[-1]), ends[:-1]))
        return LaneSet(source[order], held[order], places)

    # runs

    def dot_products(self) -> tuple[Codes, PhaseCounts]:
        sums = np.zeros(self.filters.size, np.int64)
        counts: PhaseCounts = {}
        for part in self.plan.parts:
            sets, members, conv_groups = self.lane_sets(part)
            together = 1 if part.group.lists is None else part.group.lists.together
            idle = -len(sets) % together if together > 1 else 0
            which = np.tile([*range(len(sets)), *[IDLE] * idle], self.n_items)
            groups = np.tile([*conv_groups, *[0] * idle], self.n_items)
            positions = np.repeat(np.arange(self.n_items), len(sets) + idle)
            work = self.work(part, sets, which, self.windows[positions, groups], together)
            outcomes, done = run_sets(self.plan, part.group.sums, work)
            add_counts(counts, done)
            layout, pool = part.group.layout, self.plan.pool
            at_once = pool.items_at_once(layout.n_lanes, across=layout.across_arrays)
            self.stay &= at_once % (len(sets) + idle) == 0
            for position, item, found in zip(positions, which, outcomes, strict=True):
                if item != IDLE:
                    owning = [f for f in members[item] if self.kept[f].any()]
                    filters = members[item] if part.group.owners is None else owning
                    for f, one in zip(filters, found, strict=False):
                        sums[position * self.zeros.size + f] = one
            self.streamed.append(self.taken(sets, conv_groups))
        return sums, counts

    def work(
        self, part: GroupPlan, sets: list[LaneSet], which: Codes, windows: Codes, together: int
    ) -> Work:
        settings = self.plan.settings
        assert isinstance(settings, BitPrudentSettings)
        gathers = bool(part.group.extra)
        cycles = 0 if settings.sparsity.gather_pipelined else settings.sparsity.coalesce_cycles
        return Work(sets, which, windows, part.group.masks, together, gathers, cycles)

    def taken(self, sets: list[LaneSet], conv_groups: list[int]) -> set[tuple[int, int, int]]:
        """Entries of the windows that cross the bus: each once a position."""
        return {
            (position, conv_group, int(entry))
            for position in range(self.n_items)
            for lanes, conv_group in zip(sets, conv_groups, strict=True)
            for entry in np.unique(lanes.source)
            if entry >= 0
        }

    def window_sums(self) -> tuple[Codes, PhaseCounts]:
        out = np.zeros(self.filters.size, np.int64)
        counts: PhaseCounts = {}
        for index, window in enumerate(self.plan.windows):
            parts = [p for p in self.plan.parts if self.plan.window_of[p.group.filters[0]] == index]
            done, found = self.window_sums_of(parts, window)
            add_counts(counts, done)
            for (position, f), one in found.items():
                out[position * self.zeros.size + f] = one
        return out, counts

    def window_sums_of(
        self, parts: list[GroupPlan], window: WindowSum
    ) -> tuple[PhaseCounts, dict[tuple[int, int], int]]:
        """Sum each list of a conv group once; sets of owners as often as they are."""
        sets: dict[Any, LaneSet] = {}
        users: dict[Any, list[list[int]]] = {}
        for part in parts:
            for lanes, members, conv_group in zip(*self.lane_sets(part), strict=True):
                entries = np.sort(lanes.source, axis=None).tobytes()
                key = (conv_group, entries if part.group.owners is None else members[0])
                sets.setdefault(key, replace(lanes, weights=None))
                users.setdefault(key, []).append(members)
        n = len(sets)
        which, positions = np.tile(np.arange(n), self.n_items), np.repeat(np.arange(self.n_items), n)
        conv_groups = np.tile([key[0] for key in sets], self.n_items)
        windows = self.windows[positions, conv_groups]
        work = Work([*sets.values()], which, windows, window.masks, 1, False, 0)
        outcomes, counts = run_sets(self.plan, window.sums, work)
        found = {}
        for position, item, sums in zip(positions, which, outcomes, strict=True):
            for members in [*users.values()][item]:
                owning = [f for f in members if len(members) == 1 or self.kept[f].any()]
                for f, one in zip(owning, sums, strict=False):
                    found[int(position), f] = one
        return counts, found


def bytes_of(n_bits: int) -> int:
    return -(-n_bits // 8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layer", LAYERS)
def test_pruned_filters_done_array_by_array(layer: str, mode: str) -> None:
    trace, assignments = LAYERS[layer]
    done_array_by_array(with_channels_pruned(trace, 3, 0.7), *MODES[mode], *assignments)


def done_array_by_array(trace: Trace, *assignments: str) -> ConvPlan:
    """See that codes are the referee's and the machine's, and counts those of the plan."""
    machine = make_machine("bit_prudent", changes=[*TWO_ARRAYS, *assignments])
    (plan,) = machine.plan(trace).layers
    assert isinstance(plan, ConvPlan)
    literal = Sparse(trace, plan)
    sums, counts = literal.dot_products()
    windows, window_counts = literal.window_sums() if plan.windows else (None, {})
    operands = literal.operands(sums, windows)
    for part in plan.parts:  # what signed products hold beyond
        held = part.group.hold(literal.weights[part.group.filters])
        for f, surplus in zip(part.group.filters, held.surplus, strict=True):
            operands["total"][literal.filters == f] -= surplus
    operands["total"] &= (1 << plan.accumulator_bits) - 1
    codes = np.empty(sums.size, np.int64)
    for one in (one for part in plan.parts for one in part.epilogue):
        mine = np.isin(literal.filters, one.filters)
        named = {name: values[mine] for name, values in operands.items()}
        codes[mine], _ = run_lane_program(one.program, plan.pool.n_columns, named, [])
    referee = run_network(trace, trace.samples.codes.read())[0]
    assert np.array_equal(codes, in_order(trace, referee))
    (run,) = machine.prepare(trace).run_batch(trace.samples.codes.read())
    assert np.array_equal(in_order(trace, run.codes), codes)
    assert run.counts == plan.counts(trace.n_samples)
    check_counts(literal, counts, window_counts)
    return plan


def check_counts(literal: Sparse, counts: PhaseCounts, window_counts: PhaseCounts) -> None:
    plan = literal.plan
    planned = plan.batch_phases(literal.n_items // plan.shape.n_positions)
    for phase in ("mac", "reduction"):
        for name in (*EVENTS, "masked_reduction"):
            assert counts.get(phase, Counts())[name] == planned[phase].get(name, 0), (phase, name)
    for phase in ("filter_load", "input_stream") if literal.stay else ("input_stream",):
        for name in ("sram_access_cycle", "gather_row"):
            assert counts[phase][name] == planned[phase].get(name, 0), (phase, name)
        assert planned[phase]["cycles"] >= counts[phase]["cycles"], phase
    total = sum(window_counts.values(), Counts())
    for name in (*EVENTS, "masked_reduction"):
        assert total[name] == planned.get("window_sum", {}).get(name, 0), name
    bits = plan.parts[0].group.sums.weight_bits
    loaded = streamed = 0
    for part, taken in zip(plan.parts, literal.streamed, strict=True):
        sets = literal.lane_sets(part)[0]
        n_weights = sum(int((s.source[o] >= 0).sum()) for s in sets for o in s.owned)
        loaded += bytes_of(n_weights * bits + part.group.index_bits)
        streamed += bytes_of(len(taken) * plan.input_bits)
    assert planned["filter_load"]["dram_byte"] == loaded
    assert planned["input_stream"]["bus_byte"] == streamed
