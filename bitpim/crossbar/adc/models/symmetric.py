"""All codes evenly from -range to range, and so none at zero."""

from bitpim.crossbar.adc.model import Ints
from bitpim.crossbar.adc.ranged import RangedModel

__all__ = ["Symmetric"]


class Symmetric(RangedModel):
    """The nearest of 2^B codes; readings 2 * code - (2^B - 1) are odd, and count for half a code.

    Where levels are resolved, sums read as themselves.
    """

    name = "symmetric"

    def top(self, bits: int) -> int:
        """Return the largest reading, which is the top code."""
        return (1 << bits) - 1

    def resolves(self, scale: int, top: int) -> bool:
        """Tell whether there is a code for each level from -range to range."""
        return 2 * scale <= top

    def spread(self, sums: Ints, scale: int, top: int) -> Ints:
        """Return the code nearest to the sum, halfway the upper one, less half of all codes."""
        codes = ((sums + scale) * top + scale) // (2 * scale)
        return 2 * codes - top
