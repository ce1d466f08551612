"""Two-dimensional convolution; depthwise is groups = channels."""

from collections.abc import Sequence

from bitpim_traces import float_forward
from bitpim_traces.operators.operator import (
    FUSED,
    Described,
    FloatArray,
    Operator,
    RealLayer,
    Shape,
    Unfit,
)
from bitpim_traces.operators.weights import WEIGHTS, need_weight
from bitpim_traces.operators.windows import positions


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    window, size = positions(layer, inputs[0])
    if window.ceil_mode:
        raise Unfit("@ceil_mode", "0 for conv2d", 1)
    channels, outputs = inputs[0][0], 0 if layer.weight is None else layer.weight.shape[0]
    if channels % window.groups or outputs % window.groups:
        need = f"a divisor of {channels} and {outputs} channels"
        raise Unfit("@groups", need, window.groups)
    return (need_weight(layer, (channels // window.groups, *window.kernel)), *size)


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    assert layer.weight is not None and layer.geometry is not None
    return float_forward.conv2d(inputs[0], layer.weight, layer.bias, layer.geometry)


OPERATOR = Operator(
    kind="conv2d",
    computes="`acc[m] = sum (a - z_in) (w - z_w[m]) + bias[m]`; padded positions hold `z_in`",
    shape=_shape,
    forward=_forward,
    rank=3,
    window=True,
    datasets=WEIGHTS,
    activations=FUSED,
    requantize="must",
    sums="products",
    pads_with="zero point",
    fuses=True,
    product_rows="weight codes",
)
