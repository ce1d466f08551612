"""Sums, differences, products and quotients: of activations, and of activations and constants."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.exporter.calls import Call, Reader, Value
from bitpim_traces.exporter.drafts import Draft, refuse

__all__ = ["READERS", "scaled"]

Array = npt.NDArray[np.float64]


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


def scaled(call: Call, value: Value, factor: float) -> Value:
    """Yield a value times a number."""
    if factor == 1.0:
        return value
    n = value.shape[0]
    weight, bias = np.full(n, factor), np.zeros(n)
    return call.beside("affine", value, shape=value.shape, weight=weight, bias=bias)


def _per_channel(call: Call, constant: Array, source: Value) -> Array | None:
    """Yield a constant as one number per channel of the output; None where it is not."""
    if call.shape != source.shape:
        return None
    flat = np.broadcast_to(constant, source.shape).reshape(source.shape[0], -1)
    if not np.array_equal(flat, np.broadcast_to(flat[:, :1], flat.shape), equal_nan=True):
        return None
    return np.ascontiguousarray(flat[:, 0])


def _with_constant(call: Call, source: Value, constant: Any, kind: str) -> Draft:
    """Read source + constant or source * constant, whatever the constant's shape."""
    array = call.of_one_sample(constant, len(source.shape))
    numbers = _per_channel(call, array, source)
    if numbers is None:
        return call.draft(kind, source, call.fixed(array))
    n = source.shape[0]
    if kind == "add":
        return call.draft("affine", source, weight=np.ones(n), bias=numbers)
    return call.draft("affine", source, weight=numbers, bias=np.zeros(n))


def _combined(call: Call, first: Any, second: Any, kind: str) -> Draft | Value:
    """Read an operation that does not mind which operand comes first."""
    if not isinstance(first, Value):
        first, second = second, first
    if not isinstance(second, Value):
        return _with_constant(call, first, second, kind)
    if len(first.shape) != len(second.shape):  # PyTorch would set samples against another axis
        got = f"N x {list(first.shape)} and N x {list(second.shape)}"
        remedy = "give the smaller one axes of length 1 behind the batch"
        raise refuse(call.where, "two activations of as many axes", got, remedy)
    return call.draft(kind, first, second)


def _negative(call: Call, operand: Any) -> Any:
    return scaled(call, operand, -1.0) if isinstance(operand, Value) else -_number(operand)


def _number(operand: Any) -> Any:
    return operand if not isinstance(operand, (bool, int)) else float(operand)


def _times(call: Call, operand: Any, factor: Any) -> Any:
    """Yield an operand times PyTorch's alpha."""
    if factor == 1:
        return operand
    return scaled(call, operand, float(factor)) if isinstance(operand, Value) else operand * factor


def _operands(call: Call) -> tuple[Any, Any]:
    alpha = call.arguments.get("alpha", 1)
    return call.arguments["self"], _times(call, call.arguments["other"], alpha)


def read_add(call: Call) -> Draft | Value:
    """Read a sum."""
    return _combined(call, *_operands(call), "add")


def read_subtract(call: Call) -> Draft | Value:
    """Read a difference: the sum with the second operand's negative."""
    first, second = _operands(call)
    return _combined(call, first, _negative(call, second), "add")


def read_reverse_subtract(call: Call) -> Draft | Value:
    """Read other - alpha * self."""
    alpha = call.arguments.get("alpha", 1)
    first = _times(call, call.arguments["self"], alpha)
    return _combined(call, call.arguments["other"], _negative(call, first), "add")


def read_multiply(call: Call) -> Draft | Value:
    """Read a product."""
    return _combined(call, call.arguments["self"], call.arguments["other"], "multiply")


def read_divide(call: Call) -> Draft | Value:
    """Read a quotient: the product with a constant's, or an activation's, reciprocal."""
    if call.arguments.get("rounding_mode") is not None:
        raise refuse(call.where, "a plain division", "a rounded one")
    first, second = call.arguments["self"], call.arguments["other"]
    if not isinstance(second, Value):
        inverse = 1.0 / call.of_one_sample(second, len(first.shape))
        return _with_constant(call, first, inverse, "multiply")
    turned = call.beside("activation", second, shape=second.shape, activation="reciprocal")
    return _combined(call, first, turned, "multiply")


def read_negative(call: Call) -> Value:
    """Read -x."""
    return scaled(call, call.first(), -1.0)


def _read_addcmul(call: Call) -> Draft | Value:
    """Read self + value * tensor1 * tensor2."""
    shape = call.shape
    first, second = call.arguments["tensor1"], call.arguments["tensor2"]
    factor = float(call.arguments.get("value", 1))
    if not isinstance(first, Value):
        first, second = second, first
    if not isinstance(second, Value):
        array = call.of_one_sample(second, len(first.shape)) * factor
        product = call.beside("multiply", first, call.fixed(array), shape=shape)
    else:
        product = scaled(call, call.beside("multiply", first, second, shape=shape), factor)
    return _combined(call, call.arguments["self"], product, "add")


READERS: dict[str, Reader] = {
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
    **dict.fromkeys(("sub", "sub_", "subtract"), read_subtract),
    "rsub": read_reverse_subtract,
    **dict.fromkeys(("mul", "mul_", "multiply"), read_multiply),
    **dict.fromkeys(("div", "div_", "divide", "true_divide"), read_divide),
    **dict.fromkeys(("neg", "neg_", "negative"), read_negative),
    "addcmul": _read_addcmul,
}
