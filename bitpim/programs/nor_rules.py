"""Rules of the data in a NOR program: what each cell holds, step by step.

They ask the record of the `magic` family alone, so they hold for any program of it, whoever wrote
it: a cell holds something before it is read; the cell a gate writes was set before, or its old
content enters the result; and the lines of a step are all there.
"""

from collections.abc import Collection
from dataclasses import dataclass

from bitpim.programs.program import Program, need_family
from bitpim_kernels.family import NO_ROW, Opcode
from bitpim_kernels.magic import MAGIC

__all__ = ["Fault", "Flow", "follow"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a line of a program's table."""

    line: int
    said: str


@dataclass(frozen=True, slots=True)
class Flow:
    """What becomes of the cells when a program runs.

    Attributes
    ----------
    fault : the first broken rule, or None; what follows is known up to there
    unread : lines of the gates whose result nobody reads
    unread_operands : cells of the operands that no step reads
    constants : lines that read a cell as it was set, and its number
    unwritten : cells wanted as outputs that hold no operand and no result at the end
    """

    fault: Fault | None
    unread: tuple[int, ...]
    unread_operands: tuple[int, ...]
    constants: tuple[tuple[int, int], ...]
    unwritten: tuple[int, ...]


@dataclass(slots=True)
class _Held:
    """What a cell holds: the line that wrote it, None for an operand; its constant, or ""."""

    line: int | None
    constant: str = ""
    is_read: bool = False


def follow(
    program: Program,
    operands: Collection[int],
    outputs: Collection[int] = (),
    *,
    without_init: bool = False,
) -> Flow:
    """Follow what each cell holds from the first step to the last.

    Parameters
    ----------
    program : of the `magic` family
    operands : cells that hold something when it starts
    outputs : cells that are read when it has ended
    without_init : a gate may write a cell that was not set; the old content is ANDed

    Raises
    ------
    ProgramError
        The program is of another family.
    """
    need_family(program, MAGIC, "rules of NOR programs")
    trail = _Trail(program, operands, without_init)
    fault = None
    for line in range(len(program.table)):
        if said := trail.take(line):
            fault = Fault(line, said)
            break
    else:
        last = len(program.table) - 1
        if last >= 0 and (said := MAGIC.order_fault(trail.opcode(last), None)):
            fault = Fault(last, said)
    unwritten = tuple(cell for cell in dict.fromkeys(outputs) if not trail.has_value(cell))
    unread_operands = tuple(cell for cell, held in trail.operands.items() if not held.is_read)
    trail.read_all(outputs)
    return Flow(fault, trail.all_unread(), unread_operands, tuple(trail.constants), unwritten)


class _Trail:
    """The cells while a program is followed."""

    def __init__(self, program: Program, operands: Collection[int], without_init: bool) -> None:
        self.program = program
        self.lines = program.table.tolist()
        self.without_init = without_init
        self.operands = {cell: _Held(None) for cell in operands}
        self.held = dict(self.operands)
        self.unread: list[int] = []
        self.constants: list[tuple[int, int]] = []
        self._set_in_step: set[int] = set()
        self._read_in_step: set[int] = set()

    def opcode(self, line: int) -> Opcode:
        return MAGIC.by_code[self.lines[line][0]]

    def take(self, line: int) -> str:
        """Follow one line; return what is wrong with it, "" if nothing."""
        code, a, b, dst, _ = self.lines[line]
        if said := MAGIC.fault(self.lines[line], self.program.n_rows):
            return said
        rules = MAGIC.by_code[code]
        before = self.opcode(line - 1) if line else None
        if said := MAGIC.order_fault(before, rules):
            return said
        names = self.program.operands[line]
        for cell, name in ((a, names[0]), (b, names[1])):
            if cell == NO_ROW:
                continue
            held = self.held.get(cell)
            if held is None:
                return f"reads {name or cell}, which holds nothing yet; write or set it before"
            held.is_read = True
            self._read_in_step.add(cell)
            if held.constant:
                self.constants.append((line, cell))
        if dst != NO_ROW and (said := self._write(line, dst, names[2] or str(dst))):
            return said
        if not rules.then:
            self._set_in_step.clear()
            self._read_in_step.clear()
        return ""

    def _write(self, line: int, dst: int, name: str) -> str:
        rules = self.opcode(line)
        held = self.held.get(dst)
        if "D" in rules.reads:
            if dst in self._read_in_step:
                return f"need an output apart from the inputs, got {name} as both"
            if held is None or (held.constant != rules.onto and not self.without_init):
                got = "nothing" if held is None else self._left_by(held)
                way = "" if held is None else ", or allow that by --without-init"
                return (
                    f"writes {name}, which was not set to {rules.onto} before and holds {got}; "
                    f"an INIT is missing: set it{way}"
                )
            held.is_read |= not held.constant
        elif dst in self._set_in_step:
            return f"sets {name} twice"
        else:
            self._set_in_step.add(dst)
        self._forget(dst)
        constant = rules.result if rules.result in ("0", "1") else ""
        self.held[dst] = _Held(line, constant)
        return ""

    def _left_by(self, held: _Held) -> str:
        if held.line is None:
            return "an operand"
        step = self.program.step_of[held.line]
        return (
            f"{held.constant} since step {step}" if held.constant else f"the result of step {step}"
        )

    def _forget(self, cell: int) -> None:
        held = self.held.get(cell)
        if held and held.line is not None and not held.constant and not held.is_read:
            self.unread.append(held.line)

    def has_value(self, cell: int) -> bool:
        """Whether a cell holds an operand or a result."""
        held = self.held.get(cell)
        return held is not None and not held.constant

    def read_all(self, cells: Collection[int]) -> None:
        """Read cells after the last step."""
        for cell in cells:
            if cell in self.held:
                self.held[cell].is_read = True

    def all_unread(self) -> tuple[int, ...]:
        """Return the lines of gates whose result was never read."""
        for cell in self.held:
            self._forget(cell)
        return tuple(sorted(self.unread))
