"""Element-wise sum of inputs of any scales."""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from bitpim_traces.operators.operator import (
    FUSED,
    Described,
    FloatArray,
    Operator,
    RealLayer,
    Shape,
    Unfit,
)


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    if any(shape != inputs[0] for shape in inputs):
        raise Unfit("@inputs", "inputs of one shape", tuple(inputs))
    return inputs[0]


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    return reduce(np.add, inputs)


OPERATOR = Operator(
    kind="add",
    computes="5.3",
    shape=_shape,
    forward=_forward,
    fewest=2,
    most=None,
    inputs_are="of one shape",
    activations=FUSED,
    requantize="must",
    sums="terms",
    fuses=True,
)
