"""A float network as a directed acyclic graph, before its numbers are decided.

`FloatNetwork` is what the exporter makes from PyTorch, what `synthetic` makes from a seed, and what
quantization starts from. Its layers use the kinds of `records.LAYER_KINDS`; its forward pass is
plain NumPy in float32 and serves calibration and the float reference.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitpim_traces import float_forward
from bitpim_traces.errors import TraceDataError
from bitpim_traces.records import ACTIVATIONS, LAYER_KINDS, NETWORK_INPUT, Geometry

__all__ = ["FloatLayer", "FloatNetwork", "fuse_activations", "infer_shape"]

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, ...]

_FUSING_KINDS = ("conv2d", "linear", "add")
_CLIPPING = ("relu", "relu6", "clamp")
_CLIPPED_KINDS = (*_FUSING_KINDS, "avg_pool2d", "concat")


@dataclass(frozen=True, slots=True, eq=False)
class FloatLayer:
    """One operator of a float network; fields a kind does not use stay at their defaults.

    `inputs` are indices of earlier layers, or NETWORK_INPUT. `activation` is applied to the
    operator's result (kind activation: it is the operator). `clamp` is the real range (lowest,
    highest) of activation "clamp". `pads` and `concat_axis` are as in `LayerRecord`; `name` is the
    module path where there is one.

    Shapes
    ------
    weight : (O, I / groups, kH, kW) for conv2d, (O, I) for linear
    bias : (O,)
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    geometry: Geometry | None = None
    weight: FloatArray | None = None
    bias: FloatArray | None = None
    activation: str = "none"
    clamp: tuple[float, float] | None = None
    pads: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    concat_axis: int = 0

    @property
    def clamp_range(self) -> tuple[float, float]:
        """Real range the activation allows: (-inf, inf) where it does not clip."""
        if self.activation == "relu":
            return 0.0, np.inf
        if self.activation == "relu6":
            return 0.0, 6.0
        if self.activation == "clamp" and self.clamp is not None:
            return self.clamp
        return -np.inf, np.inf


@dataclass(frozen=True, slots=True, eq=False)
class FloatNetwork:
    """A float network; `layers` are in execution order, the last one is the output.

    Making one checks it: shapes are inferred, and what does not fit raises TraceDataError.

    Shapes
    ------
    input_shape : (C, H, W) or (C,), without the batch axis
    """

    name: str
    layers: tuple[FloatLayer, ...]
    input_shape: Shape

    def __post_init__(self) -> None:
        self.shapes()

    def shapes(self) -> tuple[Shape, ...]:
        """Infer the output shape of every layer, without the batch axis.

        Raises
        ------
        TraceDataError
            A layer is malformed or does not fit its inputs.
        """
        if not self.layers:
            raise TraceDataError(f"network {self.name}: need at least one layer, got none")
        if len(self.input_shape) not in (1, 3) or min(self.input_shape) < 1:
            raise TraceDataError(
                f"network {self.name}: need input shape (C, H, W) or (C,) of positive sizes,"
                f" got {self.input_shape}"
            )
        found: list[Shape] = []
        for index, layer in enumerate(self.layers):
            _check_layer(layer, index)  # before its inputs are looked up
            inputs = [self.input_shape if i == NETWORK_INPUT else found[i] for i in layer.inputs]
            found.append(infer_shape(layer, inputs, index))
        return tuple(found)

    def forward(
        self, inputs: npt.NDArray[np.floating], *, batch: int = 16
    ) -> Iterator[tuple[int, int, FloatArray]]:
        """Yield (layer index, first sample, output) for every layer of every batch of samples.

        Outputs are let go when no later layer needs them, so memory is bounded by the batch.

        Shapes
        ------
        inputs : (n_samples, *input_shape)
        output : (n, *output_shape) with n <= batch
        """
        if inputs.shape[1:] != self.input_shape:
            raise TraceDataError(
                f"network {self.name}: need inputs of shape ('n', *{self.input_shape}),"
                f" got {inputs.shape}"
            )
        last_use = {i: index for index, layer in enumerate(self.layers) for i in layer.inputs}
        for start in range(0, inputs.shape[0], batch):
            block = np.ascontiguousarray(inputs[start : start + batch], dtype=np.float32)
            alive: dict[int, FloatArray] = {NETWORK_INPUT: block}
            for index, layer in enumerate(self.layers):
                output = _run(layer, [alive[i] for i in layer.inputs])
                alive[index] = output
                yield index, start, output
                for i in {*layer.inputs, index}:
                    if last_use.get(i, index) <= index:
                        alive.pop(i, None)

    def outputs(
        self,
        inputs: npt.NDArray[np.floating],
        layers: Sequence[int] | None = None,
        *,
        batch: int = 16,
    ) -> dict[int, FloatArray]:
        """Collect the outputs of some layers (default: the last) over all samples."""
        n_layers = len(self.layers)
        wanted = {index % n_layers for index in (layers if layers is not None else [-1])}
        shapes = self.shapes()
        found = {
            index: np.empty((inputs.shape[0], *shapes[index]), dtype=np.float32) for index in wanted
        }
        for index, start, output in self.forward(inputs, batch=batch):
            if index in wanted:
                found[index][start : start + output.shape[0]] = output
        return found


