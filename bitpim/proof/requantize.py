"""The referee's step from an accumulator to a code, before the output zero point and the clamp."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import AccumulatorError, TraceDataError

__all__ = ["divide_half_away", "need_bits", "requantize", "round_half_even"]

Int64 = npt.NDArray[np.int64]


def requantize(
    acc: Int64,
    mode: str,
    multiplier: npt.NDArray[Any] | None = None,
    shift: npt.NDArray[Any] | None = None,
    scale: npt.NDArray[Any] | None = None,
    *,
    where: str = "requantize",
) -> Int64:
    """Scale an accumulator by one of the four rules; zero point and clamp come after.

    Shapes
    ------
    multiplier, shift, scale: broadcast against `acc`.

    Source
    ------
    float_scale_half_even: ONNX QLinearConv. fixed_point_half_away: the TFLite int8 rule (gemmlowp
    SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT).
    """
    if mode == "float_scale_half_even":
        if scale is None or not np.isfinite(scale).all():
            raise TraceDataError(f"{where}: need finite scales, got {scale}; mend the trace")
        with np.errstate(over="ignore"):  # infinities saturate
            return round_half_even(acc.astype(np.float32) * scale.astype(np.float32))
    if multiplier is None or shift is None:
        raise TraceDataError(f"{where}: mode {mode} needs multiplier and shift; mend the trace")
    multiplier, shift = multiplier.astype(np.int64), shift.astype(np.int64)
    _need_range("multiplier", multiplier, 0, (1 << 31) - 1, where)
    if mode == "fixed_point_half_away":
        _need_range("shift", shift, -31, 30, where)
        need_bits(acc, 32, where)
        x = acc << np.maximum(shift, 0)
        need_bits(x, 32, where)
        high = (x * multiplier + (1 << 30)) >> 31  # half up; |x * multiplier| <= 2**62
        return divide_half_away(high, np.int64(1) << np.maximum(-shift, 0))
    _need_range("shift", shift, 0, 62, where)
    _need_product(acc, multiplier, where)
    product = acc * multiplier
    if mode == "truncate_shift":
        floored: Int64 = product >> shift
        return floored
    if mode == "half_up_shift":
        half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
        nearest: Int64 = (product + half) >> shift
        return nearest
    raise TraceDataError(f"{where}: need a known requantize mode, got {mode!r}; mend the trace")


def round_half_even(value: npt.NDArray[np.float32]) -> Int64:
    """Round to integers, ties to even; infinities become what no code reaches."""
    # Far beyond any code (16 bits), so that infinities become saturated codes.
    return np.clip(np.rint(value), -(2.0**32), 2.0**32).astype(np.int64)


def divide_half_away(value: Int64, divisor: npt.NDArray[np.int64]) -> Int64:
    """Divide by a positive integer, rounding to nearest, ties away from zero."""
    rounded: Int64 = np.sign(value) * ((np.abs(value) + divisor // 2) // divisor)
    return rounded


def need_bits(acc: Int64, bits: int, where: str, added: int = 0) -> None:
    """Raise unless sums fit signed bits; `added` is still to be added to them."""
    lowest, highest = (int(end) + added for end in (acc.min(), acc.max())) if acc.size else (0, 0)
    if lowest < -(1 << (bits - 1)) or highest > (1 << (bits - 1)) - 1:
        remedy = "widen the accumulator or narrow the codes" if bits < 64 else "narrow the codes"
        raise AccumulatorError(
            f"{where}: need sums within signed {bits} bits, got {lowest}..{highest}; {remedy}"
        )


def _need_range(name: str, values: Int64, low: int, high: int, where: str) -> None:
    if values.size and not low <= int(values.min()) <= int(values.max()) <= high:
        raise TraceDataError(
            f"{where}: need requantize {name} within {low}..{high}, got"
            f" {int(values.min())}..{int(values.max())}; mend the trace"
        )


def _need_product(acc: Int64, multiplier: Int64, where: str) -> None:
    limit = ((1 << 62) - 1) // np.maximum(multiplier, 1)
    wrong = (multiplier > 0) & ((acc > limit) | (acc < -limit))
    if wrong.any():
        got = int(np.broadcast_to(acc, wrong.shape)[wrong][0])
        raise AccumulatorError(
            f"{where}: need accumulator times multiplier below 2**62, got an accumulator of {got};"
            " use a smaller multiplier and shift"
        )
