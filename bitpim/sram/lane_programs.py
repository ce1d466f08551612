"""Whole programs of a layer: from reduced sums, or from operand codes, to output codes.

Rows are placed here: what a later step no longer needs gives its rows to the next. Codes are
encoded (unsigned); every function says which fields the caller fills.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from bitpim import programs
from bitpim.digital.modes import FIXED_POINT_HALF_AWAY, HALF_UP_SHIFT, TRUNCATE_SHIFT, Mode
from bitpim.errors import MappingError
from bitpim.programs import AverageRows, Rescale, RescaleRows, fragments, result_width, scaled_width
from bitpim.programs.assembler import Assembler
from bitpim.programs.program import Field, Program, join
from bitpim.sram.lanes import LaneProgram
from bitpim_kernels import opcodes as op

__all__ = [
    "RequantizeRule",
    "Term",
    "WindowCorrection",
    "average_program",
    "clamp_program",
    "epilogue_program",
    "maximum_program",
    "product_program",
    "rescale_program",
    "sum_program",
]

_KEPT = lru_cache(maxsize=64)
"""Layers alike have the same program: the last ones assembled are kept, for they never change."""


@dataclass(frozen=True, slots=True)
class RequantizeRule:
    """How a sum becomes a code: an integer requantize mode, with its numbers."""

    mode: Mode
    multiplier_bits: int
    shift: int
    zero_point: int
    clamp: tuple[int, int]
    code_bits: int
    signed: bool

    @property
    def rescale(self) -> Rescale:
        """The numbers that lie in the steps."""
        return Rescale(self.shift, self.zero_point, self.clamp, self.code_bits)


@dataclass(frozen=True, slots=True)
class WindowCorrection:
    """How the weights' zero point times the sum of a window's codes is taken off.

    `shift` when all zero points are 2^shift, else None and the zero points lie in rows of
    `zero_bits`.
    """

    window_bits: int
    shift: int | None
    zero_bits: int


class _Rows:
    """Hand out neighbouring rows from some row on."""

    def __init__(self, start: int = 0) -> None:
        self.next = start

    def field(self, name: str, width: int) -> Field:
        field = Field(name, self.next, width)
        self.next += width
        return field


def _requantize(
    total: Field, multiplier: Field, rule: RequantizeRule, rows: _Rows, n_rows: int
) -> tuple[Program, Field]:
    """Yield the program of a rule and the field of its code."""
    if rule.mode not in _RESCALINGS:
        known = ", ".join(mode.name for mode in _RESCALINGS)
        raise MappingError(
            f"requantize program: need a mode of {known}, got {rule.mode.name!r}; lanes cannot "
            "compute it"
        )
    program, result = _RESCALINGS[rule.mode](total, multiplier, rule, rows, n_rows)
    return program, result[: rule.code_bits]


def _fixed_point(
    total: Field, multiplier: Field, rule: RequantizeRule, rows: _Rows, n_rows: int
) -> tuple[Program, Field]:
    product = rows.field("product", len(total) + len(multiplier))
    scaled = rows.field("scaled", scaled_width(len(total), len(multiplier), rule.shift))
    left = max(1, len(scaled) - max(-rule.shift, 0))
    result = rows.field("result", result_width(left, rule.rescale))
    parts = RescaleRows(total, multiplier, product, result, scaled)
    return programs.requantize_fixed_point(parts, rule.rescale, n_rows=n_rows), result


def _shift(
    total: Field,
    multiplier: Field,
    rule: RequantizeRule,
    rows: _Rows,
    n_rows: int,
    *,
    half_up: bool,
) -> tuple[Program, Field]:
    product = rows.field("product", len(total) + len(multiplier))
    left = max(1, len(product) - rule.shift)
    result = rows.field("result", result_width(left, rule.rescale))
    parts = RescaleRows(total, multiplier, product, result)
    program = programs.requantize_shift(parts, rule.rescale, half_up=half_up, n_rows=n_rows)
    return program, result


_RESCALINGS: dict[
    Mode, Callable[[Field, Field, RequantizeRule, _Rows, int], tuple[Program, Field]]
] = {
    FIXED_POINT_HALF_AWAY: _fixed_point,
    TRUNCATE_SHIFT: partial(_shift, half_up=False),
    HALF_UP_SHIFT: partial(_shift, half_up=True),
}


@_KEPT
def epilogue_program(
    sum_bits: int,
    accumulator_bits: int,
    correction: WindowCorrection | None,
    rule: RequantizeRule,
    n_rows: int,
    sum_shift: int = 0,
) -> LaneProgram:
    """Correct a reduced sum and requantize it: (sum 2^shift + offset - zero * window) -> code.

    Caller's fields: `sum`, `total` (the offset: bias and constant corrections), `multiplier`, and
    with a correction `window` and, where its zero points are no single power of two,
    `weight_zero`. Arithmetic is modulo 2^accumulator_bits; the caller proves that totals fit.
    """
    rows = _Rows()
    total = rows.field("total", accumulator_bits)
    multiplier = rows.field("multiplier", rule.multiplier_bits)
    later = _Rows(rows.next)
    sums = rows.field("sum", min(sum_bits, accumulator_bits - sum_shift))
    inputs = ["sum", "total", "multiplier"]
    b = Assembler("correct", n_rows)
    b.changes(total, sums)
    b.step(op.CARRY_RESET)
    fragments.accumulate(b, sums, total[sum_shift:], x_signed=False)
    if correction is not None:
        window = rows.field("window", min(correction.window_bits, accumulator_bits))
        b.changes(window)
        inputs.append("window")
        shift = correction.shift
        subtrahend = window
        if shift is None:
            zero = rows.field("weight_zero", correction.zero_bits)
            subtrahend = rows.field("correction", len(window) + len(zero))
            b.changes(zero)
            b.writes(subtrahend)
            fragments.multiply(b, window, zero, subtrahend)
            inputs.append("weight_zero")
            shift = 0
        rest = total[shift:]
        subtrahend = subtrahend[: len(rest)]
        complement = rows.field("complement", len(subtrahend))
        b.writes(complement)
        fragments.subtract_from(b, subtrahend, complement, rest, x_signed=False)
    requantize, code = _requantize(total, multiplier, rule, later, n_rows)
    program = join("epilogue", b.build(), requantize)
    return LaneProgram(program, tuple(inputs), code, rule.signed)


@_KEPT
def rescale_program(
    input_bits: int, zero_point: int, rule: RequantizeRule, n_rows: int
) -> LaneProgram:
    """Requantize one operand: ((x - zero) -> code). Caller's fields: `x`, `multiplier`."""
    rows = _Rows()
    x = rows.field("x", input_bits)
    multiplier = rows.field("multiplier", rule.multiplier_bits)
    total = rows.field("total", input_bits + 1)
    b = Assembler("centre", n_rows)
    b.changes(x)
    b.writes(total)
    b.step(op.CARRY_RESET)
    fragments.add_constant(b, x, -zero_point, total, signed=False)
    requantize, code = _requantize(total, multiplier, rule, rows, n_rows)
    program = join("rescale", b.build(), requantize)
    return LaneProgram(program, ("x", "multiplier"), code, rule.signed)


