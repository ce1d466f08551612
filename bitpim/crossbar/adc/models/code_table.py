"""Thresholds and levels that are given: any transfer function that never falls."""

from fractions import Fraction

import numpy as np

from bitpim.crossbar.adc.code_table import CodeTable
from bitpim.crossbar.adc.model import AdcModel, Ints, Sizes

__all__ = ["Tabulated"]


class Tabulated(AdcModel):
    """The level of the code whose thresholds the sum reaches, in units of a common denominator."""

    name = "code_table"
    takes_code_table = True
    range_is = "reads the levels given, the last from the last threshold on"

    def readings(self, sums: Ints, sizes: Sizes) -> Ints:
        """Return the reading of each sum's code."""
        table = _given(sizes)
        codes = np.searchsorted(np.array(table.thresholds), sums, side="right")
        return np.array(table.readings, np.int64)[codes]

    def step(self, sizes: Sizes) -> Fraction:
        """Return one part of the common denominator of the levels."""
        return Fraction(1, _given(sizes).denominator)


def _given(sizes: Sizes) -> CodeTable:
    assert sizes.code_table is not None  # which `takes_code_table` sees to
    return sizes.code_table
