"""Every program of the library by name, on rows one field after the other: to list and to show."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bitpim import programs
from bitpim.errors import ProgramError
from bitpim.programs.program import Field, Program

__all__ = ["CATALOG", "RowAllocator", "Widths", "catalog_program"]


class RowAllocator:
    """Hand out the rows of an array from the lowest, each once.

    Raises
    ------
    ProgramError
        The array is full.
    """

    def __init__(self, n_rows: int = 256) -> None:
        self.n_rows = n_rows
        self.n_used = 0

    def take(self, name: str, width: int) -> Field:
        """Return the next `width` rows as a field."""
        if self.n_used + width > self.n_rows:
            raise ProgramError(
                f"rows: need {width} for {name}, got {self.n_rows - self.n_used} of {self.n_rows} "
                "left; use narrower operands or an array with more rows"
            )
        self.n_used += width
        return Field(name, self.n_used - width, width)


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits of the operands of a shown program.

    Attributes
    ----------
    bits : inputs
    weight_bits : second factor of a product, multiplier of a requantization
    total_bits : sums
    n_rows : rows of the array
    """

    bits: int = 8
    weight_bits: int = 8
    total_bits: int = 24
    n_rows: int = 256

    def __post_init__(self) -> None:
        for name in ("bits", "weight_bits", "total_bits"):
            if not 1 <= getattr(self, name) <= 64:
                raise ProgramError(f"{name}: need 1..64, got {getattr(self, name)}")


Maker = Callable[[RowAllocator, Widths], Program]


def _unary(function: Callable[..., Program]) -> Maker:
    return lambda rows, w: function(rows.take("x", w.bits), rows.take("y", w.bits), n_rows=w.n_rows)


def _logic(kind: str) -> Maker:
    def make(rows: RowAllocator, w: Widths) -> Program:
        x, y, to = (rows.take(name, w.bits) for name in ("x", "y", "z"))
        return programs.logic(kind, x, y, to, n_rows=w.n_rows)  # type: ignore[arg-type]

    return make


def _add(rows: RowAllocator, w: Widths) -> Program:
    return programs.add(
        rows.take("x", w.bits),
        rows.take("y", w.bits),
        rows.take("sum", w.bits + 1),
        n_rows=w.n_rows,
    )


def _subtract(rows: RowAllocator, w: Widths) -> Program:
    x, y, to, scratch = (rows.take(name, w.bits) for name in ("x", "y", "difference", "not_y"))
    return programs.subtract(x, y, to, scratch, n_rows=w.n_rows)


def _multiply(*, signed: bool) -> Maker:
    def make(rows: RowAllocator, w: Widths) -> Program:
        a, weight = rows.take("a", w.bits), rows.take("w", w.weight_bits)
        product = rows.take("product", w.bits + w.weight_bits)
        scratch = rows.take("not_a", w.bits) if signed else None
        return programs.multiply(
            a,
            weight,
            product,
            a_signed=signed,
            w_signed=signed,
            a_complement=scratch,
            n_rows=w.n_rows,
        )

    return make


def _multiply_accumulate(rows: RowAllocator, w: Widths) -> Program:
    a, weight = rows.take("a", w.bits), rows.take("w", w.weight_bits)
    product = rows.take("product", w.bits + w.weight_bits)
    return programs.multiply_accumulate(
        a, weight, product, rows.take("total", w.total_bits), n_rows=w.n_rows
    )


def _accumulate(rows: RowAllocator, w: Widths) -> Program:
    return programs.accumulate(
        rows.take("x", w.bits), rows.take("total", w.total_bits), n_rows=w.n_rows
    )


def _add_by_sign(*, masked: bool) -> Maker:
    def make(rows: RowAllocator, w: Widths) -> Program:
        function = programs.add_by_sign_and_mask if masked else programs.add_by_sign
        x, weight = rows.take("x", w.bits), rows.take("w", 1 + masked)
        addend, total = rows.take("addend", w.bits), rows.take("total", w.total_bits)
        return function(x, weight, addend, total, n_rows=w.n_rows)

    return make


def _count_agreements(rows: RowAllocator, w: Widths) -> Program:
    x, weight, same = rows.take("x", 2), rows.take("w", 1), rows.take("same", 1)
    total = rows.take("total", w.total_bits)
    return programs.count_agreements(x, weight, same, total, padded=True, n_rows=w.n_rows)


