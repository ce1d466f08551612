"""Linear layer over one axis."""

from collections.abc import Sequence

from bitpim_traces import float_forward
from bitpim_traces.operators.operator import (
    FUSED,
    Described,
    FloatArray,
    Operator,
    RealLayer,
    Shape,
)
from bitpim_traces.operators.weights import WEIGHTS, need_weight


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    return (need_weight(layer, inputs[0]),)


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    assert layer.weight is not None
    return float_forward.linear(inputs[0], layer.weight, layer.bias)


OPERATOR = Operator(
    kind="linear",
    computes="the sum of conv2d, over one axis",
    shape=_shape,
    forward=_forward,
    rank=1,
    datasets=WEIGHTS,
    activations=FUSED,
    requantize="must",
    sums="products",
    fuses=True,
    product_rows="weight codes",
)
