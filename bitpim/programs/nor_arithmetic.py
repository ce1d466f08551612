"""Arithmetic of stateful NOR: adders, subtract, multiply and divide, in lanes side by side.

Every gate has an INIT of its output before it, one cell at a time, so a gate costs two steps; that
is how AritPIM counts, and these programs take its numbers of steps, to the step. Steps that the
result would not need, and its counts have, are named where they are.

`temps` are four scratch cells; `carry` is one.
"""

from bitpim.programs.assembler import Assembler
from bitpim.programs.fragments import need_width
from bitpim.programs.program import Field, Program, Row
from bitpim_kernels import magic

__all__ = [
    "nor_add",
    "nor_carry_save",
    "nor_divide",
    "nor_full_adder",
    "nor_multiply",
    "nor_subtract",
]


def nor_add(
    x: Field, y: Field, to: Field, temps: Field, carry: Field, *, n_rows: int = 256
) -> Program:
    """Return to = x + y, unsigned or in two's complement.

    As wide as the operands, `to` wraps and `carry` ends as the carry out. One cell wider, it holds
    the unsigned sum.

    Cycles: 18n + 1. Cells: 3n + 5. Source: AritPIM (found).
    """
    need_width("nor_add", y, len(x))
    need_width("nor_add", to, len(x) + (len(to) > len(x)))
    b = _assembler("nor_add", n_rows, temps, carry)
    b.reads(x, y)
    b.writes(to, temps, carry)
    last = to[-1] if len(to) > len(x) else carry[0]
    b.step(magic.INIT0, to=carry[0])
    for bit in range(len(x)):
        carry_out = last if bit == len(x) - 1 else carry[0]
        nor_full_adder(b, (x[bit], y[bit], carry[0]), (to[bit], carry_out), temps)
    return b.build()


def nor_subtract(
    x: Field,
    y: Field,
    to: Field,
    temps: Field,
    carry: Field,
    complement: Field,
    *,
    n_rows: int = 256,
) -> Program:
    """Return to = x - y as x + ~y + 1, unsigned or in two's complement; it wraps.

    `complement` is one scratch cell; `carry` ends as x >= y, unsigned.

    Cycles: 20n + 1. Cells: 3n + 6. Source: AritPIM (count found; the steps are ours).
    """
    need_width("nor_subtract", y, len(x))
    need_width("nor_subtract", to, len(x))
    need_width("nor_subtract", complement, 1)
    b = _assembler("nor_subtract", n_rows, temps, carry)
    b.reads(x, y)
    b.writes(to, temps, carry, complement)
    b.step(magic.INIT1, to=carry[0])
    for bit in range(len(x)):
        _gate(b, y[bit], to=complement[0])
        sources = x[bit], complement[0], carry[0]
        nor_full_adder(b, sources, (to[bit], carry[0]), temps)
    return b.build()


def nor_multiply(
    x: Field,
    y: Field,
    to: Field,
    complement: Field,
    temps: Field,
    carry: Field,
    *,
    n_rows: int = 256,
) -> Program:
    """Return to = x * y, unsigned, as wide as both together; row by row, as at school.

    `complement` is scratch, two cells wider than `x`: that of `x`, of a bit of `y`, and a product
    of two bits.

    Cycles, with n_x and n_y bits: 4 n_x + 3 n_y + (n_y - 1)(20 n_x + 1), which is 20n^2 - 12n - 1
    for equal widths. Cells: 5n + 7; a `y` of one bit needs no adder and 6 fewer. All but one of
    the INITs that clear the upper half are for the count: their cells are written once more before
    they are read.

    Source: AritPIM (count found for up to 20 bits; the steps are ours).
    """
    n, m = len(x), len(y)
    need_width("nor_multiply", to, n + m)
    need_width("nor_multiply", complement, n + 2)
    b = _assembler("nor_multiply", n_rows, temps, carry)
    b.reads(x, y)
    b.writes(to, *((complement, temps, carry) if m > 1 else (complement[: n + 1],)))
    not_y, product = complement[n], complement[n + 1]
    for bit in range(n):
        _gate(b, x[bit], to=complement[bit], note="complement of x")
    for row in range(m):
        _gate(b, y[row], to=not_y, note=f"row {row}")
        if row:
            b.step(magic.INIT0, to=carry[0])
        for bit in range(n):
            _gate(b, complement[bit], not_y, to=product if row else to[bit])
            if row:
                out = to[row + bit], to[row + n] if bit == n - 1 else carry[0]
                nor_full_adder(b, (to[row + bit], product, carry[0]), out, temps)
        for bit in () if row else range(n, n + m):
            b.step(magic.INIT0, to=to[bit], note="clear the upper half")
    return b.build()


