"""All axes in one, C order."""

from collections.abc import Sequence

import numpy as np

from bitpim_traces.operators.operator import Described, FloatArray, Operator, RealLayer, Shape


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    return (int(np.prod(inputs[0], dtype=np.float64)),)


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    return inputs[0].reshape(inputs[0].shape[0], -1)


OPERATOR = Operator(
    kind="flatten",
    computes="the codes in C order, rank 1",
    shape=_shape,
    forward=_forward,
    keeps_codes=True,
)
