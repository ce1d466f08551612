"""A compute SRAM: cells, carry and tag latches, and the programs they run.

One object may stand for many arrays side by side that run in lock step: give it all their columns
and say how many one array has; its counts then are those of all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import ArrayBoundsError, ProgramError
from bitpim.packed_rows import PackedRows
from bitpim.programs.family import check_step
from bitpim.programs.program import Field, Program, need_family, table_counts
from bitpim.threads import share_out, thread_limit
from bitpim_kernels import opcodes as op
from bitpim_kernels.bitline import (
    BLOCK_WORDS,
    run_program,
    run_program_share,
)
from bitpim_kernels.layout import pack, tail_mask
from bitpim_kernels.words import shift_lanes_down, shift_lanes_up

__all__ = ["ArrayState", "Subarray"]

Words = npt.NDArray[np.uint64]
Bits = npt.NDArray[np.uint8]

_ALL_LANES = np.uint64(0xFFFFFFFFFFFFFFFF)
_WORTH_A_THREAD = 8 * BLOCK_WORDS  # words; below, starting the threads costs more than they save


@dataclass(frozen=True, slots=True)
class ArrayState:
    """A copy of all cells and latches, packed."""

    rows: Words
    carry: Words
    tag: Words


class Subarray:
    """Cells of `n_rows` x `n_cols` with a carry and a tag latch under each column.

    Starts with all cells and latches zero.

    Parameters
    ----------
    n_rows, n_cols : wordlines and bitline pairs; columns are lanes
    array_cols : columns of one physical array; more columns are arrays in lock step
    block_words : words of a lane block while a program runs
    n_threads : threads for wide arrays; all that Numba has unless given
    """

    def __init__(
        self,
        n_rows: int = 256,
        n_cols: int = 256,
        *,
        array_cols: int = 256,
        block_words: int = BLOCK_WORDS,
        n_threads: int | None = None,
    ) -> None:
        sizes = {"rows": n_rows, "columns": n_cols, "columns of one array": array_cols}
        sizes |= {"block words": block_words}
        for what, got in sizes.items():
            if got < 1:
                raise ArrayBoundsError(f"Subarray: need at least 1 {what}, got {got}")
        self.n_rows = n_rows
        self.n_cols = n_cols
        self.n_arrays = -(-n_cols // array_cols)
        self.block_words = block_words
        self.n_threads = n_threads
        self.counts = Counts()
        self._cells = PackedRows(n_rows, n_cols, n_latches=2, lane="column")
        self._rows = self._cells.packed
        self._carry, self._tag = self._cells.latches

    @property
    def state(self) -> ArrayState:
        """All cells and latches as they are now; looking counts no event."""
        return ArrayState(self._rows.copy(), self._carry.copy(), self._tag.copy())

    @property
    def row_view(self) -> Words:
        """All rows as they are, packed; writing there counts no event."""
        return self._rows

    @property
    def latch_views(self) -> tuple[Words, Words]:
        """The carry and the tag latch as they are, packed; writing there counts no event."""
        return self._carry, self._tag

    def write_rows(self, start: int, rows: npt.NDArray[Any]) -> None:
        """Write neighbouring rows from `start`, packed words or 0/1 a column.

        Shapes
        ------
        rows: (n, words) uint64, or (n, n_cols) of 0 and 1 in another dtype

        Raises
        ------
        ArrayBoundsError
            Rows or columns lie outside the array.
        LayoutError
            Packed rows have padding that is not zero, others a bit that is no 0 or 1.
        """
        self._count_access(self._cells.write(start, rows, f"write_rows({start})"))

    def read_rows(self, start: int, n: int, *, packed: bool = False) -> npt.NDArray[Any]:
        """Return neighbouring rows as 0/1 a column, (n, n_cols) uint8, or packed (n, words).

        Raises
        ------
        ArrayBoundsError
            Rows lie outside the array.
        """
        rows = self._cells.read(start, n, f"read_rows({start}, {n})", packed=packed)
        self._count_access(n)
        return rows

    def write_codes(self, field: Field, codes: npt.ArrayLike) -> None:
        """Write one number a column, transposed into the rows of a field.

        Shapes
        ------
        codes: (n_cols,) integers

        Raises
        ------
        ArrayBoundsError
            The field lies outside the array, or there is not one integer a column.
        LayoutError
            A code does not fit the field, unsigned or in two's complement.
        """
        self._cells.write_codes(field, codes, f"write_codes({field.name})")
        self._count_access(field.width)

    def read_codes(self, field: Field, *, signed: bool = False) -> npt.NDArray[np.int64]:
        """Return the number in each column of a field, (n_cols,) int64.

        Raises
        ------
        ArrayBoundsError
            The field lies outside the array.
        LayoutError
            The field is wider than int64 holds.
        """
        codes = self._cells.read_codes(field, f"read_codes({field.name})", signed=signed)
        self._count_access(field.width)
        return codes

    def step(self, opcode: int, a: int = op.NO_ROW, b: int = op.NO_ROW, **where: int) -> None:
        """Run one step; ``dst=`` names the row it writes, ``predicate=`` is IF_TAG or ALWAYS.

        Raises
        ------
        ProgramError
            The step is not one of the sram family on rows of this array.
        """
        dst = where.pop("dst", op.NO_ROW)
        predicate = where.pop("predicate", op.ALWAYS)
        if where:
            raise ProgramError(f"step: need dst= and predicate= only, got {', '.join(where)}")
        numbers: Sequence[int] = (opcode, a, b, dst, predicate)
        check_step(numbers, self.n_rows, "step", op.SRAM)
        table = np.array([numbers], np.int32)
        self._run_table(table)
        self.counts += table_counts(table, op.SRAM).on_arrays(self.n_arrays)

    def run(self, program: Program) -> None:
        """Run a program on all columns.

        Raises
        ------
        ArrayBoundsError
            The program needs more rows than the array has.
        ProgramError
            The program is not of the sram family, or a latch it counts on being clear is not.
        """
        need_family(program, op.SRAM, f"run({program.name})")
        if program.n_rows > self.n_rows:
            raise ArrayBoundsError(
                f"run({program.name}): need {program.n_rows} rows, got {self.n_rows}; place its "
                "fields lower"
            )
        for symbol, latch in ((op.CARRY, self._carry), (op.TAG, self._tag)):
            if symbol in program.clear_before and latch.any():
                name = op.SRAM.latch_names[symbol]
                raise ProgramError(
                    f"run({program.name}): need the {name} latch clear, got some set; reset it "
                    "before"
                )
        self._run_table(program.table)
        self.counts += program.counts.on_arrays(self.n_arrays)

    def run_table(self, table: npt.NDArray[np.int32]) -> None:
        """Run steps that `programs.family.check_table` passed for an array of so many rows."""
        if len(table):
            self._run_table(table)
            self.counts += table_counts(table, op.SRAM).on_arrays(self.n_arrays)

    def shift_columns(
        self,
        source: Field,
        to: Field,
        distance: int,
        *,
        group: int | None = None,
        cycles_per_bit: int = 1,
    ) -> None:
        """Move rows sideways: column c of `to` takes column c + distance of `source`.

        Columns without a partner take 0; with `group` a partner is one of the same `group`
        neighbouring columns. Latches stay. Every row costs `cycles_per_bit` plain accesses (move
        cost assumed).

        Raises
        ------
        ArrayBoundsError
            Rows lie outside the array, or the fields differ in width.
        """
        where = f"shift_columns({source.name}, {to.name})"
        self._cells.check(source.start, source.width, where)
        self._cells.check(to.start, to.width, where)
        if source.width != to.width:
            raise ArrayBoundsError(f"{where}: need equal widths, got {source.width} and {to.width}")
        moved = np.zeros((source.width, self._rows.shape[1]), np.uint64)
        for bit in range(source.width):
            row = self._rows[source.start + bit]
            if distance >= 0:
                shift_lanes_down(row, distance, moved[bit])
            else:
                shift_lanes_up(row, -distance, tail_mask(self.n_cols), moved[bit])
        if group is not None:
            partner = np.arange(min(group, self.n_cols)) + distance
            moved &= pack(np.resize((partner >= 0) & (partner < group), self.n_cols))
        self._rows[to.start : to.stop] = moved
        self._count_access(source.width * cycles_per_bit)

    def _run_table(self, table: npt.NDArray[np.int32]) -> None:
        stored = self._cells.stored
        rows, (carry, tag) = stored[: self.n_rows], stored[self.n_rows :]
        # a copy, since Numba compiles once more for an array that may not be written
        state = (table.copy(), rows, carry, tag, _ALL_LANES, self.block_words)
        n_threads = thread_limit() if self.n_threads is None else self.n_threads
        if n_threads > 1 and self._rows.shape[1] >= _WORTH_A_THREAD:

            def run(share: int, _: int) -> None:
                run_program_share(*state, share, n_threads)

            share_out(n_threads, run, n_threads)
        else:
            run_program(*state)
        self._cells.clear_padding()

    def _count_access(self, n_rows: int) -> None:
        self.counts += Counts(cycles=n_rows, sram_access_cycle=n_rows * self.n_arrays)
