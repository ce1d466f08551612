"""Element-wise sum of inputs of any scales."""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from bitpim_traces.operators.broadcasting import BROADCAST, broadcast_shape
from bitpim_traces.operators.operator import FUSED, FloatArray, Operator, RealLayer


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    return reduce(np.add, inputs)


OPERATOR = Operator(
    kind="add",
    computes="5.3",
    shape=broadcast_shape,
    forward=_forward,
    fewest=2,
    most=None,
    inputs_are=BROADCAST,
    activations=FUSED,
    requantize="must",
    sums="terms",
    fuses=True,
    product_rows="inputs",
)
