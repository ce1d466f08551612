"""What each PyTorch operator says in the words of a trace.

Both vocabularies are read: the names `torch.export` gives (aten.conv2d, aten.batch_norm) and the
decomposed core set (aten.convolution, aten._native_batch_norm_legit_no_training), so that one
reader serves PyTorch 2.6 and later. A reader function yields the draft of its operator, or the
value itself where the operator changes nothing.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.exporter.calls import Call, Value, as_float64, pair
from bitpim_traces.exporter.drafts import Draft, refuse
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import Geometry, Params

__all__ = ["READERS"]


# Convolution and linear


def read_convolution(call: Call) -> Draft:
    """Read conv2d and convolution, 'same' padding included."""
    source = call.image()
    weight = call.constant("weight")
    assert weight is not None
    if weight.ndim != 4:
        raise refuse(call.where, "two-dimensional conv kernels", f"weight shape {weight.shape}")
    if call.arguments.get("transposed"):
        raise refuse(call.where, "a forward convolution", "a transposed one")
    kernel = (weight.shape[2], weight.shape[3])
    dilation = pair(call.arguments.get("dilation"))
    padding = call.arguments.get("padding", 0)
    if isinstance(padding, str):
        sides = _same_padding(kernel, dilation) if padding == "same" else (0, 0, 0, 0)
    else:
        vertical, horizontal = pair(padding, (0, 0))
        sides = (vertical, vertical, horizontal, horizontal)
    geometry = Geometry(
        kernel=kernel,
        stride=pair(call.arguments.get("stride")),
        padding=sides,
        dilation=dilation,
        groups=int(call.arguments.get("groups", 1)),
    )
    bias = call.constant("bias")
    return call.draft("conv2d", source, geometry=geometry, weight=weight, bias=bias)


def _same_padding(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int, int, int]:
    """Yield the padding that keeps the size; an odd pixel goes below or to the right."""
    vertical, horizontal = (dilation[axis] * (kernel[axis] - 1) for axis in (0, 1))
    top, left = vertical // 2, horizontal // 2
    return top, vertical - top, left, horizontal - left


def read_linear(call: Call) -> Draft:
    """Read linear: weight is (output, input)."""
    return _linear(call, "input", call.constant("weight"), call.constant("bias"))


def read_addmm(call: Call) -> Draft:
    """Read bias + input @ weight, the decomposed linear."""
    if call.arguments.get("beta", 1) != 1 or call.arguments.get("alpha", 1) != 1:
        raise refuse(call.where, "alpha = beta = 1", "other factors")
    weight = call.constant("mat2")
    assert weight is not None
    return _linear(call, "mat1", weight.T, call.constant("self"))


def read_matmul(call: Call) -> Draft:
    """Read input @ weight with a constant weight."""
    names = list(call.arguments)
    weight = call.constant(names[1])
    assert weight is not None
    if weight.ndim != 2:
        raise refuse(call.where, "a constant matrix", f"shape {weight.shape}")
    return _linear(call, names[0], weight.T, None)


def _linear(
    call: Call,
    name: str,
    weight: npt.NDArray[np.float64] | None,
    bias: npt.NDArray[np.float64] | None,
) -> Draft:
    source = call.value(name)
    assert weight is not None
    if len(source.shape) != 1:
        got = f"shape N x {list(source.shape)}"
        raise refuse(call.where, "an N x C input", got, "flatten it first")
    if bias is not None:
        bias = np.broadcast_to(bias, (weight.shape[0],)).copy()
    return call.draft("linear", source, weight=np.ascontiguousarray(weight), bias=bias)


# Per-channel affine: batch norm and constants


def read_batch_norm(call: Call) -> Draft:
    """Read batch norm in evaluation as weight * x + bias per channel."""
    source = call.value()
    mean, variance = call.constant("running_mean"), call.constant("running_var")
    if call.arguments.get("training", False) or mean is None or variance is None:
        remedy = "keep running statistics (track_running_stats=True) and export in eval mode"
        raise refuse(call.where, "running statistics", "statistics of the batch", remedy)
    weight, bias = call.constant("weight"), call.constant("bias")
    factor = 1.0 / np.sqrt(variance + float(call.arguments["eps"]))
    if weight is not None:
        factor = factor * weight
    offset = -mean * factor
    if bias is not None:
        offset = offset + bias
    return call.draft("affine", source, weight=factor, bias=offset)


def _per_channel(call: Call, constant: Any, source: Value) -> npt.NDArray[np.float64]:
    """Yield a constant as one number per channel, or refuse."""
    array = as_float64(constant)
    try:
        whole = np.broadcast_to(array, (1, *source.shape))
    except ValueError:
        whole = None
    if whole is not None and call.shape == source.shape:
        flat = whole.reshape(source.shape[0], -1)
        if np.array_equal(flat, np.broadcast_to(flat[:, :1], flat.shape), equal_nan=True):
            return np.ascontiguousarray(flat[:, 0])
    got = f"a constant of shape {array.shape} for N x {list(source.shape)}"
    raise refuse(call.where, "one number, or one per channel", got)


def _affine(call: Call, factor: float | None = None, sign: float = 1.0) -> Draft:
    """Read `source (op) constant`; `factor` None means the constant multiplies."""
    first, second = call.arguments["self"], call.arguments["other"]
    source, constant = (first, second) if isinstance(first, Value) else (second, first)
    per_channel = _per_channel(call, constant, source)
    n_channels = source.shape[0]
    if factor is None:
        if sign < 0:
            per_channel = 1.0 / per_channel
        return call.draft("affine", source, weight=per_channel, bias=np.zeros(n_channels))
    weight = np.full(n_channels, factor)
    return call.draft("affine", source, weight=weight, bias=sign * per_channel)


def _two_values(call: Call) -> bool:
    return all(isinstance(call.arguments[name], Value) for name in ("self", "other"))


def read_add(call: Call) -> Draft:
    """Read the sum of two activations, or of an activation and a constant."""
    alpha = call.arguments.get("alpha", 1)
    if alpha != 1:
        raise refuse(call.where, "alpha = 1", f"alpha = {alpha}", "scale the operand beforehand")
    if not _two_values(call):
        return _affine(call, 1.0)
    first, second = call.value("self"), call.value("other")
    if first.shape != second.shape:
        got = f"{list(first.shape)} and {list(second.shape)}"
        raise refuse(call.where, "two inputs of one shape", got, "broadcasting is not supported")
    return call.draft("add", first, second)


def read_subtract(call: Call) -> Draft:
    """Read the difference of an activation and a constant."""
    alpha = call.arguments.get("alpha", 1)
    if _two_values(call) or alpha != 1:
        raise refuse(call.where, "a constant operand and alpha = 1", "a difference of activations")
    if isinstance(call.arguments["self"], Value):
        return _affine(call, 1.0, -1.0)
    return _affine(call, -1.0)


def read_reverse_subtract(call: Call) -> Draft:
    """Read a constant minus an activation."""
    if _two_values(call) or call.arguments.get("alpha", 1) != 1:
        raise refuse(call.where, "a constant operand and alpha = 1", "a difference of activations")
    return _affine(call, -1.0)


def read_multiply(call: Call) -> Draft:
    """Read the product of an activation and a constant."""
    if _two_values(call):
        raise refuse(call.where, "a constant factor", "a product of activations")
    return _affine(call)


def read_divide(call: Call) -> Draft:
    """Read an activation over a constant."""
    if not isinstance(call.arguments["self"], Value) or _two_values(call):
        raise refuse(call.where, "an activation over a constant", "a division by an activation")
    if call.arguments.get("rounding_mode") is not None:
        raise refuse(call.where, "a plain division", "a rounded one")
    return _affine(call, None, -1.0)


# Pooling


def read_max_pool(call: Call) -> Draft:
    """Read max_pool2d, with or without indices."""
    kernel = pair(call.arguments["kernel_size"])
    vertical, horizontal = pair(call.arguments.get("padding"), (0, 0))
    geometry = Geometry(
        kernel=kernel,
        stride=pair(call.arguments.get("stride"), kernel),
        padding=(vertical, vertical, horizontal, horizontal),
        dilation=pair(call.arguments.get("dilation")),
        ceil_mode=bool(call.arguments.get("ceil_mode", False)),
    )
    return call.draft("max_pool2d", call.image("self"), geometry=geometry)


def read_average_pool(call: Call) -> Draft:
    """Read avg_pool2d; a divisor of one's own has no place in a trace."""
    if call.arguments.get("divisor_override") is not None:
        got = f"divisor_override = {call.arguments['divisor_override']}"
        raise refuse(call.where, "the number of elements as divisor", got, "leave it out")
    kernel = pair(call.arguments["kernel_size"])
    vertical, horizontal = pair(call.arguments.get("padding"), (0, 0))
    geometry = Geometry(
        kernel=kernel,
        stride=pair(call.arguments.get("stride"), kernel),
        padding=(vertical, vertical, horizontal, horizontal),
        ceil_mode=bool(call.arguments.get("ceil_mode", False)),
        count_include_pad=bool(call.arguments.get("count_include_pad", True)),
    )
    return call.draft("avg_pool2d", call.image("self"), geometry=geometry)


