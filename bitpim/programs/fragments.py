"""Pieces of programs: each adds its steps to an assembler whose fields are declared already."""

from bitpim.errors import ProgramError
from bitpim.programs.assembler import Assembler
from bitpim.programs.program import Field, Row
from bitpim_kernels import opcodes as op

__all__ = [
    "accumulate",
    "add_constant",
    "clamp",
    "complement",
    "copy",
    "divide",
    "multiply",
    "need_width",
    "negate_if",
    "put_constant",
    "signed_width",
    "subtract_carries",
    "subtract_from",
]


def need_width(program: str, field: Field, width: int, *, at_least: bool = False) -> None:
    """Raise unless a field is `width` rows wide.

    Raises
    ------
    ProgramError
        It is not.
    """
    if field.width != width and not (at_least and field.width > width):
        more = "at least " if at_least else ""
        raise ProgramError(
            f"program {program}: need {more}{width} rows for field {field.name}, got {field.width}"
        )


def signed_width(*values: int) -> int:
    """Return the bits of the narrowest two's complement that holds all values."""
    return 1 + max((value if value >= 0 else ~value).bit_length() for value in values)


def bit_of(value: int, bit: int) -> int:
    """Return a bit of a two's complement of unlimited width."""
    return value >> bit & 1


def copy(b: Assembler, x: Field, to: Field, *, predicate: int = op.ALWAYS, note: str = "") -> None:
    """Copy row by row, lowest first."""
    for bit in range(len(to)):
        b.step(op.COPY, x[bit], to=to[bit], predicate=predicate, note=note)


def complement(b: Assembler, x: Field, to: Field) -> None:
    """Write the complement of each row."""
    for bit in range(len(x)):
        b.step(op.NOT, x[bit], to=to[bit], note=f"complement of {x.name}")


def put_constant(
    b: Assembler, value: int, to: Field, *, predicate: int = op.ALWAYS, note: str = ""
) -> None:
    """Write a constant, the same in every lane."""
    for bit in range(len(to)):
        b.step(
            op.ONE if bit_of(value, bit) else op.ZERO, to=to[bit], predicate=predicate, note=note
        )


def multiply(
    b: Assembler,
    a: Field,
    w: Field,
    to: Field,
    *,
    a_signed: bool = False,
    w_signed: bool = False,
    a_complement: Field | None = None,
    to_unsigned: bool = False,
) -> None:
    """Add `a` into `to` once for each bit of `w`, where that bit is set; the last is subtracted.

    The carry updates in all lanes, only the writes obey the tag. With `to_unsigned` a negative `w`
    leaves 2^(n_a + n_w - 1) more in `to`, which so stays unsigned.
    """
    if w_signed:
        if a_complement is None:
            raise ProgramError(
                f"program {b.name}: need rows a_complement for a signed multiplier, got none"
            )
        complement(b, a, a_complement)
    n_a = len(a)
    negative_only = w_signed and len(w) == 1
    n_zeros = n_a + (negative_only if a_signed else len(w))  # a sign is copied upward instead
    put_constant(b, 0, to[:n_zeros], note=f"clear {to.name}")
    for i in range(len(w)):
        last = w_signed and i == len(w) - 1
        if i > 0 and a_signed:
            b.step(op.COPY, to[i + n_a - 1], to=to[i + n_a], note="extend the sign")
        b.step(op.TAG_LOAD, w[i], note=f"bit {i} of {w.name} decides")
        if i == 0 and not last:
            copy(b, a, to[:n_a], predicate=op.IF_TAG, note=f"first partial product: {a.name}")
            if a_signed:
                b.step(op.COPY, to[n_a - 1], to=to[n_a], note="extend the sign")
            continue
        b.step(op.CARRY_SET if last else op.CARRY_RESET)
        addend = a_complement if last and a_complement is not None else a
        sign = "-" if last else "+"
        for j in range(n_a):
            row = to[i + j]
            b.step(
                op.ADD, row, addend[j], to=row, predicate=op.IF_TAG, note=f"{sign} {a.name} * 2^{i}"
            )
        top = to[i + n_a]
        if a_signed:
            b.step(op.ADD, top, addend[-1], to=top, predicate=op.IF_TAG, note=f"sign of {a.name}")
        elif last and not to_unsigned:
            b.step(op.ADD_ONES, top, to=top, predicate=op.IF_TAG, note="borrow becomes the sign")
        else:
            b.step(op.CARRY_STORE, to=top, predicate=op.IF_TAG)


def accumulate(b: Assembler, x: Field, total: Field, *, x_signed: bool) -> None:
    """Add `x` to a wider `total` in place; the carry latch is given."""
    for bit, row in enumerate(total):
        if bit < len(x) or x_signed:
            b.step(op.ADD, row, x.extended(bit), to=row, note=f"{total.name} += {x.name}")
        else:
            b.step(op.ADD_ROW, row, to=row, note="carry on")


