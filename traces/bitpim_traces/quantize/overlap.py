"""Overlapping: filters of a group have no input channel in common, so that they may share lanes.

Filters are parted into groups. Of each input channel one filter of a group keeps its lane, the one
of the largest norm, and the others' are held at zero. Filters of a group read the same channels,
so none reaches over the groups of a grouped convolution.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask
from bitpim_traces.quantize.lanes import (
    NORMS,
    PrunedLanes,
    lane_mask,
    lane_norms,
    lanes_to_prune,
    pruned_lanes,
)
from bitpim_traces.quantize.pruning_values import need_known, need_word, own_of

__all__ = [
    "ASSIGNMENTS",
    "PARTITIONS",
    "OverlapPruning",
    "assign_channels",
    "choose_overlap_masks",
    "part_filters",
]

ASSIGNMENTS = ("largest", "balanced")
PARTITIONS = ("greedy", "consecutive")

_WINDOW = 256
"""Consecutive filters among which greedy groups are sought: more take too long in large layers."""

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class OverlapPruning:
    """How filters are made to share lanes; making one checks every value.

    Attributes
    ----------
    group
        Filters of a group at most, at least 2. Layers of fewer input channels, and those of one
        filter a conv group, stay as they are.
    assignment
        Who keeps an input channel: "largest": the filter of the group whose lane has the largest
        norm, of equal ones the first. "balanced": by descending norm, but no filter keeps more than
        its part of the channels, rounded up.
    partition
        "greedy": each group begins with the first filter that is left and takes, one after another,
        the one by which the least energy is lost (among 256 consecutive ones at a time).
        "consecutive": filters as they stand.
    norm
        "l1" or "l2" of a lane.
    skip_first, linear
        As for `LanePruning`.
    overrides
        Sizes of groups of their own, by the names of layers or patterns of names, of which the last
        that fits counts; 1 leaves a layer as it is.

    Raises
    ------
    TraceDataError
        A value is out of its range.
    """

    group: int = 2
    assignment: str = "largest"
    partition: str = "greedy"
    norm: str = "l2"
    skip_first: bool = True
    linear: bool = False
    overrides: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        need_word("overlap", "assignment", self.assignment, ASSIGNMENTS)
        need_word("overlap", "partition", self.partition, PARTITIONS)
        need_word("overlap", "norm", self.norm, NORMS)
        if self.group < 2:
            raise TraceDataError(f"overlap: need groups of at least 2 filters, got {self.group}")
        for name, size in self.overrides.items():
            if size < 1:
                raise TraceDataError(
                    f"overlap: overrides[{name!r}]: need groups of at least 1 filter, got {size}"
                )

    def as_plain(self) -> dict[str, Any]:
        """Yield the settings as words and numbers, for provenance; overrides in their order."""
        return {**asdict(self), "overrides": [[*own] for own in self.overrides.items()]}


# --- one weight


def part_filters(
    norms: Floats, size: int, *, partition: str = "greedy", conv_groups: int = 1
) -> Ints:
    """Yield the group of every filter, 0, 1, ... in the order of their first filters.

    Shapes
    ------
    norms : (M, C), of lanes;  groups : (M,)
    """
    n_own = norms.shape[0] // conv_groups
    groups = np.zeros(norms.shape[0], np.int32)
    step = min(n_own, max(_WINDOW // size, 1) * size) if partition == "greedy" else n_own
    n_groups = 0
    for first in range(0, norms.shape[0], n_own):
        for start in range(first, first + n_own, step):
            stop = min(start + step, first + n_own)
            if partition == "greedy":
                own = _greedy(np.square(norms[start:stop].astype(np.float64)), size)
            else:
                own = np.arange(stop - start, dtype=np.int32) // size
            groups[start:stop] = own + n_groups
            n_groups += int(own.max()) + 1
    return groups


def assign_channels(norms: Floats, groups: Ints, *, assignment: str = "largest") -> Bools:
    """Say which lanes are kept: of each group and channel at most one, and none of norm 0.

    Shapes
    ------
    norms : (M, C), of lanes;  groups : (M,);  kept : (M, C)
    """
    members = _members(groups)  # (G, size), -1 where a group is smaller
    held = np.where(members[:, :, None] < 0, -1.0, norms[members].astype(np.float64))
    owner = held.argmax(axis=1) if assignment == "largest" else _balanced(held, members)
    kept = np.zeros(norms.shape, bool)
    filters = np.take_along_axis(members, np.maximum(owner, 0), axis=1)
    where = owner >= 0
    channels = np.broadcast_to(np.arange(norms.shape[1]), owner.shape)
    kept[filters[where], channels[where]] = True
    return kept & (norms > 0)


def _members(groups: Ints) -> npt.NDArray[np.int64]:
    """Yield the filters of each group, one a row, ascending; rows are filled up with -1."""
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    members = np.full((sizes.size, int(sizes.max())), -1, np.int64)
    places = np.arange(groups.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    members[group[order], places] = order
    return members


def _greedy(energy: npt.NDArray[np.float64], size: int) -> Ints:
    """Group filters one after another by the energy, of squared weights, that is lost.

    Shapes
    ------
    energy : (M, C), of lanes;  groups : (M,)
    """
    groups = np.full(energy.shape[0], -1, np.int32)
    for group in range(-(-energy.shape[0] // size)):
        left = np.flatnonzero(groups < 0)
        groups[left[0]], best = group, energy[left[0]]
        for _ in range(min(size, left.size) - 1):
            left = np.flatnonzero(groups < 0)
            lost = energy[left].sum(axis=1) - np.maximum(energy[left] - best, 0).sum(axis=1)
            chosen = left[lost.argmin()]
            groups[chosen], best = group, np.maximum(best, energy[chosen])
    return groups


def _balanced(
    held: npt.NDArray[np.float64], members: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Give channels to filters by descending norm, to none more than its part.

    Shapes
    ------
    held : (G, size, C), negative where there is no filter;  owner : (G, C), a place in the group
    """
    n_groups, size, n_channels = held.shape
    room = -(-n_channels // (members >= 0).sum(axis=1))[:, None] * (members >= 0)
    order = np.argsort(-held.reshape(n_groups, -1), axis=1, kind="stable")
    owner = np.full((n_groups, n_channels), -1, np.int64)
    rows = np.arange(n_groups)
    for rank in range(size * n_channels):
        place, channel = np.divmod(order[:, rank], n_channels)
        free = (owner[rows, channel] < 0) & (room[rows, place] > 0)
        owner[rows[free], channel[free]] = place[free]
        room[rows[free], place[free]] -= 1
    return owner


# --- a network


def choose_overlap_masks(
    weights: Mapping[str, Floats],
    pruning: OverlapPruning | None = None,
    conv_groups: Mapping[str, int] | None = None,
) -> tuple[dict[str, LayerMask], tuple[PrunedLanes, ...]]:
    """Choose the masks and groups of layers, given the weights of all in execution order.

    `conv_groups` are the groups of grouped convolutions, by name.

    Shapes
    ------
    weights : (O, I / groups, R, S) of a convolution, (O, I) of a linear layer

    Raises
    ------
    TraceDataError
        An override fits no layer or does not suit one, there is nothing to prune, or a weight is
        not finite or nothing but zeros.
    """
    pruning, conv_groups = pruning or OverlapPruning(), conv_groups or {}
    need_known(pruning.overrides, weights.keys(), "overlap", "layers with weights")
    general = lanes_to_prune(weights, pruning.skip_first, pruning.linear)
    masks, reports = {}, []
    for name, weight in weights.items():
        own, n_own = own_of(pruning.overrides, name), weight.shape[0] // conv_groups.get(name, 1)
        fits = weight.shape[1] >= (own or pruning.group) and n_own > 1
        if own == 1 or (own is None and not (fits and name in general)):
            continue
        if not fits:
            raise TraceDataError(
                f"overlap: layer {name!r}: need groups of at most {weight.shape[1]} filters, as"
                f" many as it has channels, and at least 2 filters of one conv group, got groups of"
                f" {own} and {n_own} filters; leave it as it is with 1"
            )
        if not np.isfinite(weight).all():
            raise TraceDataError(f"overlap: layer {name!r}: need finite weights, got others")
        masks[name] = _layer_mask(weight, own or pruning.group, pruning, conv_groups.get(name, 1))
        if not masks[name].mask.any():
            raise TraceDataError(f"overlap: layer {name!r}: need a weight that is not 0, got none")
        reports.append(pruned_lanes(name, weight, masks[name]))
    if not masks:
        raise TraceDataError(
            f"overlap: need a layer of at least {pruning.group} channels to prune, got none of the"
            f" {len(weights)} with weights; use smaller groups, or name one in overrides"
        )
    return masks, tuple(reports)


def _layer_mask(weight: Floats, size: int, pruning: OverlapPruning, conv_groups: int) -> LayerMask:
    norms = lane_norms(weight, pruning.norm)
    groups = part_filters(norms, size, partition=pruning.partition, conv_groups=conv_groups)
    kept = assign_channels(norms, groups, assignment=pruning.assignment)
    return LayerMask(lane_mask(~kept, weight.shape), groups=groups)
