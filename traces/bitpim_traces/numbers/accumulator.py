"""Proofs, from codes alone, that an exact sum fits its accumulator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.records import Quantization, Requantize

__all__ = [
    "add_bounds",
    "bits_needed",
    "centred_ends",
    "dot_bounds",
    "need_fit",
    "need_fixed_point_fit",
]

Bounds = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""Python integers: int64 does not hold every sum with a bias of 64 bits."""

_BLOCK_CODES = 1 << 21
_MOST_BITS = 64  # of an accumulator


def dot_bounds(
    codes: npt.NDArray[np.integer],
    weight: Quantization,
    source: Quantization,
    bias: npt.NDArray[np.integer] | None,
) -> Bounds:
    """Bound every partial sum of each output channel, with and without its bias.

    Any input codes are assumed possible, in any order of addition, so the bounds hold for every
    input, padding and schedule.

    Shapes
    ------
    codes : (O, ...);  bias : (O,);  result : two of (O,)
    """
    n_out = codes.shape[0]
    zeros = np.broadcast_to(weight.zero_point, (n_out,))
    positive, negative = np.zeros(n_out, np.int64), np.zeros(n_out, np.int64)
    rows = codes.reshape(n_out, -1)
    step = max(1, _BLOCK_CODES // max(1, rows.shape[1]))
    for start in range(0, n_out, step):
        part = slice(start, start + step)
        centred = rows[part].astype(np.int64) - zeros[part, None]
        positive[part] = np.maximum(centred, 0).sum(axis=1)
        negative[part] = np.minimum(centred, 0).sum(axis=1)
    low, high = centred_ends(source)
    above, below = positive.astype(object), negative.astype(object)
    lowest, highest = above * low + below * high, above * high + below * low
    if bias is not None:
        offset = bias.astype(object)
        lowest += np.minimum(offset, 0)
        highest += np.maximum(offset, 0)
    return lowest, highest


def add_bounds(inputs: Sequence[Quantization], multipliers: Sequence[int]) -> Bounds:
    """Bound every partial sum of centred input codes times their multipliers."""
    ends = [
        (low * m, high * m)
        for (low, high), m in zip(map(centred_ends, inputs), multipliers, strict=True)
    ]
    lowest, highest = sum(low for low, _ in ends), sum(high for _, high in ends)
    return np.array([lowest], object), np.array([highest], object)


def bits_needed(bounds: Bounds) -> int:
    """Width of the two's complement accumulator that holds both bounds."""
    lowest, highest = int(bounds[0].min(initial=0)), int(bounds[1].max(initial=0))
    return 1 + max(highest.bit_length(), (-lowest - 1).bit_length() if lowest < 0 else 0)


def need_fit(where: str, bounds: Bounds, accumulator_bits: int) -> None:
    """Raise TraceDataError unless sums within `bounds` fit a signed accumulator."""
    need = bits_needed(bounds)
    if need > accumulator_bits:
        remedy = (
            f"set accumulator_bits={need} (`--set accumulator_bits={need}` on the command line)"
        )
        if need > _MOST_BITS:
            remedy = f"none has more than {_MOST_BITS}: take smaller filters"
        raise TraceDataError(
            f"{where}: need an accumulator of {need} bits for sums from {int(bounds[0].min())} to"
            f" {int(bounds[1].max())}, got {accumulator_bits}; {remedy} or use fewer weight or"
            " activation bits"
        )


def need_fixed_point_fit(where: str, bounds: Bounds, step: Requantize) -> None:
    """Raise TraceDataError unless sums shifted left, as fixed_point_half_away does, fit int32."""
    if not step.rule.shifts_left or step.shift is None:
        return
    left = np.maximum(step.shift.astype(np.int64), 0)
    need = bits_needed((bounds[0] << left, bounds[1] << left))
    if need > 32:
        raise TraceDataError(
            f"{where}: {step.mode} needs sums that fit 32 bits after a shift left by"
            f" {int(left.max())}, got {need} bits; enlarge the output scale, use narrower codes, or"
            " another requantize mode"
        )


def centred_ends(quantization: Quantization) -> tuple[int, int]:
    """Yield the least and largest code - zero point."""
    zero = int(quantization.zero_point[0])
    return quantization.code_min - zero, quantization.code_max - zero
