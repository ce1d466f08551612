"""What a builder checks before it takes numbers from elsewhere; every fault is a TraceDataError."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.builder_parts import References
from bitpim_traces.codebook_rules import check_codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.faults import shown
from bitpim_traces.file_bounds import MAX_BITS
from bitpim_traces.numbers.affine import encode
from bitpim_traces.numbers.multiplier import PRODUCT_BITS
from bitpim_traces.records import (
    REQUANTIZE_MODES,
    LayerRecord,
    Quantization,
    Requantize,
    TensorRecord,
    axes_of,
)

__all__ = [
    "checked_bias",
    "checked_labels",
    "code_clamp",
    "need_affine",
    "need_bias_scale",
    "need_codes",
    "need_mode",
    "need_per_tensor",
    "need_product_fit",
    "need_quantization",
    "need_step",
    "need_weight",
    "raising",
    "with_reference",
]

Int64 = npt.NDArray[np.int64]

_BIAS_SCALE_TOLERANCE = 1e-5
"""Writers store the float32 product of float32 scales: relative error about 1e-7."""


def raising(where: str) -> Callable[[str, str, object], None]:
    """Return what raises a TraceDataError with a member, what it needs, and what was got."""

    def say(member: str, need: str, got: object) -> None:
        text = got if isinstance(got, str) else shown(got)
        raise TraceDataError(f"{where}: {member}: need {need}, got {text}")

    return say


def need_mode(where: str, mode: str) -> None:
    """Check a requantize mode's name."""
    if mode not in REQUANTIZE_MODES:
        raise TraceDataError(
            f"{where}: need a requantize mode among {', '.join(REQUANTIZE_MODES)}, got {mode!r}"
        )


def need_affine(where: str, q: Quantization) -> None:
    """Check that codes are not those of a codebook."""
    if q.codebook is not None:
        raise TraceDataError(f"{where}: need inputs of affine codes, got one with a codebook")


def need_quantization(where: str, q: Quantization, most_bits: int = MAX_BITS) -> None:
    """Check width, scales and zero points of a quantization, or its codebook."""
    if q.codebook is not None:
        check_codebook(q, "codebook", raising(where))
        return
    if not 1 <= q.bits <= most_bits:
        raise TraceDataError(f"{where}: need 1 to {most_bits} bits, got {q.bits}")
    if q.bits > MAX_BITS and not q.signed:
        raise TraceDataError(f"{where}: need signed codes of more than {MAX_BITS} bits")
    if q.scale.ndim != 1 or q.scale.shape != q.zero_point.shape or not q.scale.size:
        raise TraceDataError(
            f"{where}: need scales and zero points of one shape (n,), got {q.scale.shape} and"
            f" {q.zero_point.shape}"
        )
    if q.binary and (q.bits != 2 or not q.signed or q.zero_point.any()):
        raise TraceDataError(f"{where}: need 2 bits, signed, around 0 for codes of -1 and 1")
    if not (np.isfinite(q.scale).all() and (q.scale > 0).all()):
        raise TraceDataError(f"{where}: need finite scales above 0, got {q.scale.min():g}")
    if q.zero_point.min() < q.code_min or q.zero_point.max() > q.code_max:
        raise TraceDataError(
            f"{where}: need zero points from {q.code_min} to {q.code_max}, got"
            f" {int(q.zero_point.min())} to {int(q.zero_point.max())}"
        )


def need_per_tensor(where: str, q: Quantization) -> None:
    """Check that a quantization has one scale."""
    if q.scale.size != 1 or q.axis is not None:
        raise TraceDataError(f"{where}: need one scale per tensor, got {q.scale.size}")


def need_codes(where: str, codes: npt.NDArray[Any], q: Quantization) -> None:
    """Check that codes are integers within their width."""
    if codes.dtype.kind not in "iu":
        raise TraceDataError(f"{where}: need integer codes, got dtype {codes.dtype}")
    if codes.size and (codes.min() < q.code_min or codes.max() > q.code_max):
        raise TraceDataError(
            f"{where}: need codes from {q.code_min} to {q.code_max}, got {codes.min()} to"
            f" {codes.max()}"
        )
    if q.binary and not np.isin(codes, (-1, 1)).all():
        raise TraceDataError(f"{where}: need codes of -1 and 1 alone, got others")


