"""A toy kind: the codes in reverse order along one axis."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bitpim_traces.operators.operator import (
    Described,
    FloatArray,
    Operator,
    RealLayer,
    Shape,
    Unfit,
)
from bitpim_traces.records import Params
from bitpim_traces.schema_forms import Attribute


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    axis = layer.params.integer("axis")
    if not 0 <= axis < len(inputs[0]):
        raise Unfit("@axis", f"0 to {len(inputs[0]) - 1}", axis)
    return inputs[0]


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    return np.flip(inputs[0], layer.params.integer("axis") + 1)


def _read(call: Any) -> Any:
    (axis,) = call.arguments["dims"]
    return call.draft("reverse", call.value("self"), params=Params(axis=axis - 1))


OPERATOR = Operator(
    kind="reverse",
    computes="the codes in reverse order along `axis`",
    shape=_shape,
    forward=_forward,
    params=(Attribute("axis", "int", "axis of the shape without samples"),),
    keeps_codes=True,
    readers={"flip": _read},
)
