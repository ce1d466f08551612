"""How often fixed-point values occur in a stream of real ones, in bounded memory."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError

__all__ = ["MAX_FRACTION_BITS", "MIN_FRACTION_BITS", "Counted", "ValueCounts"]

Ints = npt.NDArray[np.int64]

MIN_FRACTION_BITS, MAX_FRACTION_BITS = -60, 60
"""Formats that are chosen: products of two values stay normal float32 numbers."""

_BLOCK_VALUES = 1 << 18
"""Values counted at once: what stays in a core's cache."""


class Counted(NamedTuple):
    """Distinct fixed-point values, rising, how often each occurred, and their fraction bits."""

    values: Ints
    counts: Ints
    fraction_bits: int


class ValueCounts:
    """Counts the values of a stream as signed fixed-point numbers of `value_bits` bits.

    The format is the finest that the largest magnitude fits, so it is known last. Values are
    counted in half steps, rounded down, and pairs of bins merge when a larger value comes: the
    result, each value rounded to the nearest step and half up, does not depend on the order.
    """

    def __init__(self, where: str, *, value_bits: int = 16) -> None:
        self.where = where
        self.value_bits = value_bits
        self._half = 1 << value_bits  # bins below 0, of half a step each
        self._fraction_bits: int | None = None  # None: only zeros so far
        self._n_zeros = 0
        self._counts = np.zeros(0, np.int64)
        self._low = self._high = 0.0

    @property
    def fraction_bits(self) -> int:
        """Fraction bits of the format so far; of nothing but zeros, all but the sign."""
        return self.value_bits - 1 if self._fraction_bits is None else self._fraction_bits

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value so far, and 0."""
        return self._low, self._high

    def update(self, values: npt.NDArray[np.floating]) -> None:
        """Count more values.

        Raises
        ------
        TraceDataError
            A value is NaN, infinite or beyond every format.
        """
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise TraceDataError(f"{self.where}: need finite values, got NaN or infinity")
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._widen(max(high, -low))
        if self._fraction_bits is None:
            self._n_zeros += values.size
            return
        flat, factor = values.reshape(-1), math.ldexp(1.0, self._fraction_bits + 1)
        single = values.dtype == np.float32  # exact, but that what is below a half step may be 0
        scale = np.float32(factor) if single else np.float64(factor)
        for start in range(0, flat.size, _BLOCK_VALUES):
            bins = flat[start : start + _BLOCK_VALUES] * scale
            np.floor(bins, out=bins)
            bins += self._half
            self._counts += np.bincount(bins.astype(np.intp), minlength=2 * self._half)

    def counted(self, most_fraction_bits: int | None = None) -> Counted:
        """Yield what was counted, in a coarser format where it has more fraction bits than told.

        A value that would round up beyond the format takes its largest value.
        """
        fraction_bits = self.fraction_bits
        if most_fraction_bits is not None:
            fraction_bits = min(fraction_bits, most_fraction_bits)
        if self._fraction_bits is None:
            once = np.full(min(1, self._n_zeros), self._n_zeros)
            return Counted(np.zeros_like(once), once, fraction_bits)
        self._coarsen(fraction_bits)
        half = self._half // 2
        steps = np.zeros(2 * half + 1, np.int64)  # of -half .. half
        steps[:-1] += self._counts[0::2]
        steps[1:] += self._counts[1::2]
        steps[-2] += steps[-1]
        steps[-1] = 0
        there = np.flatnonzero(steps)
        return Counted(there - half, steps[there], fraction_bits)

    def _widen(self, largest: float) -> None:
        """Make room for values up to `largest`."""
        if largest == 0:
            return
        need = self.value_bits - 1 - math.frexp(largest)[1]
        if need < MIN_FRACTION_BITS:
            raise TraceDataError(
                f"{self.where}: need values below 2**{self.value_bits - 1 - MIN_FRACTION_BITS},"
                f" got {largest:g}"
            )
        need = min(need, MAX_FRACTION_BITS)
        if self._fraction_bits is None:
            self._fraction_bits = need
            self._counts = np.zeros(2 * self._half, np.int64)
            self._counts[self._half] = self._n_zeros
        self._coarsen(need)

    def _coarsen(self, need: int) -> None:
        """Merge bins in pairs until there are so few fraction bits."""
        assert self._fraction_bits is not None
        while self._fraction_bits > need:
            merged = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.zeros(2 * self._half, np.int64)
            self._counts[self._half // 2 : self._half // 2 + self._half] = merged
            self._fraction_bits -= 1
