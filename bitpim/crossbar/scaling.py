"""The digital scale behind accumulation: sums of readings become whole levels."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from bitpim.errors import AccumulatorError

__all__ = ["DigitalScale"]

_INT64 = 1 << 63


class DigitalScale:
    """Multiplies sums of readings by the converter's step and rounds once, half up.

    Assumed: a fixed-point scale exact to the last bit; it costs no event.

    Parameters
    ----------
    where : who scales, as errors name it
    step : the levels that a reading of 1 counts for
    reach : the largest magnitude that a sum of readings can have

    Raises
    ------
    AccumulatorError
        The product of a sum and the step could leave 64 bits.
    """

    def __init__(self, where: str, step: Fraction, reach: int) -> None:
        self._factor, self._divisor = 2 * step.numerator, 2 * step.denominator
        self._is_one = step == 1
        if not self._is_one and reach * self._factor + step.denominator >= _INT64:
            raise AccumulatorError(
                f"{where}: need sums of readings within {_INT64 // self._factor}, for steps of "
                f"{step} levels in 64 bits, got up to {reach}; use fewer bits of weights or inputs"
            )

    def apply(self, sums: npt.NDArray[np.int64]) -> None:
        """Turn sums of readings into levels, in place."""
        if self._is_one:
            return
        sums *= self._factor
        sums += self._divisor // 2
        sums //= self._divisor
