"""Micro-programs as data: a table of array steps, its listing, and the builder that checks it.

One step is one array cycle, so the length of a program is its cycle count. A program is built once
for given rows and widths and holds no state; nothing in it depends on the numbers it will meet.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import ProgramError
from bitpim.programs.family import SRAM
from bitpim_kernels import opcodes as op

__all__ = ["CARRY_CLEAR", "Field", "Program", "Row", "join", "table_counts"]

CARRY_CLEAR = "carry latch clear"

Table = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Row:
    """One row under the name it has in a program: bit `bit` of field `name`."""

    name: str
    bit: int
    row: int

    def __str__(self) -> str:
        return f"{self.name}[{self.bit}]"


@dataclass(frozen=True, slots=True)
class Field:
    """Neighbouring rows that hold one number in every lane, least significant bit first.

    ``x[3]`` is a row, ``x[2:6]`` a field of the same name, so a shift by re-addressing is a slice.

    Attributes
    ----------
    name : what listings call it
    start : its first row
    width : its rows
    low_bit : which bit of the name its first row is; not 0 in a slice
    """

    name: str
    start: int
    width: int
    low_bit: int = 0

    def __post_init__(self) -> None:
        if self.width < 0 or self.start < 0:
            raise ProgramError(
                f"field {self.name}: need start and width >= 0, got {self.start} and {self.width}"
            )

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.start + self.width

    @overload
    def __getitem__(self, key: int) -> Row: ...

    @overload
    def __getitem__(self, key: slice) -> "Field": ...

    def __getitem__(self, key: int | slice) -> "Row | Field":
        if isinstance(key, slice):
            start, stop, step = key.indices(self.width)
            if step != 1:
                raise ProgramError(f"field {self.name}: need neighbouring rows, got step {step}")
            return Field(self.name, self.start + start, max(stop - start, 0), self.low_bit + start)
        if not -self.width <= key < self.width:
            raise ProgramError(f"field {self.name}: need a bit below {self.width}, got {key}")
        bit = key % self.width
        return Row(self.name, self.low_bit + bit, self.start + bit)

    def __iter__(self) -> Iterator[Row]:
        return (self[bit] for bit in range(self.width))

    def __len__(self) -> int:
        return self.width

    def extended(self, bit: int) -> Row:
        """Return the row of a bit, the last row for every bit above: sign extension."""
        return self[min(bit, self.width - 1)]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A table of steps that its builder has checked.

    Attributes
    ----------
    name : what it computes
    table : (n_steps, 5) int32, read-only: opcode, a, b, dst, predicate
    operands : names of the rows a, b and dst of each step, "" where there is none
    notes : one line for each step, often ""
    fields : the rows it was given, by name
    entry : what must hold before it runs, e.g. `CARRY_CLEAR`
    n_rows : rows an array needs to hold it
    carry_clear_after : the carry latch is known to be clear when it ends
    counts : events of one run on one array
    """

    name: str
    table: Table
    operands: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    fields: tuple[Field, ...]
    entry: tuple[str, ...]
    n_rows: int
    carry_clear_after: bool
    counts: Counts

    @property
    def n_steps(self) -> int:
        """Array cycles."""
        return int(self.table.shape[0])

    def field(self, name: str) -> Field:
        """Return a field by its name."""
        for field in self.fields:
            if field.name == name:
                return field
        known = ", ".join(field.name for field in self.fields)
        raise ProgramError(f"program {self.name}: need a field of {known}, got {name!r}")

    def listing(self) -> list[str]:
        """Return the program as lines a person can follow: fields, entry, then one line a step."""
        lines = [f"program {self.name}: {self.n_steps} steps"]
        for field in self.fields:
            top = f"..{field.stop - 1}" if field.width > 1 else ""
            lines.append(f"  rows {field.start}{top}: {field.name}, {field.width} bits")
        lines += [f"  entry: {condition}" for condition in self.entry]
        lines.append("step  opcode              computes")
        lines += [self._line(step) for step in range(self.n_steps)]
        return lines

    def _line(self, step: int) -> str:
        opcode = SRAM[int(self.table[step, 0])]
        a, b, dst = self.operands[step]
        where = " where T" if self.table[step, 4] == op.IF_TAG else ""
        parts = [f"{dst} = {opcode.result}{where}" if dst else "", opcode.latch]
        text = _with_rows(", ".join(part for part in parts if part), a, b)
        note = f"  ; {self.notes[step]}" if self.notes[step] else ""
        return f"{step:4}  {opcode.mnemonic:<18}  {text:<44}{note}".rstrip()


def _with_rows(text: str, a: str, b: str) -> str:
    """Put row names where A and B stand alone."""
    return re.sub(r"\b[AB]\b", lambda found: a if found[0] == "A" else b, text)


def table_counts(table: Table) -> Counts:
    """Return the events of one run of a table on one array."""
    events = Counter(event for code in table[:, 0] if (event := SRAM[int(code)].event))
    return Counts(cycles=len(table), sram_compute_cycle=len(table), **events)


def join(name: str, *programs: Program) -> Program:
    """Return programs one after the other as one.

    Raises
    ------
    ProgramError
        A program needs the carry latch clear and the one before does not leave it so; or two
        fields of one name lie on different rows.
    """
    fields: dict[str, Field] = {}
    for program in programs:
        for field in program.fields:
            if fields.setdefault(field.name, field) != field:
                raise ProgramError(
                    f"join {name}: field {field.name} of {program.name} lies at row {field.start}, "
                    f"need row {fields[field.name].start} as before; rename one of them"
                )
    for before, after in pairwise(programs):
        if CARRY_CLEAR in after.entry and not before.carry_clear_after:
            raise ProgramError(
                f"join {name}: {after.name} needs the carry latch clear, {before.name} leaves it "
                "as it falls; put a carry reset between them"
            )
    tables = [program.table for program in programs]
    table = np.concatenate(tables) if tables else np.empty((0, 5), np.int32)
    table.setflags(write=False)
    return Program(
        name,
        table,
        tuple(names for program in programs for names in program.operands),
        tuple(note for program in programs for note in program.notes),
        tuple(fields.values()),
        programs[0].entry if programs else (),
        max((program.n_rows for program in programs), default=0),
        programs[-1].carry_clear_after if programs else False,
        sum((program.counts for program in programs), Counts()),
    )
