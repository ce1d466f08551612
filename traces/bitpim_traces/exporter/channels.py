"""Channels removed from a module: from the weights on both sides, and from all that adds to them.

A channel is gone when it is 0: then no bias, and no batch norm behind its filter, may add to it.
Which parameters those are is found by marks: biases of a copy of the module become numbers that
tell them apart, and each layer of the network read from it shows the marks of its own.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.graph import in_float32, read_network
from bitpim_traces.masks import LayerMask
from bitpim_traces.quantize.channel_graph import channel_graph
from bitpim_traces.quantize.channels import ChannelPruning, choose_channel_masks
from bitpim_traces.quantize.lanes import PrunedLanes

__all__ = ["channel_masks"]

Floats = npt.NDArray[np.floating]

_NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)
_WEIGHTED = (torch.nn.Conv2d, torch.nn.Linear)
_STEP = 1024.0
"""What the marks of batch norms are multiples of; those of other biases are smaller."""


def channel_masks(
    module: torch.nn.Module,
    weights: Mapping[str, Floats],
    pruning: ChannelPruning,
    input_shape: tuple[int, ...],
) -> tuple[dict[str, LayerMask], tuple[PrunedLanes, ...], dict[str, LayerMask]]:
    """Choose the channels that a module loses; weights go by the path of their module.

    Yields masks by path and a report, and masks of biases and batch norms by parameter name.

    Raises
    ------
    TraceDataError
        The module cannot be read, a part with weights is used more than once or not as it is, or
        as for `choose_channel_masks`.
    """
    marked = _marked(module)
    network, _ = read_network(marked, input_shape)
    names = [layer.name for layer in network.layers if layer.weight is not None]
    if set(names) != weights.keys():
        odd = min(set(names) ^ weights.keys())
        raise TraceDataError(
            f"channels: need every layer with weights to be a convolution or linear module that is"
            f" used once, with its batch norm right behind it, got {odd!r}"
        )
    masks, layers, gone = choose_channel_masks(weights, channel_graph(network), pruning)
    biases = {layer.name: layer.bias for layer in network.layers if layer.weight is not None}
    more: dict[str, LayerMask] = {}
    for name, removed in gone.items():
        if removed.any():
            kept = (~removed).astype(np.uint8)
            more |= dict.fromkeys(_added(module, name, biases[name]), LayerMask(kept))
    return masks, layers, more


def _marked(module: torch.nn.Module) -> torch.nn.Module:
    """Copy a module; its biases are marks, its batch norms do nothing else."""
    found = copy.deepcopy(in_float32(module))
    for place, (path, part) in enumerate(_parts(found), start=1):
        if place >= _STEP:
            raise TraceDataError(f"channels: need fewer than {_STEP:.0f} layers, got more")
        state: dict[str, Any] = {}
        if isinstance(part, _NORMS):
            if part.bias is None or part.running_mean is None or part.running_var is None:
                raise TraceDataError(
                    f"channels: {path}: need a batch norm with weights and running statistics, got"
                    " one without"
                )
            part.eps = 0.0
            state = {"weight": 1.0, "bias": _STEP * place, "running_mean": 0.0, "running_var": 1.0}
        elif part.bias is not None:
            state = {"bias": float(place)}
        with torch.no_grad():
            for name, value in state.items():
                getattr(part, name).fill_(value)
    return found


def _parts(module: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    return [(p, m) for p, m in module.named_modules() if isinstance(m, (*_NORMS, *_WEIGHTED))]


def _added(module: torch.nn.Module, name: str, bias: Floats | None) -> list[str]:
    """Name the parameters whose marks a layer's bias shows."""
    if bias is None:
        return []
    parts = _parts(module)
    batch_norm, own = divmod(round(float(bias[0])), int(_STEP))
    found = [f"{parts[own - 1][0]}.bias"] if own else []
    if batch_norm:
        found += [f"{parts[batch_norm - 1][0]}.{part}" for part in ("weight", "bias")]
    marks = float(_STEP * batch_norm + own)
    if not np.allclose(bias, marks) or (own and parts[own - 1][0] != name):
        raise TraceDataError(
            f"channels: layer {name!r}: need a bias of its own and of one batch norm, got another;"
            " keep its filters with an override of 0"
        )
    return [one.lstrip(".") for one in found]
