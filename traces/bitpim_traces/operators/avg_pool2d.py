"""Average of a window; global pooling is a window as large as the image."""

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
from bitpim_traces.operators.windows import pooled_shape


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    return pooled_shape(layer, inputs[0])


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    assert layer.geometry is not None
    return float_forward.avg_pool2d(inputs[0], layer.geometry)


OPERATOR = Operator(
    kind="avg_pool2d",
    computes="5.4",
    shape=_shape,
    forward=_forward,
    rank=3,
    window=True,
    activations=FUSED,
    requantize="must",
    sums="window",
    pads_with="zero point",
    product_rows="elements",
)
