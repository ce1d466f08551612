"""Operators that change nothing, and those that put values in other shapes or orders."""

import math

from bitpim_traces.exporter.calls import Call, Reader, Value
from bitpim_traces.exporter.drafts import Draft, refuse
from bitpim_traces.records import Params

__all__ = ["READERS"]


def read_unchanged(call: Call) -> Value:
    """Read an operator that changes nothing when the network is evaluated."""
    if call.arguments.get("train"):
        raise refuse(call.where, "dropout that is off", "dropout in training", "use nn.Dropout")
    return call.first()


def read_reshape(call: Call) -> Draft:
    """Read whatever keeps elements and their order."""
    return call.draft("reshape", call.first())


def _axes_in_order(call: Call, axes: list[int]) -> Draft | Value:
    """Read an order of all axes, the batch among them."""
    source = call.first()
    if axes[0] != 0:
        raise refuse(call.where, "the batch as first axis", f"axis {axes[0]} first")
    inner = tuple(axis - 1 for axis in axes[1:])
    if inner == tuple(range(len(inner))):
        return source
    return call.draft("permute", source, params=Params(axes=inner))


def _read_permute(call: Call) -> Draft | Value:
    n = len(call.first().shape) + 1
    return _axes_in_order(call, [int(axis) % n for axis in call.arguments["dims"]])


def _read_transpose(call: Call) -> Draft | Value:
    n = len(call.first().shape) + 1
    names = ("dim0", "dim1") if "dim0" in call.arguments else ("axis0", "axis1")
    first, second = (int(call.arguments[name]) % n for name in names)
    axes = list(range(n))
    axes[first], axes[second] = second, first
    return _axes_in_order(call, axes)


def _read_move_axes(call: Call) -> Draft | Value:
    n = len(call.first().shape) + 1
    given = (call.arguments["source"], call.arguments["destination"])
    source, to = (
        [int(a) % n for a in ([axes] if isinstance(axes, int) else axes)] for axes in given
    )
    rest = iter(axis for axis in range(n) if axis not in source)
    order = [source[to.index(k)] if k in to else next(rest) for k in range(n)]
    return _axes_in_order(call, order)


def _read_pixel_shuffle(call: Call) -> Value:
    """Read (C r r, H, W) to (C, H r, W r)."""
    source, r = call.image("self"), int(call.arguments["upscale_factor"])
    channels, height, width = source.shape
    apart = call.reshaped(source, (channels // r**2, r, r, height, width))
    return call.reshaped(call.permuted(apart, (0, 3, 1, 4, 2)), call.shape)


def _read_pixel_unshuffle(call: Call) -> Value:
    """Read (C, H r, W r) to (C r r, H, W)."""
    source, r = call.image("self"), int(call.arguments["downscale_factor"])
    channels, height, width = source.shape
    apart = call.reshaped(source, (channels, height // r, r, width // r, r))
    return call.reshaped(call.permuted(apart, (0, 2, 4, 1, 3)), call.shape)


def _read_channel_shuffle(call: Call) -> Value:
    """Read channels of g groups dealt out in turn."""
    source, groups = call.first(), int(call.arguments["groups"])
    channels, *rest = source.shape
    apart = call.reshaped(source, (groups, channels // groups, math.prod(rest)))
    return call.reshaped(call.permuted(apart, (1, 0, 2)), call.shape)


def read_concat(call: Call) -> Draft | Value:
    """Read cat of activations and constants along any axis but the batch."""
    values = [call.arguments["tensors"][k] for k in range(len(call.arguments["tensors"]))]
    rank = len(call.shape)
    axis = int(call.arguments.get("dim", 0)) % (rank + 1)
    if axis == 0:
        raise refuse(call.where, "an axis other than the batch", "axis 0")
    read = [_joined(call, value, rank, axis - 1) for value in values]
    if len(read) == 1:
        return read[0]
    return call.draft("concat", *read, params=Params(concat_axis=axis - 1))


def _joined(call: Call, operand: object, rank: int, axis: int) -> Value:
    """Yield an operand of a concat; a constant takes the lengths of the output."""
    if isinstance(operand, Value):
        return operand
    return call.fixed(call.of_one_sample(operand, rank))


def _read_stack(call: Call) -> Draft:
    rank = len(call.shape)
    axis = int(call.arguments.get("dim", 0)) % (rank + 1)
    if axis == 0:
        raise refuse(call.where, "an axis other than the batch", "axis 0")
    apart = (*call.shape[: axis - 1], 1, *call.shape[axis:])
    parts = []
    for operand in call.arguments["tensors"]:
        if isinstance(operand, Value):
            parts.append(call.reshaped(operand, apart))
        else:
            parts.append(call.fixed(call.of_one_sample(operand, rank - 1).reshape(apart)))
    return call.draft("concat", *parts, params=Params(concat_axis=axis - 1))


READERS: dict[str, Reader] = {
    **dict.fromkeys(
        (
            "_to_copy",
            "alias",
            "clone",
            "contiguous",
            "detach",
            "detach_",
            "dropout",
            "dropout_",
            "feature_alpha_dropout",
            "feature_dropout",
            "lift_fresh_copy",
            "native_dropout",
            "alpha_dropout",
            "to",
            "type_as",
        ),
        read_unchanged,
    ),
    **dict.fromkeys(
        (
            "flatten",
            "view",
            "view_as",
            "_unsafe_view",
            "reshape",
            "reshape_as",
            "squeeze",
            "unsqueeze",
            "unflatten",
        ),
        read_reshape,
    ),
    "permute": _read_permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _read_transpose),
    **dict.fromkeys(("movedim", "moveaxis"), _read_move_axes),
    "pixel_shuffle": _read_pixel_shuffle,
    "pixel_unshuffle": _read_pixel_unshuffle,
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), _read_channel_shuffle),
    **dict.fromkeys(("cat", "concat", "concatenate"), read_concat),
    "stack": _read_stack,
}
