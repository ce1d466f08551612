"""Steps of one level, up to the top code."""

from fractions import Fraction

import numpy as np

from bitpim.crossbar.adc.model import AdcModel, Ints, Sizes

__all__ = ["Clip"]


class Clip(AdcModel):
    """The partial sum, limited to the codes there are: 0 to 2^B - 1, or two's complement."""

    name = "clip"
    range_is = "reads 0 to 2^bits - 1 in steps of one level"

    def readings(self, sums: Ints, sizes: Sizes) -> Ints:
        """Return the sums, limited."""
        n_codes = 1 << sizes.bits
        least = -(n_codes // 2) if sizes.signed else 0
        return np.clip(sums, least, least + n_codes - 1)

    def step(self, sizes: Sizes) -> Fraction:
        """Return 1: readings are levels."""
        return Fraction(1)
