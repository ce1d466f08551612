"""Layers that are nothing but their weights, for whoever puts these into clusters."""

from typing import Any

import numpy as np

from bitpim_traces.builder import quantization_of
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import (
    Geometry,
    LayerRecord,
    Quantization,
    Samples,
    TensorRecord,
    Trace,
)

__all__ = ["BYTES", "layer_of", "line", "trace_of"]

BYTES = quantization_of(0.5)


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
