"""Inputs joined along an axis, each with a scale of its own."""

from collections.abc import Sequence

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
from bitpim_traces.schema_forms import Attribute


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    axis, first = layer.params.integer("concat_axis"), inputs[0]
    if not 0 <= axis < len(first):
        raise Unfit("@concat_axis", f"0 to {len(first) - 1}", axis)
    others = {shape[:axis] + shape[axis + 1 :] for shape in inputs}
    if len(others) > 1 or len({len(shape) for shape in inputs}) > 1:
        raise Unfit("@inputs", f"shapes that differ on axis {axis} only", tuple(inputs))
    return (*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate(inputs, axis=layer.params.integer("concat_axis") + 1)


OPERATOR = Operator(
    kind="concat",
    computes="inputs joined along `concat_axis`, each requantized from `q - z_in` by its own entry",
    shape=_shape,
    forward=_forward,
    most=None,
    params=(Attribute("concat_axis", "int", "axis of the shape without samples"),),
    activations=FUSED,
    requantize="may",
    product_rows="inputs",
)
