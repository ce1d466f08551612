"""Maximum of a window; a strided selection is one with a 1 x 1 window."""

from collections.abc import Sequence

from bitpim_traces import float_forward
from bitpim_traces.operators.operator import Described, FloatArray, Operator, RealLayer, Shape
from bitpim_traces.operators.windows import pooled_shape


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    return pooled_shape(layer, inputs[0])


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    assert layer.geometry is not None
    return float_forward.max_pool2d(inputs[0], layer.geometry)


OPERATOR = Operator(
    kind="max_pool2d",
    computes="largest code of the window's valid positions",
    shape=_shape,
    forward=_forward,
    rank=3,
    window=True,
    keeps_codes=True,
    pads_with="lowest code",
)
