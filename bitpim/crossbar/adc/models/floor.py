"""The code at or below, over a range of sums of at least 0."""

from bitpim.crossbar.adc.model import Ints
from bitpim.crossbar.adc.ranged import RangedModel

__all__ = ["Floor"]


class Floor(RangedModel):
    """The largest code whose levels do not exceed the sum; the top code for the range only."""

    name = "floor"
    reads_below_zero = False

    def top(self, bits: int) -> int:
        """Return the top code."""
        return (1 << bits) - 1

    def spread(self, sums: Ints, scale: int, top: int) -> Ints:
        """Return sum / step, rounded down."""
        return sums * top // scale
