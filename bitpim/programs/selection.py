"""Programs that move, compare and select: copy, logic, constants, max, min, ReLU, clamp, search.

Numbers lie transposed, all bits of one down a lane. Operands are read only unless a docstring says
in place; scratch fields are named after what they hold. Cycle formulas are those of Neural Cache.
"""

from typing import Literal

from bitpim.errors import ProgramError
from bitpim.programs import fragments
from bitpim.programs.assembler import Assembler
from bitpim.programs.fragments import need_width
from bitpim.programs.program import Field, Program, Row
from bitpim_kernels import opcodes as op

__all__ = [
    "clamp",
    "complement",
    "copy",
    "equal",
    "equal_constant",
    "load_constant",
    "logic",
    "maximum",
    "minimum",
    "negate_if",
    "relu",
    "selective_copy",
    "shift_left",
    "shift_right",
    "shift_right_each",
]

_LOGIC = {
    "and": op.AND,
    "nand": op.NAND,
    "or": op.OR,
    "nor": op.NOR,
    "xor": op.XOR,
    "xnor": op.XNOR,
}


def copy(x: Field, to: Field, *, n_rows: int = 256) -> Program:
    """Return to = x. Cycles: n. Source: Neural Cache (recalled)."""
    need_width("copy", to, len(x))
    b = Assembler("copy", n_rows)
    b.reads(x)
    b.writes(to)
    fragments.copy(b, x, to)
    return b.build()


def complement(x: Field, to: Field, *, n_rows: int = 256) -> Program:
    """Return to = ~x, bit by bit. Cycles: n. Source: Neural Cache (recalled)."""
    need_width("not", to, len(x))
    b = Assembler("not", n_rows)
    b.reads(x)
    b.writes(to)
    fragments.complement(b, x, to)
    return b.build()


def logic(
    kind: Literal["and", "nand", "or", "nor", "xor", "xnor"],
    x: Field,
    y: Field,
    to: Field,
    *,
    n_rows: int = 256,
) -> Program:
    """Return to = x (kind) y, bit by bit. Cycles: n. Source: Neural Cache (recalled)."""
    if kind not in _LOGIC:
        raise ProgramError(f"logic: need one of {', '.join(_LOGIC)}, got {kind!r}")
    need_width(kind, y, len(x))
    need_width(kind, to, len(x))
    b = Assembler(kind, n_rows)
    b.reads(x, y)
    b.writes(to)
    for bit in range(len(x)):
        b.step(_LOGIC[kind], x[bit], y[bit], to=to[bit])
    return b.build()


def load_constant(value: int, to: Field, *, n_rows: int = 256) -> Program:
    """Return to = value in every lane, two's complement. Cycles: n. Source: assumed."""
    b = Assembler("load_constant", n_rows)
    b.writes(to)
    fragments.put_constant(b, value, to)
    return b.build()


def selective_copy(mask: Field, x: Field, to: Field, *, n_rows: int = 256) -> Program:
    """Return to = x where the one row of `mask` is set, else as it was, in place.

    Cycles: n + 1. Source: Neural Cache (recalled).
    """
    need_width("selective_copy", mask, 1)
    need_width("selective_copy", to, len(x))
    b = Assembler("selective_copy", n_rows)
    b.reads(mask, x)
    b.changes(to)
    b.step(op.TAG_LOAD, mask[0])
    fragments.copy(b, x, to, predicate=op.IF_TAG)
    return b.build()


def maximum(
    x: Field, best: Field, x_complement: Field, *, signed: bool = False, n_rows: int = 256
) -> Program:
    """Return best = max(best, x), in place, exact for every difference.

    Unsigned, the carry of best - x decides; signed, the sign of the (n + 1)-bit difference.
    Cycles: (2n + 1) + 1 + n = 3n + 2; signed 3n + 3.

    Source: Neural Cache (steps found, count derived).
    """
    return _extreme("maximum", x, best, x_complement, signed, n_rows)


def minimum(
    x: Field, best: Field, x_complement: Field, *, signed: bool = False, n_rows: int = 256
) -> Program:
    """Return best = min(best, x), in place, exact for every difference.

    Cycles and source as `maximum`.
    """
    return _extreme("minimum", x, best, x_complement, signed, n_rows)


def _extreme(
    name: str, x: Field, best: Field, x_complement: Field, signed: bool, n_rows: int
) -> Program:
    need_width(name, best, len(x))
    need_width(name, x_complement, len(x))
    b = Assembler(name, n_rows)
    b.reads(x)
    b.changes(best)
    b.writes(x_complement)
    fragments.subtract_carries(b, best, x, x_complement)
    least = name == "minimum"
    if signed:
        sign = x_complement[-1]
        b.step(op.ADD, best[-1], sign, to=sign, note=f"sign of {best.name} - {x.name}")
        b.step(op.TAG_LOAD_NOT if least else op.TAG_LOAD, sign)
    else:
        b.step(op.TAG_FROM_CARRY if least else op.TAG_FROM_NOT_CARRY)
    fragments.copy(b, x, best, predicate=op.IF_TAG, note=f"{x.name} is better")
    return b.build()


