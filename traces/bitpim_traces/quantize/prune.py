"""One door for all ways to prune a float network: settings in, masks by layer and zeros out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask, mask_codes
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.quantize.channel_graph import channel_graph
from bitpim_traces.quantize.channels import ChannelPruning, choose_channel_masks
from bitpim_traces.quantize.lanes import (
    LanePruning,
    PrunedLanes,
    choose_lane_masks,
    pruned_lanes,
)
from bitpim_traces.quantize.overlap import OverlapPruning, choose_overlap_masks
from bitpim_traces.quantize.pattern import PatternPruning, PrunedLayer, choose_masks

__all__ = [
    "GivenMasks",
    "Pruning",
    "given_masks",
    "joined_mask",
    "masked_network",
    "prune_network",
    "pruning_as_plain",
]


@dataclass(frozen=True, slots=True)
class GivenMasks:
    """Masks from elsewhere, by the names of layers; `source` says where from, in plain values."""

    masks: Mapping[str, LayerMask]
    source: Mapping[str, Any] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """Yield where the masks come from, and the layers they are for, for provenance."""
        return {**self.source, "layers": sorted(self.masks)}


Pruning = PatternPruning | LanePruning | OverlapPruning | ChannelPruning | GivenMasks
"""Settings of one way to prune."""

_WAYS: dict[type, str] = {
    LanePruning: "lanes",
    OverlapPruning: "overlap",
    ChannelPruning: "channels",
    GivenMasks: "masks",
}

Removed = dict[str, npt.NDArray[np.bool_]]
Reports = tuple[PrunedLayer | PrunedLanes, ...]


def pruning_as_plain(pruning: Pruning | Sequence[Pruning]) -> Any:
    """Yield settings of pruning as words and numbers, for provenance; a list of several."""
    if isinstance(pruning, Sequence):
        plain = [pruning_as_plain(one) for one in pruning]
        return plain[0] if len(plain) == 1 else plain
    way = _WAYS.get(type(pruning))
    return {**({} if way is None else {"way": way}), **pruning.as_plain()}


@overload
def prune_network(
    network: FloatNetwork, pruning: PatternPruning | None = None
) -> tuple[FloatNetwork, dict[str, LayerMask], tuple[PrunedLayer, ...]]: ...


@overload
def prune_network(
    network: FloatNetwork, pruning: Pruning | Sequence[Pruning] | None
) -> tuple[FloatNetwork, dict[str, LayerMask], Reports]: ...


def prune_network(
    network: FloatNetwork, pruning: Pruning | Sequence[Pruning] | None = None
) -> tuple[FloatNetwork, dict[str, LayerMask], Reports]:
    """Prune a float network, by patterns where nothing is said; yield it, masks by layer, reports.

    Several ways are gone one after another, each on what the one before left; a layer has one mask
    and one report, of all of them.

    Raises
    ------
    TraceDataError
        As for `choose_masks`, `choose_lane_masks`, `choose_overlap_masks`, `choose_channel_masks`;
        or a mask that is given fits no layer.
    """
    ways = pruning if isinstance(pruning, Sequence) else [pruning or PatternPruning()]
    masks: dict[str, LayerMask] = {}
    reports: Reports = ()
    pruned = network
    for way in ways:
        new, reports, removed = _choose(pruned, way)
        pruned = masked_network(pruned, new, removed)
        masks |= {name: joined_mask(masks.get(name), mask) for name, mask in new.items()}
    if len(ways) > 1:
        reports = tuple(
            pruned_lanes(layer.name, layer.weight, masks[layer.name])
            for layer in network.layers
            if layer.name in masks and layer.weight is not None
        )
    return pruned, masks, reports


def masked_network(
    network: FloatNetwork, masks: Mapping[str, LayerMask], removed: Mapping[str, Any] | None = None
) -> FloatNetwork:
    """Set the weights of a float network that masks (by layer name) do not keep to zero.

    `removed` says which filters have no bias either, by layer name.
    """
    layers = [_masked(layer, masks, removed or {}) for layer in network.layers]
    return FloatNetwork(network.name, tuple(layers), network.input_shape)


def joined_mask(old: LayerMask | None, new: LayerMask) -> LayerMask:
    """Yield the mask that keeps what both keep, with the patterns and groups of the later.

    Where the earlier mask would leave a pattern that is none of the new ones, the new mask stands:
    it then keeps weights that are zero.
    """
    if old is None:
        return new
    mask = old.mask & new.mask
    groups = old.groups if new.groups is None else new.groups
    if new.patterns is not None and not _has_patterns(mask, new.patterns):
        return LayerMask(new.mask, new.patterns, groups)
    patterns = old.patterns if new.patterns is None else new.patterns
    if patterns is not None and not _has_patterns(mask, patterns):
        patterns = None
    return LayerMask(mask, patterns, groups)


def _has_patterns(mask: npt.NDArray[np.uint8], patterns: npt.NDArray[np.uint32]) -> bool:
    codes = mask_codes(mask)
    return bool(((codes == 0) | np.isin(codes, patterns)).all())


def _choose(
    network: FloatNetwork, pruning: Pruning
) -> tuple[dict[str, LayerMask], Reports, Removed]:
    weighted = [layer for layer in network.layers if layer.weight is not None]
    weights = {layer.name: layer.weight for layer in weighted if layer.weight is not None}
    match pruning:
        case PatternPruning():
            convs = {n: w for n, w in weights.items() if w.ndim == 4}
            return *choose_masks(convs, pruning), {}
        case LanePruning():
            return *choose_lane_masks(weights, pruning), {}
        case OverlapPruning():
            groups = {x.name: x.geometry.groups for x in weighted if x.geometry is not None}
            return *choose_overlap_masks(weights, pruning, groups), {}
        case ChannelPruning():
            return choose_channel_masks(weights, channel_graph(network), pruning)
        case GivenMasks():
            return *given_masks(weights, pruning), {}


def given_masks(
    weights: Mapping[str, npt.NDArray[np.floating]], given: GivenMasks
) -> tuple[dict[str, LayerMask], Reports]:
    """Yield masks that are given and a report, if they fit the weights of layers.

    Raises
    ------
    TraceDataError
        A mask fits no layer.
    """
    for name, mask in given.masks.items():
        shape = weights[name].shape if name in weights else None
        if mask.mask.shape != shape:
            need = "masks of layers with weights" if shape is None else f"a mask of shape {shape}"
            got = "none" if shape is None else mask.mask.shape
            raise TraceDataError(f"masks: layer {name!r}: need {need}, got {got}")
    reports = (pruned_lanes(name, weights[name], mask) for name, mask in given.masks.items())
    return dict(given.masks), tuple(reports)


def _masked(
    layer: FloatLayer, masks: Mapping[str, LayerMask], removed: Mapping[str, Any]
) -> FloatLayer:
    if layer.name not in masks or layer.weight is None:
        return layer
    bias = layer.bias
    if layer.name in removed and bias is not None:
        bias = np.where(removed[layer.name], np.float32(0), bias)
    weight = np.where(masks[layer.name].mask, layer.weight, np.float32(0))
    return replace(layer, weight=weight, bias=bias)
