"""Sums of many numbers in stateful NOR: a tree of 3:2 carry-save steps, and one add at its end.

A carry-save step makes two numbers of three, and no bit of it waits for another. So a level of the
tree takes as long as one full adder where each bit has a lane of its own; the program here has all
bits of a sum in one lane, and does them one after the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bitpim.errors import ProgramError
from bitpim.programs.assembler import Assembler
from bitpim.programs.fragments import need_width
from bitpim.programs.nor_arithmetic import nor_full_adder
from bitpim.programs.program import Field, Program, Row
from bitpim_kernels import magic

__all__ = ["csa_levels", "nor_sum", "nor_sum_scratch"]

_ZERO = -1
"""The cell that is 0, where others of a tree count from 0 and operands below it."""

Number = list[int]


def csa_levels(n_operands: int) -> int:
    """Return the levels of a tree of 3:2 carry-save steps that leaves two numbers.

    Every level makes two of each three and passes on the rest.

    Source: derived; 3: 1, 4: 2, 6: 3, 9: 4, 13: 5, 19: 6, 28: 7, 64: 10, 1024: 16.
    """
    levels = 0
    while n_operands > 2:
        n_operands -= n_operands // 3
        levels += 1
    return levels


@dataclass(frozen=True, slots=True)
class _Adder:
    """One full adder of a tree: its level, its three sources, its cells for sum and carry."""

    level: int
    bit: int
    sources: tuple[int, int, int]
    sum: int
    carry: int | None


class _Tree:
    """The full adders of a sum in order; cells whose bits are used up are taken again."""

    def __init__(self, numbers: Sequence[Number]) -> None:
        self.n_cells = 0
        self._free: list[int] = []
        self.adders: list[_Adder] = []
        level = 1
        left = list(numbers)
        while len(left) > 2:
            whole = len(left) - len(left) % 3
            made = [n for k in range(0, whole, 3) for n in self._save(level, left[k : k + 3])]
            left = made + left[whole:]
            level += 1
        self.left = left

    def _save(self, level: int, three: Sequence[Number]) -> Iterator[Number]:
        sums: Number = []
        carries: Number = [_ZERO]
        width = len(three[0])
        for bit, (x, y, z) in enumerate(zip(*three, strict=True)):
            self._free += sorted({cell for cell in (x, y, z) if cell >= 0}, reverse=True)
            total = self._take()
            carry = self._take() if bit < width - 1 else None
            self.adders.append(_Adder(level, bit, (x, y, z), total, carry))
            sums.append(total)
            carries += [] if carry is None else [carry]
        yield sums
        yield carries

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        self.n_cells += 1
        return self.n_cells - 1


def _tree(n_operands: int, n_bits: int, width: int, *, signed: bool) -> _Tree:
    """Return the tree of operands whose bits are cells below `_ZERO`, extended to the width."""
    numbers = []
    for k in range(n_operands):
        bits = [_ZERO - 1 - k * n_bits - bit for bit in range(min(n_bits, width))]
        numbers.append(bits + [bits[-1] if signed else _ZERO] * (width - len(bits)))
    return _Tree(numbers)


def nor_sum_scratch(n_operands: int, n_bits: int, width: int) -> int:
    """Return the scratch cells of a sum of `n_operands` numbers of `n_bits`, `width` bits wide."""
    return 1 + _tree(n_operands, n_bits, width, signed=True).n_cells


def nor_sum(
    operands: Sequence[Field],
    to: Field,
    scratch: Field,
    temps: Field,
    carry: Field,
    *,
    signed: bool = False,
    n_rows: int = 256,
) -> Program:
    """Return to = the sum of two operands or more, all of one width; it wraps where it is too wide.

    Operands are extended to the width of `to`, by zeros or, `signed`, by their sign. `scratch` has
    the cells that `nor_sum_scratch` says.

    Cycles, with K operands and W bits of `to`: 1 for a zero, K - 2 times 18 W - 2 (the top carry is
    not made), and 18 W + 1. Levels: `csa_levels`. Source: derived.
    """
    if len(operands) < 2:
        raise ProgramError(f"nor_sum: need 2 operands or more, got {len(operands)}")
    n, width = len(operands[0]), len(to)
    for operand in operands:
        need_width("nor_sum", operand, n)
    tree = _tree(len(operands), n, width, signed=signed)
    for field, cells in ((scratch, 1 + tree.n_cells), (temps, 4), (carry, 1)):
        need_width("nor_sum", field, cells)

    def row(cell: int) -> Row:
        if cell >= _ZERO:
            return scratch[1 + cell]
        operand, bit = divmod(_ZERO - 1 - cell, n)
        return operands[operand][bit]

    b = Assembler("nor_sum", n_rows, family=magic.MAGIC)
    b.reads(*operands)
    b.writes(to, scratch, temps, carry)
    b.step(magic.INIT0, to=row(_ZERO), note="zero")
    for adder in tree.adders:
        x, y, z = map(row, adder.sources)
        out = row(adder.sum), None if adder.carry is None else row(adder.carry)
        nor_full_adder(b, (x, y, z), out, temps, note=f"level {adder.level}, bit {adder.bit}")
    b.step(magic.INIT0, to=carry[0], note="add the last two")
    for bit, (x, y) in enumerate(zip(*tree.left, strict=True)):
        nor_full_adder(b, (row(x), row(y), carry[0]), (to[bit], carry[0]), temps)
    return b.build()