def fuse_activations(network: FloatNetwork) -> FloatNetwork:
    """Fold each relu, relu6 or clamp into the conv2d, linear or add that alone feeds it.

    Layers are renumbered; the fused layer keeps the name of the operator. An operator whose plain
    result something else also reads keeps its activation as a layer of its own.
    """
    n_readers = [0] * len(network.layers)
    for layer in network.layers:
        for i in set(layer.inputs) - {NETWORK_INPUT}:
            n_readers[i] += 1
    kept: list[FloatLayer] = []
    new_index = {NETWORK_INPUT: NETWORK_INPUT}
    for index, layer in enumerate(network.layers):
        source = layer.inputs[0]
        if layer.kind == "activation" and layer.activation in _CLIPPING and source >= 0:
            target = kept[new_index[source]]
            if (
                target.kind in _FUSING_KINDS
                and n_readers[source] == 1
                and target.activation in ("none", *_CLIPPING)
            ):
                kept[new_index[source]] = _with_clip(target, layer)
                new_index[index] = new_index[source]
                continue
        new_index[index] = len(kept)
        kept.append(replace(layer, inputs=tuple(new_index[i] for i in layer.inputs)))
    return FloatNetwork(network.name, tuple(kept), network.input_shape)


def _with_clip(target: FloatLayer, clip: FloatLayer) -> FloatLayer:
    """Give `target` the clipping of both layers, under the plainest name that says it."""
    if target.activation == "none":
        return replace(target, activation=clip.activation, clamp=clip.clamp)
    low = max(target.clamp_range[0], clip.clamp_range[0])
    high = max(low, min(target.clamp_range[1], clip.clamp_range[1]))
    for layer in (target, clip):
        if (low, high) == layer.clamp_range:
            return replace(target, activation=layer.activation, clamp=layer.clamp)
    return replace(target, activation="clamp", clamp=(low, high))


def _run(layer: FloatLayer, inputs: list[FloatArray]) -> FloatArray:
    """Compute one layer over a batch."""
    x = inputs[0]
    if layer.kind == "conv2d":
        assert layer.weight is not None and layer.geometry is not None
        y = float_forward.conv2d(x, layer.weight, layer.bias, layer.geometry)
    elif layer.kind == "linear":
        assert layer.weight is not None
        y = float_forward.linear(x, layer.weight, layer.bias)
    elif layer.kind == "max_pool2d":
        assert layer.geometry is not None
        y = float_forward.max_pool2d(x, layer.geometry)
    elif layer.kind == "avg_pool2d":
        assert layer.geometry is not None
        y = float_forward.avg_pool2d(x, layer.geometry)
    elif layer.kind == "add":
        y = inputs[0] + inputs[1]
        for more in inputs[2:]:
            y = y + more
    elif layer.kind == "concat":
        y = np.concatenate(inputs, axis=layer.concat_axis + 1)
    elif layer.kind == "flatten":
        y = x.reshape(x.shape[0], -1)
    elif layer.kind == "pad":
        pads = layer.pads
        y = np.pad(x, ((0, 0), pads[0:2], pads[2:4], pads[4:6]))
    else:
        y = x
    return float_forward.activate(y, layer.activation, layer.clamp_range)


