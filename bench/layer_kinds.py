"""The smallest networks of one kind of layer each: what tells how a machine runs that kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.operators import OPERATORS
from bitpim_traces.quantize import Settings, calibrate, quantize_network
from bitpim_traces.records import NETWORK_INPUT, Geometry, Params, Trace

__all__ = ["EXAMPLES", "Example", "trace_of"]

IMAGE = (4, 6, 6)
VECTOR = (12,)

_THROUGH = (NETWORK_INPUT,)
_TWICE = (NETWORK_INPUT, NETWORK_INPUT)


@dataclass(frozen=True, slots=True)
class Example:
    """Layers, the last of which is the one to look at.

    `title` tells it from others of its kind; empty where there is one.
    """

    layers: tuple[FloatLayer, ...]
    title: str = ""
    input_shape: tuple[int, ...] = IMAGE

    @property
    def kind(self) -> str:
        """Kind of the layer to look at."""
        return self.layers[-1].kind


def _one(kind: str, inputs: tuple[int, ...] = _THROUGH, title: str = "", **more: Any) -> Example:
    shape = VECTOR if OPERATORS[kind].rank == 1 else IMAGE
    return Example((FloatLayer("only", kind, inputs, **more),), title, shape)


def _weight(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _params(**values: Any) -> dict[str, Any]:
    return {"params": Params(values)}


_HALF = FloatLayer("half", "activation", _THROUGH, activation="sigmoid")

EXAMPLES = (
    _one("activation", title="relu, relu6 or clamp", activation="relu"),
    _one("activation", title="any other function", activation="hardswish"),
    _one("add", _TWICE),
    _one("avg_pool2d", geometry=Geometry((2, 2), (2, 2))),
    _one("concat", _TWICE, "inputs of one scale", **_params(concat_axis=0)),
    Example(
        (_HALF, FloatLayer("only", "concat", (NETWORK_INPUT, 0), params=Params(concat_axis=0))),
        "inputs of several scales",
    ),
    _one("constant", tensors={"values": _weight(4)}),
    _one("conv2d", geometry=Geometry((3, 3)), weight=_weight(5, 4, 3, 3), bias=_weight(5)),
    _one("dilate", **_params(steps=(2, 2))),
    _one("extend", **_params(pads=(0, 0, 1, 1, 1, 1), border="reflect")),
    _one("flatten"),
    _one("linear", weight=_weight(5, 12), bias=_weight(5)),
    _one("max_pool2d", title="larger window", geometry=Geometry((2, 2), (2, 2))),
    _one("max_pool2d", title="window of 1 x 1", geometry=Geometry((1, 1), (2, 2))),
    _one("multiply", _TWICE),
    _one("pad", **_params(pads=(1, 1, 0, 0, 0, 0))),
    _one("permute", **_params(axes=(2, 0, 1))),
    _one("reshape", **_params(shape=(2, 2, 6, 6))),
    _one("resize_bilinear", **_params(size=(9, 9), align_corners=0, share_bits=8)),
    _one("resize_nearest", **_params(size=(12, 12), centred=0)),
    _one("slice", **_params(starts=(2, 0, 0), stops=(4, 6, 6), steps=(1, 1, 1))),
)
"""At least one of each kind of layer, in the order of their names."""


def trace_of(example: Example, mode: str) -> Trace:
    """Quantize an example to 8 bits by a requantize mode, with one sample."""
    network = FloatNetwork(example.kind, example.layers, example.input_shape)
    samples = np.random.default_rng(1).standard_normal((2, *example.input_shape))
    settings = Settings(requantize=mode)
    ranges: Mapping[int, tuple[float, float]] = calibrate(
        network, samples.astype(np.float32), settings
    )
    return quantize_network(network, ranges, samples[:1].astype(np.float32), settings=settings)
