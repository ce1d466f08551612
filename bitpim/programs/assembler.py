"""The builder of programs: every step is checked against the rules of the array as it is added.

Besides the form of a step (rows in range, at most two activated, latches loaded before use) the
builder follows what each row holds. A row may be read only under the name it was written by, so a
destination that clobbers a source still needed, a scratch row read before it was written, and a
predicated write that would leave stale bits are all found when the program is built.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bitpim.errors import ProgramError
from bitpim.programs.family import SRAM, Opcode
from bitpim.programs.program import CARRY_CLEAR, Field, Program, Row, table_counts
from bitpim_kernels import opcodes as op

__all__ = ["ProgramBuilder", "check_step"]


def check_step(step: Sequence[int], n_rows: int, where: str) -> Opcode:
    """Return the rules of a step's opcode after checking the form of the step.

    Raises
    ------
    ProgramError
        The opcode is unknown, a row is missing, superfluous or out of range.
    """
    code, a, b, dst, predicate = (int(number) for number in step)
    opcode = SRAM.get(code)
    if opcode is None:
        raise ProgramError(f"{where}: need an opcode of the sram family, got {code}")
    where = f"{where} ({opcode.mnemonic})"
    n_given = (a != op.NO_ROW) + (b != op.NO_ROW)
    if n_given != opcode.n_sources or (a == op.NO_ROW and b != op.NO_ROW):
        raise ProgramError(f"{where}: need {opcode.n_sources} activated rows, got {n_given}")
    if opcode.writes == "must" and dst == op.NO_ROW:
        raise ProgramError(f"{where}: need a destination row, got none")
    if opcode.writes == "never" and dst != op.NO_ROW:
        raise ProgramError(f"{where}: need no destination row, got {dst}; it writes a latch")
    for row in (a, b, dst):
        if row != op.NO_ROW and not 0 <= row < n_rows:
            raise ProgramError(f"{where}: need a row in 0..{n_rows - 1}, got {row}")
    if predicate not in (op.ALWAYS, op.IF_TAG) or (predicate == op.IF_TAG and dst == op.NO_ROW):
        raise ProgramError(
            f"{where}: need predicate ALWAYS, or IF_TAG on a row write, got {predicate}"
        )
    return opcode


@dataclass(slots=True)
class _Holds:
    """What a row holds: the name it was written under, and whether it may be changed."""

    name: str
    since: str
    kept: bool = False


class ProgramBuilder:
    """Collect the steps of one program and check each.

    Declare every field first: `reads` (operands, kept), `changes` (operands that the program
    updates), `writes` (results and scratch, undefined before).

    Parameters
    ----------
    name : what the program computes
    n_rows : rows of the array it is meant for
    carry_clear : the program counts on a clear carry latch when it starts
    """

    def __init__(self, name: str, n_rows: int = 256, *, carry_clear: bool = False) -> None:
        self.name = name
        self.n_rows = n_rows
        self._entry = (CARRY_CLEAR,) if carry_clear else ()
        self._carry: Literal["unknown", "clear", "loaded"] = "clear" if carry_clear else "unknown"
        self._tag_loaded = False
        self._holds: dict[int, _Holds] = {}
        self._fields: dict[str, Field] = {}
        self._steps: list[tuple[int, int, int, int, int]] = []
        self._operands: list[tuple[str, str, str]] = []
        self._notes: list[str] = []

    def reads(self, *fields: Field) -> None:
        """Declare operands, whose rows the program must leave as they are."""
        for field in fields:
            if self._fields.get(field.name) != field:  # x times x reads x once
                self._declare(field)
                self._hold(field, kept=True)

    def changes(self, *fields: Field) -> None:
        """Declare operands that the program may overwrite."""
        for field in fields:
            self._declare(field)
            self._hold(field, kept=False)

    def writes(self, *fields: Field) -> None:
        """Declare results and scratch, which hold nothing of use before."""
        for field in fields:
            self._declare(field)

    def changes_low(self, field: Field, width: int) -> None:
        """Declare an operand in the low rows of a field whose rows above hold nothing yet."""
        self._declare(field)
        self._hold(field[:width], kept=False)

    def step(
        self,
        opcode: int,
        *sources: Row,
        to: Row | None = None,
        if_tag: bool = False,
        note: str = "",
    ) -> None:
        """Add one step: activate `sources`, write to row `to`, only where T if `if_tag`.

        Raises
        ------
        ProgramError
            The step breaks a rule of the array; the message names step and row.
        """
        where = f"program {self.name}, step {len(self._steps)}"
        if len(sources) > 2:
            rows = ", ".join(str(row) for row in sources)
            raise ProgramError(f"{where}: need at most two activated rows, got {rows}")
        a, b = (*sources, None, None)[:2]
        predicate = op.IF_TAG if if_tag else op.ALWAYS
        row_a, row_b, dst = (op.NO_ROW if row is None else row.row for row in (a, b, to))
        numbers = (opcode, row_a, row_b, dst, predicate)
        rules = check_step(numbers, self.n_rows, where)
        where = f"{where} ({rules.mnemonic})"
        self._check_latches(rules, if_tag, where)
        for row in sources:
            self._check_read(row, where)
        if to is not None:
            self._check_write(to, if_tag, where)
        self._update_latches(opcode, rules)
        self._steps.append(numbers)
        self._operands.append((str(a or ""), str(b or ""), str(to or "")))
        self._notes.append(note)

    def build(self) -> Program:
        """Return the program.

        Raises
        ------
        ProgramError
            A declared row was never written nor held an operand.
        """
        for field in self._fields.values():
            for row in field:
                if row.row not in self._holds:
                    raise ProgramError(
                        f"program {self.name}: need every declared row used, got {row} on row "
                        f"{row.row} never written; declare a narrower field"
                    )
        table = np.array(self._steps, np.int32).reshape(-1, op.N_FIELDS)
        table.setflags(write=False)
        fields = tuple(self._fields.values())
        return Program(
            self.name,
            table,
            tuple(self._operands),
            tuple(self._notes),
            fields,
            self._entry,
            max((field.stop for field in fields), default=0),
            self._carry == "clear",
            table_counts(table),
        )

    def _declare(self, field: Field) -> None:
        where = f"program {self.name}"
        if field.stop > self.n_rows:
            raise ProgramError(
                f"{where}: need {field.stop} rows for field {field.name}, got {self.n_rows}; "
                "use narrower operands or an array with more rows"
            )
        if field.name in self._fields:
            raise ProgramError(f"{where}: need different field names, got {field.name} twice")
        self._fields[field.name] = field

    def _hold(self, field: Field, *, kept: bool) -> None:
        for row in field:
            held = self._holds.get(row.row)
            if held is not None:
                raise ProgramError(
                    f"program {self.name}: need operands on different rows, got {row} and "
                    f"{held.name} both on row {row.row}"
                )
            self._holds[row.row] = _Holds(str(row), "entry", kept)

    def _check_latches(self, rules: Opcode, if_tag: bool, where: str) -> None:
        if (if_tag or rules.tag in ("uses", "both")) and not self._tag_loaded:
            raise ProgramError(f"{where}: need the tag latch loaded before; add a tag load")
        if rules.carry in ("uses", "both") and self._carry == "unknown":
            raise ProgramError(f"{where}: need the carry latch set before; add CARRY_RESET or _SET")

    def _update_latches(self, opcode: int, rules: Opcode) -> None:
        if rules.carry in ("loads", "both"):
            self._carry = "clear" if opcode == op.CARRY_RESET else "loaded"
        self._tag_loaded = self._tag_loaded or rules.tag in ("loads", "both")

    def _check_read(self, row: Row, where: str) -> None:
        held = self._holds.get(row.row)
        if held is None:
            raise ProgramError(f"{where}: need {row} written before it is read (row {row.row})")
        if held.name != str(row):
            raise ProgramError(
                f"{where}: need {row} on row {row.row}, got {held.name} since {held.since}; "
                "its destination clobbered a source still needed"
            )

    def _check_write(self, row: Row, if_tag: bool, where: str) -> None:
        held = self._holds.get(row.row)
        field = self._fields.get(row.name)
        if field is None or not field.start <= row.row < field.stop:
            raise ProgramError(f"{where}: need a declared field, got {row} on row {row.row}")
        if held is not None and held.kept:
            raise ProgramError(
                f"{where}: need row {row.row} kept, because it holds the operand {held.name}; got "
                f"a write of {row}"
            )
        if if_tag and (held is None or held.name != str(row)):
            raise ProgramError(
                f"{where}: need {row} written in all lanes before a predicated write, or lanes "
                f"without the tag keep stale bits"
            )
        self._holds[row.row] = _Holds(str(row), f"step {len(self._steps)}")
