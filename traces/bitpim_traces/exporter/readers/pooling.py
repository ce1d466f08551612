"""Pooling over windows, and means, sums and maxima over whole axes."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bitpim_traces.exporter.calls import Call, Reader, Value, pair
from bitpim_traces.exporter.drafts import Draft, refuse
from bitpim_traces.exporter.readers.elementwise import scaled
from bitpim_traces.records import Geometry, Params

__all__ = ["READERS"]


def _image_of(call: Call) -> tuple[Value, bool]:
    """Yield the input as an image, and whether it has one axis of places only."""
    source = call.first()
    if "1d" in call.operator and len(source.shape) == 2:
        return call.as_image(source), True
    return call.image("self"), False


def _pooled(call: Call, kind: str, source: Value, geometry: Geometry) -> Draft | Value:
    shape = (source.shape[0], *geometry.output_size(*source.shape[1:]))
    draft = call.draft(kind, source, shape=shape, geometry=geometry)
    return draft if shape == call.shape else call.reshaped(call.put(draft), call.shape)


def _window(call: Call, flat: bool) -> dict[str, Any]:
    """Yield kernel, stride and padding of a pooling."""

    def sizes(name: str, default: tuple[int, int], above: int) -> tuple[int, int]:
        found = pair(call.arguments.get(name), default)
        return (above, found[1]) if flat else found

    kernel = sizes("kernel_size", (1, 1), 1)
    vertical, horizontal = sizes("padding", (0, 0), 0)
    return {
        "kernel": kernel,
        "stride": sizes("stride", kernel, 1),
        "padding": (vertical, vertical, horizontal, horizontal),
        "ceil_mode": bool(call.arguments.get("ceil_mode", False)),
    }


def read_max_pool(call: Call) -> Draft | Value:
    """Read max_pool1d and 2d, with or without indices."""
    source, flat = _image_of(call)
    dilation = pair(call.arguments.get("dilation"))
    geometry = Geometry(**_window(call, flat), dilation=(1, dilation[1]) if flat else dilation)
    return _pooled(call, "max_pool2d", source, geometry)


def read_average_pool(call: Call) -> Draft | Value:
    """Read avg_pool1d and 2d; a divisor of one's own has no place in a trace."""
    if call.arguments.get("divisor_override") is not None:
        got = f"divisor_override = {call.arguments['divisor_override']}"
        raise refuse(call.where, "the number of elements as divisor", got, "leave it out")
    source, flat = _image_of(call)
    counted = bool(call.arguments.get("count_include_pad", True))
    geometry = Geometry(**_window(call, flat), count_include_pad=counted)
    return _pooled(call, "avg_pool2d", source, geometry)


def _adaptive(kind: str) -> Reader:
    def read(call: Call) -> Draft | Value:
        source, flat = _image_of(call)
        size = pair(call.arguments["output_size"])
        size = (1, size[1]) if flat else size
        height, width = source.shape[1:]
        if size[0] < 1 or size[1] < 1 or height % size[0] or width % size[1]:
            need = "an output size that divides the image"
            remedy = "resize to a multiple, or pool with a plain window"
            raise refuse(call.where, need, f"{size} of {height} x {width}", remedy)
        window = (height // size[0], width // size[1])
        return _pooled(call, kind, source, Geometry(kernel=window, stride=window))

    return read


def _axes_of(call: Call, source: Value) -> list[int]:
    """Yield the axes to reduce, without the batch, in ascending order."""
    given = call.arguments.get("dim")
    listed = [given] if isinstance(given, int) else list(given or ())
    if not listed:
        raise refuse(call.where, "the axes to reduce", "all of them, the batch too")
    return sorted({call.axis(source, axis) for axis in listed})


def _over_axes(kind: str) -> Reader:
    """Read a mean or maximum over axes as pooling of a whole image."""

    def read(call: Call) -> Draft | Value:
        source = call.first()
        axes = _axes_of(call, source)
        if len(source.shape) == 3 and axes == [1, 2]:
            image = source
        else:
            kept = [axis for axis in range(len(source.shape)) if axis not in axes]
            sizes = [math.prod(source.shape[a] for a in part) for part in (kept, axes)]
            image = call.reshaped(call.permuted(source, (*kept, *axes)), (*sizes, 1))
        window = (image.shape[1], image.shape[2])
        geometry = Geometry(kernel=window, stride=window)
        pooled = call.draft(kind, image, shape=(image.shape[0], 1, 1), geometry=geometry)
        return call.reshaped(call.put(pooled), call.shape)

    return read


def _read_minimum_over(call: Call) -> Value:
    """Read a minimum over axes: the negative of the negatives' maximum."""
    source = scaled(call, call.first(), -1.0)
    name = "self" if "self" in call.arguments else "input"
    turned = replace(call, arguments={**call.arguments, name: source})
    found = _over_axes("max_pool2d")(turned)
    assert isinstance(found, Value)
    return scaled(call, found, -1.0)


def _read_sum(call: Call) -> Value:
    """Read a sum over axes as a convolution with one filter of ones."""
    source = call.first()
    axes = _axes_of(call, source)
    kept = [axis for axis in range(len(source.shape)) if axis not in axes]
    sizes = [math.prod(source.shape[a] for a in part) for part in (axes, kept)]
    image = call.reshaped(call.permuted(source, (*axes, *kept)), (*sizes, 1))
    weight = np.ones((1, sizes[0], 1, 1))
    draft = call.draft(
        "conv2d", image, shape=(1, sizes[1], 1), geometry=Geometry((1, 1)), weight=weight
    )
    return call.reshaped(call.put(draft), call.shape)


def _extreme(sign: float) -> Callable[[Call], Draft | Value]:
    """Read the larger (or the smaller) of two activations, or of one and a number."""

    def read(call: Call) -> Draft | Value:
        given = (call.arguments["self"], call.arguments["other"])
        values = [v if isinstance(v, Value) else None for v in given]
        size = math.prod(call.shape)
        sides = []
        for value, operand in zip(values, given, strict=True):
            if value is None:
                array = call.of_one_sample(operand, len(call.shape))
                value = call.fixed(np.broadcast_to(array, call.shape).copy())
            if value.shape != call.shape:
                got = f"{list(value.shape)} for {list(call.shape)}"
                raise refuse(call.where, "two operands of one shape", got, "expand it first")
            sides.append(call.reshaped(scaled(call, value, sign), (size, 1, 1)))
        both = call.beside("concat", *sides, shape=(size, 2, 1), params=Params(concat_axis=1))
        geometry = Geometry(kernel=(2, 1), stride=(2, 1))
        found = call.put(call.draft("max_pool2d", both, shape=(size, 1, 1), geometry=geometry))
        return scaled(call, call.reshaped(found, call.shape), sign)

    return read


def _read_max(call: Call) -> Draft | Value:
    if "other" in call.arguments:
        return _extreme(1.0)(call)
    found = _over_axes("max_pool2d")(call)
    assert not isinstance(found, list)
    return found


READERS: dict[str, Reader] = {
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool2d_with_indices"), read_max_pool),
    "max_pool1d_with_indices": read_max_pool,
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), read_average_pool),
    **dict.fromkeys(
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d"),
        _adaptive("avg_pool2d"),
    ),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), _adaptive("max_pool2d")),
    "mean": _over_axes("avg_pool2d"),
    "amax": _over_axes("max_pool2d"),
    "amin": _read_minimum_over,
    "max": _read_max,
    "maximum": _extreme(1.0),
    "minimum": _extreme(-1.0),
    "sum": _read_sum,
}
