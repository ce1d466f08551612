"""Programs that turn a wide sum into a code: requantize in three roundings, and average.

The multiplier lies in rows, one for each lane if need be; shift, zero point and bounds are in the
steps. The numbers are those of the traces' requantize modes of the same names, bit for bit.
"""

from dataclasses import dataclass

from bitpim.errors import ProgramError
from bitpim.programs import fragments
from bitpim.programs.assembler import Assembler
from bitpim.programs.fragments import need_width, signed_width
from bitpim.programs.program import Field, Program
from bitpim_kernels import opcodes as op

__all__ = [
    "AverageRows",
    "Rescale",
    "RescaleRows",
    "average",
    "requantize_fixed_point",
    "requantize_shift",
    "result_width",
    "scaled_width",
]


@dataclass(frozen=True, slots=True)
class RescaleRows:
    """Rows of a requantize program.

    Attributes
    ----------
    total : the sum, signed; kept
    multiplier : unsigned; kept
    product : scratch, as wide as both together
    result : the code in its low rows; `result_width` rows
    scaled : scratch of `requantize_fixed_point` only; `scaled_width` rows
    """

    total: Field
    multiplier: Field
    product: Field
    result: Field
    scaled: Field | None = None


@dataclass(frozen=True, slots=True)
class Rescale:
    """Numbers of a requantize program that lie in its steps.

    Attributes
    ----------
    shift : bits shifted right (`requantize_shift`), or left where positive (fixed point)
    zero_point : added last
    clamp : least and greatest code
    code_bits : rows of the result that count afterwards
    """

    shift: int
    zero_point: int
    clamp: tuple[int, int]
    code_bits: int


def result_width(n_bits: int, rescale: Rescale) -> int:
    """Return the rows that hold a signed number of `n_bits` plus zero point, and the bounds."""
    low, high = rescale.clamp
    return max(
        n_bits + 1, signed_width(rescale.zero_point) + 1, signed_width(low, high), rescale.code_bits
    )


def scaled_width(total_bits: int, multiplier_bits: int, shift: int) -> int:
    """Return the rows of the scaled sum of `requantize_fixed_point`, before its second rounding."""
    return max(total_bits + multiplier_bits - (31 - max(shift, 0)), 1) + 1


def _started(name: str, rows: RescaleRows, rescale: Rescale, n_rows: int) -> Assembler:
    need_width(name, rows.product, len(rows.total) + len(rows.multiplier))
    low, high = rescale.clamp
    signed_bits, unsigned_bits = signed_width(low, high), high.bit_length()
    need = unsigned_bits if low >= 0 else signed_bits
    if low > high or need > rescale.code_bits:
        raise ProgramError(
            f"program {name}: need bounds of {rescale.code_bits} bits, low <= high, got {low} and "
            f"{high}"
        )
    b = Assembler(name, n_rows)
    b.reads(rows.total, rows.multiplier)
    b.writes(rows.product, rows.result)
    fragments.multiply(b, rows.total, rows.multiplier, rows.product, a_signed=True)
    return b


def _to_code(b: Assembler, x: Field, rescale: Rescale, result: Field) -> None:
    """Write x + C + zero point, clamped."""
    need_width(b.name, result, result_width(len(x), rescale), at_least=True)
    fragments.add_constant(b, x, rescale.zero_point, result, signed=True)
    fragments.clamp(b, result, rescale.clamp, signed=True, n_bits=rescale.code_bits)


def _shifted(x: Field, distance: int) -> Field:
    """Return `x` without its low bits; of a shift beyond its width the sign is left."""
    return x[min(distance, len(x) - 1) :]


def requantize_shift(
    rows: RescaleRows, rescale: Rescale, *, half_up: bool = False, n_rows: int = 256
) -> Program:
    """Return clamp(((total * multiplier) >> shift) + zero_point), truncated or rounded half up.

    These are `truncate_shift` and `half_up_shift`. The shift is re-addressing. Half up adds the
    highest bit shifted out as the carry of the zero point's addition, which is the same as adding
    2^(shift - 1) before.

    Cycles, with w, m, r and c rows of total, multiplier, result and code:
    2w + 2 + (m - 1)(w + 4) for the product, 1 (half up with a shift: 2) + r, and 3r + c + 4.

    Source: Neural Cache (steps found, rounding assumed).
    """
    if rescale.shift < 0:
        raise ProgramError(f"requantize_shift: need a shift >= 0, got {rescale.shift}")
    name = "requantize_half_up_shift" if half_up else "requantize_truncate_shift"
    b = _started(name, rows, rescale, n_rows)
    if half_up and rescale.shift > 0:
        b.step(op.CARRY_SET)
        half = rows.product.extended(rescale.shift - 1)
        b.step(op.ADD_ROW, half, note="C = the bit below the point")
    else:
        b.step(op.CARRY_RESET)
    _to_code(b, _shifted(rows.product, rescale.shift), rescale, rows.result)
    return b.build()


