"""Convolutions, transposed ones too, linear layers, products with constant matrices."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitpim_traces.exporter.calls import Call, Reader, Value, pair
from bitpim_traces.exporter.drafts import Draft, refuse
from bitpim_traces.records import Geometry, Params

__all__ = ["READERS"]

Weight = npt.NDArray[np.float64]


def read_convolution(call: Call) -> Draft | Value:
    """Read convolutions over one or two axes, 'same' padding and transposed ones included."""
    weight = call.constant("weight")
    assert weight is not None
    n_axes = weight.ndim - 2
    source = call.value("input")
    if n_axes not in (1, 2) or len(source.shape) != n_axes + 1:
        got = f"weight shape {weight.shape} and an input of N x {list(source.shape)}"
        raise refuse(call.where, "conv kernels of one or two axes and a batch of as many", got)
    transposed = call.arguments.get("transposed") or "transpose" in call.operator
    if n_axes == 1:
        weight = weight[:, :, None]
    image = source if n_axes == 2 else call.as_image(source)
    read = _transposed if transposed else _forward
    draft = read(call, image, weight)
    if n_axes == 2:
        return draft
    return call.reshaped(call.put(draft), call.shape)


def _pair_of(call: Call, name: str, default: int) -> tuple[int, int]:
    """Yield (vertical, horizontal); over one axis the vertical one is the default."""
    values = call.arguments.get(name, default)
    one = "1d" in call.operator or (not isinstance(values, int) and len(values) == 1)
    if one and len(call.shape) == 2:
        return default, pair(values)[1]
    return pair(values, (default, default))


def _forward(call: Call, source: Value, weight: Weight) -> Draft:
    kernel = (weight.shape[2], weight.shape[3])
    dilation = _pair_of(call, "dilation", 1)
    padding = call.arguments.get("padding", 0)
    if isinstance(padding, str):
        sides = _same_padding(kernel, dilation) if padding == "same" else (0, 0, 0, 0)
    else:
        vertical, horizontal = _pair_of(call, "padding", 0)
        sides = (vertical, vertical, horizontal, horizontal)
    geometry = Geometry(
        kernel=kernel,
        stride=_pair_of(call, "stride", 1),
        padding=sides,
        dilation=dilation,
        groups=int(call.arguments.get("groups", 1)),
    )
    size = (weight.shape[0], *geometry.output_size(*source.shape[1:]))
    bias = call.constant("bias")
    return call.draft("conv2d", source, shape=size, geometry=geometry, weight=weight, bias=bias)


def _same_padding(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int, int, int]:
    """Yield the padding that keeps the size; an odd pixel goes below or to the right."""
    vertical, horizontal = (dilation[axis] * (kernel[axis] - 1) for axis in (0, 1))
    top, left = vertical // 2, horizontal // 2
    return top, vertical - top, left, horizontal - left


def _transposed(call: Call, source: Value, weight: Weight) -> Draft:
    """Spread the image by the stride, pad it, and convolve with the window turned half around."""
    steps, dilation = _pair_of(call, "stride", 1), _pair_of(call, "dilation", 1)
    padding, more = _pair_of(call, "padding", 0), _pair_of(call, "output_padding", 0)
    groups = int(call.arguments.get("groups", 1))
    channels, height, width = source.shape
    size = ((height - 1) * steps[0] + 1, (width - 1) * steps[1] + 1)
    if steps != (1, 1):
        shape = (channels, *size)
        source = call.beside("dilate", source, shape=shape, params=Params(steps=steps))
    reach = [dilation[axis] * (weight.shape[2 + axis] - 1) - padding[axis] for axis in (0, 1)]
    sides = (reach[0], reach[0] + more[0], reach[1], reach[1] + more[1])
    if min(sides) < 0:  # the padding takes whole rows or columns away
        starts = (0, max(-sides[0], 0), max(-sides[2], 0))
        stops = (channels, size[0] - max(-sides[1], 0), size[1] - max(-sides[3], 0))
        params = Params(starts=starts, stops=stops, steps=(1, 1, 1))
        shape = tuple(stop - start for start, stop in zip(starts, stops, strict=True))
        source = call.beside("slice", source, shape=shape, params=params)
    top, bottom, left, right = (max(side, 0) for side in sides)
    turned = weight[:, :, ::-1, ::-1].reshape(groups, channels // groups, *weight.shape[1:])
    flipped = turned.transpose(0, 2, 1, 3, 4).reshape(-1, channels // groups, *weight.shape[2:])
    geometry = Geometry(
        kernel=(weight.shape[2], weight.shape[3]),
        padding=(top, bottom, left, right),
        dilation=dilation,
        groups=groups,
    )
    shape = (len(flipped), *geometry.output_size(*source.shape[1:]))
    bias, own = call.constant("bias"), np.ascontiguousarray(flipped)
    return call.draft("conv2d", source, shape=shape, geometry=geometry, weight=own, bias=bias)


def read_linear(call: Call) -> Draft | Value:
    """Read linear: weight is (output, input)."""
    return _linear(call, "input", call.constant("weight"), call.constant("bias"))


def read_addmm(call: Call) -> Draft | Value:
    """Read bias + input @ weight, the decomposed linear."""
    if call.arguments.get("beta", 1) != 1 or call.arguments.get("alpha", 1) != 1:
        raise refuse(call.where, "alpha = beta = 1", "other factors")
    weight = call.constant("mat2")
    assert weight is not None
    return _linear(call, "mat1", weight.T, call.constant("self"))


def read_matmul(call: Call) -> Draft | Value:
    """Read a product with a constant matrix, on either side."""
    first, second = list(call.arguments)[:2]
    left = not isinstance(call.arguments[first], Value)
    if not left and isinstance(call.arguments[second], Value):
        raise refuse(call.where, "a product with a constant matrix", "one of two activations")
    weight = call.constant(first if left else second)
    assert weight is not None
    while weight.ndim > 2 and weight.shape[0] == 1:
        weight = weight[0]
    if weight.ndim != 2:
        raise refuse(call.where, "a constant matrix", f"shape {weight.shape}")
    if not left:
        return _linear(call, first, weight.T, None)
    source = call.value(second)
    if len(source.shape) != 2:
        got = f"shape N x {list(source.shape)}"
        raise refuse(call.where, "an N x R x C input right of the matrix", got)
    image = call.reshaped(source, (*source.shape, 1))
    return call.reshaped(_pointwise(call, image, weight, None), call.shape)


def _linear(call: Call, name: str, weight: Weight | None, bias: Weight | None) -> Draft | Value:
    """Read a linear layer over the last axis; over several places it is a 1 x 1 convolution."""
    source = call.value(name)
    assert weight is not None
    if bias is not None:
        bias = np.broadcast_to(bias, (weight.shape[0],)).copy()
    if len(source.shape) == 1:
        return call.draft("linear", source, weight=np.ascontiguousarray(weight), bias=bias)
    *places, features = source.shape
    rank = len(source.shape)
    first = call.permuted(source, (rank - 1, *range(rank - 1)))
    image = call.reshaped(first, (features, math.prod(places), 1))
    found = call.reshaped(_pointwise(call, image, weight, bias), (weight.shape[0], *places))
    return call.permuted(found, (*range(1, rank), 0))


def _pointwise(call: Call, image: Value, weight: Weight, bias: Weight | None) -> Value:
    window = np.ascontiguousarray(weight)[:, :, None, None]
    draft = call.draft("conv2d", image, geometry=Geometry((1, 1)), weight=window, bias=bias)
    return call.put(replace(draft, shape=(weight.shape[0], *image.shape[1:])))


READERS: dict[str, Reader] = {
    **dict.fromkeys(
        (
            "conv1d",
            "conv2d",
            "conv_transpose1d",
            "conv_transpose2d",
            "convolution",
            "_convolution",
        ),
        read_convolution,
    ),
    "linear": read_linear,
    "addmm": read_addmm,
    **dict.fromkeys(("mm", "matmul"), read_matmul),
}
