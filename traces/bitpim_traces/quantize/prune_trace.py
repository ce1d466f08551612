"""A trace pruned in one shot: codes of pruned weights become zero points, all else stays.

Widths, scales and requantize steps are those of the trace: `requantize_trace` chooses them anew,
and holds the masks.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.clusters import without_clusters
from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask, masks_of, with_masks
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.numbers.affine import decode
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize.float_network import to_float_network
from bitpim_traces.quantize.prune import (
    Pruning,
    Reports,
    joined_mask,
    masked_network,
    prune_network,
    pruning_as_plain,
)
from bitpim_traces.records import CLIPS, LayerRecord, TensorRecord, Trace

__all__ = ["prune_trace"]


def prune_trace(trace: Trace, pruning: Pruning | Sequence[Pruning]) -> tuple[Trace, Reports]:
    """Prune the network of a trace, in one or several ways in turn; yield it and a report a layer.

    Magnitudes are those of the float weights, where there are any, else of the codes. Masks in the
    trace are held; clusters, which are of the weights as they were, are left out. Biases of removed
    channels become 0 too. Float reference outputs are computed anew where the trace has the float
    network, else left out.

    Raises
    ------
    TraceDataError
        As for `prune_network`; nothing would be left of a layer, or its weights are binary, which
        have no zero.
    """
    held = masks_of(trace)
    is_float = all(_has_float(layer) for layer in trace.layers)
    network = masked_network(to_float_network(trace, decoded=not is_float), held)
    pruned, masks, reports = prune_network(network, pruning)
    masks = {name: joined_mask(held.get(name), mask) for name, mask in masks.items()}
    for layer in trace.layers:
        if layer.name in masks:
            _need_zero(layer, masks[layer.name])
    for name, mask in masks.items():
        if not mask.mask.any():
            raise TraceDataError(
                f"prune: layer {name!r}: need a weight that is left, got all {mask.mask.size}"
                " pruned; prune less of it, or leave its mask out"
            )
    after = {layer.name: layer for layer in pruned.layers}
    layers = [
        _pruned(layer, after[layer.name], masks[layer.name]) if layer.name in masks else layer
        for layer in trace.layers
    ]
    layers = _with_references(trace, layers, pruned if is_float else None)
    made = replace(
        trace,
        layers=tuple(layers),
        digest="",
        provenance={
            **make_provenance("prune_trace", {}),
            "prune": pruning_as_plain(pruning),
            "pruned_from": {"digest": trace.digest, "provenance": dict(trace.provenance)},
        },
    )
    return with_masks(without_clusters(made), masks), reports


def _has_float(layer: LayerRecord) -> bool:
    return (
        (layer.weight is None or layer.weight_float is not None)
        and (layer.bias is None or layer.bias_float is not None)
        and ("values" not in layer.tensors or "values_float" in layer.tensors)
    )


def _pruned(layer: LayerRecord, after: FloatLayer, mask: LayerMask) -> LayerRecord:
    """Set pruned weights to their zero points, and biases that are gone to 0."""
    assert layer.weight is not None and layer.weight_quantization is not None
    zero = layer.weight_quantization.zero_point.reshape(-1, *[1] * (len(layer.weight.shape) - 1))
    codes = layer.weight.read()
    found: dict[str, Any] = {
        "weight": _changed(layer.weight, np.where(mask.mask, codes, zero.astype(codes.dtype)))
    }
    if layer.weight_float is not None:
        real = np.where(mask.mask, layer.weight_float.read(), np.float32(0))
        found["weight_float"] = _changed(layer.weight_float, real)
    for name in ("bias", "bias_float"):
        tensor: TensorRecord | None = getattr(layer, name)
        if tensor is not None and after.bias is not None:
            found[name] = _changed(tensor, tensor.read() * (after.bias != 0))
    return replace(layer, **found)


def _changed(tensor: TensorRecord, values: npt.NDArray[Any]) -> TensorRecord:
    return TensorRecord.of(values, axes=tensor.axes, role=tensor.role, units=tensor.units)


def _with_references(
    trace: Trace, layers: Sequence[LayerRecord], network: FloatNetwork | None
) -> list[LayerRecord]:
    """Give layers the outputs of the pruned float network for as many samples as before."""
    if network is None:
        return [replace(layer, output_float=None) for layer in layers]
    numbers = {layer.name: index for index, layer in enumerate(network.layers)}
    places: dict[int, dict[int, int]] = {}  # by number of samples: layer of the network by index
    for layer in layers:
        if layer.output_float is not None:
            is_apart = layer.kind != "activation" and layer.activation not in CLIPS
            name = f"{layer.name}.{layer.activation}" if is_apart else layer.name
            places.setdefault(layer.output_float.shape[0], {})[layer.index] = numbers[name]
    found: dict[int, npt.NDArray[np.float32]] = {}
    for n_samples, wanted in places.items():
        real = decode(trace.samples.codes.read(0, n_samples), trace.samples.quantization)
        outputs = network.outputs(real, list(wanted.values()))
        found |= {index: outputs[place] for index, place in wanted.items()}
    return [
        layer
        if layer.output_float is None
        else replace(layer, output_float=_changed(layer.output_float, found[layer.index]))
        for layer in layers
    ]


def _need_zero(layer: LayerRecord, mask: LayerMask) -> None:
    """Raise TraceDataError where a mask prunes weights that are -1 or 1 and nothing else."""
    n = int(np.count_nonzero(mask.mask == 0))
    if n and layer.weight_quantization is not None and layer.weight_quantization.binary:
        raise TraceDataError(
            f"prune: layer {layer.name!r}: binary weights are -1 or 1 times a scale and have no"
            f" zero, which {n} pruned ones need; quantize it with weight_values ternary or codes"
        )
