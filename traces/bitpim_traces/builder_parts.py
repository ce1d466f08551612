"""What a builder is given: weight codes, activations, quantizations from plain numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitpim_traces.functions import function_named
from bitpim_traces.network import FloatLayer
from bitpim_traces.numbers.affine import decode, encode, real_values
from bitpim_traces.records import Quantization, TensorRecord

__all__ = [
    "NO_ACTIVATION",
    "Activation",
    "References",
    "WeightCodes",
    "activation_table",
    "float_tensor",
    "float_weight",
    "quantization_of",
    "shape_only",
]

References = Mapping[int, npt.NDArray[np.float32]] | Callable[[int], npt.NDArray[np.float32] | None]
"""Float outputs of the first samples by layer index, at hand or on demand."""


@dataclass(frozen=True, slots=True, eq=False)
class WeightCodes:
    """Weight and bias of a conv2d or linear, as codes.

    `bias` codes are at scale input * weight; `bias_scale`, if known, is checked against that.
    Without float values the record's are what the codes stand for.

    Shapes
    ------
    codes : (O, I / groups, kH, kW) or (O, I);  bias, bias_scale : (O,), bias_scale also (1,)
    """

    codes: npt.NDArray[np.integer]
    quantization: Quantization
    bias: npt.NDArray[np.integer] | None = None
    bias_scale: npt.NDArray[np.floating] | None = None
    weight_float: npt.NDArray[np.float32] | None = None
    bias_float: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation fused into a layer; `clamp` is the real range of kind "clamp"."""

    kind: str = "none"
    clamp: tuple[float, float] | None = None


NO_ACTIVATION = Activation()


def quantization_of(
    scale: npt.ArrayLike,
    zero_point: npt.ArrayLike = 0,
    *,
    bits: int = 8,
    signed: bool = False,
    axis: int | None = None,
    binary: bool = False,
) -> Quantization:
    """Make a quantization from plain numbers; with `axis`, scale and zero point run along it.

    `binary` codes are -1 and 1: 2 bits, signed, around 0, whatever else is said.
    """
    bits, signed = (2, True) if binary else (bits, signed)
    scales = np.atleast_1d(np.asarray(scale, dtype=np.float64))
    zeros = np.broadcast_to(np.asarray(zero_point, dtype=np.int64), scales.shape).copy()
    return Quantization(bits, signed, scales, zeros, axis, binary)


def activation_table(
    where: str, layer: FloatLayer, source: Quantization, output: Quantization
) -> npt.NDArray[np.integer]:
    """Encode a function of every input code, in float64, half to even.

    A value that is infinite takes the output's code at that end; one that does not exist, code
    of real 0.

    Shapes
    ------
    returns: (K,), or (C, K) where each channel has constants of its own

    Raises
    ------
    TraceDataError
        The function's real values are not known here, or its constants do not fit it.
    """
    function, constants = function_named(where, layer.activation), layer.tensors.get("constants")
    codes = np.arange(source.code_min, source.code_max + 1, dtype=np.int64)
    real = real_values(codes, source)
    n_rows = constants.shape[0] if constants is not None and constants.ndim == 2 else 1
    rows = np.broadcast_to(real, (n_rows, codes.size))  # rows as channels of one sample
    values = function.of(rows[None], constants)[0]
    ends = real_values(np.array([output.code_min, output.code_max]), output)
    held = encode(np.nan_to_num(values, nan=0.0, neginf=ends[0], posinf=ends[1]), output)
    return held if constants is not None and constants.ndim == 2 else held[0]


def shape_only(weight: WeightCodes) -> npt.NDArray[np.float32]:
    """Yield an array of the weight's shape that takes no memory, for shape inference."""
    return np.broadcast_to(np.float32(0), weight.codes.shape)


def float_tensor(
    values: npt.NDArray[np.float32] | None, axes: str, role: str
) -> TensorRecord | None:
    """Wrap real values, if there are any."""
    if values is None:
        return None
    return TensorRecord.of(np.asarray(values, np.float32), axes=axes, role=role, units="real")


def float_weight(
    weight: WeightCodes, codes: npt.NDArray[np.integer], axes: str
) -> TensorRecord | None:
    """Float weights as given, or decoded from the codes when they are read."""
    if weight.weight_float is not None:
        return float_tensor(weight.weight_float, axes, "weight_float")
    quantization = weight.quantization

    def load(start: int, stop: int) -> npt.NDArray[np.float32]:
        part = quantization
        if quantization.axis is not None:
            part = replace(
                quantization,
                scale=quantization.scale[start:stop],
                zero_point=quantization.zero_point[start:stop],
            )
        return decode(codes[start:stop], part)

    return TensorRecord(codes.shape, np.dtype(np.float32), axes, "real", "weight_float", load)
