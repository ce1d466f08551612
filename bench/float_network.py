"""The float network of a trace as PyTorch would run it: what whole-network cases are timed against.

Weights are the trace's float weights, into which BatchNorm was folded when it was exported: the
faster form. Only what ResNet-20 and AlexNet need is here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bitpim_traces.numbers.affine import decode
from bitpim_traces.records import NETWORK_INPUT, LayerRecord, TensorRecord, Trace

__all__ = ["FloatNetwork", "real_images"]

Tensor = torch.Tensor
Step = Callable[[list[Tensor]], Tensor]


class FloatNetwork:
    """All layers of a trace in float32, ready to run; ReLU works in place."""

    def __init__(self, trace: Trace) -> None:
        self._steps: list[tuple[tuple[int, ...], Step]] = [
            (layer.inputs, _relu_after(layer, _step(layer))) for layer in trace.layers
        ]

    def __call__(self, images: Tensor) -> Tensor:
        """Yield the last layer's output of real-valued images (N, C, H, W)."""
        values = {NETWORK_INPUT: images}
        with torch.inference_mode():
            for index, (inputs, step) in enumerate(self._steps):
                values[index] = step([values[i] for i in inputs])
        return values[len(self._steps) - 1]


def real_images(trace: Trace, codes: np.ndarray[Any, Any]) -> Tensor:
    """Yield what input codes stand for, float32."""
    return torch.from_numpy(decode(codes, trace.samples.quantization))


def _relu_after(layer: LayerRecord, step: Step) -> Step:
    if layer.activation == "none":
        return step
    if layer.activation != "relu":
        raise ValueError(f"layer {layer.name!r}: need relu or none, got {layer.activation}")
    return lambda inputs: step(inputs).relu_()


def _tensor(record: TensorRecord | None) -> Tensor:
    if record is None:
        raise ValueError("need a trace with float weights and biases")
    return torch.from_numpy(np.array(record.read(), np.float32))


def _step(layer: LayerRecord) -> Step:
    match layer.kind:
        case "conv2d" | "linear":
            return _weighted(layer)
        case "max_pool2d" | "avg_pool2d":
            return _pooling(layer)
        case "add":
            return lambda inputs: inputs[0] + inputs[1]
        case "pad":
            front, back, top, bottom, left, right = layer.params.integers("pads")
            around = (left, right, top, bottom, front, back)
            return lambda inputs: functional.pad(inputs[0], around)
        case "flatten":
            return lambda inputs: inputs[0].flatten(1)
    raise ValueError(f"layer {layer.name!r}: no float form of {layer.kind} here")


def _weighted(layer: LayerRecord) -> Step:
    weight, bias = _tensor(layer.weight_float), _tensor(layer.bias_float)
    if layer.kind == "linear":
        return lambda inputs: functional.linear(inputs[0], weight, bias)
    geometry = layer.geometry
    assert geometry is not None
    top, bottom, left, right = geometry.padding
    if (top, left) != (bottom, right):
        raise ValueError(f"layer {layer.name!r}: need equal padding on both sides")
    stride, dilation, groups = geometry.stride, geometry.dilation, geometry.groups
    return lambda inputs: functional.conv2d(
        inputs[0], weight, bias, stride, (top, left), dilation, groups
    )


def _pooling(layer: LayerRecord) -> Step:
    geometry = layer.geometry
    assert geometry is not None
    if any(geometry.padding):
        raise ValueError(f"layer {layer.name!r}: need a pooling without padding")
    kernel, (down, right) = geometry.kernel, geometry.stride
    if kernel == (1, 1):
        return lambda inputs: inputs[0][:, :, ::down, ::right]
    pool = functional.max_pool2d if layer.kind == "max_pool2d" else functional.avg_pool2d
    return lambda inputs: pool(inputs[0], kernel, (down, right))
