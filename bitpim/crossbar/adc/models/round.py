"""The nearest code, over a range of sums of at least 0."""

from bitpim.crossbar.adc.model import Ints
from bitpim.crossbar.adc.ranged import RangedModel

__all__ = ["Round"]


class Round(RangedModel):
    """The code whose levels are nearest to the sum, the upper one halfway between two."""

    name = "round"
    reads_below_zero = False

    def top(self, bits: int) -> int:
        """Return the top code."""
        return (1 << bits) - 1

    def spread(self, sums: Ints, scale: int, top: int) -> Ints:
        """Return sum / step, rounded half up."""
        return (2 * sums * top + scale) // (2 * scale)
