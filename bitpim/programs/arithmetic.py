"""Programs of bit-serial arithmetic: add, subtract, multiply, accumulate, divide, reduce.

Numbers lie transposed, all bits of one down a lane. Operands are read only unless a docstring says
in place; scratch fields are named after what they hold. Every program ends with the carry latch as
its last step leaves it. Cycle formulas are those of Neural Cache.
"""

from bitpim.programs import fragments
from bitpim.programs.assembler import Assembler
from bitpim.programs.fragments import need_width
from bitpim.programs.program import Field, Program
from bitpim_kernels import opcodes as op

__all__ = [
    "accumulate",
    "add",
    "add_constant",
    "divide",
    "multiply",
    "multiply_accumulate",
    "reduction_step",
    "subtract",
    "subtract_from",
]


def add(x: Field, y: Field, to: Field, *, signed: bool = False, n_rows: int = 256) -> Program:
    """Return to = x + y, one row wider than the operands.

    Entry: carry latch clear. Cycles: n + 1; the last stores the carry, or adds the signs again.

    Source: Neural Cache (n + 1 recalled, agrees with silicon).
    """
    need_width("add", y, len(x))
    need_width("add", to, len(x) + 1)
    b = Assembler("add", n_rows, clear_before=(op.CARRY,))
    b.reads(x, y)
    b.writes(to)
    for bit in range(len(x)):
        b.step(op.ADD, x[bit], y[bit], to=to[bit])
    if signed:
        b.step(op.ADD, x[-1], y[-1], to=to[-1], note="add the signs again")
    else:
        b.step(op.CARRY_STORE, to=to[-1])
    return b.build()


def subtract(
    x: Field,
    y: Field,
    to: Field,
    y_complement: Field,
    *,
    signed: bool = False,
    n_rows: int = 256,
) -> Program:
    """Return to = x - y as x + ~y + 1.

    As wide as the operands, `to` wraps and the carry latch ends as x >= y (unsigned). One row
    wider, it holds the difference in two's complement.

    Cycles: 2n + 1; wider: 2n + 2 signed, 2n + 3 unsigned.

    Source: Neural Cache (derived), MVE charges 2n.
    """
    n = len(x)
    need_width("subtract", y, n)
    need_width("subtract", y_complement, n)
    need_width("subtract", to, n + (len(to) > n))
    b = Assembler("subtract", n_rows)
    b.reads(x, y)
    b.writes(to, y_complement)
    fragments.complement(b, y, y_complement)
    b.step(op.CARRY_SET)
    for bit in range(n):
        b.step(op.ADD, x[bit], y_complement[bit], to=to[bit])
    if len(to) > n and signed:
        b.step(op.ADD, x[-1], y_complement[-1], to=to[-1], note="the sign")
    elif len(to) > n:
        b.step(op.TAG_FROM_NOT_CARRY)
        b.step(op.TAG_STORE, to=to[-1], note="the borrow is the sign")
    return b.build()


def multiply(
    a: Field,
    w: Field,
    to: Field,
    *,
    a_signed: bool = False,
    w_signed: bool = False,
    a_complement: Field | None = None,
    to_unsigned: bool = False,
    n_rows: int = 256,
) -> Program:
    """Return to = a * w, as wide as both together; `w` decides, `a` is added.

    A signed `w` subtracts its last partial product and needs scratch `a_complement`; a signed `a`
    copies the sign of the partial sum upward at each bit. With `to_unsigned` a negative `w`, of an
    unsigned `a`, leaves 2^(n_a + n_w - 1) more in `to`, which so stays unsigned.

    Cycles, with n_a and n_w bits: (n_a + n_w) + (1 + n_a) + (n_w - 1)(n_a + 3), which is
    n^2 + 5n - 2 for equal widths; signed `a`: 2 n_a + 2 + (n_w - 1)(n_a + 4), the same for equal
    widths; signed `w`: n_a on top, and 3 n_a + 4 in all where it has one bit.

    Source: Neural Cache (unsigned formula recalled, decomposition derived; signed
    variants derived).
    """
    need_width("multiply", to, len(a) + len(w))
    b = Assembler("multiply", n_rows)
    b.reads(a, w)
    b.writes(to)
    _declare_complement(b, a, a_complement)
    fragments.multiply(
        b,
        a,
        w,
        to,
        a_signed=a_signed,
        w_signed=w_signed,
        a_complement=a_complement,
        to_unsigned=to_unsigned,
    )
    return b.build()


def _declare_complement(b: Assembler, a: Field, a_complement: Field | None) -> None:
    if a_complement is not None:
        need_width(b.name, a_complement, len(a))
        b.writes(a_complement)


