"""Axes in another order."""

from collections.abc import Sequence

import numpy as np

from bitpim_traces.operators.operator import (
    Described,
    FloatArray,
    Operator,
    RealLayer,
    Shape,
    Unfit,
)
from bitpim_traces.schema_forms import Attribute


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    axes = layer.params.integers("axes")
    if sorted(axes) != list(range(len(inputs[0]))):
        raise Unfit("@axes", f"each of 0 to {len(inputs[0]) - 1} once", axes)
    return tuple(inputs[0][axis] for axis in axes)


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    return np.transpose(inputs[0], (0, *(axis + 1 for axis in layer.params.integers("axes"))))


OPERATOR = Operator(
    kind="permute",
    since=1,
    computes="the codes, with axis `axes[k]` of the input as axis k",
    shape=_shape,
    forward=_forward,
    params=(Attribute("axes", "ints", "axes of the shape without samples"),),
    keeps_codes=True,
)
