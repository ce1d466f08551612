"""Programs of taps whose weights are -1, 0 and 1: nothing is multiplied.

A weight lies as its sign, 1 for -1, and, where it may be 0, a mask, 1 where it is not. What is
added for -x is the complement of its n bits and one, 2^n - x; so sums stay unsigned, and hold 2^n
more for every -1, which the caller takes off.
"""

from bitpim.programs.assembler import Assembler
from bitpim.programs.fragments import accumulate, need_width
from bitpim.programs.program import Field, Program, Row
from bitpim_kernels import opcodes as op

__all__ = ["add_by_sign", "add_by_sign_and_mask", "count_agreements"]


def add_by_sign_and_mask(
    x: Field, w: Field, addend: Field, total: Field, *, n_rows: int = 256
) -> Program:
    """Return total += x, 2^n - x, or nothing, in place; `w` is the mask and, above it, the sign.

    Cycles: (n + 2) + (w_total + 1): 35 for 8 bits and a total of 24. The paper's fused form,
    w_total + 3, would need an adder that complements one row by a second latch.

    Source: Bit Prudent (derived: x' = (x XOR s) AND mask, carry-in s AND mask; the mask is
    the tag, which is why no row is spent on it).
    """
    _need_widths("add_by_sign_and_mask", x, addend, total)
    need_width("add_by_sign_and_mask", w, 2)
    b = Assembler("add_by_sign_and_mask", n_rows)
    b.reads(x, w)
    b.writes(addend)
    b.changes(total)
    b.step(op.TAG_LOAD, w[0], note="where there is a weight")
    _add_by_sign(b, x, w[1], addend, total, op.IF_TAG)
    return b.build()


def add_by_sign(x: Field, w: Field, addend: Field, total: Field, *, n_rows: int = 256) -> Program:
    """Return total += x, or 2^n - x where the sign `w` is set, in place.

    Cycles: (n + 1) + (w_total + 1). Source: Bit Prudent (derived: x' = x XOR s, carry-in s).
    """
    _need_widths("add_by_sign", x, addend, total)
    need_width("add_by_sign", w, 1)
    b = Assembler("add_by_sign", n_rows)
    b.reads(x, w)
    b.writes(addend)
    b.changes(total)
    _add_by_sign(b, x, w[0], addend, total, op.ALWAYS)
    return b.build()


def _need_widths(program: str, x: Field, addend: Field, total: Field) -> None:
    need_width(program, addend, len(x))
    need_width(program, total, len(x) + 1, at_least=True)


def _add_by_sign(
    b: Assembler, x: Field, sign: Row, addend: Field, total: Field, predicate: int
) -> None:
    for bit in range(len(x)):
        b.step(op.XOR, x[bit], sign, to=addend[bit], note="complement of x where -1")
    b.step(op.CARRY_SET)
    b.step(op.ADD_ROW, sign, note=f"C = {sign}, the one of -x = ~x + 1")
    for bit, row in enumerate(total):
        if bit < len(x):
            b.step(op.ADD, row, addend[bit], to=row, predicate=predicate, note="+ x or - x")
        else:
            b.step(op.ADD_ROW, row, to=row, predicate=predicate, note="carry on")


def count_agreements(
    x: Field, w: Field, same: Field, total: Field, *, padded: bool, n_rows: int = 256
) -> Program:
    """Return total += 1 where input and weight have one sign, in place.

    `x` are signed codes of two bits, 2 added: 01 for -1, 11 for 1, and 10 for the 0 of padding,
    whose low row is clear; with `padded` it never counts. As `w` is 1 for -1, unlike the upper row
    of `x`, XOR finds what agrees, and columns that hold nothing but zeros count nothing.

    Cycles: 1 + (w_total + 1), and one more with `padded`.

    Source: Bit Prudent (derived: XNOR, then one bit is added to a counter).
    """
    need_width("count_agreements", x, 2)
    need_width("count_agreements", w, 1)
    need_width("count_agreements", same, 1)
    b = Assembler("count_agreements", n_rows)
    b.reads(x, w)
    b.writes(same)
    b.changes(total)
    b.step(op.XOR, x[1], w[0], to=same[0], note="the signs agree")
    if padded:
        b.step(op.AND, same[0], x[0], to=same[0], note="and the input is no padding")
    b.step(op.CARRY_RESET)
    accumulate(b, same, total, x_signed=False)
    return b.build()
