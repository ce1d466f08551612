"""The step from exact accumulators to output codes, in each of the four named modes.

Multiplier and shift are int32 and the scale float32, as a trace has them. The caller proves, or
has `note_outside` look, that accumulators stay where the arithmetic of the mode is exact.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel

__all__ = [
    "FIXED_POINT_HALF_AWAY",
    "FLOAT_SCALE_HALF_EVEN",
    "HALF_UP_SHIFT",
    "TRUNCATE_SHIFT",
    "UNKNOWN_MODE",
    "Steps",
    "fixed_point",
    "note_outside",
    "requantize_channels",
    "requantize_one",
    "requantize_rows",
]

FLOAT_SCALE_HALF_EVEN = 0
FIXED_POINT_HALF_AWAY = 1
TRUNCATE_SHIFT = 2
HALF_UP_SHIFT = 3

UNKNOWN_MODE = "requantize: need one of the modes named here, got another; give it a branch here"

_HALF_Q31 = np.int64(1 << 30)

Codes = npt.NDArray[Any]


class Steps(NamedTuple):
    """How each channel's accumulator becomes a code; arrays have one entry a channel.

    `mode` is one of the constants above; kernels raise ValueError for another. `low` and `high`
    bound the accumulators that a mode and the declared width allow.
    """

    mode: int
    multiplier: npt.NDArray[np.int32]
    shift: npt.NDArray[np.int32]
    scale: npt.NDArray[np.float32]
    zero_point: int
    clamp_low: int
    clamp_high: int
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]


@kernel()
def fixed_point(acc: int, multiplier: np.int32, shift: np.int32) -> np.int64:
    """Scale by multiplier * 2^(shift - 31), rounding twice, the second time half away from zero.

    Source
    ------
    gemmlowp SaturatingRoundingDoublingHighMul and RoundingDivideByPOT, as TFLite uses them.
    """
    left = np.int64(max(shift, np.int32(0)))
    right = np.int64(max(-shift, np.int32(0)))
    x = np.int64(acc) << left
    high = (x * np.int64(multiplier) + _HALF_Q31) >> np.int64(31)
    one = np.int64(1)
    mask = (one << right) - one
    threshold = (mask >> one) + np.int64(high < 0)
    return (high >> right) + np.int64((high & mask) > threshold)


@kernel()
def _shifted(acc: int, multiplier: np.int32, shift: np.int32, half_up: bool) -> np.int64:
    """Multiply and shift right; floor, or nearest with ties up."""
    product = np.int64(acc) * np.int64(multiplier)
    right = np.int64(shift)
    if half_up:
        product += (np.int64(1) << right) >> np.int64(1)
    return product >> right


@kernel()
def _clamped(value: np.int64, zero_point: int, low: int, high: int) -> np.int64:
    return min(max(value + np.int64(zero_point), np.int64(low)), np.int64(high))


@kernel()
def _rounded(acc: int, scale: np.float32, low: np.float32, high: np.float32) -> np.int32:
    """Scale in float32, round half to even, clamp; clamped first, so that int32 always holds it."""
    return np.int32(min(max(np.rint(np.float32(acc) * scale), low), high))


@kernel()
def requantize_one(acc: int, steps: Steps, entry: int) -> np.int64:
    """Return the code of one accumulator by entry `entry` of the steps."""
    if steps.mode == FLOAT_SCALE_HALF_EVEN:
        low = np.float32(steps.clamp_low - steps.zero_point)
        high = np.float32(steps.clamp_high - steps.zero_point)
        rounded = _rounded(acc, steps.scale[entry], low, high)
        return np.int64(rounded) + np.int64(steps.zero_point)
    multiplier, shift = steps.multiplier[entry], steps.shift[entry]
    if steps.mode == FIXED_POINT_HALF_AWAY:
        scaled = fixed_point(acc, multiplier, shift)
    elif steps.mode == TRUNCATE_SHIFT:
        scaled = _shifted(acc, multiplier, shift, False)
    elif steps.mode == HALF_UP_SHIFT:
        scaled = _shifted(acc, multiplier, shift, True)
    else:
        raise ValueError(UNKNOWN_MODE)
    return _clamped(scaled, steps.zero_point, steps.clamp_low, steps.clamp_high)


@kernel()
def requantize_channels(acc: Codes, at: int, n: int, steps: Steps, first: int, out: Codes) -> None:
    """Write the codes of channels `first : first + n`, whose accumulators start at `acc[at]`.

    Shapes
    ------
    acc: (width,) int32 or int64
    out: (n_channels,)
    """
    zero, low, high = steps.zero_point, steps.clamp_low, steps.clamp_high
    if steps.mode == FLOAT_SCALE_HALF_EVEN:
        lowest, highest = np.float32(low - zero), np.float32(high - zero)
        offset = np.int32(zero)
        for j in range(n):
            out[first + j] = _rounded(acc[at + j], steps.scale[first + j], lowest, highest) + offset
    elif steps.mode == FIXED_POINT_HALF_AWAY:
        for j in range(n):
            m = first + j
            scaled = fixed_point(acc[at + j], steps.multiplier[m], steps.shift[m])
            out[m] = _clamped(scaled, zero, low, high)
    elif steps.mode == TRUNCATE_SHIFT:
        for j in range(n):
            m = first + j
            scaled = _shifted(acc[at + j], steps.multiplier[m], steps.shift[m], False)
            out[m] = _clamped(scaled, zero, low, high)
    elif steps.mode == HALF_UP_SHIFT:
        for j in range(n):
            m = first + j
            scaled = _shifted(acc[at + j], steps.multiplier[m], steps.shift[m], True)
            out[m] = _clamped(scaled, zero, low, high)
    else:
        raise ValueError(UNKNOWN_MODE)


@kernel()
def note_outside(
    acc: Codes, at: int, n: int, steps: Steps, first: int, fault: npt.NDArray[np.int64]
) -> None:
    """Note the first accumulator that is out of bounds, unless one is noted already.

    Shapes
    ------
    fault: (3,) = (1 when one was seen, its channel, its value)
    """
    outside = False
    for j in range(n):
        value = np.int64(acc[at + j])
        outside |= (value < steps.low[first + j]) | (value > steps.high[first + j])
    if outside and fault[0] == 0:
        for j in range(n):
            value = np.int64(acc[at + j])
            if value < steps.low[first + j] or value > steps.high[first + j]:
                fault[0], fault[1], fault[2] = 1, first + j, value
                return


@kernel()
def requantize_rows(
    sums: npt.NDArray[np.int64],
    constants: npt.NDArray[np.int64],
    steps: Steps,
    first: int,
    saturate: bool,
    fault: npt.NDArray[np.int64],
    out: Codes,
) -> None:
    """Write the codes of rows of sums, a constant added to each channel first.

    A sum out of bounds becomes the nearest one within them, or is noted in `fault`. The bounds of
    the steps are here those of sums without the constant, so that the addition never wraps.

    Shapes
    ------
    sums: (positions, n), changed in place; constants: (n,)
    fault: as in `note_outside`
    out: (positions, n_channels): columns `first : first + n` are written
    """
    n = sums.shape[1]
    for p in range(sums.shape[0]):
        if saturate:
            for j in range(n):
                low, high = steps.low[first + j], steps.high[first + j]
                sums[p, j] = min(max(sums[p, j], low), high)
        else:
            note_outside(sums[p], 0, n, steps, first, fault)
            if fault[0] != 0:
                return
        for j in range(n):
            sums[p, j] += constants[j]
        requantize_channels(sums[p], 0, n, steps, first, out[p])
