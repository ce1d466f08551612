"""What each opcode of a logic family needs and does: the rules a program is checked against."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from bitpim_kernels import opcodes as op

__all__ = ["FAMILIES", "SRAM", "Opcode"]


Latch = Literal["none", "uses", "loads", "both"]


@dataclass(frozen=True, slots=True)
class Opcode:
    """The rules of one opcode.

    Attributes
    ----------
    mnemonic : its name in listings
    n_sources : rows it activates
    writes : whether it writes a row: ``must``, ``may`` (a carry-only add does not) or ``never``
    carry, tag : whether it ``uses`` the latch, ``loads`` it without using it, does ``both``
        (uses, then updates) or neither (``none``)
    event : the event it counts beside the compute cycle, if any
    result : what it writes; A and B are the activated rows, C the carry, T the tag latch
    latch : how it updates a latch
    """

    mnemonic: str
    n_sources: int
    writes: Literal["must", "may", "never"]
    carry: Latch
    tag: Latch
    event: str | None
    result: str
    latch: str


def _row(mnemonic: str, n_sources: int, result: str) -> Opcode:
    return Opcode(mnemonic, n_sources, "must", "none", "none", None, result, "")


def _adder(mnemonic: str, n_sources: int, result: str, latch: str) -> Opcode:
    return Opcode(mnemonic, n_sources, "may", "both", "none", None, result, latch)


def _carry(mnemonic: str, latch: str) -> Opcode:
    return Opcode(mnemonic, 0, "never", "loads", "none", "carry_reset", "", latch)


def _tag(mnemonic: str, n_sources: int, latch: str, *, uses: str = "") -> Opcode:
    carry: Latch = "uses" if uses == "C" else "none"
    tag: Latch = "both" if uses == "T" else "loads"
    return Opcode(mnemonic, n_sources, "never", carry, tag, "tag_load", "", latch)


SRAM: Final[Mapping[int, Opcode]] = {
    op.ZERO: _row("ZERO", 0, "0"),
    op.ONE: _row("ONE", 0, "1"),
    op.COPY: _row("COPY", 1, "A"),
    op.NOT: _row("NOT", 1, "~A"),
    op.AND: _row("AND", 2, "A & B"),
    op.NAND: _row("NAND", 2, "~(A & B)"),
    op.OR: _row("OR", 2, "A | B"),
    op.NOR: _row("NOR", 2, "~(A | B)"),
    op.XOR: _row("XOR", 2, "A ^ B"),
    op.XNOR: _row("XNOR", 2, "~(A ^ B)"),
    op.ADD: _adder("ADD", 2, "A ^ B ^ C", "C = majority(A, B, C)"),
    op.ADD_ROW: _adder("ADD_ROW", 1, "A ^ C", "C = A & C"),
    op.ADD_NOT: _adder("ADD_NOT", 1, "~(A ^ C)", "C = ~A & C"),
    op.ADD_ONES: _adder("ADD_ONES", 1, "~(A ^ C)", "C = A | C"),
    op.ADD_NOT_ONES: _adder("ADD_NOT_ONES", 1, "A ^ C", "C = ~A | C"),
    op.CARRY_STORE: Opcode("CARRY_STORE", 0, "must", "uses", "none", "carry_store", "C", ""),
    op.TAG_STORE: Opcode("TAG_STORE", 0, "must", "none", "uses", "tag_store", "T", ""),
    op.CARRY_RESET: _carry("CARRY_RESET", "C = 0"),
    op.CARRY_SET: _carry("CARRY_SET", "C = 1"),
    op.TAG_SET: _tag("TAG_SET", 0, "T = 1"),
    op.TAG_LOAD: _tag("TAG_LOAD", 1, "T = A"),
    op.TAG_LOAD_NOT: _tag("TAG_LOAD_NOT", 1, "T = ~A"),
    op.TAG_FROM_CARRY: _tag("TAG_FROM_CARRY", 0, "T = C", uses="C"),
    op.TAG_FROM_NOT_CARRY: _tag("TAG_FROM_NOT_CARRY", 0, "T = ~C", uses="C"),
    op.TAG_AND: _tag("TAG_AND", 1, "T = T & A", uses="T"),
    op.TAG_AND_NOT: _tag("TAG_AND_NOT", 1, "T = T & ~A", uses="T"),
    op.TAG_AND_XNOR: _tag("TAG_AND_XNOR", 2, "T = T & ~(A ^ B)", uses="T"),
}
"""Two-wordline logic of a compute SRAM."""

FAMILIES: Final[Mapping[str, Mapping[int, Opcode]]] = {"sram": SRAM}
