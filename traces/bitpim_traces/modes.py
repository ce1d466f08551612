"""Requantize modes: one record each, from which all who branch on a mode take what they need.

A new mode is a record here, one in `bitpim.digital.modes` with its branch in the kernels, and a
branch in the referee; how its numbers are derived stands in `numbers.multiplier`.
"""

from dataclasses import dataclass

from bitpim_traces.errors import TraceDataError

__all__ = [
    "FIXED_POINT_HALF_AWAY",
    "FLOAT_SCALE_HALF_EVEN",
    "HALF_UP_SHIFT",
    "MODES",
    "REQUANTIZE_MODES",
    "TRUNCATE_SHIFT",
    "Mode",
    "mode_named",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How an accumulator becomes a code.

    Attributes
    ----------
    name
        What files call it.
    formula, bounds
        FORMAT.md's words for the code before the clamp, and for what is exact.
    is_float
        It multiplies with a float32 scale; the others with an integer multiplier, and shift.
    rounds_terms
        An addition scales and rounds each operand, then their sum; else all operands have one
        shift, and their sum is rounded once.
    divides
        An average is the sum of raw codes divided by their number; else the sum is scaled.
    shifts_left
        Its sums are shifted left first, and have to fit 32 bits then; else their products with the
        multiplier stay below 2^62.
    least_multiplier, most_multiplier, least_shift, most_shift
        Range of its numbers; a multiplier may also be 0.
    """

    name: str
    formula: str
    bounds: str
    is_float: bool = False
    rounds_terms: bool = False
    divides: bool = False
    shifts_left: bool = False
    least_multiplier: int = 0
    most_multiplier: int = (1 << 31) - 1
    least_shift: int = 0
    most_shift: int = 62

    @property
    def scales_products(self) -> bool:
        """Whether integers are multiplied and shifted once."""
        return not self.is_float and not self.shifts_left

    @property
    def one_shift_for_terms(self) -> bool:
        """Whether all operands of an addition have one shift."""
        return not self.is_float and not self.rounds_terms

    def takes(self, multiplier: int, shift: int = 0) -> bool:
        """Tell whether a multiplier and a shift are in range."""
        fits = multiplier == 0 or self.least_multiplier <= multiplier <= self.most_multiplier
        return fits and self.least_shift <= shift <= self.most_shift


FLOAT_SCALE_HALF_EVEN = Mode(
    name="float_scale_half_even",
    formula="`rint(float32(float32(acc) * scale)) + z_out`",
    bounds="scale finite, not negative",
    is_float=True,
)
FIXED_POINT_HALF_AWAY = Mode(
    name="fixed_point_half_away",
    formula="`x = acc << max(shift, 0)`; `h = (x * multiplier + 2^30) >> 31`; `h` divided by "
    "`2^max(-shift, 0)`, rounded to nearest, ties away from zero; `+ z_out`",
    bounds="multiplier 0 or `2^30 .. 2^31 - 1`; shift -31 .. 30; `acc` and `x` fit int32; real "
    "factor `multiplier * 2^(shift - 31)`",
    rounds_terms=True,
    divides=True,
    shifts_left=True,
    least_multiplier=1 << 30,
    least_shift=-31,
    most_shift=30,
)
TRUNCATE_SHIFT = Mode(
    name="truncate_shift",
    formula="`((acc * multiplier) >> shift) + z_out`",
    bounds="multiplier `0 .. 2^31 - 1`; shift 0 .. 62; product below `2^62`",
)
HALF_UP_SHIFT = Mode(
    name="half_up_shift",
    formula="`((acc * multiplier + (2^(shift-1) if shift > 0 else 0)) >> shift) + z_out`",
    bounds="as above",
)

MODES = {
    mode.name: mode
    for mode in (FLOAT_SCALE_HALF_EVEN, FIXED_POINT_HALF_AWAY, TRUNCATE_SHIFT, HALF_UP_SHIFT)
}
"""The record of each mode."""

REQUANTIZE_MODES = tuple(MODES)


def mode_named(name: str) -> Mode:
    """Return the record of a mode.

    Raises
    ------
    TraceDataError
        There is no such mode.
    """
    if name not in MODES:
        raise TraceDataError(
            f"requantize: need a mode of {', '.join(MODES)}, got {name!r}; name another"
        )
    return MODES[name]
