"""The same values in C order, in another shape."""

import math
from collections.abc import Sequence

from bitpim_traces.file_bounds import MAX_RANK
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
    shape, n_values = layer.params.integers("shape"), math.prod(inputs[0])
    if not shape or min(shape) < 1 or math.prod(shape) != n_values:
        raise Unfit("@shape", f"a shape of {n_values} values", shape)
    if len(shape) > MAX_RANK:
        raise Unfit("@shape", f"at most {MAX_RANK} axes", shape)
    return shape


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    return inputs[0].reshape(inputs[0].shape[0], *layer.params.integers("shape"))


OPERATOR = Operator(
    kind="reshape",
    since=1,
    computes="the codes in C order, in the shape `shape`, which has as many",
    shape=_shape,
    forward=_forward,
    params=(Attribute("shape", "ints", "the new shape, without the sample axis"),),
    keeps_codes=True,
)
