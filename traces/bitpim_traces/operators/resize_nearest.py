"""An image of another size, each pixel a copy of one."""

from collections.abc import Sequence

import numpy as np

from bitpim_traces.operators.operator import Described, FloatArray, Operator, RealLayer, Shape
from bitpim_traces.operators.resizing import SIZE, resized_shape
from bitpim_traces.schema_forms import Attribute


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    return resized_shape(layer, inputs[0])


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    found, centred = inputs[0], layer.params.integer("centred")
    for axis, n_out in enumerate(layer.params.integers("size"), start=2):
        places = (2 * np.arange(n_out) + centred) * found.shape[axis] // (2 * n_out)
        found = np.take(found, places, axis)
    return found


OPERATOR = Operator(
    kind="resize_nearest",
    since=1,
    computes="row i of n_out is row `floor(i n_in / n_out)` of n_in, with `centred` "
    "`floor((i + 1/2) n_in / n_out)`; columns likewise",
    shape=_shape,
    forward=_forward,
    rank=3,
    params=(SIZE, Attribute("centred", "flag", "pixels are taken at their centres")),
    keeps_codes=True,
)
