"""The compute SRAM, step by step: program steps, rows from and to outside, rows moved sideways."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import ProgramError
from bitpim.programs.family import check_table
from bitpim.programs.program import Field
from bitpim.sram.subarray import Subarray
from bitpim.stepped import StateForm, StepForm, need_padding, need_port_padding
from bitpim_kernels import opcodes as op
from bitpim_kernels.family import ROWS

__all__ = [
    "MOVE",
    "MOVE_AND_CLEAR",
    "MOVE_WHERE",
    "MOVE_WHERE_AND_CLEAR",
    "PORT_READ",
    "PORT_WRITE",
    "SteppedSubarray",
]

Array = npt.NDArray[Any]
Steps = npt.NDArray[np.int32]

PORT_WRITE, PORT_READ, MOVE, MOVE_AND_CLEAR, MOVE_WHERE, MOVE_WHERE_AND_CLEAR = range(512, 518)

_MOVED: Final = "dst of column c = a of column c + b, 0 where that leaves the group of columns"
_OWN: Final = {
    form.code: form
    for form in (
        StepForm(PORT_WRITE, "PORT_WRITE", "dst = the port", "in"),
        StepForm(PORT_READ, "PORT_READ", "the port = a", "out"),
        StepForm(MOVE, "MOVE", _MOVED),
        StepForm(MOVE_AND_CLEAR, "MOVE_AND_CLEAR", f"{_MOVED}; carry = 0"),
        StepForm(MOVE_WHERE, "MOVE_WHERE", f"{_MOVED}, or where the port is 0", "in"),
        StepForm(
            MOVE_WHERE_AND_CLEAR,
            "MOVE_WHERE_AND_CLEAR",
            f"{_MOVED}, or where the port is 0; carry = 0",
            "in",
        ),
    )
}
_ROW: Final = re.compile(rf"\b(?:{'|'.join(ROWS)})\b")
_MOVES: Final = (MOVE, MOVE_AND_CLEAR, MOVE_WHERE, MOVE_WHERE_AND_CLEAR)
_MASKED: Final = (MOVE_WHERE, MOVE_WHERE_AND_CLEAR)
_CLEARING: Final = (MOVE_AND_CLEAR, MOVE_WHERE_AND_CLEAR)


class SteppedSubarray:
    """A compute SRAM that takes steps of the sram family and its own six.

    A move has the columns of a group in the place of the predicate: columns stay within their group
    of so many neighbours, 0 means all columns are one. Where groups are not alike the port says
    which columns take what is moved there; the others take 0.

    Parameters
    ----------
    n_rows, n_columns, array_columns : as of `Subarray`
    move_cycles : plain accesses that a row takes to be moved

    Attributes
    ----------
    made_of : these parameters by name, as `of` takes them
    """

    kind: ClassVar[str] = "sram"
    forms: ClassVar[Mapping[int, StepForm]] = {
        opcode.code: StepForm(
            opcode.code, opcode.mnemonic, ", ".join(filter(None, (opcode.result, opcode.latch)))
        )
        for opcode in op.SRAM.opcodes
    } | _OWN
    parameters: ClassVar[Mapping[str, range | tuple[str, ...]]] = {
        "n_rows": range(1, 2**16 + 1),
        "n_columns": range(1, 2**26),
        "array_columns": range(1, 2**26),
        "move_cycles": range(2**16),
    }
    constants: ClassVar[Mapping[str, "np.dtype[Any]"]] = {}

    @classmethod
    def of(cls, parameters: Mapping[str, Any], constants: Mapping[str, Array]) -> "SteppedSubarray":
        """Make an array of parameters as its own are; it has no constants."""
        return cls(**parameters)

    def __init__(
        self, n_rows: int, n_columns: int, *, array_columns: int = 256, move_cycles: int = 1
    ) -> None:
        self.made_of: Mapping[str, int | str] = {
            "n_rows": n_rows,
            "n_columns": n_columns,
            "array_columns": array_columns,
            "move_cycles": move_cycles,
        }
        self._cells = Subarray(n_rows, n_columns, array_cols=array_columns)
        self._move_cycles = move_cycles
        self.states = (
            StateForm("rows", ("row", "column"), (n_rows, n_columns)),
            StateForm("carry", ("column",), (n_columns,)),
            StateForm("tag", ("column",), (n_columns,)),
        )
        self.port = StateForm("port", ("column",), (n_columns,))

    @property
    def counts(self) -> Counts:
        """Events of all steps so far."""
        return self._cells.counts

    def check(self, steps: Steps, first: int) -> None:
        """Raise ProgramError, naming the step, if the array cannot take a step."""
        own = steps[:, 0] >= PORT_WRITE
        n_rows = self._cells.n_rows
        check_table(steps, n_rows, op.SRAM, first, beside=own)
        code, a, b, dst, group = (steps[:, k] for k in range(5))
        moves, needs_a = np.isin(code, _MOVES), np.isin(code, (PORT_READ, *_MOVES))
        needs_dst = np.isin(code, (PORT_WRITE, *_MOVES))
        a_fits = np.where(needs_a, (a >= 0) & (a < n_rows), a == op.NO_ROW)
        dst_fits = np.where(needs_dst, (dst >= 0) & (dst < n_rows), dst == op.NO_ROW)
        rest = np.where(moves, group >= 0, (group == op.ALWAYS) & (b == op.NO_ROW))
        wrong = own & ~((needs_a | needs_dst) & a_fits & dst_fits & rest)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ProgramError(
                f"step {first + at}: need a step of the array sram on rows 0..{n_rows - 1}, got "
                f"{tuple(steps[at].tolist())}"
            )

    def check_port(self, rows: Array, first: int) -> None:
        """Raise LayoutError where port rows light columns that the array has not."""
        need_port_padding(self.port, rows, first)

    def run(self, steps: Steps, port: Array) -> Array:
        """Take steps that were checked; return the port rows with what was read in its place."""
        out = port.copy()
        taken = at = 0
        for index in np.flatnonzero(steps[:, 0] >= PORT_WRITE).tolist():
            self._cells.run_table(steps[at:index])
            taken += self._own(steps[index].tolist(), out[taken : taken + 1])
            at = index + 1
        self._cells.run_table(steps[at:])
        return out

    def _own(self, step: list[int], port: Array) -> int:
        """Take a step of the array's own; return the rows of the port it used."""
        code, a, distance, dst, group = step
        if code == PORT_WRITE:
            self._cells.write_rows(dst, port)
            return 1
        if code == PORT_READ:
            port[:] = self._cells.read_rows(a, 1, packed=True)
            return 1
        self._cells.shift_columns(
            Field("a", a, 1),
            Field("dst", dst, 1),
            distance,
            group=group or None,
            cycles_per_bit=self._move_cycles,
        )
        if code in _MASKED:
            self._cells.row_view[dst] &= port[0]
        if code in _CLEARING:
            self._cells.latch_views[0][:] = 0
        return int(code in _MASKED)

    def view(self, name: str) -> Array:
        """Return a state as it is now."""
        carry, tag = self._cells.latch_views
        return {"rows": self._cells.row_view, "carry": carry, "tag": tag}[name]

    def load(self, name: str, values: Array) -> None:
        """Set a state."""
        need_padding(self.states[0], values, f"state {name}")  # all states are as wide
        self.view(name)[...] = values

    def told(self, step: Sequence[int], names: Mapping[int, str]) -> str:
        """Say what a step does; rows that have a name bear it."""
        code, a, b, dst, last = step
        form = self.forms[code]
        rows = {"A": _row(a, names), "B": _row(b, names), "D": _row(dst, names)}
        if code in _OWN:
            where = " where the port is 1" if code in _MASKED else ""
            moved = f"{rows['D']} = {rows['A']} of column + {b}, groups of {last or 'all'}{where}"
            text = {
                PORT_WRITE: f"{rows['D']} = port",
                PORT_READ: f"port = {rows['A']}",
            }.get(code, moved)
            return f"{form.mnemonic}: {text}"
        opcode = op.SRAM.by_code[code]
        result = f"{rows['D']} = {opcode.result}" if dst != op.NO_ROW else ""
        where = f" where {op.SRAM.where[last]}" if last else ""
        parts = [f"{result}{where}" if result else "", opcode.latch]
        text = _ROW.sub(lambda found: rows[found[0]], ", ".join(filter(None, parts)))
        return f"{form.mnemonic}: {text}"


def _row(row: int, names: Mapping[int, str]) -> str:
    return names.get(row, f"row {row}")
