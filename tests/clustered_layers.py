"""Layers that are nothing but their weights, and a small network, to be put into clusters."""

from typing import Any

import numpy as np

from bitpim_traces.builder import quantization_of
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.quantize import Settings
from bitpim_traces.records import (
    Clusters,
    Geometry,
    LayerRecord,
    Quantization,
    Samples,
    TensorRecord,
    Trace,
)
from bitpim_traces.synthetic import synthetic_network

__all__ = ["BYTES", "clusters_of", "layer_of", "line", "network_with_zeros", "trace_of"]

BYTES = quantization_of(0.5)


def network_with_zeros() -> Trace:
    """Return a small network with zero points of all sorts, and weights at them."""
    few = Settings(weight_scheme="affine", weight_bits=5)
    return synthetic_network("tiny", 4, n_samples=2, settings=few)


def clusters_of(trace: Trace) -> Clusters:
    """Return the clusters of the first layer."""
    clusters = trace.layers[0].clusters
    assert clusters is not None
    return clusters


def layer_of(
    index: int, codes: Any, quantization: Quantization, *, groups: int | None = None
) -> LayerRecord:
    """A layer with these weights; what else a layer has means nothing here."""
    values = np.asarray(codes).astype(code_dtype(quantization))
    kind = "linear" if values.ndim == 2 else "conv2d"
    window = None if values.ndim == 2 else Geometry((1, 1), groups=groups or 1)
    weight = TensorRecord.of(values, axes="OIHW"[: values.ndim], role="weight")
    return LayerRecord(
        index, f"layer{index}", kind, (-1,), ((1,),), (1,), BYTES, window,
        weight=weight, weight_quantization=quantization,
    )  # fmt: skip


def trace_of(*layers: LayerRecord) -> Trace:
    codes = TensorRecord.of(np.zeros((1, 1), np.uint8), axes="NC", role="codes")
    return Trace("made", layers, Samples(codes, BYTES), {})


def line(*codes: int, scale: float = 0.5) -> LayerRecord:
    """A linear layer of one output, its weights signed bytes around 0."""
    quantization = Quantization(8, True, np.array([scale]), np.array([0], np.int64))
    return layer_of(0, [codes], quantization)
