"""Real zeros between rows and columns: what a transposed convolution does before it convolves."""

from collections.abc import Sequence

import numpy as np

from bitpim_traces.file_bounds import MAX_AXIS, MAX_WINDOW
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
    steps, (channels, height, width) = layer.params.integers("steps"), inputs[0]
    if not all(1 <= step <= MAX_WINDOW for step in steps):
        raise Unfit("@steps", f"1 to {MAX_WINDOW}", steps)
    size = ((height - 1) * steps[0] + 1, (width - 1) * steps[1] + 1)
    if max(size) > MAX_AXIS:
        raise Unfit("@steps", f"axes of at most {MAX_AXIS}", size)
    return (channels, *size)


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    steps, (n, channels, height, width) = layer.params.integers("steps"), inputs[0].shape
    size = ((height - 1) * steps[0] + 1, (width - 1) * steps[1] + 1)
    found = np.zeros((n, channels, *size), np.float32)
    found[:, :, :: steps[0], :: steps[1]] = inputs[0]
    return found


OPERATOR = Operator(
    kind="dilate",
    since=1,
    computes="the codes, `steps` apart; zero-point codes between them",
    shape=_shape,
    forward=_forward,
    rank=3,
    params=(Attribute("steps", "ints", "distance of rows, of columns", length=2),),
    keeps_codes=True,
    pads_with="zero point",
)