def nor_divide(
    dividend: Field,
    divisor: Field,
    quotient: Field,
    remainder: Field,
    scratch: Field,
    temps: Field,
    carry: Field,
    *,
    n_rows: int = 256,
) -> Program:
    """Return quotient and remainder of unsigned dividend / divisor, 2n bits by n bits.

    The quotient has to fit its n bits: dividend < divisor * 2^n, which no divisor of 0 meets. What
    comes out otherwise means nothing. `scratch` has five cells: two above the remainder, a zero, a
    term to be added, and a complement.

    Non-restoring: the remainder keeps its sign, and the next step adds the divisor to a negative
    one, or takes it from another. The remainder slides by re-addressing: its n + 2 cells are a
    ring, and a sum replaces the bit that it was made of.

    Cycles: 26n^2 + 56n + 7. Cells: 5n + 10. Two of them, before the last addition, are for the
    count: they complement the sign, as the last bit of the quotient already does.

    Source: AritPIM (count found; the steps are ours).
    """
    n = len(divisor)
    need_width("nor_divide", dividend, 2 * n)
    for field, width in ((quotient, n), (remainder, n), (scratch, 5)):
        need_width("nor_divide", field, width)
    b = _assembler("nor_divide", n_rows, temps, carry)
    b.reads(dividend, divisor)
    b.writes(quotient, remainder, scratch, temps, carry)
    ring: list[Row] = [*remainder, *scratch[:2]]
    zero, term, complement = scratch[2], scratch[3], scratch[4]

    def held(turn: int, bit: int) -> Row:
        return ring[(bit + n - 1 - turn) % (n + 2)]

    b.step(magic.INIT0, to=zero)
    b.step(magic.INIT1, to=carry[0])
    for bit in range(n + 2):
        window = dividend[n - 1 + bit] if bit <= n else zero
        _gate(b, divisor[bit] if bit < n else zero, to=term)
        nor_full_adder(b, (window, term, carry[0]), (held(0, bit), carry[0]), temps)
    _gate(b, held(0, n + 1), to=quotient[n - 1], note=f"quotient bit {n - 1}")
    for turn in range(1, n):
        subtracts = quotient[n - turn]
        _gate(b, subtracts, to=complement)
        for bit in range(n + 2):
            if bit < n:
                _equal(b, divisor[bit], complement, term, temps)
            window = held(turn - 1, bit - 1) if bit else dividend[n - 1 - turn]
            sources = window, term if bit < n else subtracts, carry[0] if bit else subtracts
            nor_full_adder(b, sources, (held(turn, bit), carry[0]), temps)
        to = quotient[n - 1 - turn]
        _gate(b, held(turn, n + 1), to=to, note=f"quotient bit {n - 1 - turn}")
    _gate(b, held(n - 1, n + 1), to=complement, note="a negative remainder takes the divisor back")
    b.step(magic.INIT0, to=carry[0])
    for bit in range(n):
        _gate(b, divisor[bit], to=temps[0])
        _gate(b, temps[0], complement, to=term)
        nor_full_adder(b, (remainder[bit], term, carry[0]), (remainder[bit], carry[0]), temps)
    return b.build()


def nor_carry_save(
    x: Field, y: Field, z: Field, sums: Field, carries: Field, temps: Field, *, n_rows: int = 256
) -> Program:
    """Return two numbers whose sum is x + y + z: ``sums + 2 * carries``, unsigned.

    No bit waits for another. Where a memory holds each bit in a lane of its own, a program of one
    bit does them all, in 18 steps whatever the width.

    Cycles: 18n. Cells: 5n + 4. Source: derived.
    """
    for field in (y, z, sums, carries):
        need_width("nor_carry_save", field, len(x))
    b = _assembler("nor_carry_save", n_rows, temps)
    b.reads(x, y, z)
    b.writes(sums, carries, temps)
    for bit in range(len(x)):
        nor_full_adder(b, (x[bit], y[bit], z[bit]), (sums[bit], carries[bit]), temps)
    return b.build()


def nor_full_adder(
    b: Assembler,
    sources: tuple[Row, Row, Row],
    to: tuple[Row, Row | None],
    temps: Field,
    note: str = "",
) -> None:
    """Add three bits in nine NORs: the sum to one cell and, unless None, the carry to another.

    A result may replace a source: the sum any of them, the carry too.

    Source: AritPIM, the full adder of nine NORs (found).
    """
    x, y, z = sources
    t0, t1, t2, t3 = temps
    _equal(b, x, y, t3, temps, note)
    _gate(b, t3, z, to=t1)
    _gate(b, t1, t3, to=t2)
    _gate(b, t1, z, to=t3)
    _gate(b, t3, t2, to=to[0])
    if to[1] is not None:
        _gate(b, t0, t1, to=to[1])


def _equal(b: Assembler, x: Row, y: Row, to: Row, temps: Field, note: str = "") -> None:
    """Compare two bits in four NORs; the first three temps end as NOR, y only, x only."""
    t0, t1, t2 = temps[:3]
    _gate(b, x, y, to=t0, note=note)
    _gate(b, x, t0, to=t1)
    _gate(b, y, t0, to=t2)
    _gate(b, t1, t2, to=to)


def _gate(b: Assembler, *sources: Row, to: Row, note: str = "") -> None:
    """Set a cell and let a NOR pull it down; of one cell, or of the same twice, a NOT."""
    different = tuple(dict.fromkeys(sources))
    b.step(magic.INIT1, to=to, note=note)
    b.step(magic.NOR if len(different) == 2 else magic.NOT, *different, to=to)


def _assembler(name: str, n_rows: int, temps: Field, carry: Field | None = None) -> Assembler:
    need_width(name, temps, 4)
    if carry is not None:
        need_width(name, carry, 1)
    return Assembler(name, n_rows, family=magic.MAGIC)
