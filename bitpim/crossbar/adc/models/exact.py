"""No converter: the partial sum itself."""

from fractions import Fraction

from bitpim.crossbar.adc.model import AdcModel, Ints, Sizes

__all__ = ["Exact"]


class Exact(AdcModel):
    """An ideal converter, without bits; it loses nothing and has no price."""

    name = "exact"
    takes_bits = False
    range_is = "reads every sum as itself"

    def readings(self, sums: Ints, sizes: Sizes) -> Ints:
        """Return the sums."""
        return sums

    def step(self, sizes: Sizes) -> Fraction:
        """Return 1: readings are levels."""
        return Fraction(1)