def subtract_from(
    b: Assembler, x: Field, x_complement: Field, total: Field, *, x_signed: bool
) -> None:
    """Subtract `x` from a wider `total` in place."""
    complement(b, x, x_complement)
    b.step(op.CARRY_SET)
    for bit, row in enumerate(total):
        if bit < len(x) or x_signed:
            source = x_complement.extended(bit)
            b.step(op.ADD, row, source, to=row, note=f"{total.name} -= {x.name}")
        else:
            b.step(op.ADD_ONES, row, to=row, note="borrow on")


def subtract_carries(b: Assembler, x: Field, y: Field, y_complement: Field) -> None:
    """Leave C = (x >= y), unsigned, without writing the difference."""
    complement(b, y, y_complement)
    b.step(op.CARRY_SET)
    for bit in range(len(x)):
        b.step(op.ADD, x[bit], y_complement[bit], note=f"borrow of {x.name} - {y.name}")


def add_constant(b: Assembler, x: Field, value: int, to: Field, *, signed: bool) -> None:
    """Write x + value + C; above its width `x` is extended by its sign, or by zeros."""
    note = f"+ {value}" if value else "carry on"
    for bit, row in enumerate(to):
        one = bit_of(value, bit)
        if bit < len(x) or signed:
            b.step(op.ADD_ONES if one else op.ADD_ROW, x.extended(bit), to=row, note=note)
        else:
            # a row of zeros, then the constant on it: no row holds the extension
            b.step(op.ZERO, to=row)
            b.step(op.ADD_ONES if one else op.ADD_ROW, row, to=row, note=note)


def _at_least(b: Assembler, x: Field, value: int, *, signed: bool) -> None:
    """Leave C = (x >= value)."""
    b.step(op.CARRY_SET)
    for bit in range(len(x)):
        one = bit_of(value, bit)
        opcode = op.ADD_ROW if one else op.ADD_ONES
        if signed and bit == len(x) - 1:  # the sign bit counts the other way round
            opcode = op.ADD_NOT_ONES if one else op.ADD_NOT
        b.step(opcode, x[bit], note=f"{x.name} >= {value}?")


def _at_most(b: Assembler, x: Field, value: int, *, signed: bool) -> None:
    """Leave C = (x <= value)."""
    b.step(op.CARRY_SET)
    for bit in range(len(x)):
        one = bit_of(value, bit)
        opcode = op.ADD_NOT_ONES if one else op.ADD_NOT
        if signed and bit == len(x) - 1:
            opcode = op.ADD_ROW if one else op.ADD_ONES
        b.step(opcode, x[bit], note=f"{x.name} <= {value}?")


def clamp(b: Assembler, x: Field, bounds: tuple[int, int], *, signed: bool, n_bits: int) -> None:
    """Replace `x` by a bound where it lies outside.

    The upper bound is tested on all rows, so the lower is written to all; after the upper only
    the low `n_bits` rows count.
    """
    low, high = bounds
    _at_least(b, x, low, signed=signed)
    b.step(op.TAG_FROM_NOT_CARRY, note=f"below {low}")
    put_constant(b, low, x, predicate=op.IF_TAG, note=f"clamp to {low}")
    _at_most(b, x, high, signed=signed)
    b.step(op.TAG_FROM_NOT_CARRY, note=f"above {high}")
    put_constant(b, high, x[:n_bits], predicate=op.IF_TAG, note=f"clamp to {high}")


def negate_if(b: Assembler, x: Field, flag: Row) -> None:
    """Negate `x` in place where a row is set."""
    b.step(op.TAG_LOAD, flag, note=f"negate where {flag}")
    for row in x:
        b.step(op.NOT, row, to=row, predicate=op.IF_TAG)
    b.step(op.CARRY_SET)
    b.step(op.ADD_ROW, flag, note=f"C = {flag}")
    for row in x:
        b.step(op.ADD_ROW, row, to=row, note="+ 1 where negated")


def divide(
    b: Assembler,
    divisor: Field,
    quotient: Field,
    remainder: Field,
    divisor_complement: Field,
    difference: Field,
) -> None:
    """Divide what `remainder` holds, top bit first, and leave the remainder there.

    The partial remainder is a window of i rows that slides down `remainder` by re-addressing; its
    rows above are known zeros, so they only pass the carry on.
    """
    n = len(divisor)
    complement(b, divisor, divisor_complement)
    for i in range(1, n + 1):
        window = remainder[n - i :]
        b.step(op.CARRY_SET, note=f"quotient bit {n - i}")
        for j in range(i):
            b.step(op.ADD, window[j], divisor_complement[j], to=difference[j], note="try")
        for j in range(i, n):
            b.step(op.ADD_ROW, divisor_complement[j], note="zero - divisor")
        b.step(op.TAG_FROM_CARRY, note="it fits")
        b.step(op.TAG_STORE, to=quotient[n - i])
        copy(b, difference[:i], window, predicate=op.IF_TAG, note="keep the difference")
