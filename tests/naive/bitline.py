"""One lane of any logic family, one bit at a time: the record of the family, read by Python itself.

The expressions of a record are Python too, so Python evaluates them; the evaluator that programs
are turned into text with has no part in it.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from types import CodeType

from bitpim_kernels.family import Family
from bitpim_kernels.opcodes import CARRY, SRAM, TAG

Step = Sequence[int]


def majority(a: int, b: int, c: int) -> int:
    """Return what two of three bits agree on."""
    return a & b | b & c | a & c


@cache
def compiled(expression: str) -> CodeType:
    return compile(expression, expression, "eval")


def value(expression: str, bits: Mapping[str, int]) -> int:
    """Return the bit an expression means."""
    return int(eval(compiled(expression), {"majority": majority}, bits)) & 1


def run_steps(
    family: Family, table: Sequence[Step], cells: list[int], latches: dict[str, int]
) -> None:
    """Run a program on the cells and latches of one lane in place."""
    for code, row_a, row_b, dst, predicate in table:
        opcode = family.by_code[code]
        rows = {"A": row_a, "B": row_b, "D": dst}
        before = {name: cells[row] for name, row in rows.items() if row >= 0} | latches
        asked = family.where[predicate]
        if dst >= 0 and (not asked or before[asked]):
            cells[dst] = value(opcode.result, before)
        if opcode.latch:
            symbol, becomes = opcode.latch.split(" = ")
            latches[symbol] = value(becomes, before)


def run_lane(table: Sequence[Step], cells: list[int], carry: int, tag: int) -> tuple[int, int]:
    """Run an `sram` program on the cells of one lane in place and return its latches."""
    latches = {CARRY: carry, TAG: tag}
    run_steps(SRAM, table, cells, latches)
    return latches[CARRY], latches[TAG]
