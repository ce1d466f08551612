"""Parts of activations: slices, pieces, single elements, repeated and rolled ones."""

from collections.abc import Sequence

from bitpim_traces.exporter.calls import Call, Reader, Value
from bitpim_traces.exporter.drafts import Draft, refuse
from bitpim_traces.records import Geometry, Params

__all__ = ["READERS", "cut"]

_MOST_COPIES = 256
_ALL = 2**62
"""What PyTorch writes for the end of an axis lies beyond it."""


def cut(call: Call, value: Value, ends: Sequence[tuple[int, int, int]]) -> Value:
    """Yield the positions of each axis from a start to a stop, some steps apart."""
    starts, stops, steps = (tuple(numbers) for numbers in zip(*ends, strict=True))
    shape = tuple(len(range(*end)) for end in ends)
    if shape == value.shape:
        return value
    params = Params(starts=starts, stops=stops, steps=steps)
    return call.beside("slice", value, shape=shape, params=params)


def _along(call: Call, value: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    ends = [(0, n, 1) for n in value.shape]
    ends[axis] = (start, stop, step)
    return cut(call, value, ends)


def read_slice(call: Call) -> Draft | Value:
    """Read x[:, a:b:c] and its like.

    Rows or columns from the first on, some steps apart, are pooling with a window of one pixel.
    """
    source = call.value("self")
    axis = int(call.arguments.get("dim", 0)) % (len(source.shape) + 1)
    start, stop = call.arguments.get("start"), call.arguments.get("end")
    if axis == 0:
        if not start and (stop is None or stop >= _ALL) and call.arguments.get("step", 1) == 1:
            return source  # all samples, however many
        raise refuse(call.where, "all samples of a batch", "some of them", "slice other axes only")
    size = source.shape[axis - 1]
    places = range(size)[slice(start, stop, int(call.arguments.get("step", 1)))]
    if not places:
        raise refuse(call.where, "a slice of at least one element", f"none of {size}")
    if len(places) == size:
        return source
    if len(source.shape) == 3 and axis in (2, 3) and places == range(0, size, places.step):
        strides = (places.step, 1) if axis == 2 else (1, places.step)
        return call.draft("max_pool2d", source, geometry=Geometry((1, 1), strides))
    return _along(call, source, axis - 1, places[0], places[-1] + 1, places.step)


def _read_narrow(call: Call) -> Value:
    source = call.value("self")
    axis = call.axis(source, call.arguments["dim"])
    size = source.shape[axis]
    start = int(call.arguments["start"]) % size
    return _along(call, source, axis, start, start + int(call.arguments["length"]))


def read_select(call: Call) -> Value:
    """Read x[:, :, 3, 3] and its like."""
    source = call.value("self")
    axis = call.axis(source, call.arguments["dim"])
    place = int(call.arguments["index"]) % source.shape[axis]
    return call.reshaped(_along(call, source, axis, place, place + 1), call.shape)


def _pieces(call: Call, source: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    pairs = zip(ends, sizes, strict=True)
    return [_along(call, source, axis, end - size, end) for end, size in pairs]


def read_split(call: Call) -> list[Value]:
    """Read split by one size or several."""
    source = call.value("self")
    axis = call.axis(source, call.arguments.get("dim", 0))
    size = source.shape[axis]
    name = "split_sizes" if "split_sizes" in call.arguments else "split_size"
    given = call.arguments[name]
    if isinstance(given, int):
        given = [min(given, size - start) for start in range(0, size, given)]
    return _pieces(call, source, axis, [int(n) for n in given])


def _read_chunk(call: Call) -> list[Value]:
    source = call.value("self")
    axis = call.axis(source, call.arguments.get("dim", 0))
    size = source.shape[axis]
    each = -(-size // int(call.arguments["chunks"]))
    return _pieces(call, source, axis, [min(each, size - at) for at in range(0, size, each)])


def _read_unbind(call: Call) -> list[Value]:
    source = call.value("self")
    axis = call.axis(source, call.arguments.get("dim", 0))
    shape = source.shape[:axis] + source.shape[axis + 1 :]
    pieces = _pieces(call, source, axis, [1] * source.shape[axis])
    return [call.reshaped(piece, shape) for piece in pieces]


def _read_roll(call: Call) -> Value:
    """Read a roll: the last elements of an axis come first."""
    value = call.value("self")
    if not call.arguments["dims"]:
        raise refuse(call.where, "the axes to roll", "all of them, the batch too", "give dims")
    for shift, dim in zip(call.arguments["shifts"], call.arguments["dims"], strict=True):
        axis = call.axis(value, dim)
        size = value.shape[axis]
        at = -int(shift) % size
        if at:
            parts = [_along(call, value, axis, at, size), _along(call, value, axis, 0, at)]
            params = Params(concat_axis=axis)
            value = call.beside("concat", *parts, shape=value.shape, params=params)
    return value


def _read_expand(call: Call) -> Draft | Value:
    """Read axes of length 1 that are repeated; sums and products do so by themselves."""
    source = call.first()
    rank = len(call.shape)
    return call.draft(
        "expand", call.reshaped(source, (1,) * (rank - len(source.shape)) + source.shape)
    )


def _read_repeat(call: Call) -> Value:
    """Read copies of a whole tensor, one behind the other."""
    value = call.first()
    counts = [int(n) for n in call.arguments.get("repeats", call.arguments.get("dims", ()))]
    rank = len(call.shape)
    if len(counts) > rank and counts[0] != 1:
        raise refuse(call.where, "an axis other than the batch", "copies of the batch")
    value = call.reshaped(value, (1,) * (rank - len(value.shape)) + value.shape)
    for axis, n in enumerate(call.shape):
        value = copies(call, value, axis, n // value.shape[axis])
    return value


def copies(call: Call, value: Value, axis: int, n: int) -> Value:
    """Yield n copies along an axis."""
    if n == 1:
        return value
    if n > _MOST_COPIES:
        raise refuse(call.where, f"at most {_MOST_COPIES} copies", str(n), "broadcast it instead")
    shape = (*value.shape[:axis], value.shape[axis] * n, *value.shape[axis + 1 :])
    return call.beside("concat", *[value] * n, shape=shape, params=Params(concat_axis=axis))


READERS: dict[str, Reader] = {
    "slice": read_slice,
    "narrow": _read_narrow,
    "select": read_select,
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split"), read_split),
    **dict.fromkeys(("chunk", "unsafe_chunk"), _read_chunk),
    "unbind": _read_unbind,
    "roll": _read_roll,
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), _read_expand),
    **dict.fromkeys(("repeat", "tile"), _read_repeat),
}
