"""Element-wise product of two inputs of any scales."""

from collections.abc import Sequence

from bitpim_traces.operators.broadcasting import BROADCAST, broadcast_shape
from bitpim_traces.operators.operator import (
    FUSED,
    Accumulated,
    Described,
    FloatArray,
    Operator,
    RealLayer,
)


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    product: FloatArray = inputs[0] * inputs[1]
    return product


def _reach(layer: Described, ends: Sequence[tuple[int, int]]) -> tuple[int, int]:
    corners = [a * b for a in ends[0] for b in ends[1]]
    return min(corners), max(corners)


def _unit(layer: Described, scales: Sequence[float]) -> float:
    return scales[0] * scales[1]


OPERATOR = Operator(
    kind="multiply",
    since=1,
    computes="`acc = (q_0 - z_0) (q_1 - z_1)`",
    shape=broadcast_shape,
    forward=_forward,
    fewest=2,
    most=2,
    inputs_are=BROADCAST,
    activations=FUSED,
    requantize="must",
    sums="accumulated",
    accumulated=Accumulated(_reach, _unit),
    fuses=True,
)
