"""The converter: a model with bits, and a range or code table where the model takes them.

A converter with B bits hands over one of 2^B codes, and the digital side adds up what it is handed:
*readings*, whole numbers. So a transfer function is a table from partial sum to reading. A reading
of 1 counts for `Adc.step` levels, in general a fraction. Readings are added up exactly over OU
reads, input slices and bit-slices; the sum of an output is multiplied by the step and rounded half
up to whole levels once (`scaling`), and digital corrections, which are exact, come after that.
Assumed: a fixed-point scale behind the accumulator, as requantization is. Were each conversion
rounded to whole levels, small sums, which are frequent, would err to one side: of step 1.51 codes 1
and 3 would read 2 and 5, half a level too much, and errors of one sign grow with every read.

What the models do, worked out for OU reads of 9 rows, 1-bit cells and 1-bit inputs (partial sums 0
to 9) with B = 3, so 8 codes of which the top one is 7; range maximal, that is 9. The code table has
thresholds 1, 2, 3, 5, 8 and levels 0, 1, 2, 3.5, 6, 9:

    partial sum          0     1     2     3     4     5     6     7     8     9
    exact   reading      0     1     2     3     4     5     6     7     8     9  no ADC: the sum
    clip    reading      0     1     2     3     4     5     6     7     7     7  step 1; 7 or more
    floor   reading      0     0     1     2     3     3     4     5     6     7  step 9/7
            levels    0.00  0.00  1.29  2.57  3.86  3.86  5.14  6.43  7.71  9.00  top code: 9 only
    round   reading      0     1     2     2     3     4     5     5     6     7  step 9/7
            levels    0.00  1.29  2.57  2.57  3.86  5.14  6.43  6.43  7.71  9.00  the nearest code
    code_table reading   0     2     4     7     7    12    12    12    18    18  step 1/2
            levels    0.00  1.00  2.00  3.50  3.50  6.00  6.00  6.00  9.00  9.00  six codes of 8

and readings for differences of 9 cell pairs (partial sums -9 to 9), B = 3. The step of
sign_magnitude is 9/3, that of symmetric 9/7, from -7 for -9 to 7 for 9. The code table has
thresholds -6, -2, 0, 1, 3, 7 and levels -8, -4, -1, 0, 1.5, 4, 8, so that its step is 1/2:

    partial sum      -9  -8  -7  -6  -5  -4  -3  -2  -1   0   1   2   3   4   5   6   7   8   9
    clip             -4  -4  -4  -4  -4  -4  -3  -2  -1   0   1   2   3   3   3   3   3   3   3
    sign_magnitude   -3  -3  -2  -2  -2  -1  -1  -1   0   0   0   1   1   1   2   2   2   3   3
    symmetric        -7  -7  -5  -5  -3  -3  -3  -1  -1   1   1   1   3   3   3   5   5   7   7
    code_table      -16 -16 -16  -8  -8  -8  -8  -2  -2   0   3   3   8   8   8   8  16  16  16

What users of other simulators get wrong, stated here:

* **0 bits is an error.** A converter without bits has one code and tells nothing. "No converter"
  is the model ``exact``, which takes no bits.
* **The top code** is 2^B - 1, not 2^B: 8 bits read 0 to 255. Of ``clip`` it means "that much or
  more"; of models with a range it means the range, and sums beyond the range read as the range. Of
  a code table it means what the last level says; a table may use fewer codes than there are.
* **Codes of a range never lie less than one level apart.** Where B bits resolve more than the
  partial sums have, they lie one level apart, codes above the range stay unused and every model is
  lossless. (A floor over a stretched range would lose although it has bits to spare: floor(13 *
  31/27) = 14 would count for 12.19 levels.) The levels of a code table are taken as they are.
* **sign_magnitude** spends one bit on the sign and has zero twice: 2^B - 1 different readings, zero
  among them. **symmetric** has all 2^B, evenly from -range to range, and so no zero: its readings
  2 * code - (2^B - 1) are odd, and a partial sum of 0 reads as 1, half the distance of two codes.
  Zero inputs may then not be skipped, nor with a code table that reads 0 as something else.
* The transfer is applied to each OU read, input slice and bit-slice, before shift-and-add. One
  conversion of an accumulated sum is another machine.

Source: CrossSim (names of models and ranges found), formulas assumed; code_table assumed.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.adc.code_table import CodeTable
from bitpim.crossbar.adc.model import AdcModel, Sizes, adc_models, either, model_named
from bitpim.errors import ConfigError

__all__ = ["MAX_ADC_BITS", "Adc", "models_for_differences"]

Readings = npt.NDArray[np.int32]

MAX_ADC_BITS: Final = 16
"""Widest converter."""

_LARGEST = 2**24  # of a table; a partial sum beyond has no business on one bitline


@dataclass(frozen=True, slots=True)
class Adc:
    """A converter: its model and bits, and what the model is to read by.

    Parameters
    ----------
    model : name of one of `adc_models`
    bits : from the fewest the model works with to 16; None for exact
    full_scale : the range as a partial sum: given, or calibrated by `calibrate`; None makes it
        maximal, the largest partial sum an OU read can have. exact, clip and code_table take none.
    code_table : thresholds and levels, for code_table

    Raises
    ------
    ConfigError
        The model is unknown, or bits, range or code table do not fit it.
    """

    model: str = "exact"
    bits: int | None = None
    full_scale: int | None = None
    code_table: CodeTable | None = None

    def __post_init__(self) -> None:
        model = model_named(self.model)
        self._check_bits(model)
        self._check_range(model)
        self._check_code_table(model)

    def _check_bits(self, model: AdcModel) -> None:
        if not model.takes_bits:
            if self.bits is not None or self.full_scale is not None:
                raise ConfigError(
                    f"Adc: {self.model} needs no bits and no full_scale, got {self.bits} and "
                    f"{self.full_scale}; name another model to convert"
                )
            return
        least = max(model.least_bits, self.code_table.bits if self.code_table else 1)
        if self.bits is None or not least <= self.bits <= MAX_ADC_BITS:
            raise ConfigError(
                f"Adc: {self.model} needs {least} to {MAX_ADC_BITS} bits, got {self.bits}; "
                "use model exact for no converter"
            )

    def _check_range(self, model: AdcModel) -> None:
        if self.full_scale is not None and not model.takes_range:
            ranged = either(adc_models(lambda known: known.takes_range))
            raise ConfigError(
                f"Adc: {self.model} {model.range_is}, got full_scale {self.full_scale}; use "
                f"{ranged} for another range"
            )
        if self.full_scale is not None and not 1 <= self.full_scale < _LARGEST:
            raise ConfigError(
                f"Adc: full_scale needs 1 to {_LARGEST - 1} levels, got {self.full_scale}"
            )

    def _check_code_table(self, model: AdcModel) -> None:
        if model.takes_code_table and self.code_table is None:
            raise ConfigError(
                f"Adc: {self.model} needs a code table, got none; give thresholds and levels"
            )
        if self.code_table is not None and not model.takes_code_table:
            tables = either(adc_models(lambda known: known.takes_code_table))
            raise ConfigError(f"Adc: {self.model} takes no code table, got one; use {tables}")

    @property
    def width(self) -> str:
        """Bits as a word, as events are named: "1" to "16", or "exact"."""
        return "exact" if self.bits is None else str(self.bits)

    @property
    def takes_range(self) -> bool:
        """Whether the top code may stand for another range than the largest partial sum."""
        return model_named(self.model).takes_range

    @property
    def reads_below_zero(self) -> bool:
        """Whether it tells sums below 0 apart from 0."""
        tells = self.code_table is None or self.code_table.tells_negatives
        return tells and model_named(self.model).reads_below_zero

    def table(self, least: int, most: int) -> Readings:
        """Return the reading of each partial sum ``least .. most``.

        The two are what one OU read can yield, and make the range where it is maximal.

        Raises
        ------
        ConfigError
            The bounds do not hold 0, are too far apart, or are negative and the model is not.
        """
        if not least <= 0 <= most or most - least >= _LARGEST:
            raise ConfigError(
                f"Adc: need partial sums around 0, fewer than 2^24, got {least}..{most}; "
                "use smaller operation units, cells or input slices"
            )
        if least < 0 and not self.reads_below_zero:
            raise ConfigError(
                f"Adc: {self.model} needs partial sums of at least 0, got {least}; use "
                f"{models_for_differences()} for differences"
            )
        sums = np.arange(least, most + 1, dtype=np.int64)
        readings = model_named(self.model).readings(sums, self._sizes(least, most))
        return readings.astype(np.int32)

    def step(self, least: int, most: int) -> Fraction:
        """Return the levels that a reading of 1 counts for, where sums are ``least .. most``.

        That is the distance of two codes, of symmetric half of it; 1 where codes resolve levels.
        Of a code table it is one part of the common denominator of its levels.
        """
        return model_named(self.model).step(self._sizes(least, most))

    def convert(self, sums: npt.NDArray[np.int64], least: int, most: int) -> npt.NDArray[np.int64]:
        """Return the readings of partial sums that lie within ``least .. most``."""
        return self.table(least, most)[sums - least].astype(np.int64)

    def is_lossless(self, least: int, most: int, reach: tuple[int, int] | None = None) -> bool:
        """Tell whether every partial sum ``least .. most`` reads as itself.

        `reach` are the smallest and the largest that occur, where they are closer than the bounds.
        """
        low, high = reach or (least, most)
        sums, step = np.arange(low, high + 1), self.step(least, most)
        readings = self.table(least, most)[sums - least].astype(np.int64)
        return bool(np.array_equal(readings * step.numerator, sums * step.denominator))

    def _sizes(self, least: int, most: int) -> Sizes:
        scale = (self.full_scale or max(1, -least, most)) if self.takes_range else 0
        return Sizes(self.bits or 0, scale, least < 0, self.code_table)


def models_for_differences() -> str:
    """Return the converters that read sums below 0, as an error suggests them."""
    names = adc_models(lambda model: model.reads_below_zero and model.takes_bits)
    tables = adc_models(lambda model: model.takes_code_table)
    return either([f"{n} with a threshold of at most 0" if n in tables else n for n in names])