def _check_layer(layer: FloatLayer, index: int) -> None:
    """Check what can be seen without shapes."""
    where = _where(layer, index)
    if layer.kind not in LAYER_KINDS:
        raise TraceDataError(f"{where}: need a kind among {', '.join(LAYER_KINDS)}")
    if layer.activation not in ACTIVATIONS:
        raise TraceDataError(
            f"{where}: need an activation among {', '.join(ACTIVATIONS)}, got {layer.activation!r}"
        )
    if layer.activation == "clamp" and (
        layer.clamp is None or not layer.clamp[0] <= layer.clamp[1]
    ):
        raise TraceDataError(f"{where}: need clamp=(lowest, highest), got {layer.clamp}")
    if layer.kind == "activation" and layer.activation == "none":
        raise TraceDataError(f"{where}: need an activation other than none")
    allowed = ("none", *_CLIPPING) if layer.kind in _CLIPPED_KINDS else ("none",)
    if layer.kind != "activation" and layer.activation not in allowed:
        raise TraceDataError(
            f"{where}: {layer.activation} cannot be fused here; make it a layer of its own"
        )
    fewest, most = {"add": (2, None), "concat": (1, None)}.get(layer.kind, (1, 1))
    n_inputs = len(layer.inputs)
    if n_inputs < fewest or (most is not None and n_inputs > most):
        need = f"exactly {fewest}" if most else f"{fewest} or more"
        raise TraceDataError(f"{where}: need {need} inputs, got {n_inputs}")
    for i in layer.inputs:
        if not NETWORK_INPUT <= i < index:
            raise TraceDataError(
                f"{where}: need inputs from -1 (network input) to {index - 1}, got {i}"
            )


def _where(layer: FloatLayer, index: int) -> str:
    return f"layer {index} {layer.name!r} ({layer.kind})"


def infer_shape(layer: FloatLayer, inputs: Sequence[Shape], index: int) -> Shape:
    """Infer one layer's output shape from its inputs' shapes, all without the batch axis.

    Raises
    ------
    TraceDataError
        The layer is malformed or does not fit its inputs.
    """
    _check_layer(layer, index)
    shape, where = inputs[0], _where(layer, index)
    rules: dict[str, Callable[[FloatLayer, Shape, str], Shape]] = {
        "conv2d": _conv_shape,
        "linear": _linear_shape,
        "max_pool2d": _pool_shape,
        "avg_pool2d": _pool_shape,
        "pad": _pad_shape,
    }
    if layer.kind in rules:
        return rules[layer.kind](layer, shape, where)
    if layer.kind == "flatten":
        return (int(np.prod(shape, dtype=np.int64)),)
    if layer.kind == "add":
        if any(other != shape for other in inputs):
            raise TraceDataError(f"{where}: need inputs of one shape, got {inputs}")
        return shape
    if layer.kind == "concat":
        axis = layer.concat_axis
        if not 0 <= axis < len(shape):
            raise TraceDataError(
                f"{where}: need a concat_axis from 0 to {len(shape) - 1}, got {axis}"
            )
        rest = [other[:axis] + other[axis + 1 :] for other in inputs]
        if any(other != rest[0] for other in rest) or len({len(s) for s in inputs}) != 1:
            raise TraceDataError(f"{where}: need inputs equal but for axis {axis}, got {inputs}")
        return (*shape[:axis], sum(other[axis] for other in inputs), *shape[axis + 1 :])
    return shape


