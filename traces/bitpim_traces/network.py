"""A float network as a directed acyclic graph, before its numbers are decided.

`FloatNetwork` is what the exporter makes from PyTorch, what `synthetic` makes from a seed, and what
quantization starts from. Its layers use the kinds of `operators.LAYER_KINDS`; its forward pass is
plain NumPy in float32 and serves calibration and the float reference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bitpim_traces import float_forward
from bitpim_traces.errors import TraceDataError
from bitpim_traces.file_bounds import MAX_RANK
from bitpim_traces.functions import is_function
from bitpim_traces.operators import LAYER_KINDS, OPERATORS, Unfit
from bitpim_traces.records import NETWORK_INPUT, Geometry, Params

__all__ = ["FloatLayer", "FloatNetwork", "fuse_activations", "infer_shape"]

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, ...]

_CLIPPING = ("relu", "relu6", "clamp")


@dataclass(frozen=True, slots=True, eq=False)
class FloatLayer:
    """One operator of a float network; fields a kind does not use stay at their defaults.

    `inputs` are indices of earlier layers, or NETWORK_INPUT. `activation` is applied to the
    operator's result (kind activation: it is the operator). `clamp` is the real range (lowest,
    highest) of activation "clamp". `params` and `tensors` are as in `LayerRecord`, tensors as real
    numbers; `name` is the module path where there is one.

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
    params: Params = field(default_factory=Params)
    tensors: Mapping[str, FloatArray] = field(default_factory=dict)

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
        if not 1 <= len(self.input_shape) <= MAX_RANK or min(self.input_shape) < 1:
            raise TraceDataError(
                f"network {self.name}: need an input shape of 1 to {MAX_RANK} positive sizes,"
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
                OPERATORS[target.kind].fuses
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
    low, high = (
        min(max(end, clip.clamp_range[0]), clip.clamp_range[1]) for end in target.clamp_range
    )
    for layer in (target, clip):
        if (low, high) == layer.clamp_range:
            return replace(target, activation=layer.activation, clamp=layer.clamp)
    return replace(target, activation="clamp", clamp=(low, high))


def _run(layer: FloatLayer, inputs: list[FloatArray]) -> FloatArray:
    """Compute one layer over a batch."""
    y = OPERATORS[layer.kind].forward(layer, inputs)
    low, high = layer.clamp_range
    return y if (low, high) == (-np.inf, np.inf) else float_forward.clip(y, low, high)


def _check_layer(layer: FloatLayer, index: int) -> None:
    """Check what can be seen without shapes."""
    where = _where(layer, index)
    if layer.kind not in LAYER_KINDS:
        raise TraceDataError(f"{where}: need a kind among {', '.join(LAYER_KINDS)}")
    if layer.activation == "clamp" and (
        layer.clamp is None or not layer.clamp[0] <= layer.clamp[1]
    ):
        raise TraceDataError(f"{where}: need clamp=(lowest, highest), got {layer.clamp}")
    if layer.kind == "activation" and layer.activation == "none":
        raise TraceDataError(f"{where}: need an activation other than none")
    operator = OPERATORS[layer.kind]
    if operator.is_table(layer.activation):
        if not is_function(layer.activation):
            raise TraceDataError(
                f"{where}: need an activation among {', '.join(operator.activations)}, or a"
                f" function's small name, got {layer.activation!r}"
            )
    elif layer.activation not in operator.activations:
        raise TraceDataError(
            f"{where}: {layer.activation} cannot be fused here; make it a layer of its own"
        )
    if not operator.takes(len(layer.inputs)):
        raise TraceDataError(f"{where}: need {operator.arity} inputs, got {len(layer.inputs)}")
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
    try:
        return OPERATORS[layer.kind].output_shape(layer, inputs)
    except Unfit as unfit:
        member = unfit.member.removeprefix("@")
        raise TraceDataError(
            f"{_where(layer, index)}: {member}: need {unfit.need}, got {unfit.got}"
        ) from unfit
