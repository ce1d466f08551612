"""An image of another size, each pixel a mean of the four around it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitpim_traces.operators.operator import (
    FUSED,
    Accumulated,
    Described,
    FloatArray,
    Operator,
    RealLayer,
    Shape,
    Unfit,
)
from bitpim_traces.operators.resizing import SIZE, resized_shape
from bitpim_traces.schema_forms import Attribute

_MOST_SHARE_BITS = 12


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    bits = layer.params.integer("share_bits")
    if not 1 <= bits <= _MOST_SHARE_BITS:
        raise Unfit("@share_bits", f"1 to {_MOST_SHARE_BITS}", bits)
    return resized_shape(layer, inputs[0])


def _places(n_in: int, n_out: int, align_corners: bool) -> npt.NDArray[np.float64]:
    if align_corners:
        return np.arange(n_out, dtype=np.float64) * ((n_in - 1) / max(n_out - 1, 1))
    return np.clip((np.arange(n_out, dtype=np.float64) + 0.5) * (n_in / n_out) - 0.5, 0, n_in - 1)


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    found, corners = inputs[0], bool(layer.params.integer("align_corners"))
    for axis, n_out in enumerate(layer.params.integers("size"), start=2):
        n_in = found.shape[axis]
        places = _places(n_in, n_out, corners)
        first = np.minimum(np.floor(places).astype(np.int64), n_in - 1)
        share = (places - first).astype(np.float32).reshape(-1, *(1,) * (3 - axis))
        second = np.minimum(first + 1, n_in - 1)
        found = np.take(found, first, axis) * (1 - share) + np.take(found, second, axis) * share
    return found


def _whole(layer: Described) -> int:
    """What the four shares of a pixel add up to."""
    return 1 << 2 * layer.params.integer("share_bits")


def _reach(layer: Described, ends: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return ends[0][0] * _whole(layer), ends[0][1] * _whole(layer)


def _unit(layer: Described, scales: Sequence[float]) -> float:
    return scales[0] / _whole(layer)


OPERATOR = Operator(
    kind="resize_bilinear",
    since=1,
    computes="5.5",
    shape=_shape,
    forward=_forward,
    rank=3,
    params=(
        SIZE,
        Attribute("align_corners", "flag", "corners of both images coincide"),
        Attribute("share_bits", "int", f"binary places of shares, 1 to {_MOST_SHARE_BITS}"),
    ),
    activations=FUSED,
    requantize="must",
    sums="accumulated",
    accumulated=Accumulated(_reach, _unit),
)
