"""A module's layers pruned by magnitude, its masks held, and the layers they belong to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.channels import channel_masks
from bitpim_traces.exporter.plain import need_plain
from bitpim_traces.masks import LayerMask
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize.channels import ChannelPruning
from bitpim_traces.quantize.lanes import LanePruning, PrunedLanes, choose_lane_masks
from bitpim_traces.quantize.overlap import OverlapPruning, choose_overlap_masks
from bitpim_traces.quantize.pattern import PatternPruning, PrunedLayer, choose_masks
from bitpim_traces.quantize.prune import GivenMasks, Pruning, given_masks, joined_mask

__all__ = ["PrunedModule", "hold_masks", "layer_masks", "masked_parameters", "prune_module"]


Reports = tuple[PrunedLayer | PrunedLanes, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PrunedModule:
    """What pruning chose: masks by parameter name, and a report by module path.

    Where channels are removed, biases and batch norms have masks, too. Of several ways in turn the
    report is that of the last, each on what the one before left.
    """

    masks: dict[str, LayerMask]
    layers: Reports
    settings: Pruning | Sequence[Pruning]


def prune_module(
    module: torch.nn.Module,
    pruning: Pruning | Sequence[Pruning] | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
) -> PrunedModule:
    """Prune the convolutions of a module, in place, by the magnitudes of their weights.

    What is dropped is up to the settings: weights outside of patterns of 3 x 3 kernels (without
    settings), lanes, what keeps filters from sharing lanes, channels, or what masks from elsewhere
    say; or several of these in turn. All but patterns may prune linear layers, too. Layers are
    taken in the order in which the module names them, and go by module path in `overrides` of the
    settings. Channels need `input_shape`, that of one sample, to see which go together. The masks
    fit `finetune`, `hold_masks` and `export`.

    Raises
    ------
    TraceDataError
        There is nothing to prune, an override names no layer that can be, a weight is not finite,
        or no plain tensor.
    """
    need_plain(module)
    chosen = PatternPruning() if pruning is None else pruning
    masks: dict[str, LayerMask] = {}
    layers: Reports = ()
    for way in chosen if isinstance(chosen, Sequence) else [chosen]:
        found, layers = _choose(module, way, input_shape)
        hold_masks(module, found)
        masks |= {name: joined_mask(masks.get(name), mask) for name, mask in found.items()}
    return PrunedModule(masks, layers, chosen)


def _choose(
    module: torch.nn.Module, pruning: Pruning, input_shape: tuple[int, ...] | None
) -> tuple[dict[str, LayerMask], Reports]:
    """Choose masks by parameter name, and report them by module path."""
    parts = {
        path: part
        for path, part in module.named_modules()
        if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear)) and "weight" in part._parameters
    }
    weights = {path: part.weight.detach().cpu().numpy() for path, part in parts.items()}
    more: dict[str, LayerMask] = {}
    masks: dict[str, LayerMask]
    layers: Reports
    match pruning:
        case LanePruning():
            masks, layers = choose_lane_masks(weights, pruning)
        case OverlapPruning():
            groups = {p: c.groups for p, c in parts.items() if isinstance(c, torch.nn.Conv2d)}
            masks, layers = choose_overlap_masks(weights, pruning, groups)
        case ChannelPruning():
            if input_shape is None:
                raise TraceDataError("channels: need input_shape, that of one sample, got none")
            masks, layers, more = channel_masks(module, weights, pruning, input_shape)
        case GivenMasks():
            masks, layers = given_masks(weights, pruning)
        case PatternPruning():
            doubles = {p: w.astype(np.float64) for p, w in weights.items() if w.ndim == 4}
            masks, layers = choose_masks(doubles, pruning)
    by_parameter = {f"{path}.weight".lstrip("."): mask for path, mask in masks.items()}
    return by_parameter | more, layers


def hold_masks(module: torch.nn.Module, masks: Mapping[str, LayerMask]) -> None:
    """Set the weights of a module that masks (by parameter name) do not keep to zero.

    Raises
    ------
    TraceDataError
        The module has no such parameter, or one of another shape.
    """
    with torch.no_grad():
        for parameter, pruned in masked_parameters(module, masks):
            parameter.masked_fill_(pruned, 0.0)


def masked_parameters(
    module: torch.nn.Module, masks: Mapping[str, LayerMask]
) -> list[tuple[torch.nn.Parameter, torch.Tensor]]:
    """Find the parameters that have masks; yield each with a tensor that is True where pruned.

    Raises
    ------
    TraceDataError
        The module has no such parameter, or one of another shape.
    """
    own = dict(module.named_parameters(remove_duplicate=False))
    found = []
    for name, mask in masks.items():
        if name not in own:
            raise TraceDataError(
                f"masks: need parameters of {type(module).__name__}, got {name!r};"
                " masks go by names as of named_parameters()"
            )
        if tuple(own[name].shape) != mask.mask.shape:
            raise TraceDataError(
                f"masks: {name!r}: need a mask of shape {tuple(own[name].shape)},"
                f" got {mask.mask.shape}"
            )
        pruned = torch.from_numpy(mask.mask == 0).to(own[name].device)
        found.append((own[name], pruned))
    return found


def layer_masks(
    module: torch.nn.Module, network: FloatNetwork, masks: Mapping[str, LayerMask]
) -> dict[str, LayerMask]:
    """Turn masks by parameter name into masks by layer of the network read from the module.

    A module that is used several times is several layers, and all of them get its mask. Masks of
    one axis, of biases and batch norms, have no place there.

    Raises
    ------
    TraceDataError
        No layer holds the weight that a mask is for.
    """
    paths = {path for path, _ in module.named_modules()}
    found = {}
    for parameter, mask in masks.items():
        if mask.mask.ndim == 1:
            continue
        path = parameter.rpartition(".")[0]
        # the module itself, or an operator that the module calls; numbered when met again
        named = re.compile(rf"{re.escape(path)}(_\d+|\.\w+)?" if path else r"\w+")
        layers = [
            layer.name
            for layer in network.layers
            if layer.weight is not None
            and layer.weight.shape == mask.mask.shape
            and named.fullmatch(layer.name)
            and (layer.name == path or layer.name not in paths)
        ]
        if not layers:
            raise TraceDataError(
                f"masks: need a layer whose weight is the parameter {parameter!r},"
                f" got none in network {network.name}"
            )
        found.update(dict.fromkeys(layers, mask))
    return found
