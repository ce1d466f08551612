"""Micro-programs as data: a table of array steps, their logic family, their listing.

One step is one array cycle, so the steps of a program are its cycle count. A program is built once
for given rows and widths and holds no state; nothing in it depends on the numbers it will meet.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import overload

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import ProgramError
from bitpim_kernels.family import ROWS, Family

__all__ = ["Field", "Program", "Row", "join", "need_family", "table_counts"]

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
    """A table of steps that its assembler has checked.

    Attributes
    ----------
    name : what it computes
    family : the logic family of its steps
    table : (n_lines, 5) int32, read-only: opcode, a, b, dst, predicate; most lines are a step
    operands : names of the rows a, b and dst of each line, "" where there is none
    notes : one text for each line, often ""
    fields : the rows it was given, by name
    clear_before : symbols of the latches that must be clear before it runs
    n_rows : rows an array needs to hold it
    clear_after : symbols of the latches known to be clear when it ends
    counts : events of one run on one array
    """

    name: str
    family: Family
    table: Table
    operands: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    fields: tuple[Field, ...]
    clear_before: tuple[str, ...]
    n_rows: int
    clear_after: tuple[str, ...]
    counts: Counts

    @property
    def n_steps(self) -> int:
        """Array cycles."""
        return self.counts["cycles"]

    @property
    def step_of(self) -> list[int]:
        """The step that each line of the table belongs to."""
        return _step_of(self.table, self.family)

    @property
    def entry(self) -> tuple[str, ...]:
        """What must hold before it runs, a line each."""
        return tuple(
            f"{self.family.latch_names[symbol]} latch clear" for symbol in self.clear_before
        )

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
            bits = f"{field.width} bit{'s' * (field.width != 1)}"
            lines.append(f"  rows {field.start}{top}: {field.name}, {bits}")
        lines += [f"  entry: {condition}" for condition in self.entry]
        lines.append("step  opcode              computes")
        lines += [self._line(line, step) for line, step in enumerate(self.step_of)]
        return lines

    def _line(self, line: int, step: int) -> str:
        opcode = self.family.by_code[int(self.table[line, 0])]
        rows = self.operands[line]
        latch = self.family.where[int(self.table[line, 4])]
        where = f" where {latch}" if latch else ""
        result = f"{rows[2]} = {_with_rows(opcode.result, rows)}{where}" if rows[2] else ""
        text = ", ".join(part for part in (result, _with_rows(opcode.latch, rows)) if part)
        note = f"  ; {self.notes[line]}" if self.notes[line] else ""
        return f"{step:4}  {opcode.mnemonic:<18}  {text:<44}{note}".rstrip()


def _with_rows(text: str, rows: tuple[str, str, str]) -> str:
    """Put the rows of a step where an expression names them."""
    names = dict(zip(ROWS, rows, strict=True))
    return re.sub(r"\w+", lambda found: names.get(found[0], found[0]), text)


def table_counts(table: Table, family: Family) -> Counts:
    """Return the events of one run of a table on one array."""
    codes, times = np.unique(table[:, 0], return_counts=True)
    events: Counter[str] = Counter()
    n_steps = 0
    for code, n in zip(codes.tolist(), times.tolist(), strict=True):
        opcode = family.by_code[code]
        events.update({event: opcode.events.count(event) * n for event in set(opcode.events)})
        n_steps += 0 if opcode.then else n
    events[family.step_event] += n_steps
    return Counts(cycles=n_steps, **events)


def _step_of(table: Table, family: Family) -> list[int]:
    """Return the number of the step of each line; the last line of a step ends it."""
    ends = [not family.by_code[code].then for code in table[:, 0].tolist()]
    return list(accumulate(ends[:-1], initial=0))[: len(ends)]


def need_family(program: Program, family: Family, where: str) -> None:
    """Raise unless a program is written in a family.

    Raises
    ------
    ProgramError
        It is written in another.
    """
    if program.family != family:
        raise ProgramError(
            f"{where}: need a program of the {family.name} family, got {program.name} of the "
            f"{program.family.name} family; write it in steps of {family.name}"
        )


def join(name: str, *programs: Program) -> Program:
    """Return programs one after the other as one.

    Raises
    ------
    ProgramError
        There is none, or they are of different families; a program needs a latch clear and the one
        before does not leave it so; or two fields of one name lie on different rows.
    """
    if not programs:
        raise ProgramError(f"join {name}: need a program or more, got none")
    fields: dict[str, Field] = {}
    for program in programs:
        need_family(program, programs[0].family, f"join {name}")
        for field in program.fields:
            if fields.setdefault(field.name, field) != field:
                raise ProgramError(
                    f"join {name}: field {field.name} of {program.name} lies at row {field.start}, "
                    f"need row {fields[field.name].start} as before; rename one of them"
                )
    for before, after in pairwise(programs):
        for symbol in after.clear_before:
            if symbol not in before.clear_after:
                latch = after.family.latch_names[symbol]
                raise ProgramError(
                    f"join {name}: {after.name} needs the {latch} latch clear, {before.name} "
                    f"leaves it as it falls; put a {latch} reset between them"
                )
    table = np.concatenate([program.table for program in programs])
    table.setflags(write=False)
    return Program(
        name,
        programs[0].family,
        table,
        tuple(names for program in programs for names in program.operands),
        tuple(note for program in programs for note in program.notes),
        tuple(fields.values()),
        programs[0].clear_before,
        max(program.n_rows for program in programs),
        programs[-1].clear_after,
        sum((program.counts for program in programs), Counts()),
    )