def _window(layer: FloatLayer, shape: Shape, where: str) -> tuple[Geometry, tuple[int, int]]:
    """Check a window against an image and yield it with its number of positions."""
    geometry = layer.geometry
    if geometry is None:
        raise TraceDataError(f"{where}: need a geometry, got none")
    if len(shape) != 3:
        raise TraceDataError(f"{where}: need an input of shape (C, H, W), got {shape}")
    if min(*geometry.kernel, *geometry.stride, *geometry.dilation, geometry.groups) < 1:
        raise TraceDataError(
            f"{where}: need kernel, stride, dilation and groups of at least 1, got {geometry}"
        )
    if min(geometry.padding) < 0:
        raise TraceDataError(f"{where}: need padding of at least 0, got {geometry.padding}")
    size = geometry.output_size(shape[1], shape[2])
    if min(size) < 1:
        raise TraceDataError(f"{where}: the window {geometry.kernel} does not fit an input {shape}")
    return geometry, size


def _conv_shape(layer: FloatLayer, shape: Shape, where: str) -> Shape:
    geometry, size = _window(layer, shape, where)
    if geometry.ceil_mode:
        raise TraceDataError(f"{where}: a convolution has no ceil_mode")
    weight = layer.weight
    if weight is None or weight.ndim != 4:
        raise TraceDataError(f"{where}: need a weight of shape (O, I, kH, kW)")
    if shape[0] % geometry.groups or weight.shape[0] % geometry.groups:
        raise TraceDataError(
            f"{where}: need input and output channels divisible by groups={geometry.groups},"
            f" got {shape[0]} and {weight.shape[0]}"
        )
    need = (weight.shape[0], shape[0] // geometry.groups, *geometry.kernel)
    if weight.shape != need:
        raise TraceDataError(f"{where}: need a weight of shape {need}, got {weight.shape}")
    _check_bias(layer, where)
    return (weight.shape[0], *size)


def _linear_shape(layer: FloatLayer, shape: Shape, where: str) -> Shape:
    weight = layer.weight
    if len(shape) != 1:
        raise TraceDataError(f"{where}: need an input of shape (C,), got {shape}; flatten it first")
    if weight is None or weight.ndim != 2 or weight.shape[1] != shape[0]:
        got = None if weight is None else weight.shape
        raise TraceDataError(f"{where}: need a weight of shape (O, {shape[0]}), got {got}")
    _check_bias(layer, where)
    return (weight.shape[0],)


def _check_bias(layer: FloatLayer, where: str) -> None:
    assert layer.weight is not None
    if layer.bias is not None and layer.bias.shape != layer.weight.shape[:1]:
        raise TraceDataError(
            f"{where}: need a bias of shape {layer.weight.shape[:1]}, got {layer.bias.shape}"
        )


def _pool_shape(layer: FloatLayer, shape: Shape, where: str) -> Shape:
    geometry, size = _window(layer, shape, where)
    if geometry.groups != 1 or (layer.kind == "avg_pool2d" and geometry.dilation != (1, 1)):
        raise TraceDataError(
            f"{where}: pooling has no groups and average pooling no dilation, got {geometry}"
        )
    valid = replace(geometry, count_include_pad=False)
    rows, columns = float_forward.window_counts(valid, shape[1], shape[2])
    if min(rows.min(), columns.min()) < 1:
        raise TraceDataError(
            f"{where}: a window lies wholly in the padding {geometry.padding}; reduce the padding"
        )
    return (shape[0], *size)


def _pad_shape(layer: FloatLayer, shape: Shape, where: str) -> Shape:
    pads = layer.pads
    if len(shape) != 3 or min(pads) < 0:
        raise TraceDataError(
            f"{where}: need an input (C, H, W) and pads of at least 0, got {shape} and {pads}"
        )
    return (
        shape[0] + pads[0] + pads[1],
        shape[1] + pads[2] + pads[3],
        shape[2] + pads[4] + pads[5],
    )