def need_weight(where: str, codes: npt.NDArray[Any], q: Quantization) -> None:
    """Check weight codes and that per-channel scales run along the output channels."""
    need_quantization(f"{where}: weight", q)
    if q.axis not in (None, 0) or q.scale.size != (1 if q.axis is None else codes.shape[0]):
        raise TraceDataError(
            f"{where}: need one weight scale, or {codes.shape[0]} along axis 0, got"
            f" {q.scale.size} along axis {q.axis}"
        )
    need_codes(f"{where}: weight", codes, q)


def checked_bias(
    where: str, bias: npt.NDArray[Any] | None, n_out: int, *, wide: bool
) -> npt.NDArray[Any] | None:
    """Check bias codes and yield them as int32 (int64 where `wide`)."""
    if bias is None:
        return None
    dtype: type[np.int32] | type[np.int64] = np.int64 if wide else np.int32
    if bias.shape != (n_out,) or bias.dtype.kind not in "iu":
        raise TraceDataError(
            f"{where}: need {n_out} integer bias codes, got {bias.dtype} {bias.shape}"
        )
    limits = np.iinfo(dtype)
    if bias.size and (bias.min() < limits.min or bias.max() > limits.max):
        raise TraceDataError(
            f"{where}: need bias codes that fit {dtype.__name__}, got {bias.min()} to {bias.max()};"
            " widen accumulator_bits or enlarge the weight scale"
        )
    return np.ascontiguousarray(bias, dtype=dtype)


def need_bias_scale(where: str, got: npt.NDArray[np.floating], need: npt.NDArray[Any]) -> None:
    """Check that a bias is at scale input * weight."""
    got = np.asarray(got, dtype=np.float64)
    if got.shape not in ((1,), need.shape):
        raise TraceDataError(f"{where}: need a bias scale of shape {need.shape}, got {got.shape}")
    error = np.abs(got - need) / need
    if not (error <= _BIAS_SCALE_TOLERANCE).all():
        worst = int(np.argmax(error))
        raise TraceDataError(
            f"{where}: need bias scale = input scale * weight scale = {need.flat[worst]:g}, got"
            f" {np.broadcast_to(got, need.shape)[worst]:g} (channel {worst})"
        )


def need_step(
    where: str, step: Requantize, n_entries: tuple[int, ...], *, shared_shift: bool
) -> None:
    """Check a requantize step's arrays: which there are, how long, and their ranges."""
    need_mode(where, step.mode)
    mode = step.rule
    if mode.is_float:
        scale = step.scale
        if scale is None or scale.shape not in [(n,) for n in n_entries]:
            raise TraceDataError(f"{where}: {step.mode} needs {n_entries} scales")
        if not (np.isfinite(scale).all() and (scale >= 0).all()):
            raise TraceDataError(f"{where}: need finite scales of at least 0, got {scale.min():g}")
        return
    if n_entries == (0,):
        return
    multiplier, shift = step.multiplier, step.shift
    shapes = [(n,) for n in n_entries]
    shift_shapes = [(1,)] if shared_shift and mode.one_shift_for_terms else shapes
    if (
        multiplier is None
        or shift is None
        or multiplier.shape not in shapes
        or shift.shape not in shift_shapes
    ):
        raise TraceDataError(
            f"{where}: {step.mode} needs {n_entries} multipliers and their shifts, got"
            f" {None if multiplier is None else multiplier.shape} and"
            f" {None if shift is None else shift.shape}"
        )
    if not shared_shift and multiplier.shape != shift.shape:
        raise TraceDataError(
            f"{where}: need as many shifts as multipliers, got {shift.size} and {multiplier.size}"
        )
    steps = list(zip(multiplier.tolist(), np.broadcast_to(shift, multiplier.shape), strict=True))
    if mode.rounds_terms and shared_shift:
        steps.append((step.output_multiplier, step.output_shift))
        if not 0 <= step.left_shift <= 30:
            raise TraceDataError(f"{where}: need a left_shift from 0 to 30, got {step.left_shift}")
    for factor, places in steps:
        if not mode.takes(factor, int(places)):
            raise TraceDataError(
                f"{where}: {step.mode} needs multipliers from {mode.least_multiplier} to"
                f" {mode.most_multiplier} (or 0) and shifts from {mode.least_shift} to"
                f" {mode.most_shift}, got {factor} and {places}"
            )


