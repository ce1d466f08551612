"""A part of a tensor, in even steps along each axis: slices, splits, crops, strided selections."""

from collections.abc import Sequence

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
    starts, stops, steps = (layer.params.integers(n) for n in ("starts", "stops", "steps"))
    for name, numbers in (("starts", starts), ("stops", stops), ("steps", steps)):
        if len(numbers) != len(inputs[0]):
            raise Unfit(f"@{name}", f"{len(inputs[0])} numbers, one an axis", numbers)
    for axis, size in enumerate(inputs[0]):
        if not 0 <= starts[axis] < stops[axis] <= size:
            need = f"0 <= start < stop <= {size} on axis {axis}"
            raise Unfit("@stops", need, f"{starts[axis]} and {stops[axis]}")
        if steps[axis] < 1:
            raise Unfit("@steps", "numbers of at least 1", steps)
    each = zip(starts, stops, steps, strict=True)
    return tuple(-(-(stop - start) // step) for start, stop, step in each)


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    ends = (layer.params.integers(name) for name in ("starts", "stops", "steps"))
    return inputs[0][(slice(None), *map(slice, *ends))]


OPERATOR = Operator(
    kind="slice",
    since=1,
    computes="the codes at `start`, `start + step`, ... before `stop` of each axis; "
    "0 <= `start` < `stop` <= its length",
    shape=_shape,
    forward=_forward,
    params=(
        Attribute("starts", "ints", "first position on each axis"),
        Attribute("stops", "ints", "position behind the last on each axis"),
        Attribute("steps", "ints", "distance of positions on each axis, at least 1"),
    ),
    keeps_codes=True,
)
