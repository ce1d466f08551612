"""An array of stateful NOR: cells that compute with each other, and the programs they run.

A lane is one row of the memory, a cell one column: a step applies one gate to the same columns of
all rows at once. A gate lets its output fall and never lifts it, so an output that was not set to 1
before keeps its zeros: it ends as its old content AND the NOR (X-MAGIC).

One object may stand for many arrays that run in lock step: give it the lanes of all, and say how
many one array has; its counts then are those of all of them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import ArrayBoundsError, ConfigError, ProgramError
from bitpim.packed_rows import PackedRows
from bitpim.programs.family import check_step
from bitpim.programs.program import Field, Program, need_family, table_counts
from bitpim.threads import share_out, thread_limit
from bitpim_kernels.magic import ALWAYS, MAGIC, NO_ROW
from bitpim_kernels.nor import run_gates_share

__all__ = ["NorArray"]

Words = npt.NDArray[np.uint64]

_WORTH_A_THREAD = 2048  # words; below, starting the threads costs more than they save


class NorArray:
    """Cells of `n_lanes` rows x `n_cells` columns of memory; all zero at first.

    Writing and reading from outside counts nothing; what runs inside counts as its program says.

    Parameters
    ----------
    n_cells : columns of the memory, the cells a lane has
    n_lanes : rows of the memory
    array_lanes : rows of one physical array, more are arrays in lock step; `n_lanes` unless given
    n_threads : threads for many lanes; all that Numba has unless given

    Raises
    ------
    ArrayBoundsError
        There is no cell, no lane, or none in one array.
    ConfigError
        There are fewer threads than one.
    """

    def __init__(
        self,
        n_cells: int,
        n_lanes: int,
        *,
        array_lanes: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        array_lanes = n_lanes if array_lanes is None else array_lanes
        sizes = {"cell": n_cells, "lane": n_lanes, "lane of one array": array_lanes}
        for what, got in sizes.items():
            if got < 1:
                raise ArrayBoundsError(f"NorArray: need 1 {what} or more, got {got}")
        if n_threads is not None and n_threads < 1:
            raise ConfigError(f"NorArray: need 1 thread or more, got {n_threads}")
        self.n_cells = n_cells
        self.n_lanes = n_lanes
        self.n_arrays = -(-n_lanes // array_lanes)
        self.n_threads = n_threads
        self.counts = Counts()
        self._cells = PackedRows(n_cells, n_lanes, row="cell")

    @property
    def state(self) -> Words:
        """All cells as they are now, packed, (n_cells, words); a copy."""
        return self._cells.packed.copy()

    @property
    def cell_view(self) -> Words:
        """All cells, packed, (n_cells, words), to be looked at and set in place."""
        return self._cells.packed

    def write_cells(self, start: int, rows: npt.NDArray[Any]) -> None:
        """Write neighbouring cells from `start`, packed words or 0/1 a lane.

        Shapes
        ------
        rows: (n, words) uint64, or (n, n_lanes) of 0 and 1 in another dtype

        Raises
        ------
        ArrayBoundsError
            Cells or lanes lie outside the array.
        LayoutError
            Packed rows have padding that is not zero, others a bit that is no 0 or 1.
        """
        self._cells.write(start, rows, f"write_cells({start})")

    def read_cells(self, start: int, n: int, *, packed: bool = False) -> npt.NDArray[Any]:
        """Return neighbouring cells as 0/1 a lane, (n, n_lanes) uint8, or packed (n, words).

        Raises
        ------
        ArrayBoundsError
            Cells lie outside the array.
        """
        return self._cells.read(start, n, f"read_cells({start}, {n})", packed=packed)

    def write_codes(self, field: Field, codes: npt.ArrayLike) -> None:
        """Write one number a lane into the cells of a field.

        Shapes
        ------
        codes: (n_lanes,) integers

        Raises
        ------
        ArrayBoundsError
            The field lies outside the array, or there is not one integer a lane.
        LayoutError
            A code does not fit the field, unsigned or in two's complement.
        """
        self._cells.write_codes(field, codes, f"write_codes({field.name})")

    def read_codes(self, field: Field, *, signed: bool = False) -> npt.NDArray[np.int64]:
        """Return the number in each lane of a field, (n_lanes,) int64.

        Raises
        ------
        ArrayBoundsError
            The field lies outside the array.
        LayoutError
            The field is wider than int64 holds.
        """
        return self._cells.read_codes(field, f"read_codes({field.name})", signed=signed)

    def step(self, opcode: int, a: int = NO_ROW, b: int = NO_ROW, *, dst: int) -> None:
        """Run one step of one line: NOT, NOR of two cells, or an INIT of one.

        Raises
        ------
        ProgramError
            The step is none of the magic family on cells of this array, or needs several lines.
        """
        line = (opcode, a, b, dst, ALWAYS)
        rules = check_step(line, self.n_cells, "step", MAGIC)
        if rules.then or rules.uses:
            raise ProgramError(
                f"step ({rules.mnemonic}): need a step of one line, got part of one; assemble a "
                "program and run that"
            )
        self.run_table(np.array([line], np.int32))

    def run(self, program: Program) -> None:
        """Run a program in all lanes.

        Raises
        ------
        ArrayBoundsError
            The program needs more cells than a lane has.
        ProgramError
            The program is not of the magic family.
        """
        need_family(program, MAGIC, f"run({program.name})")
        if program.n_rows > self.n_cells:
            raise ArrayBoundsError(
                f"run({program.name}): need {program.n_rows} cells, got {self.n_cells}; make the "
                "array larger, or place the fields lower"
            )
        self._run_table(program.table)
        self.counts += program.counts.on_arrays(self.n_arrays)

    def run_table(self, table: npt.NDArray[np.int32]) -> None:
        """Run lines of the magic family that were checked; a step that opens inputs is whole."""
        if len(table):
            self._run_table(table)
            self.counts += table_counts(table, MAGIC).on_arrays(self.n_arrays)

    def _run_table(self, table: npt.NDArray[np.int32]) -> None:
        # a copy, since Numba compiles once more for an array that may not be written
        lines, cells = table.copy(), self._cells.stored
        n_threads = thread_limit() if self.n_threads is None else self.n_threads
        n_threads = n_threads if self._cells.n_words >= _WORTH_A_THREAD else 1
        share_out(
            n_threads, lambda share, _: run_gates_share(lines, cells, share, n_threads), n_threads
        )
        self._cells.clear_padding()