def _subtract_from(rows: RowAllocator, w: Widths) -> Program:
    x, total = rows.take("x", w.bits), rows.take("total", w.total_bits)
    return programs.subtract_from(x, total, rows.take("not_x", w.bits), n_rows=w.n_rows)


def _divide(rows: RowAllocator, w: Widths) -> Program:
    names = ("dividend", "divisor", "quotient", "remainder", "not_divisor", "difference")
    x, y, quotient, remainder, scratch, other = (rows.take(name, w.bits) for name in names)
    return programs.divide(x, y, quotient, remainder, (scratch, other), n_rows=w.n_rows)


def _extreme(function: Callable[..., Program]) -> Maker:
    def make(rows: RowAllocator, w: Widths) -> Program:
        return function(
            *(rows.take(name, w.bits) for name in ("x", "best", "not_x")), n_rows=w.n_rows
        )

    return make


def _selective_copy(rows: RowAllocator, w: Widths) -> Program:
    return programs.selective_copy(
        rows.take("mask", 1), rows.take("x", w.bits), rows.take("y", w.bits), n_rows=w.n_rows
    )


def _equal(rows: RowAllocator, w: Widths) -> Program:
    return programs.equal(
        rows.take("x", w.bits), rows.take("y", w.bits), rows.take("same", 1), n_rows=w.n_rows
    )


def _reduction_step(rows: RowAllocator, w: Widths) -> Program:
    return programs.reduction_step(
        rows.take("value", w.bits + 1), rows.take("moved", w.bits), n_rows=w.n_rows
    )