def multiply_accumulate(
    a: Field,
    w: Field,
    product: Field,
    total: Field,
    *,
    a_signed: bool = False,
    w_signed: bool = False,
    a_complement: Field | None = None,
    to_unsigned: bool = False,
    n_rows: int = 256,
) -> Program:
    """Return total += a * w, in place, with the product in scratch rows, as `multiply` leaves it.

    The sum wraps when it does not fit `total`; the caller bounds it.

    Cycles: multiply + (w_total + 1): 102 + 25 = 127 for 8 bits and a total of 24.

    Source: Neural Cache (derived).
    """
    need_width("multiply_accumulate", product, len(a) + len(w))
    need_width("multiply_accumulate", total, len(product), at_least=True)
    b = Assembler("multiply_accumulate", n_rows)
    b.reads(a, w)
    b.changes(total)
    b.writes(product)
    _declare_complement(b, a, a_complement)
    fragments.multiply(
        b,
        a,
        w,
        product,
        a_signed=a_signed,
        w_signed=w_signed,
        a_complement=a_complement,
        to_unsigned=to_unsigned,
    )
    b.step(op.CARRY_RESET)
    signed = (a_signed or w_signed) and not to_unsigned
    fragments.accumulate(b, product, total, x_signed=signed)
    return b.build()


def accumulate(x: Field, total: Field, *, signed: bool = False, n_rows: int = 256) -> Program:
    """Return total += x, in place; `x` may be narrower and is extended.

    Cycles: w_total + 1. Source: derived.
    """
    need_width("accumulate", total, len(x), at_least=True)
    b = Assembler("accumulate", n_rows)
    b.reads(x)
    b.changes(total)
    b.step(op.CARRY_RESET)
    fragments.accumulate(b, x, total, x_signed=signed)
    return b.build()


def subtract_from(
    x: Field, total: Field, x_complement: Field, *, signed: bool = False, n_rows: int = 256
) -> Program:
    """Return total -= x, in place; `x` may be narrower and is extended.

    Cycles: n_x + 1 + w_total. Source: derived.
    """
    need_width("subtract_from", total, len(x), at_least=True)
    need_width("subtract_from", x_complement, len(x))
    b = Assembler("subtract_from", n_rows)
    b.reads(x)
    b.changes(total)
    b.writes(x_complement)
    fragments.subtract_from(b, x, x_complement, total, x_signed=signed)
    return b.build()


def add_constant(x: Field, value: int, *, n_rows: int = 256) -> Program:
    """Return x += value, in place, modulo 2^n; the constant is in the steps, not in rows.

    Cycles: n + 1, whatever the value. Source: derived.
    """
    b = Assembler("add_constant", n_rows)
    b.changes(x)
    b.step(op.CARRY_RESET)
    fragments.add_constant(b, x, value, x, signed=True)
    return b.build()


def divide(
    dividend: Field,
    divisor: Field,
    quotient: Field,
    remainder: Field,
    scratch: tuple[Field, Field],
    *,
    n_rows: int = 256,
) -> Program:
    """Return quotient and remainder of unsigned dividend / divisor, all of one width.

    `scratch` holds the complement of the divisor and the trial difference. A divisor of 0 gives
    the quotient 2^n - 1 and the dividend as remainder.

    Cycles: 1.5 n^2 + 5.5 n. The n cycles that start the remainder copy the dividend into it, so
    that its window slides by re-addressing and the dividend survives.

    Source: Neural Cache (recalled; the steps are ours).
    """
    complement, difference = scratch
    n = len(dividend)
    for field in (divisor, quotient, remainder, complement, difference):
        need_width("divide", field, n)
    b = Assembler("divide", n_rows)
    b.reads(dividend, divisor)
    b.writes(quotient, remainder, complement, difference)
    fragments.copy(b, dividend, remainder, note="start with the dividend")
    fragments.divide(b, divisor, quotient, remainder, complement, difference)
    return b.build()


def reduction_step(
    value: Field, moved: Field, *, signed: bool = False, n_rows: int = 256
) -> Program:
    """Return value += moved, in place, where `moved` is the partner lane's value.

    One row wider than `moved`, `value` grows by a bit: its top row is written here. Equally wide
    it wraps. The column move before it is ``Subarray.shift_columns``, one cycle a bit.

    Entry: carry latch clear. Cycles, without the move: v + 1 unsigned; v + 2 signed, whose first
    copies the sign upward; v at a fixed width.

    Source: Neural Cache (semantics derived, move cost assumed).
    """
    v = len(moved)
    need_width("reduction_step", value, v + (len(value) > v))
    b = Assembler("reduction_step", n_rows, clear_before=(op.CARRY,))
    b.reads(moved)
    b.changes_low(value, v)
    grows = len(value) > v
    if grows and signed:
        b.step(op.COPY, value[v - 1], to=value[v], note="extend the sign")
    for bit in range(v):
        b.step(op.ADD, value[bit], moved[bit], to=value[bit])
    if grows and signed:
        b.step(op.ADD, value[v], moved[v - 1], to=value[v])
    elif grows:
        b.step(op.CARRY_STORE, to=value[v])
    return b.build()