def relu(x: Field, *, n_rows: int = 256) -> Program:
    """Return x = max(x, 0), in place, signed; its sign enables the writing of zeros.

    Only right before requantization: a code's zero is its zero point.
    Cycles: 1 + n. Source: Neural Cache (steps found, count derived).
    """
    b = Assembler("relu", n_rows)
    b.changes(x)
    b.step(op.TAG_LOAD, x[-1], note="negative")
    fragments.put_constant(b, 0, x, predicate=op.IF_TAG)
    return b.build()


def clamp(x: Field, bounds: tuple[int, int], *, signed: bool, n_rows: int = 256) -> Program:
    """Return x clamped to the bounds, in place; the bounds are in the steps, not in rows.

    Cycles: 2 (2n + 2). Source: derived from selective copies.
    """
    low, high = bounds
    least, most = (-(1 << len(x) - 1), (1 << len(x) - 1) - 1) if signed else (0, (1 << len(x)) - 1)
    if not least <= low <= high <= most:
        raise ProgramError(
            f"clamp {x.name}: need {least} <= low <= high <= {most}, got {low} and {high}"
        )
    b = Assembler("clamp", n_rows)
    b.changes(x)
    fragments.clamp(b, x, bounds, signed=signed, n_bits=len(x))
    return b.build()


def equal(x: Field, y: Field, to: Field, *, n_rows: int = 256) -> Program:
    """Return to = (x == y) in one row; the tag latch keeps the verdict too.

    Cycles: 1 + n, and 1 to store it. Source: Neural Cache (recalled).
    """
    need_width("equal", y, len(x))
    need_width("equal", to, 1)
    b = Assembler("equal", n_rows)
    b.reads(x, y)
    b.writes(to)
    b.step(op.TAG_SET)
    for bit in range(len(x)):
        b.step(op.TAG_AND_XNOR, x[bit], y[bit])
    b.step(op.TAG_STORE, to=to[0])
    return b.build()


def equal_constant(x: Field, key: int, *, n_rows: int = 256) -> Program:
    """Return the search for a key: the tag latch ends as x == key.

    Cycles: n + 1. Source: Neural Cache (recalled).
    """
    b = Assembler("equal_constant", n_rows)
    b.reads(x)
    b.step(op.TAG_SET)
    for bit in range(len(x)):
        b.step(op.TAG_AND if key >> bit & 1 else op.TAG_AND_NOT, x[bit])
    return b.build()


def negate_if(x: Field, flag: Field, *, n_rows: int = 256) -> Program:
    """Return x = -x where the one row of `flag` is set, in place, modulo 2^n.

    Cycles: 2n + 3. Source: derived.
    """
    need_width("negate_if", flag, 1)
    b = Assembler("negate_if", n_rows)
    b.reads(flag)
    b.changes(x)
    fragments.negate_if(b, x, flag[0])
    return b.build()


def shift_left(x: Field, distance: int, to: Field, *, n_rows: int = 256) -> Program:
    """Return to = x * 2^distance modulo its width. Cycles: n_to. Source: derived.

    Where the rows below are zero already, a slice of a wider field shifts in no cycle at all.
    """
    _need_distance("shift_left", distance)
    b = Assembler("shift_left", n_rows)
    b.reads(x)
    b.writes(to)
    low = min(distance, len(to))
    fragments.put_constant(b, 0, to[:low])
    kept = min(len(x), len(to) - low)
    fragments.copy(b, x, to[low : low + kept])
    fragments.put_constant(b, 0, to[low + kept :])
    return b.build()


def shift_right(
    x: Field, distance: int, to: Field, *, signed: bool = False, n_rows: int = 256
) -> Program:
    """Return to = floor(x / 2^distance). Cycles: n_to. Source: derived.

    ``x[distance:]`` is the same in no cycle, where the narrower result will do.
    """
    _need_distance("shift_right", distance)
    b = Assembler("shift_right", n_rows)
    b.reads(x)
    b.writes(to)
    for bit, row in enumerate(to):
        if bit + distance < len(x) or signed:
            b.step(op.COPY, x.extended(bit + distance), to=row)
        else:
            b.step(op.ZERO, to=row)
    return b.build()


def shift_right_each(
    x: Field, distance: Field, *, signed: bool = False, n_rows: int = 256
) -> Program:
    """Return x = floor(x / 2^distance), in place, each lane by its own unsigned distance.

    Cycles: n_distance (n_x + 1). Source: derived from selective copies.
    """
    b = Assembler("shift_right_each", n_rows)
    b.reads(distance)
    b.changes(x)
    for k, decides in enumerate(distance):
        b.step(op.TAG_LOAD, decides, note=f"shift by {1 << k}")
        for bit, row in enumerate(x):
            source: Row = x.extended(bit + (1 << k))
            if bit + (1 << k) < len(x) or signed:
                b.step(op.COPY, source, to=row, predicate=op.IF_TAG)
            else:
                b.step(op.ZERO, to=row, predicate=op.IF_TAG)
    return b.build()


def _need_distance(name: str, distance: int) -> None:
    if distance < 0:
        raise ProgramError(f"{name}: need a distance >= 0, got {distance}; shift the other way")