def _clamp(rows: RowAllocator, w: Widths) -> Program:
    high = (1 << w.bits) - 1
    return programs.clamp(
        rows.take("x", w.bits), (high // 4, high - high // 4), signed=False, n_rows=w.n_rows
    )


def _requantize_shift(*, half_up: bool) -> Maker:
    def make(rows: RowAllocator, w: Widths) -> Program:
        rescale = programs.Rescale(w.total_bits // 2, 0, (0, (1 << w.bits) - 1), w.bits)
        total, multiplier = rows.take("total", w.total_bits), rows.take("m", w.weight_bits)
        product = rows.take("product", w.total_bits + w.weight_bits)
        width = programs.result_width(len(product) - rescale.shift, rescale)
        fields = programs.RescaleRows(total, multiplier, product, rows.take("code", width))
        return programs.requantize_shift(fields, rescale, half_up=half_up, n_rows=w.n_rows)

    return make


def _requantize_fixed_point(rows: RowAllocator, w: Widths) -> Program:
    rescale = programs.Rescale(-w.total_bits // 2, 0, (0, (1 << w.bits) - 1), w.bits)
    total, multiplier = rows.take("total", w.total_bits), rows.take("m", 31)
    product = rows.take("product", w.total_bits + 31)
    scaled = rows.take("scaled", programs.scaled_width(w.total_bits, 31, rescale.shift))
    width = programs.result_width(max(len(scaled) + rescale.shift, 1), rescale)
    fields = programs.RescaleRows(total, multiplier, product, rows.take("code", width), scaled)
    return programs.requantize_fixed_point(fields, rescale, n_rows=w.n_rows)


def _average(rows: RowAllocator, w: Widths) -> Program:
    names = ("total", "average", "count", "not_count", "difference")
    fields = programs.AverageRows(*[rows.take(name, w.bits + 4) for name in names])
    return programs.average(fields, 9, n_rows=w.n_rows)


def _nor_add(rows: RowAllocator, w: Widths) -> Program:
    x, y, to = (rows.take(name, w.bits) for name in ("x", "y", "sum"))
    return programs.nor_add(x, y, to, *_temps(rows), n_rows=w.n_rows)


def _nor_subtract(rows: RowAllocator, w: Widths) -> Program:
    x, y, to = (rows.take(name, w.bits) for name in ("x", "y", "difference"))
    return programs.nor_subtract(x, y, to, *_temps(rows), rows.take("not_y", 1), n_rows=w.n_rows)


def _nor_multiply(rows: RowAllocator, w: Widths) -> Program:
    x, y = rows.take("x", w.bits), rows.take("y", w.weight_bits)
    product, scratch = rows.take("product", w.bits + w.weight_bits), rows.take("not_x", w.bits + 2)
    return programs.nor_multiply(x, y, product, scratch, *_temps(rows), n_rows=w.n_rows)


def _nor_divide(rows: RowAllocator, w: Widths) -> Program:
    dividend = rows.take("dividend", 2 * w.bits)
    divisor, quotient, remainder = (
        rows.take(name, w.bits) for name in ("divisor", "quotient", "remainder")
    )
    scratch = rows.take("scratch", 5)
    results = quotient, remainder
    return programs.nor_divide(dividend, divisor, *results, scratch, *_temps(rows), n_rows=w.n_rows)


def _nor_carry_save(rows: RowAllocator, w: Widths) -> Program:
    x, y, z, sums, carries = (rows.take(name, w.bits) for name in ("x", "y", "z", "sum", "carries"))
    return programs.nor_carry_save(x, y, z, sums, carries, rows.take("temps", 4), n_rows=w.n_rows)


def _nor_sum(rows: RowAllocator, w: Widths) -> Program:
    operands = [rows.take(name, w.bits) for name in ("x", "y", "z", "u")]
    to = rows.take("sum", w.bits + 2)
    scratch = rows.take("scratch", programs.nor_sum_scratch(len(operands), w.bits, len(to)))
    return programs.nor_sum(operands, to, scratch, *_temps(rows), n_rows=w.n_rows)


def _temps(rows: RowAllocator) -> tuple[Field, Field]:
    return rows.take("temps", 4), rows.take("carry", 1)


CATALOG: Final[Mapping[str, Maker]] = {
    "copy": _unary(programs.copy),
    "not": _unary(programs.complement),
    **{kind: _logic(kind) for kind in ("and", "nand", "or", "nor", "xor", "xnor")},
    "load_constant": lambda rows, w: programs.load_constant(
        1, rows.take("x", w.bits), n_rows=w.n_rows
    ),
    "add": _add,
    "add_constant": lambda rows, w: programs.add_constant(
        rows.take("x", w.bits), 1, n_rows=w.n_rows
    ),
    "subtract": _subtract,
    "multiply": _multiply(signed=False),
    "multiply_signed": _multiply(signed=True),
    "multiply_accumulate": _multiply_accumulate,
    "accumulate": _accumulate,
    "add_by_sign": _add_by_sign(masked=False),
    "add_by_sign_and_mask": _add_by_sign(masked=True),
    "count_agreements": _count_agreements,
    "subtract_from": _subtract_from,
    "divide": _divide,
    "selective_copy": _selective_copy,
    "maximum": _extreme(programs.maximum),
    "minimum": _extreme(programs.minimum),
    "relu": lambda rows, w: programs.relu(rows.take("x", w.bits), n_rows=w.n_rows),
    "clamp": _clamp,
    "equal": _equal,
    "equal_constant": lambda rows, w: programs.equal_constant(
        rows.take("x", w.bits), 1, n_rows=w.n_rows
    ),
    "negate_if": lambda rows, w: programs.negate_if(
        rows.take("x", w.bits), rows.take("flag", 1), n_rows=w.n_rows
    ),
    "reduction_step": _reduction_step,
    "shift_left": lambda rows, w: programs.shift_left(
        rows.take("x", w.bits), 1, rows.take("y", w.bits), n_rows=w.n_rows
    ),
    "shift_right": lambda rows, w: programs.shift_right(
        rows.take("x", w.bits), 1, rows.take("y", w.bits), n_rows=w.n_rows
    ),
    "shift_right_each": lambda rows, w: programs.shift_right_each(
        rows.take("x", w.bits),
        rows.take("distance", max((w.bits - 1).bit_length(), 1)),
        n_rows=w.n_rows,
    ),
    "requantize_truncate_shift": _requantize_shift(half_up=False),
    "requantize_half_up_shift": _requantize_shift(half_up=True),
    "requantize_fixed_point": _requantize_fixed_point,
    "average": _average,
    "nor_add": _nor_add,
    "nor_subtract": _nor_subtract,
    "nor_multiply": _nor_multiply,
    "nor_divide": _nor_divide,
    "nor_carry_save": _nor_carry_save,
    "nor_sum": _nor_sum,
}
"""Program makers by name; those with constants in their steps have examples of them."""


def catalog_program(name: str, widths: Widths) -> Program:
    """Return a program of the library at some widths.

    Raises
    ------
    ProgramError
        The name is unknown, or the rows do not suffice.
    """
    if name not in CATALOG:
        near = difflib.get_close_matches(name, CATALOG, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(CATALOG)}"
        raise ProgramError(f"program: need a known name, got {name!r}; {hint}")
    return CATALOG[name](RowAllocator(widths.n_rows), widths)