@dataclass(frozen=True, slots=True)
class Term:
    """One operand of an addition; `shift` is that of its own rounding, None where it has none."""

    bits: int
    zero_point: int
    multiplier: int
    shift: int | None = None


def _scale_term(
    name: str, x: Field, term: Term, left_shift: int, free: _Rows, n_rows: int
) -> tuple[list[Program], Field, int]:
    """Yield the steps that centre and scale one operand, the outcome, and its width."""
    total = free.field(f"centred_{name}", left_shift + len(x) + 1)
    multiplier = free.field(f"multiplier_{name}", max(term.multiplier.bit_length(), 1))
    b = Assembler(f"centre {name}", n_rows)
    b.reads(x)
    b.writes(total, multiplier)
    fragments.put_constant(b, 0, total[:left_shift])
    fragments.put_constant(b, term.multiplier, multiplier)
    b.step(op.CARRY_RESET)
    fragments.add_constant(b, x, -term.zero_point, total[left_shift:], signed=False)
    product = free.field(f"product_{name}", len(total) + len(multiplier))
    if term.shift is None:
        b.writes(product)
        fragments.multiply(b, total, multiplier, product, a_signed=True)
        return [b.build()], product, len(product)
    width = len(total) + max(term.shift, 0)
    rescale = Rescale(term.shift, 0, (-(1 << width - 1), (1 << width - 1) - 1), width)
    scaled = free.field(f"scaled_{name}", scaled_width(len(total), len(multiplier), term.shift))
    result = free.field(
        f"result_{name}", result_width(max(1, len(scaled) - max(-term.shift, 0)), rescale)
    )
    parts = RescaleRows(total, multiplier, product, result, scaled)
    program = programs.requantize_fixed_point(parts, rescale, n_rows=n_rows)
    return [b.build(), program], result, width


