"""Overlapping: filters that keep no channel in common, in one set of lanes.

Each lane of a set holds the conv kernel of the one filter that keeps its channel, its owner, so no
input is gathered. Each filter's sum is that of the lanes it owns: one masked reduction after the
other, or one tree over owners side by side, for which inputs must lie in the set's order.

Source: Bit Prudent, HPCA 2019 (filters that overlap: found; owner maps and reductions assumed).
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitpim.errors import MappingError
from bitpim.sram.coalescing import lay_channels, pass_cycles
from bitpim.sram.costs import masked_costs
from bitpim.sram.filter_groups import ExtraSteps, FilterGroup, LaneSums
from bitpim.sram.filter_runs import Demand, cheapest_runs
from bitpim.sram.low_precision import group_by_precision
from bitpim.sram.occupancy import ArrayPool
from bitpim.sram.signed_taps import without_window_sums
from bitpim.sram.sparse_settings import SparseCacheSettings
from bitpim.sram.transposed import LaneLayout, with_more_rows
from bitpim.sram.weighted_layer import WeightedLayer
from bitpim_traces.masks import OVERLAP_GROUPS

__all__ = ["greedy_sets", "overlapping_groups", "trace_sets"]

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]


def overlapping_groups(
    layer: WeightedLayer, settings: SparseCacheSettings, kept: Bools
) -> list[FilterGroup]:
    """Yield groups of filters whose sets share lanes alike; `kept` (M, channels)."""
    by_trace = settings.sparsity.overlap_groups == "trace"
    sets = trace_sets(layer, kept) if by_trace else greedy_sets(layer, kept)
    return _Overlapping(layer, settings, kept).groups(sets)


def trace_sets(layer: WeightedLayer, kept: Bools) -> list[Int64]:
    """Read which filters share lanes.

    Raises
    ------
    MappingError
        The trace does not say, or two filters of a set keep one channel or belong to different conv
        groups.
    """
    name = layer.record.name
    remedy = (
        f"prune with `bitpim trace prune ... --overlap`, or use "
        f"`--set sparsity.overlap_groups@{name}=greedy`"
    )
    tensor = layer.record.extra.get(OVERLAP_GROUPS)
    if tensor is None:
        raise MappingError(
            f"{layer.where}: need filters that share lanes, extra/{OVERLAP_GROUPS}, got none in "
            f"the trace; {remedy}"
        )
    of = tensor.read()
    if of.shape != kept.shape[:1] or of.dtype.kind not in "iu":
        raise MappingError(
            f"{layer.where}: need a group for each of {kept.shape[0]} filters in extra/"
            f"{OVERLAP_GROUPS}, got {of.dtype} of {of.shape}; {remedy}"
        )
    sets = [np.flatnonzero(of == one) for one in np.unique(of)]
    for filters in sets:
        _need_disjoint(layer, filters, kept, remedy)
    return sets


def _need_disjoint(layer: WeightedLayer, filters: Int64, kept: Bools, remedy: str) -> None:
    conv_groups = layer.conv_group_of(filters)
    for other in filters[conv_groups != conv_groups[0]][:1]:
        raise MappingError(
            f"{layer.where}: need filters of one conv group to share lanes, got filters "
            f"{filters[0]} and {other} of different ones; {remedy}"
        )
    for channel in np.flatnonzero(kept[filters].sum(axis=0) > 1)[:1]:
        first, second = filters[kept[filters, channel]][:2]
        raise MappingError(
            f"{layer.where}: need filters that share lanes to keep no channel in common, got "
            f"channel {channel} kept by filters {first} and {second}; {remedy}"
        )


def greedy_sets(layer: WeightedLayer, kept: Bools) -> list[Int64]:
    """Put filter after filter into the first set of its conv group that keeps none of its channels.

    A filter that keeps nothing lies anywhere.
    """
    n_words = -(-kept.shape[1] // 64)
    padded = np.zeros((kept.shape[0], 64 * n_words), np.bool_)
    padded[:, : kept.shape[1]] = kept
    words = np.packbits(padded, axis=1).view(np.uint64)
    taken = np.zeros_like(words)
    conv_group = np.empty(kept.shape[0], np.int64)
    members: list[list[int]] = []
    for position, (mine, own) in enumerate(
        zip(words, layer.conv_group_of(np.arange(kept.shape[0])), strict=True)
    ):
        free = np.flatnonzero(conv_group[: len(members)] == own)
        for word in np.flatnonzero(mine):
            free = free[taken[free, word] & mine[word] == 0]
            if not free.size:
                break
        if not free.size:
            conv_group[len(members)] = own
            free = np.array([len(members)])
            members.append([])
        members[free[0]].append(position)
        taken[free[0]] |= mine
    return [np.array(filters, np.int64) for filters in members]


@dataclass(frozen=True, slots=True)
class _Overlapping:
    layer: WeightedLayer
    settings: SparseCacheSettings
    kept: Bools

    @property
    def masked(self) -> bool:
        return self.settings.sparsity.owner_reduction == "masked"

    def groups(self, sets: list[Int64]) -> list[FilterGroup]:
        """Part sets by what they take to be reduced: owners, or the lanes of the longest."""
        layer = self.layer
        alone, shared = lay_channels(layer), lay_channels(layer, pack_limit=1)
        needs = np.array([self._need(filters, shared) for filters in sets])
        present, which, counts = np.unique(needs, return_inverse=True, return_counts=True)
        like = group_by_precision(layer, np.arange(self.kept.shape[0]), alone)
        demands = [
            self._demand(int(n), int(need), like, self._layout(int(need), alone, shared))
            for n, need in zip(counts, present, strict=True)
        ]
        groups = []
        for run in self._runs(demands, present):
            mine = [sets[i] for i in np.flatnonzero((which >= run.start) & (which < run.stop))]
            need = int(present[run.stop - 1])
            layout = self._layout(need, alone, shared)
            groups.append(
                group_by_precision(layer, np.sort(np.concatenate(mine)), layout)
                if need == _ALONE
                else self._group(mine, need, layout)
            )
        return groups

    def _runs(self, demands: list[Demand], needs: Int64) -> list[range]:
        """Part needs into runs; lone filters may be masked too, but own too much for segments."""
        if self.masked or needs[0] != _ALONE:
            return cheapest_runs(demands)
        later = cheapest_runs(demands[1:])
        return [range(1), *(range(run.start + 1, run.stop + 1) for run in later)]

    def _owning(self, filters: Int64) -> Int64:
        """Filters that keep something; the others have no lane and the sum 0."""
        return filters[self.kept[filters].any(axis=1)]

    def _need(self, filters: Int64, layout: LaneLayout) -> int:
        """Reductions of a set, or with owners side by side the lanes of the longest."""
        owning = self._owning(filters)
        if filters.size == 1 or owning.size == 0:
            return _ALONE
        if self.masked:
            return int(owning.size)
        parts = layout.n_used // self.kept.shape[1]
        return int(self.kept[owning].sum(axis=1).max()) * parts

    def _layout(self, need: int, alone: LaneLayout, shared: LaneLayout) -> LaneLayout:
        if need == _ALONE:
            return alone
        return shared if self.masked else replace(shared, segment_lanes=need)

    def _demand(self, n_sets: int, need: int, like: FilterGroup, layout: LaneLayout) -> Demand:
        settings = self.settings
        geometry = settings.geometry
        pool = ArrayPool(geometry.n_compute_arrays, geometry.array_columns)
        times = settings.mapping.batch_size * self.layer.shape.n_positions
        masked = self.masked and need != _ALONE
        cycles = pass_cycles(
            layout,
            like,
            n_trees=need if masked else 1,
            more=1 + self._copied_bits(like.sums) if masked else 0,
        )
        rows = layout.taps_per_lane * like.sums.weight_bits
        return Demand(n_sets * times, pool.items_at_once(layout.n_lanes), cycles, rows)

    def _group(self, sets: list[Int64], need: int, layout: LaneLayout) -> FilterGroup:
        filters = np.sort(np.concatenate(sets))
        group = group_by_precision(self.layer, filters, layout)
        group = without_window_sums(self.layer, self.settings, group)
        channel_of = layout.source.max(axis=1) // self.layer.shape.n_taps
        owners = np.full((len(sets), layout.n_used), -1, np.int64)
        index_bits = 0
        for lanes, members in zip(owners, sets, strict=True):
            owning = self._owning(members)
            for one in owning:
                lanes[self.kept[one, channel_of]] = np.searchsorted(filters, one)
            index_bits += layout.n_used * max(owning.size - 1, 0).bit_length()
        group = replace(group, owners=owners, index_bits=index_bits)
        return self._masked(group, need) if self.masked else self._side_by_side(group)

    def _masked(self, group: FilterGroup, masks: int) -> FilterGroup:
        """Reduce a set's filters one after the other, behind rows that say what each owns."""
        sums = group.sums
        rows = with_more_rows(self.layer.where, sums.rows, sums.input_bits, owner_rows=masks)
        costs = masked_costs(sums.costs, masks, self._copied_bits(sums))
        return replace(group, masks=masks, sums=replace(sums, rows=rows, costs=costs))

    def _copied_bits(self, sums: LaneSums) -> int:
        """Rows of a lane's sum as the first step of a reduction takes it."""
        fixed = self.settings.mapping.reduction_bits == "fixed"
        return sums.final_bits if fixed else sums.sum_bits

    def _side_by_side(self, group: FilterGroup) -> FilterGroup:
        """Let inputs pass the coalescing block, by a list of channels that each set stores."""
        assert group.owners is not None
        sparsity = self.settings.sparsity
        n_channels = self.kept.shape[1]
        lists = group.owners.shape[0] * n_channels * (n_channels - 1).bit_length()
        rows = group.layout.taps_per_lane * group.sums.input_bits
        cycles = 0 if sparsity.gather_pipelined else sparsity.coalesce_cycles * rows
        gathering = ExtraSteps("input_stream", cycles, {"gather_row": rows})
        return replace(
            group, index_bits=group.index_bits + lists, extra=(*group.extra, gathering)
        )


_ALONE = 0
"""The need of sets of one filter: they lie as those of a dense layer."""
