"""Layers whose codes only move: which of the input's stands where, and zero points between."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["MOVES", "Rule", "channels_first", "channels_last"]

Codes = npt.NDArray[Any]
Rule = Callable[[Sequence[Codes], Codes], None]  # channels-last codes in, written to out
Places = npt.NDArray[np.intp]


def channels_last(codes: Codes) -> Codes:
    """Return images (N, C, H, W) as (N, H, W, C), contiguous; others contiguous as they are."""
    return np.ascontiguousarray(codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes)


def channels_first(codes: Codes) -> Codes:
    """Return a view of images (N, H, W, C) as (N, C, H, W); others as they are."""
    return codes.transpose(0, 3, 1, 2) if codes.ndim == 4 else codes


def _reshape(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Rule:
    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        target, codes = channels_first(out), channels_first(inputs[0])
        if target.ndim == 4:
            target[...] = codes.reshape(target.shape)
        else:  # contiguous as it is: one copy
            target.reshape(codes.shape)[...] = codes

    return rule


def _permute(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Rule:
    axes = (0, *(axis + 1 for axis in layer.params.integers("axes")))

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        channels_first(out)[...] = channels_first(inputs[0]).transpose(axes)

    return rule


def _slice(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Rule:
    ends = (layer.params.integers(name) for name in ("starts", "stops", "steps"))
    parts = (slice(None), *map(slice, *ends))

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        channels_first(out)[...] = channels_first(inputs[0])[parts]

    return rule


def _pad(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Rule:
    front, _, top, _, left, _ = layer.params.integers("pads")
    zero = int(quantizations[0].zero_point[0])

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        _, height, width, depth = inputs[0].shape
        out[...] = zero
        out[:, top : top + height, left : left + width, front : front + depth] = inputs[0]

    return rule


def _dilate(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Rule:
    down, right = layer.params.integers("steps")
    zero = int(quantizations[0].zero_point[0])

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        out[...] = zero
        out[:, ::down, ::right] = inputs[0]

    return rule


def _gather(places: Sequence[Places]) -> Rule:
    """Yield what copies, from channels, rows and columns, those at some places."""
    channels, rows, columns = places

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        (codes,) = inputs
        if not np.array_equal(channels, np.arange(codes.shape[3])):
            codes = codes[..., channels]
        np.take(codes[:, rows], columns, axis=2, out=out)

    return rule


def _extend(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Rule:
    pads, border = layer.params.integers("pads"), layer.params["border"]
    found = []
    for axis, size in enumerate(layer.input_shapes[0]):
        places = np.arange(-pads[2 * axis], size + pads[2 * axis + 1])
        if border == "reflect":
            places = np.where(places < 0, -places, places)
            places = np.where(places >= size, 2 * (size - 1) - places, places)
        elif border == "replicate":
            places = np.minimum(np.maximum(places, 0), size - 1)
        else:
            places = np.mod(places, size)
        found.append(places)
    return _gather(found)


def _resize_nearest(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Rule:
    channels, *sizes = layer.input_shapes[0]
    found, half = [np.arange(channels)], layer.params.integer("centred")
    for size, n in zip(sizes, layer.params.integers("size"), strict=True):
        found.append((2 * np.arange(n) + half) * size // (2 * n))
    return _gather(found)


MOVES: dict[str, Callable[[LayerRecord, Sequence[Quantization]], Rule]] = {
    "flatten": _reshape,
    "reshape": _reshape,
    "permute": _permute,
    "slice": _slice,
    "pad": _pad,
    "dilate": _dilate,
    "extend": _extend,
    "resize_nearest": _resize_nearest,
}
"""What moves the codes of each kind."""
