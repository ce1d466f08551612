"""A float network whose activations take the values of their codes, run so that gradients flow.

Rounding to the nearest value lets gradients pass as if it were not there (straight-through).
Layers that only move values are gathers of their places; a function that PyTorch lacks has the
slope between two near points.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.forward import is_native, run_layer
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import NETWORK_INPUT

__all__ = ["Rounded", "Rounding", "coded_forward"]

_STEP = 1e-3
"""Distance from a point to those that the slope of a function is taken between."""

_MOST_PLACES = 1 << 24
"""Places that float32 tells apart."""


Rounded = Callable[[torch.Tensor], torch.Tensor]
"""Yields the values that stand for real ones, with gradients."""


class Rounding:
    """Rounds real values to the nearest of a codebook, of two the lower."""

    def __init__(self, codebook: Codebook) -> None:
        values = codebook.values * codebook.scale
        self.values = torch.from_numpy(values.astype(np.float32))
        self._midways = torch.from_numpy(((values[:-1] + values[1:]) / 2).astype(np.float32))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Yield the values; the gradient is that of `x`."""
        rounded: torch.Tensor = _rounded(x, self._midways, self.values)
        return rounded


def coded_forward(
    network: FloatNetwork,
    inputs: torch.Tensor,
    roundings: Mapping[int, Rounded],
    weights: Mapping[int, torch.Tensor] | None = None,
    biases: Mapping[int, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Run a batch; yield the output of the last layer.

    `roundings` has what the outputs of layers are rounded to, NETWORK_INPUT for the input;
    `weights` and `biases` those that stand for the layers' own, by index.

    Shapes
    ------
    inputs : (n, *network.input_shape), float32

    Raises
    ------
    TraceDataError
        A layer has no gradient.
    """
    last_use = {i: index for index, layer in enumerate(network.layers) for i in layer.inputs}
    source = roundings.get(NETWORK_INPUT)
    alive = {NETWORK_INPUT: inputs if source is None else source(inputs)}
    output = inputs
    for index, layer in enumerate(network.layers):
        given = [alive[i] for i in layer.inputs]
        weight, bias = (weights or {}).get(index), (biases or {}).get(index)
        output = _run(layer, given, weight, bias)
        if index in roundings:
            output = roundings[index](output)
        alive[index] = output
        _let_go(alive, (*layer.inputs, index), last_use, index)
    return output


def _let_go(
    alive: dict[int, torch.Tensor], done: Collection[int], last_use: Mapping[int, int], index: int
) -> None:
    for i in {*done}:
        if last_use.get(i, index) <= index:
            del alive[i]


def _run(
    layer: FloatLayer,
    inputs: list[torch.Tensor],
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    operator = OPERATORS[layer.kind]
    if is_native(layer):
        return run_layer(layer, inputs, weight, bias)
    if operator.fixed:
        return run_layer(layer, [inputs[0].detach()])
    if layer.kind == "activation":
        function = _numpy_function(layer)
        computed: torch.Tensor = _computed(inputs[0], function)
        return computed
    if operator.keeps_codes and len(inputs) == 1:
        return _moved(layer, inputs[0])
    raise TraceDataError(
        f"layer {layer.name!r} ({layer.kind}): need a layer that gradients flow through, got"
        f" {layer.kind}; make codebooks without training on"
    )


def _moved(layer: FloatLayer, x: torch.Tensor) -> torch.Tensor:
    """Move values as a layer does; where it puts none of them there is 0."""
    shape = tuple(x.shape[1:])
    n_places = int(np.prod(shape))
    if n_places >= _MOST_PLACES:
        raise TraceDataError(
            f"layer {layer.name!r} ({layer.kind}): need less than {_MOST_PLACES} values to move,"
            f" got {n_places}"
        )
    places = np.arange(1, n_places + 1, dtype=np.float32).reshape(1, *shape)
    found = OPERATORS[layer.kind].forward(layer, [places])[0].astype(np.int64)
    with_zero = torch.nn.functional.pad(x.flatten(1), (1, 0))
    return with_zero[:, torch.from_numpy(found.ravel())].reshape(len(x), *found.shape)


def _numpy_function(layer: FloatLayer) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    def compute(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = OPERATORS[layer.kind].forward(layer, [values])
        return found

    return compute


class _Rounded(torch.autograd.Function):
    """The nearest of some values; its gradient is that of the value it came from."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, midways: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        # half way between two belongs to the lower
        return values[torch.bucketize(x, midways, out_int32=True)]

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradients[0], None, None


class _Computed(torch.autograd.Function):
    """A function that NumPy computes; its gradient is the slope between two near points."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, function: Callable[..., Any]) -> torch.Tensor:
        values = x.detach().numpy()
        slope = (function(values + _STEP) - function(values - _STEP)) / (2 * _STEP)
        ctx.save_for_backward(torch.from_numpy(np.ascontiguousarray(slope, np.float32)))
        return torch.from_numpy(np.ascontiguousarray(function(values), np.float32))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        saved: Sequence[torch.Tensor] = ctx.saved_tensors
        return gradients[0] * saved[0], None


_rounded: Callable[..., Any] = _Rounded.apply
_computed: Callable[..., Any] = _Computed.apply
