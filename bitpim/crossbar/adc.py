"""ADC models: what a converter makes of one operation unit's partial sum.

A converter with B bits hands over one of 2^B codes, and the digital side adds up what it is handed:
*readings*, whole numbers. So a transfer function is a table from partial sum to reading. A reading
of 1 counts for `Adc.step` levels, in general a fraction. Readings are added up exactly over OU
reads, input slices and bit-slices; the sum of an output is multiplied by the step and rounded half
up to whole levels once (`scaling`), and digital corrections, which are exact, come after that.
Assumed: a fixed-point scale behind the accumulator, as requantization is. Were each conversion
rounded to whole levels, small sums, which are frequent, would err to one side: of step 1.51 codes 1
and 3 would read 2 and 5, half a level too much, and errors of one sign grow with every read.

What the models do, worked out for OU reads of 9 rows, 1-bit cells and 1-bit inputs (partial sums 0
to 9) with B = 3, so 8 codes of which the top one is 7; range maximal, that is 9:

    partial sum          0     1     2     3     4     5     6     7     8     9
    exact   reading      0     1     2     3     4     5     6     7     8     9  no ADC: the sum
    clip    reading      0     1     2     3     4     5     6     7     7     7  step 1; 7 or more
    floor   reading      0     0     1     2     3     3     4     5     6     7  step 9/7
            levels    0.00  0.00  1.29  2.57  3.86  3.86  5.14  6.43  7.71  9.00  top code: 9 only
    round   reading      0     1     2     2     3     4     5     5     6     7  step 9/7
            levels    0.00  1.29  2.57  2.57  3.86  5.14  6.43  6.43  7.71  9.00  the nearest code

and readings for differences of 9 cell pairs (partial sums -9 to 9), B = 3. The step of
sign_magnitude is 9/3, that of symmetric 9/7, from -7 for -9 to 7 for 9:

    partial sum      -9  -8  -7  -6  -5  -4  -3  -2  -1   0   1   2   3   4   5   6   7   8   9
    clip             -4  -4  -4  -4  -4  -4  -3  -2  -1   0   1   2   3   3   3   3   3   3   3
    sign_magnitude   -3  -3  -2  -2  -2  -1  -1  -1   0   0   0   1   1   1   2   2   2   3   3
    symmetric        -7  -7  -5  -5  -3  -3  -3  -1  -1   1   1   1   3   3   3   5   5   7   7

What users of other simulators get wrong, stated here:

* **0 bits is an error.** A converter without bits has one code and tells nothing. "No converter"
  is the model ``exact``, which takes no bits.
* **The top code** is 2^B - 1, not 2^B: 8 bits read 0 to 255. Of ``clip`` it means "that much or
  more"; of the others it means the range, and sums beyond the range read as the range.
* **Codes never lie less than one level apart.** Where B bits resolve more than the partial sums
  have, they lie one level apart, codes above the range stay unused and every model is lossless. (A
  floor over a stretched range would lose although it has bits to spare: floor(13 * 31/27) = 14
  would count for 12.19 levels.)
* **sign_magnitude** spends one bit on the sign and has zero twice: 2^B - 1 different readings, zero
  among them. **symmetric** has all 2^B, evenly from -range to range, and so no zero: its readings
  2 * code - (2^B - 1) are odd, and a partial sum of 0 reads as 1, half the distance of two codes.
  Zero inputs may then not be skipped.
* The transfer is applied to each OU read, input slice and bit-slice, before shift-and-add. One
  conversion of an accumulated sum is another machine.

Source: CrossSim (names of models and ranges found), formulas assumed.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, cast

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError

__all__ = ["ADC_MODELS", "MAX_ADC_BITS", "Adc", "calibrate", "lossless_bits"]

Readings = npt.NDArray[np.int32]

ADC_MODELS: Final = ("exact", "clip", "floor", "round", "sign_magnitude", "symmetric")
"""Names of the models."""

MAX_ADC_BITS: Final = 16
"""Widest converter."""

_LARGEST = 2**24  # of a table; a partial sum beyond has no business on one bitline


@dataclass(frozen=True, slots=True)
class Adc:
    """A converter: its model, bits, and the partial sum that its top code stands for.

    Parameters
    ----------
    model : one of `ADC_MODELS`
    bits : 1 to 16 (2 to 16 for sign_magnitude); None for exact
    full_scale : the range as a partial sum: given, or calibrated by `calibrate`; None makes it
        maximal, the largest partial sum an OU read can have. exact and clip take none.

    Raises
    ------
    ConfigError
        The model is unknown, or bits or range do not fit it.
    """

    model: Literal["exact", "clip", "floor", "round", "sign_magnitude", "symmetric"] = "exact"
    bits: int | None = None
    full_scale: int | None = None

    def __post_init__(self) -> None:
        if self.model not in ADC_MODELS:
            raise ConfigError(f"Adc: need a model of {', '.join(ADC_MODELS)}, got {self.model!r}")
        if self.model == "exact":
            if self.bits is not None or self.full_scale is not None:
                raise ConfigError(
                    f"Adc: exact needs no bits and no full_scale, got {self.bits} and "
                    f"{self.full_scale}; name another model to convert"
                )
            return
        least = 2 if self.model == "sign_magnitude" else 1
        if self.bits is None or not least <= self.bits <= MAX_ADC_BITS:
            raise ConfigError(
                f"Adc: {self.model} needs {least} to {MAX_ADC_BITS} bits, got {self.bits}; "
                "use model exact for no converter"
            )
        if self.full_scale is not None and self.model == "clip":
            raise ConfigError(
                f"Adc: clip reads 0 to 2^bits - 1 in steps of one level, got full_scale "
                f"{self.full_scale}; use floor or round for another range"
            )
        if self.full_scale is not None and not 1 <= self.full_scale < _LARGEST:
            raise ConfigError(
                f"Adc: full_scale needs 1 to {_LARGEST - 1} levels, got {self.full_scale}"
            )

    @property
    def width(self) -> str:
        """Bits as a word, as events are named: "1" to "16", or "exact"."""
        return "exact" if self.bits is None else str(self.bits)

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
        sums = np.arange(least, most + 1, dtype=np.int64)
        if self.model == "exact":
            readings = sums
        elif self.model == "clip":
            readings = np.clip(sums, *self._clip_ends(least))
        elif self.model in ("floor", "round"):
            readings = self._unsigned(sums, self._range(least, most))
        else:
            readings = self._signed(sums, self._range(least, most))
        return readings.astype(np.int32)

    def step(self, least: int, most: int) -> Fraction:
        """Return the levels that a reading of 1 counts for, where sums are ``least .. most``.

        That is the distance of two codes, of symmetric half of it; 1 where codes resolve levels.
        """
        if self.model in ("exact", "clip"):
            return Fraction(1)
        scale, top = self._range(least, most), self._top
        return Fraction(1) if self._resolves(scale) else Fraction(scale, top)

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

    @property
    def _top(self) -> int:
        """The largest reading of a model with a range."""
        return (1 << (cast(int, self.bits) - (self.model == "sign_magnitude"))) - 1

    def _range(self, least: int, most: int) -> int:
        return self.full_scale or max(1, -least, most)

    def _resolves(self, scale: int) -> bool:
        """Whether there is a code for each level of the range."""
        return (2 * scale if self.model == "symmetric" else scale) <= self._top

    def _clip_ends(self, least: int) -> tuple[int, int]:
        n_codes = 1 << cast(int, self.bits)
        return (0, n_codes - 1) if least == 0 else (-(n_codes // 2), n_codes // 2 - 1)

    def _unsigned(self, sums: npt.NDArray[np.int64], scale: int) -> npt.NDArray[np.int64]:
        if sums[0] < 0:
            raise ConfigError(
                f"Adc: {self.model} needs partial sums of at least 0, got {sums[0]}; use clip, "
                "sign_magnitude or symmetric for differences"
            )
        held = np.minimum(sums, scale)
        if self._resolves(scale):
            return held
        half = 0 if self.model == "floor" else scale
        return (2 * held * self._top + half) // (2 * scale)

    def _signed(self, sums: npt.NDArray[np.int64], scale: int) -> npt.NDArray[np.int64]:
        held, top = np.clip(sums, -scale, scale), self._top
        if self._resolves(scale):
            return held
        if self.model == "sign_magnitude":
            sizes = (2 * np.abs(held) * top + scale) // (2 * scale)
            return np.where(held < 0, -sizes, sizes)
        codes = ((held + scale) * top + scale) // (2 * scale)
        return 2 * codes - top


def lossless_bits(n_rows: int, cell_bits: int, dac_bits: int = 1) -> int:
    """Return the bits that tell all partial sums of an OU row block apart.

    ceil(log2(rows * (2^cell_bits - 1) * (2^dac_bits - 1) + 1)): 4, 5 and 8 bits for 9 rows of
    1-, 2- and 4-bit cells, 9 for 128 rows of 2-bit cells.

    Source: derived (agrees with DL-RSIM, BWQ, SRE and ISAAC).
    """
    return (n_rows * ((1 << cell_bits) - 1) * ((1 << dac_bits) - 1)).bit_length()


def calibrate(adc: Adc, counts: npt.NDArray[np.int64], least: int, coverage: float = 1.0) -> Adc:
    """Return the converter with its range fitted to partial sums that were seen.

    The range is the smallest that holds the share `coverage` of them, by magnitude.

    Shapes
    ------
    counts: (n,) how often each partial sum ``least .. least + n - 1`` occurred

    Raises
    ------
    ConfigError
        Nothing was seen, the coverage is not within 0..1, or the model has no range.
    """
    total = int(counts.sum())
    if total == 0 or not 0 < coverage <= 1:
        raise ConfigError(
            f"calibrate: need partial sums seen and a coverage within 0..1, got {total} and "
            f"{coverage}"
        )
    if adc.model in ("exact", "clip"):
        raise ConfigError(f"calibrate: need a model with a range, got {adc.model}")
    sizes = np.abs(np.arange(least, least + len(counts)))
    by_size = np.bincount(sizes, weights=counts)
    held = np.cumsum(by_size) >= coverage * total
    return Adc(adc.model, adc.bits, max(1, int(np.argmax(held))))
