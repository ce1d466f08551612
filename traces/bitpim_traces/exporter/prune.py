"""A module's convolutions pruned to patterns, its masks held, and the layers they belong to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.plain import need_plain
from bitpim_traces.masks import LayerMask
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize.pattern import PatternPruning, PrunedLayer, choose_masks

__all__ = ["PrunedModule", "hold_masks", "layer_masks", "masked_parameters", "prune_module"]


@dataclass(frozen=True, slots=True, eq=False)
class PrunedModule:
    """What pruning chose: masks by parameter name, and a report by module path."""

    masks: dict[str, LayerMask]
    layers: tuple[PrunedLayer, ...]
    settings: PatternPruning


def prune_module(module: torch.nn.Module, pruning: PatternPruning | None = None) -> PrunedModule:
    """Prune the 3 x 3 convolutions of a module, in place, by the magnitudes of their weights.

    Convolutions are taken in the order in which the module names them; `overrides` of the settings
    go by module path. The masks fit `finetune`, `hold_masks` and `export`.

    Raises
    ------
    TraceDataError
        There is nothing to prune, an override names no 3 x 3 convolution, a weight is not finite,
        or no plain tensor.
    """
    need_plain(module)
    pruning = pruning or PatternPruning()
    convolutions = {
        path: part
        for path, part in module.named_modules()
        if isinstance(part, torch.nn.Conv2d) and "weight" in part._parameters
    }
    weights = {p: c.weight.detach().cpu().double().numpy() for p, c in convolutions.items()}
    masks, layers = choose_masks(weights, pruning)
    by_parameter = {f"{path}.weight".lstrip("."): mask for path, mask in masks.items()}
    hold_masks(module, by_parameter)
    return PrunedModule(by_parameter, layers, pruning)


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

    A module that is used several times is several layers, and all of them get its mask.

    Raises
    ------
    TraceDataError
        No layer holds the weight that a mask is for.
    """
    paths = {path for path, _ in module.named_modules()}
    found = {}
    for parameter, mask in masks.items():
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
