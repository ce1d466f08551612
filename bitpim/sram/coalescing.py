"""Coalescing: the conv kernels that pruning left, side by side, each lane with its own channel.

A filter keeps the channels whose conv kernels are not wholly at the zero point. They lie in
neighbouring lanes, in order, and the coalescing block brings each lane the inputs of its channel by
a stored list. Lists differ in length, so filters are parted into groups (`filter_runs`): those of a
group have the lanes of the longest of their lists.

Source: Bit Prudent, HPCA 2019 (the block found; lists, their sharing and their costs assumed).
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitpim.sram.filter_groups import ExtraSteps, FilterGroup
from bitpim.sram.filter_runs import Demand, cheapest_runs, n_cycles
from bitpim.sram.gather_lists import GatherLists, lists_in_arrays
from bitpim.sram.low_precision import group_by_precision
from bitpim.sram.occupancy import ArrayPool
from bitpim.sram.signed_taps import without_window_sums
from bitpim.sram.sparse_settings import SparseCacheSettings
from bitpim.sram.transposed import LaneLayout, lay_lanes
from bitpim.sram.weighted_layer import WeightedLayer

__all__ = ["coalesced_groups", "lay_channels", "pass_cycles"]

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]


def coalesced_groups(
    layer: WeightedLayer, settings: SparseCacheSettings, kept: Bools
) -> list[FilterGroup]:
    """Yield groups of filters with only the channels that they keep; `kept` (M, channels)."""
    sharing = _Coalescing(layer, settings, kept)
    if settings.sparsity.gather_list == "array":
        return sharing.lists_of_arrays()
    return sharing.lists_of_filters(np.arange(kept.shape[0]))


def lay_channels(
    layer: WeightedLayer,
    channels: Int64 | None = None,
    *,
    pack_limit: int | None = None,
    across_arrays: bool = False,
) -> LaneLayout:
    """Lay some channels of a layer in lanes, as its mapping says; all by default."""
    mapping = layer.settings.mapping
    return lay_lanes(
        layer.shape,
        split_limit_taps=mapping.filter_split_limit_taps,
        pack_limit_channels=pack_limit or mapping.filter_pack_limit_channels,
        pad_to_power_of_two=mapping.pad_channels_to_power_of_two,
        channels=channels,
        across_arrays=across_arrays,
    )


def pass_cycles(layout: LaneLayout, like: FilterGroup, *, n_trees: int = 1, more: int = 0) -> int:
    """Estimate the cycles of a pass in a layout from those of a group of the same taps.

    `n_trees` trees follow each other, each after `more` cycles.
    """
    costs, levels = like.sums.costs, max(like.layout.n_levels, 1)
    tree = costs.reduction * layout.n_levels // levels
    tap = costs.multiply_accumulate + like.sums.input_bits
    return layout.taps_per_lane * tap + n_trees * (tree + more)


@dataclass(frozen=True, slots=True)
class _Coalescing:
    layer: WeightedLayer
    settings: SparseCacheSettings
    kept: Bools

    @property
    def pool(self) -> ArrayPool:
        geometry = self.settings.geometry
        return ArrayPool(geometry.n_compute_arrays, geometry.array_columns)

    @property
    def times(self) -> int:
        """Positions of a batch."""
        return self.settings.mapping.batch_size * self.layer.shape.n_positions

    # a list a filter

    def lists_of_filters(self, filters: Int64) -> list[FilterGroup]:
        """Part filters by the length of their lists."""
        lengths = self.kept[filters].sum(axis=1)
        present, which, counts = np.unique(lengths, return_inverse=True, return_counts=True)
        layouts = [self._places(int(length)) for length in present]
        like = group_by_precision(self.layer, filters, layouts[-1])
        demands = [
            self._demand(int(n), layout, like) for n, layout in zip(counts, layouts, strict=True)
        ]
        groups = []
        for run in cheapest_runs(demands):
            mine = filters[(which >= run.start) & (which < run.stop)]
            groups.append(self._group(mine, self.kept[mine], layouts[run.stop - 1]))
        return groups

    def _places(self, n_channels: int) -> LaneLayout:
        """Lay so many channels, named by their places in a list."""
        sparsity = self.settings.sparsity
        across = sparsity.lanes_across_arrays and sparsity.gather_list == "filter"
        return lay_channels(self.layer, np.arange(n_channels), across_arrays=across)

    def _demand(
        self, n_filters: int, layout: LaneLayout, like: FilterGroup, together: int = 1
    ) -> Demand:
        n_items, n_lanes = n_filters, layout.n_lanes
        if together > 1:
            n_items, n_lanes = lists_in_arrays(n_filters, together, n_lanes, self.pool.n_columns)
        at_once = self.pool.items_at_once(n_lanes, across=layout.across_arrays)
        rows = layout.taps_per_lane * like.sums.weight_bits
        return Demand(self.times * n_items, at_once, pass_cycles(layout, like), rows)

    # a list an array

    def lists_of_arrays(self) -> list[FilterGroup]:
        """Part filters into sets that share an array and one list, the channels of any of them.

        Filters of equal channels are neighbours, so that they meet in an array. Tried are sets that
        begin with as many filters as the shortest list lets into an array, with fewer, and so on.
        """
        n_filters = self.kept.shape[0]
        order = np.lexsort([*np.packbits(self.kept, axis=1).T[::-1], self.kept.sum(axis=1)])
        limits = self._limits()
        like = group_by_precision(self.layer, np.arange(n_filters), self._places(limits[-1][1]))
        tried = [self._sets(order, limits[first:]) for first in range(len(limits))]
        best = min(tried, key=lambda sets: sum(self._cycles(one, like) for one in sets))
        groups = []
        for together, sets in best:
            filters = np.concatenate(sets)
            if together == 1:
                groups += self.lists_of_filters(np.sort(filters))
                continue
            lists = np.array([self.kept[one].any(axis=0) for one in sets])
            each = np.repeat(lists, [one.size for one in sets], axis=0)
            layout, up = self._places(int(lists.sum(axis=1).max())), np.argsort(filters)
            groups.append(self._group(filters[up], each[up], layout, lists, together))
        return groups

    def _limits(self) -> list[tuple[int, int]]:
        """Filters an array holds, from most to fewest, and the channels each may have then."""
        limits: dict[int, int] = {}
        for n_channels in range(1, self.kept.shape[1] + 1):
            together = self.pool.n_columns // self._places(n_channels).n_lanes
            if together <= 1:
                limits[1] = self.kept.shape[1]
                break
            limits[together] = n_channels
        return list(limits.items())

    def _sets(self, order: Int64, limits: list[tuple[int, int]]) -> list[tuple[int, list[Int64]]]:
        """Fill arrays with neighbours whose list is short enough, others with fewer of them."""
        parts = []
        for together, most in limits:
            last = together == limits[-1][0]
            size = min(together, order.size)
            if not size:
                break
            sets = np.split(order, range(size, order.size, size))
            short = [
                bool(one.size == size and self.kept[one].any(axis=0).sum() <= most) for one in sets
            ]
            chosen = [one for one, fits in zip(sets, short, strict=True) if fits or last]
            if chosen:
                parts.append((size, chosen))
            rest = [one for one, fits in zip(sets, short, strict=True) if not (fits or last)]
            order = np.concatenate(rest) if rest else order[:0]
        return parts

    def _cycles(self, part: tuple[int, list[Int64]], like: FilterGroup) -> int:
        together, sets = part
        longest = max(int(self.kept[one].any(axis=0).sum()) for one in sets)
        demand = self._demand(len(sets) * together, self._places(longest), like, together)
        return n_cycles(demand, demand.n_items)

    # groups

    def _group(
        self,
        filters: Int64,
        kept: Bools,
        layout: LaneLayout,
        lists: Bools | None = None,
        together: int = 1,
    ) -> FilterGroup:
        """Make a group of filters that gather what they keep, by stored `lists`, theirs or fewer."""
        first = np.flatnonzero(kept[0])
        alike = bool((kept == kept[0]).all())
        if alike:  # one layout for all of them, and no places
            layout = lay_channels(self.layer, first, across_arrays=layout.across_arrays)
        group = group_by_precision(self.layer, filters, layout)
        if not alike:
            group = without_window_sums(self.layer, self.settings, group)
            group = replace(group, lists=GatherLists(kept, self.layer.shape.n_taps, together))
        elif first.size == kept.shape[1]:
            return group  # nothing is pruned
        stored = kept if lists is None else lists
        return replace(
            group,
            index_bits=int(stored.sum()) * (kept.shape[1] - 1).bit_length(),
            extra=(*group.extra, self._gathering(group)),
        )

    def _gathering(self, group: FilterGroup) -> ExtraSteps:
        """Every streamed row passes the block."""
        sparsity = self.settings.sparsity
        rows = group.layout.taps_per_lane * group.sums.input_bits
        cycles = 0 if sparsity.gather_pipelined else sparsity.coalesce_cycles * rows
        return ExtraSteps("input_stream", cycles, {"gather_row": rows})
