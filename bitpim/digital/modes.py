"""Requantize modes: one record each, from which all who branch on a mode take what they need.

FORMAT.md of the traces has the formulas. A new mode is a record here, a branch in the kernels of
`bitpim_kernels.requantize`, and one in the referee.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim_kernels import requantize as kernels

__all__ = [
    "FIXED_POINT_HALF_AWAY",
    "FLOAT_SCALE_HALF_EVEN",
    "HALF_UP_SHIFT",
    "MODES",
    "TRUNCATE_SHIFT",
    "Mode",
]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_INT32_MAX = (1 << 31) - 1
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Mode:
    """How an accumulator becomes a code.

    Attributes
    ----------
    name, kernel_code
        What traces and kernels call it.
    exact
        Yields the least and the greatest accumulator its arithmetic is exact for, of each
        multiplier and shift.
    is_float
        It multiplies with a float32 scale; the others with a multiplier, and shift.
    rounds_terms
        An addition scales and rounds each operand, then their sum; else it rounds once.
    divides
        An average is the sum of raw codes divided by their number; else the sum is scaled.
    """

    name: str
    kernel_code: int
    exact: Callable[[Int32, Int32], tuple[Int64, Int64]]
    is_float: bool = False
    rounds_terms: bool = False
    divides: bool = False


def _any_accumulator(multiplier: Int32, shift: Int32) -> tuple[Int64, Int64]:
    return np.full(multiplier.shape, _INT64_MIN), np.full(multiplier.shape, _INT64_MAX)


def _fits_int32_when_shifted(multiplier: Int32, shift: Int32) -> tuple[Int64, Int64]:
    limit = _INT32_MAX >> np.clip(shift, 0, 62).astype(np.int64)
    return -limit - 1, limit


def _product_fits_62_bits(multiplier: Int32, shift: Int32) -> tuple[Int64, Int64]:
    limit = ((1 << 62) - 1) // np.maximum(multiplier, 1).astype(np.int64)
    times_zero = multiplier == 0
    return np.where(times_zero, _INT64_MIN, -limit), np.where(times_zero, _INT64_MAX, limit)


FLOAT_SCALE_HALF_EVEN = Mode(
    "float_scale_half_even", kernels.FLOAT_SCALE_HALF_EVEN, _any_accumulator, is_float=True
)
FIXED_POINT_HALF_AWAY = Mode(
    "fixed_point_half_away",
    kernels.FIXED_POINT_HALF_AWAY,
    _fits_int32_when_shifted,
    rounds_terms=True,
    divides=True,
)
TRUNCATE_SHIFT = Mode("truncate_shift", kernels.TRUNCATE_SHIFT, _product_fits_62_bits)
HALF_UP_SHIFT = Mode("half_up_shift", kernels.HALF_UP_SHIFT, _product_fits_62_bits)

MODES = {
    mode.name: mode
    for mode in (FLOAT_SCALE_HALF_EVEN, FIXED_POINT_HALF_AWAY, TRUNCATE_SHIFT, HALF_UP_SHIFT)
}
