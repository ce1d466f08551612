"""The array of stateful NOR, line by line: gates, INITs, cells from and to outside.

A step of the magic family may have several lines, and is one cycle. Here each line is taken by
itself, so that a step may be looked at while it happens: a line that opens an input of a NOR keeps
it in a latch, `opened`, and the line that ends the step reads that. Cells that a step sets are set
line by line. What is left at the end of a step is the same, since no output is an input of its
step.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import ProgramError
from bitpim.lookup.nor_array import NorArray
from bitpim.programs.family import check_table
from bitpim.programs.program import table_counts
from bitpim.stepped import StateForm, StepForm, need_padding, need_port_padding
from bitpim_kernels import magic
from bitpim_kernels.family import ROWS
from bitpim_kernels.magic import MAGIC

__all__ = ["PORT_READ", "PORT_WRITE", "SteppedNor"]

Array = npt.NDArray[Any]
Steps = npt.NDArray[np.int32]

PORT_WRITE, PORT_READ = 4096, 4097

_OWN: Final = {
    form.code: form
    for form in (
        StepForm(PORT_WRITE, "PORT_WRITE", "dst = the port", "in"),
        StepForm(PORT_READ, "PORT_READ", "the port = a", "out"),
    )
}
_OPENING: Final = (magic.NOR_OPEN, magic.NOR_OPEN_MORE, magic.NOR_WIDE)
_ROW: Final = re.compile(rf"\b(?:{'|'.join(ROWS)})\b")


class SteppedNor:
    """An array of stateful NOR that takes lines of the magic family and its own two steps.

    A row of its state is one cell of every lane, as in tables of programs.

    Parameters
    ----------
    n_rows, n_columns : cells of a lane, and lanes
    array_columns : lanes of one array; more lanes are arrays in lock step
    """

    kind: ClassVar[str] = "magic"
    forms: ClassVar[Mapping[int, StepForm]] = {
        opcode.code: StepForm(
            opcode.code, opcode.mnemonic, ", ".join(filter(None, (opcode.result, opcode.latch)))
        )
        for opcode in MAGIC.opcodes
    } | _OWN
    parameters: ClassVar[Mapping[str, range | tuple[str, ...]]] = {
        "n_rows": range(1, 2**16 + 1),
        "n_columns": range(1, 2**26),
        "array_columns": range(1, 2**26),
    }
    constants: ClassVar[Mapping[str, "np.dtype[Any]"]] = {}

    @classmethod
    def of(cls, parameters: Mapping[str, Any], constants: Mapping[str, Array]) -> "SteppedNor":
        """Make an array of parameters as its own are; it has no constants."""
        return cls(**parameters)

    def __init__(self, n_rows: int, n_columns: int, *, array_columns: int | None = None) -> None:
        lanes = n_columns if array_columns is None else array_columns
        self.made_of: Mapping[str, int | str] = {
            "n_rows": n_rows, "n_columns": n_columns, "array_columns": lanes
        }  # fmt: skip
        self._cells = NorArray(n_rows, n_columns, array_lanes=lanes)
        self.states = (
            StateForm("rows", ("row", "lane"), (n_rows, n_columns)),
            StateForm("opened", ("lane",), (n_columns,)),
        )
        self._opened = np.zeros(self.states[1].shape, np.uint64)
        self.port = StateForm("port", ("lane",), (n_columns,))

    @property
    def counts(self) -> Counts:
        """Events of all steps so far; the line that ends a step counts its cycle."""
        return self._cells.counts

    def check(self, steps: Steps, first: int) -> None:
        """Raise ProgramError, naming the step, if the array cannot take a step."""
        code, a, b, dst, predicate = (steps[:, k] for k in range(5))
        own = np.isin(code, list(_OWN))
        n_rows = self._cells.n_cells
        check_table(steps, n_rows, MAGIC, first, beside=own)
        row = np.where(code == PORT_WRITE, dst, a)
        rest = np.where(code == PORT_WRITE, a, dst)
        fits = (row >= 0) & (row < n_rows) & (rest == magic.NO_ROW)
        wrong = own & ~(fits & (b == magic.NO_ROW) & (predicate == magic.ALWAYS))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ProgramError(
                f"step {first + at}: need a step of the array magic on rows 0..{n_rows - 1}, got "
                f"{tuple(steps[at].tolist())}"
            )

    def check_port(self, rows: Array, first: int) -> None:
        """Raise LayoutError where port rows light lanes that the array has not."""
        need_port_padding(self.port, rows, first)

    def run(self, steps: Steps, port: Array) -> Array:
        """Take steps that were checked; return the port rows with what was read in its place."""
        out, cells = port.copy(), self._cells.cell_view
        taken = at = 0
        apart = np.isin(steps[:, 0], (*_OPENING, *_OWN))
        for index in np.flatnonzero(apart).tolist():
            self._cells.run_table(steps[at:index])
            at = index + 1
            code, a, _, dst, _ = steps[index].tolist()
            if code == PORT_WRITE:
                cells[dst] = out[taken]
            elif code == PORT_READ:
                out[taken] = cells[a]
            else:
                self._open(steps[index])
            taken += code in _OWN
        self._cells.run_table(steps[at:])
        return out

    def _open(self, line: Steps) -> None:
        """Take a line that opens inputs, or one that ends such a step."""
        code, a, b, dst, _ = line.tolist()
        cells = self._cells.cell_view
        if code == magic.NOR_OPEN:
            self._opened[:] = cells[a]
        elif code == magic.NOR_OPEN_MORE:
            self._opened |= cells[a]
        else:
            cells[dst] &= ~(self._opened | cells[a] | cells[b])
        self._cells.counts += table_counts(line[None], MAGIC).on_arrays(self._cells.n_arrays)

    def view(self, name: str) -> Array:
        """Return a state as it is now."""
        return self._cells.cell_view if name == "rows" else self._opened

    def load(self, name: str, values: Array) -> None:
        """Set a state."""
        need_padding(self.states[0], values, f"state {name}")  # all states are as wide
        self.view(name)[...] = values

    def told(self, step: Sequence[int], names: Mapping[int, str]) -> str:
        """Say what a line does; rows that have a name bear it."""
        code, a, b, dst, _ = step
        rows = {
            letter: names.get(row, f"row {row}")
            for letter, row in zip(("A", "B", "D"), (a, b, dst), strict=True)
        }
        form = self.forms[code]
        if code in _OWN:
            text = f"{rows['D']} = port" if code == PORT_WRITE else f"port = {rows['A']}"
            return f"{form.mnemonic}: {text}"
        opcode = MAGIC.by_code[code]
        text = f"{'D = ' if opcode.result else ''}{form.meaning}"
        return f"{form.mnemonic}: {_ROW.sub(lambda found: rows[found[0]], text)}"
