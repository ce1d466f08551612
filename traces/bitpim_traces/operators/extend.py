"""Channels, rows and columns around an image that come from the image itself."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

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

_FARTHEST = {"reflect": -1, "replicate": MAX_AXIS, "circular": 0}
"""How far beyond the length of an axis padding may reach."""


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    pads, border = layer.params.integers("pads"), str(layer.params["border"])
    for axis, size in enumerate(inputs[0]):
        most = min(size + _FARTHEST[border], MAX_AXIS)
        if not all(0 <= n <= most for n in pads[2 * axis : 2 * axis + 2]):
            raise Unfit("@pads", f"0 to {most} on axis {axis} to {border}", pads)
    return tuple(n + pads[2 * k] + pads[2 * k + 1] for k, n in enumerate(inputs[0]))


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    pads, border = layer.params.integers("pads"), layer.params["border"]
    found: npt.NDArray[np.float32] = inputs[0]
    for axis, size in enumerate(inputs[0].shape[1:]):
        places = np.arange(-pads[2 * axis], size + pads[2 * axis + 1])
        if border == "reflect":
            places = (size - 1) - np.abs((size - 1) - np.abs(places))
        elif border == "replicate":
            places = np.clip(places, 0, size - 1)
        else:
            places %= size
        found = np.take(found, places, axis + 1)
    return found


OPERATOR = Operator(
    kind="extend",
    since=1,
    computes="the codes, and around them `pads` more that `border` takes from within: mirrored at "
    "the outermost (`reflect`, at most n - 1), the outermost again (`replicate`), those of the "
    "other side (`circular`, at most n)",
    shape=_shape,
    forward=_forward,
    rank=3,
    params=(
        Attribute("pads", "ints", "front, back, top, bottom, left, right", length=6),
        Attribute("border", "text", "what lies around", choices=tuple(_FARTHEST)),
    ),
    keeps_codes=True,
)
