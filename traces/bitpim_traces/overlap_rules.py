"""Groups of filters that may share lanes: their form, and that no two keep a channel in common."""

import numpy as np
import numpy.typing as npt

from bitpim_traces.faults import Fault, Report
from bitpim_traces.records import LayerRecord

__all__ = [
    "OVERLAP_GROUPS",
    "PRUNING_MASK",
    "check_group_values",
    "check_groups",
    "fault_of",
    "overlap_conflict",
]

PRUNING_MASK = "pruning_mask"
OVERLAP_GROUPS = "overlap_groups"


def overlap_conflict(
    kept: npt.NDArray[np.bool_], groups: npt.NDArray[np.integer]
) -> tuple[int, int, int] | None:
    """Find a channel that two filters of a group keep; the least, and its first two filters.

    Shapes
    ------
    kept : (M, C), whether a filter keeps anything of a channel;  groups : (M,)
    result : channel, filter, filter
    """
    if not kept.size:
        return None
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(groups[order]) != 0))
    owners = np.add.reduceat(kept[order], starts, axis=0, dtype=np.int64)
    crowded = np.argwhere(owners.T > 1)
    if not len(crowded):
        return None
    channel, group = (int(n) for n in crowded[0])
    members = np.flatnonzero((groups == groups[order[starts[group]]]) & kept[:, channel])
    return channel, int(members[0]), int(members[1])


def check_groups(layer: LayerRecord, report: Report) -> None:
    """Check form and place of a layer's groups, reading no values."""
    groups = layer.extra.get(OVERLAP_GROUPS)
    if groups is None:
        return
    if PRUNING_MASK not in layer.extra or layer.weight is None:
        report(fault_of(layer, OVERLAP_GROUPS, f"a {PRUNING_MASK} beside the groups", "none"))
    elif groups.dtype != np.int32 or groups.shape != layer.weight.shape[:1]:
        need = f"int32 of {layer.weight.shape[:1]}, a group for each filter"
        report(fault_of(layer, OVERLAP_GROUPS, need, f"{groups.dtype} of {groups.shape}"))


def check_group_values(layer: LayerRecord, mask: npt.NDArray[np.uint8], report: Report) -> None:
    """Check a layer's groups against its mask; the form of both is in order."""
    groups = layer.extra[OVERLAP_GROUPS].read()
    if groups.size and int(groups.min()) < 0:
        report(fault_of(layer, OVERLAP_GROUPS, "groups from 0", f"{int(groups.min())}"))
        return
    conv_groups = 1 if layer.geometry is None else layer.geometry.groups
    n_own, n_channels = groups.size // conv_groups, mask.shape[1]
    kept = np.asarray(mask.reshape(*mask.shape[:2], -1).any(axis=2))
    conv_group_of: dict[int, int] = {}
    for conv_group in range(conv_groups):
        own = slice(conv_group * n_own, (conv_group + 1) * n_own)
        for group in np.unique(groups[own]).tolist():
            if conv_group_of.setdefault(group, conv_group) != conv_group:
                need = "groups of filters that read the same channels, within one conv group"
                got = f"group {group} in conv groups {conv_group_of[group]} and {conv_group}"
                report(fault_of(layer, OVERLAP_GROUPS, need, got))
                return
        conflict = overlap_conflict(kept[own], groups[own])
        if conflict is not None:
            channel, one, other = conflict
            need = "groups whose filters keep no channel in common"
            got = (
                f"channel {channel + conv_group * n_channels} kept by filters"
                f" {own.start + one} and {own.start + other} of group {groups[own.start + one]}"
            )
            report(fault_of(layer, OVERLAP_GROUPS, need, got))
            return


def fault_of(layer: LayerRecord, name: str, need: str, got: str) -> Fault:
    """Make the fault of a tensor of a layer's `extra`."""
    return Fault(f"/layers/{layer.index:04d}/extra/{name}", need, got, "data")
