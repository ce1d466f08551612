"""A network with only the most important clusters of its weights, or without word of clusters."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.records import LayerRecord, TensorRecord, Trace

__all__ = ["masked_layer", "masked_to_clusters", "n_clusters_of", "without_clusters"]


def n_clusters_of(trace: Trace) -> int:
    """Return how many clusters the layer with the most has; 0 where there are none."""
    return max((layer.clusters.count for layer in trace.layers if layer.clusters), default=0)


def without_clusters(trace: Trace) -> Trace:
    """Yield the trace without the clusters of its layers; weights stay as they are."""
    if not n_clusters_of(trace):
        return trace
    layers = tuple(replace(layer, clusters=None) for layer in trace.layers)
    return replace(trace, layers=layers, digest="")


def masked_layer(layer: LayerRecord, last: int) -> LayerRecord:
    """Yield a layer with the weights of clusters beyond `last` at their zero points.

    Codes are masked as they are read; they have no clusters any more. A layer without clusters, or
    whose clusters end at `last` or before, keeps all its weights. Biases and float numbers, which
    are the reference, stay as they are.

    Raises
    ------
    TraceDataError
        `last` is negative, or the weights are binary and have no zero.
    """
    clusters, weight, quantization = layer.clusters, layer.weight, layer.weight_quantization
    if last < 0:
        raise TraceDataError(f"clusters: need a last cluster from 0, got {last}")
    if clusters is None or weight is None or quantization is None:
        return layer
    if quantization.binary:
        raise TraceDataError(
            f"layer {layer.index} {layer.name!r}: need weights that may be 0 to leave clusters out,"
            " got binary ones; quantize it with weight_values ternary or codes"
        )
    if last >= clusters.count - 1:
        return replace(layer, clusters=None)
    zeros = quantization.zero_point.astype(weight.dtype).reshape(-1, *[1] * (len(weight.shape) - 1))
    zeros = np.broadcast_to(zeros, (weight.shape[0], *zeros.shape[1:]))

    def load(start: int, stop: int) -> npt.NDArray[Any]:
        kept = clusters.index.read(start, stop) <= last
        return np.where(kept, weight.read(start, stop), zeros[start:stop])

    masked: TensorRecord = replace(weight, load=load)
    return replace(layer, weight=masked, clusters=None)


def masked_to_clusters(trace: Trace, last: int) -> Trace:
    """Yield the network with clusters 0 to `last` of its weights; all others are 0.

    With the last cluster of all it is the whole network, code by code. Layers without clusters keep
    all weights.

    Raises
    ------
    TraceDataError
        The trace has no clusters, or none with this number.
    """
    n_clusters = n_clusters_of(trace)
    if not n_clusters:
        raise TraceDataError(
            f"trace {trace.name}: need clusters of weights, got none; make them with `bitpim trace"
            " cluster`"
        )
    if not 0 <= last < n_clusters:
        raise TraceDataError(
            f"trace {trace.name}: need a last cluster from 0 to {n_clusters - 1}, got {last}"
        )
    layers = tuple(masked_layer(layer, last) for layer in trace.layers)
    return replace(trace, layers=layers, digest="")