def requantize_fixed_point(rows: RescaleRows, rescale: Rescale, *, n_rows: int = 256) -> Program:
    """Return the requantization of `fixed_point_half_away`: two roundings, then clamp.

    h = floor((total * 2^max(shift, 0) * multiplier + 2^30) / 2^31), then h / 2^max(-shift, 0)
    rounded half away from zero, plus zero point. The left shift is re-addressing of the product.
    The second rounding adds 2^(e-1) - 1, and 1 more where h >= 0, as one carry chain that runs
    into the zero point's addition.

    `total` after its left shift must fit int32, as the caller bounds it; then h does too.

    Cycles, with w, m, s, r and c rows of total, multiplier, scaled, result and code and
    e = max(-shift, 0): 2w + 2 + (m - 1)(w + 4), 2 + s (1 + s at shift 31), 1 (e > 0: 2 + e) + r,
    and 3r + c + 4.

    Source: TFLite's SaturatingRoundingDoublingHighMul and RoundingDivideByPOT (traces/FORMAT.md);
    the steps are ours.
    """
    left, right = max(rescale.shift, 0), max(-rescale.shift, 0)
    if left > 31 or rows.scaled is None:
        raise ProgramError(
            f"requantize_fixed_point: need a shift <= 31 and rows `scaled`, got {rescale.shift} "
            f"and {'rows' if rows.scaled else 'none'}"
        )
    b = _started("requantize_fixed_point", rows, rescale, n_rows)
    scaled = rows.scaled
    need_width(b.name, scaled, scaled_width(len(rows.total), len(rows.multiplier), rescale.shift))
    b.writes(scaled)
    if left < 31:
        b.step(op.CARRY_SET)
        b.step(op.ADD_ROW, rows.product.extended(30 - left), note="C = the bit below the point")
    else:
        b.step(op.CARRY_RESET, note="no bit below the point")
    fragments.add_constant(b, _shifted(rows.product, 31 - left), 0, scaled, signed=True)
    if right == 0:
        b.step(op.CARRY_RESET)
    else:
        b.step(op.CARRY_SET)
        b.step(op.ADD_NOT, scaled[-1], note="C = not negative")
        for bit in range(right - 1):
            b.step(op.ADD_ONES, scaled.extended(bit), note=f"+ 2^{right - 1} - 1")
        b.step(op.ADD_ROW, scaled.extended(right - 1), note=f"+ 2^{right - 1} - 1")
    _to_code(b, _shifted(scaled, right), rescale, rows.result)
    return b.build()


@dataclass(frozen=True, slots=True)
class AverageRows:
    """Rows of `average`, all of one width but the sign, which is one row.

    Attributes
    ----------
    total : the sum; changed
    quotient : the average
    divisor, divisor_complement, difference : scratch
    sign : scratch of a signed average
    """

    total: Field
    quotient: Field
    divisor: Field
    divisor_complement: Field
    difference: Field
    sign: Field | None = None


def average(rows: AverageRows, count: int, *, signed: bool = False, n_rows: int = 256) -> Program:
    """Return total / count rounded half away from zero, for a sum of `count` codes.

    Sums below zero are divided as magnitudes. |total| + count // 2 must fit the n rows unsigned,
    and a signed average its n rows; sums of codes do, when `total` has a row to spare.

    Cycles: n constants, n + 1 half, 1.5 n^2 + 4.5 n division; signed: 1 + 2 (2n + 3) on top.

    Source: TFLite's average pooling (traces/FORMAT.md); division as `divide`.
    """
    n = len(rows.total)
    scratch = (rows.divisor, rows.divisor_complement, rows.difference)
    for field in (rows.quotient, *scratch):
        need_width("average", field, n)
    if signed == (rows.sign is None):
        got = "none" if rows.sign is None else "one"
        raise ProgramError(f"average: need a row `sign` for signed sums only, got {got}")
    if not 1 <= count < 1 << n:
        raise ProgramError(f"average: need a count in 1..{(1 << n) - 1}, got {count}")
    b = Assembler("average", n_rows)
    b.changes(rows.total)
    b.writes(rows.quotient, *scratch)
    if rows.sign is not None:
        need_width("average", rows.sign, 1)
        b.writes(rows.sign)
        b.step(op.COPY, rows.total[-1], to=rows.sign[0], note="remember the sign")
        fragments.negate_if(b, rows.total, rows.sign[0])
    fragments.put_constant(b, count, rows.divisor, note=f"the count, {count}")
    b.step(op.CARRY_RESET)
    fragments.add_constant(b, rows.total, count // 2, rows.total, signed=False)
    fragments.divide(
        b, rows.divisor, rows.quotient, rows.total, rows.divisor_complement, rows.difference
    )
    if rows.sign is not None:
        fragments.negate_if(b, rows.quotient, rows.sign[0])
    return b.build()
