"""A program trace taken step by step: load, step, run to, look at rows and latches, watch a cell.

>>> from bitpim import programs
>>> from bitpim.golden.program_steps import trace_of
>>> from bitpim.golden.stepper import Stepper
>>> from bitpim.programs.program import Field
>>> add = programs.add(Field("x", 0, 2), Field("y", 2, 2), Field("sum", 4, 3))
>>> at = Stepper(trace_of(add, {"x": [1, 2, 3], "y": [1, 0, 3]}))
>>> for line in at.listing():
...     print(line)
     0  ADD: sum[0] = x[0] ^ y[0] ^ C, C = majority(x[0], y[0], C)
     1  ADD: sum[1] = x[1] ^ y[1] ^ C, C = majority(x[1], y[1], C)
     2  CARRY_STORE: sum[2] = C
>>> at.step()
>>> at.row("sum[0]").tolist(), at.latch("carry").tolist()
([0, 0, 0], [1, 0, 1])
>>> at.run_to_end()
>>> at.number("sum").tolist()
[2, 2, 6]
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import ArrayBoundsError, ConfigError, MismatchError
from bitpim.golden.arrays import array_of
from bitpim.golden.differences import Difference, first_difference
from bitpim.stepped import StateForm
from bitpim_kernels.layout import from_planes, unpack
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import ProgramTrace, RowField

__all__ = ["State", "Stepper"]

Array = npt.NDArray[Any]

_BLOCK = 2**16  # steps read from the file at once


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """All that an array held after a step, by name; -1 is before the first."""

    step: int
    forms: tuple[StateForm, ...]
    values: dict[str, Array]


class Stepper:
    """An array and the program it takes; stands before the first step.

    Parameters
    ----------
    program : a program trace, or its file

    Attributes
    ----------
    program : the program trace
    position : steps taken
    """

    def __init__(self, program: ProgramTrace | str | os.PathLike[str]) -> None:
        opened = program if isinstance(program, ProgramTrace) else open_program(program)
        self.program = opened
        self.names = row_names(opened.fields)
        self.rewind()

    def rewind(self) -> None:
        """Go back before the first step."""
        self._array = array_of(self.program)
        self.position = 0
        self._port_rows = 0
        self._block: tuple[int, Array] = (0, np.empty((0, 5), np.int32))
        ways = {code: form.port for code, form in self._array.forms.items()}
        self._with_port = np.array([code for code, way in ways.items() if way != "none"], np.int32)

    @property
    def n_steps(self) -> int:
        """Steps of the program."""
        return self.program.n_steps

    @property
    def port(self) -> StateForm:
        """Form of one row of the port."""
        return self._array.port

    @property
    def counts(self) -> Counts:
        """Events of the steps taken."""
        return self._array.counts

    @property
    def states(self) -> tuple[StateForm, ...]:
        """Forms of all that the array holds."""
        return self._array.states

    def step(self, n: int = 1) -> Difference | None:
        """Take steps; return what first left through the port otherwise than recorded.

        Raises
        ------
        ConfigError
            There are not so many steps left.
        ProgramError, LayoutError
            The array cannot take one of them; those before it are taken.
        """
        return self.run_to(self.position + n)

    def run_to(self, position: int) -> Difference | None:
        """Take steps until so many are taken; raises and returns as `step`."""
        if not self.position <= position <= self.n_steps:
            raise ConfigError(
                f"{self.program.name}: need a position of {self.position} to {self.n_steps}, got "
                f"{position}; rewind to go back"
            )
        first = None
        while self.position < position:
            found = self._take(self._ahead(position))
            first = first or found
        return first

    def run_to_end(self) -> Difference | None:
        """Take all steps that are left; raises and returns as `step`."""
        return self.run_to(self.n_steps)

    def _ahead(self, position: int) -> Array:
        """Return the next steps, to a position at most, of the block they are read in."""
        first, block = self._block
        if not first <= self.position < first + len(block):
            first = self.position // _BLOCK * _BLOCK
            block = self.program.steps.read(first, min(first + _BLOCK, self.n_steps))
            self._block = first, block
            self._array.check(block, first)
        return block[self.position - first : position - first]

    def _take(self, steps: Array) -> Difference | None:
        uses = np.flatnonzero(np.isin(steps[:, 0], self._with_port))
        rows = self._rows_of_port(len(uses))
        out = self._array.run(steps, rows)
        first, self.position = self.position, self.position + len(steps)
        self._port_rows += len(uses)
        if np.array_equal(out, rows):
            return None
        at = int(np.argmax((out != rows).reshape(len(rows), -1).any(axis=1)))
        return first_difference(self._array.port, rows[at], out[at], first + int(uses[at]), {})

    def _rows_of_port(self, n: int) -> Array:
        form = self._array.port
        if not n:
            return np.empty((0, *form.shape), form.stored)
        port, start = self.program.port, self._port_rows
        there = 0 if port is None else port.shape[0]
        if port is None or start + n > there:
            raise ConfigError(
                f"{self.program.name}: need a port row for each step that uses the port, got "
                f"{there} rows by step {self.position}"
            )
        rows = port.read(start, start + n)
        self._array.check_port(rows, start)
        return rows

    def step_of_port_row(self, row: int) -> int:
        """Return the step that uses a row of the port.

        Raises
        ------
        ConfigError
            No step does.
        """
        seen = 0
        for start in range(0, self.n_steps, _BLOCK):
            block = self.program.steps.read(start, min(start + _BLOCK, self.n_steps))
            uses = np.flatnonzero(np.isin(block[:, 0], self._with_port))
            if row < seen + len(uses):
                return start + int(uses[row - seen])
            seen += len(uses)
        raise ConfigError(f"{self.program.name}: need a port row of 0..{seen - 1}, got {row}")

    @property
    def port_rows_left(self) -> int:
        """Rows of the port that no step has used."""
        return (0 if self.program.port is None else self.program.port.shape[0]) - self._port_rows

    def view(self, name: str) -> Array:
        """Return a state as it is, bits packed; not to be written, and the next step changes it."""
        return self._array.view(self._form(name).name)

    def peek(self, name: str) -> Array:
        """Return a state as numbers, bits unpacked along the last axis; a copy."""
        form = self._form(name)
        view = self._array.view(name)
        return unpack(view, form.sizes[-1]) if form.is_packed else view.copy()

    def row(self, row: int | str) -> Array:
        """Return the bits of a row, by its number or its name, as in "product[3]"."""
        numbers = {name: number for number, name in self.names.items()}
        number = numbers.get(row, -1) if isinstance(row, str) else row
        n_rows = self._form("rows").sizes[0]
        if not 0 <= number < n_rows:
            raise ArrayBoundsError(
                f"{self.program.name}: need a row of 0..{n_rows - 1} or a name of one, got {row!r}"
            )
        view = self._array.view("rows")[number : number + 1]
        return np.asarray(unpack(view, self._form("rows").sizes[-1])[0])

    def number(self, name: str, *, signed: bool = False) -> Array:
        """Return what a field of rows holds in each column, int64."""
        for field in self.program.fields:
            if field.name == name:
                rows = self._array.view("rows")[field.start : field.start + field.width]
                codes: Array = from_planes(rows, self._form("rows").sizes[-1], signed, np.int64)
                return codes
        known = ", ".join(field.name for field in self.program.fields)
        raise ConfigError(f"{self.program.name}: need a field of {known}, got {name!r}")

    def latch(self, name: str) -> Array:
        """Return the bits of a latch."""
        return self.peek(name)

    def snapshot(self) -> State:
        """Return a copy of all that the array holds now."""
        values = {form.name: self._array.view(form.name).copy() for form in self.states}
        return State(self.position - 1, self.states, values)

    def restore(self, state: State) -> None:
        """Give the array a state that it had, or another like it; position and counts stay."""
        for name, values in state.values.items():
            self._array.load(name, values)

    def differs_from(self, state: State) -> list[Difference]:
        """Return the first difference of each state from another, that being the expected one."""
        found = (
            first_difference(
                form, state.values[form.name], self._array.view(form.name), self.position - 1,
                self.names,
            )
            for form in self.states
            if form.name in state.values
        )  # fmt: skip
        return [difference for difference in found if difference is not None]

    def watch(self, name: str, *place: int) -> int | None:
        """Take steps until a cell changes; return the step that changed it, None if none did.

        `place` is its index in the state, as in ``watch("rows", 17, 5)``: row 17, column 5.
        """
        form = self._form(name)
        inside = len(place) == len(form.sizes) and all(
            0 <= index < size for index, size in zip(place, form.sizes, strict=True)
        )
        if not inside:
            raise ArrayBoundsError(
                f"{self.program.name}: need {', '.join(form.axes)} within {form.sizes}, got {place}"
            )
        before = self._cell(form, place)
        while self.position < self.n_steps:
            self.step()
            if self._cell(form, place) != before:
                return self.position - 1
        return None

    def _cell(self, form: StateForm, place: tuple[int, ...]) -> int:
        view = self._array.view(form.name)
        if not form.is_packed:
            return int(view[place])
        return int(view[*place[:-1], place[-1] // 64]) >> place[-1] % 64 & 1

    def told(self, step: int) -> str:
        """Say what a step does, in the names of its rows."""
        if not 0 <= step < self.n_steps:
            raise ConfigError(
                f"{self.program.name}: need a step of 0..{self.n_steps - 1}, got {step}"
            )
        numbers = self.program.steps.read(step, step + 1)
        self._array.check(numbers, step)
        return self._array.told(numbers[0].tolist(), self.names)

    def listing(self, start: int = 0, stop: int | None = None) -> Iterator[str]:
        """Yield the steps of a range as lines a person can follow, with the marks between them."""
        stop = self.n_steps if stop is None else stop
        marks = dict(self.program.marks)
        for step in range(start, stop):
            if step in marks:
                yield f"; {marks[step]}"
            yield f"{step:6}  {self.told(step)}"

    def require_same(self, state: State) -> None:
        """Raise MismatchError naming the first difference from an expected state."""
        found = self.differs_from(state)
        if found:
            raise MismatchError(f"{self.program.name}: {found[0]}")

    def _form(self, name: str) -> StateForm:
        for form in self.states:
            if form.name == name:
                return form
        known = ", ".join(form.name for form in self.states)
        raise ConfigError(f"{self.program.name}: need a state of {known}, got {name!r}")


def row_names(fields: tuple[RowField, ...]) -> dict[int, str]:
    """Return the names of rows; a row of several fields bears the name of the first."""
    names: dict[int, str] = {}
    for field in fields:
        for bit in range(field.width):
            names.setdefault(field.start + bit, f"{field.name}[{bit}]")
    return names
