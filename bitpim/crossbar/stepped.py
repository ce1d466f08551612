"""The crossbar, step by step: cells programmed, digits driven, units read, codes added up."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.crossbar.adc import MAX_ADC_BITS
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.events import COUNTED_AS, ou_events, spike_events
from bitpim.crossbar.unit_lists import MOST_SHIFT, UnitLists
from bitpim.errors import (
    AccumulatorError,
    ConfigError,
    LayoutError,
    OutOfMemoryError,
    ProgramError,
)
from bitpim.stepped import StateForm, StepForm, need_padding
from bitpim_kernels.layout import pack

__all__ = [
    "CLEAR",
    "DRIVE",
    "OUTPUT",
    "PROGRAM",
    "READ",
    "READ_PACKED",
    "READ_UNLESS_ZERO",
    "SHIFT_ADD",
    "SHIFT_SUBTRACT",
    "SteppedCrossbar",
]

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Steps = npt.NDArray[np.int32]

PROGRAM, DRIVE, READ, READ_UNLESS_ZERO, READ_PACKED = range(1024, 1029)
SHIFT_ADD, SHIFT_SUBTRACT, OUTPUT, CLEAR = range(1029, 1033)

_NONE: Final = -1
_READS: Final = (READ, READ_UNLESS_ZERO, READ_PACKED)
_SHIFTS: Final = (SHIFT_ADD, SHIFT_SUBTRACT)
_INT64: Final = 1 << 63
_INT32: Final = 1 << 31
_MOST_CELLS: Final = 1 << 28
_TOLD: Final = 8  # lines of a list that are told one by one
_KINDS_OF_CELLS: Final = ("single", "paired")

_FORMS: Final = (
    StepForm(PROGRAM, "PROGRAM", "cells of row dst = the port", "in"),
    StepForm(DRIVE, "DRIVE", "inputs of all rows = the port", "in"),
    StepForm(
        READ,
        "READ",
        "the rows of list a are opened; in each column of list b, partial sum = the sum of input "
        "times cell over these rows, code = the ADC's reading of it",
    ),
    StepForm(
        READ_UNLESS_ZERO,
        "READ_UNLESS_ZERO",
        "as READ; where the inputs of the rows are all 0, none is opened, partial sums and codes "
        "= 0 and the read is left out",
    ),
    StepForm(
        READ_PACKED,
        "READ_PACKED",
        "as READ, of the rows of list a whose input is not 0 the dst-th ou_rows ones; where there "
        "is none, none is opened, partial sums and codes = 0 and the read is left out",
    ),
    StepForm(
        SHIFT_ADD,
        "SHIFT_ADD",
        "for each column of list b: its sum += its code * its factor * 2^a",
    ),
    StepForm(
        SHIFT_SUBTRACT,
        "SHIFT_SUBTRACT",
        "for each column of list b: its sum -= its code * its factor * 2^a",
    ),
    StepForm(OUTPUT, "OUTPUT", "the port = sums a .. a + b - 1, then zeros", "out"),
    StepForm(CLEAR, "CLEAR", "all sums = 0"),
)


class SteppedCrossbar:
    """A crossbar with its input latches, its converters and its shift-and-add unit.

    Parameters
    ----------
    geometry : sizes of the array, of a cell, of an input digit and of an operation unit
    lists : rows and columns that reads open
    adc_table : reading of each partial sum, from the least one that a unit can have to the largest
    n_sums : accumulators
    paired : whether cells are pairs, whose levels may be negative
    converter : bits of the converter as events name them, or of the counter
    counted_as : what a read counts as, one of `events.COUNTED_AS`

    Attributes
    ----------
    made_of, made_with : parameters and constants by name, as `of` takes them

    Raises
    ------
    ConfigError
        Parameters and constants do not go together.
    OutOfMemoryError
        There are more cells than any array may have.
    """

    kind: ClassVar[str] = "crossbar"
    forms: ClassVar[Mapping[int, StepForm]] = {form.code: form for form in _FORMS}
    parameters: ClassVar[Mapping[str, range | tuple[str, ...]]] = {
        "n_rows": range(1, 2**16 + 1),
        "n_columns": range(1, 2**16 + 1),
        "cell_bits": range(1, 9),
        "dac_bits": range(1, 9),
        "ou_rows": range(1, 2**16 + 1),
        "ou_columns": range(1, 2**16 + 1),
        "n_sums": range(1, 2**20),
        "cells": _KINDS_OF_CELLS,
        "converter": ("exact", *map(str, range(1, MAX_ADC_BITS + 1))),
        "counted_as": COUNTED_AS,
    }
    constants: ClassVar[Mapping[str, "np.dtype[Any]"]] = dict.fromkeys(
        (*UnitLists.names(), "adc_table"), np.dtype(np.int64)
    )

    @classmethod
    def of(cls, parameters: Mapping[str, Any], constants: Mapping[str, Array]) -> "SteppedCrossbar":
        """Make an array of parameters and constants as its own are; raises as the class."""
        sizes = ("cell_bits", "ou_rows", "ou_columns", "dac_bits")
        geometry = CrossbarGeometry(
            parameters["n_rows"],
            parameters["n_columns"],
            **{name: parameters[name] for name in sizes},
        )
        return cls(
            geometry,
            UnitLists(**{name: constants[name] for name in UnitLists.names()}),
            constants["adc_table"],
            n_sums=parameters["n_sums"],
            paired=parameters["cells"] == "paired",
            converter=parameters["converter"],
            counted_as=parameters["counted_as"],
        )

    def __init__(
        self,
        geometry: CrossbarGeometry,
        lists: UnitLists,
        adc_table: Ints,
        *,
        n_sums: int,
        paired: bool = False,
        converter: str = "exact",
        counted_as: str = "ou",
    ) -> None:
        g = geometry
        self.geometry, self.lists, self._converter, self._counted_as = (
            g,
            lists,
            converter,
            counted_as,
        )
        self._least = -g.largest_sum if paired else 0
        self._table = adc_table
        self.made_of: Mapping[str, int | str] = {
            "n_rows": g.rows,
            "n_columns": g.columns,
            "cell_bits": g.cell_bits,
            "dac_bits": g.dac_bits,
            "ou_rows": g.unit_rows,
            "ou_columns": g.unit_columns,
            "n_sums": n_sums,
            "cells": _KINDS_OF_CELLS[paired],
            "converter": converter,
            "counted_as": counted_as,
        }
        self.made_with: Mapping[str, Ints] = {**lists.tables, "adc_table": adc_table}
        lists.check(g, n_sums)
        self._check_reading()
        self._ends = {
            "cells": (-g.top_level if paired else 0, g.top_level),
            "inputs": (0, (1 << g.dac_bits) - 1),
            "codes": (-_INT32, _INT32 - 1),
        }
        self._cells = np.zeros((g.rows, g.columns), np.int16)
        self._inputs = np.zeros(g.rows, np.int64)
        self._opened = pack(np.zeros(g.rows, np.uint8))
        self._partial_sums = np.zeros(g.columns, np.int64)
        self._codes = np.zeros(g.columns, np.int64)
        self._sums = np.zeros(n_sums, np.int64)
        self._reach = 0  # no sum is larger
        self._events: Counter[str] = Counter()
        self._n_port_rows = 0
        self._unit, self._limits = g.unit_rows, self._operands()

    def _check_reading(self) -> None:
        """Raise unless the table reads each partial sum, and events fit."""
        g = self.geometry
        if g.rows * g.columns > _MOST_CELLS:
            raise OutOfMemoryError(
                f"crossbar: need at most {_MOST_CELLS} cells, got {g.rows} x {g.columns}"
            )
        shape = (g.largest_sum - self._least + 1,)
        if self._table.shape != shape:
            raise ConfigError(
                f"constant adc_table: need a reading of each partial sum {self._least} to "
                f"{g.largest_sum}, so shape {shape}, got {self._table.shape}"
            )
        if np.any((self._table < -_INT32) | (self._table >= _INT32)):
            raise ConfigError("constant adc_table: need readings of 32 bits, got larger ones")
        if self._counted_as == "spike" and g.dac_bits != 1:
            raise ConfigError(
                f"crossbar: need dac_bits 1 where reads count as spikes, got {g.dac_bits}"
            )

    @property
    def states(self) -> tuple[StateForm, ...]:
        """All it holds."""
        g, number = self.geometry, np.dtype(np.int64)
        return (
            StateForm("cells", ("row", "column"), (g.rows, g.columns), np.dtype(np.int16)),
            StateForm("inputs", ("row",), (g.rows,), number),
            StateForm("opened", ("row",), (g.rows,)),
            StateForm("partial_sums", ("column",), (g.columns,), number),
            StateForm("codes", ("column",), (g.columns,), number),
            StateForm("sums", ("sum",), (len(self._sums),), number),
        )

    @property
    def port(self) -> StateForm:
        """One row of the port: wires for the larger of rows and columns."""
        width = max(self.geometry.rows, self.geometry.columns)
        return StateForm("port", ("wire",), (width,), np.dtype(np.int64))

    @property
    def counts(self) -> Counts:
        """Events of all steps so far; a read that is made takes a cycle."""
        return Counts(**self._events)

    def check(self, steps: Steps, first: int) -> None:
        """Raise ProgramError, naming the step, if the array cannot take a step."""
        wrong = ~self._can_take(steps)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ProgramError(
                f"step {first + at}: need a step of the array crossbar on its rows, lists and "
                f"sums, got {tuple(steps[at].tolist())}"
            )
        skips = (steps[:, 0] == READ_UNLESS_ZERO) | (steps[:, 0] == READ_PACKED)
        if self._table[-self._least] != 0 and skips.any():
            at = int(np.argmax(skips))
            raise ProgramError(
                f"step {first + at}: need an ADC that reads 0 as 0 to leave a read out, got one "
                f"that reads it as {self._table[-self._least]}"
            )

    def _can_take(self, steps: Steps) -> npt.NDArray[np.bool_]:
        """Tell of each step whether the array can take it."""
        code, a, b, dst, predicate = (steps[:, k].astype(np.int64) for k in range(5))
        known = (code >= PROGRAM) & (code <= CLEAR)
        limits = self._limits[np.where(known, code - PROGRAM, 0)]
        within = (steps[:, 1:4] >= limits[..., 0]) & (steps[:, 1:4] <= limits[..., 1])
        able: npt.NDArray[np.bool_] = known & within.all(axis=1) & (predicate == 0)
        reads = able & (code >= READ) & (code <= READ_PACKED)
        heights, unit = np.append(self.lists.heights, 0)[np.where(reads, a, -1)], self._unit
        able &= ~reads | np.where(code == READ_PACKED, dst * unit < heights, heights <= unit)
        able &= (code != OUTPUT) | (a + b <= len(self._sums))
        return able

    def _operands(self) -> Ints:
        """Return the smallest and the largest a, b and dst of each opcode, (opcodes, 3, 2)."""
        none, any_part = (_NONE, _NONE), (0, 2**31 - 1)
        row_list, column_list = (0, len(self.lists.heights) - 1), (0, len(self.lists.widths) - 1)
        n_sums, shift = len(self._sums), (0, MOST_SHIFT)
        by_opcode = {
            PROGRAM: (none, none, (0, self.geometry.rows - 1)),
            DRIVE: (none, none, none),
            READ: (row_list, column_list, none),
            READ_UNLESS_ZERO: (row_list, column_list, none),
            READ_PACKED: (row_list, column_list, any_part),
            SHIFT_ADD: (shift, column_list, none),
            SHIFT_SUBTRACT: (shift, column_list, none),
            OUTPUT: ((0, n_sums - 1), (1, min(n_sums, self.port.sizes[0])), none),
            CLEAR: (none, none, none),
        }
        return np.array([by_opcode[code] for code in self.forms], np.int64)

    def check_port(self, rows: Array, first: int) -> None:
        """Accept what wires carry, any number; `run` knows which step takes a row, and checks it.

        Rows that go out hold sums, rows that go in levels or digits.
        """

    def run(self, steps: Steps, port: Array) -> Array:
        """Take steps that were checked; return the port rows with the sums that went out.

        Raises
        ------
        LayoutError
            A row that goes in holds what no cell or DAC takes, or more numbers than there are
            columns or rows; no step is taken.
        AccumulatorError
            A sum could leave 64 bits; the steps before are taken.
        """
        out = port.copy()
        if len(port):
            self._check_rows_in(steps, port)
        self._n_port_rows += len(port)
        taken = 0
        for code, a, b, dst, _ in steps.tolist():
            if code in _READS:
                self._read(code, a, b, dst)
            elif code in _SHIFTS:
                self._shift_add(a, b, subtract=code == SHIFT_SUBTRACT)
            elif code == CLEAR:
                self._sums[:] = self._reach = 0
            else:
                self._pass(code, a, b, dst, out[taken])
                taken += 1
        return out

    def _check_rows_in(self, steps: Steps, port: Array) -> None:
        codes = steps[:, 0][np.isin(steps[:, 0], (PROGRAM, DRIVE, OUTPUT))]
        taken = {
            PROGRAM: ("PROGRAM", "cells", self.geometry.columns),
            DRIVE: ("DRIVE", "inputs", self.geometry.rows),
        }
        for code, (name, state, n) in taken.items():
            low, high = self._ends[state]
            rows = port[codes == code]
            wrong = ((rows[:, :n] < low) | (rows[:, :n] > high)).any(1) | (rows[:, n:] != 0).any(1)
            if wrong.any():
                at = self._n_port_rows + int(np.flatnonzero(codes == code)[np.argmax(wrong)])
                raise LayoutError(
                    f"port row {at}: {name} needs {n} numbers of {low} to {high}, then zeros, got "
                    "others"
                )

    def _pass(self, code: int, a: int, b: int, dst: int, row: Array) -> None:
        """Take a step that uses the port."""
        if code == PROGRAM:
            self._cells[dst] = row[: self.geometry.columns]
        elif code == DRIVE:
            self._inputs[:] = row[: self.geometry.rows]
        else:
            row[:b], row[b:] = self._sums[a : a + b], 0

    def _read(self, code: int, a: int, b: int, dst: int) -> None:
        rows, unit = self.lists.rows(a), self._unit
        columns = self.lists.column_lists[self.lists.of_columns(b)]
        if code == READ_PACKED:
            rows = rows[self._inputs[rows] != 0][dst * unit : (dst + 1) * unit]
        digits = self._inputs[rows]
        self._opened[:] = 0
        if not len(rows) or (code == READ_UNLESS_ZERO and not digits.any()):
            self._partial_sums[columns] = self._codes[columns] = 0
            self._events["ou_skipped"] += 1
            return
        words = np.uint64(1) << (rows % 64).astype(np.uint64)
        np.bitwise_or.at(self._opened, rows // 64, words)
        partial = digits @ self._cells[rows[:, None], columns].astype(np.int64)
        self._partial_sums[columns] = partial
        self._codes[columns] = self._table[partial - self._least]
        self._events["cycles"] += 1
        self._events.update(
            spike_events(digits, len(columns))
            if self._counted_as == "spike"
            else ou_events(len(rows), len(columns), self._converter)
        )

    def _shift_add(self, shift: int, which: int, *, subtract: bool) -> None:
        part = self.lists.of_columns(which)
        sums, factors = self.lists.column_sums[part], self.lists.column_factors[part]
        codes = self._codes[self.lists.column_lists[part]]
        self._make_room(int(np.abs(codes).max()) * int(np.abs(factors).sum()) << shift)
        added = codes * factors << shift
        np.add.at(self._sums, sums, -added if subtract else added)
        if self._opened.any():
            self._events["shift_add"] += len(codes)

    def _make_room(self, more: int) -> None:
        """Raise where a sum could leave 64 bits when so much is added."""
        if self._reach + more >= _INT64:
            self._reach = max(int(self._sums.max()), -int(self._sums.min()))
        self._reach += more
        if self._reach >= _INT64:
            raise AccumulatorError(
                f"crossbar: need sums within 64 bits, got up to {self._reach}; clear them sooner"
            )

    def view(self, name: str) -> Array:
        """Return a state as it is now."""
        states: dict[str, Array] = {
            "cells": self._cells,
            "inputs": self._inputs,
            "opened": self._opened,
            "partial_sums": self._partial_sums,
            "codes": self._codes,
            "sums": self._sums,
        }
        return states[name]

    def load(self, name: str, values: Array) -> None:
        """Set a state."""
        low, high = self._ends.get(name, (-_INT64, _INT64 - 1))
        if name == "opened":
            form = next(form for form in self.states if form.name == name)
            need_padding(form, values, "state opened")
        elif values.min() < low or values.max() > high:
            raise LayoutError(
                f"state {name}: need {low} to {high}, got {values.min()} to {values.max()}"
            )
        self.view(name)[...] = values
        if name == "sums":
            self._reach = max(int(values.max()), -int(values.min()))

    def told(self, step: Sequence[int], names: Mapping[int, str]) -> str:
        """Say what a step does; rows that have a name bear it."""
        code, a, b, dst, _ = step
        form = self.forms[code]
        text = {
            PROGRAM: f"cells of {names.get(dst, f'row {dst}')} = port",
            DRIVE: "inputs = port",
            OUTPUT: f"port = sums {a} to {a + b - 1}",
            CLEAR: "sums = 0",
        }.get(code, "")
        if code in _READS:
            part = f", part {dst} of those with an input" if code == READ_PACKED else ""
            columns = self.lists.column_lists[self.lists.of_columns(b)]
            text = f"rows {_listed(self.lists.rows(a))}{part}, columns {_listed(columns)}"
        elif code in _SHIFTS:
            columns = self.lists.column_lists[self.lists.of_columns(b)]
            sign = "-" if code == SHIFT_SUBTRACT else "+"
            text = f"sums {sign}= codes of columns {_listed(columns)} * factors << {a}"
        return f"{form.mnemonic}: {text}"


def _listed(lines: Ints) -> str:
    """Return lines as words: from first to last where they follow each other."""
    first, last = int(lines[0]), int(lines[-1])
    if np.array_equal(lines, np.arange(first, last + 1)):
        return f"{first} to {last}" if last > first else f"{first}"
    shown = ", ".join(map(str, lines[:_TOLD].tolist()))
    return f"{shown} and {len(lines) - _TOLD} more" if len(lines) > _TOLD else shown
