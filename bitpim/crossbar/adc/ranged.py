"""What the models with a range have in common: codes spread evenly over it."""

from abc import abstractmethod
from fractions import Fraction

import numpy as np

from bitpim.crossbar.adc.model import AdcModel, Ints, Sizes

__all__ = ["RangedModel"]


class RangedModel(AdcModel):
    """Evenly spaced codes, the top one at the range; sums beyond read as the range.

    Codes never lie less than one level apart: where there is one for each level of the range, a
    reading is the sum itself and the codes above the range stay unused.
    """

    takes_range = True

    @abstractmethod
    def top(self, bits: int) -> int:
        """Return the largest reading."""

    @abstractmethod
    def spread(self, sums: Ints, scale: int, top: int) -> Ints:
        """Return the readings of sums within the range, where codes lie further apart."""

    def resolves(self, scale: int, top: int) -> bool:
        """Tell whether there is a code for each level of the range."""
        return scale <= top

    def readings(self, sums: Ints, sizes: Sizes) -> Ints:
        """Return the code nearest below, or nearest, as `spread` has it."""
        scale, top = sizes.scale, self.top(sizes.bits)
        held = np.clip(sums, -scale, scale)
        return held if self.resolves(scale, top) else self.spread(held, scale, top)

    def step(self, sizes: Sizes) -> Fraction:
        """Return range / top reading, or 1 where codes resolve levels."""
        scale, top = sizes.scale, self.top(sizes.bits)
        return Fraction(1) if self.resolves(scale, top) else Fraction(scale, top)