def _adaptive(kind: str) -> Callable[[Call], Draft]:
    def read(call: Call) -> Draft:
        source = call.image("self")
        size = pair(call.arguments["output_size"])
        height, width = source.shape[1:]
        if size[0] < 1 or size[1] < 1 or height % size[0] or width % size[1]:
            need = "an output size that divides the image"
            remedy = "resize to a multiple, or pool with a plain window"
            raise refuse(call.where, need, f"{size} of {height} x {width}", remedy)
        window = (height // size[0], width // size[1])
        return call.draft(kind, source, geometry=Geometry(kernel=window, stride=window))

    return read


def _over_image(kind: str) -> Callable[[Call], Draft]:
    """Read a mean or maximum over rows and columns as pooling of the whole image."""

    def read(call: Call) -> Draft:
        source = call.image("self")
        axes = sorted(axis % 4 for axis in call.arguments.get("dim") or ())
        if axes != [2, 3]:
            raise refuse(call.where, "a mean or maximum over axes (2, 3)", f"axes {axes}")
        window = (source.shape[1], source.shape[2])
        pooled = call.draft(kind, source, geometry=Geometry(kernel=window, stride=window))
        return replace(pooled, shape=(source.shape[0], 1, 1))  # without keepdim: a flatten follows

    return read


# Activations


def _limit(low: float, high: float) -> Callable[[Call], Draft]:
    def read(call: Call) -> Draft:
        return _limited(call, low, high)

    return read


def _limited(call: Call, low: float, high: float) -> Draft:
    if not low < high:
        raise refuse(call.where, "a lower bound below the upper", f"[{low}, {high}]")
    return call.draft("activation", _first(call), activation="clamp", low=low, high=high)


def _first(call: Call) -> Value:
    return call.value("self" if "self" in call.arguments else "input")


def read_clamp(call: Call) -> Draft:
    """Read clamp, clip, clamp_min, clamp_max and hardtanh."""
    bounds = []
    for names, missing in ((("min", "min_val"), -math.inf), (("max", "max_val"), math.inf)):
        given = next((call.arguments[n] for n in names if call.arguments.get(n) is not None), None)
        array = np.asarray(missing) if given is None else _bound(call, given)
        bounds.append(float(array.reshape(-1)[0]))
    return _limited(call, bounds[0], bounds[1])


def _bound(call: Call, given: Any) -> npt.NDArray[np.float64]:
    if isinstance(given, Value) or (array := as_float64(given)).size != 1:
        raise refuse(call.where, "bounds that are numbers", "bounds that are tensors")
    return array


def _table(kind: str) -> Callable[[Call], Draft]:
    def read(call: Call) -> Draft:
        return call.draft("activation", _first(call), activation=kind)

    return read


def read_softmax(call: Call) -> Draft:
    """Read a softmax over classes, which `rewrites` drops at the very end of the network."""
    source = _first(call)
    axis = int(call.arguments["dim"]) % (len(source.shape) + 1)
    if axis != 1:
        raise refuse(call.where, "a softmax over axis 1", f"axis {axis}")
    return call.draft("softmax", source)


# Shapes


def read_unchanged(call: Call) -> Value:
    """Read an operator that changes nothing when the network is evaluated."""
    if call.arguments.get("train"):
        raise refuse(call.where, "dropout that is off", "dropout in training", "use nn.Dropout")
    return _first(call)


def read_split(call: Call) -> Value:
    """Read a split into one piece, which changes nothing."""
    source = _first(call)
    if call.shape != source.shape:
        got = f"N x {list(source.shape)} in pieces of N x {list(call.shape)}"
        raise refuse(call.where, "an activation in one piece", got)
    return source


def read_reshape(call: Call) -> Draft:
    """Read whatever keeps elements and their order; `rewrites` decides whether it is a flatten."""
    return call.draft("reshape", _first(call))


def read_select(call: Call) -> Draft:
    """Read x[:, :, 0, 0] of a single pixel, which keeps every element."""
    source = call.value("self")
    if math.prod(source.shape) != math.prod(call.shape):
        raise refuse(call.where, "an index into an axis of length 1", f"N x {list(source.shape)}")
    return call.draft("reshape", source)


def read_concat(call: Call) -> Draft | Value:
    """Read cat of activations along any axis but the batch."""
    values = call.arguments["tensors"]
    for value in values:
        if not isinstance(value, Value):
            need = "inputs computed from the network input"
            raise refuse(call.where, need, "a constant", "for zero channels use F.pad")
    axis = int(call.arguments.get("dim", 0)) % (len(call.shape) + 1)
    if axis == 0:
        raise refuse(call.where, "an axis other than the batch", "axis 0")
    return (
        call.draft("concat", *values, params=Params(concat_axis=axis - 1))
        if len(values) > 1
        else values[0]
    )


def read_pad(call: Call) -> Draft | Value:
    """Read zero padding of rows, columns and channels."""
    source = call.image("self")
    mode = call.arguments.get("mode", "constant")
    value = call.arguments.get("value")
    if mode != "constant" or (value is not None and float(value) != 0.0):
        raise refuse(call.where, "padding with zeros", f"mode {mode}, value {value}")
    pads = [int(p) for p in call.arguments["pad"]]
    pads += [0] * (8 - len(pads))
    if min(pads) < 0 or pads[6] or pads[7]:
        raise refuse(call.where, "padding of channels, rows and columns", f"pad = {pads}")
    left, right, top, bottom, front, back = pads[:6]
    sides = (front, back, top, bottom, left, right)
    return call.draft("pad", source, params=Params(pads=sides)) if any(sides) else source


def read_slice(call: Call) -> Draft | Value:
    """Read x[:, :, ::s, ::t] as pooling with a window of one pixel, which is exact."""
    source = call.value("self")
    axis = int(call.arguments.get("dim", 0)) % (len(source.shape) + 1)
    start, step = int(call.arguments.get("start") or 0), int(call.arguments.get("step", 1))
    if step == 1 and call.shape == source.shape:
        return source
    strides = (step, 1) if axis == 2 else (1, step)
    geometry = Geometry(kernel=(1, 1), stride=strides)
    whole = len(source.shape) == 3 and axis in (2, 3) and start == 0
    if not whole or geometry.output_size(*source.shape[1:]) != call.shape[1:]:
        got = f"axis {axis} from {start} by {step}: {list(source.shape)} to {list(call.shape)}"
        raise refuse(call.where, "rows or columns sliced as ::step", got)
    return call.draft("max_pool2d", source, geometry=geometry)


READERS: dict[str, Callable[[Call], Draft | Value]] = {
    **dict.fromkeys(("conv2d", "convolution", "_convolution"), read_convolution),
    "linear": read_linear,
    "addmm": read_addmm,
    **dict.fromkeys(("mm", "matmul"), read_matmul),
    **dict.fromkeys(
        (
            "batch_norm",
            "_native_batch_norm_legit_no_training",
            "native_batch_norm",
            "_native_batch_norm_legit",
            "cudnn_batch_norm",
        ),
        read_batch_norm,
    ),
    **dict.fromkeys(("add", "add_"), read_add),
    **dict.fromkeys(("sub", "sub_"), read_subtract),
    "rsub": read_reverse_subtract,
    **dict.fromkeys(("mul", "mul_"), read_multiply),
    **dict.fromkeys(("div", "div_"), read_divide),
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices"), read_max_pool),
    "avg_pool2d": read_average_pool,
    **dict.fromkeys(("adaptive_avg_pool2d", "_adaptive_avg_pool2d"), _adaptive("avg_pool2d")),
    "adaptive_max_pool2d": _adaptive("max_pool2d"),
    "mean": _over_image("avg_pool2d"),
    "amax": _over_image("max_pool2d"),
    **dict.fromkeys(("relu", "relu_"), _limit(0.0, math.inf)),
    **dict.fromkeys(("relu6", "relu6_"), _limit(0.0, 6.0)),
    **dict.fromkeys(
        (
            name + suffix
            for name in ("clamp", "clip", "clamp_min", "clamp_max", "hardtanh")
            for suffix in ("", "_")
        ),
        read_clamp,
    ),
    **dict.fromkeys(("sigmoid", "sigmoid_"), _table("sigmoid")),
    **dict.fromkeys(("tanh", "tanh_"), _table("tanh")),
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), read_softmax),
    **dict.fromkeys(
        (
            "alias",
            "clone",
            "contiguous",
            "detach",
            "detach_",
            "dropout",
            "dropout_",
            "feature_dropout",
            "lift_fresh_copy",
            "native_dropout",
        ),
        read_unchanged,
    ),
    **dict.fromkeys(
        ("flatten", "view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "unflatten"),
        read_reshape,
    ),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), read_split),
    "select": read_select,
    **dict.fromkeys(("cat", "concat"), read_concat),
    **dict.fromkeys(("pad", "constant_pad_nd"), read_pad),
    "slice": read_slice,
    **{name: read for found in OPERATORS.values() for name, read in found.readers.items()},
}