@_KEPT
def sum_program(
    terms: tuple[Term, ...], left_shift: int, multiplier: int, rule: RequantizeRule, n_rows: int
) -> LaneProgram:
    """Add operands of different scales. Caller's fields: `x0`, `x1`, ... the operands' codes.

    The operands are multiplied, added, and shifted once; in a mode that rounds terms each is scaled
    and rounded, then their sum is, by `multiplier` and the rule's shift.
    """
    rows = _Rows()
    operands = [rows.field(f"x{i}", term.bits) for i, term in enumerate(terms)]
    widths = [t.bits + 1 + left_shift + max(t.shift or 0, 0) for t in terms]
    if terms[0].shift is None:
        widths = [w + max(t.multiplier.bit_length(), 1) for w, t in zip(widths, terms, strict=True)]
    total = rows.field("total", max(widths) + (len(terms) - 1).bit_length())
    b = Assembler("clear", n_rows)
    b.writes(total)
    fragments.put_constant(b, 0, total)
    steps = [b.build()]
    for i, term in enumerate(terms):
        scale, scaled, width = _scale_term(
            f"x{i}", operands[i], term, left_shift, _Rows(rows.next), n_rows
        )
        b = Assembler(f"add x{i}", n_rows)
        b.changes(total, scaled)
        b.step(op.CARRY_RESET)
        fragments.accumulate(b, scaled[:width], total, x_signed=True)
        steps += [*scale, b.build()]
    factor = rows.field("multiplier", max(multiplier.bit_length(), 1))  # over the terms' rows
    b = Assembler("scale the sum", n_rows)
    b.writes(factor)
    fragments.put_constant(b, multiplier, factor)
    requantize, code = _requantize(total, factor, rule, rows, n_rows)
    names = tuple(field.name for field in operands)
    program = join("sum", *steps, b.build(), requantize)
    return LaneProgram(program, names, code, rule.signed)


@_KEPT
def product_program(
    bits: tuple[int, int], zero_points: tuple[int, int], rule: RequantizeRule, n_rows: int
) -> LaneProgram:
    """Multiply two operands: ((x0 - zero) (x1 - zero) -> code).

    Caller's fields: `x0`, `x1`, `multiplier`.
    """
    rows = _Rows()
    x = [rows.field(f"x{i}", width) for i, width in enumerate(bits)]
    multiplier = rows.field("multiplier", rule.multiplier_bits)
    total = rows.field("total", sum(bits) + 2)
    later = _Rows(rows.next)
    centred = [rows.field(f"centred_x{i}", width + 1) for i, width in enumerate(bits)]
    complement = rows.field("complement", bits[0] + 1)
    b = Assembler("multiply operands", n_rows)
    b.reads(*x)
    b.writes(*centred, complement, total)
    for operand, zero, to in zip(x, zero_points, centred, strict=True):
        b.step(op.CARRY_RESET)
        fragments.add_constant(b, operand, -zero, to, signed=False)
    first, second = centred
    fragments.multiply(
        b, first, second, total, a_signed=True, w_signed=True, a_complement=complement
    )
    requantize, code = _requantize(total, multiplier, rule, later, n_rows)
    program = join("product", b.build(), requantize)
    return LaneProgram(program, ("x0", "x1", "multiplier"), code, rule.signed)


@_KEPT
def maximum_program(code_bits: int, n_rows: int) -> LaneProgram:
    """Keep the largest of the streamed codes `x` (encoded, so unsigned)."""
    rows = _Rows()
    best = rows.field("best", code_bits)
    x = rows.field("x", code_bits)
    complement = rows.field("complement", code_bits)
    b = Assembler("start", n_rows)
    b.writes(best)
    fragments.put_constant(b, 0, best)
    each = programs.maximum(x, best, complement, n_rows=n_rows)
    return LaneProgram(None, (), best, start=b.build(), each=each)


@_KEPT
def average_program(
    code_bits: int,
    n_taps: int,
    offset: int,
    rule: RequantizeRule,
    count: int,
    n_rows: int,
) -> LaneProgram:
    """Average the streamed codes `x`: their sum less `offset` is requantized by the rule.

    In a mode that divides it is divided by `count`, rounded half away from zero, and clamped.
    Caller's field: `multiplier`, in the other modes.
    """
    rows = _Rows()
    sum_bits = code_bits + n_taps.bit_length() + 1
    total = rows.field("total", sum_bits)
    x = rows.field("x", code_bits)
    b = Assembler("start", n_rows)
    b.writes(total)
    fragments.put_constant(b, -offset, total)
    each = programs.accumulate(x, total, n_rows=n_rows)
    start = b.build()
    if not rule.mode.divides:
        multiplier = rows.field("multiplier", rule.multiplier_bits)
        program, code = _requantize(total, multiplier, rule, rows, n_rows)
        return LaneProgram(program, ("multiplier",), code, rule.signed, start, each)
    parts = AverageRows(
        total,
        rows.field("quotient", sum_bits),
        rows.field("divisor", sum_bits),
        rows.field("divisor_complement", sum_bits),
        rows.field("difference", sum_bits),
        rows.field("sign", 1),
    )
    divide = programs.average(parts, count, signed=True, n_rows=n_rows)
    clamp = programs.clamp(parts.quotient, rule.clamp, signed=True, n_rows=n_rows)
    code = parts.quotient[: rule.code_bits]
    return LaneProgram(join("average", divide, clamp), (), code, rule.signed, start, each)


@_KEPT
def clamp_program(code_bits: int, bounds: tuple[int, int], n_rows: int) -> LaneProgram:
    """Clamp the encoded codes `x` to encoded bounds."""
    x = Field("x", 0, code_bits)
    return LaneProgram(programs.clamp(x, bounds, signed=False, n_rows=n_rows), ("x",), x)
