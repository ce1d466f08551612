"""What a network of lookup tables has instead of scales: codebooks, and tables of products.

A `Codebook` gives every code a value of its own; a `ProductTable` holds what a layer adds up, ready
made. All values are fixed-point integers: real = value * 2**-fraction_bits.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Codebook", "ProductTable"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """The few values that codes of a tensor stand for: code c is `values[c]`.

    Values rise, so that the order of codes is the order of values; no two are equal, and 0 is one
    of them. They are signed integers of `value_bits` bits in the format Q(value_bits -
    fraction_bits).(fraction_bits).

    `levels`, if there are any, are the coarser codebooks of the tree that this one is the leaves
    of: row l has, for each code, the value of its ancestor at depth l + 1. Rows never fall, an
    ancestor at one depth has one ancestor at the depth above, and the ancestors of 0 are 0.

    Shapes
    ------
    values : (n_codes,)
    levels : (n_levels, n_codes)
    """

    values: Ints
    fraction_bits: int
    value_bits: int
    levels: Ints | None = None

    @property
    def n_codes(self) -> int:
        """Number of codes."""
        return len(self.values)

    @property
    def bits(self) -> int:
        """Width of a code."""
        return max(1, (len(self.values) - 1).bit_length())

    @property
    def zero_code(self) -> int:
        """The code of value 0; of a codebook without it, the first that is above."""
        return int(np.searchsorted(self.values, 0))

    @property
    def scale(self) -> float:
        """The real number that value 1 stands for."""
        return float(2.0**-self.fraction_bits)

    @property
    def q_format(self) -> str:
        """The format of its values, as in ``Q3.13``."""
        return f"Q{self.value_bits - self.fraction_bits}.{self.fraction_bits}"

    def same_as(self, other: "Codebook | None") -> bool:
        """Tell whether another gives every code the same meaning; levels do not matter."""
        return (
            other is not None
            and (self.fraction_bits, self.value_bits) == (other.fraction_bits, other.value_bits)
            and np.array_equal(self.values, other.values)
        )


@dataclass(frozen=True, slots=True, eq=False)
class ProductTable:
    """What a layer adds up: row by input code, computed before the network runs.

    A row is a weight's code (conv2d, linear), an input's place (add, concat) or the number of
    elements of a window less one (avg_pool2d, whose share of the mean is in its products). Columns
    beyond the codes of an input hold 0. `products` and sums have `fraction_bits`; products are
    signed integers of `bits` bits.

    `points` are an activation by table: the nearest x of a sum gives y. x has the fraction bits of
    sums, y those of the output's values; x rises. Without them the sum is y.

    Shapes
    ------
    products : (n_rows, n_codes)
    points : (n_points, 2) x and y
    """

    products: Ints
    fraction_bits: int
    bits: int
    points: Ints | None = None
