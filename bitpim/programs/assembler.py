"""The assembler of programs: every step is checked against its family's record as it is added.

Besides the form of a step (rows in range, at most two activated, latches loaded before use) the
assembler follows what each row holds. A row may be read only under the name it was written by, so a
destination that clobbers a source still needed, a scratch row read before it was written, and a
predicated write that would leave stale bits are all found when the program is built.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from bitpim.errors import ProgramError
from bitpim.programs.family import check_step
from bitpim.programs.program import Field, Program, Row, table_counts
from bitpim_kernels.family import ALWAYS, N_FIELDS, NO_ROW, Family, Opcode
from bitpim_kernels.opcodes import SRAM

__all__ = ["Assembler"]


@dataclass(slots=True)
class _Holds:
    """What a row holds: the name it was written under, whether it may change, its constant."""

    name: str
    since: str
    kept: bool = False
    constant: str = ""  # "0" or "1" where a step set it to that and nothing has changed it


class Assembler:
    """Collect the steps of one program and check each.

    Declare every field first: `reads` (operands, kept), `changes` (operands that the program
    updates), `writes` (results and scratch, undefined before).

    Parameters
    ----------
    name : what the program computes
    n_rows : rows of the array it is meant for
    clear_before : symbols of the latches that the program counts on being clear when it starts
    family : the logic family of its steps
    """

    def __init__(
        self,
        name: str,
        n_rows: int = 256,
        *,
        clear_before: Collection[str] = (),
        family: Family = SRAM,
    ) -> None:
        self.name = name
        self.n_rows = n_rows
        self.family = family
        if strange := set(clear_before) - family.latch_names.keys():
            raise ProgramError(
                f"program {name}: need latches of the {family.name} family, "
                f"{', '.join(family.latch_names) or 'which has none'}; got {', '.join(strange)}"
            )
        self._clear_before = self._in_order(clear_before)
        self._loaded, self._clear = set(clear_before), set(clear_before)
        self._n_ended = 0  # steps
        self._of_step: set[str] = set()
        self._read_in_step: set[int] = set()
        self._written_in_step: set[int] = set()
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
        predicate: int = ALWAYS,
        note: str = "",
        onto_old: bool = False,
    ) -> None:
        """Add one line: activate `sources`, write to row `to` in the lanes of a predicate.

        Where an opcode needs its row prepared, `onto_old` says that what the row held is wanted in
        the result.

        Raises
        ------
        ProgramError
            The step breaks a rule of the array; the message names step and row.
        """
        where = f"program {self.name}, step {self._n_ended}"
        if len(sources) > 2:
            rows = ", ".join(str(row) for row in sources)
            raise ProgramError(f"{where}: need at most two activated rows, got {rows}")
        a, b = (*sources, None, None)[:2]
        row_a, row_b, dst = (NO_ROW if row is None else row.row for row in (a, b, to))
        numbers = (opcode, row_a, row_b, dst, predicate)
        rules = check_step(numbers, self.n_rows, where, self.family)
        where = f"{where} ({rules.mnemonic})"
        self._check_order(rules, where)
        self._check_latches(rules, predicate, where)
        for row in sources:
            self._check_read(row, where)
        if to is not None:
            self._check_once(to, rules, where)
            self._check_write(to, rules, predicate, where)
            if rules.onto and not onto_old:
                self._check_prepared(to, rules, where)
            constant = rules.result if rules.result in ("0", "1") else ""
            self._holds[to.row] = _Holds(str(to), f"step {self._n_ended}", constant=constant)
        self._update_latches(rules)
        self._update_rows(numbers, rules)
        self._steps.append(numbers)
        self._operands.append((str(a or ""), str(b or ""), str(to or "")))
        self._notes.append(note)

    def build(self) -> Program:
        """Return the program.

        Raises
        ------
        ProgramError
            A declared row was never written nor held an operand, or the last step has no end.
        """
        self._check_order(None, f"program {self.name}, step {self._n_ended}")
        for field in self._fields.values():
            for row in field:
                if row.row not in self._holds:
                    raise ProgramError(
                        f"program {self.name}: need every declared row used, got {row} on row "
                        f"{row.row} never written; declare a narrower field"
                    )
        table = np.array(self._steps, np.int32).reshape(-1, N_FIELDS)
        table.setflags(write=False)
        fields = tuple(self._fields.values())
        return Program(
            self.name,
            self.family,
            table,
            tuple(self._operands),
            tuple(self._notes),
            fields,
            self._clear_before,
            max((field.stop for field in fields), default=0),
            self._in_order(self._clear),
            table_counts(table, self.family),
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

    def _check_order(self, rules: Opcode | None, where: str) -> None:
        before = self.family.by_code[self._steps[-1][0]] if self._steps else None
        if fault := self.family.order_fault(before, rules):
            raise ProgramError(f"{where}: {fault}, or the step has no end")

    def _check_prepared(self, row: Row, rules: Opcode, where: str) -> None:
        held = self._holds[row.row]
        if held.constant != rules.onto:
            raise ProgramError(
                f"{where}: need {row} set to {rules.onto} before, got what {held.since} left; set "
                "it, or say onto_old where its old content is wanted in the result"
            )

    def _check_once(self, row: Row, rules: Opcode, where: str) -> None:
        if rules.onto and row.row in self._read_in_step:
            raise ProgramError(f"{where}: need an output apart from the inputs, got {row} as both")
        if row.row in self._written_in_step:
            raise ProgramError(f"{where}: need each row written once in a step, got {row} twice")

    def _in_order(self, symbols: Collection[str]) -> tuple[str, ...]:
        return tuple(symbol for symbol in self.family.latch_names if symbol in symbols)

    def _check_latches(self, rules: Opcode, predicate: int, where: str) -> None:
        asked = self.family.where[predicate]
        used = rules.uses | {asked} if asked else rules.uses
        for symbol in sorted(used - self._loaded):
            raise ProgramError(
                f"{where}: need the {self.family.latch_names[symbol]} latch loaded before; add one "
                f"of {', '.join(self.family.loaders(symbol))}"
            )

    def _update_latches(self, rules: Opcode) -> None:
        if rules.loads:
            self._loaded.add(rules.loads)
            self._clear.discard(rules.loads)
            if rules.update == "0":
                self._clear.add(rules.loads)
        if not rules.then:  # what the lines of a step load lasts as long as the step
            self._loaded -= self._of_step
            self._of_step.clear()
            self._n_ended += 1
        elif rules.loads:
            self._of_step.add(rules.loads)

    def _update_rows(self, line: tuple[int, int, int, int, int], rules: Opcode) -> None:
        self._read_in_step |= {line[1], line[2]}
        self._written_in_step |= {line[3]}
        if not rules.then:
            self._read_in_step.clear()
            self._written_in_step.clear()

    def _check_read(self, row: Row, where: str) -> None:
        held = self._holds.get(row.row)
        if held is None:
            raise ProgramError(f"{where}: need {row} written before it is read (row {row.row})")
        if held.name != str(row):
            raise ProgramError(
                f"{where}: need {row} on row {row.row}, got {held.name} since {held.since}; "
                "its destination clobbered a source still needed"
            )

    def _check_write(self, row: Row, rules: Opcode, predicate: int, where: str) -> None:
        held = self._holds.get(row.row)
        field = self._fields.get(row.name)
        if field is None or not field.start <= row.row < field.stop:
            raise ProgramError(f"{where}: need a declared field, got {row} on row {row.row}")
        if held is not None and held.kept:
            raise ProgramError(
                f"{where}: need row {row.row} kept, because it holds the operand {held.name}; got "
                f"a write of {row}"
            )
        if held is not None and held.name == str(row):
            return
        if predicate != ALWAYS:
            raise ProgramError(
                f"{where}: need {row} written in all lanes before a predicated write, or lanes "
                f"where {self.family.where[predicate]} is 0 keep stale bits"
            )
        if "D" in rules.reads:
            raise ProgramError(
                f"{where}: need {row} written before, because what it holds enters the result"
            )