def need_product_fit(where: str, bounds: tuple[Int64, Int64], step: Requantize) -> None:
    """Check that sums within `bounds` times their multiplier stay below 2**62."""
    if not step.rule.scales_products or step.multiplier is None:
        return
    largest = max(-int(bounds[0].min()), int(bounds[1].max()), 0)
    if largest * int(step.multiplier.max()) >= 1 << PRODUCT_BITS:
        raise TraceDataError(
            f"{where}: need sums times multipliers below 2**{PRODUCT_BITS}, got {largest} times"
            f" {int(step.multiplier.max())}; use narrower multipliers"
        )


def code_clamp(real: tuple[float, float], output: Quantization) -> tuple[int, int]:
    """Yield the lowest and highest output code of a real range."""
    if output.codebook is not None:
        ends_of = np.nan_to_num(np.array(real), posinf=1e300, neginf=-1e300)
        low, high = encode(ends_of, output).tolist()
        return low, high
    scale, zero = float(output.scale[0]), int(output.zero_point[0])
    ends = []
    for value, unbounded in zip(real, (output.code_min, output.code_max), strict=True):
        if math.isinf(value):
            ends.append(unbounded)
        else:
            code = zero + round(min(max(value / scale, -(2.0**40)), 2.0**40))
            ends.append(min(max(code, output.code_min), output.code_max))
    return ends[0], ends[1]


def checked_labels(
    where: str, labels: npt.NDArray[Any] | None, n_samples: int
) -> TensorRecord | None:
    """Check labels and wrap them as int32."""
    if labels is None:
        return None
    if labels.shape != (n_samples,) or labels.dtype.kind not in "iu":
        raise TraceDataError(
            f"{where}: need {n_samples} integer labels, got {labels.dtype} {labels.shape}"
        )
    return TensorRecord.of(labels.astype(np.int32), axes="N", role="labels", units="1")


def with_reference(
    layer: LayerRecord,
    references: References | None,
    n_references: int,
    n_samples: int,
) -> LayerRecord:
    """Give a layer its float reference outputs, if there are any."""
    if references is None:
        return layer
    axes = axes_of(1 + len(layer.output_shape))
    where = f"layer {layer.index} {layer.name!r}"
    if not isinstance(references, Mapping):
        if not 0 < n_references <= n_samples:
            raise TraceDataError(
                f"{where}: need references of 1 to {n_samples} samples, got {n_references}"
            )
        ask = references

        def load(start: int, stop: int) -> npt.NDArray[Any]:
            values = ask(layer.index)
            if values is None or values.shape != (n_references, *layer.output_shape):
                raise TraceDataError(
                    f"{where}: need float outputs {(n_references, *layer.output_shape)}, got"
                    f" {None if values is None else values.shape}"
                )
            return np.asarray(values[start:stop], dtype=np.float32)

        shape = (n_references, *layer.output_shape)
        record = TensorRecord(shape, np.dtype(np.float32), axes, "real", "output_float", load)
        return replace(layer, output_float=record)
    values = references.get(layer.index)
    if values is None:
        return layer
    if values.shape[1:] != layer.output_shape or not 0 < values.shape[0] <= n_samples:
        raise TraceDataError(
            f"{where}: need float outputs of 1 to {n_samples} samples of {layer.output_shape},"
            f" got {values.shape}"
        )
    record = TensorRecord.of(
        np.asarray(values, np.float32), axes=axes, role="output_float", units="real"
    )
    return replace(layer, output_float=record)
