"""The referee's layers whose codes only move: int64 codes of a block of samples in, and out."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["MOVES"]

Int64 = npt.NDArray[np.int64]
Rule = Callable[[LayerRecord, list[Int64], Sequence[Quantization]], Int64]


def _reshape(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    return inputs[0].reshape(-1, *layer.output_shape)


def _permute(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    axes = layer.params.integers("axes")
    return np.moveaxis(inputs[0], [axis + 1 for axis in axes], range(1, len(axes) + 1))


def _slice(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    codes = inputs[0]
    ends = (layer.params.integers(name) for name in ("starts", "stops", "steps"))
    for axis, (start, stop, step) in enumerate(zip(*ends, strict=True), start=1):
        codes = codes.take(range(start, stop, step), axis)
    return codes


def _extend(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    pads, border = layer.params.integers("pads"), str(layer.params["border"])
    mode: Any = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[border]
    return np.pad(inputs[0], ((0, 0), pads[0:2], pads[2:4], pads[4:6]), mode=mode)


def _dilate(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    (down, right), zero = layer.params.integers("steps"), int(quants[0].zero_point[0])
    n, channels, height, width = inputs[0].shape
    blocks = np.full((n, channels, height, down, width, right), zero, dtype=np.int64)
    blocks[:, :, :, 0, :, 0] = inputs[0]
    whole = blocks.reshape(n, channels, height * down, width * right)
    return whole[:, :, : (height - 1) * down + 1, : (width - 1) * right + 1]


def _resize_nearest(
    layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]
) -> Int64:
    codes, half = inputs[0], Fraction(layer.params.integer("centred"), 2)
    for axis, n_out in enumerate(layer.params.integers("size"), start=2):
        n_in = codes.shape[axis]
        places = [math.floor((i + half) * Fraction(n_in, n_out)) for i in range(n_out)]
        codes = codes.take(places, axis)
    return codes


def _flatten(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    return inputs[0].reshape(inputs[0].shape[0], -1)


def _pad(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    front, back, top, bottom, left, right = layer.params.integers("pads")
    widths = ((0, 0), (front, back), (top, bottom), (left, right))
    return np.pad(inputs[0], widths, constant_values=int(quants[0].zero_point[0]))


MOVES: dict[str, Rule] = {
    "reshape": _reshape,
    "permute": _permute,
    "slice": _slice,
    "extend": _extend,
    "dilate": _dilate,
    "resize_nearest": _resize_nearest,
    "flatten": _flatten,
    "pad": _pad,
}
"""What moves the codes of each kind."""
