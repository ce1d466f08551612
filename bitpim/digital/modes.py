"""Requantize modes as kernels have them: the record of a trace's mode, and where it is exact.

`bitpim_traces.modes` has the formulas, from which all who branch on a mode take what they need. A
new mode is a record there and here, a branch in the kernels of `bitpim_kernels.requantize`, and one
in the referee.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim_kernels import requantize as kernels
from bitpim_traces import modes

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
    """How kernels make a code of an accumulator, by the record that traces have of the mode.

    Attributes
    ----------
    record
        What traces know of it.
    kernel_code
        What kernels call it.
    exact
        Yields the least and the greatest accumulator its arithmetic is exact for, of each
        multiplier and shift.
    """

    record: modes.Mode
    kernel_code: int
    exact: Callable[[Int32, Int32], tuple[Int64, Int64]]

    @property
    def name(self) -> str:
        """What traces call it."""
        return self.record.name

    @property
    def is_float(self) -> bool:
        """Whether it multiplies with a float32 scale."""
        return self.record.is_float

    @property
    def rounds_terms(self) -> bool:
        """Whether an addition scales and rounds each operand, then their sum."""
        return self.record.rounds_terms

    @property
    def divides(self) -> bool:
        """Whether an average is the sum of raw codes divided by their number."""
        return self.record.divides


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
    modes.FLOAT_SCALE_HALF_EVEN, kernels.FLOAT_SCALE_HALF_EVEN, _any_accumulator
)
FIXED_POINT_HALF_AWAY = Mode(
    modes.FIXED_POINT_HALF_AWAY, kernels.FIXED_POINT_HALF_AWAY, _fits_int32_when_shifted
)
TRUNCATE_SHIFT = Mode(modes.TRUNCATE_SHIFT, kernels.TRUNCATE_SHIFT, _product_fits_62_bits)
HALF_UP_SHIFT = Mode(modes.HALF_UP_SHIFT, kernels.HALF_UP_SHIFT, _product_fits_62_bits)

MODES = {
    mode.name: mode
    for mode in (FLOAT_SCALE_HALF_EVEN, FIXED_POINT_HALF_AWAY, TRUNCATE_SHIFT, HALF_UP_SHIFT)
}
