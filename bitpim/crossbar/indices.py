"""Indices: what is stored beside the weights, in bits, to undo the order of rows and columns."""

from dataclasses import dataclass

__all__ = ["IndexStorage", "bits_for"]


def bits_for(n_values: int) -> int:
    """Return the bits of an index that takes so many values: clog2."""
    return max(n_values - 1, 0).bit_length()


@dataclass(frozen=True, slots=True)
class IndexStorage:
    """What pattern blocks store to undo their order, in bits.

    Every stored kernel has the number of its output: clog2(M). Every block has its pattern's
    number, clog2(P), its channel, clog2(C), and how many kernels it has, clog2(M + 1).
    """

    output_bits: int
    pattern_bits: int
    channel_bits: int
    width_bits: int

    @property
    def total_bits(self) -> int:
        """All of it."""
        return self.output_bits + self.pattern_bits + self.channel_bits + self.width_bits
