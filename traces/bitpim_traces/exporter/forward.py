"""A float network run by PyTorch: the same sums as `FloatNetwork.forward`, at PyTorch's speed."""

from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import CLIPS, NETWORK_INPUT, Geometry

__all__ = ["is_native", "run_layer", "torch_forward"]

_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "erf": torch.erf,
    "gelu": functional.gelu,
    "hardsigmoid": functional.hardsigmoid,
    "hardswish": functional.hardswish,
    "mish": functional.mish,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "tanh": torch.tanh,
}
"""What PyTorch computes faster than NumPy; all else is `OPERATORS`' own forward."""

_NATIVE = (
    *("add", "avg_pool2d", "concat", "conv2d", "flatten", "linear", "max_pool2d", "multiply"),
    "pad",
)
"""Kinds that PyTorch computes."""

_NEW = ("add", "conv2d", "linear", "multiply")
"""Kinds whose output lies in memory of its own, so that an activation may overwrite it."""


def torch_forward(
    network: FloatNetwork,
    inputs: torch.Tensor,
    wanted: Collection[int] | None = None,
    observe: Callable[[int, torch.Tensor], None] | None = None,
) -> dict[int, torch.Tensor]:
    """Run a batch through the layers; yield the outputs of the `wanted` ones (default: the last).

    `observe` is called with the index and output of every layer as it is made. Outputs nobody will
    read again are let go.

    Shapes
    ------
    inputs : (n, *network.input_shape), float32
    """
    keep = {len(network.layers) - 1} if wanted is None else set(wanted)
    last_use = {i: index for index, layer in enumerate(network.layers) for i in layer.inputs}
    alive = {NETWORK_INPUT: inputs}
    with torch.no_grad():
        for index, layer in enumerate(network.layers):
            output = run_layer(layer, [alive[i] for i in layer.inputs])
            alive[index] = output
            if observe is not None:
                observe(index, output)
            for i in {*layer.inputs, index} - keep:
                if last_use.get(i, index) <= index:
                    del alive[i]
    return {index: alive[index] for index in keep}


def is_native(layer: FloatLayer) -> bool:
    """Say whether PyTorch computes a layer, so that gradients flow through it."""
    if layer.kind == "activation":
        return layer.activation in _FUNCTIONS or layer.activation in CLIPS
    return layer.kind in _NATIVE


def run_layer(
    layer: FloatLayer,
    inputs: list[torch.Tensor],
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run a batch through one layer; `weight` and `bias`, if given, stand for its own."""
    x = inputs[0]
    if layer.kind == "add":
        x = inputs[0] + inputs[1]
        for more in inputs[2:]:
            x = x + more
    elif layer.kind == "concat":
        x = torch.cat(inputs, layer.params.integer("concat_axis") + 1)
    elif layer.kind == "flatten":
        x = x.flatten(1)
    elif layer.kind == "pad":
        front, back, top, bottom, left, right = layer.params.integers("pads")
        x = functional.pad(x, (left, right, top, bottom, front, back))
    elif layer.kind == "linear":
        x = functional.linear(x, *_weights(layer, weight, bias))
    elif layer.kind == "conv2d":
        x = _convolve(layer, x, *_weights(layer, weight, bias))
    elif layer.kind in ("max_pool2d", "avg_pool2d"):
        assert layer.geometry is not None
        x = (_max_pool if layer.kind == "max_pool2d" else _average_pool)(x, layer.geometry)
    elif layer.kind == "multiply":
        x = inputs[0] * inputs[1]
    elif layer.activation in _FUNCTIONS:
        x = _FUNCTIONS[layer.activation](x)
    elif layer.kind != "activation" or layer.activation not in CLIPS:
        arrays = [one.numpy() for one in inputs]
        x = torch.from_numpy(np.ascontiguousarray(OPERATORS[layer.kind].forward(layer, arrays)))
    return _activate(x, layer)


def _tensor(values: npt.NDArray[np.float32] | None) -> torch.Tensor:
    assert values is not None
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def _weights(
    layer: FloatLayer, weight: torch.Tensor | None, bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    own = None if layer.bias is None else _tensor(layer.bias)
    return (_tensor(layer.weight) if weight is None else weight), (own if bias is None else bias)


def _activate(x: torch.Tensor, layer: FloatLayer) -> torch.Tensor:
    low, high = layer.clamp_range
    if (low, high) == (-np.inf, np.inf):
        return x
    return x.clamp_(low, high) if layer.kind in _NEW else x.clamp(low, high)


def _convolve(
    layer: FloatLayer, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    assert layer.geometry is not None
    top, bottom, left, right = layer.geometry.padding
    symmetric = top == bottom and left == right
    if not symmetric:
        x = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(
        x,
        weight,
        bias,
        layer.geometry.stride,
        (top, left) if symmetric else 0,
        layer.geometry.dilation,
        layer.geometry.groups,
    )


def _reach(geometry: Geometry, height: int, width: int) -> tuple[int, int, int, int]:
    """Yield (left, right, top, bottom) that all windows together cover; negative ones crop."""
    sides = []
    n_windows = geometry.output_size(height, width)
    for axis, size in ((1, width), (0, height)):
        before = geometry.padding[2 * axis]
        reach = geometry.dilation[axis] * (geometry.kernel[axis] - 1) + 1
        sides += [before, (n_windows[axis] - 1) * geometry.stride[axis] + reach - size - before]
    return sides[0], sides[1], sides[2], sides[3]


def _max_pool(x: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    sides = _reach(geometry, x.shape[2], x.shape[3])
    if any(sides):
        x = functional.pad(x, sides, value=-torch.inf)
    return functional.max_pool2d(x, geometry.kernel, geometry.stride, 0, geometry.dilation)


def _average_pool(x: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    height, width = x.shape[2:]
    sides = _reach(geometry, height, width)
    top, bottom, left, right = geometry.padding
    counted = torch.ones(1, 1, height, width)
    if geometry.count_include_pad:
        counted = torch.ones(1, 1, height + top + bottom, width + left + right)
        rest = (sides[0] - left, sides[1] - right, sides[2] - top, sides[3] - bottom)
    else:
        rest = sides
    if any(sides):
        x = functional.pad(x, sides)
    return _sum_windows(x, geometry) / _sum_windows(functional.pad(counted, rest), geometry)


def _sum_windows(x: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Add up every window of an image that is padded already, channel by channel."""
    if geometry.dilation == (1, 1):
        return functional.avg_pool2d(x, geometry.kernel, geometry.stride, divisor_override=1)
    ones = torch.ones(x.shape[1], 1, *geometry.kernel)  # PyTorch's pooling does not dilate
    return functional.conv2d(x, ones, None, geometry.stride, 0, geometry.dilation, x.shape[1])
