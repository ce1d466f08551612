"""The nearest code of the magnitude, and a bit for the sign."""

import numpy as np

from bitpim.crossbar.adc.model import Ints
from bitpim.crossbar.adc.ranged import RangedModel

__all__ = ["SignMagnitude"]


class SignMagnitude(RangedModel):
    """Codes from -range to range with zero among them, twice: 2^B - 1 different readings."""

    name = "sign_magnitude"
    least_bits = 2
    least_bits_because = "one bit is the sign"

    def top(self, bits: int) -> int:
        """Return the largest magnitude, of one bit less."""
        return (1 << (bits - 1)) - 1

    def spread(self, sums: Ints, scale: int, top: int) -> Ints:
        """Return sum / step, rounded half away from zero."""
        magnitudes = (2 * np.abs(sums) * top + scale) // (2 * scale)
        return np.where(sums < 0, -magnitudes, magnitudes)
