"""Values that do not depend on the input, which only tells how many samples there are."""

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
from bitpim_traces.schema_forms import CODES, Dataset


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    values = layer.tensors.get("values")
    if values is None:
        raise Unfit("values", "values", "nothing")
    return values.shape


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    values = layer.tensors["values"].astype(np.float32, copy=False)
    return np.broadcast_to(values, (inputs[0].shape[0], *values.shape))


OPERATOR = Operator(
    kind="constant",
    since=1,
    computes="`values`, for each sample of the input",
    shape=_shape,
    forward=_forward,
    inputs_are="of any shape, for its number of samples alone",
    datasets=(
        Dataset("values", CODES, ("C", "CL", "CHW", "CDHW", "ABCDE"), "code", "its codes"),
        Dataset(
            "values_float",
            ("float32",),
            ("C", "CL", "CHW", "CDHW", "ABCDE"),
            "real",
            "values before quantization",
            required=False,
        ),
    ),
    fixed=True,
)
