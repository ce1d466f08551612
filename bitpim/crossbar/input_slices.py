"""Inputs of a crossbar in slices: what is driven, slice by slice, for codes of fewer bits too."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.encodings import Digit, digits_of
from bitpim.errors import ConfigError, LayoutError

__all__ = ["InputCoding", "InputSlices"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class InputCoding:
    """Width and sign of driven inputs; signed ones have a negative slice for the sign bit.

    Codes of fewer bits, `code_bits`, are driven zero-extended or sign-extended.

    Raises
    ------
    ConfigError
        The codes are wider than what is driven.
    """

    bits: int
    signed: bool = False
    code_bits: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.width <= self.bits:
            raise ConfigError(
                f"InputCoding: need codes of 1 to {self.bits} bits, got {self.width}; drive more "
                "input bits"
            )

    @property
    def width(self) -> int:
        """Bits of a code."""
        return self.bits if self.code_bits is None else self.code_bits

    @property
    def ends(self) -> tuple[int, int]:
        """Smallest and largest code."""
        least = -(1 << (self.width - 1)) if self.signed else 0
        return least, least + (1 << self.width) - 1

    def digits(self, dac_bits: int) -> tuple[Digit, ...]:
        """Return the input slices."""
        return digits_of(self.bits, dac_bits, signed=self.signed)

    def code_bit(self, bit: int) -> int:
        """Return the bit of the code that a driven bit is, -1 where it is always 0."""
        beyond = self.width - 1 if self.signed else -1
        return bit if bit < self.width else beyond

    def checked(
        self, where: str, x: npt.NDArray[Any], n_rows: int, n_samples: int
    ) -> npt.NDArray[Any]:
        """Return codes in C order; `where` is who reads them, as errors name it.

        Shapes
        ------
        x: (positions, n_rows) integers, as many positions for each sample

        Raises
        ------
        LayoutError
            They are not of that shape, or do not fit the coding.
        """
        codes = np.asarray(x)
        low, high = self.ends
        if codes.ndim != 2 or codes.shape[1] != n_rows or codes.dtype.kind not in "iu":
            raise LayoutError(
                f"{where}: need integer inputs (positions, {n_rows}), got {codes.dtype} "
                f"{codes.shape}"
            )
        if len(codes) % max(1, n_samples) or (n_samples < 1 and len(codes)):
            raise LayoutError(
                f"{where}: need the same number of positions for each of {n_samples} samples, got "
                f"{len(codes)} in all"
            )
        if codes.size and (codes.min() < low or codes.max() > high):
            raise LayoutError(
                f"{where}: need inputs within {low}..{high}, got {codes.min()}..{codes.max()}"
            )
        return np.ascontiguousarray(codes)


class InputSlices(NamedTuple):
    """Input slices that differ; extended codes drive some twice over, or nothing.

    Shapes
    ------
    bits: (n, planes) the bit of the code on each plane, -1 for none
    factors: (n,) of equal slices together
    repeats: (n,) how many are equal
    """

    bits: Ints
    factors: Ints
    repeats: Ints
    n_empty: int

    @classmethod
    def of(cls, coding: InputCoding, dac_bits: int, *, leave_empty: bool) -> "InputSlices":
        """Join equal slices; with `leave_empty` leave out those that never drive anything."""
        digits = coding.digits(dac_bits)
        n_planes = max(digit.width for digit in digits)
        by_bits: dict[tuple[int, ...], list[int]] = {}
        for digit in digits:
            bits = [coding.code_bit(digit.low + i) for i in range(digit.width)]
            bits += [-1] * (n_planes - digit.width)
            by_bits.setdefault(tuple(bits), []).append(digit.factor)
        empty = by_bits.pop((-1,) * n_planes, []) if leave_empty else []
        return cls(
            np.array(list(by_bits), np.int64),
            np.array([sum(factors) for factors in by_bits.values()], np.int64),
            np.array([len(factors) for factors in by_bits.values()], np.int64),
            len(empty),
        )
