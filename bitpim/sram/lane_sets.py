"""What each set of lanes of a layer takes and holds, lane by lane, and whose sums it makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.filter_groups import FilterGroup, LaneSums
from bitpim.sram.occupancy import ArrayPool

__all__ = ["FilterSets", "LaneSet", "LaneSets", "WindowSets"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LaneSet:
    """One set of lanes, those with taps.

    Attributes
    ----------
    conv_group : whose entries they take; -1 where they serve no filter
    source : (n_used, taps) the entry that each takes at each tap, -1 for none
    weights : (n_used, taps) what it holds; None where entries alone are summed
    owned : of each sum that the set makes, its lanes
    serves : of each of these sums, the filters of the layer that it is for
    """

    conv_group: int
    source: Int64
    weights: Int64 | None
    owned: tuple[Int64, ...]
    serves: tuple[Int64, ...]


class LaneSets(Protocol):
    """Sets of lanes alike, all of which meet every window."""

    @property
    def sums(self) -> LaneSums:
        """What their lanes do."""
        ...

    @property
    def masks(self) -> int:
        """Rows that say what each owner of a set has."""
        ...

    @property
    def blocks(self) -> Sequence[tuple[int, ...]]:
        """Sets that lie side by side in one array and share a list, or one alone."""
        ...

    @property
    def block_lanes(self) -> int:
        """Columns that a block takes."""
        ...

    def lanes(self, index: int) -> LaneSet:
        """Return one of the sets."""
        ...

    def serves(self, index: int) -> tuple[Int64, ...]:
        """Return what `LaneSet.serves` says of one of the sets."""
        ...


class FilterSets:
    """The sets of lanes of a filter group.

    Parameters
    ----------
    group : the group
    codes : (n_filters of the layer, n_entries), weights as lane codes
    pool : the arrays, by which sets of one list lie together
    per_conv_group : filters of a conv group
    """

    def __init__(
        self, group: FilterGroup, codes: Codes, pool: ArrayPool, per_conv_group: int
    ) -> None:
        self.group, self.sums, self.masks = group, group.sums, group.masks
        self._held = group.hold(codes[group.filters]).codes.astype(np.int64)
        self._per_conv_group = per_conv_group
        lists, n_lanes = group.lists, group.layout.n_lanes
        self.blocks: Sequence[tuple[int, ...]] = [(i,) for i in range(group.n_lane_sets)]
        self.block_lanes = n_lanes
        if lists is not None and lists.together > 1:
            self.blocks = _of_one_list(lists.kept, lists.together)
            self.block_lanes = lists.in_arrays(n_lanes, pool.n_columns)[1]

    def lanes(self, index: int) -> LaneSet:
        """Return one of the sets: a filter's, or one that several own."""
        group = self.group
        if group.owners is not None:
            return self._shared(index, group.owners[index])
        source = group.source_of(index)
        held = np.where(source < 0, 0, self._held[index][source])
        return LaneSet(
            int(group.filters[index]) // self._per_conv_group,
            source,
            held,
            (np.arange(source.shape[0]),),
            self.serves(index),
        )

    def serves(self, index: int) -> tuple[Int64, ...]:
        """Return the filter of one of the sets, or those that own some of its lanes."""
        filters, owners = self.group.filters, np.array([index])
        if self.group.owners is not None:
            owners = _owners(self.group.owners[index])
        return tuple(filters[owner : owner + 1] for owner in owners)

    def _shared(self, index: int, owner_of: Int64) -> LaneSet:
        """Return a set whose lanes have owners; side by side those of one are neighbours."""
        group, source = self.group, self.group.layout.source
        weights = np.where(
            (source < 0) | (owner_of < 0)[:, None], 0, self._held[owner_of[:, None], source]
        )
        serves = self.serves(index)
        conv_group = int(serves[0][0]) // self._per_conv_group if serves else -1
        if not group.masks:
            last = np.where(owner_of < 0, group.filters.size, owner_of)
            order = np.argsort(last, kind="stable")
            owner_of, source, weights = owner_of[order], source[order], weights[order]
        owned = tuple(np.flatnonzero(owner_of == owner) for owner in _owners(owner_of))
        return LaneSet(conv_group, source, weights, owned, serves)


def _owners(owner_of: Int64) -> Int64:
    return np.unique(owner_of[owner_of >= 0])


def _of_one_list(kept: npt.NDArray[np.bool_], together: int) -> list[tuple[int, ...]]:
    """Put filters of one list side by side, so many to an array."""
    _, which = np.unique(kept, axis=0, return_inverse=True)
    which, blocks = which.reshape(-1), []
    for one in range(int(which.max()) + 1):
        filters = np.flatnonzero(which == one).tolist()
        blocks += [tuple(filters[i : i + together]) for i in range(0, len(filters), together)]
    return blocks


class WindowSets:
    """The sets of lanes that sum windows, each once for all filters that use the same entries."""

    def __init__(self, plan: ConvPlan, index: int, parts: Sequence[FilterSets]) -> None:
        window = plan.windows[index]
        self.sums, self.masks, self.block_lanes = (
            window.sums,
            window.masks,
            window.sums.layout.n_lanes,
        )
        users = np.flatnonzero(plan.window_of == index)
        mine = [sets for sets in parts if np.isin(sets.group.filters, users).any()]
        group = mine[0].group
        per_conv_group = plan.shape.out_channels // plan.shape.groups
        if group.owners is None and group.lists is None:
            self._sets = _by_conv_group(window.sums.layout.source, users, users // per_conv_group)
        else:
            self._sets = _by_entries(mine[0], shared=group.owners is not None)
        self.blocks: Sequence[tuple[int, ...]] = [(i,) for i in range(len(self._sets))]

    def lanes(self, index: int) -> LaneSet:
        """Return one of the sets."""
        return self._sets[index]

    def serves(self, index: int) -> tuple[Int64, ...]:
        """Return the filters that need each sum of one of the sets."""
        return self._sets[index].serves


def _by_conv_group(source: Int64, users: Int64, conv_groups: Int64) -> list[LaneSet]:
    lanes = (np.arange(source.shape[0]),)
    return [
        LaneSet(int(one), source, None, lanes, (users[conv_groups == one],))
        for one in np.unique(conv_groups)
    ]


def _by_entries(sets: FilterSets, *, shared: bool) -> list[LaneSet]:
    """Sum each list of a conv group once, and sets of owners as they are."""
    found: dict[Any, LaneSet] = {}
    for index in range(sets.group.n_lane_sets):
        lanes = sets.lanes(index)
        key = index if shared else (lanes.conv_group, lanes.source.tobytes())
        serves = lanes.serves
        if key in found:
            serves = (np.concatenate([found[key].serves[0], serves[0]]),)
        found[key] = LaneSet(lanes.conv_group, lanes.source, None, lanes.owned, serves)
    return list(found.values())
