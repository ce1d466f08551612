"""Real zeros around channels, rows and columns."""

from collections.abc import Sequence

import numpy as np

from bitpim_traces.file_bounds import MAX_AXIS
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
    pads = layer.params.integers("pads")
    if min(pads) < 0 or max(pads) > MAX_AXIS:
        raise Unfit("@pads", "numbers that are not negative", pads)
    return tuple(n + pads[2 * k] + pads[2 * k + 1] for k, n in enumerate(inputs[0]))


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    pads = layer.params.integers("pads")
    return np.pad(inputs[0], ((0, 0), pads[0:2], pads[2:4], pads[4:6]))


OPERATOR = Operator(
    kind="pad",
    computes="the codes with `pads` zero-point codes around",
    shape=_shape,
    forward=_forward,
    rank=3,
    params=(Attribute("pads", "ints", "front, back, top, bottom, left, right", length=6),),
    keeps_codes=True,
    pads_with="zero point",
)
