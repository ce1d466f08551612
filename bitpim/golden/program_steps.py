"""A program of the library with its operands, as a program trace."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from bitpim.errors import LayoutError
from bitpim.lookup.stepped_nor import SteppedNor
from bitpim.programs.catalog import Widths, catalog_program
from bitpim.programs.program import Program
from bitpim.recorded import Recording
from bitpim.sram.stepped import SteppedSubarray
from bitpim_kernels import opcodes as op
from bitpim_kernels.family import Family
from bitpim_kernels.layout import pack, to_planes, words_for
from bitpim_kernels.magic import MAGIC
from bitpim_traces.program_trace.records import ProgramTrace, RowField

__all__ = ["catalogue_trace", "trace_of"]

_ARRAYS: Final[Mapping[Family, type[SteppedSubarray | SteppedNor]]] = {
    op.SRAM: SteppedSubarray,
    MAGIC: SteppedNor,
}


def trace_of(
    program: Program, operands: Mapping[str, npt.ArrayLike], *, after: str = "end"
) -> ProgramTrace:
    """Run a program on operands, a number a column of each field, and write down its steps.

    The operands are the initial state; rows of other fields are zero.

    Shapes
    ------
    operands: (n_columns,) integers each

    Raises
    ------
    ProgramError
        The program has no such field.
    LayoutError
        There is no operand, they differ in length, or a number does not fit its field.
    """
    codes = {name: np.asarray(values) for name, values in operands.items()}
    shapes = {values.shape for values in codes.values()}
    if len(shapes) != 1 or len(min(shapes)) != 1 or min(shapes) == (0,):
        raise LayoutError(
            f"trace of {program.name}: need operands of one length, a number a column, got shapes "
            f"{sorted(shapes)}"
        )
    (n_columns,) = min(shapes)
    rows = np.zeros((program.n_rows, words_for(n_columns)), np.uint64)
    for name, values in codes.items():
        field = program.field(name)
        rows[field.start : field.stop] = to_planes(values, field.width)
    return _recorded(program, rows, n_columns, after)


def catalogue_trace(
    name: str, *, bits: int, n_columns: int, seed: int, after: str = "end"
) -> ProgramTrace:
    """Run a program of the catalogue on random rows, and write down its steps.

    Raises
    ------
    ProgramError
        There is no such program, or none of that width.
    """
    program = catalog_program(name, Widths(bits=bits))
    drawn = np.random.default_rng(seed).integers(0, 2, (program.n_rows, n_columns), np.uint8)
    return _recorded(program, pack(drawn), n_columns, after)


def _recorded(
    program: Program, rows: npt.NDArray[np.uint64], n_columns: int, after: str
) -> ProgramTrace:
    array = _ARRAYS[program.family](max(program.n_rows, 1), n_columns)
    array.view("rows")[: len(rows)] = rows
    recording = Recording(array, array.made_of, after=after)
    recording.steps(program.table)
    fields = [RowField(field.name, field.start, field.width) for field in program.fields]
    return recording.finish(program.name, fields, {"program": program.name})
